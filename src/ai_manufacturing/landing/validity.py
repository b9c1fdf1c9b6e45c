"""Validity of records: a later delivery replaces what it repeats of an earlier one."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from ai_manufacturing.landing import store
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.system.sql_text import beside, identifier, literal, one_file

SQL = beside(__file__)

Span = dict[str, Any]
"""Period, valid_from_delivery and valid_until_delivery of the records of one period."""


def add(
    deliveries: list[dict[str, Any]], declared: dict[tuple[str, str], Source], folder: Path
) -> None:
    """Add to deliveries the periods that later ones replaced.

    A delivery of which all periods were replaced ends with the last of them.
    """
    by_source = defaultdict(list)
    for delivery in deliveries:
        if not delivery["copy_of_delivery"]:
            by_source[delivery["provider"], delivery["source_name"]].append(delivery)
    for name, of_source in by_source.items():
        source = declared.get(name)
        # a register has no key: it is replaced at its path, and not by what it says
        if source is None or not source.key or len(of_source) < 2:
            continue
        rows, of_one_type = {}, True
        for delivery in of_source:
            path = store.rows_path(folder, delivery["store_key"])
            if delivery["is_of_earlier_declaration"]:
                # it may have had other columns
                if not {*source.key} <= {*pq.read_schema(path).names}:
                    continue
                of_one_type = False
            rows[delivery["delivery_number"]] = path
        ends = {
            delivery["delivery_number"]: delivery["valid_until_delivery"] for delivery in of_source
        }
        spans = superseded(source, rows, ends, folder, of_one_type=of_one_type)
        for delivery in of_source:
            replaced, is_whole = spans.get(delivery["delivery_number"], ([], False))
            delivery["superseded_periods"] = replaced
            untils = [span["valid_until_delivery"] for span in replaced]
            if is_whole and None not in untils:
                delivery["valid_until_delivery"] = max(untils)


def superseded(
    source: Source,
    rows: dict[int, Path],
    ends: dict[int, int | None],
    scratch: Path,
    *,
    of_one_type: bool = True,
) -> dict[int, tuple[list[Span], bool]]:
    """Return the periods of deliveries that later deliveries repeated.

    The keys are compared in DuckDB, straight from the store: beyond its memory limit they go to the
    disk.

    Parameters
    ----------
    source : Source
        Their declaration.
    rows : dict of int to Path
        By number, the stored records of each delivery; all have the key columns.
    ends : dict of int to int or None
        By number, the event that took the delivery out of the folder.
    scratch : Path
        Where keys go that do not fit into memory.
    of_one_type : bool, default True
        Whether all were landed under one declaration; if not, a key may be of two types.

    Returns
    -------
    dict of int to tuple of (list of Span, bool)
        By number, the periods in which a later delivery repeats one of its keys, as text, and
        whether these are all of its periods. Of a source without a period, the one period is None.
        Records that are valid again because the later delivery was withdrawn count from there.
    """
    if len(rows) < 2:
        return {}
    with store.connection(scratch, threads=2) as connection:
        repetitions = _repetitions(connection, source, rows, of_one_type)
    later = defaultdict(list)
    counts = {}
    for period, earlier, repeated_by, period_count in repetitions:
        later[earlier, period].append((repeated_by, ends[repeated_by]))
        counts[earlier] = period_count
    spans = defaultdict(list)
    for (number, period), by in sorted(later.items(), key=lambda item: item[0][0]):
        first, end = _last_valid(number, ends[number], by)
        spans[number].append(
            {"period": period, "valid_from_delivery": first, "valid_until_delivery": end}
        )
    return {
        number: (replaced, len(replaced) == counts[number]) for number, replaced in spans.items()
    }


def _repetitions(
    connection: duckdb.DuckDBPyConnection, source: Source, rows: dict[int, Path], of_one_type: bool
) -> list[tuple[str | None, int, int, int]]:
    """Return period, earlier and later delivery, wherever they share a key.

    The last number is that of the periods in which the earlier one has records.
    """
    keys = [f"cast({identifier(column)} as varchar)" for column in source.key]
    period = (
        f"cast({identifier(source.period)} as varchar)"
        if source.period
        else "cast(null as varchar)"
    )
    # variables, because thousands of paths would be parsed with each statement
    connection.execute(f"""
        set variable numbers = {[*rows]};
        set variable paths = [{", ".join(literal(one_file(path)) for path in rows.values())}];
        create temp view delivered as
        select
            list_extract(getvariable('numbers'), file_index::bigint + 1) as delivery,
            {period} as period,
            row({", ".join(keys)}) as key
        from read_parquet(getvariable('paths'), union_by_name = {not of_one_type});
        create temp table repeated as
        select hash(key) as key_hash
        from delivered
        group by all
        having min(delivery) < max(delivery);
        """)
    # two keys may have one hash: the few rows that it leaves are compared by the key itself
    return connection.execute(SQL["repetitions"]).fetchall()


def _last_valid(
    number: int, end: int | None, by: list[tuple[int, int | None]]
) -> tuple[int, int | None]:
    """Return the last span of a delivery's own one that none of the later deliveries covers."""
    valid_from = number
    spans: list[tuple[int, int | None]] = []
    for start, stop in sorted(by, key=lambda span: span[0]):
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
