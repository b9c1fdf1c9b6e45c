"""Bounds for the slope of the lagged outcome of a dynamic panel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ai_manufacturing.estimators import dynamic_panel, fixed_effects
from ai_manufacturing.estimators.columns import groups_in, sums_by
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence


@dataclass(frozen=True)
class LagBounds:
    """Two estimates of the lagged outcome's slope whose biases are known and opposite.

    Attributes
    ----------
    term : str
        The lag of the outcome.
    within : float
        Both effects removed: too low in a short panel, as the lag is related to the mean of the
        errors (Nickell 1981).
    pooled_ols : float
        Period effects alone removed: too high, as the lag is related to the entity effect.
    """

    term: str
    within: float
    pooled_ols: float

    def warnings(self, fit: dynamic_panel.DynamicPanelFit) -> tuple[Sentence, ...]:
        """Return what a reader must know of a fit whose estimate lies outside the bounds."""
        estimate = float(fit.estimates[fit.terms.index(self.term)])
        if self.within <= estimate <= self.pooled_ols:
            return ()
        low, high = self.within, self.pooled_ols
        return (sentence("outside_bounds", name=self.term, estimate=estimate, low=low, high=high),)


def bounds(sample: pd.DataFrame, outcome: str, regressors: Sequence[str]) -> LagBounds:
    """Estimate by pooled OLS and within the slope of the lagged outcome, on the level rows of a dynamic panel.

    Parameters
    ----------
    sample, outcome, regressors
        As dynamic_panel.fit takes them, with city_id and year; the first lag of the outcome must be
        among the regressors.

    Returns
    -------
    LagBounds
        The two estimates, both with period effects. The within estimate drops singletons, which
        carry nothing.

    Raises
    ------
    NotEstimable
        With a sentence, if the outcome's lag is no regressor, or for the reasons of
        fixed_effects.fit.

    Notes
    -----
    The other regressors bend both biases, so the bounds are a rule of thumb that holds for small
    feedback. An estimate outside them by less than its error may be there by chance.

    References
    ----------
    Nickell (1981), Econometrica 49(6); Bond (2002), "Dynamic panel data models: a guide to micro
    data methods and practice", Portuguese Economic Journal 1(2).
    """
    lags = [name for name in regressors if dynamic_panel.parsed(name) == (outcome, 1)]
    if not lags:
        raise NotEstimable("no_lagged_outcome", name=outcome)
    position = list(regressors).index(lags[0])
    rows = _level_rows(sample, outcome, regressors)
    within = fixed_effects.fit(rows, outcome, regressors).estimates[position]
    return LagBounds(lags[0], float(within), _pooled_ols(rows, outcome, regressors, position))


def _level_rows(sample: pd.DataFrame, outcome: str, regressors: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the level equation, with lags as columns by the names asked for.

    Cities are 0, 1, ...
    """
    lagged = [dynamic_panel.parsed(regressor) for regressor in regressors]
    names = dict.fromkeys((outcome, *(name for name, _ in lagged)))
    grids, periods = dynamic_panel.on_grid(sample, list(names), "city_id", "year")
    columns = {outcome: grids[outcome]}
    columns |= {
        regressor: dynamic_panel.shifted(grids[name], lag)
        for regressor, (name, lag) in zip(regressors, lagged, strict=True)
    }
    cities, years = np.nonzero(np.all([np.isfinite(grid) for grid in columns.values()], axis=0))
    cells = {"city_id": cities, "year": periods[years]}
    return pd.DataFrame(cells | {name: grid[cities, years] for name, grid in columns.items()})


def _pooled_ols(
    rows: pd.DataFrame, outcome: str, regressors: Sequence[str], position: int
) -> float:
    """Regress on regressors and period effects.

    What the within estimate identifies this one does too.
    """
    years = groups_in(rows, "year")
    values = rows[[outcome, *regressors]].to_numpy(dtype=float)
    scale = np.abs(values).max(axis=0)
    values = values / scale
    sums = sums_by(years, values)
    values -= (sums / np.bincount(years)[:, None])[years]
    slopes = np.linalg.lstsq(values[:, 1:], values[:, 0])[0]
    return float(slopes[position] * scale[0] / scale[1 + position])
