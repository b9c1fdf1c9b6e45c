"""Two-way fixed effects: equation 1 of the paper, with the errors of fixest and reghdfe."""

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
    groups_in,
    numbers_in,
    renumbered,
    sums_by,
)
from ai_manufacturing.estimators.inference import Fit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, both, sentence

Covariance = Literal["clustered", "iid", "robust"]

# Each tolerance is a share of a norm, so none depends on units.
ABSORBED = 1e-6  # a column is absorbed if less than this share of its variation is left within
ROUNDING = 1e-12  # ... or less than this share of its largest value, which is rounding error
# fixest's default, and just above the 1e-5 of PanelOLS, so that ours names the column first
COLLINEAR = 2e-5
# a direction of the period dummies of less strength than this share of the most is none
DEPENDENT = 1e-9
EXACT = 1e-9  # residuals below this share of the outcome's within variation are rounding error
CANCELLED = 1e-6  # an error below this share of the one with less freedom is rounding error


@dataclass(frozen=True, eq=False)
class FixedEffectsFit(Fit):
    """Estimates of one specification, in the order of the regressors asked for.

    Attributes
    ----------
    covariance_matrix : ndarray, shape (k, k)
        Covariance of the estimates, small-sample factor included.
    year_count : int
        Periods that the estimates rest on, after singletons are dropped, as rows and entities are
        counted too.
    singletons_dropped : int
        Rows dropped because their entity or their period had no other row left, repeated until none
        was left.
    r2_inclusive : float
        1 - RSS/TSS with the effects counted as explanation: the R2 that papers print.
    r2_within : float
        Share explained of the variation the outcome has left after both effects are removed
        (fixest's within R2; Stata's xtreg removes the entity effect only, and so prints another
        figure).
    degrees_of_freedom : float
        Those of t: G-1, clusters less one, for clustered errors; n-K for iid and robust ones.
    regression : PartialledOut
        What the estimates were computed from, for the checks that follow.
    """

    covariance_matrix: Floats
    year_count: int
    singletons_dropped: int
    r2_inclusive: float
    r2_within: float
    regression: "PartialledOut"


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
    """The effects of one sample, factored once for all columns that they are removed from.

    Parameters
    ----------
    entities, times : ndarray of int, shape (n,)
        Groups of each row, 0, 1, ... without gaps; any two factors, so times may be province-years.

    Attributes
    ----------
    rank : int
        Rank of the dummies: entities + periods - connected pieces of the panel.
    """

    def __init__(self, entities: Codes, times: Codes) -> None:
        self._entities, self._times = entities, times
        self._of_entity, self._of_time = (indicators(codes) for codes in (entities, times))
        entity_count, time_count = self._of_entity.shape[0], self._of_time.shape[0]
        cells = np.bincount(entities * time_count + times, minlength=entity_count * time_count)
        counts = cells.reshape(entity_count, time_count).astype(float)
        self._sizes = counts.sum(axis=1)
        self._shares = counts / self._sizes[:, None]
        # The normal equations of the period dummies, once the entity dummies are projected off
        # them.
        gram = np.diag(counts.sum(axis=0)) - counts.T @ self._shares
        strengths, directions = np.linalg.eigh(gram)
        regular = strengths > DEPENDENT * max(float(strengths[-1]), 1.0)
        self._weights = directions[:, regular] / np.sqrt(strengths[regular])
        self._inverse = directions[:, regular] / strengths[regular] @ directions[:, regular].T
        self.rank = len(self._sizes) + int(regular.sum())

    def removed_from(self, columns: Floats) -> Floats:
        """Project columns, shape (n, m), off the dummies: exactly, in unbalanced panels too."""
        residuals: Floats = (
            columns - (self._of_entity @ columns / self._sizes[:, None])[self._entities]
        )
        of_periods = self._inverse @ (self._of_time @ residuals)
        residuals -= of_periods[self._times]
        residuals += (self._shares @ of_periods)[self._entities]
        return residuals

    @cached_property
    def period_basis(self) -> Floats:
        """An orthonormal basis of the period dummies less the entities' means.

        Shape (n, rank - entities).
        """
        basis: Floats = self._weights[self._times] - (self._shares @ self._weights)[self._entities]
        return basis


def indicators(codes: Codes) -> sparse.csr_array:
    """Return the dummies of a factor, a row per group, whose product with columns sums by group."""
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    rows = np.argsort(codes, kind="stable")
    shape = (len(ends) - 1, len(codes))
    return sparse.csr_array((np.ones(len(codes)), rows, ends), shape=shape)


