"""Delivered files to typed rows: each record of each file lands, or is set aside with a reason.

`deliveries` lands what is new into an append-only Parquet store; `rows` and `rejected_rows` read it back.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from ai_manufacturing import settings
from ai_manufacturing.landing import declarations, formats, records, registers, store
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.extracts import DeliveredFile, ExtractSet, delivered_files, extract_set

__all__ = ["ExtractSet", "LandingError", "deliveries", "extract_set", "rejected_rows", "rows"]

DELIVERIES_SCHEMA = pa.schema(
    [
        ("delivery_id", pa.string()),
        ("extract_set", pa.string()),
        ("extract_set_kind", pa.string()),
        ("provider", pa.string()),
        ("source_name", pa.string()),
        ("entity", pa.string()),
        ("file_path", pa.string()),
        ("size_bytes", pa.int64()),
        ("file_format", pa.string()),
        ("encoding", pa.string()),
        ("record_count", pa.int64()),
        ("landed_row_count", pa.int64()),
        ("rejected_row_count", pa.int64()),
        ("columns_not_read", pa.string()),
        ("store_key", pa.string()),
    ]
)
ORIGIN = ("extract_set", "provider", "source_name", "delivery_id", "file_path")
THREADS = 2


def deliveries() -> pa.Table:
    """Land the files of the extracts folder that are not in the store yet.

    Returns
    -------
    pa.Table
        One row per delivered file, by path, with DELIVERIES_SCHEMA. A file that nobody declared has no provider,
        source or entity, and no rows.

    Raises
    ------
    LandingError
        With one line for each file that cannot be landed; the others are in the store nevertheless.
    """
    folder = settings.extracts_dir()
    described = extract_set(folder)
    files, faults = delivered_files(folder, [*_sources(), *registers.declared()])
    landed: list[dict[str, Any]] = []
    with ThreadPoolExecutor(THREADS) as threads:
        for outcome in threads.map(_land, files):
            if isinstance(outcome, str):
                faults.append(outcome)
            else:
                landed.append(outcome)
    if faults:
        raise LandingError(sorted(faults))
    # one invented file makes the whole set invented
    kind = "synthetic" if any(record["synthetic"] for record in landed) else described.kind
    return pa.Table.from_pylist(
        [record | {"extract_set": described.name, "extract_set_kind": kind} for record in landed],
        schema=DELIVERIES_SCHEMA,
    )


def rows(entity: str, deliveries: pa.Table) -> pa.Table:
    """Return the landed rows of an entity.

    Parameters
    ----------
    entity : str
        What the declarations name: the rows of `raw_<entity>`.
    deliveries : pa.Table
        As `deliveries` returned it.

    Returns
    -------
    pa.Table
        ORIGIN, sheet_name, row_number, then all columns that any declaration gives the entity, whether delivered or
        not. One row per landed record, by file, sheet and row; none if nothing was delivered.

    Raises
    ------
    LandingError
        If no declaration names the entity, or the deliveries were landed under other declarations.
    """
    sources = _sources()
    columns = declarations.entity_columns(sources, entity)
    if not columns:
        known = ", ".join(sorted({source.entity for source in sources})) or "none"
        raise LandingError([f'entity "{entity}": no declaration names it, only {known}. Declare it, or correct it.'])
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ORIGIN),
            ("sheet_name", pa.string()),
            ("row_number", pa.int64()),
            *((column, records.ARROW_TYPES[declared]) for column, declared in columns.items()),
        ]
    )
    declared_columns = {(source.provider, source.name): [*source.columns] for source in sources}
    tables = []
    for delivery in _landed(deliveries):
        if delivery["entity"] != entity:
            continue
        table = store.read_rows(settings.landing_dir(), delivery["store_key"], "rows")
        declared = declared_columns.get((delivery["provider"], delivery["source_name"]))
        if declared != table.column_names[2:]:
            raise LandingError(
                [
                    f"{delivery['file_path']}: landed under another declaration of {delivery['provider']}."
                    f"{delivery['source_name']}. Run the build again from raw_deliveries."
                ]
            )
        tables.append(_with_origin(table, delivery, schema))
    return pa.concat_tables([schema.empty_table(), *tables])


def rejected_rows(deliveries: pa.Table) -> pa.Table:
    """Return the records that were set aside.

    Parameters
    ----------
    deliveries : pa.Table
        As `deliveries` returned it.

    Returns
    -------
    pa.Table
        ORIGIN, then REJECTED_SCHEMA: where the record stands, the column at fault (null if it is the whole row), the
        value as delivered and the reason. One row per rejected record.
    """
    schema = pa.schema([*((name, pa.string()) for name in ORIGIN), *records.REJECTED_SCHEMA])
    tables = [
        _with_origin(store.read_rows(settings.landing_dir(), delivery["store_key"], "rejected"), delivery, schema)
        for delivery in _landed(deliveries)
        if delivery["rejected_row_count"]
    ]
    return pa.concat_tables([schema.empty_table(), *tables])


def _sources() -> list[Source]:
    return declarations.read(settings.project_root() / "models" / "staging")


def _land(file: DeliveredFile) -> dict[str, Any] | str:
    """Return the record of a file, landed now or earlier, or the line that says what is wrong with it."""
    if isinstance(file.source, registers.Register):
        return registers.land(file, file.source)
    try:
        content = file.path.read_bytes()
    except OSError as error:
        return f"{file.file_path}: cannot be read ({error.strerror}). Correct its permissions, or deliver it again."
    try:
        return _land_content(file, content)
    except FileFault as fault:
        return fault.line(file.file_path)
    except OSError as error:
        return f"{file.file_path}: cannot be stored in {settings.landing_dir()} ({error.strerror}). Make room there."


def _land_content(file: DeliveredFile, content: bytes) -> dict[str, Any]:
    delivery_id = hashlib.sha256(content).hexdigest()
    delivered = {
        "delivery_id": delivery_id,
        "file_path": file.file_path,
        "size_bytes": len(content),
        "file_format": file.file_format,
    }
    source = file.source
    if source is None or file.file_format is None:
        counts = dict.fromkeys(("record_count", "landed_row_count", "rejected_row_count"), 0)
        return delivered | counts | {"synthetic": False}
    store_key = store.key(delivery_id, file.file_format, source, file.file_name_values)
    record = store.read_record(settings.landing_dir(), store_key)
    if record is None:
        encoding, sheets = formats.read(content, file.file_format, source.read_columns)
        landed = records.land(sheets, source, file.file_name_values)
        record = {
            "encoding": encoding,
            "record_count": landed.rows.num_rows + landed.rejected.num_rows,
            "landed_row_count": landed.rows.num_rows,
            "rejected_row_count": landed.rejected.num_rows,
            "columns_not_read": ", ".join(landed.columns_not_read) or None,
            "synthetic": landed.synthetic,
        }
        store.write(settings.landing_dir(), store_key, landed, record)
    named = {"provider": source.provider, "source_name": source.name, "entity": source.entity, "store_key": store_key}
    return delivered | named | record


def _landed(deliveries: pa.Table) -> list[dict[str, Any]]:
    """Return the declared deliveries by path: a database keeps no order."""
    declared = [delivery for delivery in deliveries.to_pylist() if delivery["store_key"]]
    return sorted(declared, key=lambda delivery: delivery["file_path"])


def _with_origin(table: pa.Table, delivery: dict[str, Any], schema: pa.Schema) -> pa.Table:
    origin = {name: pa.repeat(pa.scalar(delivery[name], pa.string()), table.num_rows) for name in ORIGIN}
    columns = origin | dict(zip(table.column_names, table.columns, strict=True))
    return pa.table([columns.get(field.name, pa.nulls(table.num_rows, field.type)) for field in schema], schema=schema)
