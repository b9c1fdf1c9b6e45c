"""Read rows from the landing store, each with its origin and its validity interval."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ai_manufacturing.landing import checksums, declarations, records, store
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system import settings

DELIVERY_COLUMNS = pa.schema(
    {
        name: pa.string()
        for name in ("provider", "source_name", "delivery_number", "delivery_id", "file_path")
    }
    | {"delivery_number": pa.int64()}
)
"""Columns that identify the delivery of a row."""
VALIDITY = ("valid_from_delivery", "valid_until_delivery")
PLACE = [("sheet_name", pa.string()), ("row_number", pa.int64())]
ORIGIN = pa.struct([*DELIVERY_COLUMNS, *PLACE, *((name, pa.int64()) for name in VALIDITY)])
"""Type of the column `origin`: a row's delivery, place in the file, and validity."""


def read_rows(entity: str, deliveries: pa.Table) -> pa.RecordBatchReader:
    """Read all stored rows of an entity, including superseded rows, one file at a time.

    Parameters
    ----------
    entity : str
        Entity that a declaration names; its rows become `raw_<entity>`.
    deliveries : pa.Table
        Result of `land_deliveries`.

    Returns
    -------
    pa.RecordBatchReader
        `origin`, a struct of type ORIGIN, then every column that a declaration gives the entity,
        delivered or not. One row per landed record, by file, delivery, sheet and row. An entity
        without deliveries has no rows, and one without a provider has no column except `origin`.
        Copies of a delivery have no rows of their own.

    Raises
    ------
    LandingError
        If no declaration names the entity, or a delivery differs from its recorded SHA-256. The
        reader raises if a delivery is missing from the store or landed under another declaration.
    """
    sources = declarations.read_sources_by_name()
    columns = declarations.collect_entity_columns(sources.values(), entity)
    if not columns and settings.providers(entity) != []:
        names = ", ".join(sorted({source.entity for source in sources.values()})) or "none"
        raise LandingError(
            f'no declaration names the entity "{entity}". The declared entities are {names}.'
            " Declare the entity, or correct the name of the entity."
        )
    schema = pa.schema(
        [
            ("origin", ORIGIN),
            *((column, records.ARROW_TYPES[kind]) for column, kind in columns.items()),
        ]
    )
    entity_deliveries = [
        delivery for delivery in _list_landed_deliveries(deliveries) if delivery["entity"] == entity
    ]
    checksums.verify_folders(
        settings.landing_dir(), [delivery["store_key"] for delivery in entity_deliveries]
    )
    return pa.RecordBatchReader.from_batches(
        schema, _read_batches(entity_deliveries, sources, schema)
    )


def read_rejected_rows(deliveries: pa.Table) -> pa.RecordBatchReader:
    """Read the rejected records of all deliveries, one file at a time.

    Parameters
    ----------
    deliveries : pa.Table
        Result of `land_deliveries`.

    Returns
    -------
    pa.RecordBatchReader
        DELIVERY_COLUMNS, then REJECTED_SCHEMA: place of the record, column at fault (null for a
        whole row), value as delivered, and reason. One row per rejected record.
    """
    schema = pa.schema([*DELIVERY_COLUMNS, *records.REJECTED_SCHEMA])
    folder = settings.landing_dir()
    deliveries_with_rejections = [
        delivery
        for delivery in _list_landed_deliveries(deliveries)
        if delivery["rejected_row_count"]
    ]
    checksums.verify_folders(
        folder, [delivery["store_key"] for delivery in deliveries_with_rejections]
    )
    batches = (
        pa.RecordBatch.from_arrays(
            [*_repeat_delivery(delivery, batch.num_rows).values(), *batch.columns], schema=schema
        )
        for delivery in deliveries_with_rejections
        for batch in store.read_rows(folder, delivery["store_key"], "rejected")
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _read_batches(
    deliveries: Iterable[dict[str, Any]], sources: dict[tuple[str, str], Source], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the stored rows of deliveries, with the delivery and validity of each row."""
    folder = settings.landing_dir()
    for delivery in deliveries:
        source = sources.get((delivery["provider"], delivery["source_name"]))
        for batch in store.read_rows(folder, delivery["store_key"], "rows"):
            matches_declaration = source is not None and [*source.columns] == batch.schema.names[2:]
            if not matches_declaration and not delivery["is_of_earlier_declaration"]:
                path = delivery["file_path"]
                declaration = f"{delivery['provider']}.{delivery['source_name']}"
                raise LandingError(
                    f"{path}: the file was landed with another version of the declaration"
                    f" {declaration}. Run the build again, starting with the model raw_deliveries."
                )
            origin = _repeat_delivery(delivery, batch.num_rows) | _compute_validity(
                batch, delivery, source
            )
            yield _add_origin(batch, origin, schema)


def _compute_validity(
    batch: pa.RecordBatch, delivery: dict[str, Any], source: Source | None
) -> dict[str, pa.Array]:
    """Return the delivery numbers from which and until which each row is valid."""
    usual = {
        "valid_from_delivery": delivery["delivery_number"],
        "valid_until_delivery": delivery["valid_until_delivery"],
    }
    spans = {span["period"]: span for span in delivery["superseded_periods"]}
    if source and source.period:
        periods = pc.cast(batch[source.period], pa.string()).to_pylist()
    else:
        periods = [None] * batch.num_rows  # a source without a period column has the period None
    row_spans = [spans.get(period, usual) for period in periods]
    return {name: pa.array([span[name] for span in row_spans], pa.int64()) for name in VALIDITY}


def _list_landed_deliveries(deliveries: pa.Table) -> list[dict[str, Any]]:
    """Return the stored deliveries without copies, sorted by file path and delivery number.

    The table comes from a database, which does not preserve the order of rows.
    """
    rows = [
        row for row in deliveries.to_pylist() if row["store_key"] and not row["copy_of_delivery"]
    ]
    return sorted(rows, key=sort_key)


def _repeat_delivery(delivery: dict[str, Any], count: int) -> dict[str, pa.Array]:
    return {
        field.name: pa.repeat(pa.scalar(delivery[field.name], field.type), count)
        for field in DELIVERY_COLUMNS
    }


def _add_origin(
    batch: pa.RecordBatch, origin: dict[str, pa.Array], schema: pa.Schema
) -> pa.RecordBatch:
    """Pack the sheet, row number and delivery of each row into the struct column `origin`."""
    delivered_columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    nulls = {field.name: pa.nulls(batch.num_rows, field.type) for field in schema}
    facts = [(delivered_columns | origin)[field.name] for field in ORIGIN]
    columns = (
        nulls | delivered_columns | {"origin": pa.StructArray.from_arrays(facts, fields=[*ORIGIN])}
    )
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)


def sort_key(record: dict[str, Any]) -> tuple[str, int]:
    """Return the sort key of a delivery: its file path and its number (0 if undeclared)."""
    return record["file_path"], record["delivery_number"] or 0
