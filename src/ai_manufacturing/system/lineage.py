"""Find the tables and columns that a SQL query depends on, using DuckDB's query plans.

DuckDB plans the query on empty tables, once per result column, and prunes columns that are not
needed. The columns that remain in the scans are the dependencies. They include the columns of
joins, filters and groupings, which determine the rows of the result.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import quote_identifier, quote_literal

# DuckDB optimizers that remain enabled. Others may fold a column into a constant, or hide a column
# in the filter of a scan.
PRUNING = ("cte_inlining", "unused_columns")
# Leaf operators of a query plan that read no table. The last two read the result of a common table
# expression, whose own scans are elsewhere in the plan.
LEAVES = ("COLUMN_DATA_SCAN", "DUMMY_SCAN", "GENERATE_SERIES", "RANGE", "CTE_SCAN", "REC_CTE_SCAN")


class UnknownDependenciesError(Exception):
    """Raised if a query's plan does not reveal its dependencies; the message gives the reason."""


class Dependencies(NamedTuple):
    """Tables and columns that a SQL query depends on.

    Attributes
    ----------
    tables : set of str
        Tables as schema.table, including those without any column read, as in a row count.
    whole_tables : set of str
        Tables with every column read, as in `select *`.
    columns : list of set of str
        For each result column, the columns that it depends on, as schema.table.column.
    """

    tables: set[str]
    whole_tables: set[str]
    columns: list[set[str]]


@contextmanager
def open_planner(database: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database with empty copies of a database's tables, to plan queries."""
    columns = database.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() order by schema_name, table_name,"
        " column_index"
    ).fetchall()
    with duckdb_client.connect() as empty:
        empty.execute(
            f"attach ':memory:' as {duckdb_client.FILE_CATALOG}; use {duckdb_client.FILE_CATALOG}"
        )
        for names, table_columns in groupby(columns, key=lambda column: column[:2]):
            schema, table = map(quote_identifier, names)
            definitions = ", ".join(
                f"{quote_identifier(name)} {kind}" for *_, name, kind in table_columns
            )
            empty.execute(f"create schema if not exists {schema}")
            empty.execute(f"create table {schema}.{table} ({definitions})")
        optimizers = [name for (name,) in empty.execute("from duckdb_optimizers()").fetchall()]
        disabled_optimizers = ",".join(name for name in optimizers if name not in PRUNING)
        empty.execute(f"set disabled_optimizers = {quote_literal(disabled_optimizers)}")
        yield empty


def find_dependencies(empty: duckdb.DuckDBPyConnection, sql: str) -> Dependencies:
    """Return the tables and columns that a query depends on, by planning it on empty tables.

    Raises
    ------
    UnknownDependenciesError
        If the query does not match the tables, or reads something else, such as the statistics of
        a file.
    """
    tables: set[str] = set()
    columns: list[set[str]] = []
    try:
        statements = empty.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise UnknownDependenciesError("the query is not a single SELECT statement")
        # Wrap the statement in a view, because it may end with a semicolon or a comment.
        empty.execute(f"create or replace temp view asked as\n{sql}")
        result_columns = empty.execute("describe asked").fetchall()
        names = ", ".join(f"c{number}" for number in range(len(result_columns)))
        for number in range(len(result_columns)):
            (plan,) = empty.execute(
                f"explain (format json) select c{number} from asked as q({names})"
            ).fetchall()
            scans = [scan for root in json.loads(plan[1]) for scan in _list_scans(root)]
            tables.update(table for table, _ in scans)
            columns.append({f"{table}.{name}" for table, scanned in scans for name in scanned})
    except duckdb.Error as error:
        raise UnknownDependenciesError(str(error).splitlines()[0]) from error
    partial_tables = empty.execute(
        "select distinct concat(schema_name, '.', table_name) from duckdb_columns() where not"
        " list_contains(?, concat(schema_name, '.', table_name, '.', column_name))",
        [[*set().union(*columns)]],
    ).fetchall()
    return Dependencies(tables, tables - {table for (table,) in partial_tables}, columns)


def _list_scans(operator: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the tables that a query plan scans, each with the columns that are read."""
    if children := operator.get("children"):
        return [scan for child in children for scan in _list_scans(child)]
    name, details = operator["name"].strip(), operator.get("extra_info", {})
    if name == "SEQ_SCAN" and "Filters" not in details:
        projections = details["Projections"]
        columns = [projections] if isinstance(projections, str) else projections
        # Remove the quotes that the plan adds to reserved words, such as the schema name `release`.
        table = details["Table"].replace('"', "").removeprefix(f"{duckdb_client.FILE_CATALOG}.")
        return [(table, [column for column in columns if column])]
    if name in LEAVES:
        return []
    raise UnknownDependenciesError(f"the query reads {name}")
