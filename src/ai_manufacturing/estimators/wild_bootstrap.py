"""Wild cluster bootstrap test of one coefficient, for few or unequal clusters such as provinces."""

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats, sum_by
from ai_manufacturing.estimators.inference import LEVEL, TIE, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import sentence

DRAWS = 9_999  # default number of random sign vectors
SEED = 2020
# Sign vectors are enumerated if there are fewer of them than this, that is, for up to 12 clusters.
ENUMERATED_BELOW = 2**12
# An interval that extends beyond 2**40 standard errors is reported as unbounded.
DOUBLINGS = 40


def bootstrap_coefficient(
    regression: fixed_effects.PartialledOut,
    position: int,
    *,
    clusters: NDArray[Any],
    draws: int = DRAWS,
    seed: int = SEED,
) -> Inference:
    """Test one coefficient by the wild cluster restricted (WCR) bootstrap.

    Each draw starts from the fit under the null and multiplies the residuals of each cluster by a
    random sign. The t statistic is recomputed with clustered standard errors, whose small-sample
    factor is the same in every draw and cancels.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed; its own clusters are ignored.
    position : int
        Index of the term among the regressors.
    clusters : ndarray, shape (n,)
        Cluster label of each row of the regression.
    draws : int
        Number of random sign vectors. With up to 12 clusters, the 2**(G-1) vectors that give
        different |t| are enumerated instead.
    seed : int
        Seed of the random number generator; the same seed gives the same p-value.

    Returns
    -------
    Inference
        std_error and statistic equal fixed_effects.fit with these clusters; p_value is two-sided
        and symmetric in |t|; the interval contains the values that the test does not reject at 5 %,
        and is unbounded on a side where the test never rejects.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, the outcome is fitted exactly, or the scores cancel in
        every cluster.

    Notes
    -----
    With random draws, p is (1 + r)/(1 + draws), where r draws are at least as extreme as the
    sample. The sample counts as one extra draw, so p is never zero; the decision at 5 % is the same
    as with r/draws if 0.05 (1 + draws) is an integer. With enumeration, p is the share of extreme
    vectors among all of them, and the sample is already one of them.

    The test under-rejects if the regressor varies in few clusters only (few treated provinces).

    The signs enter t only through G x G matrices of cluster sums. A draw therefore costs G^2
    operations instead of a regression, and testing another null value costs one pass over the
    draws.

    References
    ----------
    Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90(3); MacKinnon and Webb
    (2017), Journal of Applied Econometrics 32(2); on the computation and on inverting the test,
    Roodman, Nielsen, MacKinnon and Webb (2019), Stata Journal 19(1).
    """
    labels, codes = np.unique(clusters, return_inverse=True)
    vectors, is_enumerated = draw_sign_vectors(len(labels), draws, seed)
    extra_draws = 0 if is_enumerated else 1
    distribution = BootstrapDistribution(regression, position, codes, vectors)
    p_value = distribution.compute_p_value(-distribution.slope, extra_draws)
    low, high = distribution.find_interval(extra_draws)
    unit = float(regression.units[position])
    step = 1 / len(vectors)
    return Inference(
        estimate=unit * distribution.slope,
        std_error=unit * distribution.std_error,
        statistic=distribution.slope / distribution.std_error,
        p_value=p_value,
        conf_low=unit * low,
        conf_high=unit * high,
        cluster_count=len(labels),
        draws=len(vectors),
        is_enumerated=is_enumerated,
        monte_carlo_error=compute_monte_carlo_error(p_value, len(vectors), is_enumerated),
        warnings=(
            (sentence("few_vectors", count=len(labels), vectors=len(vectors), step=step),)
            if step > LEVEL
            else ()
        ),
    )


def check_coefficient(
    regression: fixed_effects.PartialledOut, position: int, clusters: Codes
) -> None:
    """Raise NotEstimable if a coefficient cannot be bootstrapped, without drawing samples.

    The clusters must be coded 0, 1, ...
    """
    BootstrapDistribution(regression, position, clusters, np.ones((1, int(clusters.max()) + 1)))


@lru_cache(maxsize=4)  # reused by all tests with the same number of clusters
def draw_sign_vectors(clusters: int, draws: int, seed: int) -> tuple[Floats, bool]:
    """Draw vectors of random signs (+1 or -1) per cluster, or enumerate all of them.

    Parameters
    ----------
    clusters : int
    draws, seed
        As in bootstrap_coefficient.

    Returns
    -------
    vectors : ndarray, shape (draws, clusters), read-only
    is_enumerated : bool
    """
    is_enumerated = 2 ** (clusters - 1) < ENUMERATED_BELOW
    if is_enumerated:
        # Fix the first sign, because a vector and its negative give the same |t|.
        others = product((1.0, -1.0), repeat=clusters - 1)
        vectors = np.array([(1.0, *signs) for signs in others])
    else:
        rng = np.random.default_rng(seed)
        vectors = rng.choice(np.array([-1.0, 1.0]), size=(draws, clusters))
    vectors.flags.writeable = False
    return vectors, is_enumerated


def compute_monte_carlo_error(p_value: float, draws: int, is_enumerated: bool) -> float:
    """Return the simulation standard error of a p-value; zero if the draws are enumerated."""
    return 0.0 if is_enumerated else float(np.sqrt(p_value * (1 - p_value) / draws))


