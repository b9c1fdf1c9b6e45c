"""Compare the tables of two warehouse or release files, cell by cell."""

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

MAX_CELL_CHARS = 60
# Column headings of the report, by section.
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
    """A section of the comparison report, such as changed columns or changed cells.

    Attributes
    ----------
    title : str
        Key of SECTIONS.
    columns : tuple of str
        Column headings.
    rows : list of tuple
        Numbers, strings and nulls.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def compare_databases(old: Database, new: Database, *landing: Path) -> list[Section]:
    """Compare the released tables of two warehouse or release files.

    The files must belong to the same extract set. Rows are matched by the primary key that
    data_dictionary declares. Floating-point numbers count as equal within the tolerances of
    changes.build_inequality.

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
            f"{old.path} belongs to extract set {old.origin}, but {new.path} belongs to"
            f" {new.origin}. Compare files of the same extract set."
        )
    try:
        return _compare_sections(old, new, landing)
    except duckdb_client.RefusedError as error:
        raise CompareError(str(error)) from error


def _compare_sections(old: Database, new: Database, landing: Sequence[Path]) -> list[Section]:
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb_client.open_attached(
            Path(spill), {"old": old.path, "new": new.path}, allowed_folders=landing
        ) as connection,
    ):
        tables = {name: _list_tables(connection, name) for name in ("old", "new")}
        common_tables = sorted(tables["old"].keys() & tables["new"].keys())
        for name, database in {"old": old, "new": new}.items():
            duckdb_client.require_views(connection, name, database.path, common_tables)
        keys = _read_keys(connection)
        comparisons = [
            _TableComparison(
                connection, table, tables["old"][table], tables["new"][table], keys.get(table, ())
            )
            for table in common_tables
        ]
        rows: list[Sequence[tuple[Any, ...]]] = [
            _compare_names(tables["old"], tables["new"]),
            [row for table in comparisons for row in table.compare_columns()],
            [row for table in comparisons for row in table.compare_rows()],
            [row for table in comparisons for row in table.compare_cells()],
            _compare_estimates(connection) if changes.COEFFICIENTS in common_tables else [],
        ]
        sections = [
            Section(title, columns, [*section_rows])
            for (title, columns), section_rows in zip(SECTIONS.items(), rows, strict=True)
        ]
    return [section for section in sections if section.rows]


def format_text(sections: Iterable[Section]) -> str:
    """Format a comparison as plain-text tables with aligned columns."""
    lines = []
    for section in sections:
        lines += [section.title, *_format_lines(section, "  ", pad=True), ""]
    return "\n".join(lines).rstrip()


def format_markdown(sections: Iterable[Section]) -> str:
    """Format a comparison as Markdown tables, for example for a code review."""
    lines = []
    for section in sections:
        heading, *rows = (f"|{line}|" for line in _format_lines(section, "|", pad=False))
        rule = "|---" * len(section.columns) + "|"
        lines += [f"## {section.title}", "", heading, rule, *rows, ""]
    return "\n".join(lines).rstrip()


