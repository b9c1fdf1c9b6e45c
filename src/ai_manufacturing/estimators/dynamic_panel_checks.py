"""What a referee asks of a dynamic panel: bounds for the lagged outcome, and every window of lags as instruments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from ai_manufacturing.estimators import dynamic_panel, fixed_effects
from ai_manufacturing.estimators.columns import groups_in
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, said

# First and last lag that instruments the difference equation; None is as far as the sample goes.
WINDOWS: tuple[tuple[int, int | None], ...] = ((2, 3), (2, 4), (2, 5), (2, 6), (2, None), (3, 5))


@dataclass(frozen=True)
class LagBounds:
    """Two estimates of the lagged outcome's slope whose biases are known and opposite.

    Attributes
    ----------
    term : str
        The lag of the outcome.
    within : Inference
        Both effects removed: too low in a short panel, as the lag is related to the mean of the errors (Nickell 1981).
    pooled_ols : Inference
        Period effects alone removed: too high, as the lag is related to the entity effect.
    """

    term: str
    within: Inference
    pooled_ols: Inference

    def warnings(self, fit: dynamic_panel.DynamicPanelFit) -> tuple[Sentence, ...]:
        """Return what a reader must know of a fit whose estimate lies outside the bounds."""
        estimate = float(fit.estimates[fit.terms.index(self.term)])
        low, high = self.within.estimate, self.pooled_ols.estimate
        if low <= estimate <= high:
            return ()
        return (said("outside_bounds", name=self.term, estimate=estimate, low=low, high=high),)


def bounds(
    sample: pd.DataFrame, outcome: str, regressors: Sequence[str], *, entity: str = "city_id", time: str = "year"
) -> LagBounds:
    """Estimate by pooled OLS and within the slope of the lagged outcome, on the level rows of a dynamic panel.

    Parameters
    ----------
    sample, outcome, regressors, entity, time
        As dynamic_panel.fit takes them; the first lag of the outcome must be among the regressors.

    Returns
    -------
    LagBounds
        The two estimates, both with period effects, errors clustered by entity with the factor of cluster_factor, and
        t(G-1). The within estimate drops singletons, which carry nothing.

    Raises
    ------
    NotEstimable
        With a sentence, if the outcome's lag is no regressor, or for the reasons of fixed_effects.fit.

    Notes
    -----
    The other regressors bend both biases, so the bounds are a rule of thumb that holds for small feedback. An estimate
    outside them by less than its error may be there by chance.

    References
    ----------
    Nickell (1981), Econometrica 49(6); Bond (2002), "Dynamic panel data models: a guide to micro data methods and
    practice", Portuguese Economic Journal 1(2).
    """
    lags = [name for name in regressors if dynamic_panel.parsed(name) == (outcome, 1)]
    if not lags:
        raise NotEstimable("no_lagged_outcome", name=outcome)
    position = list(regressors).index(lags[0])
    rows = dynamic_panel.level_rows(sample, outcome, regressors, entity=entity, time=time)
    fit = fixed_effects.fit(rows, outcome, regressors, entity=entity, time=time)
    within = Inference(
        estimate=float(fit.estimates[position]),
        std_error=float(fit.std_errors[position]),
        statistic=float(fit.statistics[position]),
        degrees_of_freedom=fit.degrees_of_freedom,
        p_value=float(fit.p_values[position]),
        conf_low=float(fit.conf_low[position]),
        conf_high=float(fit.conf_high[position]),
        cluster_count=fit.cluster_count,
    )
    return LagBounds(lags[0], within, _pooled_ols(rows, outcome, regressors, position, entity, time))


def _pooled_ols(
    rows: pd.DataFrame, outcome: str, regressors: Sequence[str], position: int, entity: str, time: str
) -> Inference:
    """Regress on regressors and period effects; what the within estimate identifies this one does too."""
    entities, times = groups_in(rows, entity), groups_in(rows, time)
    values = rows[[outcome, *regressors]].to_numpy(dtype=float)
    scale = np.abs(values).max(axis=0)
    values = values / scale
    sums = np.zeros((int(times.max()) + 1, values.shape[1]))
    np.add.at(sums, times, values)
    values -= (sums / np.bincount(times)[:, None])[times]
    y, x = values[:, 0], values[:, 1:]
    bread = np.linalg.inv(x.T @ x)
    slopes = bread @ x.T @ y
    scores = np.zeros((int(entities.max()) + 1, x.shape[1]))
    np.add.at(scores, entities, x * (y - x @ slopes)[:, None])
    factor = fixed_effects.cluster_factor(len(y), len(scores), x.shape[1], len(sums))
    unit = scale[0] / scale[1 + position]
    estimate = float(slopes[position] * unit)
    std_error = float(np.sqrt(factor) * np.linalg.norm(scores @ bread[:, position]) * unit)
    statistic = estimate / std_error if std_error > 0 else np.nan
    df = len(scores) - 1
    half_width = float(special.stdtrit(df, 0.975)) * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        degrees_of_freedom=df,
        p_value=float(2 * special.stdtr(df, -abs(statistic))),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        cluster_count=len(scores),
    )


@dataclass(frozen=True, eq=False)
class LagWindow:
    """A dynamic panel with one window of lags as instruments.

    Attributes
    ----------
    first, last : int, int or None
        First and last lag that instruments the difference equation; None is as far as the sample goes.
    fit : DynamicPanelFit or None
        None if this window does not identify the slopes.
    reason : Sentence or None
        Why there is no fit.
    """

    first: int
    last: int | None
    fit: dynamic_panel.DynamicPanelFit | None
    reason: Sentence | None


def lag_windows(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    instrumented: Sequence[str],
    *,
    windows: Sequence[tuple[int, int | None]] = WINDOWS,
    equation: Literal["system", "difference"] = "system",
    steps: Literal[1, 2] = 2,
    collapse: bool = True,
    entity: str = "city_id",
    time: str = "year",
) -> tuple[LagWindow, ...]:
    """Estimate a dynamic panel with each of several windows of lags.

    Nothing in the data says which lags to use; an estimate that moves with the window rests on that choice. Windows
    that begin at the second lag need errors without serial correlation, those that begin at the third allow an MA(1).

    Parameters
    ----------
    instrumented : sequence of str
        Columns that their lags instrument: the keys of lag_limits of dynamic_panel.fit.
    windows : sequence of (int, int or None)
        First and last lag.
    sample, outcome, regressors, equation, steps, collapse, entity, time
        As dynamic_panel.fit takes them.

    Returns
    -------
    tuple of LagWindow
        In the order of the windows: fits with their Hansen and AR tests, or reasons.
    """
    found = []
    for window in windows:
        fit, reason = None, None
        try:
            fit = dynamic_panel.fit(
                sample,
                outcome,
                regressors,
                dict.fromkeys(instrumented, window),
                equation=equation,
                steps=steps,
                collapse=collapse,
                entity=entity,
                time=time,
            )
        except NotEstimable as finding:
            reason = finding.reason
        found.append(LagWindow(*window, fit, reason))
    return tuple(found)