class TrendEffects:
    """The effects of a sample, and a linear trend of each entity beside them.

    Parameters
    ----------
    effects : Effects
    entities : ndarray of int, shape (n,)
        As in Effects.
    times : ndarray, shape (n,)
        The year of each row; the periods of the effects may be province-years.

    Attributes
    ----------
    period_basis : ndarray, shape (n, r)
        An orthonormal basis of the period dummies less what entities and their trends explain.
    rank : int
        Rank of all of them together.
    """

    def __init__(self, effects: Effects, entities: Codes, times: Floats) -> None:
        self._effects, self._entities, self._of_entity = effects, entities, indicators(entities)
        lines = times - (self._of_entity @ times / np.bincount(entities))[entities]
        lengths = np.sqrt(self._of_entity @ lines**2)
        has_line = lengths > 0  # an entity with one year has none
        self._lines = lines / np.where(has_line, lengths, 1.0)[entities]
        periods = self._without_trends(effects.period_basis)
        strengths, directions = np.linalg.eigh(periods.T @ periods)
        regular = strengths > DEPENDENT
        self.period_basis: Floats = periods @ (directions[:, regular] / np.sqrt(strengths[regular]))
        self.rank = len(has_line) + int(has_line.sum()) + int(regular.sum())

    def removed_from(self, columns: Floats) -> Floats:
        """Project columns, shape (n, m), off effects and trends."""
        within = self._without_trends(self._effects.removed_from(columns))
        within -= self.period_basis @ (self.period_basis.T @ within)
        return within

    def _without_trends(self, columns: Floats) -> Floats:
        slopes = self._of_entity @ (columns * self._lines[:, None])
        without: Floats = columns - self._lines[:, None] * slopes[self._entities]
        return without


@dataclass(frozen=True, eq=False)
class PartialledOut:
    """A regression with the effects removed, from which coefficients and errors are computed.

    Attributes
    ----------
    outcome : ndarray, shape (n,)
        Outcome less its effects.
    design : ndarray, shape (n, k)
        Regressors less their effects, each of unit length.
    units : ndarray, shape (k,)
        A slope on design times these is a slope in the units of the sample.
    centred_outcome : ndarray, shape (n,)
        Outcome less its mean, with its effects.
    entities, times, clusters : ndarray of int, shape (n,)
        Groups of each row, 0, 1, ...; rows are sorted by entity and time.
    effects : Effects or TrendEffects
        The effects of these entities and times.
    index : Index, length n
        Labels of the rows in the sample, which tell what else is known of each.
    singletons_dropped : int
        Rows of the sample that are not among the n.
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
        """Small-sample factor of the covariance by these clusters."""
        n, k = self.design.shape
        return cluster_factor(n, self.cluster_count, k, self.time_count)

    @property
    def entity_count(self) -> int:
        """Entities in the estimation sample."""
        return int(self.entities.max()) + 1

    @property
    def time_count(self) -> int:
        """Periods in the estimation sample."""
        return int(self.times.max()) + 1

    @property
    def cluster_count(self) -> int:
        """Clusters in the estimation sample."""
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

    The effects are removed once, and numpy fits what is left. PanelOLS of linearmodels gives the
    same slopes, and after the factor below the same errors, by a second route
    (second_route.by_panel_ols, which runs in every build).

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and period, in any order and with gaps; no missing values in the columns
        named below.
    outcome : str
        Column of the dependent variable.
    regressors : sequence of str
        Columns of the k regressors.
    time : str
        Column of the period effects.
    cluster : str
        Column of the clusters of clustered errors, in which the cities are nested.
    covariance : {"clustered", "iid", "robust"}
        Errors may be dependent within a cluster; are independent with one variance; or are
        independent, each with a variance of its own (HC1).

    Returns
    -------
    FixedEffectsFit
        Estimates, errors, fit and counts.

    Raises
    ------
    NotEstimable
        With a sentence, if: a column has missing, non-finite or non-numeric values; no observation
        is left; there are fewer than two (clustered) clusters, or no residual degree of freedom;
        the outcome or a regressor does not vary within; a regressor is a linear combination of
        earlier ones; or the scores cancel in every cluster (two cities, each its own cluster), so
        that the error is zero whatever the data.

    Notes
    -----
    Clustered: cluster_factor times the sandwich of the clustered scores, t(G-1). iid: RSS/(n-K)
    times the inverse of X'X; robust: n/(n-K) times the sandwich of the single scores; both t(n-K)
    with K = slopes + the rank of the effects, as fixest's "iid" and "hetero".

    Clustered errors count the effects of a panel that falls into unconnected pieces as if it were
    connected (fixest's default): K is then too large by the number of pieces less one, and the
    errors too large by a trifle.

    In a panel with fixed effects and few years HC1 is inconsistent as the number of cities grows,
    and iid errors ignore that a city's years are alike: both are here to be set beside the
    clustered ones, not instead of them.

    References
    ----------
    Correia (2015), "Singletons, cluster-robust standard errors and fixed effects"; Cameron and
    Miller (2015), "A practitioner's guide to cluster-robust inference", Journal of Human Resources
    50(2); Stock and Watson (2008), "Heteroskedasticity-robust standard errors for fixed effects
    panel data regression", Econometrica 76(1).
    """
    regression = partialled_out(sample, outcome, regressors, time=time, cluster=cluster)
    fitted = fit_partialled_out(regression, regressors, covariance)
    slopes = least_squares(regression)
    if covariance == "clustered" and slopes.residuals.any():
        influence = regression.design @ slopes.bread * slopes.residuals[:, None]
        unclustered = np.linalg.norm(influence, axis=0) * regression.units
        cancelled = fitted.std_errors <= CANCELLED * unclustered
        if cancelled.any():
            name = regressors[int(cancelled.argmax())]
            count = regression.cluster_count
            raise NotEstimable("scores_cancel", name=name, count=count, cluster=cluster)
    return fitted


