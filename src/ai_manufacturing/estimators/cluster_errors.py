"""Errors of one coefficient by clusters, and what the coefficient is without each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators.columns import Codes, Floats, renumbered
from ai_manufacturing.estimators.fixed_effects import (
    CANCELLED,
    PartialledOut,
    cluster_factor,
    least_squares,
    partialled_out,
    rows_without_singletons,
)
from ai_manufacturing.estimators.inference import LEVEL, Inference, by_t, two_sided
from ai_manufacturing.estimators.not_estimable import NotEstimable

# a direction of which less than this share is left without a cluster is gone with it
LOST = 1e-10
# no direction has more than this share in clusters whose Gram matrix has a smaller norm
SAFE = 0.999
# a coefficient is unidentified if less than this share of its regressor's variation remains
UNIDENTIFIED = 1e-9
FEW_COLUMNS = 32  # as many as year effects and controls have, and province-years have not
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
    """Return the usual clustered error of a coefficient.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    position : int
        Index of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row, any codes; the entities are nested in them.

    Returns
    -------
    Inference
        With the factor of cluster_factor and t(G-1): what fixed_effects.fit gives with these
        clusters.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, the outcome is fitted exactly, or the variance is zero
        because the scores cancel in every cluster.

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
    clusters = renumbered(clusters)
    term = _term(regression, position)
    n, k = regression.design.shape
    factor = cluster_factor(n, int(clusters.max()) + 1, k, regression.time_count)
    scores = np.bincount(clusters, weights=term.x * term.residuals)
    return _inference(term, factor * float(scores @ scores) / term.xx**2, clusters)


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
    clusters = renumbered(clusters)
    term = _term(regression, position)
    return _inference(
        term, _jackknifed(_moves_without_each(regression, position, term, clusters)), clusters
    )


def crv3_of_difference(
    regression: PartialledOut,
    rest: PartialledOut,
    position: int,
    clusters: Codes,
    remaining: Codes,
) -> Inference:
    """Return how far a coefficient lies from that of a related regression, with a jackknife error.

    The other regression lacks some rows, or has more effects. The two share most of their rows, so
    the error of either says nothing of how far they may lie apart. The error of the difference is
    that of the difference itself, made anew without each cluster.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    rest : PartialledOut
        The other regression: that of `without`, or of fixed_effects.with_entity_trends.
    remaining : ndarray of int, shape (n',)
        Positions of its rows among the n.
    position : int
        Index of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row of regression, any codes; the entities are nested in them.

    Returns
    -------
    Inference
        The estimate is that of rest less that of regression; the variance is
        (G-1)/G sum_g (d_(g) - d)^2 over the differences without each of the G clusters of
        regression, with t(G-1). No error, test or interval if the variance is zero.

    Raises
    ------
    NotEstimable
        As crv3, for either regression.
    """
    clusters = renumbered(clusters)
    whole, other = _term(regression, position), _term(rest, position)
    moves = -whole.unit * _moves_without_each(regression, position, whole, clusters)
    # Without a cluster of which no row is left, the rest is what it was.
    labels, codes = np.unique(clusters[remaining], return_inverse=True)
    moves[labels] += other.unit * _moves_without_each(rest, position, other, codes)
    difference = other.slope * other.unit - whole.slope * whole.unit
    error = float(np.sqrt(_jackknifed(moves)))
    if error <= CANCELLED * whole.unclustered_error * whole.unit:
        return Inference(estimate=difference)
    return by_t(difference, error, len(moves) - 1, cluster_count=len(moves))


