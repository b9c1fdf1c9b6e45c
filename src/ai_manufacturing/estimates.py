"""From specifications to output tables: one row per coefficient, whatever the estimator."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.specifications import COVARIANCES, Inputs, Sample, Specification, sample

COEFFICIENTS = pa.schema(
    [
        ("specification_id", pa.string()),
        ("table_id", pa.string()),
        ("column_number", pa.int32()),
        ("outcome", pa.string()),
        ("regressor", pa.string()),
        ("term", pa.string()),
        ("estimate", pa.float64()),
        ("std_error", pa.float64()),
        ("statistic", pa.float64()),
        ("p_value", pa.float64()),
        ("conf_low", pa.float64()),
        ("conf_high", pa.float64()),
        ("observation_count", pa.int64()),
        ("city_count", pa.int64()),
        ("r2_inclusive", pa.float64()),
        ("r2_within", pa.float64()),
        ("covariance", pa.string()),
        ("singletons_dropped", pa.int64()),
        ("substitutions", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("extract_set", pa.string()),
    ]
)
SAMPLES = pa.schema(
    [
        ("specification_id", pa.string()),
        ("city_id", pa.string()),
        ("year", pa.int32()),
        ("extract_set", pa.string()),
    ]
)
LOSSES = pa.schema(
    [
        ("specification_id", pa.string()),
        ("step", pa.int32()),
        ("reason", pa.string()),
        ("variable", pa.string()),
        ("observation_count", pa.int64()),
        ("extract_set", pa.string()),
    ]
)


def coefficients(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Estimate specifications by two-way fixed effects.

    Parameters
    ----------
    specifications : iterable of Specification
        Rows of regression_specifications.csv whose estimator is fixed_effects.
    inputs : Inputs
        The tables they draw on.

    Returns
    -------
    Table
        One row per specification and term, in the columns of COEFFICIENTS. What cannot be estimated is one row
        with status not_estimable and the reason.
    """
    rows: list[dict[str, Any]] = []
    for specification in specifications:
        common = {
            "specification_id": specification.specification_id,
            "table_id": specification.table_id,
            "column_number": specification.column_number,
            "outcome": specification.outcome,
            "regressor": specification.regressor,
            "covariance": specification.covariance,
            "substitutions": inputs.substitutions(specification),
            "extract_set": inputs.extract_set,
        }
        try:
            used = sample(specification, inputs)
            fit = fixed_effects.fit(
                used.rows, specification.outcome, specification.terms, cluster=COVARIANCES[specification.covariance]
            )
        except NotEstimable as finding:
            rows.append(
                {**common, "term": specification.regressor, "status": "not_estimable", "reason": finding.reason}
            )
            continue
        rows.extend(
            {
                **common,
                "term": term,
                "estimate": fit.estimates[j],
                "std_error": fit.std_errors[j],
                "statistic": fit.statistics[j],
                "p_value": fit.p_values[j],
                "conf_low": fit.conf_low[j],
                "conf_high": fit.conf_high[j],
                "observation_count": fit.observation_count,
                "city_count": fit.city_count,
                "r2_inclusive": fit.r2_inclusive,
                "r2_within": fit.r2_within,
                "singletons_dropped": used.singletons_dropped,
                "status": "estimated",
            }
            for j, term in enumerate(fit.terms)
        )
    return pa.Table.from_pylist(rows, schema=COEFFICIENTS)


def samples(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Return the city-years behind each specification, in the columns of SAMPLES."""

    def rows(specification: Specification, used: Sample) -> pd.DataFrame:
        return used.rows[["city_id", "year"]]

    return _per_sample(specifications, inputs, rows, SAMPLES)


def losses(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Return the panel rows that each specification loses, by reason in order, in the columns of LOSSES."""

    def rows(specification: Specification, used: Sample) -> pd.DataFrame:
        return pd.DataFrame([{"step": step, **asdict(loss)} for step, loss in enumerate(used.losses, start=1)])

    return _per_sample(specifications, inputs, rows, LOSSES)


def _per_sample(
    specifications: Iterable[Specification],
    inputs: Inputs,
    rows: Callable[[Specification, Sample], pd.DataFrame],
    schema: pa.Schema,
) -> pa.Table:
    """Stack a table of each sample that exists, labelled with its specification and extract set."""
    tables = []
    for specification in specifications:
        try:
            used = sample(specification, inputs)
        except NotEstimable:
            continue
        tables.append(
            rows(specification, used).assign(
                specification_id=specification.specification_id, extract_set=inputs.extract_set
            )
        )
    if not tables:
        return schema.empty_table()
    return pa.Table.from_pandas(pd.concat(tables), schema=schema, preserve_index=False)


def years_missing_by_city(
    specifications: Iterable[Specification], inputs: Inputs, city_ids: Iterable[str]
) -> pd.DataFrame:
    """Count the years of a sample in which given cities are absent, for specifications that can be estimated.

    Returns
    -------
    DataFrame
        extract_set, specification_id, city_id, missing_year_count; one row per specification and city.
    """
    counted = samples(specifications, inputs).to_pandas()
    years = counted.groupby("specification_id")["year"].nunique()
    grid = pd.MultiIndex.from_product([years.index, list(city_ids)], names=["specification_id", "city_id"])
    present = counted.groupby(["specification_id", "city_id"]).size().reindex(grid, fill_value=0)
    missing = (years.reindex(grid, level="specification_id") - present).rename("missing_year_count")
    return missing.reset_index().assign(extract_set=inputs.extract_set)
