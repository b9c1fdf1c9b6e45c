"""Figures of the tables that a package withholds, so that what is built from files obtained apart can be compared."""

import csv
from pathlib import Path
from typing import Any

from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import identifier, literal

SUMMARY = ("table", "column", "rows", "filled", "mean", "standard_deviation")


def summary(database: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return rows, filled cells, mean and standard deviation of each column of some tables, as SUMMARY names them."""
    rows = []
    with duckdb_client.in_memory(database.with_name("spill")) as connection:
        connection.execute(f"attach {literal(str(database))} as built (read_only)")
        for name in names:
            described = connection.execute(f"describe built.{name}").fetchall()
            figures = []
            for column, data_type, *_ in described:
                number = (
                    identifier(column)
                    if data_type in ("DOUBLE", "BIGINT", "INTEGER")
                    else "null::double"
                )
                figures.append(
                    f"row(count(*), count({identifier(column)}), avg({number}),"
                    f" stddev_samp({number}))"
                )
            # in one statement, as the table may be a view that takes long
            (of_columns,) = connection.execute(
                f"select {', '.join(figures)} from built.{name}"
            ).fetchall()
            rows += [
                dict(zip(SUMMARY, (name, column, *values), strict=True))
                for (column, *_), values in zip(described, of_columns, strict=True)
            ]
    return rows


def read_summary(path: Path) -> list[dict[str, Any]]:
    """Read the summary of the withheld tables."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                name: value if name in SUMMARY[:2] else float(value) if value else None
                for name, value in row.items()
            }
            for row in csv.DictReader(file)
        ]
