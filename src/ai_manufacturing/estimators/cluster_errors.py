"""Errors of one coefficient by clusters of any kind, and what the coefficient is without each of them."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import (
    ABSORBED,
    CANCELLED,
    COLLINEAR,
    EXACT,
    ROUNDING,
    Effects,
    PartialledOut,
    cluster_factor,
    rows_without_singletons,
    unclustered_degrees_of_freedom,
)
from ai_manufacturing.estimators.inference import LEVEL, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, said

LOST = 1e-10  # a direction of which less than this share is left without a cluster is gone with it
UNIDENTIFIED = 1e-9  # ... and so is the coefficient, at this share of its regressor's variation
FEW_COLUMNS = 32  # as many as year effects and controls have, and province-years have not
GROUPS_AT_ONCE = 32  # whose columns fit a processor's cache
MOST = 0.5  # share of the groups past which a result no longer rests on a few of them


@dataclass(frozen=True)
class LeftOut:
    """The coefficient without one group.

    Attributes
    ----------
    group : int
        Its code.
    estimate, std_error, p_value : float or None
        Of the regression without the group; None if the other groups do not identify the coefficient. The last two
        are None too if fewer than two clusters are left, or if those left leave no variance.
    """

    group: int
    estimate: float | None
    std_error: float | None
    p_value: float | None


@dataclass(frozen=True)
class FewestToChange:
    """How few groups a result rests on.

    Attributes
    ----------
    significance : int or None
        Groups without which p is above .05; zero if it is with all of them.
    sign : int or None
        Groups without which the estimate has the other sign.
    group_count : int
        Of all groups. A count is None if it would take more than half of them, or if the rest identifies nothing.
    removed : tuple of int
        Codes of the groups in the order of their removal, up to the later of the two changes.
    """

    significance: int | None
    sign: int | None
    group_count: int
    removed: tuple[int, ...]


def crv1(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return the usual clustered error of a coefficient, for clusters in which the entities are nested.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    position : int
        Of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row; any codes.

    Returns
    -------
    Inference
        With the factor of cluster_factor and t(G-1): what fixed_effects.fit gives with these clusters.

    Raises
    ------
    NotEstimable
        If an entity lies in two clusters, there are fewer than two, the outcome is fitted exactly, or the variance is
        zero because the scores cancel in every cluster.

    Notes
    -----
    The regressor's partial leverages h_g are shares of what the effects and the other regressors leave of it.
    Carter, Schnepel and Steigerwald's G*, with independent errors and the effects partialled out as summclust has
    it, is then 1 / sum h_g^2: all G clusters if the shares are equal, one if one cluster has all.

    References
    ----------
    Carter, Schnepel and Steigerwald (2017), Review of Economics and Statistics 99(4); MacKinnon, Nielsen and Webb
    (2023), "Leverage, influence, and the jackknife in clustered regression models", Stata Journal 23(4).
    """
    clusters = _nested(regression, clusters)
    return _clustered(regression, _term(regression, position), clusters)


