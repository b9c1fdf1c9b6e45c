"""Joint permutation tests over all specifications of a specification curve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import LEVEL, TIE
from ai_manufacturing.estimators.not_estimable import NotEstimable

# A test stops early once this many permutations have a statistic at least as large as the sample's.
ENOUGH = 20


@dataclass(frozen=True)
class JointTest:
    """Statistic of a specification curve, with its permutation distribution and p-value.

    Attributes
    ----------
    statistic : str
        median_estimate: median of the standardised estimates. share_of_sign: share of
        specifications with the sign of the median. share_significant: share with this sign and
        p < 0.05.
    observed : float
        Statistic in the sample.
    permuted_mean, permuted_low, permuted_high : float
        Mean, 2.5 % and 97.5 % quantiles over the draws.
    p_value : float
        (1 + larger_draws)/(1 + draws).
    draws : int
        Permutations used: all, or the number at which the test stopped early.
    larger_draws : int
        Draws with a statistic at least as large as the sample's. Medians are compared in absolute
        value; shares use the sign of each permutation's own median.
    specification_count : int
    """

    statistic: str
    observed: float
    permuted_mean: float
    permuted_low: float
    permuted_high: float
    p_value: float
    draws: int
    larger_draws: int
    specification_count: int


def run_joint_tests(
    standardised: Floats, p_values: Floats, looks: Sequence[int]
) -> list[JointTest]:
    """Compare statistics of a specification curve with their permutation distributions.

    Parameters
    ----------
    standardised, p_values : ndarray, shape (specifications, 1 + draws)
        Column 0 is the sample. Each other column is one permutation, the same in all
        specifications.
    looks : sequence of int
        Numbers of draws after which a test may stop; the last is the total.

    Returns
    -------
    list of JointTest
        One per statistic.

    Raises
    ------
    NotEstimable
        If there are no specifications or no permutations.

    References
    ----------
    Simonsohn, Simmons and Nelson (2020), "Specification curve analysis", Nature Human Behaviour 4,
    define the three statistics in their section on joint inference. Besag and Clifford (1991),
    "Sequential Monte Carlo p-values", Biometrika 78(2), justify stopping early; see
    docs/decisions/standard_errors.md.
    """
    count, draws = standardised.shape[0], standardised.shape[1] - 1
    if count == 0 or draws < 1:
        raise NotEstimable("no_joint_test", specifications=count, draws=max(draws, 0))
    medians = np.median(standardised, axis=0)
    has_sign = np.sign(standardised) == np.sign(medians)
    statistics = {
        "median_estimate": medians,
        "share_of_sign": has_sign.mean(axis=0),
        "share_significant": (has_sign & (p_values < LEVEL)).mean(axis=0),
    }
    tests = []
    for name, values in statistics.items():
        sizes = np.abs(values)
        is_larger = sizes[1:] >= sizes[0] * (1 - TIE)
        draws = count_draws(is_larger, looks)
        larger = int(is_larger[:draws].sum())
        draw_values = values[1 : 1 + draws]
        low, high = np.quantile(draw_values, [0.025, 0.975])
        tests.append(
            JointTest(
                statistic=name,
                observed=float(values[0]),
                permuted_mean=float(draw_values.mean()),
                permuted_low=float(low),
                permuted_high=float(high),
                p_value=(1 + larger) / (1 + draws),
                draws=draws,
                larger_draws=larger,
                specification_count=count,
            )
        )
    return tests


def count_draws(is_larger: NDArray[np.bool_], looks: Sequence[int]) -> int:
    """Return the number of permutations after which a sequential test stops.

    The test stops at the first look with at least ENOUGH larger draws, or at the last look.

    Parameters
    ----------
    is_larger : ndarray of bool, shape (draws,)
        Whether the statistic of a permutation is at least as large as the sample's.
    looks : sequence of int
        As in run_joint_tests.
    """
    counts = np.cumsum(is_larger)
    return next((draws for draws in looks if counts[draws - 1] >= ENOUGH), looks[-1])
