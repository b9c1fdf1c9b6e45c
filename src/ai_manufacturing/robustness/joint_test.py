"""All readings of one coefficient at once, and whether they say more than chance would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import COLLINEAR, cluster_factor, indicators
from ai_manufacturing.estimators.inference import LEVEL
from ai_manufacturing.estimators.not_estimable import NotEstimable

TIE = 1e-9  # statistics closer than this share are equal
AT_ONCE = 64  # columns, so that what is made of them stays in the processor's cache
ENOUGH = 20  # permutations at least as large as the sample, after which a test needs no more


@dataclass(frozen=True, eq=False)
class Slopes:
    """The slope of one regressor, and of its permutations, in one specification.

    Arrays have shape (1 + draws,).

    Attributes
    ----------
    estimates : ndarray
        In units of the outcome per unit of the regressor; the first is that of the regressor
        itself.
    standardised : ndarray
        The same in standard deviations, of what the effects leave of outcome and regressor:
        comparable over transforms.
    std_errors : dict of str to ndarray
        By kind of cluster.
    degrees_of_freedom : dict of str to int
        Those of t, by kind of cluster.
    """

    estimates: Floats
    standardised: Floats
    std_errors: dict[str, Floats]
    degrees_of_freedom: dict[str, int]

    def p_values(self, cluster: str) -> Floats:
        """Return two-sided p-values from t(G-1), shape (1 + draws,)."""
        statistics = np.abs(self.estimates / self.std_errors[cluster])
        return np.asarray(2 * special.stdtr(self.degrees_of_freedom[cluster], -statistics))

    def extended(self, more: "Slopes") -> "Slopes":
        """Return these slopes, and after them those of more permutations of the same regressor."""
        std_errors = {}
        for name, errors in self.std_errors.items():
            std_errors[name] = np.append(errors, more.std_errors[name][1:])
        return Slopes(
            estimates=np.append(self.estimates, more.estimates[1:]),
            standardised=np.append(self.standardised, more.standardised[1:]),
            std_errors=std_errors,
            degrees_of_freedom=self.degrees_of_freedom,
        )


def slopes(
    entities: Codes,
    outcome: Floats,
    controls: Floats,
    regressors: Floats,
    clusters: Mapping[str, Codes],
    periods: int,
) -> Slopes:
    """Fit one specification for a regressor and its permutations together.

    Parameters
    ----------
    entities : ndarray of int, shape (n,)
        Entity of each row, 0, 1, ...
    outcome : ndarray, shape (n,)
    controls : ndarray, shape (n, k)
    regressors : ndarray, shape (n, 1 + draws)
        All three with the effects removed.
    clusters : mapping of str to ndarray of int, shape (entities,)
        Cluster of each entity, by kind of cluster.
    periods : int
        Levels of the second effect, which count as parameters.

    Returns
    -------
    Slopes

    Raises
    ------
    NotEstimable
        If the regressor or a permutation of it does not vary once effects and controls are removed,
        or for any reason of cluster_factor.

    References
    ----------
    Frisch-Waugh-Lovell; the errors are those of fixed_effects.fit.
    """
    n, slope_count = len(outcome), controls.shape[1] + 1
    basis = np.linalg.qr(controls)[0]
    outcome_left = outcome - basis @ (basis.T @ outcome)
    # By entity, the sums of what is left of regressor times outcome, and of regressor squared.
    summing = indicators(entities)
    of_outcome = summing.copy()
    of_outcome.data = outcome_left[summing.indices]
    products, squares = np.empty((2, summing.shape[0], regressors.shape[1]))
    whole = np.einsum("ij,ij->j", regressors, regressors)
    for start in range(0, regressors.shape[1], AT_ONCE):
        part = slice(start, start + AT_ONCE)
        residuals = regressors[:, part] - basis @ (basis.T @ regressors[:, part])
        products[:, part] = of_outcome @ residuals
        squares[:, part] = summing @ np.multiply(residuals, residuals, out=residuals)
    variation = squares.sum(axis=0)
    if not (variation > COLLINEAR**2 * np.maximum(whole, np.finfo(float).tiny)).all():
        raise NotEstimable("constant_permutation")
    estimates = products.sum(axis=0) / variation
    scores = products - squares * estimates
    sums = {name: indicators(codes) @ scores for name, codes in clusters.items()}
    return of_scores(
        estimates,
        variation,
        whole / (outcome @ outcome),
        {
            name: (len(of_groups), np.einsum("ij,ij->j", of_groups, of_groups))
            for name, of_groups in sums.items()
        },
        (n, slope_count, periods),
    )


def of_scores(
    estimates: Floats,
    variation: Floats,
    ratios: Floats,
    scores: Mapping[str, tuple[int, Floats]],
    counts: tuple[int, int, int],
) -> Slopes:
    """Return slopes with their errors.

    Parameters
    ----------
    estimates, variation, ratios : ndarray, shape (1 + draws,)
        Slopes; sums of squares of the regressor less controls; and with them, over that of the
        outcome.
    scores : mapping of str to (int, ndarray of shape (1 + draws,))
        By kind of cluster, how many there are and the sum of their squared scores.
    counts : tuple of int
        Rows, slopes and levels of the second effect.

    Returns
    -------
    Slopes
    """
    observations, slope_count, periods = counts
    std_errors, degrees = {}, {}
    for name, (groups, squares) in scores.items():
        factor = cluster_factor(observations, groups, slope_count, periods)
        std_errors[name] = np.sqrt(factor * squares) / variation
        degrees[name] = groups - 1
    return Slopes(
        estimates=estimates,
        standardised=estimates * np.sqrt(ratios),
        std_errors=std_errors,
        degrees_of_freedom=degrees,
    )


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