def crv3(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return the cluster jackknife error of a coefficient, centred at the estimate.

    Parameters, and reasons for NotEstimable, are those of crv1, and one more: without one of the clusters the
    coefficient is not identified. Such a cluster is not passed over, as the sum would then leave out the one on
    which all depends.

    Returns
    -------
    Inference
        With the variance (G-1)/G sum_g (b_(g) - b)^2 over the estimates without each cluster, and t(G-1). No other
        small-sample factor.

    Notes
    -----
    Nothing is fitted again. Period effects and the other regressors are in the normal equations from which a
    cluster's rows are taken out, so that both are those of the regression without the cluster. What only that
    cluster identifies of them (the years of its own province) goes with it.

    References
    ----------
    MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference", Journal of Applied Econometrics 38(5): CRV3, and CRV3J for crv3j.
    """
    return _jackknife(regression, position, clusters, about_mean=False)


def crv3j(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return the cluster jackknife error centred at the mean of the delete-one estimates; as crv3 in all else."""
    return _jackknife(regression, position, clusters, about_mean=True)


def two_way(regression: PartialledOut, position: int, first: Codes, second: Codes) -> Inference:
    """Return the error of a coefficient whose errors depend within two kinds of clusters, as city and year.

    Where one kind nests the other (province and city) the two-way error is that of the wider kind, crv1 by province,
    and a warning says so.

    Parameters
    ----------
    regression, position
        As in crv1.
    first, second : ndarray of int, shape (n,)
        Clusters of each row, of either kind.

    Returns
    -------
    Inference
        Cluster count and leverage are those of the kind with fewer clusters, which gives t its freedom.

    Raises
    ------
    NotEstimable
        If a kind has fewer than two clusters, the outcome is fitted exactly, or the variance is not positive.

    Notes
    -----
    V = V_first + V_second - V_both, all three by the factor G/(G-1) (n-1)/(n-K) with the smaller G, and t(G-1).
    K counts the regressors and the effects that are nested in neither kind, and one: fixest's default. Negative
    eigenvalues of V are set to zero, with a warning; regressors are of unit length there, so that no error depends
    on the unit of another regressor (reghdfe does this in the units of the sample, fixest if a variance is negative).

    References
    ----------
    Cameron, Gelbach and Miller (2011), Journal of Business and Economic Statistics 29(2).
    """
    first, second = (np.unique(codes, return_inverse=True)[1] for codes in (first, second))
    crossed = np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1]
    fewer = first if first.max() <= second.max() else second
    count = int(fewer.max()) + 1
    n, k = regression.design.shape
    parameters = k + 1
    for codes in (regression.entities, regression.times):
        if not (_is_nested(codes, first) or _is_nested(codes, second)):
            parameters += int(codes.max())
    factor = cluster_factor(n, count, k, parameters - k)

    term = _term(regression, position)
    influence = _influence(regression)
    variance = np.zeros((k, k))
    for codes, sign in ((first, 1), (second, 1), (crossed, -1)):
        sums = _summed(influence, codes)
        variance += sign * factor * sums.T @ sums
    warnings: list[Sentence] = []
    if crossed.max() == max(first.max(), second.max()):
        warnings.append(said("two_way_is_one_way"))
    strengths, directions = np.linalg.eigh(variance)
    if strengths[0] < -ROUNDING * strengths[-1] or variance[position, position] < 0:
        variance = directions * np.maximum(strengths, 0.0) @ directions.T
        warnings.append(said("two_way_not_positive"))
    return _inference(term, float(variance[position, position]), count - 1, fewer, tuple(warnings))


