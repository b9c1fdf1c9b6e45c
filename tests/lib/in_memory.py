"""Run the warehouse's SQL models in an in-memory database, for simulations and tests."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import jinja2
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation import samples
from ai_manufacturing.estimation.inputs import RELATIONS, Inputs
from ai_manufacturing.system import duckdb_client, settings, sql_text

SEEDS = (
    "series",
    "series_sources",
    "derived_variables",
    "measure_weightings",
    "city_groupings",
    "control_sets",
    "substitutions",
)

MACROS = (
    "nearest_year",
    "qualified_name",
    "first_of",
    "share_of",
    "p_text",
    "sentences",
    "repeated_records",
)
# Fields of Tables that are passed to Inputs unchanged.
GIVEN = ("panel", "measures", "groups", "gate_results", "published_estimates")
# Columns of int_city_year_variables that identify or describe a row.
LABELS = ["extract_set", "city_id", "year", "name_zh", "province_id", "region"]


@dataclass(frozen=True)
class Tables:
    """Warehouse tables that the SQL models of the specifications read.

    Attributes
    ----------
    panel : DataFrame
        intermediate.int_city_year_variables.
    measures, groups, series : DataFrame
        marts.fct_ai_measure, dim_city_groups and dim_series.
    gate_results, published_estimates : DataFrame
        gates.gate_results and seeds.published_estimates.
    """

    panel: pd.DataFrame
    measures: pd.DataFrame
    groups: pd.DataFrame
    series: pd.DataFrame
    gate_results: pd.DataFrame
    published_estimates: pd.DataFrame


def inputs(rows: pd.DataFrame, tables: Tables, **years: int) -> Inputs:
    """Return the inputs of the estimators for given rows of regression_specifications.csv.

    Parameters
    ----------
    rows : DataFrame
        Rows of the seed, with its columns.
    tables : Tables
    **years : int
        first_year, last_year and base_year of the period. The project's years are the default.

    Returns
    -------
    Inputs
        Derived by models/specifications; all other seeds are the project's own.
    """
    with duckdb_client.connect(reads_files=True) as connection:
        for name in SEEDS:
            path = settings.project_root() / "seeds" / f"{name}.csv"
            connection.execute(
                f"create table {name} as from read_csv({sql_text.quote_literal(str(path))})"
            )
        for name, frame in (
            ("regression_specifications", rows),
            ("fct_city_year_panel", tables.panel),
            ("fct_city_year_values", tables.panel.melt(LABELS, var_name="variable")),
            ("fct_ai_measure", tables.measures),
            ("dim_city_groups", tables.groups),
            ("dim_series", tables.series),
        ):
            create(connection, name, frame)
        for model in (
            "intermediate/int_series_sources",
            "marts/dim_variable",
            "specifications/int_specifications_resolved",
            "marts/dim_specification_series",
            "specifications/int_specifications_sampled",
            "specifications/int_specification_city_years",
        ):
            run(connection, model, **years)
        sample_rows = samples.drop_singletons(
            connection.table("int_specification_city_years").filter("is_used").df()
        )
        connection.register("int_specification_samples", sample_rows)
        run(connection, "specifications/int_specification_losses")
        given = {name: getattr(tables, name) for name in GIVEN}
        made = {
            name: connection.table(relation.partition(".")[2]).df()
            for name, relation in RELATIONS.items()
            if name not in GIVEN
        }
        first, last = _variables()["event_window"]
        return Inputs(
            **given, **made, event_year=_variables()["break_year"], event_window=(first, last)
        )


class _Relation(str):
    """Table name with a `render` method, so that models can call `ref(...).render()`."""

    def render(self) -> str:
        return str(self)


def create(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame) -> None:
    """Create a table from a DataFrame; columns without values become text, as in the warehouse."""
    empty: dict[str, Any] = {
        name: "string"
        for name, column in frame.items()
        if column.isna().all() and (len(frame) or column.dtype == object)
    }
    # In the SQL below, DuckDB resolves the table name `rows` to this Python variable.
    rows = pa.Table.from_pandas(frame.astype(empty), preserve_index=False)  # noqa: F841
    connection.execute(f"create table {name} as from rows")


def run(connection: duckdb.DuckDBPyConnection, model: str, **years: int) -> None:
    """Create a dbt model's table by running its SQL on tables that already exist.

    `model` is the path of its file below models/, without the suffix.
    """
    connection.execute(f"create table {model.rpartition('/')[2]} as {_sql(model, **years)}")


@cache
def _sql(model: str, **period: int) -> str:
    parts = (*(f"macros/{name}.sql" for name in MACROS), f"models/{model}.sql")
    text = "".join((settings.project_root() / part).read_text(encoding="utf-8") for part in parts)
    years = {**_variables(), **period}.__getitem__
    return jinja2.Template(text).render(
        ref=_Relation,
        var=years,
        period=years,
        declared_year=years,
        extract_set=lambda: "'in memory'",
        config=lambda **_: "",
    )


@cache
def _variables() -> dict[str, Any]:
    return settings.variables()
