"""Placebo of equation 2.

If the slope hardly moves when cities swap weights, their AI content carries nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, of_each
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import numbers_in
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import randomisation


@dataclass(frozen=True)
class Placebo:
    """The slope of the measure, and those of measures made with other cities' weights.

    Attributes
    ----------
    draws : int
        Permutations: as many as asked for, or all there are.
    estimate : float
        The slope with each city's own weight.
    placebo_mean, placebo_sd, placebo_low, placebo_high : float
        Mean, standard deviation, 2.5 and 97.5 % quantiles of the slopes with permuted weights.
    p_value : float
        How unlikely the estimate is, by its distance from the mean of the permuted slopes, if it
        does not matter which city has which weight: as randomisation.permuted_slopes says.
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
) -> Placebo:
    """Regress an outcome on the measure with its weights permuted over the cities of the sample.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and year with the columns named and, beside them, weight (fixed over a
        city's years) and scaling_value, whose product is the measure before its transform.
    outcome, measure : str
        Columns of the dependent variable and of the regressor.
    controls : sequence of str
        Columns of the controls, which keep their values.
    transform : {"level", "ln", "ln1p", "asinh"}
        Transform of the product of weight and scaling_value.
    draws, seed : int
        Number of permutations, and the seed of their draw.

    Returns
    -------
    Placebo

    Raises
    ------
    NotEstimable
        If the sample has singletons, or for any reason of fixed_effects.fit or of
        randomisation.permuted_slopes.
    """
    if sample["weight"].isna().any() or sample["scaling_value"].isna().any():
        raise NotEstimable("no_weight")
    # The order of partialled_out, so that its rows and these are the same.
    rows = sample.sort_values(["city_id", "year"], ignore_index=True)
    regression = fixed_effects.partialled_out(rows, outcome, [measure, *controls])
    if regression.singletons_dropped:
        raise NotEstimable("has_singletons")
    weights = rows.groupby("city_id", sort=True)["weight"].first()
    permuted_slopes = randomisation.permuted_slopes(
        regression,
        0,
        weights.to_numpy(dtype=float),
        numbers_in(rows, "scaling_value"),
        transform,
        randomisation.permutations(list(weights.index), draws=draws, seed=seed),
    )
    low, high = np.quantile(permuted_slopes.slopes, [0.025, 0.975])
    return Placebo(
        draws=len(permuted_slopes.slopes),
        estimate=permuted_slopes.estimate,
        placebo_mean=float(permuted_slopes.slopes.mean()),
        placebo_sd=float(permuted_slopes.slopes.std(ddof=1)),
        placebo_low=float(low),
        placebo_high=float(high),
        p_value=permuted_slopes.p_value_of_slope,
    )


def placebos(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Estimate with permuted weights the specifications that ask for it.

    Returns
    -------
    Table
        One row per specification with option placebo, in the columns of est_placebo; not_estimable
        with the reason where there is none.
    """

    def rows_of(specification: Specification) -> Iterator[Row]:
        answer = fit(
            inputs.sample(specification).rows,
            specification.outcome,
            specification.regressor,
            specification.controls,
            transform=specification.transform,
            draws=getattr(specification.options, "placebo", 0),
        )
        yield asdict(answer)

    asked = (one for one in specifications if getattr(one.options, "placebo", 0))
    return of_each(asked, inputs, "est_placebo", rows_of)
