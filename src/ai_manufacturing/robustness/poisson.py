"""Poisson regression with two-way fixed effects, for count outcomes.

Unlike slopes for log(1 + x), Poisson slopes do not depend on the unit of the count. The readings
page shows the Poisson estimates below each event study of a count; no verdict uses them
(docs/decisions/estimators.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from ai_manufacturing.estimation import tables
from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators import event_study, fixed_effects
from ai_manufacturing.estimators.columns import Floats, read_numbers, sum_by
from ai_manufacturing.estimators.fixed_effects import EXACT, PartialledOut
from ai_manufacturing.estimators.inference import Fit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case

# Maximum relative change of the linear predictor at convergence.
CONVERGED = 1e-10
# Maximum number of iterations. If they do not suffice, the predictor diverges to minus infinity.
STEPS = 60
DEPENDENT = 1e-10  # eigenvalues of the Gram matrix below this share of the largest count as zero
# A zero count is separated if a separating linear combination exceeds this value in its row.
SEPARATED = 1e-6


def fit_event_study_of_counts(case: Case, cluster: str) -> Iterator[Row]:
    """Re-estimate an event study with outcome log(1 + x) as a Poisson regression of x."""
    study, inputs, specification = case.event_study, case.inputs, case.specification
    if specification.transform != "ln1p":
        raise NotEstimable("not_log_of_one_plus", transform=specification.transform)
    rows = tables.add_treatment(specification, case.sample, inputs)
    data = event_study.add_event_terms(
        rows.assign(counted=np.expm1(rows[specification.outcome])),
        event_year=inputs.event_year,
        window=inputs.event_window,
    )
    poisson = fit(
        data.sample, "counted", [*data.terms, *specification.controls], cluster=f"{cluster}_id"
    )
    for j, term in enumerate(study.terms[: len(study.event_times)]):
        yield {"term": term, **vars(poisson.infer(j, warnings=poisson.warnings))}


@dataclass(frozen=True, eq=False)
class PoissonFit(Fit):
    """Estimates of a Poisson regression; slopes are changes in the log of the expected count.

    Statistics use the normal distribution, as in fixest and ppmlhdfe.

    Attributes
    ----------
    separated_dropped : int
        Rows whose fitted count is zero and which contain no information about the slopes: rows in
        cities or periods with zero counts only, and rows separated by a combination of regressors
        and effects.
    """

    separated_dropped: int

    @property
    def warnings(self) -> tuple[Sentence, ...]:
        """Warning with the number of rows dropped because of separation; empty if none."""
        count = self.separated_dropped
        return (sentence("separated_dropped", count=count),) if count else ()


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> PoissonFit:
    """Estimate a two-way fixed effects Poisson regression by quasi-maximum likelihood.

    Only the conditional mean, the exponential of regressors and effects, must be correctly
    specified; the variance is unrestricted, and counts need not be integers.

    Parameters
    ----------
    sample, regressors, time, cluster
        As in fixed_effects.fit.
    outcome : str
        Column of nonnegative counts.

    Returns
    -------
    PoissonFit
        Estimates, clustered standard errors with the small-sample factor of fixed_effects.fit, and
        counts.

    Raises
    ------
    NotEstimable
        If a count is negative; all counts are zero; the iteration does not converge; or for any
        reason that fixed_effects.fit raises it on the rows that are not separated.

    Notes
    -----
    Singletons, and separated rows detected by a linear program, are dropped until none remain.

    References
    ----------
    Santos Silva and Tenreyro (2006), "The log of gravity", Review of Economics and Statistics
    88(4); on separation, Correia, Guimarães and Zylkin (2021), arXiv:1903.01633; on log(1 + x),
    Chen and Roth (2024), "Logs with zeros?", Quarterly Journal of Economics 139(2).
    """
    counts = read_numbers(sample, outcome)
    if (counts < 0).any():
        raise NotEstimable("negative_count", column=outcome, value=counts[counts < 0][0])
    if len(counts) and not counts.any():
        raise NotEstimable("no_count", column=outcome)
    rows, separated_count = sample.reset_index(drop=True), 0
    while True:
        try:
            regression = fixed_effects.partial_out(
                rows, outcome, regressors, time=time, cluster=cluster
            )
        except NotEstimable as finding:
            if not separated_count:
                raise
            raise NotEstimable(
                "separated", outcome=outcome, count=separated_count, finding=finding.reason
            ) from None
        rows = rows.loc[regression.index]
        counts = read_numbers(rows, outcome)
        columns = _stack_columns(regression)
        is_separable = _find_separated_rows(columns, counts)
        if not is_separable.any():
            break
        separated_count += int(is_separable.sum())
        rows = rows[~is_separable]

    estimates, bread = _maximise_likelihood(columns, counts, outcome)
    residuals = counts - np.exp(columns @ estimates)
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(counts):
        residuals = np.zeros_like(residuals)
    slope_count = len(regressors)
    influence = columns @ bread[:, :slope_count] * residuals[:, None]
    lengths = np.linalg.norm(sum_by(regression.clusters, influence), axis=0)
    # Undo the scaling of the outcome in regression.units; Poisson slopes do not depend on it.
    units = regression.units / np.abs(counts).max()
    return PoissonFit(
        terms=tuple(regressors),
        estimates=estimates[:slope_count] * units,
        std_errors=np.sqrt(regression.factor) * lengths * units,
        observation_count=len(counts),
        city_count=regression.entity_count,
        cluster_count=regression.cluster_count,
        degrees_of_freedom=np.inf,
        separated_dropped=separated_count,
    )


def _stack_columns(regression: PartialledOut) -> sparse.csr_array:
    """Return a sparse matrix with the regressors and the entity and period dummies."""
    n = len(regression.outcome)
    dummies = [
        sparse.csr_array((np.ones(n), (np.arange(n), codes)))
        for codes in (regression.entities, regression.times)
    ]
    return sparse.hstack([sparse.csr_array(regression.design), *dummies], format="csr")


def _maximise_likelihood(
    columns: sparse.csr_array, counts: Floats, outcome: str
) -> tuple[Floats, Floats]:
    """Maximise the Poisson likelihood by iteratively reweighted least squares.

    Returns the coefficients of all columns and the inverse of their weighted Gram matrix.
    """
    predictor = np.log((counts + counts.mean()) / 2)
    for _ in range(STEPS):
        means = np.exp(predictor)
        gram = (columns.T @ columns.multiply(means[:, None])).toarray()
        lengths = np.sqrt(np.diag(gram))
        scales = np.outer(lengths, lengths)
        bread = np.linalg.pinv(gram / scales, rcond=DEPENDENT, hermitian=True) / scales
        coefficients = bread @ (columns.T @ (means * predictor + counts - means))
        change = columns @ coefficients - predictor
        if np.abs(change).max() <= CONVERGED * max(1.0, float(np.abs(predictor).max())):
            return coefficients, bread
        predictor = predictor + change
    raise NotEstimable("not_converged", outcome=outcome, steps=STEPS)


def _find_separated_rows(columns: sparse.csr_array, counts: Floats) -> NDArray[np.bool_]:
    """Flag the zero counts that regressors and effects predict perfectly (separation).

    A separating combination is zero in rows with positive counts and nonnegative in all other rows.
    In the rows where it is positive, a coefficient going to minus infinity increases the likelihood
    without a maximum. A linear program searches for such a combination.
    """
    zero: NDArray[np.bool_] = counts == 0
    if not zero.any():
        return zero
    bounds = np.repeat([1.0, 0.0], zero.sum())
    solution = optimize.linprog(
        -columns[zero].sum(axis=0),
        A_ub=sparse.vstack([columns[zero], -columns[zero]]),
        b_ub=bounds,
        A_eq=columns[~zero],
        b_eq=np.zeros(len(counts) - zero.sum()),
        bounds=(None, None),
        method="highs",
    )
    if solution.x is None:
        return np.zeros_like(zero)
    is_separable: NDArray[np.bool_] = zero & (columns @ solution.x > SEPARATED)
    return is_separable
