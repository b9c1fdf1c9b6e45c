"""Find the tables and columns of a database that a query rests on.

DuckDB plans the query on empty tables, once per column of the result, and prunes what that column
does not need: it rests on what the scans still read. Joins, filters and groups choose its rows, so
their columns are among them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import identifier, literal

# Other optimizers fold a column to a constant, or hide it in the filter of a scan.
PRUNING = ("cte_inlining", "unused_columns")
# Leaves of a plan that read no table; the last two read what another leaf reads.
LEAVES = ("COLUMN_DATA_SCAN", "DUMMY_SCAN", "GENERATE_SERIES", "RANGE", "CTE_SCAN", "REC_CTE_SCAN")


class CannotTellError(Exception):
    """A query whose plan does not say what it reads; the message says where."""


class Reads(NamedTuple):
    """The tables and columns that a query rests on.

    Attributes
    ----------
    tables : set of str
        As schema.table, also where no column is read, as in a count of rows.
    whole_tables : set of str
        Those of which every column is read, as by a star.
    columns : list of set of str
        For each column of the result, the columns that it rests on, as schema.table.column.
    """

    tables: set[str]
    whole_tables: set[str]
    columns: list[set[str]]


@contextmanager
def planner(database: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that has the tables of an open one, without rows."""
    columns = database.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() order by schema_name, table_name,"
        " column_index"
    ).fetchall()
    with duckdb_client.connect() as empty:
        empty.execute(f"attach ':memory:' as {duckdb_client.READ}; use {duckdb_client.READ}")
        for names, described in groupby(columns, key=lambda column: column[:2]):
            schema, table = map(identifier, names)
            listed = ", ".join(f"{identifier(name)} {kind}" for *_, name, kind in described)
            empty.execute(f"create schema if not exists {schema}")
            empty.execute(f"create table {schema}.{table} ({listed})")
        known = [name for (name,) in empty.execute("from duckdb_optimizers()").fetchall()]
        disabled = ",".join(name for name in known if name not in PRUNING)
        empty.execute(f"set disabled_optimizers = {literal(disabled)}")
        yield empty


def reads(empty: duckdb.DuckDBPyConnection, sql: str) -> Reads:
    """Return what a query rests on, by its plans in the database of `planner`.

    Raises
    ------
    CannotTellError
        If it does not fit the tables, or reads something else, such as the statistics of a file.
    """
    tables: set[str] = set()
    columns: list[set[str]] = []
    try:
        statements = empty.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise CannotTellError("it is not one SELECT")
        # a semicolon or a comment may end the statement
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
    """Return the tables that a plan scans, each with the columns that it reads there."""
    if below := operator.get("children"):
        return [scan for child in below for scan in _scans(child)]
    name, facts = operator["name"].strip(), operator.get("extra_info", {})
    if name == "SEQ_SCAN" and "Filters" not in facts:
        listed = facts["Projections"]
        columns = [listed] if isinstance(listed, str) else listed
        # a plan quotes a reserved word, such as the name of the schema release
        table = facts["Table"].replace('"', "").removeprefix(f"{duckdb_client.READ}.")
        return [(table, [column for column in columns if column])]
    if name in LEAVES:
        return []
    raise CannotTellError(f"it reads {name}")