def driscoll_kraay(
    regression: PartialledOut, position: int, bandwidth: int, *, periods: Codes | None = None
) -> Inference:
    """Return the error of a coefficient whose errors depend across entities, and over time up to a lag.

    Parameters
    ----------
    regression, position
        As in crv1.
    bandwidth : int
        Longest lag, of weight 1/(bandwidth + 1) by Bartlett's kernel; 0 clusters by period.
    periods : ndarray of int, shape (n,), optional
        Year of each row. The default is the regression's times, one after the other; give the years where some are
        missing, or where the times are province-years.

    Returns
    -------
    Inference
        With T periods in place of clusters, and t(T-1).

    Raises
    ------
    NotEstimable
        If there are fewer than two periods, the bandwidth is not shorter than the panel, the outcome is fitted
        exactly, or the variance is zero.

    Notes
    -----
    The factor is T/(T-1) (n-1)/(n-K), K = slopes + entities + periods - 1, fixest's default for this covariance.
    The theory lets T grow: with the eight or ten years of such panels the error is too small.

    References
    ----------
    Driscoll and Kraay (1998), Review of Economics and Statistics 80(4).
    """
    term = _term(regression, position)
    years = regression.times if periods is None else periods
    steps = years - years.min()
    codes = np.unique(steps, return_inverse=True)[1]
    count, length = int(codes.max()) + 1, int(steps.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    if not 0 <= bandwidth < length:
        raise NotEstimable("bandwidth_too_long", bandwidth=bandwidth, length=length)
    n, k = regression.design.shape
    free = unclustered_degrees_of_freedom(n, regression.entity_count, k, regression.time_count)

    scores = np.bincount(steps, weights=term.x * term.residuals)  # a missing year's is zero
    spread = float(scores @ scores)
    for lag in range(1, bandwidth + 1):
        spread += 2 * (1 - lag / (bandwidth + 1)) * float(scores[lag:] @ scores[:-lag])
    factor = count / (count - 1) * (n - 1) / free
    return _inference(term, factor * spread / term.xx**2, count - 1, codes)


def leave_out(
    regression: PartialledOut, position: int, groups: Codes, *, clusters: Codes | None = None
) -> list[LeftOut]:
    """Return the coefficient without each group in turn: estimate, clustered error and p.

    Parameters
    ----------
    regression, position
        As in crv1.
    groups : ndarray of int, shape (n,)
        Group of each row, in which the entities are nested: cities, or provinces.
    clusters : ndarray of int, shape (n,), optional
        Of the errors. The default is the entities.

    Returns
    -------
    list of LeftOut
        In the order of the codes: what fixed_effects.fit gives for the rows of the other groups, but that a regressor
        other than this one which only the group identifies goes with it and is still counted.

    Raises
    ------
    NotEstimable
        If an entity lies in two groups or clusters, or the outcome is fitted exactly.
    """
    labels = np.unique(groups)
    groups = _nested(regression, groups)
    clusters = regression.entities if clusters is None else _nested(regression, clusters)
    # Rows of a cluster side by side, so that its scores are sums of neighbours.
    order = np.argsort(clusters, kind="stable")
    firsts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    term = _term(regression, position)
    basis = _basis(regression, position)
    deleted = _deleted(term, basis, groups)
    identified = deleted.xx > UNIDENTIFIED * term.xx

    slopes = np.full(len(labels), np.nan)
    np.divide(deleted.xy, deleted.xx, out=slopes, where=identified)
    basis, x_whole, y_whole, own = basis[order], term.x[order, None], term.y[order, None], groups[order]
    lengths = np.empty(len(labels))
    for start in range(0, len(labels), GROUPS_AT_ONCE):
        part = slice(start, start + GROUPS_AT_ONCE)
        x, scores = basis @ deleted.shift_x[:, part], basis @ deleted.shift_y[:, part]
        x += x_whole
        scores += y_whole
        scores -= slopes[part] * x
        scores *= x
        rows = np.flatnonzero((start <= own) & (own < start + GROUPS_AT_ONCE))
        scores[rows, own[rows] - start] = 0.0
        lengths[part] = np.linalg.norm(np.add.reduceat(scores, firsts, axis=0), axis=0)
    errors = np.full(len(labels), np.nan)
    np.divide(lengths, deleted.xx, out=errors, where=identified)

    answers = []
    for code, (label, n, cluster_count, times) in enumerate(
        zip(labels, *_counts_without(regression, groups, clusters), strict=True)
    ):
        if not identified[code]:
            answers.append(LeftOut(int(label), None, None, None))
            continue
        estimate = float(slopes[code] * term.unit)
        tested = _tested(regression, term, slopes[code], errors[code], (n, cluster_count, times))
        error, p_value = (None, None) if tested is None else (tested[0] * term.unit, tested[1])
        answers.append(LeftOut(int(label), estimate, error, p_value))
    return answers


def without(regression: PartialledOut, rows: NDArray[np.bool_]) -> tuple[PartialledOut, Codes]:
    """Return the regression without some rows, for any method, and the positions of the rows that are left.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    rows : ndarray of bool, shape (n,)
        Rows to leave out: the cities that the gate flags.

    Returns
    -------
    regression : PartialledOut
        What fixed_effects.partialled_out makes of the other rows, singletons dropped again; factor and degrees of
        freedom are those of clustered errors.
    kept : ndarray of int, shape (n',)
        Positions among the n, by which codes of clusters are taken along.

    Raises
    ------
    NotEstimable
        If nothing is left to estimate from, or the rest does not identify every coefficient.
    """
    kept = np.flatnonzero(~rows)
    kept = kept[rows_without_singletons(regression.entities[kept], regression.times[kept])] if len(kept) else kept
    if len(kept) == 0:
        raise NotEstimable("nothing_left_without", count=int(rows.sum()))
    entities, times, clusters = (
        _renumbered(codes[kept]) for codes in (regression.entities, regression.times, regression.clusters)
    )
    n, k = len(kept), regression.design.shape[1]
    count = int(clusters.max()) + 1
    factor = cluster_factor(n, count, k, int(times.max()) + 1)
    rest = replace(
        regression,
        centred_outcome=regression.centred_outcome[kept] - regression.centred_outcome[kept].mean(),
        entities=entities,
        times=times,
        clusters=clusters,
        effects=Effects(entities, times),
        index=regression.index[kept],
        singletons_dropped=regression.singletons_dropped + len(rows) - int(rows.sum()) - n,
        factor=factor,
        degrees_of_freedom=count - 1,
    )
    before = np.column_stack([regression.outcome[kept], regression.design[kept]])
    within = rest.without_effects(before)
    lengths = np.linalg.norm(within, axis=0)
    if (lengths <= ABSORBED * np.linalg.norm(before - before.mean(axis=0), axis=0)).any():
        raise NotEstimable("not_identified_without", count=int(rows.sum()))
    design = within[:, 1:] / lengths[1:]
    if np.linalg.svd(design, compute_uv=False)[-1] <= COLLINEAR:
        raise NotEstimable("not_identified_without", count=int(rows.sum()))
    return replace(rest, outcome=within[:, 0], design=design, units=regression.units / lengths[1:]), kept


def fewest_to_change(
    regression: PartialledOut, position: int, *, groups: Codes | None = None, clusters: Codes | None = None
) -> FewestToChange:
    """Remove the most influential group again and again, until p is above .05 and until the sign is the other one.

    Parameters
    ----------
    regression, position
        As in crv1.
    groups, clusters : ndarray of int, shape (n,), optional
        What is removed, and what the errors are clustered by; entities are nested in both, and are the default.

    Returns
    -------
    FewestToChange
        An upper bound of the fewest: another set that is as small may do, but a smaller one was not found.

    Raises
    ------
    NotEstimable
        As crv1, for the regression with all groups.

    Notes
    -----
    After each removal the slope and its error are those of the rest, as in leave_out, and the group is chosen which
    then pulls the estimate most away from zero: by its score over the variation of the others, which takes effects and
    other slopes as given. That approximation chooses the order only.

    References
    ----------
    Broderick, Giordano and Meager (2020), "An automatic finite-sample robustness metric", arXiv 2011.14999.
    """
    labels = np.unique(regression.entities if groups is None else groups)
    groups = regression.entities if groups is None else _nested(regression, groups)
    clusters = regression.entities if clusters is None else _nested(regression, clusters)
    term = _term(regression, position)
    whole = _clustered(regression, term, clusters)
    direction = np.sign(whole.estimate)
    significance = 0 if whole.p_value is not None and whole.p_value > LEVEL else None
    sign = None
    basis, columns = _basis(regression, position), np.column_stack([term.x, term.y])
    gram, right = np.zeros((basis.shape[1], basis.shape[1])), np.zeros((basis.shape[1], 2))
    removed: list[int] = []
    gone, left = np.zeros(len(labels), dtype=bool), np.ones(len(groups), dtype=bool)
    x, xx, residuals = term.x, term.xx, term.residuals
    while (significance is None or sign is None) and len(removed) < int(MOST * len(labels)):
        others = xx - np.bincount(groups, weights=x**2)
        pulls = direction * np.bincount(groups, weights=x * residuals)
        np.divide(pulls, others, out=pulls, where=others > UNIDENTIFIED * xx)
        pulls[gone] = -np.inf
        code = int(pulls.argmax())
        gone[code] = True
        rows = np.flatnonzero(groups == code)
        left[rows] = False
        gram += basis[rows].T @ basis[rows]
        right += basis[rows].T @ columns[rows]
        x, y = ((columns + basis @ _solved(gram, right)[0]) * left[:, None]).T
        xx = float(x @ x)
        if xx <= UNIDENTIFIED * term.xx:
            break
        slope = float(x @ y) / xx
        residuals = y - slope * x
        error = float(np.linalg.norm(np.bincount(clusters, weights=x * residuals))) / xx
        tested = _tested(regression, term, slope, error, _counts_of(regression, left, clusters))
        if tested is None:
            break
        p_value = tested[1]
        removed.append(code)
        if significance is None and p_value > LEVEL:
            significance = len(removed)
        if sign is None and direction * slope < 0:
            sign = len(removed)
    needed = max(significance or 0, sign or 0)
    return FewestToChange(significance, sign, len(labels), tuple(int(labels[code]) for code in removed[:needed]))


class _Term(NamedTuple):
    """A regressor and the outcome, less the effects and the other regressors, in units of the design."""

    x: Floats
    y: Floats
    xx: float
    slope: float
    residuals: Floats
    unclustered_error: float
    unit: float


def _term(regression: PartialledOut, position: int) -> _Term:
    """Project a regressor and the outcome off the other regressors; NotEstimable if the fit is exact."""
    rows, slopes, residuals = _least_squares(regression)
    xx = 1 / float(rows[:, position] @ rows[:, position])
    x, slope = rows[:, position] * xx, float(slopes[position])
    y = residuals + slope * x
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(regression.outcome):
        raise NotEstimable("no_error_of_exact_fit")
    unclustered_error = float(np.linalg.norm(x * residuals)) / xx
    return _Term(x, y, xx, slope, residuals, unclustered_error, float(regression.units[position]))


@lru_cache(maxsize=2)  # the terms of a regression follow each other
def _least_squares(regression: PartialledOut) -> tuple[Floats, Floats, Floats]:
    """Return the pseudo-inverse of the design, shape (n, k), slopes and residuals.

    A column of it is what the other regressors leave of a regressor, over the square of its length.
    """
    basis, triangle = np.linalg.qr(regression.design)
    inverse = np.linalg.inv(triangle)
    slopes = inverse @ (basis.T @ regression.outcome)
    return basis @ inverse.T, slopes, regression.outcome - regression.design @ slopes


def _influence(regression: PartialledOut) -> Floats:
    """Return each row's part in the estimation error of the slopes, in units of the design, shape (n, k)."""
    design = regression.design
    bread = np.linalg.inv(design.T @ design)
    residuals = regression.outcome - design @ (bread @ (design.T @ regression.outcome))
    influence: Floats = (design * residuals[:, None]) @ bread
    return influence


def _inference(
    term: _Term, variance: float, degrees_of_freedom: int, clusters: Codes, warnings: tuple[Sentence, ...] = ()
) -> Inference:
    """Return the test and interval of a slope from its variance in units of the design; NotEstimable if it is zero."""
    leverages = np.bincount(clusters, weights=term.x**2) / term.xx
    if variance <= (CANCELLED * term.unclustered_error) ** 2:
        raise NotEstimable("no_cluster_variance", count=len(leverages))
    estimate, std_error = term.slope * term.unit, float(np.sqrt(variance)) * term.unit
    statistic = estimate / std_error
    half_width = float(special.stdtrit(degrees_of_freedom, 1 - LEVEL / 2)) * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        degrees_of_freedom=float(degrees_of_freedom),
        p_value=2 * float(special.stdtr(degrees_of_freedom, -abs(statistic))),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        cluster_count=len(leverages),
        effective_cluster_count=1 / float(leverages @ leverages),
        largest_partial_leverage=float(leverages.max()),
        warnings=warnings,
    )


