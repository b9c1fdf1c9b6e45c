"""Differences between two warehouse or release files of the same extract set."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import CatalogException, DuckDBPyConnection

from ai_manufacturing.auditing import changes
from ai_manufacturing.releases.contents import SCHEMAS
from ai_manufacturing.releases.databases import Database
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import load_statements, quote_identifier, quote_literal

SQL = load_statements(__file__)

SHOWN = 60  # maximum characters of a printed cell
# Column headings by section.
SECTIONS = {
    "Tables": ("table", "change"),
    "Columns": ("table", "column", "change"),
    "Rows": ("table", "matched by", "rows before", "rows after", "lost", "gained", "changed"),
    "Cells": (
        "table",
        "column",
        "cells changed",
        "largest relative change",
        "at",
        "before",
        "after",
    ),
    "Estimates": (
        "specification",
        "term",
        "before",
        "error",
        "after",
        "error after",
        "moved in standard errors",
    ),
}


class CompareError(Exception):
    """Raised when two files cannot be compared."""


@dataclass(frozen=True)
class Section:
    """One table of a comparison.

    Attributes
    ----------
    title : str
        Key of SECTIONS.
    columns : tuple of str
        Column headings.
    rows : list of tuple
        Numbers, texts and nulls.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def compare(old: Database, new: Database, *landing: Path) -> list[Section]:
    """Compare the released schemas of two files of the same extract set.

    Rows are matched by the key that data_dictionary declares for their table. Floating-point
    numbers count as equal within changes.RELATIVE_TOLERANCE, because the order of a summation
    affects the last digits.

    Parameters
    ----------
    old, new : Database
        Releases, or built warehouses that no process is writing to.
    *landing : Path
        Landing stores that the views of a warehouse may read; no other file is accessible.

    Returns
    -------
    list of Section
        Tables, columns, rows and cells that differ, and estimates sorted by their move in old
        standard errors. Empty sections are omitted, so identical files give an empty list.

    Raises
    ------
    CompareError
        If the files belong to different extract sets, or a view reads files that are unavailable.
    """
    if old.origin != new.origin:
        raise CompareError(
            f"{old.path} is of {old.origin} and {new.path} of {new.origin}. Both must be of one"
            " extract set."
        )
    try:
        return _sections(old, new, landing)
    except duckdb_client.RefusedError as error:
        raise CompareError(str(error)) from error


def _sections(old: Database, new: Database, landing: Sequence[Path]) -> list[Section]:
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb_client.open_attached(
            Path(spill), {"old": old.path, "new": new.path}, allowed_folders=landing
        ) as connection,
    ):
        tables = {name: _tables(connection, name) for name in ("old", "new")}
        both = sorted(tables["old"].keys() & tables["new"].keys())
        for name, database in {"old": old, "new": new}.items():
            duckdb_client.require_views(connection, name, database.path, both)
        keys = _keys(connection)
        compared = [
            _Compared(
                connection, table, tables["old"][table], tables["new"][table], keys.get(table, ())
            )
            for table in both
        ]
        rows: list[Sequence[tuple[Any, ...]]] = [
            _lost_and_gained(tables["old"], tables["new"]),
            [row for table in compared for row in table.columns()],
            [row for table in compared for row in table.rows()],
            [row for table in compared for row in table.cells()],
            _estimates(connection) if changes.COEFFICIENTS in both else [],
        ]
        sections = [
            Section(title, columns, [*of])
            for (title, columns), of in zip(SECTIONS.items(), rows, strict=True)
        ]
    return [section for section in sections if section.rows]


def as_text(sections: Iterable[Section]) -> str:
    """Format a comparison as plain-text tables with aligned columns."""
    lines = []
    for section in sections:
        lines += [section.title, *_lines(section, "  ", pad=True), ""]
    return "\n".join(lines).rstrip()


def as_markdown(sections: Iterable[Section]) -> str:
    """Format a comparison as Markdown tables, for example for a code review."""
    lines = []
    for section in sections:
        heading, *rows = (f"|{line}|" for line in _lines(section, "|", pad=False))
        rule = "|---" * len(section.columns) + "|"
        lines += [f"## {section.title}", "", heading, rule, *rows, ""]
    return "\n".join(lines).rstrip()


def as_records(sections: Iterable[Section]) -> dict[str, list[dict[str, Any]]]:
    """Convert a comparison to a dict of row lists by section, for JSON output.

    Empty sections are included, and column names use underscores.
    """
    rows = {section.title: section.rows for section in sections}
    return {
        title.lower(): [
            dict(zip((name.replace(" ", "_") for name in columns), row, strict=True))
            for row in rows.get(title, [])
        ]
        for title, columns in SECTIONS.items()
    }


def _tables(connection: DuckDBPyConnection, database: str) -> dict[str, dict[str, str]]:
    """Return the columns and types of each released table or view in a database."""
    tables: dict[str, dict[str, str]] = {}
    values = {"database": database, "schemas": [*SCHEMAS]}
    for table, column, type_ in connection.execute(SQL["columns"], values).fetchall():
        tables.setdefault(table, {})[column] = type_
    return tables


def _keys(connection: DuckDBPyConnection) -> dict[str, Sequence[str]]:
    """Return the key of each table in the older file's data dictionary; empty if it has none."""
    with suppress(CatalogException):
        return dict(connection.execute(SQL["keys"]).fetchall())
    return {}


