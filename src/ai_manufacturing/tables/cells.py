"""The paper's tables out of a release or a built warehouse."""

from itertools import groupby
from typing import NamedTuple

import duckdb

from ai_manufacturing.releases.origin import SYNTHETIC, Origin, origin_of
from ai_manufacturing.tables import ERRORS, Cell, Column, Line, Note, PaperTable, TableError, Words
from ai_manufacturing.text import MARK, Catalogue

# Kinds of lines that are notes below a table.
PROSE = ("substitutions", "warnings", "not_estimable")
BY_CITY = "city"
MISSING = "–"


class _Row(NamedTuple):
    """A row of rpt_table_cells."""

    table_id: str
    column_number: int
    specification_id: str
    reading: str
    covariance: str
    line_number: int
    line_kind: str
    label_en: str
    label_zh: str
    cell: str | None
    cell_zh: str | None
    value: float | None
    is_rounded: bool
    is_p_value: bool
    opening: str
    closing: str
    reason: str | None
    reason_zh: str | None


def read(connection: duckdb.DuckDBPyConnection, text: Catalogue) -> dict[str, PaperTable]:
    """Return the paper's tables, by name.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Open on a release or a built warehouse.
    text : Catalogue
        Words of the tables, with the labels of the same file.

    Raises
    ------
    TableError
        If the file was built before tables had a choice of readings.
    """
    if not connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'reports' and table_name = 'rpt_table_cells'"
    ).fetchall():
        raise TableError(
            "There is no table reports.rpt_table_cells, which has the readings and errors: an earlier version built "
            "the file, or the build did not get there. Build it again, or name another with --database."
        )
    origin = origin_of(connection)
    headings = {
        (table, int(name.removeprefix("column_"))): (english.rstrip("."), chinese)
        for table, name, english, chinese in connection.execute(
            "select replace(table_name, 'rpt_', ''), column_name, description_en, description_zh "
            "from marts.data_dictionary where table_name like 'rpt\\_table\\__' escape '\\' "
            "and column_name like 'column\\__' escape '\\'"
        ).fetchall()
    }
    found: dict[str, list[_Row]] = {}
    for values in connection.execute(
        f"select {', '.join(_Row._fields)} from reports.rpt_table_cells "
        "order by table_id, column_number, specification_order, line_number"
    ).fetchall():
        row = _Row(*values)
        if (row.table_id, row.column_number) in headings:
            found.setdefault(row.table_id, []).append(row)
    return {
        table: PaperTable(
            table_id=table,
            name=text.labels[table],
            title=text.texts[f"title_{table}"],
            lines={
                row.line_number: Line(row.line_kind, (row.label_en, row.label_zh))
                for row in sorted(rows, key=lambda row: row.line_number)
                if row.line_kind not in PROSE
            },
            columns=[
                _column([*of_column], headings[table, number], text)
                for (number, _), of_column in groupby(rows, key=lambda row: (row.column_number, row.specification_id))
            ],
            said=_said(origin, text),
        )
        for table, rows in found.items()
    }


def _said(origin: Origin | None, text: Catalogue) -> dict[str, Words]:
    """Return the sentences that every table of an extract set has."""
    is_synthetic = origin is not None and origin.kind == SYNTHETIC
    keys = {
        "table_mark": "table_mark_synthetic" if is_synthetic else "table_mark_delivered",
        **{key: key for key in (*(f"table_{error}" for error in ERRORS), "table_stars", "table_substitutes")},
        **({"table_synthetic": "table_synthetic"} if is_synthetic else {}),
    }
    values = {"set": origin.extract_set if origin else ""}
    return {name: (text.plain(key, "en", **values), text.plain(key, "zh", **values)) for name, key in keys.items()}


def _column(rows: list[_Row], heading: Words, text: Catalogue) -> Column:
    """Return one reading, from its rows."""
    first = rows[0]
    by_kind = {row.line_kind: row for row in rows}
    errors = {kind: error for error, kind in ERRORS.items()}
    has_substitutes = "substitutions" in by_kind
    notes = [
        Note(None, _head(kind, by_kind[kind]), _sentences(by_kind[kind].cell, by_kind[kind].cell_zh, text))
        for kind in PROSE
        if kind in by_kind
    ]
    if first.covariance != BY_CITY:
        words = text.texts.get(f"table_errors_{first.covariance}") or _labels(first.covariance, text)
        notes.append(Note(None, text.texts["table_errors"], words))
    missing = {
        Note(errors[row.line_kind], (_missing(row),) * 2, _sentences(row.reason, row.reason_zh, text)): None
        for row in rows
        if row.reason is not None and row.line_kind in errors
    }
    return Column(
        specification_id=first.specification_id,
        number=first.column_number,
        is_default=first.reading == "default",
        heading=heading,
        reading=_labels(first.reading, text),
        cells={row.line_number: _cell(row, has_substitutes, text) for row in rows if row.line_kind not in PROSE},
        notes=[*notes, *missing],
        has_substitutes=has_substitutes,
    )


def _head(kind: str, row: _Row) -> Words:
    mark = f"{MARK} " if kind == "substitutions" else ""
    return (mark + row.label_en, mark + row.label_zh)


def _missing(row: _Row) -> str:
    return f"{row.opening}{MISSING}{row.closing}"


def _cell(row: _Row, has_substitutes: bool, text: Catalogue) -> Cell:
    is_estimate = row.line_kind == "estimate"
    if row.value is None and row.reason is not None:
        words = _labels("not_estimable", text) if is_estimate else (_missing(row),) * 2
        return Cell(None, False, False, "", "", words, is_missing=True)
    words = ("", "")
    if row.value is None and row.cell:
        words = (row.cell, row.cell_zh) if row.cell_zh else _labels(row.cell, text)
    mark = f" {MARK}" if is_estimate and has_substitutes else ""
    return Cell(row.value, row.is_rounded, row.is_p_value, row.opening, row.closing + mark, words)


def _labels(value: str, text: Catalogue) -> Words:
    return (text.plain_label(value, "en"), text.plain_label(value, "zh"))


def _sentences(en: str | None, zh: str | None, text: Catalogue) -> Words:
    """Return sentences of the database with the names in them by their labels."""
    return (text.with_labels_in(en or "", "en"), text.with_labels_in(zh or "", "zh"))