def to_records(sections: Iterable[Section]) -> dict[str, list[dict[str, Any]]]:
    """Convert a comparison to JSON-compatible records, grouped by section.

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


def _list_tables(connection: DuckDBPyConnection, database: str) -> dict[str, dict[str, str]]:
    """Return the column types of each table or view in the released schemas."""
    tables: dict[str, dict[str, str]] = {}
    values = {"database": database, "schemas": [*SCHEMAS]}
    for table, column, type_ in connection.execute(SQL["columns"], values).fetchall():
        tables.setdefault(table, {})[column] = type_
    return tables


def _read_keys(connection: DuckDBPyConnection) -> dict[str, Sequence[str]]:
    """Return the primary key of each table, from the data dictionary of the older file.

    The result is empty if the file has no data dictionary.
    """
    with suppress(CatalogException):
        return dict(connection.execute(SQL["keys"]).fetchall())
    return {}


def _compare_names(old: Iterable[str], new: Iterable[str]) -> list[tuple[str, str]]:
    lost_names = [(name, "lost") for name in old if name not in set(new)]
    return lost_names + [(name, "gained") for name in new if name not in set(old)]


class _TableComparison:
    """Compare the columns, rows and cells of a table that exists in both files."""

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
        self._relations = {name: self._materialise_view(name) for name in ("old", "new")}
        self._old, self._new = old, new
        self._names = [name for name in old if name in new]
        self._key = key if {*key} <= {*self._names} else ()
        self._values = [name for name in self._names if name not in self._key]
        match_condition = (
            " and ".join(
                f"o.{c} is not distinct from n.{c}" for c in map(quote_identifier, self._key)
            )
            or "false"
        )
        self._join = (
            f"(select *, true as is_there from {self._relations['old']}) as o "
            f"full join (select *, true as is_there from {self._relations['new']}) as n"
            f" on {match_condition}"
        )

    def _materialise_view(self, database: str) -> str:
        """Return the qualified name of the table; copy a view to a temporary table first.

        Without the copy, every query would recompute the rows of the view.
        """
        name = f"{database}.{self._table}"
        if not self._fetch_count(
            f"select count(*) from duckdb_views() where database_name = {quote_literal(database)}"
            f" and schema_name || '.' || view_name = {quote_literal(self._table)}"
        ):
            return name
        copy = quote_identifier(name)
        self._connection.execute(f"create temp table {copy} as from {name}")
        return copy

    def compare_columns(self) -> list[tuple[str, str, str]]:
        """Return the columns that were removed, added or changed type."""
        rows = [(self._table, *change) for change in _compare_names(self._old, self._new)]
        return rows + [
            (self._table, name, f"{self._old[name]} -> {self._new[name]}")
            for name in self._names
            if self._old[name] != self._new[name]
        ]

    def compare_rows(self) -> list[tuple[Any, ...]]:
        """Return the counts of lost, gained and changed rows, or an empty list if all match."""
        counts = [
            self._fetch_count(f"select count(*) from {name}") for name in self._relations.values()
        ]
        if self._key:
            any_change = (
                " or ".join(self._build_inequality(name) for name in self._values) or "false"
            )
            lost_count, gained_count, changed_count = self._fetch_row(f"""
                select
                    count(*) filter (n.is_there is null),
                    count(*) filter (o.is_there is null),
                    count(*) filter (o.is_there and n.is_there and ({any_change}))
                from {self._join}
            """)
        else:
            columns = ", ".join(map(quote_identifier, self._names))
            old, new = (f"select {columns} from {name}" for name in self._relations.values())
            lost_count = self._fetch_count(f"select count(*) from ({old} except all {new})")
            gained_count = self._fetch_count(f"select count(*) from ({new} except all {old})")
            changed_count = 0
        differences = (lost_count, gained_count, changed_count)
        if not any(differences):
            return []
        return [(self._table, ", ".join(self._key) or "the whole row", *counts, *differences)]

    def compare_cells(self) -> list[tuple[Any, ...]]:
        """Return the number of changed cells and the largest change for each changed column.

        Columns without floating-point numbers report the first change instead of the largest.
        """
        if not self._key or not self._values:
            return []
        expressions = [self._build_change_expression(name) for name in self._values]
        column_changes = self._fetch_row(
            f"select {', '.join(expressions)} from {self._join} where o.is_there and n.is_there"
        )
        return [
            (self._table, name, change["count"], *change["largest"].values())
            for name, change in zip(self._values, column_changes, strict=True)
            if change["count"]
        ]

    def _build_change_expression(self, name: str) -> str:
        """Return an SQL aggregate for the changed cells of a column: count and largest change."""
        column, key = quote_identifier(name), [f"o.{quote_identifier(part)}" for part in self._key]
        move = "null::double"
        if self._is_number(name):
            move = f"abs(n.{column} - o.{column}) / nullif(abs(o.{column}), 0)"
        return f"""{{
            count: count(*) filter ({self._build_inequality(name)}),
            largest: first(
                {{
                    moved: {move},
                    place: concat_ws(', ', {", ".join(key)}),
                    before: cast(o.{column} as varchar),
                    after: cast(n.{column} as varchar)
                }}
                order by {move} desc nulls last, {", ".join(key)}
            ) filter ({self._build_inequality(name)})
        }}"""

    def _build_inequality(self, name: str) -> str:
        column = quote_identifier(name)
        if self._old[name] == self._new[name] and self._is_number(name):
            return changes.build_inequality(f"o.{column}", f"n.{column}")
        return f"o.{column} is distinct from n.{column}"

    def _is_number(self, name: str) -> bool:
        return all(types[name] in ("DOUBLE", "FLOAT") for types in (self._old, self._new))

    def _fetch_row(self, query: str) -> tuple[Any, ...]:
        return self._connection.execute(query).fetchall()[0]

    def _fetch_count(self, query: str) -> int:
        return int(self._fetch_row(query)[0])


def _compare_estimates(connection: DuckDBPyConnection) -> list[tuple[Any, ...]]:
    names = ", ".join(changes.COLUMNS)
    return connection.execute(f"""
        select
            specification_id, term, old_value, old_std_error, new_value, new_std_error,
            moved_std_errors
        from ({changes.build_estimate_query()}) as changed ({names})
        order by moved_std_errors desc nulls first, specification_id, term
    """).fetchall()


def _format_lines(section: Section, separator: str, *, pad: bool) -> list[str]:
    cells = [
        list(section.columns),
        *([_format_cell(value) for value in row] for row in section.rows),
    ]
    if not pad:
        return [separator.join(cell.replace("|", "\\|") for cell in row) for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded_cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(separator.join(["", *padded_cells]).rstrip())
    return lines


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    line = " ".join(text.split())
    return line if len(text) <= MAX_CELL_CHARS else f"{line[:MAX_CELL_CHARS]}…"
