"""Which records are valid: a later delivery of a source replaces an earlier one's records of a period it repeats."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ai_manufacturing.landing.declarations import Source


@dataclass(frozen=True)
class Span:
    """From which delivery on, and until which one, the records of one period are valid."""

    period: Any
    valid_from: int
    valid_until: int | None


def superseded(source: Source, keys: dict[int, pa.Table], ends: dict[int, int | None]) -> dict[int, list[Span]]:
    """Return the periods of deliveries that later deliveries repeated.

    Parameters
    ----------
    source : Source
        Their declaration.
    keys : dict of int to pa.Table
        The key columns of each delivery's records, by its number.
    ends : dict of int to int or None
        By number, the event that took the delivery out of the folder.

    Returns
    -------
    dict of int to list of Span
        By number, the periods in which a later delivery repeats one of its keys. Of a source without a period, the one
        period is None. Records that are valid again because the later delivery was withdrawn count from there.
    """
    later = defaultdict(list)
    for period, earlier, repeated_by in _repetitions(source, keys):
        later[earlier, period].append((repeated_by, ends[repeated_by]))
    spans = defaultdict(list)
    for (number, period), by in sorted(later.items(), key=lambda item: item[0][0]):
        spans[number].append(Span(period, *_last_valid(number, ends[number], by)))
    return dict(spans)


def period_count(source: Source, keys: pa.Table) -> int:
    """Return how many periods a delivery's records belong to."""
    return len(keys[source.period].unique()) if source.period else min(keys.num_rows, 1)


def _repetitions(source: Source, keys: dict[int, pa.Table]) -> list[tuple[Any, int, int]]:
    """Return period, earlier and later delivery, wherever they share a key."""
    if len(keys) < 2:
        return []
    delivered = pa.concat_tables(  # noqa: F841 - DuckDB finds it by its name
        # by position, because a header may hold any character
        table.select(source.key)
        .rename_columns([f"key_{position}" for position in range(len(source.key))])
        .append_column("delivery", pa.repeat(pa.scalar(number, pa.int64()), table.num_rows))
        for number, table in keys.items()
    )
    columns = ", ".join(f"key_{position}" for position in range(len(source.key)))
    period = f"key_{source.key.index(source.period)}" if source.period else "null"
    with duckdb.connect() as connection:
        return connection.execute(
            f"""
            with shared as (
                select {period} as period, list(distinct delivery) as deliveries
                from delivered
                group by {columns}
                having min(delivery) < max(delivery)
            ),
            earlier as (
                select distinct period, deliveries, unnest(deliveries) as delivery from shared
            ),
            pairs as (
                select period, delivery, unnest(deliveries) as repeated_by from earlier
            )
            select distinct period, delivery, repeated_by from pairs where repeated_by > delivery
            """
        ).fetchall()


def _last_valid(number: int, end: int | None, by: list[tuple[int, int | None]]) -> tuple[int, int | None]:
    """Return the last span of a delivery's own one that none of the later deliveries covers."""
    valid_from, spans = number, []
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