def _clustered(regression: PartialledOut, term: _Term, clusters: Codes) -> Inference:
    """Return crv1 of a term, for clusters 0, 1, ... in which the entities are nested."""
    count = int(clusters.max()) + 1
    n, k = regression.design.shape
    factor = cluster_factor(n, count, k, regression.time_count)
    scores = np.bincount(clusters, weights=term.x * term.residuals)
    return _inference(term, factor * float(scores @ scores) / term.xx**2, count - 1, clusters)


def _jackknife(regression: PartialledOut, position: int, clusters: Codes, *, about_mean: bool) -> Inference:
    """Return crv3, or crv3j if the squares are taken about the mean."""
    clusters = _nested(regression, clusters)
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    term = _term(regression, position)
    deleted = _deleted(term, _basis(regression, position), clusters)
    lost = deleted.xx <= UNIDENTIFIED * term.xx
    if lost.any():
        raise NotEstimable("one_cluster_identifies", count=count)
    slopes = deleted.xy / deleted.xx
    deviations = slopes - (slopes.mean() if about_mean else term.slope)
    return _inference(term, (count - 1) / count * float(deviations @ deviations), count - 1, clusters)


def _basis(regression: PartialledOut, position: int) -> Floats:
    """Return an orthonormal basis of the periods and other regressors, less the entities' means, shape (n, r)."""
    others = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
    return np.column_stack([regression.effects.period_basis, others])


