"""Counts as outcomes: Poisson, whose slopes know no unit, beside log(1 + x), whose slopes depend on that of x."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse, special

from ai_manufacturing.estimation import tables
from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators import event_study, fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats, groups_in, numbers_in, sums_by
from ai_manufacturing.estimators.fixed_effects import (
    CANCELLED,
    EXACT,
    ROUNDING,
    FixedEffectsFit,
    PartialledOut,
)
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case

CONVERGED = 1e-10  # largest change of a linear predictor in the last step
STEPS = 60  # more than that, and a predictor is on its way to minus infinity
SHORTEST = 1e-6  # share of a step
SEPARATED = 1e-6  # share of a separating combination that is not rounding error


def event_study_of_counts(case: Case, cluster: str) -> Iterator[Row]:
    """Fit an event study whose outcome is log(1 + x) to x itself."""
    study, inputs, specification = case.event_study, case.inputs, case.specification
    if specification.transform != "ln1p":
        raise NotEstimable("not_log_of_one_plus", transform=specification.transform)
    rows = tables.with_treatment(specification, case.sample, inputs)
    data = event_study.interacted(
        rows.assign(counted=np.expm1(rows[specification.outcome])),
        event_year=inputs.event_year,
        window=inputs.event_window,
    )
    estimated = fit(
        data.sample, "counted", [*data.terms, *specification.controls], cluster=f"{cluster}_id"
    )
    for j, term in enumerate(study.terms[: len(study.event_times)]):
        yield {"term": term, **vars(estimated.inference(j, warnings=estimated.warnings))}


@dataclass(frozen=True, eq=False)
class PoissonFit(FixedEffectsFit):
    """Estimates of a Poisson regression; a slope is the change in the log of the expected count.

    The attributes are those of FixedEffectsFit, but for these. Statistics are taken as normal, as
    fixest and ppmlhdfe do. r2_inclusive is the share of the deviance that slopes and effects
    explain, r2_within that of the deviance the effects alone leave.

    Attributes
    ----------
    separated_dropped : int
        Rows that are fitted by an expected count of zero and tell nothing of the slopes: of a city
        or a period without any count, or separated by a combination of regressors and effects.
    """

    separated_dropped: int

    @property
    def warnings(self) -> tuple[Sentence, ...]:
        """That rows are dropped."""
        dropped = self.separated_dropped
        return (sentence("separated_dropped", count=dropped),) if dropped else ()


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> PoissonFit:
    """Regress a count on regressors with entity and period effects by Poisson quasi-maximum likelihood.

    Only the mean must be right, exp(regressors and effects): the variance may be any, and the
    counts need not be whole.

    Parameters
    ----------
    sample, regressors, time, cluster
        As in fixed_effects.fit.
    outcome : str
        Column of the counts, none below zero.

    Returns
    -------
    PoissonFit
        Estimates, clustered errors with the factor of fixed_effects.fit, and counts.

    Raises
    ------
    NotEstimable
        With a sentence, if a count is below zero; no count is above zero; or for any reason of
        fixed_effects.fit, of the rows that are not separated.

    Notes
    -----
    Cities and periods without any count, and singletons, are dropped until none is left. What else
    is separated is found by a linear program, which runs only if the iteration does not converge
    without it.

    References
    ----------
    Santos Silva and Tenreyro (2006), "The log of gravity", Review of Economics and Statistics
    88(4); on separation, Correia, Guimarães and Zylkin (2021), arXiv:1903.01633; on log(1 + x),
    Chen and Roth (2024), "Logs with zeros?", Quarterly Journal of Economics 139(2).
    """
    counts = numbers_in(sample, outcome)
    if (counts < 0).any():
        raise NotEstimable("negative_count", column=outcome, value=counts[counts < 0][0])
    if len(counts) and not counts.any():
        raise NotEstimable("no_count", column=outcome)
    rows = sample.sort_values(["city_id", time], kind="stable")  # the order of partialled_out
    singletons, separated, by_program = 0, 0, 0
    while True:
        positions, alone = _rows_that_tell(rows, outcome, "city_id", time)
        singletons, separated = singletons + alone, separated + len(rows) - len(positions) - alone
        if len(rows) and not len(positions):
            raise NotEstimable("nothing_left", time=time, count=len(sample))
        rows = rows.iloc[positions]
        counts = numbers_in(rows, outcome)
        try:
            regression = fixed_effects.partialled_out(
                rows, outcome, regressors, time=time, cluster=cluster
            )
        except NotEstimable as finding:
            if not by_program:
                raise
            raise NotEstimable(
                "separated", outcome=outcome, count=by_program, finding=finding.reason
            ) from None
        try:
            return _fitted(
                regression,
                counts,
                tuple(regressors),
                cluster,
                singletons,
                separated + by_program,
            )
        except (_NotConvergedError, np.linalg.LinAlgError):
            telling = ~_separated(regression, counts)
            if telling.all():
                raise NotEstimable("not_converged", outcome=outcome, steps=STEPS) from None
            by_program += int((~telling).sum())
            rows = rows[telling]


class _NotConvergedError(Exception):
    """The iteration does not converge: some predictor may be on its way to minus infinity."""


def _fitted(
    regression: PartialledOut,
    counts: Floats,
    terms: tuple[str, ...],
    cluster: str,
    singletons: int,
    separated: int,
) -> PoissonFit:
    """Return the estimates, once the rows are those that tell something."""
    effects = _Effects(regression.entities, regression.times)
    n = len(counts)
    alone = _solved(counts, np.empty((n, 0)), effects, np.log((counts + counts.mean()) / 2), np.inf)
    of_effects = _deviance(counts, alone.means)
    whole = _solved(counts, regression.design, effects, np.log(alone.means), of_effects)
    residuals = counts - whole.means
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(counts):
        residuals = np.zeros(n)
    influence = whole.design @ whole.bread * residuals[:, None]
    summed = sums_by(regression.clusters, influence)
    for name, error, scale in zip(
        terms, np.linalg.norm(summed, axis=0), np.linalg.norm(influence, axis=0), strict=True
    ):
        if error <= CANCELLED * scale and residuals.any():
            raise NotEstimable(
                "scores_cancel", name=name, count=regression.cluster_count, cluster=cluster
            )
    # Slopes on the design, whose columns have no unit; the units of a regression are those of the
    # outcome as well.
    units = regression.units / np.abs(counts).max()
    covariance = regression.factor * summed.T @ summed * np.outer(units, units)
    total, unexplained = (
        _deviance(counts, means) for means in (np.full(n, counts.mean()), whole.means)
    )
    return PoissonFit(
        terms=terms,
        estimates=whole.slopes * units,
        std_errors=np.sqrt(np.diag(covariance)),
        covariance_matrix=covariance,
        observation_count=n,
        city_count=regression.entity_count,
        year_count=regression.time_count,
        singletons_dropped=singletons,
        r2_inclusive=1 - unexplained / total,
        r2_within=1 - unexplained / of_effects,
        degrees_of_freedom=np.inf,
        cluster_count=regression.cluster_count,
        regression=regression,
        separated_dropped=separated,
    )


class _Solution(NamedTuple):
    """Slopes, their bread, the design less its weighted effects, and the expected counts."""

    slopes: Floats
    bread: Floats
    design: Floats
    means: Floats


def _solved(
    counts: Floats, design: Floats, effects: "_Effects", predictor: Floats, reached: float
) -> _Solution:
    """Iterate weighted least squares until the linear predictor no longer changes.

    Parameters
    ----------
    counts : ndarray, shape (n,)
    design : ndarray, shape (n, k)
    effects : _Effects
    predictor : ndarray, shape (n,)
        Where to begin.
    reached : float
        Its deviance if it is a combination of design and effects; else infinity, and the first step
        is taken whole.
    """
    with np.errstate(all="ignore"):  # a step that overflows is halved
        for _ in range(STEPS):
            means = np.exp(predictor)
            within = effects.removed(
                np.column_stack([predictor + (counts - means) / means, design]), means
            )
            response, design_left = within[:, 0], within[:, 1:]
            bread = _inverse(design_left.T @ (design_left * means[:, None]))
            slopes = bread @ (design_left.T @ (means * response))
            change = (counts - means) / means - response + design_left @ slopes
            if not np.isfinite(change).all():
                break
            if np.abs(change).max() <= CONVERGED * max(1.0, float(np.abs(predictor).max())):
                return _Solution(slopes, bread, design_left, means)
            step = 1.0
            while not (
                deviance := _deviance(counts, np.exp(predictor + step * change))
            ) <= reached * (1 + ROUNDING):
                step /= 2
                if step < SHORTEST:
                    raise _NotConvergedError
            predictor, reached = predictor + step * change, deviance
    raise _NotConvergedError


def _inverse(gram: Floats) -> Floats:
    """Return the inverse of a weighted Gram matrix; _NotConvergedError if the weights left it none."""
    lengths = np.sqrt(np.diag(gram))
    strengths, directions = np.linalg.eigh(gram / np.outer(lengths, lengths))
    if not (strengths > ROUNDING).all():
        raise _NotConvergedError
    inverse: Floats = (directions / strengths) @ directions.T / np.outer(lengths, lengths)
    return inverse


class _Effects:
    """Projection of columns off entity and period effects, with weights that change from call to call."""

    def __init__(self, entities: Codes, times: Codes) -> None:
        self._entities, self._times = entities, times
        self._shape = (int(entities.max()) + 1, int(times.max()) + 1)
        self._cells = entities * self._shape[1] + times
        # In each connected piece of the panel one period is the base of the others.
        links = sparse.coo_array(
            (np.ones(len(times)), (entities, self._shape[0] + times)), shape=(sum(self._shape),) * 2
        )
        pieces = sparse.csgraph.connected_components(links, directed=False)[1][self._shape[0] :]
        self._free = np.setdiff1d(
            np.arange(self._shape[1]), np.unique(pieces, return_index=True)[1]
        )

    def removed(self, columns: Floats, weights: Floats) -> Floats:
        """Return what the effects leave of columns, shape (n, m), in least squares with weights, shape (n,)."""
        cells = np.bincount(self._cells, weights=weights, minlength=self._shape[0] * self._shape[1])
        cells = cells.reshape(self._shape)
        sizes = cells.sum(axis=1)
        free = cells[:, self._free]
        gram = np.diag(free.sum(axis=0)) - free.T @ (free / sizes[:, None])
        demeaned = (
            columns
            - (sums_by(self._entities, columns * weights[:, None]) / sizes[:, None])[self._entities]
        )
        of_times = np.zeros((self._shape[1], columns.shape[1]))
        of_times[self._free] = np.linalg.solve(
            gram, sums_by(self._times, demeaned * weights[:, None])[self._free]
        )
        of_entities = cells @ of_times / sizes[:, None]
        residuals: Floats = demeaned - of_times[self._times] + of_entities[self._entities]
        return residuals


def _rows_that_tell(rows: pd.DataFrame, outcome: str, entity: str, time: str) -> tuple[Codes, int]:
    """Return the positions left without singletons and cities or periods without a count, and how many were alone."""
    counts = numbers_in(rows, outcome)
    codes = [groups_in(rows, name) for name in (entity, time)]
    positions, singletons = np.arange(len(rows)), 0
    while True:
        remaining = positions
        for groups in codes:
            remaining = remaining[
                np.bincount(groups[remaining], weights=counts[remaining])[groups[remaining]] > 0
            ]
        together = fixed_effects.rows_without_singletons(*(groups[remaining] for groups in codes))
        singletons += len(remaining) - len(together)
        if len(together) == len(positions):
            return positions, singletons
        positions = remaining[together]


def _separated(regression: PartialledOut, counts: Floats) -> NDArray[np.bool_]:
    """Return which rows a combination of regressors and effects separates, shape (n,).

    Such a combination is zero wherever there is a count and nowhere below zero: less and less of it
    raises the likelihood without end where it is above zero. A linear program looks for it.
    """
    n = len(counts)
    rows = np.arange(n)
    columns = sparse.hstack(
        [
            sparse.csr_array(regression.design * np.sqrt(n)),
            *(
                sparse.csr_array((np.ones(n), (rows, codes)))
                for codes in (regression.entities, regression.times)
            ),
        ],
        format="csr",
    )
    zero = counts == 0
    solution = optimize.linprog(
        -columns[zero].sum(axis=0),
        A_ub=sparse.vstack([columns[zero], -columns[zero]]),
        b_ub=np.repeat([1.0, 0.0], zero.sum()),
        A_eq=columns[~zero],
        b_eq=np.zeros(n - zero.sum()),
        bounds=(None, None),
        method="highs",
    )
    return (
        np.zeros(n, dtype=bool) if solution.x is None else zero & (columns @ solution.x > SEPARATED)
    )


def _deviance(counts: Floats, means: Floats) -> float:
    """Return twice the log likelihood that the means fall short of a perfect fit by."""
    return float(2 * np.sum(special.xlogy(counts, counts / means) - (counts - means)))
