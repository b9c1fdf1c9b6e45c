"""A judgement of somebody else's panel of cities: guesses, causes by column, and chance."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ai_manufacturing.auditing import panel_causes, panel_columns
from ai_manufacturing.auditing.panel_columns import Column, PanelError
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.tables.formats import FORMULA, WORKBOOK

UNEXPLAINED_LIMIT = 0.05  # share of the shared cells of a column
ENDINGS = (".csv", ".xlsx")
SHOWN = 3  # cells of a column that are printed


class Judgement(NamedTuple):
    """What is printed, a row per cell, and whether anything needs attention."""

    lines: list[str]
    cells: pd.DataFrame
    is_fine: bool


def judge(
    database: Path, path: Path, city: str | None, year: str | None, told: Mapping[str, str]
) -> Judgement:
    """Compare a panel with the values of a release or warehouse, and explain the differences.

    Parameters
    ----------
    database, path : Path
        The release, copy or warehouse, and the panel.
    city, year : str or None
        Columns of the panel that the user names.
    told : mapping of str to str
        Series by column, as the user says; the other columns are then not compared.

    Returns
    -------
    Judgement
        Fine if at most UNEXPLAINED_LIMIT of the cells of each column are unexplained, and no
        unmarked value of ours jumps where theirs does not.

    Raises
    ------
    PanelError
        If the panel cannot be read, or has no city, year or series that is known here.
    """
    rows = panel_columns.read(path)
    panel_columns.require(path, rows, "column", told)
    with duckdb_client.reading(database) as connection:
        known = panel_causes.reference(connection)
    lacks = f" This copy withholds: {', '.join(known.withheld)}." if known.withheld else ""
    for series in told.values():
        if series not in known.labels:
            raise PanelError(
                f"{database}: no value of a series {series!r}, which --column names. There are:"
                f" {', '.join(sorted(known.labels))}.{lacks}"
            )
    at, lines = panel_columns.keys(path, rows, known.cities, city, year)
    years = known.ours["year"]
    at = at[at["year"].between(years.min(), years.max())]
    columns = panel_columns.columns(rows, at, known.ours, known.labels, told)
    if not columns:
        raise PanelError(
            f"{path}: no column resembles a series of the years {years.min()} to {years.max()}."
            f" Name one as --column COLUMN=SERIES. Series: {', '.join(sorted(known.labels))}."
            f"{lacks}"
        )
    panel = panel_causes.cells(rows, at, columns)
    table = panel_causes.judged(panel, known)
    chance = panel_causes.counts(panel_causes.shuffled(panel, known))
    exchanged = panel_causes.counts(panel_causes.shuffled(panel, known, whole=True))
    if known.withheld:
        lines.append(f"Not compared, as their values may not be passed on:{lacks}")
    if others := [name for name in rows if name not in {column.heading for column in columns}]:
        lines.append(f"Not compared: columns {panel_columns.shortened(others)}.")
    is_fine = True
    for column in columns:
        cells = table[table["column_name"] == column.heading]
        count = panel_causes.counts(cells).loc[column.heading]
        false = [found.loc[column.heading] for found in (chance, exchanged)]
        lines += _lines(column, known.labels[column.series][1], cells, count, *false)
        is_fine &= count["unexplained"] <= UNEXPLAINED_LIMIT * count["cells"]
        is_fine &= not count["ours jumps"]
    return Judgement(lines, table.drop(columns=["tolerance", "our_tolerance"]), bool(is_fine))


def _lines(
    column: Column,
    label: str,
    cells: pd.DataFrame,
    count: pd.Series,
    chance: pd.Series,
    exchanged: pd.Series,
) -> list[str]:
    """Return what is printed of a column."""
    by_cause = cells.groupby(["cause", "certainty"]).size().sort_values(ascending=False)
    differ = count["cells"] - count["same"]
    # in a shuffled panel, a value that jumps is found and not explained
    proven, likely = chance["same"] + chance["proven"], chance["likely"] - chance["jumps"]
    return [
        "",
        f"{column.heading} is {column.series} ({label}), {column.basis}: times 10^{column.power},"
        f" {column.agreeing_share:.0%} of {column.shared_count:,} cells are within 1 %.",
        *(f"{size:9,}  {how or '-':6}  {cause}" for (cause, how), size in by_cause.items()),
        f"{differ:,} of {count['cells']:,} cells differ;"
        f" {1 - count['unexplained'] / max(differ, 1):.1%} of these have a cause, and"
        f" {count['proven'] / max(differ, 1):.1%} a proven one.",
        f"By chance, in shuffled panels: proven {proven / chance['cells']:.2%}, likely"
        f" {likely / chance['cells']:.2%}, or {exchanged['likely'] / exchanged['cells']:.2%} where"
        " cities exchange all their years.",
        *(
            f"Look at {cell.city_id} in {cell.year}: theirs {cell.theirs:.10g}, ours"
            f" {cell.ours:.10g}; {cell.cause}."
            for cell in cells[cells["cause"].isin(panel_causes.ATTENTION)][:SHOWN].itertuples()
        ),
    ]


def as_file(cells: pd.DataFrame, ending: str) -> bytes:
    """Return a row per cell as a file of one of ENDINGS, in which no text is a formula."""
    if ending == ".xlsx":
        content = io.BytesIO()
        with pd.ExcelWriter(content, "xlsxwriter", engine_kwargs={"options": WORKBOOK}) as book:
            cells.to_excel(book, index=False)
        return content.getvalue()
    headings = cells["column_name"].str.replace(FORMULA, r"'\g<0>", regex=True)
    return cells.assign(column_name=headings).to_csv(index=False).encode("utf-8-sig")
