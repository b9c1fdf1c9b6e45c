"""Errors of one coefficient by clusters of any kind, and what the coefficient is without each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimators.columns import Codes, Floats, renumbered
from ai_manufacturing.estimators.fixed_effects import (
    ABSORBED,
    CANCELLED,
    COLLINEAR,
    EXACT,
    Effects,
    PartialledOut,
    cluster_factor,
    rows_without_singletons,
)
from ai_manufacturing.estimators.inference import LEVEL, Inference, by_t, two_sided
from ai_manufacturing.estimators.not_estimable import NotEstimable

LOST = 1e-10  # a direction of which less than this share is left without a cluster is gone with it
SAFE = (
    0.999  # no direction has more than this share in clusters whose Gram matrix has a smaller norm
)
NUMBERS_AT_ONCE = 2**21  # of the matrices of pairs of clusters
UNIDENTIFIED = 1e-9  # a coefficient is unidentified if less than this share of its regressor's variation remains
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
        Those of the regression without the group; None if the other groups do not identify the
        coefficient. The last two are None too if fewer than two clusters are left, or if those left
        leave no variance.
    """

    group: int
    estimate: float | None
    std_error: float | None
    p_value: float | None


def crv1(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return the usual clustered error of a coefficient, for clusters in which the entities are nested.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    position : int
        Index of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row; any codes.

    Returns
    -------
    Inference
        With the factor of cluster_factor and t(G-1): what fixed_effects.fit gives with these
        clusters.

    Raises
    ------
    NotEstimable
        If an entity lies in two clusters, there are fewer than two, the outcome is fitted exactly,
        or the variance is zero because the scores cancel in every cluster.

    Notes
    -----
    The regressor's partial leverages h_g are shares of what the effects and the other regressors
    leave of it. Carter, Schnepel and Steigerwald's G*, with independent errors and the effects
    partialled out as summclust has it, is then 1 / sum h_g^2: all G clusters if the shares are
    equal, one if one cluster has all.

    References
    ----------
    Carter, Schnepel and Steigerwald (2017), Review of Economics and Statistics 99(4); MacKinnon,
    Nielsen and Webb (2023), "Leverage, influence, and the jackknife in clustered regression
    models", Stata Journal 23(4).
    """
    clusters = _nested(regression, clusters)
    return _clustered(regression, _term(regression, position), clusters)


def crv3(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return the cluster jackknife error of a coefficient, centred at the estimate.

    Parameters, and reasons for NotEstimable, are those of crv1, and one more: without one of the
    clusters the coefficient is not identified. Such a cluster is not passed over, as the sum would
    then leave out the one on which all depends.

    Returns
    -------
    Inference
        With the variance (G-1)/G sum_g (b_(g) - b)^2 over the estimates without each cluster, and
        t(G-1). No other small-sample factor.

    Notes
    -----
    Nothing is fitted again. Period effects and the other regressors are in the normal equations
    from which a cluster's rows are taken out, so that both are those of the regression without the
    cluster. What only that cluster identifies of them (the years of its own province) goes with it.

    References
    ----------
    MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for
    cluster-robust inference", Journal of Applied Econometrics 38(5): CRV3.
    """
    clusters = _nested(regression, clusters)
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    term = _term(regression, position)
    deleted = _deleted(term, _basis(regression, position), clusters)
    if (deleted.xx <= UNIDENTIFIED * term.xx).any():
        raise NotEstimable("one_cluster_identifies", count=count)
    deviations = deleted.xy / deleted.xx - term.slope
    return _inference(
        term, (count - 1) / count * float(deviations @ deviations), count - 1, clusters
    )


def averaged(regression: PartialledOut, positions: Sequence[int]) -> PartialledOut:
    """Return the same regression written so that one slope is the average of several.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    positions : sequence of int
        Indices of the regressors whose slopes are averaged.

    Returns
    -------
    PartialledOut
        The average is the slope at the first of the positions; fit and residuals are unchanged.

    Notes
    -----
    With a = sum b_p / m, the term sum x_p b_p is m x_1 a + sum over the others of (x_p - x_1) b_p.
    """
    first, *others = positions
    design, units = regression.design.copy(), regression.units.copy()
    columns = design[:, positions] / units[positions]
    units[positions] = 1.0
    design[:, first] = len(positions) * columns[:, 0]
    design[:, others] = columns[:, 1:] - columns[:, :1]
    return replace(regression, design=design, units=units)


def leave_out_jackknifed(regression: PartialledOut, position: int, groups: Codes) -> list[LeftOut]:
    """Return the coefficient without each group in turn, with the jackknife error of the other groups.

    Parameters
    ----------
    regression, position
        As in crv1.
    groups : ndarray of int, shape (n,)
        Group of each row, in which the entities are nested: provinces.

    Returns
    -------
    list of LeftOut
        In the order of the codes: what crv3 gives for the rows of the other groups.

    Raises
    ------
    NotEstimable
        If an entity lies in two groups, or the outcome is fitted exactly.

    Notes
    -----
    The estimates without each pair of groups are all that is needed, and each takes the two groups'
    rows out of the normal equations.
    """
    labels = np.unique(groups)
    groups = _nested(regression, groups)
    term, basis = _term(regression, position), _basis(regression, position)
    count, width = len(labels), basis.shape[1]
    columns = np.column_stack([term.x, term.y])
    rows_of = _rows_of(groups)
    grams, rights = (
        np.stack([basis[rows].T @ of[rows] for rows in rows_of]) for of in (basis, columns)
    )
    squares = np.stack([columns[rows, 0] @ columns[rows] for rows in rows_of])
    first, second = np.triu_indices(count)
    moments = np.empty((len(first), 2))
    for start in range(0, len(first), max(NUMBERS_AT_ONCE // width**2, 1)):
        part = slice(start, start + max(NUMBERS_AT_ONCE // width**2, 1))
        one, other = first[part], second[part]
        is_pair = (one != other).astype(float)[:, None]
        removed = _solved(
            grams[one] + is_pair[..., None] * grams[other],
            rights[one] + is_pair[..., None] * rights[other],
        )[1]
        moments[part] = squares[one] + is_pair * squares[other] + removed[:, 0]
    remaining = np.array([term.xx, term.x @ term.y]) - moments
    slopes = np.full((count, count), np.nan)
    identified = remaining[:, 0] > UNIDENTIFIED * term.xx
    one, other = first[identified], second[identified]
    slopes[one, other] = slopes[other, one] = remaining[identified, 1] / remaining[identified, 0]
    answers = []
    for code, label in enumerate(labels):
        others = np.delete(slopes[code], code)
        slope, freedom = slopes[code, code], count - 2
        estimate = None if np.isnan(slope) else float(slope * term.unit)
        error = np.sqrt(freedom / max(count - 1, 1)) * float(np.linalg.norm(others - slope))
        if freedom < 1 or np.isnan(error) or error <= CANCELLED * term.unclustered_error:
            answers.append(LeftOut(int(label), estimate, None, None))
            continue
        p_value = float(two_sided(slope / error, freedom))
        answers.append(LeftOut(int(label), estimate, error * term.unit, p_value))
    return answers


def leave_out(
    regression: PartialledOut, position: int, *, most: int | None = None
) -> list[LeftOut]:
    """Return the coefficient without each entity in turn.

    Estimate, error clustered by entity, and p.

    Parameters
    ----------
    regression, position
        As in crv1.
    most : int, optional
        Only this many entities, those without which the estimate moves most. The default is all.

    Returns
    -------
    list of LeftOut
        In the order of the codes: what fixed_effects.fit gives for the rows of the other entities,
        but that a regressor other than this one which only the entity identifies goes with it and
        is still counted.

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly.
    """
    entities = regression.entities
    firsts = np.flatnonzero(np.diff(entities, prepend=-1))
    term = _term(regression, position)
    basis = _basis(regression, position)
    deleted = _deleted(term, basis, entities)
    identified = deleted.xx > UNIDENTIFIED * term.xx

    slopes = np.full(len(firsts), np.nan)
    np.divide(deleted.xy, deleted.xx, out=slopes, where=identified)
    moves = np.where(identified, np.abs(slopes - term.slope), -1.0)
    chosen = np.sort(np.argsort(-moves, kind="stable")[:most])
    lengths = np.empty(len(chosen))
    for start in range(0, len(chosen), GROUPS_AT_ONCE):
        part = chosen[start : start + GROUPS_AT_ONCE]
        x, scores = basis @ deleted.shift_x[:, part], basis @ deleted.shift_y[:, part]
        x += term.x[:, None]
        scores += term.y[:, None]
        scores -= slopes[part] * x
        scores *= x
        scores[entities[:, None] == part] = 0.0
        lengths[start : start + GROUPS_AT_ONCE] = np.linalg.norm(
            np.add.reduceat(scores, firsts, axis=0), axis=0
        )

    answers = []
    counts = _counts_without(regression)
    for code, length in zip(chosen.tolist(), lengths, strict=True):
        if not identified[code]:
            answers.append(LeftOut(code, None, None, None))
            continue
        tested = _tested(
            regression, term, slopes[code], float(length / deleted.xx[code]), counts[code]
        )
        error_and_p = (None, None) if tested is None else (tested[0] * term.unit, tested[1])
        answers.append(LeftOut(code, float(slopes[code] * term.unit), *error_and_p))
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
        What fixed_effects.partialled_out makes of the other rows, singletons dropped again; factor
        and degrees of freedom are those of clustered errors.
    remaining : ndarray of int, shape (n',)
        Positions among the n, by which codes of clusters are taken along.

    Raises
    ------
    NotEstimable
        If nothing is left to estimate from, or the rest does not identify every coefficient.
    """
    remaining = np.flatnonzero(~rows)
    remaining = (
        remaining[
            rows_without_singletons(regression.entities[remaining], regression.times[remaining])
        ]
        if len(remaining)
        else remaining
    )
    if len(remaining) == 0:
        raise NotEstimable("nothing_left_without", count=int(rows.sum()))
    entities, times, clusters = (
        renumbered(codes[remaining])
        for codes in (regression.entities, regression.times, regression.clusters)
    )
    n, k = len(remaining), regression.design.shape[1]
    count = int(clusters.max()) + 1
    factor = cluster_factor(n, count, k, int(times.max()) + 1)
    rest = replace(
        regression,
        centred_outcome=regression.centred_outcome[remaining]
        - regression.centred_outcome[remaining].mean(),
        entities=entities,
        times=times,
        clusters=clusters,
        effects=Effects(entities, times),
        index=regression.index[remaining],
        singletons_dropped=regression.singletons_dropped + len(rows) - int(rows.sum()) - n,
        factor=factor,
        degrees_of_freedom=count - 1,
    )
    before = np.column_stack([regression.outcome[remaining], regression.design[remaining]])
    within = rest.effects.removed_from(before)
    lengths = np.linalg.norm(within, axis=0)
    if (lengths <= ABSORBED * np.linalg.norm(before - before.mean(axis=0), axis=0)).any():
        raise NotEstimable("not_identified_without", count=int(rows.sum()))
    design = within[:, 1:] / lengths[1:]
    if np.linalg.svd(design, compute_uv=False)[-1] <= COLLINEAR:
        raise NotEstimable("not_identified_without", count=int(rows.sum()))
    return (
        replace(rest, outcome=within[:, 0], design=design, units=regression.units / lengths[1:]),
        remaining,
    )


def fewest_to_change(regression: PartialledOut, position: int) -> list[int] | None:
    """Remove the most influential entity again and again, until p, by errors clustered by entity, is above .05.

    Parameters
    ----------
    regression, position
        As in crv1.

    Returns
    -------
    list of int or None
        Codes of the entities without which p is above .05, in the order of their removal; empty if
        it is with all of them, None if it would take more than half of them, or if the rest
        identifies nothing. Their number is an upper bound of the fewest: another set that is as
        small may do, but a smaller one was not found.

    Raises
    ------
    NotEstimable
        As crv1, for the regression with all entities.

    Notes
    -----
    After each removal the slope and its error are those of the rest, as in leave_out, and the
    entity is chosen which then pulls the estimate most away from zero: by its score over the
    variation of the others, which takes effects and other slopes as given. That approximation
    chooses the order only.

    References
    ----------
    Broderick, Giordano and Meager (2020), "An automatic finite-sample robustness metric", arXiv
    2011.14999.
    """
    entities = regression.entities
    term = _term(regression, position)
    whole = _clustered(regression, term, entities)
    if whole.p_value is not None and whole.p_value > LEVEL:
        return []
    basis, columns = _basis(regression, position), np.column_stack([term.x, term.y])
    gram, right = np.zeros((basis.shape[1], basis.shape[1])), np.zeros((basis.shape[1], 2))
    removed: list[int] = []
    remaining = np.ones(len(entities), dtype=bool)
    x, xx, residuals = term.x, term.xx, term.residuals
    while len(removed) < int(MOST * regression.entity_count):
        others = xx - np.bincount(entities, weights=x**2)
        pulls = np.sign(whole.estimate) * np.bincount(entities, weights=x * residuals)
        np.divide(pulls, others, out=pulls, where=others > UNIDENTIFIED * xx)
        pulls[removed] = -np.inf
        removed.append(int(pulls.argmax()))
        rows = np.flatnonzero(entities == removed[-1])
        remaining[rows] = False
        gram += basis[rows].T @ basis[rows]
        right += basis[rows].T @ columns[rows]
        x, y = ((columns + basis @ _solved(gram, right)[0]) * remaining[:, None]).T
        xx = float(x @ x)
        if xx <= UNIDENTIFIED * term.xx:
            return None
        slope = float(x @ y) / xx
        residuals = y - slope * x
        error = float(np.linalg.norm(np.bincount(entities, weights=x * residuals))) / xx
        tested = _tested(regression, term, slope, error, _counts_of(regression, remaining))
        if tested is None:
            return None
        if tested[1] > LEVEL:
            return removed
    return None


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
    """Project a regressor and the outcome off the other regressors.

    NotEstimable if the fit is exact.
    """
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


def _inference(term: _Term, variance: float, degrees_of_freedom: int, clusters: Codes) -> Inference:
    """Return the test and interval of a slope from its variance in units of the design.

    NotEstimable if it is zero.
    """
    leverages = np.bincount(clusters, weights=term.x**2) / term.xx
    if variance <= (CANCELLED * term.unclustered_error) ** 2:
        raise NotEstimable("no_cluster_variance", count=len(leverages))
    return by_t(
        term.slope * term.unit,
        float(np.sqrt(variance)) * term.unit,
        degrees_of_freedom,
        cluster_count=len(leverages),
        effective_cluster_count=1 / float(leverages @ leverages),
        largest_partial_leverage=float(leverages.max()),
    )


def _clustered(regression: PartialledOut, term: _Term, clusters: Codes) -> Inference:
    """Return crv1 of a term, for clusters 0, 1, ... in which the entities are nested."""
    count = int(clusters.max()) + 1
    n, k = regression.design.shape
    factor = cluster_factor(n, count, k, regression.time_count)
    scores = np.bincount(clusters, weights=term.x * term.residuals)
    return _inference(term, factor * float(scores @ scores) / term.xx**2, count - 1, clusters)


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

    In the orthonormal basis R the equations without the rows of g are (I - R_g'R_g) a = R_g'x_g,
    where a is by how much the coefficients of x on R move. With R_gR_g', as large as g, the same is
    found: wide bases take that way.
    """
    count, width = int(groups.max()) + 1, basis.shape[1]
    rows_of = _rows_of(groups)
    columns = np.column_stack([term.x, term.y])
    moments = np.empty((count, 2))
    shifts = np.empty((count, width, 2))
    narrow = [code for code, rows in enumerate(rows_of) if width <= max(FEW_COLUMNS, len(rows))]
    if narrow:
        parts = [(basis[rows_of[code]], columns[rows_of[code]]) for code in narrow]
        shifts[narrow], removed = _solved(
            np.stack([part.T @ part for part, _ in parts]),
            np.stack([part.T @ values for part, values in parts]),
        )
        moments[narrow] = removed[:, 0] + np.stack([values[:, 0] @ values for _, values in parts])
    for code in set(range(count)).difference(narrow):
        part, values = basis[rows_of[code]], columns[rows_of[code]]
        solved, removed = _solved(part @ part.T, values)
        shifts[code], moments[code] = part.T @ solved, removed[0]
    return _Deleted(
        term.xx - moments[:, 0],
        float(term.x @ term.y) - moments[:, 1],
        shifts[:, :, 0].T,
        shifts[:, :, 1].T,
    )


def _rows_of(groups: Codes) -> list[Codes]:
    """Return the rows of each group 0, 1, ..."""
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])


def _solved(gram: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return a in (I - gram) a = right, and right'a; stacks of matrices, too.

    Along a direction that is gone with the group, x and y have no component: a has none either.
    """
    if (np.linalg.norm(gram, axis=(-2, -1)) < SAFE).all():
        direct = np.linalg.solve(np.eye(gram.shape[-1]) - gram, right).astype(float, copy=False)
        return direct, np.swapaxes(right, -1, -2) @ direct
    shares, directions = np.linalg.eigh(gram)
    remaining = 1 - shares
    inverse = np.divide(1.0, remaining, out=np.zeros_like(remaining), where=remaining > LOST)
    components = np.swapaxes(directions, -1, -2) @ right
    solved = inverse[..., None] * components
    return directions @ solved, np.swapaxes(components, -1, -2) @ solved


def _counts_without(regression: PartialledOut) -> list[tuple[int, int, int]]:
    """Return rows, entities and periods that are left without each entity, singletons dropped."""
    cells = np.zeros((regression.entity_count, regression.time_count), dtype=np.intp)
    cells[regression.entities, regression.times] = 1
    others = cells.sum(axis=0) - cells
    counts = np.column_stack(
        [others.sum(axis=1), np.full(len(cells), len(cells) - 1), (others > 0).sum(axis=1)]
    )
    for code in np.flatnonzero((others == 1).any(axis=1)):
        counts[code] = _counts_of(regression, regression.entities != code)
    return [(n, entities, times) for n, entities, times in counts.tolist()]


def _counts_of(regression: PartialledOut, remaining: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return how many rows, entities and periods the remaining rows have, singletons dropped."""
    rows = np.flatnonzero(remaining)
    rows = rows[rows_without_singletons(regression.entities[rows], regression.times[rows])]
    return (
        len(rows),
        len(np.unique(regression.entities[rows])),
        len(np.unique(regression.times[rows])),
    )


def _tested(
    regression: PartialledOut, term: _Term, slope: float, error: float, counts: tuple[int, int, int]
) -> tuple[float, float] | None:
    """Return clustered error and p of a slope, both in units of the design, from the error without its factor.

    None if fewer than two clusters or no degree of freedom are left, or if the rest leaves no
    variance. The counts are of rows, clusters and periods.
    """
    (n, cluster_count, times), k = counts, regression.design.shape[1]
    if cluster_count < 2 or n <= k + times or error <= CANCELLED * term.unclustered_error:
        return None
    error = float(np.sqrt(cluster_factor(n, cluster_count, k, times)) * error)
    return error, float(two_sided(slope / error, cluster_count - 1))


def _is_nested(inner: Codes, outer: Codes) -> bool:
    """Tell whether each inner group, 0, 1, ..., lies in one outer group."""
    first = np.zeros(int(inner.max()) + 1, dtype=np.intp)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def _nested(regression: PartialledOut, codes: Codes) -> Codes:
    """Return codes as 0, 1, ..., or raise NotEstimable if an entity lies in two groups."""
    codes = renumbered(codes)
    if not _is_nested(regression.entities, codes):
        pairs = np.unique(np.column_stack([regression.entities, codes]), axis=0)[:, 0]
        raise NotEstimable("entities_not_nested", count=int((np.bincount(pairs) > 1).sum()))
    return codes
