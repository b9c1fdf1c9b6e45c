"""Figures of the tables that a package withholds.

They are compared with what is built from files obtained apart.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ai_manufacturing.replication import rows
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import identifier

FAILING_ROWS = re.compile(r"(gate (?:critical|warning): [^\[\n]*)\[\{[^\n]*")
FEWEST = 30  # values that a column needs for a mean: a mean of few values would reveal one
DIGITS = 3  # significant digits of a mean and a standard deviation
SUMMARY = ("table", "column", "rows", "filled", "mean", "standard_deviation")


def summary(database: Path, names: list[str], landing: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return a row of SUMMARY for each column of some tables.

    Parameters
    ----------
    database : Path
        A release or a warehouse.
    names : list of str
        Schema and name of each table.
    landing : sequence of Path
        The landing stores that views of the warehouse show.

    Notes
    -----
    A mean over all rows, less the rows that are published, is a sum of the withheld ones. So
    columns of few values have none, and the others have three digits.
    """
    summaries = []
    spill = database.with_name("spill")
    with duckdb_client.attached(spill, {"built": database}, reaches=landing) as connection:
        for name in names:
            described = connection.execute(f"describe built.{name}").fetchall()
            figures = []
            for column, data_type, *_ in described:
                number = filled = identifier(column)
                if data_type not in ("DOUBLE", "BIGINT", "INTEGER"):
                    number = "null::double"
                moments = ", ".join(
                    f"case when count({filled}) >= {FEWEST}"
                    f" then cast(format('{{:.{DIGITS}g}}', {moment}({number})) as double) end"
                    for moment in ("avg", "stddev_samp")
                )
                figures.append(f"row(count(*), count({filled}), {moments})")
            # in one statement, as the table may be a view that takes long
            query = f"select {', '.join(figures)} from built.{name}"
            (of_columns,) = connection.execute(query).fetchall()
            for (column, *_), values in zip(described, of_columns, strict=True):
                summaries.append(dict(zip(SUMMARY, (name, column, *values), strict=True)))
    return summaries


def without_rows(log: str) -> str:
    """Return the log of a run without the failing rows of the gate, which are values of cities."""
    return FAILING_ROWS.sub(r"\1rows withheld", log)


def write(path: Path, database: Path, names: list[str]) -> None:
    """Write the summary of some tables."""
    rows.write(path, summary(database, names), SUMMARY)


def read_summary(path: Path) -> list[dict[str, Any]]:
    """Read the summary of the withheld tables."""
    summaries: list[dict[str, Any]] = [*rows.read(path)]
    for row in summaries:
        row |= {name: float(row[name]) if row[name] else None for name in SUMMARY[2:]}
    return summaries
