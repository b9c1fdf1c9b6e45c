"""Read the paper's tables from a release or warehouse database."""

import re
from itertools import groupby
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing.disclosure import published_numbers
from ai_manufacturing.releases.origin import SYNTHETIC, read_origin
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import SUBSTITUTE_MARK, Catalogue, Words
from ai_manufacturing.tables import ERRORS, Cell, Column, Line, Note, PaperTable

SQL = load_statements(__file__)

# Line kinds that are printed as notes below the table.
NOTE_KINDS = ("substitutions", "warnings", "not_estimable")
DEFAULT_ERROR = "crv1_city"  # default standard errors, which no note needs to mention
MISSING = "–"  # printed in place of a number that could not be estimated

Row = dict[str, Any]
"""A row of rpt_table_cells."""


def read_table_names(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return the names of the paper's tables by table id, from a release or warehouse."""
    rows = connection.execute(SQL["tables"]).fetchall()
    return dict(rows)


def read_tables(connection: DuckDBPyConnection, text: Catalogue) -> dict[str, PaperTable]:
    """Return the paper's tables with their cells and notes, by table id.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection to a release or a built warehouse.
    text : Catalogue
        Texts of the tables, with the labels from the same file.
    """
    common_notes = _collect_notes(connection, text)
    is_copy = published_numbers.has_rounded_numbers(connection)
    cells = duckdb_client.fetch_rows(
        connection,
        SQL["cells"],
    )
    tables = {}
    for name, table_rows in groupby(cells, key=lambda row: row["table_id"]):
        rows = [*table_rows]
        tables[name] = PaperTable(
            table_id=name,
            name=text.labels[name],
            title=text.texts[f"title_{name}"],
            lines={
                row["line_number"]: Line(row["line_kind"], (row["label_en"], row["label_zh"]))
                for row in sorted(rows, key=lambda row: row["line_number"])
                if row["line_kind"] not in NOTE_KINDS
            },
            columns=[
                _build_column([*column_rows], text, is_copy)
                for _, column_rows in groupby(
                    rows, key=lambda row: (row["column_number"], row["specification_id"])
                )
            ],
            common_notes=common_notes,
        )
    return tables


def _collect_notes(connection: DuckDBPyConnection, text: Catalogue) -> dict[str, Words]:
    """Return the notes that are printed below every table, by key."""
    extract_set, kind = read_origin(connection) or ("", "delivered")
    keys = [*(f"table_{error}" for error in ERRORS), "table_stars", "table_substitutes"]
    if kind == SYNTHETIC:
        keys.append("table_synthetic")
    mark = text.format_words(f"table_mark_{kind}", set=extract_set)
    return {"table_mark": mark, **{key: text.format_words(key) for key in keys}}


def _build_column(rows: list[Row], text: Catalogue, is_copy: bool) -> Column:
    """Build a table column for one specification from its rows in rpt_table_cells."""
    first = rows[0]
    by_kind = {row["line_kind"]: row for row in rows}
    errors = {kind: error for error, kind in ERRORS.items()}
    has_substitutes = "substitutions" in by_kind
    notes = []
    for kind in NOTE_KINDS:
        if row := by_kind.get(kind):
            mark = f"{SUBSTITUTE_MARK} " if kind == "substitutions" else ""
            head = (mark + row["label_en"], mark + row["label_zh"])
            notes.append(Note(None, head, _fill_labels(row["cell"], row["cell_zh"], text)))
    error = first["error_en"], first["error_zh"]
    if error != text.find_labels(DEFAULT_ERROR):
        notes.append(Note(None, text.texts["table_errors"], error))
    for row in rows:
        if row["reason"] is not None and row["line_kind"] in errors:
            why = _fill_labels(row["reason"], row["reason_zh"], text)
            note = Note(errors[row["line_kind"]], (_format_missing(row),) * 2, why)
            if note not in notes:
                notes.append(note)
    return Column(
        specification_id=first["specification_id"],
        number=first["column_number"],
        is_default=first["reading"] == "default",
        heading=(first["heading_en"], first["heading_zh"]),
        reading=text.find_labels(first["reading"]),
        cells={
            row["line_number"]: _build_cell(row, has_substitutes, text, is_copy)
            for row in rows
            if row["line_kind"] not in NOTE_KINDS
        },
        notes=notes,
        has_substitutes=has_substitutes,
    )


def _format_missing(row: Row) -> str:
    return f"{row['opening']}{MISSING}{row['closing']}"


def _build_cell(row: Row, has_substitutes: bool, text: Catalogue, is_copy: bool) -> Cell:
    is_estimate = row["line_kind"] == "estimate"
    if row["value"] is None and row["reason"] is not None:
        words = text.find_labels("not_estimable") if is_estimate else (_format_missing(row),) * 2
        return Cell(None, False, False, "", "", words, is_missing=True)
    words = ("", "")
    if row["value"] is None and row["cell"]:
        words = (row["cell"], row["cell_zh"]) if row["cell_zh"] else text.find_labels(row["cell"])
    mark = f" {SUBSTITUTE_MARK}" if is_estimate and has_substitutes else ""
    after = row["closing"] + mark
    decimals = re.search(r"\.(\d+)", row["cell"] or "")
    return Cell(
        value=row["value"],
        is_rounded=row["is_rounded"],
        is_p_value=row["is_p_value"],
        before=row["opening"],
        after=after,
        words=words,
        most_decimals=len(decimals[1]) if decimals and is_copy else None,
    )


def _fill_labels(en: str | None, zh: str | None, text: Catalogue) -> Words:
    """Replace variable names in an English and a Chinese sentence with their labels."""
    return (text.fill_labels(en or "", "en"), text.fill_labels(zh or "", "zh"))
