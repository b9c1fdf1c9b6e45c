"""All readings of one coefficient at once, and whether they say more than chance would."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import LEVEL
from ai_manufacturing.estimators.not_estimable import NotEstimable

TIE = 1e-9  # statistics closer than this share are equal
ENOUGH = 20  # permutations at least as large as the sample, after which a test needs no more


@dataclass(frozen=True)
class JointTest:
    """What all specifications say together, against the same with the weights permuted.

    Attributes
    ----------
    statistic : str
        median_estimate, of the standardised estimates; share_of_sign, of specifications with the
        sign of the median; share_significant, of those that have this sign and p < 0.05.
    observed : float
    permuted_mean, permuted_low, permuted_high : float
        Mean, 2.5 and 97.5 % quantiles over the draws.
    p_value : float
        (1 + larger_draws)/(1 + draws).
    draws : int
        Permutations of the test: those up to the first look at which enough were as large, or all.
    larger_draws : int
        Those with a statistic at least as large; of the median in absolute value, of shares with
        the sign of the permutation's own median.
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


def joint_tests(standardised: Floats, p_values: Floats, looks: Sequence[int]) -> list[JointTest]:
    """Test whether specifications say more together than permuted weights would.

    Parameters
    ----------
    standardised, p_values : ndarray, shape (specifications, 1 + draws)
        Column 0 is the sample, each other one the same permutation in all specifications.
    looks : sequence of int
        After how many draws a test may end; the last is all of them.

    Returns
    -------
    list of JointTest
        One per statistic.

    Raises
    ------
    NotEstimable
        If there is no specification or no permutation.

    References
    ----------
    Simonsohn, Simmons and Nelson (2020), "Specification curve analysis", Nature Human Behaviour 4:
    the three test statistics of their section on joint inference, each against its distribution
    under the null. Besag and Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78(2);
    docs/decisions/sequential_permutations.md.
    """
    count, draws = standardised.shape[0], standardised.shape[1] - 1
    if count == 0 or draws < 1:
        raise NotEstimable("no_joint_test", specifications=count, draws=max(draws, 0))
    medians = np.median(standardised, axis=0)
    of_sign = np.sign(standardised) == np.sign(medians)
    statistics = {
        "median_estimate": medians,
        "share_of_sign": of_sign.mean(axis=0),
        "share_significant": (of_sign & (p_values < LEVEL)).mean(axis=0),
    }
    tests = []
    for name, values in statistics.items():
        sizes = np.abs(values)
        is_larger = sizes[1:] >= sizes[0] * (1 - TIE)
        draws = draws_needed(is_larger, looks)
        larger = int(is_larger[:draws].sum())
        permuted = values[1 : 1 + draws]
        low, high = np.quantile(permuted, [0.025, 0.975])
        tests.append(
            JointTest(
                statistic=name,
                observed=float(values[0]),
                permuted_mean=float(permuted.mean()),
                permuted_low=float(low),
                permuted_high=float(high),
                p_value=(1 + larger) / (1 + draws),
                draws=draws,
                larger_draws=larger,
                specification_count=count,
            )
        )
    return tests


def draws_needed(is_larger: NDArray[np.bool_], looks: Sequence[int]) -> int:
    """Return after how many draws a test ends: at the first look with ENOUGH as large, or the last.

    Parameters
    ----------
    is_larger : ndarray of bool, shape (draws,)
        Whether the statistic of a permutation is at least as large as the sample's.
    looks : sequence of int
        As in joint_tests.
    """
    counts = np.cumsum(is_larger)
    return next((draws for draws in looks if counts[draws - 1] >= ENOUGH), looks[-1])
