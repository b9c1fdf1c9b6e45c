"""Which columns of a release each column of a query rests on, and what must be said of those.

DuckDB plans the query on empty tables, once per column of the result, and prunes what that column
does not need: it rests on what the scans still read. Joins, filters and groups choose its rows, so
their columns are among them.
"""

import json
from itertools import groupby
from typing import Any

import duckdb

from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import identifier, literal

# Other optimizers fold a column to a constant, or hide it in the filter of a scan.
PRUNING = ("cte_inlining", "unused_columns")
# Leaves of a plan that read no table; the last two read what another leaf reads.
LEAVES = ("COLUMN_DATA_SCAN", "DUMMY_SCAN", "GENERATE_SERIES", "RANGE", "CTE_SCAN", "REC_CTE_SCAN")
ESTIMATE = "a figure of the study: quote it with its verdict (reports.rpt_verdicts)"
DESCRIBED = f"""
    with columns as (
        select
            *,
            -- a cell of a printed table is a text
            (data_type = 'DOUBLE' or column_name similar to 'column_\\d+|cell|cell_zh')
            and (
                schema_name in ('estimates', 'reports')
                or bool_or(column_name = 'specification_id') over this
            ) as is_figure,
            data_type <> 'VARCHAR'
            and bool_or(column_name in ('series', 'variable', 'measure')) over this
                as is_of_series
        from duckdb_columns()
        where database_name = current_database()
        window this as (partition by schema_name, table_name)
    ),

    phrases as (
        select string_agg(distinct phrase, '; ' order by phrase) as phrases
        from (
            select substitution as phrase from marts.dim_labels
            union all
            select unnest(string_split(substitutions, '; ')) from reports.rpt_coefficients
        )
        where phrase <> ''
    )

    select
        concat_ws('.', schema_name, table_name, column_name) as column, columns.data_type, unit,
        comment, label_en, label_zh, source, publisher, licence, first_year, last_year,
        missing_share,
        list_filter([
            if(is_figure, {literal(ESTIMATE)}, null),
            '† ' || coalesce(
                substitution, if(is_figure or is_of_series, 'in some rows: ' || phrases, null)
            ),
            if(is_interpolated, 'interpolated in some years', null),
            if(ends_with(source, 'withheld here'), 'blank where withheld', null),
            'values of ' || restricted_providers || ': not to be passed on'
        ], lambda caveat: caveat is not null) as caveats
    from columns
    cross join phrases
    left join (select *, table_schema as schema_name from marts.data_dictionary)
        using (schema_name, table_name, column_name)
    order by schema_name, table_name, column_index
"""
"""What every column of a release is, in the order of its table, and its caveats."""


class CannotTellError(Exception):
    """A query whose plan does not say what it reads; the message says where."""


def resting_on(release: duckdb.DuckDBPyConnection, query: str, count: int) -> list[set[str]]:
    """Return on which columns of a release each of the `count` columns of a query rests.

    Raises
    ------
    CannotTellError
        If it reads what is no column, such as the statistics of a file.
    """
    names = ", ".join(f"c{number}" for number in range(count))
    resting = []
    try:
        with _planner(release) as planner:
            for number in range(count):
                (plan,) = planner.execute(
                    f"explain (format json) select c{number} from (\n{query}\n) as q({names})"
                ).fetchall()
                resting.append(set().union(*map(_read, json.loads(plan[1]))))
    except duckdb.Error as error:
        raise CannotTellError(str(error).splitlines()[0]) from error
    return resting


def _planner(release: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a database in memory with the tables of a release, without rows."""
    columns = release.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() order by schema_name, table_name,"
        " column_index"
    ).fetchall()
    planner = duckdb_client.connect()
    planner.execute(f"attach ':memory:' as {duckdb_client.READ}; use {duckdb_client.READ}")
    for names, described in groupby(columns, key=lambda column: column[:2]):
        schema, table = map(identifier, names)
        listed = ", ".join(f"{identifier(name)} {kind}" for *_, name, kind in described)
        planner.execute(f"create schema if not exists {schema}")
        planner.execute(f"create table {schema}.{table} ({listed})")
    known = [name for (name,) in planner.execute("from duckdb_optimizers()").fetchall()]
    disabled = ",".join(name for name in known if name not in PRUNING)
    planner.execute(f"set disabled_optimizers = {literal(disabled)}")
    return planner


def _read(operator: dict[str, Any]) -> set[str]:
    """Return the columns that a plan reads."""
    if below := operator.get("children"):
        return set().union(*map(_read, below))
    name, facts = operator["name"].strip(), operator.get("extra_info", {})
    if name == "SEQ_SCAN" and "Filters" not in facts:
        listed = facts["Projections"]
        columns = [listed] if isinstance(listed, str) else listed
        # a plan quotes a reserved word, such as the name of the schema release
        table = facts["Table"].replace('"', "").removeprefix(f"{duckdb_client.READ}.")
        return {f"{table}.{column}" for column in columns if column}
    if name in LEAVES:
        return set()
    raise CannotTellError(f"it reads {name}")
