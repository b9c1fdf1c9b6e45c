"""Compute cluster-robust and jackknife standard errors, and leave-one-out estimates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators.columns import Codes, Floats, renumber
from ai_manufacturing.estimators.fixed_effects import (
    CANCELLED,
    PartialledOut,
    cluster_factor,
    find_rows_without_singletons,
    fit_least_squares,
    partial_out,
)
from ai_manufacturing.estimators.inference import LEVEL, Inference, infer_by_t, two_sided_p_values
from ai_manufacturing.estimators.not_estimable import NotEstimable

# A basis direction is dropped if removing a cluster leaves less than this share of its variation.
VANISHED_SHARE = 1e-10
# If a cluster's Gram matrix has a norm below this, I - gram is safely invertible.
SAFE_NORM = 0.999
# A coefficient is unidentified if less than this share of its regressor's variation remains.
UNIDENTIFIED = 1e-9
# Maximum number of basis columns for which the systems of all groups are solved in one batch. Year
# effects and controls have fewer columns, and province-year effects have more.
MAX_BATCH_COLUMNS = 32
# Largest share of the entities that `find_fewest_to_change` may remove.
MAX_REMOVED_SHARE = 0.5


@dataclass(frozen=True)
class LeaveOneOutResult:
    """Estimate of a coefficient after one group is dropped from the sample.

    Attributes
    ----------
    group : int
        Code of the group.
    estimate, std_error, p_value : float or None
        Results without the group; None if the remaining groups do not identify the coefficient.
        The standard error and p-value are also None if fewer than two clusters remain, or if the
        variance over the remaining clusters is zero.
    """

    group: int
    estimate: float | None
    std_error: float | None
    p_value: float | None


def crv1(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return a coefficient with its usual cluster-robust standard error (CRV1).

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    position : int
        Index of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row, with arbitrary codes; entities must be nested in clusters.

    Returns
    -------
    Inference
        Uses the factor of cluster_factor and t(G-1), and so equals the result of fixed_effects.fit
        with these clusters.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, the outcome is fitted exactly, or the variance is zero
        because the scores cancel in every cluster.

    Notes
    -----
    The partial leverage h_g is cluster g's share of the regressor's variation net of the effects
    and the other regressors. Carter, Schnepel and Steigerwald's G*, computed as in summclust with
    independent errors and partialled-out effects, equals 1 / sum h_g^2: G if all shares are equal,
    and one if a single cluster contains all the variation.

    References
    ----------
    Carter, Schnepel and Steigerwald (2017), Review of Economics and Statistics 99(4); MacKinnon,
    Nielsen and Webb (2023), "Leverage, influence, and the jackknife in clustered regression
    models", Stata Journal 23(4).
    """
    clusters = renumber(clusters)
    term = _project_out_others(regression, position)
    n, k = regression.design.shape
    factor = cluster_factor(n, int(clusters.max()) + 1, k, regression.time_count)
    scores = np.bincount(clusters, weights=term.x * term.residuals)
    return _infer(term, factor * float(scores @ scores) / term.xx**2, clusters)


def crv3(regression: PartialledOut, position: int, clusters: Codes) -> Inference:
    """Return a coefficient with its cluster jackknife standard error (CRV3).

    Takes the same parameters as crv1. Raises NotEstimable for the same reasons, and also if the
    coefficient is not identified without one of the clusters: skipping that cluster would omit the
    most influential one from the variance.

    Returns
    -------
    Inference
        Uses the variance (G-1)/G sum_g (b_(g) - b)^2 over the estimates without each cluster,
        centred at the full-sample estimate, and t(G-1). There is no other small-sample factor.

    Notes
    -----
    No regression is refitted. Subtracting a cluster's rows from the normal equations gives the
    estimate without it, including updated period effects and control slopes. Effects that only the
    removed cluster identifies, such as its own province-years, are removed with it.

    References
    ----------
    MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for
    cluster-robust inference", Journal of Applied Econometrics 38(5): CRV3.
    """
    clusters = renumber(clusters)
    term = _project_out_others(regression, position)
    return _infer(
        term,
        _jackknife_variance(_compute_slope_changes(regression, position, term, clusters)),
        clusters,
    )