class BootstrapDistribution:
    """Bootstrap distribution of a coefficient's t statistic under any null value.

    The null value is `slope + delta`. All quantities are in units of the design. The residuals
    under the null are e - delta x, where e is the residual of the full regression and x is the
    regressor net of the other regressors and the effects. Every draw is linear in e and x, so their
    sums are computed once for all nulls.

    Parameters
    ----------
    regression, position
        As in bootstrap_coefficient.
    clusters : ndarray of int, shape (n,)
        Clusters coded 0, 1, ..., the columns of `vectors`.
    vectors : ndarray, shape (draws, clusters)

    Attributes
    ----------
    slope, std_error : float
        The estimate and its clustered standard error, including the small-sample factor.
    factor : float
        The small-sample factor.

    Raises
    ------
    NotEstimable
        As in bootstrap_coefficient.
    """

    def __init__(
        self,
        regression: fixed_effects.PartialledOut,
        position: int,
        clusters: Codes,
        vectors: Floats,
    ) -> None:
        n, k = regression.design.shape
        count = vectors.shape[1]
        self.factor = fixed_effects.cluster_factor(n, count, k, regression.time_count)
        ols = fixed_effects.fit_least_squares(regression)
        e = ols.residuals
        if not e.any():
            raise NotEstimable("no_bootstrap")
        # The slope equals influence @ outcome.
        influence = regression.design @ ols.bread[:, position]
        scores = influence * e
        sums = np.bincount(clusters, weights=scores)
        self._variance = float(sums @ sums)
        if self._variance <= fixed_effects.CANCELLED**2 * (scores @ scores):
            raise NotEstimable("no_cluster_variance", count=count)
        self.slope = float(ols.slopes[position])
        self.std_error = float(np.sqrt(self.factor * self._variance))

        x = influence / (influence @ influence)
        matrix_e, matrix_x = (
            _build_score_matrix(regression, clusters, influence, column) for column in (e, x)
        )

        self._shift_e = vectors @ sums
        self._shift_x = vectors @ np.bincount(clusters, weights=influence * x)
        scores_e, scores_x = vectors @ matrix_e.T, vectors @ matrix_x.T
        self._ee = np.einsum("ij,ij->i", scores_e, scores_e)
        self._ex = np.einsum("ij,ij->i", scores_e, scores_x)
        self._xx = np.einsum("ij,ij->i", scores_x, scores_x)
        # A vector whose signs are all equal reproduces the t statistic of the sample.
        self._same = (vectors == vectors[:, :1]).all(axis=1)

    def square_statistics(self, delta: float) -> Floats:
        """Return each draw's squared t statistic, without the small-sample factor."""
        shifts = self._shift_e - delta * self._shift_x
        variances = self._ee - 2 * delta * self._ex + delta**2 * self._xx
        squares = np.full(len(shifts), np.inf)
        np.divide(shifts**2, variances, out=squares, where=variances > 0)
        squares[self._same] = delta**2 / self._variance
        return squares

    def compute_p_value(self, delta: float, extra_draws: int) -> float:
        """Return the p-value: the share of draws at least as extreme as the sample.

        `extra_draws` is 1 if the sample counts as an extra draw, and 0 if it is one of the draws.
        """
        extreme = int(
            (self.square_statistics(delta) >= delta**2 / self._variance * (1 - TIE)).sum()
        )
        return (extra_draws + extreme) / (extra_draws + len(self._shift_e))

    def find_interval(self, extra_draws: int) -> tuple[float, float]:
        """Return the bounds of the 95 % confidence interval, found by inverting the test."""
        return self.slope + self._find_end(-1, extra_draws), self.slope + self._find_end(
            +1, extra_draws
        )

    def _find_end(self, sign: int, extra_draws: int) -> float:
        """Find the signed distance from the estimate at which the test starts to reject.

        The search doubles the step until the test rejects, and then bisects.
        """
        inside, outside = 0.0, sign * np.sqrt(self._variance)
        for _ in range(DOUBLINGS):
            if self.compute_p_value(outside, extra_draws) <= LEVEL:
                break
            inside, outside = outside, 2 * outside
        else:
            return sign * np.inf
        while abs(outside - inside) > 1e-10 * abs(outside):
            middle = (inside + outside) / 2
            if self.compute_p_value(middle, extra_draws) <= LEVEL:
                outside = middle
            else:
                inside = middle
        return float(inside)


def _build_score_matrix(
    regression: fixed_effects.PartialledOut,
    clusters: Codes,
    influence: Floats,
    column: Floats,
) -> Floats:
    """Return the (G, G) matrix that maps a vector of cluster signs to cluster scores.

    Set the column to zero outside cluster h, and regress it on the effects and the regressors.
    Entry (g, h) of the (G, G) result sums its residuals times `influence` over the rows of g.
    """
    basis = np.column_stack([regression.effects.period_basis, np.linalg.qr(regression.design)[0]])
    cells = clusters * regression.entity_count + regression.entities
    shape = (int(clusters.max()) + 1, regression.entity_count)

    def sums(column: Floats) -> tuple[Floats, Floats]:
        """Sum a column by cluster and entity, and its products with the basis by cluster."""
        cell_sums: Floats = np.bincount(
            cells, weights=column, minlength=shape[0] * shape[1]
        ).astype(float)
        return cell_sums.reshape(shape), sum_by(clusters, basis * column[:, None])

    means, loadings = sums(influence)
    entity_sums, basis_sums = sums(column)
    own = np.diag(np.bincount(clusters, weights=influence * column))
    matrix: Floats = (
        own - means / np.bincount(regression.entities) @ entity_sums.T - loadings @ basis_sums.T
    )
    return matrix