class _Deleted(NamedTuple):
    """A term without each of G groups: moments of what is left, and how the other rows move."""

    xx: Floats  # (G,)
    xy: Floats
    shift_x: Floats  # (r, G): x of the other rows moves by basis @ shift_x
    shift_y: Floats


def _deleted(term: _Term, basis: Floats, groups: Codes) -> _Deleted:
    """Take each group's rows out of the normal equations of x and y on the basis, whole entities at a time.

    In the orthonormal basis R the equations without the rows of g are (I - R_g'R_g) a = R_g'x_g, where a is by how
    much the coefficients of x on R move. With R_gR_g', as large as g, the same is found: wide bases take that way.
    """
    count, width = int(groups.max()) + 1, basis.shape[1]
    rows_of = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    columns = np.column_stack([term.x, term.y])
    moments = np.empty((count, 2))
    shifts = np.empty((count, width, 2))
    narrow = [code for code, rows in enumerate(rows_of) if width <= max(FEW_COLUMNS, len(rows))]
    if narrow:
        parts = [(basis[rows_of[code]], columns[rows_of[code]]) for code in narrow]
        shifts[narrow], removed = _solved(
            np.stack([part.T @ part for part, _ in parts]), np.stack([part.T @ values for part, values in parts])
        )
        moments[narrow] = removed[:, 0] + np.stack([values[:, 0] @ values for _, values in parts])
    for code in set(range(count)).difference(narrow):
        part, values = basis[rows_of[code]], columns[rows_of[code]]
        solved, removed = _solved(part @ part.T, values)
        shifts[code], moments[code] = part.T @ solved, removed[0]
    return _Deleted(
        term.xx - moments[:, 0], float(term.x @ term.y) - moments[:, 1], shifts[:, :, 0].T, shifts[:, :, 1].T
    )