def crv3_of_difference(
    regression: PartialledOut,
    other: PartialledOut,
    position: int,
    clusters: Codes,
    other_rows: Codes,
) -> Inference:
    """Return a coefficient's difference between two regressions, with a CRV3 standard error.

    The second regression omits some rows or includes more effects. Because the two share most of
    their rows, neither one's own standard error measures the uncertainty of the difference. The
    jackknife therefore recomputes the difference itself without each cluster.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    other : PartialledOut
        The second regression, from `drop_rows` or fixed_effects.add_entity_trends.
    other_rows : ndarray of int, shape (n',)
        Positions of the second regression's rows among the n rows of the first.
    position : int
        Index of the regressor.
    clusters : ndarray of int, shape (n,)
        Cluster of each row of the first regression, with arbitrary codes; entities must be nested
        in clusters.

    Returns
    -------
    Inference
        The estimate is the second coefficient minus the first. Its variance is
        (G-1)/G sum_g (d_(g) - d)^2 over the differences without each of the first regression's G
        clusters, with t(G-1). Standard error, test and interval are None if the variance is zero.

    Raises
    ------
    NotEstimable
        For the same reasons as crv3, in either regression.
    """
    clusters = renumber(clusters)
    first, second = _project_out_others(regression, position), _project_out_others(other, position)
    changes = -first.unit * _compute_slope_changes(regression, position, first, clusters)
    # Skip clusters that have no rows in `other`: removing them does not change its slope.
    labels, codes = np.unique(clusters[other_rows], return_inverse=True)
    changes[labels] += second.unit * _compute_slope_changes(other, position, second, codes)
    difference = second.slope * second.unit - first.slope * first.unit
    error = float(np.sqrt(_jackknife_variance(changes)))
    if error <= CANCELLED * first.unclustered_error * first.unit:
        return Inference(estimate=difference)
    return infer_by_t(difference, error, len(changes) - 1, cluster_count=len(changes))


def crv3_of_ratio(
    numerator: PartialledOut, denominator: PartialledOut, position: int, clusters: Codes
) -> Inference:
    """Return the ratio of the slopes of two regressions, with a CRV3 standard error.

    With a single instrument, two-stage least squares divides the reduced-form slope by the
    first-stage slope. This holds in the full sample and without each cluster.

    Parameters
    ----------
    numerator, denominator : PartialledOut
        Regressions of two outcomes on the same regressors, in the same rows.
    position : int
        Index of the regressor: the instrument.
    clusters : ndarray of int, shape (n,)
        Cluster of each row, with arbitrary codes; entities must be nested in clusters.

    Returns
    -------
    Inference
        Uses the variance (G-1)/G sum_g (b_(g) - b)^2 over the ratios without each cluster, and
        t(G-1).

    Raises
    ------
    NotEstimable
        For the same reasons as crv3, in either regression.
    """
    clusters = renumber(clusters)
    numerator_term, denominator_term = (
        _project_out_others(regression, position) for regression in (numerator, denominator)
    )
    ratios_without = [
        (term.slope + _compute_slope_changes(regression, position, term, clusters)) * term.unit
        for regression, term in ((numerator, numerator_term), (denominator, denominator_term))
    ]
    ratio = (
        numerator_term.slope
        * numerator_term.unit
        / (denominator_term.slope * denominator_term.unit)
    )
    changes = ratios_without[0] / ratios_without[1] - ratio
    count = len(changes)
    return infer_by_t(
        ratio, float(np.sqrt(_jackknife_variance(changes))), count - 1, cluster_count=count
    )


