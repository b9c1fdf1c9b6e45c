"""Determine which delivered records have been replaced by later deliveries.

A later delivery that repeats a key of an earlier one replaces all its records of that period.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from ai_manufacturing.landing import store
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.system.sql_text import (
    escape_globs,
    load_statements,
    quote_identifier,
    quote_literal,
)

SQL = load_statements(__file__)

Span = dict[str, Any]
"""Period, valid_from_delivery and valid_until_delivery of the records in one period."""


def add_replaced_periods(
    deliveries: list[dict[str, Any]], sources: dict[tuple[str, str], Source], folder: Path
) -> None:
    """Set `superseded_periods` of each delivery to the periods that later files replaced.

    If all periods of a delivery were replaced, the delivery ends with the last replacement.
    """
    by_source = defaultdict(list)
    for delivery in deliveries:
        if not delivery["copy_of_delivery"]:
            by_source[delivery["provider"], delivery["source_name"]].append(delivery)
    for name, source_deliveries in by_source.items():
        source = sources.get(name)
        # A register has no key, so only a new file at the same path replaces a register file.
        if source is None or not source.key or len(source_deliveries) < 2:
            continue
        rows, has_same_declaration = {}, True
        for delivery in source_deliveries:
            path = store.rows_path(folder, delivery["store_key"])
            if delivery["is_of_earlier_declaration"]:
                # Skip files whose earlier declaration did not contain the key columns.
                if not {*source.key} <= {*pq.read_schema(path).names}:
                    continue
                has_same_declaration = False
            rows[delivery["delivery_number"]] = path
        ends = {
            delivery["delivery_number"]: delivery["valid_until_delivery"]
            for delivery in source_deliveries
        }
        spans = find_replaced_periods(
            source, rows, ends, folder, has_same_declaration=has_same_declaration
        )
        for delivery in source_deliveries:
            periods, is_whole = spans.get(delivery["delivery_number"], ([], False))
            delivery["superseded_periods"] = periods
            period_ends = [span["valid_until_delivery"] for span in periods]
            if is_whole and None not in period_ends:
                delivery["valid_until_delivery"] = max(period_ends)


def find_replaced_periods(
    source: Source,
    rows: dict[int, Path],
    ends: dict[int, int | None],
    scratch: Path,
    *,
    has_same_declaration: bool = True,
) -> dict[int, tuple[list[Span], bool]]:
    """Return, for each delivery, the periods whose records later deliveries replaced.

    DuckDB compares the keys directly in the store, and spills to disk beyond its memory limit.

    Parameters
    ----------
    source : Source
        Declaration of the deliveries.
    rows : dict of int to Path
        Stored records of each delivery, by its number; all have the key columns.
    ends : dict of int to int or None
        Event that removed each delivery from the folder, by the delivery's number.
    scratch : Path
        Folder for keys that do not fit into memory.
    has_same_declaration : bool, default True
        Whether all landed under one declaration; if not, a key may have two types.

    Returns
    -------
    dict of int to tuple of (list of Span, bool)
        By number, the periods (as text) in which a later delivery repeats one of its keys, and
        whether these are all of its periods. A source without a period column has the single period
        None. If the later delivery was withdrawn, the span starts where the records became valid
        again.
    """
    if len(rows) < 2:
        return {}
    with store.open_connection(scratch, threads=2) as connection:
        repetitions = _find_repetitions(connection, source, rows, has_same_declaration)
    by_period = defaultdict(list)
    counts = {}
    for period, earlier, repeated_by, period_count in repetitions:
        by_period[earlier, period].append((repeated_by, ends[repeated_by]))
        counts[earlier] = period_count
    spans = defaultdict(list)
    for (number, period), replacements in sorted(by_period.items(), key=lambda item: item[0][0]):
        first, end = _find_last_valid(number, ends[number], replacements)
        spans[number].append(
            {"period": period, "valid_from_delivery": first, "valid_until_delivery": end}
        )
    return {number: (periods, len(periods) == counts[number]) for number, periods in spans.items()}


def _find_repetitions(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    rows: dict[int, Path],
    has_same_declaration: bool,
) -> list[tuple[str | None, int, int, int]]:
    """Return each pair of deliveries that share a record key, with the period of that key.

    The fourth value is the number of periods in the earlier delivery.
    """
    keys = [f"cast({quote_identifier(column)} as varchar)" for column in source.key]
    period = (
        f"cast({quote_identifier(source.period)} as varchar)"
        if source.period
        else "cast(null as varchar)"
    )
    paths = [quote_literal(escape_globs(path)) for path in rows.values()]
    # Store paths in SQL variables, because parsing thousands in every statement is slow.
    connection.execute(f"""
        set variable numbers = {[*rows]};
        set variable paths = [{", ".join(paths)}];
        create temp view delivered as
        select
            list_extract(getvariable('numbers'), file_index::bigint + 1) as delivery,
            {period} as period,
            row({", ".join(keys)}) as key
        from read_parquet(getvariable('paths'), union_by_name = {not has_same_declaration});
        create temp table repeated as
        select hash(key) as key_hash
        from delivered
        group by all
        having min(delivery) < max(delivery);
        """)
    # Different keys may have the same hash, so this query compares the keys themselves.
    return connection.execute(SQL["repetitions"]).fetchall()


def _find_last_valid(
    number: int, end: int | None, replacements: list[tuple[int, int | None]]
) -> tuple[int, int | None]:
    """Return the last interval in which a delivery was not replaced by a later delivery."""
    valid_from = number
    spans: list[tuple[int, int | None]] = []
    for start, stop in sorted(replacements, key=lambda span: span[0]):
        if end is not None and start >= end:
            break
        if start > valid_from:
            spans.append((valid_from, start))
        if stop is None:
            return spans[-1]
        valid_from = max(valid_from, stop)
    if end is None or valid_from < end:
        spans.append((valid_from, end))
    return spans[-1]
