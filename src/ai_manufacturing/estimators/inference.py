"""What a check of a coefficient answers: one row of est_inference, whatever the method."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ai_manufacturing.estimators.sentences import Sentence

LEVEL = 0.05  # of tests, and of the intervals that invert them


@dataclass(frozen=True, kw_only=True)
class Inference:
    """An estimate with the error, the test and the interval that one method gives it.

    What a method does not have is None: a permutation test has no error, an error no draws.

    Attributes
    ----------
    estimate : float
        In units of the outcome per unit of the regressor.
    std_error : float or None
        In the units of the estimate.
    statistic : float or None
        What the p-value is the tail of; t unless the method says otherwise.
    degrees_of_freedom : float or None
        Of t.
    p_value : float or None
        Two-sided, of the hypothesis that the coefficient is zero.
    conf_low, conf_high : float or None
        Ends of the 95 % interval, infinite where it has none.
    cluster_count : int or None
        Clusters of the error.
    effective_cluster_count : float or None
        G* of Carter, Schnepel and Steigerwald (2017): how many clusters of one size and leverage carry as much.
    largest_partial_leverage : float or None
        Share, 0 to 1, of the regressor's variation that the cluster with most of it has.
    draws : int or None
        Resamples or permutations.
    is_enumerated : bool or None
        Whether the draws are all there are.
    monte_carlo_error : float or None
        Standard error that the p-value owes to the draws; zero if enumerated.
    warnings : tuple of Sentence
        What a reader of the row must know.
    """

    estimate: float
    std_error: float | None = None
    statistic: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    cluster_count: int | None = None
    effective_cluster_count: float | None = None
    largest_partial_leverage: float | None = None
    draws: int | None = None
    is_enumerated: bool | None = None
    monte_carlo_error: float | None = None
    warnings: tuple[Sentence, ...] = ()


def by_t(estimate: float, std_error: float, degrees_of_freedom: int, **rest: Any) -> Inference:
    """Return the test of zero and the 95 % interval by the t distribution.

    Parameters
    ----------
    estimate, std_error : float
    degrees_of_freedom : int
    **rest
        Further attributes of Inference.

    Returns
    -------
    Inference
        Statistic and p-value are NaN if the error is zero.
    """
    statistic = estimate / std_error if std_error > 0 else np.nan
    half_width = float(special.stdtrit(degrees_of_freedom, 1 - LEVEL / 2)) * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        degrees_of_freedom=float(degrees_of_freedom),
        p_value=2 * float(special.stdtr(degrees_of_freedom, -abs(statistic))),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        **rest,
    )
