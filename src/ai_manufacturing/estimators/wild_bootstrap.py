"""Wild cluster bootstrap of one coefficient, for clusters that are few or unequal: provinces."""

# ruff: noqa: PT028 - `test` is no test of pytest

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats, sums_by
from ai_manufacturing.estimators.inference import LEVEL, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import sentence

DRAWS = 9_999
SEED = 2020
ENUMERATED_BELOW = 2**12  # distinct vectors of signs: up to 12 clusters have fewer
TIE = 1e-9  # statistics closer than this share are equal: the sample itself is one of the draws
DOUBLINGS = 40  # an interval wider than 2**40 errors has no end


def test(
    regression: fixed_effects.PartialledOut,
    position: int,
    *,
    clusters: NDArray[Any],
    draws: int = DRAWS,
    seed: int = SEED,
) -> Inference:
    """Test one coefficient by the wild cluster bootstrap, the null imposed on residuals (WCR).

    Each draw keeps the fit under the null and turns its residuals by one random sign per cluster; t
    is recomputed with clustered errors, whose small-sample factor is the same in every draw and
    cancels.

    Parameters
    ----------
    regression : PartialledOut
        The clusters that it was made with do not matter here.
    position : int
        Index of the term among the regressors.
    clusters : ndarray, shape (n,)
        Label of the cluster of each row of the regression.
    draws : int
        Draws of the signs. Up to 12 clusters, each of the 2**(G-1) vectors of signs with different
        |t| is used once instead.
    seed : int
        Seed of the draws; the same seed gives the same p-value.

    Returns
    -------
    Inference
        std_error and statistic are those of fixed_effects.fit with these clusters; p_value is
        two-sided, symmetric in |t|; the interval holds the values that the test at 5 % does not
        reject, and is infinite where it rejects none far from the estimate.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, the outcome is fitted exactly, or the scores cancel in
        every cluster.

    Notes
    -----
    p is (1 + r)/(1 + draws) with r draws at least as extreme as the sample, which is the one
    counted beside them; it decides as r/draws does where 0.05 (1 + draws) is whole, and is never
    zero. Enumerated, it is the share of all vectors, of which the sample is one.

    Where the regressor varies in few clusters only (few treated provinces), it rejects too rarely.

    The signs enter t through G x G matrices of cluster sums, so that a draw costs G^2 and not a
    regression, and a value of the null costs no more than a pass over the draws.

    References
    ----------
    Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90(3); MacKinnon and Webb
    (2017), Journal of Applied Econometrics 32(2); on the computation and on inverting the test,
    Roodman, Nielsen, MacKinnon and Webb (2019), Stata Journal 19(1).
    """
    labels, codes = np.unique(clusters, return_inverse=True)
    vectors, enumerated = sign_vectors(len(labels), draws, seed)
    counted = 0 if enumerated else 1
    resampled = Resampled(regression, position, codes, vectors)
    p_value = resampled.p_value(-resampled.slope, counted)
    low, high = resampled.interval(counted)
    unit = float(regression.units[position])
    step = 1 / len(vectors)
    return Inference(
        estimate=unit * resampled.slope,
        std_error=unit * resampled.std_error,
        statistic=resampled.slope / resampled.std_error,
        p_value=p_value,
        conf_low=unit * low,
        conf_high=unit * high,
        cluster_count=len(labels),
        draws=len(vectors),
        is_enumerated=enumerated,
        monte_carlo_error=monte_carlo_error(p_value, len(vectors), enumerated),
        warnings=(
            (sentence("few_vectors", count=len(labels), vectors=len(vectors), step=step),)
            if step > LEVEL
            else ()
        ),
    )


def check(regression: fixed_effects.PartialledOut, position: int, clusters: Codes) -> None:
    """Raise NotEstimable for what test would, for clusters 0, 1, ..."""
    Resampled(regression, position, clusters, np.ones((1, int(clusters.max()) + 1)))


@lru_cache(maxsize=4)  # one matrix serves all tests with as many clusters
def sign_vectors(clusters: int, draws: int, seed: int) -> tuple[Floats, bool]:
    """Return signs, shape (draws, clusters), and whether they are all distinct vectors there are.

    Parameters
    ----------
    clusters : int
    draws, seed
        As in test.

    Returns
    -------
    vectors : ndarray, read-only
    enumerated : bool
    """
    enumerated = 2 ** (clusters - 1) < ENUMERATED_BELOW
    if enumerated:
        # A vector and its negative give the same |t|: the first sign is fixed.
        others = product((1.0, -1.0), repeat=clusters - 1)
        vectors = np.array([(1.0, *signs) for signs in others])
    else:
        rng = np.random.default_rng(seed)
        vectors = rng.choice(np.array([-1.0, 1.0]), size=(draws, clusters))
    vectors.flags.writeable = False
    return vectors, enumerated


def monte_carlo_error(p_value: float, draws: int, enumerated: bool) -> float:
    """Return the standard error that a p-value owes to draws, zero if they are enumerated."""
    return 0.0 if enumerated else float(np.sqrt(p_value * (1 - p_value) / draws))


