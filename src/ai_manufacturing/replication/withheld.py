"""Compute summary statistics of tables that a replication package withholds.

A check compares them with statistics of the same tables, rebuilt from files that the checker
obtained separately.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ai_manufacturing.replication import rows
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import quote_identifier

# Matches failing rows that the gate prints in the log of a run.
FAILING_ROWS = re.compile(r"(gate (?:critical|warning): [^\[\n]*)\[\{[^\n]*")
MIN_VALUES = 30  # minimum number of values for a mean; the mean of few values could reveal one
DIGITS = 3  # number of significant digits of means and standard deviations
SUMMARY = ("table", "column", "rows", "filled", "mean", "standard_deviation")


def summarise_tables(
    database: Path, names: list[str], landing: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """Return one row of summary statistics per column of the given tables.

    Parameters
    ----------
    database : Path
        A release or a warehouse.
    names : list of str
        Schema and name of each table.
    landing : sequence of Path
        Landing stores that the views of the warehouse read.

    Notes
    -----
    The mean over all rows and the published rows together determine the sum of the withheld rows.
    Columns with few values therefore have no mean, and other means have three digits.
    """
    summaries = []
    spill = database.with_name("spill")
    with duckdb_client.open_attached(
        spill, {"built": database}, allowed_folders=landing
    ) as connection:
        for name in names:
            columns = connection.execute(f"describe built.{name}").fetchall()
            figures = []
            for column, data_type, *_ in columns:
                number = cell = quote_identifier(column)
                if data_type not in ("DOUBLE", "BIGINT", "INTEGER"):
                    number = "null::double"
                moments = ", ".join(
                    f"case when count({cell}) >= {MIN_VALUES}"
                    f" then cast(format('{{:.{DIGITS}g}}', {moment}({number})) as double) end"
                    for moment in ("avg", "stddev_samp")
                )
                figures.append(f"row(count(*), count({cell}), {moments})")
            # Use a single statement per table, because the table may be a slow view.
            query = f"select {', '.join(figures)} from built.{name}"
            (column_values,) = connection.execute(query).fetchall()
            for (column, *_), values in zip(columns, column_values, strict=True):
                summaries.append(dict(zip(SUMMARY, (name, column, *values), strict=True)))
    return summaries


def remove_failing_rows(log: str) -> str:
    """Remove rows that failed the gate from the log of a run, because they contain city values."""
    return FAILING_ROWS.sub(r"\1rows withheld", log)


def write_summary(path: Path, database: Path, names: list[str]) -> None:
    """Write summary statistics of the given tables to a CSV file."""
    rows.write_rows(path, summarise_tables(database, names), SUMMARY)


def read_summary(path: Path) -> list[dict[str, Any]]:
    """Read the summary statistics of withheld tables from a CSV file."""
    summaries: list[dict[str, Any]] = [*rows.read_rows(path)]
    for row in summaries:
        row |= {name: float(row[name]) if row[name] else None for name in SUMMARY[2:]}
    return summaries