def _solved(gram: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return a in (I - gram) a = right, and right'a; stacks of matrices, too.

    Along a direction that is gone with the group, x and y have no component: a has none either.
    """
    shares, directions = np.linalg.eigh(gram)
    left = 1 - shares
    inverse = np.divide(1.0, left, out=np.zeros_like(left), where=left > LOST)
    components = np.swapaxes(directions, -1, -2) @ right
    solved = inverse[..., None] * components
    return directions @ solved, np.swapaxes(components, -1, -2) @ solved


def _counts_without(regression: PartialledOut, groups: Codes, clusters: Codes) -> tuple[Codes, Codes, Codes]:
    """Return rows, clusters and periods that are left without each group, singletons dropped, each of shape (G,)."""

    def table(codes: Codes) -> Codes:
        width = int(codes.max()) + 1
        own = np.bincount(groups * width + codes, minlength=(int(groups.max()) + 1) * width).reshape(-1, width)
        left: Codes = np.bincount(codes) - own
        return left

    of_times, of_clusters = table(regression.times), table(clusters)
    n, left_clusters, left_times = of_times.sum(axis=1), (of_clusters > 0).sum(axis=1), (of_times > 0).sum(axis=1)
    for code in np.flatnonzero((of_times == 1).any(axis=1)):
        n[code], left_clusters[code], left_times[code] = _counts_of(regression, groups != code, clusters)
    return n, left_clusters, left_times


def _counts_of(regression: PartialledOut, left: NDArray[np.bool_], clusters: Codes) -> tuple[int, int, int]:
    """Return how many rows, clusters and periods the rows that are left have, singletons dropped."""
    rows = np.flatnonzero(left)
    rows = rows[rows_without_singletons(regression.entities[rows], regression.times[rows])]
    of_clusters, of_times = (int((np.bincount(codes[rows]) > 0).sum()) for codes in (clusters, regression.times))
    return len(rows), of_clusters, of_times


def _tested(
    regression: PartialledOut, term: _Term, slope: float, error: float, counts: tuple[int, int, int]
) -> tuple[float, float] | None:
    """Return clustered error and p of a slope, both in units of the design, from the error without its factor.

    None if fewer than two clusters or no degree of freedom are left, or if the rest leaves no variance. The counts are
    of rows, clusters and periods.
    """
    (n, cluster_count, times), k = counts, regression.design.shape[1]
    if cluster_count < 2 or n <= k + times or error <= CANCELLED * term.unclustered_error:
        return None
    error = float(np.sqrt(cluster_factor(n, cluster_count, k, times)) * error)
    return error, 2 * float(special.stdtr(cluster_count - 1, -abs(slope) / error))


def _renumbered(codes: Codes) -> Codes:
    """Return the codes that are left as 0, 1, ... without gaps, shape (n,)."""
    numbered: Codes = (np.cumsum(np.bincount(codes) > 0) - 1)[codes]
    return numbered


def _is_nested(inner: Codes, outer: Codes) -> bool:
    """Tell whether each inner group, 0, 1, ..., lies in one outer group."""
    first = np.zeros(int(inner.max()) + 1, dtype=np.intp)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def _nested(regression: PartialledOut, codes: Codes) -> Codes:
    """Return codes as 0, 1, ..., or raise NotEstimable if an entity lies in two groups."""
    codes = np.unique(codes, return_inverse=True)[1]
    if not _is_nested(regression.entities, codes):
        pairs = np.unique(np.column_stack([regression.entities, codes]), axis=0)[:, 0]
        raise NotEstimable("entities_not_nested", count=int((np.bincount(pairs) > 1).sum()))
    return codes


def _summed(columns: Floats, codes: Codes) -> Floats:
    """Return the sums of columns, shape (n, m), within each group, shape (G, m)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in columns.T])
