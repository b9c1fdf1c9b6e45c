"""What of a release may not be passed on: tables with delivered values, where a delivery is restricted."""

import csv
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import databases
from ai_manufacturing.duckdb_client import STORAGE_VERSION
from ai_manufacturing.releases.writer import SCHEMAS
from ai_manufacturing.sql_text import identifier, literal

EVERY_SCHEMA = (*SCHEMAS, "release")  # of which "release" has cells that changed, and every series
# A table with a row per city, firm or delivered record holds values of the sources or figures for each city.
OF_ONE_UNIT = ("city_id", "city_code", "id")
# These name cities and no value of a source.
WITHOUT_VALUES = ("marts.dim_city", "marts.dim_city_groups", "estimates.estimation_samples")
# Rows that failed an expectation, with their values.
COLUMNS = ("failing_rows", "validation_result")
SUMMARY = ("table", "column", "rows", "filled", "mean", "standard_deviation")


def tables(release: Path, schemas: tuple[str, ...] = SCHEMAS) -> list[str]:
    """Return the tables of a release, in some of its schemas, that hold values of single cities, firms or records."""
    with databases.in_memory(release.with_name("spill")) as connection:
        connection.execute(f"attach {literal(str(release))} as built (read_only)")
        found = connection.execute(
            "select distinct concat(schema_name, '.', table_name) as name from duckdb_columns() "
            "where database_name = 'built' and list_contains(?, schema_name) and list_contains(?, column_name) "
            "and not list_contains(?, concat(schema_name, '.', table_name)) order by name",
            [list(schemas), list(OF_ONE_UNIT), list(WITHOUT_VALUES)],
        ).fetchall()
    return [name for (name,) in found]


def summary(database: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return rows, filled cells, mean and standard deviation of each column of some tables, as SUMMARY names them."""
    rows: list[dict[str, Any]] = []
    with databases.in_memory(database.with_name("spill")) as connection:
        connection.execute(f"attach {literal(str(database))} as built (read_only)")
        for name in names:
            described = connection.execute(f"describe built.{name}").fetchall()
            figures = []
            for column, data_type, *_ in described:
                is_number = data_type in ("DOUBLE", "BIGINT", "INTEGER")
                figures += [
                    f"count({identifier(column)})",
                    *(f"{f}({identifier(column)})" if is_number else "null" for f in ("avg", "stddev_samp")),
                ]
            ((count, *found),) = connection.execute(
                f"select count(*), {', '.join(figures)} from built.{name}"
            ).fetchall()
            rows += [
                dict(zip(SUMMARY, (name, column, count, *found[3 * at : 3 * at + 3]), strict=True))
                for at, (column, *_) in enumerate(described)
            ]
    return rows


def write_summary(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the summary of the withheld tables."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SUMMARY, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_summary(path: Path) -> list[dict[str, Any]]:
    """Read the summary of the withheld tables."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: value if name in SUMMARY[:2] else float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def without(release: Path, target: Path) -> None:
    """Copy a release without the tables that hold values of single cities, firms or records, and without COLUMNS.

    A new file is written: a table that is dropped leaves its blocks in the old one.
    """
    names = tables(release, EVERY_SCHEMA)
    with databases.in_memory(target.with_name("spill")) as connection:
        connection.execute(f"attach {literal(str(release))} as built (read_only)")
        connection.execute(f"attach {literal(str(target))} as new (storage_version {literal(STORAGE_VERSION)})")
        for schema in EVERY_SCHEMA:
            connection.execute(f"create schema new.{schema}")
        kept = [
            (schema, table)
            for schema, table in connection.execute(
                "select schema_name, table_name from duckdb_tables() where database_name = 'built' order by all"
            ).fetchall()
            if f"{schema}.{table}" not in names
        ]
        for schema, table in kept:
            name = f"{identifier(schema)}.{identifier(table)}"
            columns = [column for column, *_ in connection.execute(f"describe built.{name}").fetchall()]
            listed = ", ".join(identifier(column) for column in columns if column not in COLUMNS)
            connection.execute(f"create table new.{name} as select {listed} from built.{name}")
        _comment(connection, kept)
        connection.execute("detach new")


def _comment(connection: duckdb.DuckDBPyConnection, kept: list[tuple[str, str]]) -> None:
    comments = connection.execute(
        "select schema_name, table_name, null, comment from duckdb_tables() where database_name = 'built' "
        "union all select schema_name, table_name, column_name, comment from duckdb_columns() "
        "where database_name = 'built'"
    ).fetchall()
    for schema, table, column, comment in comments:
        if (schema, table) in kept and comment and column not in COLUMNS:
            name = f"new.{identifier(schema)}.{identifier(table)}"
            named = f"table {name}" if column is None else f"column {name}.{identifier(column)}"
            connection.execute(f"comment on {named} is {literal(comment)}")