def _lost_and_gained(old: Iterable[str], new: Iterable[str]) -> list[tuple[str, str]]:
    lost = [(name, "lost") for name in old if name not in set(new)]
    return lost + [(name, "gained") for name in new if name not in set(old)]


class _Compared:
    """A table that exists in both files."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        table: str,
        old: dict[str, str],
        new: dict[str, str],
        key: Sequence[str],
    ) -> None:
        self._connection = connection
        self._table = table
        self._of = {name: self._read_once(name) for name in ("old", "new")}
        self._old, self._new = old, new
        self._names = [name for name in old if name in new]
        self._key = key if {*key} <= {*self._names} else ()
        self._values = [name for name in self._names if name not in self._key]
        matched = (
            " and ".join(
                f"o.{c} is not distinct from n.{c}" for c in map(quote_identifier, self._key)
            )
            or "false"
        )
        self._joined = (
            f"(select *, true as is_there from {self._of['old']}) as o "
            f"full join (select *, true as is_there from {self._of['new']}) as n on {matched}"
        )

    def _read_once(self, database: str) -> str:
        """Return the name of a table, or of a temporary copy if it is a view.

        Without the copy, every query would compute the rows of the view again.
        """
        name = f"{database}.{self._table}"
        if not self._value(
            f"select count(*) from duckdb_views() where database_name = {quote_literal(database)}"
            f" and schema_name || '.' || view_name = {quote_literal(self._table)}"
        ):
            return name
        copied = quote_identifier(name)
        self._connection.execute(f"create temp table {copied} as from {name}")
        return copied

    def columns(self) -> list[tuple[str, str, str]]:
        """Return the columns that were lost, gained or changed type."""
        rows = [(self._table, *change) for change in _lost_and_gained(self._old, self._new)]
        return rows + [
            (self._table, name, f"{self._old[name]} -> {self._new[name]}")
            for name in self._names
            if self._old[name] != self._new[name]
        ]

    def rows(self) -> list[tuple[Any, ...]]:
        """Return one row that counts the differing rows, or an empty list if there are none."""
        counts = [self._value(f"select count(*) from {name}") for name in self._of.values()]
        if self._key:
            any_change = " or ".join(self._differs(name) for name in self._values) or "false"
            lost, gained, changed = self._row(f"""
                select
                    count(*) filter (n.is_there is null),
                    count(*) filter (o.is_there is null),
                    count(*) filter (o.is_there and n.is_there and ({any_change}))
                from {self._joined}
            """)
        else:
            listed = ", ".join(map(quote_identifier, self._names))
            old, new = (f"select {listed} from {name}" for name in self._of.values())
            lost = self._value(f"select count(*) from ({old} except all {new})")
            gained = self._value(f"select count(*) from ({new} except all {old})")
            changed = 0
        if not lost + gained + changed:
            return []
        return [
            (self._table, ", ".join(self._key) or "the whole row", *counts, lost, gained, changed)
        ]

    def cells(self) -> list[tuple[Any, ...]]:
        """Return the columns with changed cells, each with its largest or first change."""
        if not self._key or not self._values:
            return []
        changes_of = [self._change(name) for name in self._values]
        found = self._row(
            f"select {', '.join(changes_of)} from {self._joined} where o.is_there and n.is_there"
        )
        return [
            (self._table, name, change["count"], *change["largest"].values())
            for name, change in zip(self._values, found, strict=True)
            if change["count"]
        ]

    def _change(self, name: str) -> str:
        """Return SQL for the number of changed cells in a column and for the largest change."""
        column, key = quote_identifier(name), [f"o.{quote_identifier(part)}" for part in self._key]
        moved = "null::double"
        if self._is_number(name):
            moved = f"abs(n.{column} - o.{column}) / nullif(abs(o.{column}), 0)"
        return f"""{{
            count: count(*) filter ({self._differs(name)}),
            largest: first(
                {{
                    moved: {moved},
                    place: concat_ws(', ', {", ".join(key)}),
                    before: cast(o.{column} as varchar),
                    after: cast(n.{column} as varchar)
                }}
                order by {moved} desc nulls last, {", ".join(key)}
            ) filter ({self._differs(name)})
        }}"""

    def _differs(self, name: str) -> str:
        column = quote_identifier(name)
        if self._old[name] == self._new[name] and self._is_number(name):
            return changes.build_inequality(f"o.{column}", f"n.{column}")
        return f"o.{column} is distinct from n.{column}"

    def _is_number(self, name: str) -> bool:
        return all(types[name] in ("DOUBLE", "FLOAT") for types in (self._old, self._new))

    def _row(self, query: str) -> tuple[Any, ...]:
        return self._connection.execute(query).fetchall()[0]

    def _value(self, query: str) -> int:
        return int(self._row(query)[0])


def _estimates(connection: DuckDBPyConnection) -> list[tuple[Any, ...]]:
    names = ", ".join(changes.COLUMNS)
    return connection.execute(f"""
        select
            specification_id, term, old_value, old_std_error, new_value, new_std_error,
            moved_std_errors
        from ({changes.build_estimate_query()}) as changed ({names})
        order by moved_std_errors desc nulls first, specification_id, term
    """).fetchall()


def _lines(section: Section, separator: str, *, pad: bool) -> list[str]:
    cells = [list(section.columns), *([_cell(value) for value in row] for row in section.rows)]
    if not pad:
        return [separator.join(cell.replace("|", "\\|") for cell in row) for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(separator.join(["", *padded]).rstrip())
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()) if len(text) <= SHOWN else f"{' '.join(text.split())[:SHOWN]}…"
