"""Figures of the tables that a package withholds, so that what is built from files obtained apart can be compared."""

import csv
from pathlib import Path
from typing import Any

from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import identifier, literal

SUMMARY = ("table", "column", "rows", "filled", "mean", "standard_deviation")


def summary(database: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return rows, filled cells, mean and standard deviation of each column of some tables, as SUMMARY names them."""
    rows: list[dict[str, Any]] = []
    with duckdb_client.in_memory(database.with_name("spill")) as connection:
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