def fit_partialled_out(
    regression: PartialledOut, terms: Sequence[str], covariance: Covariance
) -> FixedEffectsFit:
    """Return the estimates of a regression with errors of a kind.

    An error may be zero, where fit raises NotEstimable.

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
        If clustered errors have fewer than two clusters.
    """
    slopes, residuals, bread = least_squares(regression)
    n, k = regression.design.shape
    scores = regression.design * residuals[:, None]
    if covariance == "clustered":
        scores = sums_by(regression.clusters, scores)
        freedom, factor = regression.cluster_count - 1, regression.factor
    else:
        freedom = n - k - regression.effects.rank
        factor = n / freedom
    influence = scores @ bread
    variance = factor * influence.T @ influence
    unexplained = residuals @ residuals
    if covariance == "iid":
        variance = unexplained / freedom * bread
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
        r2_inclusive=float(
            1 - unexplained / (regression.centred_outcome @ regression.centred_outcome)
        ),
        r2_within=float(1 - unexplained / (regression.outcome @ regression.outcome)),
        degrees_of_freedom=freedom,
        cluster_count=regression.cluster_count if covariance == "clustered" else None,
        regression=regression,
    )


def partialled_out(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> PartialledOut:
    """Check a sample as fit does, drop its singletons, and remove the effects from its columns.

    Parameters, and reasons for NotEstimable, are those of fit.

    Returns
    -------
    PartialledOut
        The regression that is left, in one order of the rows and free of units.
    """
    values = np.column_stack([numbers_in(sample, column) for column in (outcome, *regressors)])
    labels = [groups_in(sample, column) for column in ("city_id", time, cluster)]
    if len(sample) == 0:
        raise NotEstimable("no_observations")
    rows = rows_without_singletons(*labels[:2])
    if len(rows) == 0:
        raise NotEstimable("nothing_left", time=time, count=len(sample))
    # One order for the sums, so that the last digits do not depend on the order of the rows
    # delivered.
    rows = rows[np.lexsort((labels[1][rows], labels[0][rows]))]
    values = values[rows]
    entities, times, clusters = (renumbered(codes[rows]) for codes in labels)
    n, k = len(rows), len(regressors)

    # Centred and in units of the largest value: keeps digits, and no square can overflow.
    scale = np.abs(values).max(axis=0)
    scale[scale == 0] = 1.0
    values = values / scale
    values -= values.mean(axis=0)
    effects = Effects(entities, times)
    if n <= k + effects.rank:
        raise NotEstimable("saturated", observations=n, slopes=k, effects=effects.rank, time=time)
    removed = sentence("effects_removed", effects=both(["city_id", time]))
    within = effects.removed_from(values)
    if _absorbed(within[:, :1], values[:, :1])[0]:
        raise NotEstimable("constant_outcome", name=outcome, removed=removed)
    design, norms = unit_columns(within[:, 1:], values[:, 1:], regressors, removed)

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


def with_entity_trends(
    regression: PartialledOut, times: Floats, terms: Sequence[str]
) -> PartialledOut:
    """Return a regression with a linear trend of each entity among its effects.

    Parameters
    ----------
    regression : PartialledOut
        Regression with its effects removed.
    times : ndarray, shape (n,)
        The year of each row.
    terms : sequence of str
        Names of its regressors.

    Returns
    -------
    PartialledOut
        With the same rows; those of an entity of two years are fitted exactly and identify nothing.

    Raises
    ------
    NotEstimable
        If effects and trends leave nothing of the outcome or of a regressor, or a regressor is then
        a combination of earlier ones.
    """
    assert isinstance(regression.effects, Effects)
    effects = TrendEffects(regression.effects, regression.entities, times)
    before = np.column_stack([regression.outcome, regression.design])
    within = effects.removed_from(before)
    removed = sentence("effects_and_trends_removed")
    if _absorbed(within[:, :1], before[:, :1])[0]:
        raise NotEstimable("constant_outcome", name="outcome", removed=removed)
    design, lengths = unit_columns(within[:, 1:], before[:, 1:], terms, removed)
    return replace(
        regression,
        outcome=within[:, 0],
        design=design,
        units=regression.units / lengths,
        effects=effects,
    )


class Slopes(NamedTuple):
    """Slopes in the units of the design, and what their covariance is made from."""

    slopes: Floats
    residuals: Floats
    bread: Floats


@lru_cache(maxsize=2)  # the terms of a regression follow each other
def least_squares(regression: PartialledOut) -> Slopes:
    """Fit what the effects leave: the slopes of the whole regression by Frisch-Waugh-Lovell."""
    design = regression.design
    bread = np.linalg.inv(design.T @ design).astype(np.float64, copy=False)
    slopes = bread @ (design.T @ regression.outcome)
    residuals = regression.outcome - design @ slopes
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(regression.outcome):
        residuals = np.zeros_like(residuals)
    return Slopes(slopes, residuals, bread)


def rows_without_singletons(entities: Codes, *periods: Codes, entity_effects: int = 1) -> Codes:
    """Return the positions left when rows that effects fit exactly are dropped until none is.

    Those are rows alone in a period, of each of several kinds of periods, and those of an entity
    that has no more rows than effects of its own. Shape (n',).
    """
    rows = np.arange(len(entities))
    while True:
        alone = np.zeros(len(rows), dtype=bool)
        for codes, effects in ((entities, entity_effects), *((times, 1) for times in periods)):
            alone |= np.bincount(codes[rows])[codes[rows]] <= effects
        if not alone.any():
            return rows
        rows = rows[~alone]


def _absorbed(within: Floats, centred: Floats) -> NDArray[np.bool_]:
    """Return of which columns, shape (n, k), the effects leave nothing but rounding error."""
    rounding = ROUNDING * np.sqrt(len(centred))
    least = np.maximum(ABSORBED * np.linalg.norm(centred, axis=0), rounding)
    return np.asarray(np.linalg.norm(within, axis=0) <= least)


def unit_columns(
    within: Floats,
    centred: Floats,
    regressors: Sequence[str],
    removed: Sentence,
    absorbed: str = "constant_regressor",
) -> tuple[Floats, Floats]:
    """Scale partialled-out regressors to unit length, and check that each identifies a slope.

    Parameters
    ----------
    within, centred : ndarray, shape (n, k)
        Regressors after and before the effects are removed.
    regressors : sequence of str
        Their names.
    removed : Sentence
        What was removed.
    absorbed : str
        Key of the sentence on a regressor that the effects absorb.

    Returns
    -------
    design : ndarray, shape (n, k)
    norms : ndarray, shape (k,)
        Lengths that the columns of within were divided by.

    Raises
    ------
    NotEstimable
        Naming the first regressor that is absorbed by the effects, or spanned by the ones before
        it.
    """
    is_absorbed = _absorbed(within, centred)
    if is_absorbed.any():
        raise NotEstimable(absorbed, name=regressors[int(is_absorbed.argmax())], removed=removed)
    norms = np.linalg.norm(within, axis=0)
    design = within / norms
    is_collinear = np.abs(np.diag(np.linalg.qr(design, mode="r"))) <= COLLINEAR
    if is_collinear.any():
        j = int(is_collinear.argmax())
        before, column = design[:, :j], design[:, j]
        weights = np.linalg.lstsq(before, column, rcond=None)[0]
        others = [regressors[i] for i in range(j) if abs(weights[i]) > COLLINEAR]
        raise NotEstimable("collinear", name=regressors[j], others=both(others), removed=removed)
    return design, norms