def average_slopes(regression: PartialledOut, positions: Sequence[int]) -> PartialledOut:
    """Reparametrise a regression so that one slope is the average of several.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    positions : sequence of int
        Indices of the regressors whose slopes are averaged.

    Returns
    -------
    PartialledOut
        The slope at the first position is the average. Fitted values and residuals do not change.

    Notes
    -----
    For m slopes with average a = sum b_p / m, sum x_p b_p = m x_1 a + sum_{p > 1} (x_p - x_1) b_p.
    """
    first, *others = positions
    design, units = regression.design.copy(), regression.units.copy()
    columns = design[:, positions] / units[positions]
    units[positions] = 1.0
    design[:, first] = len(positions) * columns[:, 0]
    design[:, others] = columns[:, 1:] - columns[:, :1]
    return replace(regression, design=design, units=units)


def leave_out_groups(
    regression: PartialledOut, position: int, groups: Codes
) -> list[LeaveOneOutResult]:
    """Re-estimate a coefficient without each group in turn, with CRV3 standard errors.

    Parameters
    ----------
    regression, position
        As in crv1.
    groups : ndarray of int, shape (n,)
        Group of each row, such as its province; entities must be nested in groups.

    Returns
    -------
    list of LeaveOneOutResult
        Results of crv3 on the rows of the other groups, in the order of the codes.

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly.

    Notes
    -----
    The jackknife without one group needs the estimates without each pair of groups. Subtracting the
    rows of the pair from the normal equations gives these without refitting.
    """
    labels, groups = np.unique(groups, return_inverse=True)
    term, basis = (
        _project_out_others(regression, position),
        _build_basis(regression, position, groups),
    )
    rows_by_group, columns = _list_rows_by_group(groups), np.column_stack([term.x, term.y])
    count = len(labels)
    grams = np.stack([basis[rows].T @ basis[rows] for rows in rows_by_group])
    products = np.stack([basis[rows].T @ columns[rows] for rows in rows_by_group])
    squares = np.stack([term.x[rows] @ columns[rows] for rows in rows_by_group])
    slopes = np.full((count, count), np.nan)  # entry [i, j] is the slope without groups i and j
    for code in range(count):
        pairs = [sums[code:] + sums[code] for sums in (grams, products, squares)]
        for pair, sums in zip(pairs, (grams, products, squares), strict=True):
            pair[0] = sums[code]  # entry 0 leaves out only this group instead of a pair
        gram, right, square = pairs
        explained = _solve_downdate(gram, right)[1][:, 0]
        xx, xy = (term.x @ columns - square - explained).T
        np.divide(xy, xx, out=slopes[code, code:], where=xx > UNIDENTIFIED * term.xx)
        slopes[code:, code] = slopes[code, code:]
    results = []
    for code, label in enumerate(labels):
        others = np.delete(slopes[code], code)
        slope, freedom = slopes[code, code], count - 2
        estimate = None if np.isnan(slope) else float(slope * term.unit)
        length = float(np.linalg.norm(others - slope))
        error = np.sqrt(freedom / max(count - 1, 1)) * length
        if freedom < 1 or np.isnan(error) or error <= CANCELLED * term.unclustered_error:
            results.append(LeaveOneOutResult(int(label), estimate, None, None))
            continue
        p_value = float(two_sided_p_values(slope / error, freedom))
        results.append(LeaveOneOutResult(int(label), estimate, error * term.unit, p_value))
    return results


def leave_out_entities(
    regression: PartialledOut, position: int, *, most: int | None = None
) -> list[LeaveOneOutResult]:
    """Re-estimate a coefficient without each entity in turn, clustering by entity.

    Parameters
    ----------
    regression, position
        As in crv1.
    most : int, optional
        Return only this many entities, the ones whose removal changes the estimate most. The
        default returns all of them.

    Returns
    -------
    list of LeaveOneOutResult
        Results of fixed_effects.fit on the rows of the other entities, in the order of the codes.
        There is one exception: if only the removed entity identifies another regressor, that
        regressor drops out but still counts as a parameter.

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly.
    """
    term = _project_out_others(regression, position)
    basis = _build_basis(regression, position, regression.entities)
    xx, xy = _compute_moments_without_each(term, basis, regression.entities).T
    is_identifiable = xx > UNIDENTIFIED * term.xx
    slopes = np.full(len(xx), np.nan)
    np.divide(xy, xx, out=slopes, where=is_identifiable)
    changes = np.where(is_identifiable, np.abs(slopes - term.slope), -1.0)
    results = []
    for code in np.sort(np.argsort(-changes, kind="stable")[:most]).tolist():
        if not is_identifiable[code]:
            results.append(LeaveOneOutResult(code, None, None, None))
            continue
        subset = _refit_subset(regression, term, basis, regression.entities != code)
        error = None if subset.error is None else subset.error * term.unit
        results.append(
            LeaveOneOutResult(code, float(slopes[code] * term.unit), error, subset.p_value)
        )
    return results


