"""Re-estimate the paper's two-way fixed effects regressions with PanelOLS of linearmodels.

The gate compares these numbers with the estimates (expectations/second_route.json).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, build_estimates_table
from ai_manufacturing.estimation.specifications import (
    COVARIANCES,
    EventStudyOptions,
    Specification,
)
from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable


def estimate_second_route(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Re-estimate the paper's regressions with PanelOLS, to validate the main estimates.

    Only printed columns are estimated, in their default reading and in readings clustered by
    province.

    Parameters
    ----------
    specifications : iterable of Specification
        Specifications with estimator fixed_effects or event_study.
    inputs : Inputs
        Tables that the specifications use.

    Returns
    -------
    Table
        One row per specification and term, with the columns of est_second_route. If there is no
        sample, or PanelOLS rejects it, the status is not_estimable, with the reason.
    """

    def has_second_route(specification: Specification) -> bool:
        cluster = COVARIANCES[specification.covariance][1]
        is_relevant = specification.reading == "default" or cluster == "province_id"
        return (
            cluster is not None
            and is_relevant
            and bool(inputs.find_printed_estimates(specification))
        )

    def make_rows(specification: Specification) -> Iterator[Row]:
        sample, terms = _add_dummies(specification, inputs)
        cluster = str(COVARIANCES[specification.covariance][1])
        try:
            numbers = fit_panel_ols(
                sample, specification.outcome, terms, time=specification.period, cluster=cluster
            )
        # Report the error as a reason. If fixed_effects.fit accepts the sample, the quality gate
        # fails, because only one of the two implementations returns estimates.
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise NotEstimable(
                "refused_by_second_route", error=str(error).splitlines()[0]
            ) from error
        for term, estimate, std_error in zip(terms, *numbers, strict=True):
            yield {"term": term, "estimate": float(estimate), "std_error": float(std_error)}

    def make_reason_columns(specification: Specification) -> Row:
        return {"term": specification.regressor}

    return build_estimates_table(
        filter(has_second_route, specifications),
        inputs,
        "est_second_route",
        make_rows,
        make_reason_columns,
    )


def _add_dummies(specification: Specification, inputs: Inputs) -> tuple[pd.DataFrame, list[str]]:
    """Return the sample and regressors; event dummies are rebuilt without event_study.fit."""
    rows = inputs.sample(specification).rows
    if not isinstance(specification.options, EventStudyOptions):
        return rows, [*specification.terms]
    has_treatment = rows[specification.regressor] != inputs.reference_group(specification.regressor)
    event_times = rows["year"] - inputs.event_year
    if specification.options.endpoints == "binned":
        event_times = event_times.clip(*inputs.event_window)
    dummies = {
        event_study.name_term(event_time): (has_treatment & (event_times == event_time)).astype(
            float
        )
        for event_time in sorted(event_times.unique())
        if event_time != -1
    }
    return rows.assign(**dummies), [*dummies, *specification.controls]


def fit_panel_ols(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> tuple[Floats, Floats]:
    """Estimate two-way fixed effects with PanelOLS, sharing no code with fixed_effects.fit.

    Parameters
    ----------
    sample : DataFrame
        Observations without singletons; the entity is city_id.
    outcome, regressors, time, cluster
        As in fixed_effects.fit.

    Returns
    -------
    estimates, std_errors : ndarray, shape (k,)
        Coefficients and clustered standard errors, with fixest's small-sample factor instead of
        PanelOLS's own corrections.

    Raises
    ------
    ValueError
        If the effects absorb a regressor.
    """
    from linearmodels.panel import PanelOLS  # imported here, because the import takes a second
    from linearmodels.panel.utility import AbsorbingEffectError

    # Replace labels with integer codes, because pandas groups by integers faster.
    labels = {name: pd.factorize(sample[name], sort=True)[0] for name in ("city_id", time)}
    rows = sample[[outcome, *regressors]].set_index(
        pd.MultiIndex.from_arrays([*labels.values()], names=[*labels])
    )
    clusters = pd.DataFrame({"cluster": pd.factorize(sample[cluster])[0]}, index=rows.index)
    model = PanelOLS(
        rows[outcome],
        rows[list(regressors)],
        entity_effects=True,
        time_effects=True,
        check_rank=False,
    )
    options = {"debiased": False, "group_debias": False, "auto_df": False, "count_effects": False}
    try:
        result = model.fit(cov_type="clustered", clusters=clusters, **options)
    except AbsorbingEffectError as error:
        raise ValueError(str(error)) from error
    # Repeat the formula of cluster_factor instead of calling it, so that the comparison with
    # fixed_effects.fit can reveal an error in that function.
    observations, groups = len(sample), sample[cluster].nunique()
    factor = (
        groups
        / (groups - 1)
        * (observations - 1)
        / (observations - len(regressors) - sample[time].nunique())
    )
    return result.params.to_numpy(dtype=float), np.sqrt(factor) * result.std_errors.to_numpy(
        dtype=float
    )
