"""The scaled series beside the measure: how much of its variation is the AI share's own."""

from collections.abc import Sequence

import numpy as np

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case

SCALED = "ln_scaled_series"


def share_of_variation(case: Case, position: int, cities: str) -> float:
    """Return the share of the measure's variation that the scaled series leaves.

    Parameters
    ----------
    case : Case
    position : int
        Not needed: the measure is the regressor of the specification.
    cities : str
        "all" for the share of the variation; a number for the part of it that so many cities with
        most have.
    """
    specification = case.specification
    others = [term for term in specification.terms if term != specification.regressor]
    regression = _with_scaled_series(case, specification.regressor, [SCALED, *others]).regression
    residuals = (
        regression.outcome
        - regression.design @ np.linalg.lstsq(regression.design, regression.outcome)[0]
    )
    by_city = np.sort(np.bincount(regression.entities, weights=residuals**2))
    if cities != "all":
        return float(by_city[-int(cities) :].sum() / by_city.sum())
    controls = regression.design[:, 1:]
    variation = regression.outcome - controls @ np.linalg.lstsq(controls, regression.outcome)[0]
    return float(by_city.sum() / (variation @ variation))


def _with_scaled_series(case: Case, outcome: str, terms: Sequence[str]) -> FixedEffectsFit:
    """Fit a regression that has the log of the scaled series among its terms.

    Raises
    ------
    NotEstimable
        If the measure is a log itself: the AI share is then a constant of the city, which the
        city's effect takes up.
    """
    if case.specification.transform == "ln":
        raise NotEstimable("share_cancels_in_logs")
    sample = case.sample.rows.assign(**{SCALED: np.log(case.sample.rows["scaling_value"])})
    return fixed_effects.fit(sample, outcome, terms, time=case.specification.period)
