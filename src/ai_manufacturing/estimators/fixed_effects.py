"""Two-way fixed effects with clustered errors: equation 1 of the paper, as fixest and reghdfe would print it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from ai_manufacturing.estimators.columns import Codes, Floats, check_one_row_per_cell, labels, numbers
from ai_manufacturing.estimators.not_estimable import NotEstimable

# Each tolerance is a share of a norm, so none depends on units.
ABSORBED = 1e-6  # a column is absorbed if less than this share of its variation is left within
ROUNDING = 1e-12  # ... or less than this share of its largest value, which is rounding error
COLLINEAR = 2e-5  # fixest's default, and just above the 1e-5 of PanelOLS, so that ours names the column first
EXACT = 1e-9  # residuals below this share of the outcome's within variation are rounding error
CANCELLED = 1e-6  # a clustered error below this share of the unclustered one is rounding error


@dataclass(frozen=True, eq=False)  # eq: comparing arrays has no single truth value
class FixedEffectsFit:
    """Estimates of one specification; arrays run over the terms, in the order asked for.

    Attributes
    ----------
    terms : tuple of str, length k
        Names of the regressors.
    estimates, std_errors : ndarray, shape (k,)
        Coefficients and their clustered errors, in units of the outcome per unit of the regressor. An error is
        zero if the regressors and effects fit the outcome exactly (an identity, not an estimate).
    statistics, p_values : ndarray, shape (k,)
        t statistics and two-sided p-values from t(G-1); NaN where the error is zero.
    conf_low, conf_high : ndarray, shape (k,)
        Ends of the 95 % interval from t(G-1).
    covariance_matrix : ndarray, shape (k, k)
        Clustered covariance of the estimates, small-sample factor included.
    observation_count, city_count, year_count : int
        Rows, entities and periods that the estimates rest on, after singletons are dropped.
    singletons_dropped : int
        Rows dropped because their entity or their period had no other row left, repeated until none was left.
    r2_inclusive : float
        1 - RSS/TSS with the effects counted as explanation: the R2 that papers print.
    r2_within : float
        Share explained of the variation the outcome has left after both effects are removed (fixest's within R2;
        Stata's xtreg removes the entity effect only, and so prints another figure).
    degrees_of_freedom : int
        G-1, clusters less one.
    """

    terms: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    statistics: Floats
    p_values: Floats
    conf_low: Floats
    conf_high: Floats
    covariance_matrix: Floats
    observation_count: int
    city_count: int
    year_count: int
    singletons_dropped: int
    r2_inclusive: float
    r2_within: float
    degrees_of_freedom: int


def cluster_factor(observations: int, clusters: int, slopes: int, years: int) -> float:
    """Small-sample factor of a clustered covariance under city and year effects.

    City effects are nested in the clusters and count once, so K = slopes + years.

    Parameters
    ----------
    observations, clusters, slopes, years : int
        Rows, clusters, regressors and years in the estimation sample.

    Returns
    -------
    float
        G/(G-1) * (n-1)/(n-K), to multiply the sandwich by.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, or n <= K.

    References
    ----------
    The default of fixest and of Stata's reghdfe; golden numbers in tests/python/golden.
    """
    if clusters < 2:
        raise NotEstimable(f"Clustered errors need at least two clusters, and the sample has {clusters}.")
    parameters = slopes + years
    if observations <= parameters:
        raise NotEstimable(
            f"The sample has {observations} observations for {parameters} parameters "
            f"({slopes} slopes and {years} years, cities nested in the clusters)."
        )
    return clusters / (clusters - 1) * (observations - 1) / (observations - parameters)


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
) -> FixedEffectsFit:
    """Regress an outcome on regressors with entity and period effects and clustered errors.

    The covariance is cluster_factor times the sandwich of the clustered scores. PanelOLS supplies the sandwich;
    none of its own corrections gives this factor, so all of them are switched off.

    Parameters
    ----------
    sample : DataFrame
        One row per entity and period, in any order and with gaps; no missing values in the columns named below.
    outcome : str
        Column of the dependent variable.
    regressors : sequence of str
        Columns of the k regressors.
    entity, time : str
        Columns of the two effects.
    cluster : str, optional
        Column of the clusters, in which the entities must be nested (province). The default is the entity.

    Returns
    -------
    FixedEffectsFit
        Estimates, errors, fit and counts.

    Raises
    ------
    NotEstimable
        With a sentence, if: a column has missing, non-finite or non-numeric values; an entity appears twice in a
        period or in two clusters; no observation is left; there are fewer than two clusters or periods, or no
        residual degree of freedom; the outcome or a regressor does not vary within; a regressor is a linear
        combination of earlier ones; or the scores cancel in every cluster, so that the error is zero whatever
        the data (two entities, each its own cluster).

    Notes
    -----
    Effects of a panel that falls into unconnected pieces are counted as if it were connected (fixest's default):
    K is then too large by the number of pieces less one, and the errors too large by a trifle.

    References
    ----------
    Correia (2015), "Singletons, cluster-robust standard errors and fixed effects"; Cameron and Miller (2015), "A
    practitioner's guide to cluster-robust inference", Journal of Human Resources 50(2).
    """
    from linearmodels.panel import PanelOLS  # here, as the import takes a second

    if not regressors:
        raise NotEstimable("The specification names no regressor.")
    clusters_named = entity if cluster is None else cluster
    values = np.column_stack([numbers(sample, column) for column in (outcome, *regressors)])
    groups = {column: labels(sample, column) for column in dict.fromkeys((entity, time, clusters_named))}
    if len(sample) == 0:
        raise NotEstimable("The sample has no observations.")
    check_one_row_per_cell(groups[entity], groups[time], sample, entity, time)
    if clusters_named != entity:
        _check_nested(groups[entity], groups[clusters_named], sample, entity, clusters_named)

    for use, name in (("Period effects", time), ("Clustered errors", clusters_named)):
        if groups[name].max() == 0:
            raise NotEstimable(f"{use} need at least two values of {name}, and the sample has one.")

    kept = rows_without_singletons(groups[entity], groups[time])
    if len(kept) == 0:
        raise NotEstimable(
            f"No observations are left: every {entity} or {time} of the {len(sample)} rows is a singleton."
        )
    # One order for the sums, so that the last digits do not depend on the order of the rows delivered.
    kept = kept[np.lexsort((groups[time][kept], groups[entity][kept]))]
    values = values[kept]
    entities, times, clusters = (_renumbered(groups[name][kept]) for name in (entity, time, clusters_named))
    n, k = len(kept), len(regressors)
    entity_count, time_count, cluster_count = (int(codes.max()) + 1 for codes in (entities, times, clusters))
    factor = cluster_factor(n, cluster_count, k, time_count)

    # Centred and in units of the largest value: keeps digits, and no square can overflow.
    scale = np.abs(values).max(axis=0)
    scale[scale == 0] = 1.0
    values = values / scale
    values -= values.mean(axis=0)
    within, effects_rank = _without_effects(values, entities, times)
    if n <= k + effects_rank:
        raise NotEstimable(
            f"The model is saturated: {n} observations, {k} slopes and {effects_rank} free effects of {entity} and "
            f"{time} leave no residual degree of freedom."
        )
    if _absorbed(within[:, 0], values[:, 0]):
        raise NotEstimable(f"The outcome {outcome} does not vary once the {entity} and {time} effects are removed.")
    design, norms = _unit_columns(within[:, 1:], values[:, 1:], regressors, entity, time)

    # PanelOLS gets the regressors partialled out and of unit length: the same estimates by Frisch-Waugh-Lovell, and
    # its rank checks no longer depend on the units or on the mean of a column.
    rows = pd.MultiIndex.from_arrays([entities, times], names=["entity", "time"])
    with np.errstate(all="ignore"):  # an exact fit divides by zero in statistics that are not read here
        result = PanelOLS(
            pd.DataFrame({"outcome": values[:, 0]}, index=rows),
            pd.DataFrame(design, index=rows, columns=[f"x{j}" for j in range(k)]),
            entity_effects=True,
            time_effects=True,
            check_rank=False,
        ).fit(
            cov_type="clustered",
            clusters=pd.DataFrame({"cluster": clusters}, index=rows),
            debiased=False,
            group_debias=False,
            auto_df=False,
            count_effects=False,
            low_memory=False,
        )
        covariance = factor * result.cov.to_numpy(dtype=float)
        r2_inclusive, r2_within = float(result.rsquared_inclusive), float(result.rsquared)
    residuals = result.resids.to_numpy(dtype=float)
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(within[:, 0]):
        covariance = np.zeros((k, k))
    else:
        _check_scores_do_not_cancel(design, residuals, covariance, regressors, clusters_named, cluster_count)

    units = scale[0] / (scale[1:] * norms)
    estimates = result.params.to_numpy(dtype=float) * units
    std_errors = np.sqrt(np.diag(covariance)) * units
    statistics = np.full(k, np.nan)
    np.divide(estimates, std_errors, out=statistics, where=std_errors > 0)
    half_width = special.stdtrit(cluster_count - 1, 0.975) * std_errors
    return FixedEffectsFit(
        terms=tuple(regressors),
        estimates=estimates,
        std_errors=std_errors,
        statistics=statistics,
        p_values=2 * special.stdtr(cluster_count - 1, -np.abs(statistics)),
        conf_low=estimates - half_width,
        conf_high=estimates + half_width,
        covariance_matrix=covariance * np.outer(units, units),
        observation_count=n,
        city_count=entity_count,
        year_count=time_count,
        singletons_dropped=len(sample) - n,
        r2_inclusive=r2_inclusive,
        r2_within=r2_within,
        degrees_of_freedom=cluster_count - 1,
    )


def _renumbered(codes: Codes) -> Codes:
    """Return the codes that are left as 0, 1, ... without gaps, shape (n,)."""
    return np.unique(codes, return_inverse=True)[1]


def _check_nested(entities: Codes, clusters: Codes, sample: pd.DataFrame, entity: str, cluster: str) -> None:
    """Raise NotEstimable if an entity lies in two clusters: its effect would have to be counted in K."""
    first = np.zeros(int(entities.max()) + 1, dtype=np.intp)
    first[entities[::-1]] = clusters[::-1]
    moved = first[entities] != clusters
    if moved.any():
        raise NotEstimable(
            f"{entity} {sample[entity].iloc[int(moved.argmax())]} lies in more than one {cluster}: errors clustered by "
            f"{cluster} need every {entity} inside one."
        )


def rows_without_singletons(entities: Codes, times: Codes) -> Codes:
    """Return the positions left when rows alone in their entity or period are dropped until none is, shape (n',)."""
    kept = np.arange(len(entities))
    while True:
        alone = np.zeros(len(kept), dtype=bool)
        for codes in (entities[kept], times[kept]):
            alone |= np.bincount(codes)[codes] == 1
        if not alone.any():
            return kept
        kept = kept[~alone]


def _without_effects(columns: Floats, entities: Codes, times: Codes) -> tuple[Floats, int]:
    """Project columns off the entity and period dummies, exactly, in unbalanced panels too.

    Parameters
    ----------
    columns : ndarray, shape (n, m)
    entities, times : ndarray of int, shape (n,)

    Returns
    -------
    residuals : ndarray, shape (n, m)
    rank : int
        Rank of the dummies: entities + periods - connected pieces of the panel.
    """
    sizes = np.bincount(entities)

    def demeaned(block: Floats) -> Floats:
        sums = np.column_stack([np.bincount(entities, weights=column) for column in block.T])
        return block - (sums / sizes[:, None])[entities]

    dummies = demeaned((times[:, None] == np.arange(int(times.max()) + 1)).astype(float))
    basis, strengths, _ = np.linalg.svd(dummies, full_matrices=False)
    basis = basis[:, strengths > 1e-9 * max(float(strengths[0]), 1.0)]
    residuals = demeaned(columns)
    return residuals - basis @ (basis.T @ residuals), len(sizes) + basis.shape[1]


def _absorbed(within: Floats, centred: Floats) -> bool:
    """Tell whether what the effects leave of a column, shape (n,), is nothing but rounding error."""
    rounding = ROUNDING * np.sqrt(len(centred))
    return bool(np.linalg.norm(within) <= max(ABSORBED * np.linalg.norm(centred), rounding))


def _unit_columns(
    within: Floats, centred: Floats, regressors: Sequence[str], entity: str, time: str
) -> tuple[Floats, Floats]:
    """Scale partialled-out regressors to unit length, after checking that each one identifies a slope.

    Parameters
    ----------
    within, centred : ndarray, shape (n, k)
        Regressors after and before the effects are removed.

    Returns
    -------
    design : ndarray, shape (n, k)
    norms : ndarray, shape (k,)
        Lengths that the columns of within were divided by.

    Raises
    ------
    NotEstimable
        Naming the first regressor that is absorbed by the effects, or spanned by the ones before it.
    """
    norms = np.linalg.norm(within, axis=0)
    design = np.empty_like(within)
    basis = np.empty_like(within)
    for j, name in enumerate(regressors):
        if _absorbed(within[:, j], centred[:, j]):
            raise NotEstimable(f"Regressor {name} does not vary once the {entity} and {time} effects are removed.")
        design[:, j] = within[:, j] / norms[j]
        rest = design[:, j] - basis[:, :j] @ (basis[:, :j].T @ design[:, j])
        length = np.linalg.norm(rest)
        if length <= COLLINEAR:
            weights = np.linalg.lstsq(design[:, :j], design[:, j], rcond=None)[0]
            earlier = " and ".join(regressors[i] for i in range(j) if abs(weights[i]) > COLLINEAR)
            raise NotEstimable(
                f"Regressor {name} is a linear combination of {earlier} once the {entity} and {time} effects are "
                "removed."
            )
        basis[:, j] = rest / length
    return design, norms


def _check_scores_do_not_cancel(
    design: Floats, residuals: Floats, covariance: Floats, regressors: Sequence[str], cluster: str, clusters: int
) -> None:
    """Raise NotEstimable if a term's clustered error is zero because its scores sum to zero in every cluster."""
    influence = np.linalg.pinv(design).T * residuals[:, None]
    unclustered = np.linalg.norm(influence, axis=0)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))  # rounding can leave a zero variance below zero
    for name, error, scale in zip(regressors, errors, unclustered, strict=True):
        if error <= CANCELLED * scale:
            raise NotEstimable(
                f"The error of {name} cannot be estimated: its scores sum to zero in each of the {clusters} clusters "
                f"of {cluster}."
            )