class Resampled:
    """t of one term in every draw, for the null that its slope differs from the estimate by delta.

    In units of the design. Under such a null the restricted residuals are e - delta x: e those of
    the full regression, x what the other regressors and the effects leave of the regressor.
    Everything a draw needs is linear in them, so it is computed once for e and once for x.

    Parameters
    ----------
    regression, position
        As in test.
    clusters : ndarray of int, shape (n,)
        0, 1, ..., a column of the vectors each.
    vectors : ndarray, shape (draws, clusters)

    Attributes
    ----------
    slope, std_error : float
        The estimate and its clustered error, small-sample factor included.
    factor : float
        That factor.

    Raises
    ------
    NotEstimable
        As in test.
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
        fitted = fixed_effects.least_squares(regression)
        e = fitted.residuals
        if not e.any():
            raise NotEstimable("no_bootstrap")
        influence = regression.design @ fitted.bread[:, position]  # slope = influence' outcome
        scores = influence * e
        sums = np.bincount(clusters, weights=scores)
        self._variance = float(sums @ sums)
        if self._variance <= fixed_effects.CANCELLED**2 * (scores @ scores):
            raise NotEstimable("no_cluster_variance", count=count)
        self.slope = float(fitted.slopes[position])
        self.std_error = float(np.sqrt(self.factor * self._variance))

        x = influence / (influence @ influence)
        of_e, of_x = (_of_residuals(regression, clusters, influence, column) for column in (e, x))

        self._shift_e = vectors @ sums
        self._shift_x = vectors @ np.bincount(clusters, weights=influence * x)
        scores_e, scores_x = vectors @ of_e.T, vectors @ of_x.T
        self._ee = np.einsum("ij,ij->i", scores_e, scores_e)
        self._ex = np.einsum("ij,ij->i", scores_e, scores_x)
        self._xx = np.einsum("ij,ij->i", scores_x, scores_x)
        # One sign for all clusters is the sample's own t.
        self._same = (vectors == vectors[:, :1]).all(axis=1)

    def squares(self, delta: float) -> Floats:
        """Return t squared of each draw, shape (draws,), without the small-sample factor."""
        shifts = self._shift_e - delta * self._shift_x
        variances = self._ee - 2 * delta * self._ex + delta**2 * self._xx
        squares = np.full(len(shifts), np.inf)
        np.divide(shifts**2, variances, out=squares, where=variances > 0)
        squares[self._same] = delta**2 / self._variance
        return squares

    def p_value(self, delta: float, counted: int) -> float:
        """Return the share of draws at least as extreme as the sample.

        The sample is one of them, or is `counted` beside them.
        """
        extreme = int((self.squares(delta) >= delta**2 / self._variance * (1 - TIE)).sum())
        return (counted + extreme) / (counted + len(self._shift_e))

    def interval(self, counted: int) -> tuple[float, float]:
        """Return the ends of the interval of slopes that the test does not reject."""
        return self.slope + self._end(-1, counted), self.slope + self._end(+1, counted)

    def _end(self, sign: int, counted: int) -> float:
        """Return the delta on one side of the estimate where the test begins to reject.

        It is found by doubling and bisection.
        """
        inside, outside = 0.0, sign * np.sqrt(self._variance)
        for _ in range(DOUBLINGS):
            if self.p_value(outside, counted) <= LEVEL:
                break
            inside, outside = outside, 2 * outside
        else:
            return sign * np.inf
        while abs(outside - inside) > 1e-10 * abs(outside):
            middle = (inside + outside) / 2
            if self.p_value(middle, counted) <= LEVEL:
                outside = middle
            else:
                inside = middle
        return float(inside)


def _of_residuals(
    regression: fixed_effects.PartialledOut,
    clusters: Codes,
    influence: Floats,
    column: Floats,
) -> Floats:
    """Sum influence times what the regression leaves of a column that is turned in one cluster.

    Shape (G, G): a row's cluster is that of the influence, a column's the one turned. The
    regression takes off the means of the entities, and then the part in a basis of the periods and
    the regressors.
    """
    basis = np.column_stack([regression.effects.period_basis, np.linalg.qr(regression.design)[0]])
    cells = clusters * regression.entity_count + regression.entities
    shape = (int(clusters.max()) + 1, regression.entity_count)

    def sums(column: Floats) -> tuple[Floats, Floats]:
        """Sum a column by cluster and entity, and its products with the basis by cluster."""
        of_cells: Floats = np.bincount(cells, weights=column, minlength=shape[0] * shape[1]).astype(
            float
        )
        return of_cells.reshape(shape), sums_by(clusters, basis * column[:, None])

    means, loadings = sums(influence)
    of_entities, of_basis = sums(column)
    own = np.diag(np.bincount(clusters, weights=influence * column))
    left: Floats = (
        own - means / np.bincount(regression.entities) @ of_entities.T - loadings @ of_basis.T
    )
    return left