def crv3_of_ratio(
    numerator: PartialledOut, denominator: PartialledOut, position: int, clusters: Codes
) -> Inference:
    """Return the ratio of two slopes on one design, with its cluster jackknife error.

    With one instrument the slope of two-stage least squares is the ratio of that of the reduced
    form to that of the first stage, with and without each cluster.

    Parameters
    ----------
    numerator, denominator : PartialledOut
        Regressions of two outcomes on the same regressors, in the same rows.
    position : int
        Index of the regressor: the instrument.
    clusters : ndarray of int, shape (n,)
        Cluster of each row, any codes; the entities are nested in them.

    Returns
    -------
    Inference
        With the variance (G-1)/G sum_g (b_(g) - b)^2 over the ratios without each cluster, and
        t(G-1).

    Raises
    ------
    NotEstimable
        As crv3, for either regression.
    """
    clusters = renumbered(clusters)
    above, below = (_term(regression, position) for regression in (numerator, denominator))
    without_each = [
        (term.slope + _moves_without_each(regression, position, term, clusters)) * term.unit
        for regression, term in ((numerator, above), (denominator, below))
    ]
    ratio = above.slope * above.unit / (below.slope * below.unit)
    moves = without_each[0] / without_each[1] - ratio
    count = len(moves)
    return by_t(ratio, float(np.sqrt(_jackknifed(moves))), count - 1, cluster_count=count)


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
    """Return the coefficient without each group, with the jackknife error of the other groups.

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
        If the outcome is fitted exactly.

    Notes
    -----
    The estimates without each pair of groups are all that is needed, and each takes the two groups'
    rows out of the normal equations.
    """
    labels, groups = np.unique(groups, return_inverse=True)
    term, basis = _term(regression, position), _basis(regression, position, groups)
    rows_of, columns = _rows_of(groups), np.column_stack([term.x, term.y])
    count = len(labels)
    grams = np.stack([basis[rows].T @ basis[rows] for rows in rows_of])
    rights = np.stack([basis[rows].T @ columns[rows] for rows in rows_of])
    squares = np.stack([term.x[rows] @ columns[rows] for rows in rows_of])
    slopes = np.full((count, count), np.nan)  # without a row's group and a column's
    for code in range(count):
        pairs = [sums[code:] + sums[code] for sums in (grams, rights, squares)]
        for pair, sums in zip(pairs, (grams, rights, squares), strict=True):
            pair[0] = sums[code]  # the group alone
        gram, right, square = pairs
        removed = _solved(gram, right)[1][:, 0]
        xx, xy = (term.x @ columns - square - removed).T
        np.divide(xy, xx, out=slopes[code, code:], where=xx > UNIDENTIFIED * term.xx)
        slopes[code:, code] = slopes[code, code:]
    answers = []
    for code, label in enumerate(labels):
        others = np.delete(slopes[code], code)
        slope, freedom = slopes[code, code], count - 2
        estimate = None if np.isnan(slope) else float(slope * term.unit)
        length = float(np.linalg.norm(others - slope))
        error = np.sqrt(freedom / max(count - 1, 1)) * length
        if freedom < 1 or np.isnan(error) or error <= CANCELLED * term.unclustered_error:
            answers.append(LeftOut(int(label), estimate, None, None))
            continue
        p_value = float(two_sided(slope / error, freedom))
        answers.append(LeftOut(int(label), estimate, error * term.unit, p_value))
    return answers


