"""The paper's columns with two-way effects by a second route, PanelOLS of linearmodels.

The gate of the estimates reads it (expectations/second_route.json).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, of_each
from ai_manufacturing.estimation.specifications import (
    COVARIANCES,
    EventStudyOptions,
    Specification,
)
from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable


def second_route(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Estimate the paper's columns by PanelOLS.

    A column is estimated as the paper reads, and clustered by province.

    Parameters
    ----------
    specifications : iterable of Specification
        Those of estimators fixed_effects and event_study.
    inputs : Inputs
        The tables they draw on.

    Returns
    -------
    Table
        One row per specification and term, in the columns of est_second_route; not_estimable with
        the reason where there is no sample, or the second route refuses it.
    """

    def is_asked(specification: Specification) -> bool:
        cluster = COVARIANCES[specification.covariance][1]
        is_read = specification.reading == "default" or cluster == "province_id"
        return cluster is not None and is_read and bool(inputs.printed(specification))

    def rows_of(specification: Specification) -> Iterator[Row]:
        sample, terms = _with_dummies(specification, inputs)
        cluster = str(COVARIANCES[specification.covariance][1])
        try:
            numbers = by_panel_ols(
                sample, specification.outcome, terms, time=specification.period, cluster=cluster
            )
        # What the second route refuses, the first must refuse too: the gate looks for the numbers
        # of both.
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise NotEstimable(
                "refused_by_second_route", error=str(error).splitlines()[0]
            ) from error
        for term, estimate, std_error in zip(terms, *numbers, strict=True):
            yield {"term": term, "estimate": float(estimate), "std_error": float(std_error)}

    def instead(specification: Specification) -> Row:
        return {"term": specification.regressor}

    return of_each(filter(is_asked, specifications), inputs, "est_second_route", rows_of, instead)


def _with_dummies(specification: Specification, inputs: Inputs) -> tuple[pd.DataFrame, list[str]]:
    """Return the raw sample and the regressors; years of an event study are made here anew."""
    rows = inputs.sample(specification).rows
    if not isinstance(specification.options, EventStudyOptions):
        return rows, [*specification.terms]
    is_treated = rows[specification.regressor] != inputs.reference_group(specification.regressor)
    event_times = rows["year"] - inputs.event_year
    if specification.options.endpoints == "binned":
        event_times = event_times.clip(*inputs.event_window)
    dummies = {
        event_study.term(event_time): (is_treated & (event_times == event_time)).astype(float)
        for event_time in sorted(event_times.unique())
        if event_time != -1
    }
    return rows.assign(**dummies), [*dummies, *specification.controls]


def by_panel_ols(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> tuple[Floats, Floats]:
    """Estimate as fixed_effects.fit does, by PanelOLS: the two routes share no step.

    Parameters
    ----------
    sample : DataFrame
        The observations, singletons dropped; entity city_id.
    outcome, regressors, time, cluster
        As in fixed_effects.fit.

    Returns
    -------
    estimates, std_errors : ndarray, shape (k,)
        Coefficients; clustered errors with fixest's factor in place of PanelOLS's own corrections.

    Raises
    ------
    ValueError
        If PanelOLS finds a regressor absorbed by the effects.
    """
    from linearmodels.panel import PanelOLS  # here, as the import takes a second
    from linearmodels.panel.utility import AbsorbingEffectError

    # Numbers in the place of labels, by which pandas groups faster.
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
    # Written out, as cluster_factor would hide its own fault from the comparison.
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