def drop_rows(regression: PartialledOut, rows: NDArray[np.bool_]) -> tuple[PartialledOut, Codes]:
    """Drop rows from a regression, and return it with the positions of the remaining rows.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    rows : ndarray of bool, shape (n,)
        True for rows to drop, such as city-years that the gate flags.

    Returns
    -------
    regression : PartialledOut
        The remaining rows, partialled out again after newly created singletons are dropped. Effects
        estimated on all rows have already been removed from its outcome, which changes no slope.
    remaining : ndarray of int, shape (n',)
        Positions of the remaining rows among the n, used to subset the cluster codes.

    Raises
    ------
    NotEstimable
        If the remaining rows do not identify every coefficient.
    """
    names = [f"regressor {j}" for j in range(regression.design.shape[1])]
    sample = pd.DataFrame(regression.design, columns=names).assign(
        outcome=regression.outcome,
        city_id=regression.entities,
        year=regression.times,
        cluster=regression.clusters,
    )
    try:
        remaining = partial_out(sample[~rows], "outcome", names, cluster="cluster")
    except NotEstimable as finding:
        raise NotEstimable("not_identified_without", count=int(rows.sum())) from finding
    return replace(remaining, units=regression.units * remaining.units), remaining.index.to_numpy()


def find_fewest_to_change(regression: PartialledOut, position: int) -> list[int] | None:
    """Find influential entities whose removal raises a coefficient's p-value above .05.

    Parameters
    ----------
    regression, position
        As in crv1.

    Returns
    -------
    list of int or None
        Codes of the removed entities in the order of their removal; p-values use entity-clustered
        standard errors. The list is empty if p exceeds .05 in the full sample. The result is None
        if removing half of the entities is not enough, or if the rest does not identify the
        coefficient. The search is greedy, so its length is an upper bound: a smaller set may exist.

    Raises
    ------
    NotEstimable
        For the same reasons as crv1, in the regression with all entities.

    Notes
    -----
    The slope and standard error are recomputed exactly after each removal, as in
    leave_out_entities. The next entity is the one that pulls the estimate furthest from zero,
    approximated by its score divided by the variation of the other entities, with effects and other
    slopes held fixed. This approximation affects only the order of removal.

    References
    ----------
    Broderick, Giordano and Meager (2020), "An automatic finite-sample robustness metric", arXiv
    2011.14999.
    """
    entities = regression.entities
    full_sample = crv1(regression, position, entities)
    if full_sample.p_value is not None and full_sample.p_value > LEVEL:
        return []
    term = _project_out_others(regression, position)
    basis = _build_basis(regression, position, entities)
    removals: list[int] = []
    subset = _SubsetFit(term.x, term.residuals, None, None)
    while len(removals) < int(MAX_REMOVED_SHARE * regression.entity_count):
        squares = np.bincount(entities, weights=subset.x**2)
        xx = squares.sum()
        pulls = np.sign(full_sample.estimate) * np.bincount(
            entities, weights=subset.x * subset.residuals
        )
        np.divide(pulls, xx - squares, out=pulls, where=xx - squares > UNIDENTIFIED * xx)
        pulls[removals] = -np.inf
        removals.append(int(pulls.argmax()))
        subset = _refit_subset(regression, term, basis, ~np.isin(entities, removals))
        if subset.p_value is None:
            return None
        if subset.p_value > LEVEL:
            return removals
    return None


