"""Two-way fixed effects regression, with the standard errors of fixest and reghdfe.

The paper's equation 1 is such a regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ai_manufacturing.estimators.columns import (
    Codes,
    Floats,
    encode_groups,
    read_numbers,
    renumber,
    sum_by,
)
from ai_manufacturing.estimators.inference import Fit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, join_names, sentence

Covariance = Literal["clustered", "iid", "robust"]

# A column is absorbed if the effects leave less than this share of its norm. All tolerances are
# relative, so they do not depend on units.
ABSORBED = 1e-6
# Rounding error of a column, relative to its largest value.
ROUNDING = 1e-12
# Tolerance for collinear regressors. It is slightly looser than the 1e-5 of PanelOLS, so that this
# module's error, which names the column, is raised first.
COLLINEAR = 2e-5
# Eigenvalues of the period dummies' Gram matrix below this share of the largest count as zero.
DEPENDENT = 1e-9
# A fit is exact if the norm of its residuals is below this share of the demeaned outcome's norm.
EXACT = 1e-9
# A clustered standard error below this share of the unclustered one is rounding error.
CANCELLED = 1e-6


@dataclass(frozen=True, eq=False)
class FixedEffectsFit(Fit):
    """Two-way fixed effects estimates, in the order of the requested regressors.

    Attributes
    ----------
    covariance_matrix : ndarray, shape (k, k)
        Covariance of the estimates, including the small-sample factor.
    year_count : int
        Periods in the estimation sample. Like the observation and city counts, it excludes
        singletons.
    singletons_dropped : int
        Rows dropped because their entity or period had no other row, repeated until no singleton
        remained.
    r2_inclusive : float
        1 - RSS/TSS, with the effects included in the explained part; papers usually print this R2.
    r2_within : float
        R2 after both effects are removed from the outcome, as in fixest. Stata's xtreg removes the
        entity effect only and therefore prints a different figure.
    degrees_of_freedom : float
        Degrees of freedom of t: G-1 for G clusters, or n-K for iid and robust standard errors.
    regression : PartialledOut
        Partialled-out data behind the estimates, reused by later checks.
    """

    covariance_matrix: Floats
    year_count: int
    singletons_dropped: int
    r2_inclusive: float
    r2_within: float
    regression: "PartialledOut"


def cluster_factor(observations: int, clusters: int, slopes: int, years: int) -> float:
    """Return the small-sample factor of a clustered covariance with city and year effects.

    City effects are nested in the clusters and count once, so K = slopes + years.

    Parameters
    ----------
    observations, clusters, slopes, years : int
        Rows, clusters, regressors and years in the estimation sample.

    Returns
    -------
    float
        G/(G-1) * (n-1)/(n-K), the multiplier of the sandwich.

    Raises
    ------
    NotEstimable
        If there are fewer than two clusters, or n <= K.

    References
    ----------
    Default of fixest and of Stata's reghdfe; tests/python/golden contains reference values.
    """
    if clusters < 2:
        raise NotEstimable("too_few_clusters", count=clusters)
    parameters = slopes + years
    if observations <= parameters:
        raise NotEstimable(
            "too_many_parameters",
            observations=observations,
            parameters=parameters,
            slopes=slopes,
            years=years,
        )
    return clusters / (clusters - 1) * (observations - 1) / (observations - parameters)


class Effects:
    """Entity and period effects of a sample, factorised once to demean any number of columns.

    Parameters
    ----------
    entities, times : ndarray of int, shape (n,)
        Groups of each row, 0, 1, ... without gaps. Any two factors work; times may be
        province-years, for example.

    Attributes
    ----------
    rank : int
        Rank of the dummies: entities + periods - connected components of the panel.
    """

    def __init__(self, entities: Codes, times: Codes) -> None:
        self._entities, self._times = entities, times
        self._entity_dummies, self._time_dummies = (
            build_dummies(codes) for codes in (entities, times)
        )
        entity_count, time_count = self._entity_dummies.shape[0], self._time_dummies.shape[0]
        cells = np.bincount(entities * time_count + times, minlength=entity_count * time_count)
        counts = cells.reshape(entity_count, time_count).astype(float)
        self._sizes = counts.sum(axis=1)
        self._shares = counts / self._sizes[:, None]
        # Gram matrix of the period dummies after the entity effects are partialled out.
        gram = np.diag(counts.sum(axis=0)) - counts.T @ self._shares
        strengths, directions = np.linalg.eigh(gram)
        regular = strengths > DEPENDENT * max(float(strengths[-1]), 1.0)
        self._weights = directions[:, regular] / np.sqrt(strengths[regular])
        self._inverse = directions[:, regular] / strengths[regular] @ directions[:, regular].T
        self.rank = len(self._sizes) + int(regular.sum())

    def remove_from(self, columns: Floats) -> Floats:
        """Partial the effects out of (n, m) columns; exact also for unbalanced panels."""
        residuals: Floats = (
            columns - (self._entity_dummies @ columns / self._sizes[:, None])[self._entities]
        )
        period_effects = self._inverse @ (self._time_dummies @ residuals)
        residuals -= period_effects[self._times]
        residuals += (self._shares @ period_effects)[self._entities]
        return residuals

    @cached_property
    def period_basis(self) -> Floats:
        """Orthonormal basis of the period dummies after entity means are subtracted.

        The shape is (n, rank - number of entities).
        """
        basis: Floats = self._weights[self._times] - (self._shares @ self._weights)[self._entities]
        return basis


def build_dummies(codes: Codes) -> sparse.csr_array:
    """Return a sparse dummy matrix, (groups, n), whose product with a column sums by group."""
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    rows = np.argsort(codes, kind="stable")
    shape = (len(ends) - 1, len(codes))
    return sparse.csr_array((np.ones(len(codes)), rows, ends), shape=shape)


class TrendEffects:
    """Entity and period effects plus a linear trend for each entity.

    Parameters
    ----------
    effects : Effects
    entities : ndarray of int, shape (n,)
        As in Effects.
    times : ndarray, shape (n,)
        Year of each row, even if the periods of the effects are province-years.

    Attributes
    ----------
    period_basis : ndarray, shape (n, r)
        Orthonormal basis of the period dummies net of entity effects and trends.
    rank : int
        Joint rank of effects and trends.
    """

    def __init__(self, effects: Effects, entities: Codes, times: Floats) -> None:
        self._effects, self._entities, self._entity_dummies = (
            effects,
            entities,
            build_dummies(entities),
        )
        lines = times - (self._entity_dummies @ times / np.bincount(entities))[entities]
        lengths = np.sqrt(self._entity_dummies @ lines**2)
        has_line = lengths > 0  # entities observed in a single year have no trend
        self._lines = lines / np.where(has_line, lengths, 1.0)[entities]
        periods = self._remove_trends(effects.period_basis)
        strengths, directions = np.linalg.eigh(periods.T @ periods)
        regular = strengths > DEPENDENT
        self.period_basis: Floats = periods @ (directions[:, regular] / np.sqrt(strengths[regular]))
        self.rank = len(has_line) + int(has_line.sum()) + int(regular.sum())

    def remove_from(self, columns: Floats) -> Floats:
        """Partial the effects and trends out of columns of shape (n, m)."""
        within = self._remove_trends(self._effects.remove_from(columns))
        within -= self.period_basis @ (self.period_basis.T @ within)
        return within

    def _remove_trends(self, columns: Floats) -> Floats:
        slopes = self._entity_dummies @ (columns * self._lines[:, None])
        detrended: Floats = columns - self._lines[:, None] * slopes[self._entities]
        return detrended


@dataclass(frozen=True, eq=False)
class PartialledOut:
    """Outcome and regressors of a regression after the fixed effects are partialled out.

    Attributes
    ----------
    outcome : ndarray, shape (n,)
        Outcome net of the effects.
    design : ndarray, shape (n, k)
        Regressors net of the effects, each scaled to unit length.
    units : ndarray, shape (k,)
        Factors that convert slopes on the design to the units of the sample.
    centred_outcome : ndarray, shape (n,)
        Outcome minus its mean, with its effects.
    entities, times, clusters : ndarray of int, shape (n,)
        Groups of each row, 0, 1, ...; rows are sorted by entity and time.
    effects : Effects or TrendEffects
        Effects of these entities and times.
    index : Index, length n
        Index labels of the rows in the sample, for looking up other columns.
    singletons_dropped : int
        Rows of the sample that were dropped as singletons.
    """

    outcome: Floats
    design: Floats
    units: Floats
    centred_outcome: Floats
    entities: Codes
    times: Codes
    clusters: Codes
    effects: Effects | TrendEffects
    index: pd.Index
    singletons_dropped: int

    @property
    def factor(self) -> float:
        """Small-sample factor by which the clustered covariance is multiplied."""
        n, k = self.design.shape
        return cluster_factor(n, self.cluster_count, k, self.time_count)

    @property
    def entity_count(self) -> int:
        """Number of entities in the estimation sample."""
        return int(self.entities.max()) + 1

    @property
    def time_count(self) -> int:
        """Number of periods in the estimation sample."""
        return int(self.times.max()) + 1

    @property
    def cluster_count(self) -> int:
        """Number of clusters in the estimation sample."""
        return int(self.clusters.max()) + 1


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
    covariance: Covariance = "clustered",
) -> FixedEffectsFit:
    """Regress an outcome on regressors with city and period effects.

    The effects are partialled out, and numpy fits the residuals. Every build repeats the fit with
    PanelOLS of linearmodels (second_route.fit_panel_ols). PanelOLS gives the same slopes and, after
    the small-sample factor below, the same standard errors.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and period, in any order and possibly with gaps; no missing values in
        the columns named below.
    outcome : str
        Column of the dependent variable.
    regressors : sequence of str
        Columns of the k regressors.
    time : str
        Column of the period effects.
    cluster : str
        Column of the clusters for clustered standard errors; cities must be nested in clusters.
    covariance : {"clustered", "iid", "robust"}
        Assumption about the errors: dependent within clusters; independent with a common variance;
        or independent with individual variances (HC1).

    Returns
    -------
    FixedEffectsFit
        Estimates, standard errors, goodness of fit and counts.

    Raises
    ------
    NotEstimable
        If a column has missing, non-finite or non-numeric values; no observations remain; there are
        fewer than two clusters (clustered only), or no residual degrees of freedom; the outcome or
        a regressor has no within variation; a regressor is a linear combination of earlier ones; or
        the scores cancel in every cluster (two cities, each its own cluster), which makes the
        standard error zero for any data.

    Notes
    -----
    "clustered" multiplies the sandwich of the scores summed by cluster by cluster_factor and uses
    t(G-1). "iid" multiplies the inverse of X'X by RSS/(n-K), and "robust" multiplies the sandwich
    of the individual scores by n/(n-K). Both use t(n-K) with K = slopes + rank of the effects, like
    fixest's "iid" and "hetero".

    If the panel splits into unconnected components, clustered standard errors still count the
    effects as if it were connected, which is fixest's default. K is then too large by the number of
    components minus one, and the standard errors are slightly too large.

    With fixed effects and few years, HC1 is inconsistent as the number of cities grows, and iid
    standard errors ignore serial correlation within a city. Report both only alongside the
    clustered standard errors, not in place of them.

    References
    ----------
    Correia (2015), "Singletons, cluster-robust standard errors and fixed effects"; Cameron and
    Miller (2015), "A practitioner's guide to cluster-robust inference", Journal of Human Resources
    50(2); Stock and Watson (2008), "Heteroskedasticity-robust standard errors for fixed effects
    panel data regression", Econometrica 76(1).
    """
    regression = partial_out(sample, outcome, regressors, time=time, cluster=cluster)
    estimated_fit = fit_partialled_out(regression, regressors, covariance)
    ols = fit_least_squares(regression)
    if covariance == "clustered" and ols.residuals.any():
        influence = regression.design @ ols.bread * ols.residuals[:, None]
        unclustered_errors = np.linalg.norm(influence, axis=0) * regression.units
        scores_cancel = estimated_fit.std_errors <= CANCELLED * unclustered_errors
        if scores_cancel.any():
            name = regressors[int(scores_cancel.argmax())]
            count = regression.cluster_count
            raise NotEstimable("scores_cancel", name=name, count=count, cluster=cluster)
    return estimated_fit


def fit_partialled_out(
    regression: PartialledOut, terms: Sequence[str], covariance: Covariance
) -> FixedEffectsFit:
    """Estimate a partialled-out regression with the chosen type of standard errors.

    Unlike fit, it accepts clustered standard errors that are zero because the scores cancel.

    Parameters
    ----------
    regression : PartialledOut
    terms : sequence of str
        Names of its regressors.
    covariance : {"clustered", "iid", "robust"}
        As in fit.

    Raises
    ------
    NotEstimable
        If the covariance is clustered and there are fewer than two clusters.
    """
    slopes, residuals, bread = fit_least_squares(regression)
    n, k = regression.design.shape
    scores = regression.design * residuals[:, None]
    if covariance == "clustered":
        scores = sum_by(regression.clusters, scores)
        freedom, factor = regression.cluster_count - 1, regression.factor
    else:
        freedom = n - k - regression.effects.rank
        factor = n / freedom
    influence = scores @ bread
    variance = factor * influence.T @ influence
    rss = residuals @ residuals
    if covariance == "iid":
        variance = rss / freedom * bread
    units = regression.units
    return FixedEffectsFit(
        terms=tuple(terms),
        estimates=slopes * units,
        std_errors=np.sqrt(np.diag(variance)) * units,
        covariance_matrix=variance * np.outer(units, units),
        observation_count=n,
        city_count=regression.entity_count,
        year_count=regression.time_count,
        singletons_dropped=regression.singletons_dropped,
        r2_inclusive=float(1 - rss / (regression.centred_outcome @ regression.centred_outcome)),
        r2_within=float(1 - rss / (regression.outcome @ regression.outcome)),
        degrees_of_freedom=freedom,
        cluster_count=regression.cluster_count if covariance == "clustered" else None,
        regression=regression,
    )


def partial_out(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> PartialledOut:
    """Validate a sample, drop its singletons, and partial the effects out of its columns.

    Parameters and reasons for NotEstimable are documented in fit.

    Returns
    -------
    PartialledOut
        The regression net of effects, with rows in a fixed order and columns free of units.
    """
    values = np.column_stack([read_numbers(sample, column) for column in (outcome, *regressors)])
    labels = [encode_groups(sample, column) for column in ("city_id", time, cluster)]
    if len(sample) == 0:
        raise NotEstimable("no_observations")
    rows = find_rows_without_singletons(*labels[:2])
    if len(rows) == 0:
        raise NotEstimable("nothing_left", time=time, count=len(sample))
    # Sort the rows, so that floating-point sums do not depend on the order of the input.
    rows = rows[np.lexsort((labels[1][rows], labels[0][rows]))]
    values = values[rows]
    entities, times, clusters = (renumber(codes[rows]) for codes in labels)
    n, k = len(rows), len(regressors)

    # Scale by the largest value, so that squares cannot overflow, and centre to keep precision.
    scale = np.abs(values).max(axis=0)
    scale[scale == 0] = 1.0
    values = values / scale
    values -= values.mean(axis=0)
    effects = Effects(entities, times)
    if n <= k + effects.rank:
        raise NotEstimable("saturated", observations=n, slopes=k, effects=effects.rank, time=time)
    removed_effects = sentence("effects_removed", effects=join_names(["city_id", time]))
    within = effects.remove_from(values)
    if _lacks_variation(within[:, :1], values[:, :1])[0]:
        raise NotEstimable("constant_outcome", name=outcome, removed=removed_effects)
    design, norms = scale_to_unit_length(within[:, 1:], values[:, 1:], regressors, removed_effects)

    return PartialledOut(
        outcome=within[:, 0],
        design=design,
        units=scale[0] / (scale[1:] * norms),
        centred_outcome=values[:, 0],
        entities=entities,
        times=times,
        clusters=clusters,
        effects=effects,
        index=sample.index[rows],
        singletons_dropped=len(sample) - n,
    )


def add_entity_trends(
    regression: PartialledOut, times: Floats, terms: Sequence[str]
) -> PartialledOut:
    """Add a linear trend for each entity to the effects of a regression.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    times : ndarray, shape (n,)
        Year of each row.
    terms : sequence of str
        Names of its regressors.

    Returns
    -------
    PartialledOut
        The regression on the same rows. An entity with two years is fitted exactly and does not
        contribute to the slopes.

    Raises
    ------
    NotEstimable
        If effects and trends absorb the outcome or a regressor, or if a regressor becomes a linear
        combination of earlier ones.
    """
    assert isinstance(regression.effects, Effects)
    effects = TrendEffects(regression.effects, regression.entities, times)
    columns = np.column_stack([regression.outcome, regression.design])
    within = effects.remove_from(columns)
    removed_effects = sentence("effects_and_trends_removed")
    if _lacks_variation(within[:, :1], columns[:, :1])[0]:
        raise NotEstimable("constant_outcome", name="outcome", removed=removed_effects)
    design, lengths = scale_to_unit_length(within[:, 1:], columns[:, 1:], terms, removed_effects)
    return replace(
        regression,
        outcome=within[:, 0],
        design=design,
        units=regression.units / lengths,
        effects=effects,
    )


class LeastSquares(NamedTuple):
    """Least squares slopes and residuals of a design X, with the matrix (X'X)^-1."""

    slopes: Floats
    residuals: Floats
    bread: Floats


@lru_cache(maxsize=2)  # called once per coefficient of the same regression
def fit_least_squares(regression: PartialledOut) -> LeastSquares:
    """Regress the partialled-out outcome on the design (Frisch-Waugh-Lovell)."""
    design = regression.design
    bread = np.linalg.inv(design.T @ design).astype(np.float64, copy=False)
    slopes = bread @ (design.T @ regression.outcome)
    residuals = regression.outcome - design @ slopes
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(regression.outcome):
        residuals = np.zeros_like(residuals)
    return LeastSquares(slopes, residuals, bread)


def find_rows_without_singletons(
    entities: Codes, *periods: Codes, entity_effects: int = 1
) -> Codes:
    """Return the positions of the rows that remain after singletons are dropped repeatedly.

    A row is dropped if it is alone in its period, for any of the given period factors, or if its
    entity has at most `entity_effects` rows. The result has shape (n',).
    """
    rows = np.arange(len(entities))
    while True:
        alone = np.zeros(len(rows), dtype=bool)
        for codes, effects in ((entities, entity_effects), *((times, 1) for times in periods)):
            alone |= np.bincount(codes[rows])[codes[rows]] <= effects
        if not alone.any():
            return rows
        rows = rows[~alone]


def _lacks_variation(within: Floats, original: Floats) -> NDArray[np.bool_]:
    """Flag each of k columns that the effects absorb up to rounding error."""
    rounding = ROUNDING * np.sqrt(len(original))
    thresholds = np.maximum(ABSORBED * np.linalg.norm(original, axis=0), rounding)
    return np.asarray(np.linalg.norm(within, axis=0) <= thresholds)


def scale_to_unit_length(
    within: Floats,
    original: Floats,
    regressors: Sequence[str],
    removed_effects: Sentence,
    absorbed_key: str = "constant_regressor",
) -> tuple[Floats, Floats]:
    """Scale partialled-out regressors to unit length, and check that each slope is identified.

    Parameters
    ----------
    within, original : ndarray, shape (n, k)
        Regressors after and before the effects are removed.
    regressors : sequence of str
        Names of the regressors.
    removed_effects : Sentence
        Description of the removed effects, for the reason.
    absorbed_key : str
        Key of the sentence that reports a regressor absorbed by the effects.

    Returns
    -------
    design : ndarray, shape (n, k)
    norms : ndarray, shape (k,)
        Lengths by which the columns of `within` were divided.

    Raises
    ------
    NotEstimable
        If the effects absorb a regressor, or earlier regressors span it. The reason names the first
        such regressor.
    """
    is_absorbed = _lacks_variation(within, original)
    if is_absorbed.any():
        raise NotEstimable(
            absorbed_key, name=regressors[int(is_absorbed.argmax())], removed=removed_effects
        )
    norms = np.linalg.norm(within, axis=0)
    design = within / norms
    is_collinear = np.abs(np.diag(np.linalg.qr(design, mode="r"))) <= COLLINEAR
    if is_collinear.any():
        j = int(is_collinear.argmax())
        earlier, column = design[:, :j], design[:, j]
        weights = np.linalg.lstsq(earlier, column, rcond=None)[0]
        others = [regressors[i] for i in range(j) if abs(weights[i]) > COLLINEAR]
        raise NotEstimable(
            "collinear", name=regressors[j], others=join_names(others), removed=removed_effects
        )
    return design, norms
