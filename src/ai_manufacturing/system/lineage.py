"""Find the tables and columns that a query depends on.

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

# Optimizers to leave enabled. Others may fold a column into a constant, or hide it in the filter of
# a scan.
PRUNING = ("cte_inlining", "unused_columns")
# Plan operators that read no table; the last two read the results of another scan.
LEAVES = ("COLUMN_DATA_SCAN", "DUMMY_SCAN", "GENERATE_SERIES", "RANGE", "CTE_SCAN", "REC_CTE_SCAN")


class CannotTellError(Exception):
    """Raised if a query's plan does not reveal its dependencies; the message gives the reason."""


class Reads(NamedTuple):
    """The tables and columns that a query depends on.

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
def planner(database: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database with empty copies of a database's tables."""
    columns = database.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() order by schema_name, table_name,"
        " column_index"
    ).fetchall()
    with duckdb_client.connect() as empty:
        empty.execute(f"attach ':memory:' as {duckdb_client.READ}; use {duckdb_client.READ}")
        for names, described in groupby(columns, key=lambda column: column[:2]):
            schema, table = map(quote_identifier, names)
            listed = ", ".join(f"{quote_identifier(name)} {kind}" for *_, name, kind in described)
            empty.execute(f"create schema if not exists {schema}")
            empty.execute(f"create table {schema}.{table} ({listed})")
        known = [name for (name,) in empty.execute("from duckdb_optimizers()").fetchall()]
        disabled = ",".join(name for name in known if name not in PRUNING)
        empty.execute(f"set disabled_optimizers = {quote_literal(disabled)}")
        yield empty


def reads(empty: duckdb.DuckDBPyConnection, sql: str) -> Reads:
    """Return the dependencies of a query, from its plans in a database opened by `planner`.

    Raises
    ------
    CannotTellError
        If the query does not match the tables, or reads something else, such as the statistics of
        a file.
    """
    tables: set[str] = set()
    columns: list[set[str]] = []
    try:
        statements = empty.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise CannotTellError("it is not one SELECT")
        # Define a view, because the statement may end with a semicolon or a comment.
        empty.execute(f"create or replace temp view asked as\n{sql}")
        described = empty.execute("describe asked").fetchall()
        names = ", ".join(f"c{number}" for number in range(len(described)))
        for number in range(len(described)):
            (plan,) = empty.execute(
                f"explain (format json) select c{number} from asked as q({names})"
            ).fetchall()
            scans = [scan for root in json.loads(plan[1]) for scan in _scans(root)]
            tables.update(table for table, _ in scans)
            columns.append({f"{table}.{column}" for table, read in scans for column in read})
    except duckdb.Error as error:
        raise CannotTellError(str(error).splitlines()[0]) from error
    unread = empty.execute(
        "select distinct concat(schema_name, '.', table_name) from duckdb_columns() where not"
        " list_contains(?, concat(schema_name, '.', table_name, '.', column_name))",
        [[*set().union(*columns)]],
    ).fetchall()
    return Reads(tables, tables - {table for (table,) in unread}, columns)


def _scans(operator: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the tables that a plan scans, each with the columns that it reads."""
    if below := operator.get("children"):
        return [scan for child in below for scan in _scans(child)]
    name, facts = operator["name"].strip(), operator.get("extra_info", {})
    if name == "SEQ_SCAN" and "Filters" not in facts:
        listed = facts["Projections"]
        columns = [listed] if isinstance(listed, str) else listed
        # A plan quotes reserved words, such as the schema name `release`.
        table = facts["Table"].replace('"', "").removeprefix(f"{duckdb_client.READ}.")
        return [(table, [column for column in columns if column])]
    if name in LEAVES:
        return []
    raise CannotTellError(f"it reads {name}")