def leave_out(
    regression: PartialledOut, position: int, *, most: int | None = None
) -> list[LeftOut]:
    """Return the coefficient without each entity in turn, with its error clustered by entity.

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
    term = _term(regression, position)
    basis = _basis(regression, position, regression.entities)
    xx, xy = _without_each(term, basis, regression.entities).T
    identified = xx > UNIDENTIFIED * term.xx
    slopes = np.full(len(xx), np.nan)
    np.divide(xy, xx, out=slopes, where=identified)
    moves = np.where(identified, np.abs(slopes - term.slope), -1.0)
    answers = []
    for code in np.sort(np.argsort(-moves, kind="stable")[:most]).tolist():
        if not identified[code]:
            answers.append(LeftOut(code, None, None, None))
            continue
        rest = _rest(regression, term, basis, regression.entities != code)
        error = None if rest.error is None else rest.error * term.unit
        answers.append(LeftOut(code, float(slopes[code] * term.unit), error, rest.p_value))
    return answers


def without(regression: PartialledOut, rows: NDArray[np.bool_]) -> tuple[PartialledOut, Codes]:
    """Return the regression without some rows, and the positions of the rows that are left.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    rows : ndarray of bool, shape (n,)
        Rows to leave out: the city-years that the gate flags.

    Returns
    -------
    regression : PartialledOut
        What fixed_effects.partialled_out makes of the other rows, singletons dropped again. Its
        outcome has lost the effects of all rows, which changes no slope.
    remaining : ndarray of int, shape (n',)
        Positions among the n, by which codes of clusters are taken along.

    Raises
    ------
    NotEstimable
        If the other rows do not identify every coefficient.
    """
    terms = [f"regressor {j}" for j in range(regression.design.shape[1])]
    sample = pd.DataFrame(regression.design, columns=terms).assign(
        outcome=regression.outcome,
        city_id=regression.entities,
        year=regression.times,
        cluster=regression.clusters,
    )
    try:
        rest = partialled_out(sample[~rows], "outcome", terms, cluster="cluster")
    except NotEstimable as finding:
        raise NotEstimable("not_identified_without", count=int(rows.sum())) from finding
    return replace(rest, units=regression.units * rest.units), rest.index.to_numpy()


def fewest_to_change(regression: PartialledOut, position: int) -> list[int] | None:
    """Remove the most influential entity again and again, until p is above .05.

    Parameters
    ----------
    regression, position
        As in crv1.

    Returns
    -------
    list of int or None
        Codes of the entities without which p, by errors clustered by entity, is above .05, in the
        order of their removal. Empty if p is above .05 with all of them; None if it would take more
        than half of them, or if the rest identifies nothing. Their number is an upper bound of the
        fewest: another set that is as small may do, but a smaller one was not found.

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
    whole = crv1(regression, position, entities)
    if whole.p_value is not None and whole.p_value > LEVEL:
        return []
    term = _term(regression, position)
    basis = _basis(regression, position, entities)
    removed: list[int] = []
    rest = _Rest(term.x, term.residuals, None, None)
    while len(removed) < int(MOST * regression.entity_count):
        squares = np.bincount(entities, weights=rest.x**2)
        xx = squares.sum()
        pulls = np.sign(whole.estimate) * np.bincount(entities, weights=rest.x * rest.residuals)
        np.divide(pulls, xx - squares, out=pulls, where=xx - squares > UNIDENTIFIED * xx)
        pulls[removed] = -np.inf
        removed.append(int(pulls.argmax()))
        rest = _rest(regression, term, basis, ~np.isin(entities, removed))
        if rest.p_value is None:
            return None
        if rest.p_value > LEVEL:
            return removed
    return None


class _Term(NamedTuple):
    """A regressor and the outcome less effects and other regressors, in units of the design."""

    x: Floats
    y: Floats
    xx: float
    slope: float
    residuals: Floats
    unclustered_error: float
    unit: float


def _term(regression: PartialledOut, position: int) -> _Term:
    """Project a regressor and the outcome off the other regressors.

    Raises NotEstimable if the fit is exact.
    """
    slopes, residuals, bread = least_squares(regression)
    if not residuals.any():
        raise NotEstimable("no_error_of_exact_fit")
    # What the other regressors leave of a regressor, over the square of its length.
    influence = regression.design @ bread[:, position]
    xx = 1 / float(influence @ influence)
    x, slope = influence * xx, float(slopes[position])
    y = residuals + slope * x
    unclustered_error = float(np.linalg.norm(influence * residuals))
    return _Term(x, y, xx, slope, residuals, unclustered_error, float(regression.units[position]))


def _inference(term: _Term, variance: float, clusters: Codes) -> Inference:
    """Return the test and interval of a slope from its variance in units of the design.

    Raises NotEstimable if the variance is zero.
    """
    leverages = np.bincount(clusters, weights=term.x**2) / term.xx
    count = len(leverages)
    if variance <= (CANCELLED * term.unclustered_error) ** 2:
        raise NotEstimable("no_cluster_variance", count=count)
    return by_t(
        term.slope * term.unit,
        float(np.sqrt(variance)) * term.unit,
        count - 1,
        cluster_count=count,
        effective_cluster_count=1 / float(leverages @ leverages),
        largest_partial_leverage=float(leverages.max()),
    )


def _moves_without_each(
    regression: PartialledOut, position: int, term: _Term, clusters: Codes
) -> Floats:
    """Return by how much the slope moves without each cluster, in units of the design, shape (G,).

    Raises NotEstimable if there are fewer than two, or one of them alone identifies the slope.
    """
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    xx, xy = _without_each(term, _basis(regression, position, clusters), clusters).T
    if (xx <= UNIDENTIFIED * term.xx).any():
        raise NotEstimable("one_cluster_identifies", count=count)
    return np.asarray(xy / xx - term.slope)


def _jackknifed(moves: Floats) -> float:
    """Return the jackknife variance from the moves without each cluster."""
    count = len(moves)
    return (count - 1) / count * float(moves @ moves)


def _basis(regression: PartialledOut, position: int, groups: Codes) -> Floats:
    """Return an orthonormal basis, shape (n, r), of what changes where a group is taken out.

    That are the other regressors, and the periods less the entities' means. A period that lies in
    one group, a province's year in its province, goes with it and is in no other row.
    """
    others = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
    pairs = regression.times * (int(groups.max()) + 1) + groups
    if len(np.unique(pairs)) == regression.time_count:
        return others
    return np.column_stack([regression.effects.period_basis, others])


def _without_each(term: _Term, basis: Floats, groups: Codes) -> Floats:
    """Return x'x and x'y without each of G groups of whole entities, shape (G, 2)."""
    columns = np.column_stack([term.x, term.y])
    parts = [(basis[rows], columns[rows]) for rows in _rows_of(groups)]
    if basis.shape[1] > FEW_COLUMNS:
        return term.x @ columns - np.stack([_removed(*part)[1] for part in parts])
    # One call of LAPACK solves all groups: a call for each would cost more than its work.
    grams = np.stack([rows_of_basis.T @ rows_of_basis for rows_of_basis, _ in parts])
    rights = np.stack([rows_of_basis.T @ x_and_y for rows_of_basis, x_and_y in parts])
    moments = np.stack([x_and_y[:, 0] @ x_and_y for _, x_and_y in parts])
    return term.x @ columns - moments - _solved(grams, rights)[1][:, 0]


def _removed(basis: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """Take rows of whole entities out of the normal equations of x and y on the basis.

    In the orthonormal basis R the equations without the rows of g are (I - R_g'R_g) a = R_g'x_g,
    where a is by how much the coefficients of x on R move. With R_gR_g', as large as g, the same is
    found: wide bases take that way.

    Parameters
    ----------
    basis : ndarray, shape (m, r)
        The rows that go.
    columns : ndarray, shape (m, 2)
        x and y of these rows.

    Returns
    -------
    moves : ndarray, shape (r, 2)
        By how much the coefficients of x and y on the basis move.
    moments : ndarray, shape (2,)
        What goes from x'x and x'y.
    """
    if basis.shape[1] <= max(FEW_COLUMNS, len(basis)):
        moves, removed = _solved(basis.T @ basis, basis.T @ columns)
        return moves, columns[:, 0] @ columns + removed[0]
    solved, removed = _solved(basis @ basis.T, columns)
    return basis.T @ solved, removed[0]


class _Rest(NamedTuple):
    """A term in the rows of some entities: x and residuals, zero in the others, error and p.

    Error and p are None if fewer than two clusters or no degree of freedom are left, or if the rest
    leaves no variance. The error is in units of the design.
    """

    x: Floats
    residuals: Floats
    error: float | None
    p_value: float | None


def _rest(
    regression: PartialledOut, term: _Term, basis: Floats, remaining: NDArray[np.bool_]
) -> _Rest:
    """Return a term in the remaining rows, those of whole entities, with clustered error and p."""
    columns = np.column_stack([term.x, term.y])
    moves, _ = _removed(basis[~remaining], columns[~remaining])
    x, y = ((columns + basis @ moves) * remaining[:, None]).T
    xx = float(x @ x)
    if xx <= UNIDENTIFIED * term.xx:
        return _Rest(x, y, None, None)
    slope = float(x @ y) / xx
    residuals = y - slope * x
    scores = np.bincount(regression.entities, weights=x * residuals)
    error = float(np.linalg.norm(scores)) / xx
    entities, times = regression.entities[remaining], regression.times[remaining]
    rows = rows_without_singletons(entities, times)
    n, k = len(rows), regression.design.shape[1]
    cities = len(np.unique(entities[rows]))
    years = len(np.unique(times[rows]))
    if cities < 2 or n <= k + years or error <= CANCELLED * term.unclustered_error:
        return _Rest(x, residuals, None, None)
    error *= float(np.sqrt(cluster_factor(n, cities, k, years)))
    return _Rest(x, residuals, error, float(two_sided(slope / error, cities - 1)))


def _rows_of(groups: Codes) -> list[Codes]:
    """Return the rows of each group 0, 1, ..."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    return np.split(order, ends[:-1])


def _solved(gram: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return a in (I - gram) a = right, and right'a; stacks of matrices, too.

    Along a direction that is gone with the group, x and y have no component: a has none either.
    """
    if (np.linalg.norm(gram, axis=(-2, -1)) < SAFE).all():
        rest = np.eye(gram.shape[-1]) - gram
        direct = np.linalg.solve(rest, right).astype(float, copy=False)
        return direct, np.swapaxes(right, -1, -2) @ direct
    shares, directions = np.linalg.eigh(gram)
    remaining = 1 - shares
    inverse = np.divide(1.0, remaining, out=np.zeros_like(remaining), where=remaining > LOST)
    components = np.swapaxes(directions, -1, -2) @ right
    solved = inverse[..., None] * components
    return directions @ solved, np.swapaxes(components, -1, -2) @ solved
