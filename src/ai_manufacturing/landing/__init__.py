"""Delivered files to typed rows: each record of each file lands, or is set aside with a reason.

`deliveries` lands what is new into an append-only Parquet store and records it in the log; `rows` and `rejected_rows`
read back whatever the log holds, with the deliveries from which and until which each row is valid.
"""

import datetime
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ai_manufacturing import settings
from ai_manufacturing.landing import containers, declarations, formats, log, records, registers, store, validity
from ai_manufacturing.landing.declarations import AllowedAge, Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.extracts import (
    DESCRIPTION,
    DeliveredFile,
    ExtractSet,
    closing_archives,
    delivered_files,
    extract_set,
)
from ai_manufacturing.landing.log import Delivery

__all__ = [
    "ExtractSet",
    "LandingError",
    "allowed_ages",
    "deliveries",
    "extract_set",
    "land_again",
    "rejected_rows",
    "rows",
]

SPAN = pa.struct([("period", pa.string()), ("valid_from_delivery", pa.int64()), ("valid_until_delivery", pa.int64())])
DELIVERIES_SCHEMA = pa.schema(
    [
        ("delivery_number", pa.int64()),
        ("delivery_id", pa.string()),
        ("extract_set", pa.string()),
        ("extract_set_kind", pa.string()),
        ("provider", pa.string()),
        ("source_name", pa.string()),
        ("entity", pa.string()),
        ("file_path", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us")),
        ("landed_at", pa.timestamp("us")),
        ("file_format", pa.string()),
        ("compression", pa.string()),
        ("encoding", pa.string()),
        ("delimiter", pa.string()),
        ("record_count", pa.int64()),
        ("landed_row_count", pa.int64()),
        ("rejected_row_count", pa.int64()),
        ("columns_not_read", pa.string()),
        ("hint", pa.string()),
        ("copy_of_delivery", pa.int64()),
        ("valid_until_delivery", pa.int64()),
        ("superseded_periods", pa.list_(SPAN)),
        ("is_of_earlier_declaration", pa.bool_()),
        ("store_key", pa.string()),
    ]
)
OF_DELIVERY = pa.schema(
    [
        ("provider", pa.string()),
        ("source_name", pa.string()),
        ("delivery_number", pa.int64()),
        ("delivery_id", pa.string()),
        ("file_path", pa.string()),
    ]
)
VALIDITY = ("valid_from_delivery", "valid_until_delivery")
ORIGIN = pa.struct(
    [
        *OF_DELIVERY,
        ("sheet_name", pa.string()),
        ("row_number", pa.int64()),
        *((name, pa.int64()) for name in VALIDITY),
    ]
)
THREADS = 2


def deliveries(as_of: int | None = None) -> pa.Table:
    """Land the files of the extracts folder that are not in the store yet, and record what changed in the log.

    Parameters
    ----------
    as_of : int, optional
        Nothing is landed, and the log is read up to this delivery only.

    Returns
    -------
    pa.Table
        One row per delivery of the log, and one per file of the folder that nobody declared, by path, with
        DELIVERIES_SCHEMA. A file that nobody declared has no number, provider, source or entity, and no rows.

    Raises
    ------
    LandingError
        With one line for each file that cannot be landed; the others are in the store nevertheless, but not in the
        log. Or if the log does not reach `as_of`.
    """
    sources = [*_sources(), *registers.declared()]
    described = extract_set(settings.extracts_dir())
    folder = settings.landing_dir()
    with store.held(folder):
        return _deliveries(sources, described, folder, as_of)


def _deliveries(sources: list[Source], described: ExtractSet, folder: Path, as_of: int | None) -> pa.Table:
    others: list[dict[str, Any]] = []
    if as_of is None:
        landed, others = _land_folder(sources, folder)
        present = [file | {"is_named_by_folder": described.is_named_by_folder} for file in landed]
        if described.is_named_by_folder:
            _refuse_renamed(described.name, present, folder)
        with _writing("the log of deliveries"):
            events = log.record(folder, described.name, present)
    else:
        events = log.read(folder, described.name)
        if not 1 <= as_of <= len(events):
            raise LandingError([_no_delivery(as_of, described.name, len(events), folder)])
    in_folder_now = {delivery.number for delivery in log.State(events).at_path.values()}
    state = log.State(events[:as_of])
    declared = {(source.provider, source.name): source for source in sources}
    found = [
        _recorded(delivery, declared, delivery.number in in_folder_now, folder)
        for delivery in state.deliveries.values()
    ]
    _add_validity(found, declared, folder)
    # one invented file makes the whole set invented
    synthetic = any(record["synthetic"] for record in found + others if record["valid_until_delivery"] is None)
    named = {"extract_set": described.name, "extract_set_kind": "synthetic" if synthetic else described.kind}
    table = pa.Table.from_pylist(
        [record | named for record in sorted(found + others, key=_by_path)], schema=DELIVERIES_SCHEMA
    )
    if as_of is None:
        tables = settings.landed_tables_dir()
        with _writing("the tables of deliveries"):
            store.replace(tables / "deliveries.parquet", table, folder)
            store.replace(tables / "register_columns.parquet", registers.landed_columns(table), folder)
    return table


def _no_delivery(as_of: int, name: str, count: int, folder: Path) -> str:
    if count:
        return f"as_of_delivery {as_of}: {name} has the deliveries 1 to {count}. Give one of them."
    others = ", ".join(log.sets(folder)) or "none"
    return (
        f"as_of_delivery {as_of}: the store has no deliveries of {name}, only of: {others}. Set EXTRACTS_DIR to the "
        "folder of one of them, or LANDING_DIR to the store of this one."
    )


def _refuse_renamed(name: str, present: list[dict[str, Any]], folder: Path) -> None:
    """Ask whether a folder without a log holds a set that the store knows under another name."""
    for other, shared, held in log.continued_under_another_name(folder, name, present)[:1]:
        raise LandingError(
            [
                f"{settings.extracts_dir()}: the store has no extract set {name}, and {shared} of the {held} files of "
                f"its extract set {other} lie in this folder. If it is that set under a new name, write name: "
                f"{json.dumps(other, ensure_ascii=False)} into its {DESCRIPTION}; if it is another set, name: "
                f"{json.dumps(name, ensure_ascii=False)}."
            ]
        )


def rows(entity: str, deliveries: pa.Table) -> pa.RecordBatchReader:
    """Read the landed rows of an entity, valid or not, file by file.

    Parameters
    ----------
    entity : str
        What the declarations name: the rows of `raw_<entity>`.
    deliveries : pa.Table
        As `deliveries` returned it.

    Returns
    -------
    pa.RecordBatchReader
        `origin`, a struct of type ORIGIN, then all columns that any declaration gives the entity, whether delivered or
        not. One row per landed record, by file, delivery, sheet and row; none if nothing was delivered. Further copies
        of a delivery have no rows of their own.

    Raises
    ------
    LandingError
        If no declaration names the entity, and from the reader, if a delivery is missing from the store or was landed
        under another declaration.
    """
    sources = _sources()
    columns = declarations.entity_columns(sources, entity)
    if not columns:
        known = ", ".join(sorted({source.entity for source in sources})) or "none"
        raise LandingError([f'entity "{entity}": no declaration names it, only {known}. Declare it, or correct it.'])
    schema = pa.schema(
        [
            ("origin", ORIGIN),
            *((column, records.ARROW_TYPES[declared]) for column, declared in columns.items()),
        ]
    )
    declared = {(source.provider, source.name): source for source in sources}
    of_entity = [delivery for delivery in _landed(deliveries) if delivery["entity"] == entity]
    return pa.RecordBatchReader.from_batches(schema, _batches(of_entity, declared, schema))


def rejected_rows(deliveries: pa.Table) -> pa.RecordBatchReader:
    """Read the records that were set aside, file by file.

    Parameters
    ----------
    deliveries : pa.Table
        As `deliveries` returned it.

    Returns
    -------
    pa.RecordBatchReader
        OF_DELIVERY, then REJECTED_SCHEMA: where the record stands, the column at fault (null if it is the whole
        row), the value as delivered and the reason. One row per rejected record.
    """
    schema = pa.schema([*OF_DELIVERY, *records.REJECTED_SCHEMA])
    folder = settings.landing_dir()
    batches = (
        pa.RecordBatch.from_arrays([*_of_delivery(delivery, batch.num_rows).values(), *batch.columns], schema=schema)
        for delivery in _landed(deliveries)
        if delivery["rejected_row_count"]
        for batch in store.read_rows(folder, delivery["store_key"], "rejected")
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def land_again(years: range) -> list[str]:
    """Read anew the landed files of the extracts folder that may hold some of these years.

    A file whose declaration names no period of whole numbers may hold any year, as may a register. What is gone from
    the folder stays in the store as it is.

    Parameters
    ----------
    years : range
        Statistical years.

    Returns
    -------
    list of str
        Paths of the files, in order.

    Raises
    ------
    LandingError
        With one line for each file that cannot be read any more.
    """
    folder = settings.landing_dir()
    files, faults = delivered_files(settings.extracts_dir(), [*_sources(), *registers.declared()])
    again = []
    with store.held(folder), closing_archives(files):
        for file in files:
            if file.source is None:
                continue
            landed = _land(file, folder)
            if isinstance(landed, dict) and _may_hold(years, file.source, store.rows_path(folder, landed["store_key"])):
                store.remove(folder, landed["store_key"])
                landed = _land(file, folder)
                again.append(file.file_path)
            if isinstance(landed, str):
                faults.append(landed)
    if faults:
        raise LandingError(sorted(faults))
    return again


def allowed_ages() -> dict[str, AllowedAge]:
    """Return for how many days a provider may deliver nothing, by provider; those that declare it.

    Raises
    ------
    LandingError
        With one line for each declaration that cannot be understood.
    """
    return declarations.allowed_ages(settings.project_root() / "models" / "staging")


@contextmanager
def _writing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LandingError(
            [f"{settings.landing_dir()}: {what} cannot be written ({error.strerror}). Make room there."]
        ) from error


def _sources() -> list[Source]:
    return declarations.read(settings.project_root() / "models" / "staging")


def _may_hold(years: range, source: Source, rows: Path) -> bool:
    if source.period is None or source.columns[source.period] != "integer":
        return True
    held = pq.read_table(rows, columns=[source.period])[source.period]
    return any(year in years for year in held.unique().to_pylist())


def _by_path(record: dict[str, Any]) -> tuple[str, int]:
    return record["file_path"], record["delivery_number"] or 0


def _land_folder(sources: list[Source], folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Land what is new; return the files whose deliveries the log keeps, and those that nobody declared."""
    files, faults = delivered_files(settings.extracts_dir(), sources)
    declared: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    with closing_archives(files), ThreadPoolExecutor(THREADS) as threads:
        for outcome in threads.map(_land, files, repeat(folder)):
            if isinstance(outcome, str):
                faults.append(outcome)
            else:
                (declared if "provider" in outcome else others).append(outcome)
    if faults:
        raise LandingError(sorted(faults))
    return declared, others


def _land(file: DeliveredFile, folder: Path) -> dict[str, Any] | str:
    """Return what is recorded of a file, landed now or earlier, or the line that says what is wrong with it."""
    if isinstance(file.source, registers.Register):
        landed = registers.land(file, file.source, folder)
        return landed if isinstance(landed, str) else landed | _facts(file, file.source)
    try:
        content = file.read()
    except FileFault as fault:
        return fault.line(file.file_path)
    except OSError as error:
        return f"{file.file_path}: cannot be read ({error.strerror}). Correct its permissions, or deliver it again."
    try:
        return _land_content(file, content, folder)
    except FileFault as fault:
        return " ".join([fault.line(file.file_path), *_contradiction(file.file_path, content)])
    except OSError as error:
        return f"{file.file_path}: cannot be stored in {folder} ({error.strerror}). Make room there."


def _contradiction(file_path: str, content: bytes) -> list[str]:
    """Return the hint, if there is one, that a name gives about a file which cannot be read."""
    try:
        hint = formats.contradiction(file_path, formats.detect(content)) if content else None
    except FileFault:
        return []
    # what a gzip file holds is not known before it is unpacked
    return [hint] if hint and not containers.is_gzip(content) else []


def _land_content(file: DeliveredFile, content: bytes, folder: Path) -> dict[str, Any]:
    delivery_id = hashlib.sha256(content).hexdigest()
    delivered = {"file_path": file.file_path, "delivery_id": delivery_id, "size_bytes": len(content)}
    source = file.source
    if source is None:
        counts = dict.fromkeys(("record_count", "landed_row_count", "rejected_row_count"), 0)
        nothing = dict.fromkeys(("delivery_number", "valid_until_delivery"))
        return delivered | counts | nothing | {"synthetic": False, "hint": file.hint}
    store_key = store.key(delivery_id, source, file.file_name_values)
    if not store.holds(folder, store_key):
        detected, sheets = formats.read(content, source.read_columns)
        landed = records.land(sheets, source, file.file_name_values)
        record = {
            "file_format": detected.file_format,
            "compression": detected.compression,
            "encoding": detected.encoding,
            "delimiter": detected.delimiter,
            "record_count": landed.rows.num_rows + landed.rejected.num_rows,
            "landed_row_count": landed.rows.num_rows,
            "rejected_row_count": landed.rejected.num_rows,
            "columns_not_read": ", ".join(landed.columns_not_read) or None,
            "synthetic": landed.synthetic,
            "notes": landed.notes,
        }
        store.write(folder, store_key, landed, record)
    return delivered | {"store_key": store_key} | _facts(file, source)


def _facts(file: DeliveredFile, source: Source) -> dict[str, Any]:
    """Return what the log keeps of a file beside its bytes."""
    return {
        "provider": source.provider,
        "source_name": source.name,
        "entity": source.entity,
        "file_name_values": file.file_name_values,
        # facts for people; nothing is decided by them
        "modified_at": file.modified_at.isoformat(),
        "landed_at": datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None).isoformat(),
    }


def _recorded(
    delivery: Delivery, declared: dict[tuple[str, str], Source], is_in_folder: bool, folder: Path
) -> dict[str, Any]:
    """Return a delivery of the log with what the store holds of it, under today's declaration where it can."""
    event = delivery.event
    source = declared.get((event["provider"], event["source_name"]))
    key = store.key(event["delivery_id"], source, event["file_name_values"]) if source else None
    is_earlier = key is None or not store.holds(folder, key)
    if is_earlier and is_in_folder and source:
        raise LandingError(
            [
                f"{event['file_path']}: not landed under today's declaration of {source.provider}.{source.name}. "
                "Run the build once without as_of_delivery."
            ]
        )
    store_key = event["store_key"] if is_earlier else key
    record = store.read_record(folder, store_key)
    contradiction = formats.contradiction(event["file_path"], record["file_format"])
    return (
        event
        | record
        | {
            "hint": " ".join(filter(None, [contradiction, record.get("notes")])) or None,
            "delivery_number": delivery.number,
            "copy_of_delivery": delivery.copy_of,
            "valid_until_delivery": delivery.withdrawn_by,
            "superseded_periods": [],
            "is_of_earlier_declaration": is_earlier,
            "store_key": store_key,
            "modified_at": datetime.datetime.fromisoformat(event["modified_at"]),
            "landed_at": datetime.datetime.fromisoformat(event["landed_at"]),
        }
    )


def _add_validity(found: list[dict[str, Any]], declared: dict[tuple[str, str], Source], folder: Path) -> None:
    """Add to deliveries the periods that later ones replaced, and where that is all of them, when it ended."""
    by_source = defaultdict(list)
    for delivery in found:
        if not delivery["copy_of_delivery"]:
            by_source[delivery["provider"], delivery["source_name"]].append(delivery)
    for name, of_source in by_source.items():
        source = declared.get(name)
        # a register has no key: it is replaced at its path, and not by what it says
        if source is None or not source.key or len(of_source) < 2:
            continue
        rows, earlier = {}, False
        for delivery in of_source:
            path = store.rows_path(folder, delivery["store_key"])
            if delivery["is_of_earlier_declaration"]:
                # it may have had other columns
                if not {*source.key} <= {*pq.read_schema(path).names}:
                    continue
                earlier = True
            rows[delivery["delivery_number"]] = path
        ends = {delivery["delivery_number"]: delivery["valid_until_delivery"] for delivery in of_source}
        superseded = validity.superseded(source, rows, ends, folder, of_one_type=not earlier)
        for delivery in of_source:
            found = superseded.get(delivery["delivery_number"])
            if found is None:
                continue
            delivery["superseded_periods"] = [
                {
                    "period": span.period,
                    "valid_from_delivery": span.valid_from,
                    "valid_until_delivery": span.valid_until,
                }
                for span in found.spans
            ]
            untils = [span.valid_until for span in found.spans]
            if found.is_whole and None not in untils:
                delivery["valid_until_delivery"] = max(untils)


def _batches(
    deliveries: Iterable[dict[str, Any]], declared: dict[tuple[str, str], Source], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of deliveries with their origin and validity."""
    folder = settings.landing_dir()
    for delivery in deliveries:
        source = declared.get((delivery["provider"], delivery["source_name"]))
        for batch in store.read_rows(folder, delivery["store_key"], "rows"):
            is_as_declared = source is not None and [*source.columns] == batch.schema.names[2:]
            if not is_as_declared and not delivery["is_of_earlier_declaration"]:
                raise LandingError(
                    [
                        f"{delivery['file_path']}: landed under another declaration of {delivery['provider']}."
                        f"{delivery['source_name']}. Run the build again from raw_deliveries."
                    ]
                )
            origin = _of_delivery(delivery, batch.num_rows) | _validity(batch, delivery, source)
            yield _with_origin(batch, origin, schema)


def _validity(batch: pa.RecordBatch, delivery: dict[str, Any], source: Source | None) -> dict[str, pa.Array]:
    """Return from which delivery on, and until which one, each row is valid."""
    spans = delivery["superseded_periods"]
    usual = {
        "valid_from_delivery": delivery["delivery_number"],
        "valid_until_delivery": delivery["valid_until_delivery"],
    }
    if source is None or source.period is None:
        usual = spans[0] if spans else usual
        spans = []
    if not spans:
        return {name: pa.repeat(pa.scalar(usual[name], pa.int64()), batch.num_rows) for name in VALIDITY}
    periods = pa.array([span["period"] for span in spans], pa.string())
    # the last position is that of the periods which nobody replaced
    at = pc.fill_null(pc.index_in(pc.cast(batch[source.period], pa.string()), periods), len(spans))
    return {name: pa.array([span[name] for span in [*spans, usual]], pa.int64()).take(at) for name in VALIDITY}


def _landed(deliveries: pa.Table) -> list[dict[str, Any]]:
    """Return the deliveries that have rows of their own, by path and number: a database keeps no order."""
    landed = [row for row in deliveries.to_pylist() if row["store_key"] and not row["copy_of_delivery"]]
    return sorted(landed, key=_by_path)


def _of_delivery(delivery: dict[str, Any], count: int) -> dict[str, pa.Array]:
    return {field.name: pa.repeat(pa.scalar(delivery[field.name], field.type), count) for field in OF_DELIVERY}


def _with_origin(batch: pa.RecordBatch, origin: dict[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """Move the place of each row, its sheet and number, to the other facts of its origin."""
    delivered = dict(zip(batch.schema.names, batch.columns, strict=True))
    nothing = {field.name: pa.nulls(batch.num_rows, field.type) for field in schema}
    facts = [(delivered | origin)[field.name] for field in ORIGIN]
    columns = nothing | delivered | {"origin": pa.StructArray.from_arrays(facts, fields=[*ORIGIN])}
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
