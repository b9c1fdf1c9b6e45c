"""Find the values that a public copy withholds, and the queries that need those values.

A copy contains every table (see terms.py), so a withheld table looks empty, and a withheld column
looks null. Neither is an answer, so code that runs statements on a copy must check them here first.
"""

import re
from collections.abc import Sequence
from typing import Any

import duckdb

from ai_manufacturing.system import duckdb_client, lineage
from ai_manufacturing.system.lineage import Dependencies, UnknownDependenciesError
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue, Words

SQL = load_statements(__file__)

Row = dict[str, Any]

TABLE = "release.withheld"
COMMENTS = {
    "table_name": "Schema and name of a table of this file.",
    "column_name": (
        "Column that is blank in the rows of restricted providers; null if those rows are not here."
    ),
    "row_count": "Rows without their value, or that are not here.",
    "shown_count": "Rows with their value, or that are here.",
    "providers": "Whose values may not be passed on; marts.fct_deliveries has their terms.",
}
MAX_NAMES = 12  # maximum number of tables and columns named in a sentence
QUOTED_NAME = re.compile(r'"([^"]+)"')
# Matches the tool call at the end of an answer, such as `query: from marts.dim_city`.
CALL = re.compile(r"`(?P<tool>\w+)(?:: (?P<arguments>[^`]+))?`$")


def read_withheld_rows(release: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the rows of release.withheld, or an empty list if that table does not exist.

    `is_left_out` marks columns that the file does not contain at all.
    """
    try:
        return duckdb_client.fetch_rows(release, SQL["listed"])
    except duckdb.CatalogException:
        return []


def format_name(row: Row) -> str:
    """Return the name of a withheld table or column, as schema.table or schema.table.column."""
    return ".".join(filter(None, (row["table_name"], row["column_name"])))


def find_withheld_inputs(rows: Sequence[Row], reads: Dependencies) -> list[Row]:
    """Return the withheld tables and columns that an SQL statement reads.

    Reading all columns of a table includes the columns that the copy lacks.
    """
    columns = set().union(*reads.columns)
    return [
        row
        for row in rows
        if (row["column_name"] is None and row["table_name"] in reads.tables)
        or (row["table_name"] in reads.whole_tables or format_name(row) in columns)
    ]


def find_omitted_columns(
    rows: Sequence[Row], error: duckdb.Error | UnknownDependenciesError
) -> list[Row]:
    """Return the omitted columns that a DuckDB error message reports as missing."""
    first_line = str(error).partition("\n")[0]
    missing_names = {name.casefold() for name in QUOTED_NAME.findall(first_line)}
    return [row for row in rows if row["is_left_out"] and row["column_name"] in missing_names]


def is_misleading(
    rows: Sequence[Row], reads: Dependencies, result: Sequence[Sequence[object]]
) -> bool:
    """Return whether a query result is misleading, because the underlying data are withheld.

    This is the case if the statement reads a table without rows, or if a result column depends on a
    column without values and is still not null, as in a count. An empty result counts as an answer.

    Parameters
    ----------
    rows : sequence of dict
        Rows of release.withheld.
    reads : Dependencies
        Tables and columns that the statement reads.
    result : sequence of sequences
        The rows of the result.
    """
    empty_names = {format_name(row) for row in rows if not row["shown_count"]}
    if empty_names & reads.tables:
        return True
    return any(
        columns & empty_names and (not result or any(row[place] is not None for row in result))
        for place, columns in enumerate(reads.columns)
    )


def describe_extent(row: Row) -> Words:
    """Return an English and a Chinese phrase with the number of withheld rows or values."""
    share = "some" if row["shown_count"] else "all"
    unit = "rows" if row["column_name"] is None else "values"
    en, zh = Catalogue.load().texts[f"withheld_{share}_{unit}"]
    count = f"{row['row_count']:,}"
    return en.format(count=count), zh.format(count=count)


def describe_withheld_rows(rows: Sequence[Row]) -> str:
    """Return an English sentence that lists withheld tables and columns with their providers."""
    texts = Catalogue.load().texts
    tables_first = sorted(rows, key=lambda row: (row["column_name"] is not None, format_name(row)))
    names = [f"{format_name(row)} ({describe_extent(row)[0]})" for row in tables_first[:MAX_NAMES]]
    if len(rows) > MAX_NAMES:
        names.append(texts["withheld_more"][0].format(count=len(rows) - MAX_NAMES))
    providers = rows[0]["providers"]
    return texts["withheld_from_copy"][0].format(what=", ".join(names), providers=providers)


def find_empty_tables(release: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the names of all empty tables in an open release or public copy."""
    rows = release.execute(
        "select concat(schema_name, '.', table_name) from duckdb_tables() where database_name ="
        " current_database() and estimated_size = 0"
    ).fetchall()
    return {table for (table,) in rows}


def check_answerable(release: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> list[bool]:
    """Return whether an open release or public copy can answer each SQL statement.

    A statement has no answer if it reads a table whose rows are withheld, if it reads only empty
    tables, or if it names a column whose values are withheld. Reading all columns of a table is
    allowed, because the other columns have values.
    """
    rows = read_withheld_rows(release)
    withheld_names = {format_name(row) for row in rows if not row["shown_count"]}
    tables_without_rows = find_empty_tables(release)

    def has_answer(sql: str) -> bool:
        try:
            reads = lineage.find_dependencies(plan_connection, sql)
        except UnknownDependenciesError as error:
            return not find_omitted_columns(rows, error)
        column_names = {
            column
            for column in set().union(*reads.columns)
            if column.rpartition(".")[0] not in reads.whole_tables
        }
        has_rows = not reads.tables or bool(reads.tables - tables_without_rows)
        return has_rows and withheld_names.isdisjoint(reads.tables | column_names)

    with lineage.open_planner(release) as plan_connection:
        return [has_answer(sql) for sql in statements]


def find_unanswered_questions(release: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the example questions in release.questions that a public copy cannot answer."""
    calls = {
        question: call
        for question, answer in release.execute(
            "select question, answer from release.questions order by all"
        ).fetchall()
        if (call := CALL.search(answer))
    }
    statements = {
        question: call["arguments"] for question, call in calls.items() if call["tool"] == "query"
    }
    has_answer = dict(
        zip(statements, check_answerable(release, [*statements.values()]), strict=True)
    )
    return [
        question
        for question, call in calls.items()
        # a `trace` call with a city and a year shows the value of a single city
        if not has_answer.get(question, call["tool"] != "trace" or "," not in call["arguments"])
    ]