class _PartialRegression(NamedTuple):
    """A regressor and the outcome after effects and other regressors are partialled out.

    All attributes except `unit` are in units of the design.
    """

    x: Floats
    y: Floats
    xx: float
    slope: float
    residuals: Floats
    unclustered_error: float
    unit: float


def _project_out_others(regression: PartialledOut, position: int) -> _PartialRegression:
    """Partial all other regressors out of one regressor and out of the outcome.

    Raises NotEstimable if the fit is exact.
    """
    slopes, residuals, bread = fit_least_squares(regression)
    if not residuals.any():
        raise NotEstimable("no_error_of_exact_fit")
    # Residual of this regressor on the other regressors, divided by its squared length.
    influence = regression.design @ bread[:, position]
    xx = 1 / float(influence @ influence)
    x, slope = influence * xx, float(slopes[position])
    y = residuals + slope * x
    unclustered_error = float(np.linalg.norm(influence * residuals))
    return _PartialRegression(
        x, y, xx, slope, residuals, unclustered_error, float(regression.units[position])
    )


def _infer(term: _PartialRegression, variance: float, clusters: Codes) -> Inference:
    """Return the t test and confidence interval of a slope, given its variance.

    The variance is in units of the design. Raises NotEstimable if the variance is zero.
    """
    leverages = np.bincount(clusters, weights=term.x**2) / term.xx
    count = len(leverages)
    if variance <= (CANCELLED * term.unclustered_error) ** 2:
        raise NotEstimable("no_cluster_variance", count=count)
    return infer_by_t(
        term.slope * term.unit,
        float(np.sqrt(variance)) * term.unit,
        count - 1,
        cluster_count=count,
        effective_cluster_count=1 / float(leverages @ leverages),
        largest_partial_leverage=float(leverages.max()),
    )


def _compute_slope_changes(
    regression: PartialledOut, position: int, term: _PartialRegression, clusters: Codes
) -> Floats:
    """Return the change in a slope when each of the G clusters is removed, shape (G,).

    Changes are in units of the design. Raises NotEstimable if there are fewer than two clusters, or
    if a single cluster identifies the slope.
    """
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    xx, xy = _compute_moments_without_each(
        term, _build_basis(regression, position, clusters), clusters
    ).T
    if (xx <= UNIDENTIFIED * term.xx).any():
        raise NotEstimable("one_cluster_identifies", count=count)
    return np.asarray(xy / xx - term.slope)


def _jackknife_variance(changes: Floats) -> float:
    """Return the jackknife variance of a slope from its changes when a cluster is removed."""
    count = len(changes)
    return (count - 1) / count * float(changes @ changes)


def _build_basis(regression: PartialledOut, position: int, groups: Codes) -> Floats:
    """Return an orthonormal basis of the columns to re-estimate when a group is removed.

    These columns are the other regressors and the period effects net of entity means; the shape is
    (n, r). Period effects are omitted if each period occurs in one group only, as a province-year
    does: removing the group then removes its periods and does not affect the other rows.
    """
    others = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
    pairs = regression.times * (int(groups.max()) + 1) + groups
    if len(np.unique(pairs)) == regression.time_count:
        return others
    return np.column_stack([regression.effects.period_basis, others])


def _compute_moments_without_each(term: _PartialRegression, basis: Floats, groups: Codes) -> Floats:
    """Return x'x and x'y after each of the G groups is removed in turn, shape (G, 2).

    Entities must be nested in groups.
    """
    columns = np.column_stack([term.x, term.y])
    parts = [(basis[rows], columns[rows]) for rows in _list_rows_by_group(groups)]
    if basis.shape[1] > MAX_BATCH_COLUMNS:
        return term.x @ columns - np.stack([_downdate(*part)[1] for part in parts])
    # Solve the systems of all groups in one LAPACK call, because each of them is small.
    grams = np.stack([rows_of_basis.T @ rows_of_basis for rows_of_basis, _ in parts])
    products = np.stack([rows_of_basis.T @ x_and_y for rows_of_basis, x_and_y in parts])
    moments = np.stack([x_and_y[:, 0] @ x_and_y for _, x_and_y in parts])
    return term.x @ columns - moments - _solve_downdate(grams, products)[1][:, 0]


