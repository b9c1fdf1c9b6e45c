"""Placebo of equation 2: if the slope hardly moves when cities swap weights, their AI content carries nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats, groups_in, numbers_in
from ai_manufacturing.estimators.not_estimable import NotEstimable

TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "level": lambda count: count / 10_000,
    "ln": np.log,
    "ln1p": np.log1p,
    "asinh": np.arcsinh,
}


@dataclass(frozen=True)
class Placebo:
    """The slope of the measure, and those of measures made with other cities' weights.

    Attributes
    ----------
    draws : int
        Permutations.
    estimate : float
        The slope with each city's own weight.
    placebo_mean, placebo_sd, placebo_low, placebo_high : float
        Mean, standard deviation, 2.5 and 97.5 % quantiles of the slopes with permuted weights.
    p_value : float
        (1 + r)/(1 + draws) with r permutations whose slope is at least as far from their mean as the estimate: how
        unlikely the estimate is if it does not matter which city has which weight.
    """

    draws: int
    estimate: float
    placebo_mean: float
    placebo_sd: float
    placebo_low: float
    placebo_high: float
    p_value: float


def fit(
    sample: pd.DataFrame,
    outcome: str,
    measure: str,
    controls: Sequence[str],
    *,
    transform: str,
    draws: int = 999,
    seed: int = 2020,
    entity: str = "city_id",
    time: str = "year",
) -> Placebo:
    """Regress an outcome on the measure with its weights permuted over the cities of the sample.

    Parameters
    ----------
    sample : DataFrame
        One row per city and year with the columns named and, beside them, weight (fixed over a city's years) and
        scaling_value, whose product is the measure before its transform.
    outcome, measure : str
        Columns of the dependent variable and of the regressor.
    controls : sequence of str
        Columns of the controls, which keep their values.
    transform : {"level", "ln", "ln1p", "asinh"}
        Of the product of weight and scaling_value.
    draws, seed : int
        Number of permutations, and the seed of their draw.
    entity, time : str
        Columns of the two effects.

    Returns
    -------
    Placebo

    Raises
    ------
    NotEstimable
        If the measure has no weight (it is observed yearly), all cities have one weight, a permuted measure does not
        vary within, or for any reason of fixed_effects.fit.

    Notes
    -----
    In logs the weight is absorbed by the city effect and every permutation gives the estimate itself (remark 1 of the
    paper's digest): the placebo then has no spread.

    References
    ----------
    Fisher (1935), The Design of Experiments; on placebo shares in shift-share designs, Adao, Kolesar and Morales
    (2019), Quarterly Journal of Economics 134(4).
    """
    if sample["weight"].isna().any() or sample["scaling_value"].isna().any():
        raise NotEstimable("no_weight")
    # The order of partialled_out, so that its rows and these are the same.
    rows = sample.sort_values([entity, time], ignore_index=True)
    regression = fixed_effects.partialled_out(rows, outcome, [measure, *controls], entity=entity, time=time)
    if regression.singletons_dropped:
        raise NotEstimable("has_singletons")
    cities = groups_in(rows, entity)
    weights = rows.groupby(entity, sort=True)["weight"].first().to_numpy(dtype=float)
    if np.ptp(weights) == 0:
        raise NotEstimable("same_weights")
    rng = np.random.default_rng(seed)
    permuted = np.column_stack([weights, *(rng.permutation(weights) for _ in range(draws))])
    measures = TRANSFORMS[transform](permuted[cities] * numbers_in(rows, "scaling_value")[:, None])
    within = regression.without_effects(measures)
    others = regression.design[:, 1:]
    left = within - others @ np.linalg.lstsq(others, within, rcond=None)[0]
    variation = np.einsum("ij,ij->j", left, left)
    if not (variation > 0).all():
        raise NotEstimable("constant_permutation")
    unit = np.abs(rows[outcome]).max()  # partialled_out divides the outcome by it
    estimate, *slopes = unit * (left.T @ regression.outcome) / variation
    drawn = np.array(slopes)
    # Equal but for rounding, as all draws in logs are, is as far.
    distance = np.abs(drawn - drawn.mean())
    farther = int((distance >= abs(estimate - drawn.mean()) * (1 - 1e-9) - 1e-12).sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Placebo(
        draws=draws,
        estimate=float(estimate),
        placebo_mean=float(drawn.mean()),
        placebo_sd=float(drawn.std(ddof=1)),
        placebo_low=float(low),
        placebo_high=float(high),
        p_value=(1 + farther) / (1 + draws),
    )
