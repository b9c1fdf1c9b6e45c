"""Restricted wild cluster bootstrap of one coefficient: inference where clusters are few, as provinces are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable

Weights = Literal["rademacher", "webb"]

FEW_CLUSTERS = 12
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))  # with both signs, six points of mean 0 and variance 1
TIE = 1e-9  # statistics closer than this share are equal: the sample itself is one of the draws
LEVEL = 0.05  # of the test that the interval inverts
DOUBLINGS = 40  # an interval wider than 2**40 errors has no end


@dataclass(frozen=True)
class WildBootstrap:
    """Bootstrap test of one coefficient against zero, and the interval of values that it does not reject.

    Attributes
    ----------
    term : str
    estimate, std_error, statistic : float
        As fixed_effects.fit gives them with the same clusters.
    p_value : float
        Two-sided, symmetric in |t|.
    conf_low, conf_high : float
        Ends of the 95 % interval; infinite where no value far from the estimate is rejected.
    cluster_count : int
        Clusters of the estimation sample.
    draws : int
        Vectors of weights used: as many as asked for, or all distinct ones.
    enumerated : bool
        Whether the vectors are all there are, so that the p-value has no sampling error.
    """

    term: str
    estimate: float
    std_error: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    cluster_count: int
    draws: int
    enumerated: bool


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    term: str,
    *,
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
    weights: Weights | None = None,
    draws: int = 999,
    seed: int = 2020,
) -> WildBootstrap:
    """Test one coefficient of a two-way fixed-effects regression by the restricted wild cluster bootstrap.

    Each draw keeps the fit under the null and turns the residuals of each cluster by one random weight; t is
    recomputed with clustered errors, whose small-sample factor is the same in every draw and cancels.

    Parameters
    ----------
    sample, outcome, regressors, entity, time, cluster
        As in fixed_effects.fit.
    term : str
        The regressor to test.
    weights : {"rademacher", "webb"}
        Signs, or six points. Below 12 clusters signs give few distinct draws (2**(G-1)), and Webb's six points a finer
        p-value: what is taken unless given.
    draws : int
        Draws of the weights. If all 2**(G-1) distinct vectors of signs are no more than this, and signs are asked for,
        each is used once.
    seed : int
        Of the draws; the same seed gives the same p-value.

    Returns
    -------
    WildBootstrap
        p-value and interval.

    Raises
    ------
    NotEstimable
        For any reason of fixed_effects.fit, or if the outcome is fitted exactly.
    ValueError
        If the term is none of the regressors.

    Notes
    -----
    p is (1 + r)/(1 + draws) with r draws at least as extreme as the sample, which is the one counted beside them; it
    decides as r/draws does where 0.05 (1 + draws) is whole, and is never zero. Enumerated, it is the share of all
    vectors, the sample's own among them.

    Where the regressor varies in few clusters only (few treated provinces), the restricted bootstrap rejects too
    rarely, and no weight repairs it.

    The weights enter t through G x G matrices of cluster sums, so that a draw costs G^2 and not a regression, and a
    value of the null costs no more than a pass over the draws.

    References
    ----------
    Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90(3); MacKinnon and Webb (2017), Journal
    of Applied Econometrics 32(2); Webb (2023), Canadian Journal of Economics 56(3); on the computation and on
    inverting the test, Roodman, Nielsen, MacKinnon and Webb (2019), Stata Journal 19(1).
    """
    if term not in regressors:
        raise ValueError(f"{term} is not among the regressors {', '.join(regressors)}.")
    estimated = fixed_effects.fit(sample, outcome, regressors, entity=entity, time=time, cluster=cluster)
    position = list(regressors).index(term)
    estimate, std_error = float(estimated.estimates[position]), float(estimated.std_errors[position])
    if std_error == 0:
        raise NotEstimable("no_bootstrap", term=term)

    regression = fixed_effects.partialled_out(sample, outcome, regressors, entity=entity, time=time, cluster=cluster)
    few = regression.cluster_count < FEW_CLUSTERS
    vectors, enumerated = _weights(regression.cluster_count, weights or ("webb" if few else "rademacher"), draws, seed)
    null = _Null(regression, position, vectors, counted=0 if enumerated else 1)
    unit = float(regression.units[position])
    return WildBootstrap(
        term=term,
        estimate=estimate,
        std_error=std_error,
        statistic=float(estimated.statistics[position]),
        p_value=null.p_value(-estimate / unit),
        conf_low=estimate + unit * null.end(-1),
        conf_high=estimate + unit * null.end(+1),
        cluster_count=regression.cluster_count,
        draws=len(vectors),
        enumerated=enumerated,
    )


def _weights(clusters: int, kind: Weights, draws: int, seed: int) -> tuple[Floats, bool]:
    """Return the weights, shape (draws, clusters), and whether they are all distinct vectors of signs there are."""
    if kind == "rademacher" and 2 ** (clusters - 1) <= draws:
        # A vector and its negative give the same |t|: the first sign is fixed.
        return np.array([(1.0, *signs) for signs in product((1.0, -1.0), repeat=clusters - 1)]), True
    points = np.array([1.0]) if kind == "rademacher" else WEBB
    return np.random.default_rng(seed).choice(np.concatenate([-points, points]), size=(draws, clusters)), False


class _Null:
    """p-values of the nulls that a slope differs from its estimate by delta, in units of the design.

    Under such a null the restricted residuals are e - delta x: e those of the full regression, x what the other
    regressors and the effects leave of the regressor. Everything a draw needs is linear in them, so it is computed
    once for e and once for x.
    """

    def __init__(
        self, regression: fixed_effects.PartialledOut, position: int, vectors: Floats, *, counted: int
    ) -> None:
        clusters, count = regression.clusters, regression.cluster_count
        others = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
        everything = np.linalg.qr(regression.design)[0]
        outcome, x = (
            column - others @ (others.T @ column) for column in (regression.outcome, regression.design[:, position])
        )
        influence = x / (x @ x)  # slope = influence' outcome
        e = outcome - x * (influence @ outcome)

        member = clusters[:, None] == np.arange(count)  # (n, G)

        def sums(columns: Floats) -> Floats:
            summed: Floats = member.T.astype(float) @ (influence[:, None] * columns)  # (G, m)
            return summed

        def moments(residuals: Floats) -> tuple[Floats, Floats]:
            """Return a draw's shift of the slope, (draws,), and its cluster scores, (draws, G)."""
            turned = member * residuals[:, None]
            left = regression.without_effects(turned)
            left -= everything @ (everything.T @ left)
            return vectors @ sums(turned).sum(axis=0), vectors @ sums(left).T

        self._variance = float(np.sum(sums(e[:, None]) ** 2))
        self._shift_e, scores_e = moments(e)
        self._shift_x, scores_x = moments(x)
        self._ee, self._ex, self._xx = (
            np.sum(first * second, axis=1)
            for first, second in ((scores_e, scores_e), (scores_e, scores_x), (scores_x, scores_x))
        )
        self._same = (vectors == vectors[:, :1]).all(axis=1)  # one weight for all clusters: the sample's own t
        self._counted = counted

    def p_value(self, delta: float) -> float:
        """Return the share of draws whose |t| is at least the sample's, |delta| over its error."""
        shifts = self._shift_e - delta * self._shift_x
        variances = np.maximum(self._ee - 2 * delta * self._ex + delta**2 * self._xx, 0.0)
        extreme = self._same | (shifts**2 * self._variance >= delta**2 * variances * (1 - TIE))
        return float((self._counted + extreme.sum()) / (self._counted + len(shifts)))

    def end(self, sign: int) -> float:
        """Return the delta on one side of the estimate where the test begins to reject, by doubling and bisection."""
        inside, outside = 0.0, sign * np.sqrt(self._variance)
        for _ in range(DOUBLINGS):
            if self.p_value(outside) <= LEVEL:
                break
            inside, outside = outside, 2 * outside
        else:
            return sign * np.inf
        while abs(outside - inside) > 1e-10 * abs(outside):
            middle = (inside + outside) / 2
            if self.p_value(middle) <= LEVEL:
                outside = middle
            else:
                inside = middle
        return float(inside)