def _downdate(basis: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """Downdate the normal equations of x and y on a basis for the removal of entire entities.

    For an orthonormal basis R, the equations without the rows g are (I - R_g'R_g) a = R_g'x_g,
    where a is the change in the coefficients of x on R. An equivalent system in R_gR_g' has one
    equation per removed row, and is used if the basis has more columns than that.

    Parameters
    ----------
    basis : ndarray, shape (m, r)
        Removed rows of the basis.
    columns : ndarray, shape (m, 2)
        x and y in the removed rows.

    Returns
    -------
    changes : ndarray, shape (r, 2)
        Change in the coefficients of x and y on the basis.
    moments : ndarray, shape (2,)
        Amounts to subtract from x'x and x'y.
    """
    if basis.shape[1] <= max(MAX_BATCH_COLUMNS, len(basis)):
        changes, explained = _solve_downdate(basis.T @ basis, basis.T @ columns)
        return changes, columns[:, 0] @ columns + explained[0]
    dual, explained = _solve_downdate(basis @ basis.T, columns)
    return basis.T @ dual, explained[0]


class _SubsetFit(NamedTuple):
    """Residuals, standard error and p-value of a slope on a subset of the entities.

    `x` and `residuals` are zero in the rows of the other entities. `error`, the standard error in
    units of the design, and `p_value` are None if fewer than two clusters or no degrees of freedom
    remain, or if the variance is zero.
    """

    x: Floats
    residuals: Floats
    error: float | None
    p_value: float | None


def _refit_subset(
    regression: PartialledOut,
    term: _PartialRegression,
    basis: Floats,
    is_remaining: NDArray[np.bool_],
) -> _SubsetFit:
    """Re-estimate a slope on a subset of the rows that contains only complete entities."""
    columns = np.column_stack([term.x, term.y])
    changes, _ = _downdate(basis[~is_remaining], columns[~is_remaining])
    x, y = ((columns + basis @ changes) * is_remaining[:, None]).T
    xx = float(x @ x)
    if xx <= UNIDENTIFIED * term.xx:
        return _SubsetFit(x, y, None, None)
    slope = float(x @ y) / xx
    residuals = y - slope * x
    scores = np.bincount(regression.entities, weights=x * residuals)
    error = float(np.linalg.norm(scores)) / xx
    entities, times = regression.entities[is_remaining], regression.times[is_remaining]
    rows = find_rows_without_singletons(entities, times)
    n, k = len(rows), regression.design.shape[1]
    cities = len(np.unique(entities[rows]))
    years = len(np.unique(times[rows]))
    if cities < 2 or n <= k + years or error <= CANCELLED * term.unclustered_error:
        return _SubsetFit(x, residuals, None, None)
    error *= float(np.sqrt(cluster_factor(n, cities, k, years)))
    return _SubsetFit(x, residuals, error, float(two_sided_p_values(slope / error, cities - 1)))


def _list_rows_by_group(groups: Codes) -> list[Codes]:
    """Return a list with the row positions of each group 0, 1, ..."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    return np.split(order, ends[:-1])


def _solve_downdate(gram: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Solve (I - gram) a = right for a, and return a and right'a; accepts stacks of matrices.

    Directions that vanish with the group are dropped from a, because the remaining rows of x and y
    have no component along them.
    """
    if (np.linalg.norm(gram, axis=(-2, -1)) < SAFE_NORM).all():
        system = np.eye(gram.shape[-1]) - gram
        solution = np.linalg.solve(system, right).astype(float, copy=False)
        return solution, np.swapaxes(right, -1, -2) @ solution
    shares, directions = np.linalg.eigh(gram)
    remaining_shares = 1 - shares
    inverse = np.divide(
        1.0,
        remaining_shares,
        out=np.zeros_like(remaining_shares),
        where=remaining_shares > VANISHED_SHARE,
    )
    components = np.swapaxes(directions, -1, -2) @ right
    scaled = inverse[..., None] * components
    return directions @ scaled, np.swapaxes(components, -1, -2) @ scaled
