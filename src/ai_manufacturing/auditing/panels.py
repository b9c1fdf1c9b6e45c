"""Compare an external city panel with the warehouse, and explain the differences."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ai_manufacturing.auditing import panel_causes, panel_columns
from ai_manufacturing.auditing.panel_causes import LIKELY
from ai_manufacturing.auditing.panel_columns import MAX_NAMES, Column, PanelError
from ai_manufacturing.auditing.wording import join_first
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.tables.formats import FORMULA, WORKBOOK_OPTIONS

UNEXPLAINED_LIMIT = 0.05  # maximum share of unexplained cells in a column


class Judgement(NamedTuple):
    """Result of a panel comparison: report lines, one row per cell, and whether it passes."""

    lines: list[str]
    cells: pd.DataFrame
    is_fine: bool


def judge_panel(
    database: Path,
    path: Path,
    city: str | None,
    year: str | None,
    series_by_heading: Mapping[str, str],
) -> Judgement:
    """Compare an external panel with a release or warehouse, and explain the differences.

    Parameters
    ----------
    database, path : Path
        The release, public copy or warehouse, and the panel.
    city, year : str or None
        Columns of the panel, if the user named them.
    series_by_heading : mapping of str to str
        Series by column, as the user named them; other columns are then ignored.

    Returns
    -------
    Judgement
        `is_fine` requires that at most UNEXPLAINED_LIMIT of the cells of each column are
        unexplained, and that no unmarked value of ours jumps where theirs does not.

    Raises
    ------
    PanelError
        If the panel cannot be read, or has no recognisable city, year or series.
    """
    rows = panel_columns.read_panel(path)
    for heading in filter(None, (city, year, *series_by_heading)):
        if heading not in rows:
            headings = join_first([*rows], MAX_NAMES)
            raise PanelError(
                f"{path} has no column {heading!r}. Name one of the columns of the file:"
                f" {headings}."
            )
    with duckdb_client.open_read_only(database) as connection:
        reference = panel_causes.read_reference(connection)
    row_keys, lines = panel_columns.find_row_keys(path, rows, reference.cities, city, year)
    years = reference.warehouse_values["year"]
    row_keys = row_keys[row_keys["year"].between(years.min(), years.max())]
    columns = panel_columns.match_columns(
        rows, row_keys, reference.warehouse_values, reference.labels, series_by_heading
    )
    wanted_series = {*series_by_heading.values(), *reference.withheld_series}
    if missing_series := ", ".join(sorted(wanted_series - {*reference.labels})):
        lines.append(
            f"These series are not compared, because {database} has no values for them:"
            f" {missing_series}."
        )
    if not columns:
        first_year, last_year = years.min(), years.max()
        series_names = ", ".join(sorted(reference.labels)) or "none"
        lines.append(
            f"{path}: no column resembles a series of the warehouse in the years {first_year} to"
            f" {last_year}. Assign a series to a column with --column COLUMN=SERIES. The warehouse"
            f" has values of these series: {series_names}."
        )
        raise PanelError("\n".join(lines))
    others = [name for name in rows if name not in {column.heading for column in columns}]
    lines.append(f"These columns are not compared: {join_first(others, MAX_NAMES)}.")
    panel = panel_causes.build_cells(rows, row_keys, columns)
    table = panel_causes.add_causes(panel, reference)
    chance_table, swap_table = (
        panel_causes.add_causes_to_shuffles(panel, reference, whole=whole)
        for whole in (False, True)
    )
    shares = [_compute_shares(judged_table) for judged_table in (table, chance_table, swap_table)]
    for column in columns:
        cells = table[table["column_name"] == column.heading]
        column_shares = [share.loc[column.heading] for share in shares]
        lines += _format_lines(column, reference.labels[column.series][1], cells, column_shares)
    is_fine = shares[0]["none"].le(UNEXPLAINED_LIMIT).all()
    is_fine &= not table["cause"].eq(LIKELY["ours"]).any()
    return Judgement(lines, table.drop(columns=["tolerance", "precision"]), bool(is_fine))


def _compute_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of cells in each column by certainty: same, proven, likely or none."""
    shared_cells = table[table["ours"].notna()]
    shares = pd.crosstab(shared_cells["column_name"], shared_cells["certainty"], normalize="index")
    return shares.reindex(columns=["same", "proven", "likely", "none"], fill_value=0.0)


def _format_lines(
    column: Column, label: str, cells: pd.DataFrame, shares: list[pd.Series]
) -> list[str]:
    """Return the report lines for one column of an external panel."""
    by_cause = cells.groupby(["cause", "certainty"]).size().sort_values(ascending=False)
    actual, chance, swap = shares
    differ = max(1 - actual["same"], 1e-9)
    return [
        f"\n{column.heading} is {column.series} ({label}), {column.basis}. Multiplied by"
        f" 10^{column.power}, {column.agreeing_share:.0%} of the {column.shared_count:,} cells that"
        " have a value in both are within 1 % of ours.",
        *(f"{size:9,}  {how:7}  {cause}" for (cause, how), size in by_cause.items()),
        f"{differ:.1%} of these cells differ. Of the differences, {1 - actual['none'] / differ:.1%}"
        f" have a cause, and {actual['proven'] / differ:.1%} have a proven cause.",
        "If each year's values are shuffled among the cities, chance gives"
        f" {chance['same'] + chance['proven']:.2%} of the cells a proven cause and"
        f" {chance['likely']:.2%} a likely one. If whole cities are shuffled, it gives"
        f" {swap['likely']:.2%} a likely one.",
    ]


def format_file(cells: pd.DataFrame, is_workbook: bool) -> bytes:
    """Serialise the cells as XLSX or CSV, and escape text that looks like a formula."""
    content = io.BytesIO()
    if is_workbook:
        with pd.ExcelWriter(
            content, "xlsxwriter", engine_kwargs={"options": WORKBOOK_OPTIONS}
        ) as book:
            cells.to_excel(book, index=False)
    else:
        heading = cells["column_name"].str.replace(FORMULA, r"'\g<0>", regex=True)
        cells.assign(column_name=heading).to_csv(content, index=False, encoding="utf-8-sig")
    return content.getvalue()
