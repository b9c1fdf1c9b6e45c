"""Compute the share of the AI measure's variation that its scaling series does not explain."""

from collections.abc import Sequence

import numpy as np

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case

SCALED = "ln_scaled_series"


def compute_share_of_variation(case: Case, position: int, cities: str) -> float:
    """Return the share of the AI measure's variation not explained by its scaling series.

    Parameters
    ----------
    case : Case
    position : int
        Ignored; the measure is always the regressor of the specification.
    cities : str
        "all" for this share; or a number N, for the part of the unexplained variation in the N
        cities with the most.
    """
    specification = case.specification
    others = [term for term in specification.terms if term != specification.regressor]
    regression = _fit_with_scaled_series(
        case, specification.regressor, [SCALED, *others]
    ).regression
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


def _fit_with_scaled_series(case: Case, outcome: str, terms: Sequence[str]) -> FixedEffectsFit:
    """Fit a fixed effects regression that includes the log of the scaling series.

    Raises
    ------
    NotEstimable
        If the measure is in logs, because the city effect then absorbs the AI share, which is
        constant within a city.
    """
    if case.specification.transform == "ln":
        raise NotEstimable("share_cancels_in_logs")
    sample = case.sample.rows.assign(**{SCALED: np.log(case.sample.rows["scaling_value"])})
    return fixed_effects.fit(sample, outcome, terms, time=case.specification.period)
