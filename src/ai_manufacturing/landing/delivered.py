"""Import delivered files into the landing store, and log added and removed files."""

import datetime
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from ai_manufacturing.landing import (
    checksums,
    declarations,
    declared_revisions,
    log,
    registers,
    store,
    validity,
)
from ai_manufacturing.landing.declarations import Register, Source
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.extracts import (
    DESCRIPTION,
    ExtractSet,
    escape_name,
    is_utf_8,
    read_extract_set,
)
from ai_manufacturing.landing.land import land_folder
from ai_manufacturing.landing.log import Delivery
from ai_manufacturing.landing.provenance import GENERATED, NOT_DECLARED
from ai_manufacturing.landing.readers import formats
from ai_manufacturing.landing.reading import sort_key
from ai_manufacturing.system import contracts, settings


def land_deliveries(as_of: int | None = None, current_set: pa.Table | None = None) -> pa.Table:
    """Import new files from the extracts folder, log all changes, and return the deliveries.

    Parameters
    ----------
    as_of : int, optional
        Read the log only up to this delivery, and land nothing.
    current_set : Table, optional
        The row of raw_extract_set; deliveries of another set raise an error.

    Returns
    -------
    pa.Table
        The columns of raw_deliveries. One row per delivery in the log and one per undeclared file
        in the folder, by path. An undeclared file has no number, provider, source, entity or rows.

    Raises
    ------
    LandingError
        If files cannot be landed, with one line for each; the others are then in the store, but not
        in the log. Also if a source does not declare its provenance, the log does not reach
        `as_of`, or the path of the store is not UTF-8, which Parquet readers require.
    """
    sources = declarations.read_sources_by_name()
    extract_set = read_extract_set(settings.extracts_dir())
    _refuse_other_set(extract_set.name, current_set)
    folder = settings.landing_dir()
    if not is_utf_8(str(folder)):
        raise LandingError(
            f"{escape_name(str(folder))}: the name of this folder is not valid UTF-8. Set"
            " LANDING_DIR to another folder."
        )
    with store.lock(folder) as messages:
        for line in messages:
            print(line, file=sys.stderr)
        return _record_deliveries(sources, extract_set, folder, as_of)


def _record_deliveries(
    sources: dict[tuple[str, str], Source],
    extract_set: ExtractSet,
    folder: Path,
    as_of: int | None,
) -> pa.Table:
    undeclared_files: list[dict[str, Any]] = []
    if as_of is None:
        files, undeclared_files = land_folder([*sources.values()], folder)
        with _convert_write_errors("the log of deliveries"):
            events = log.record_changes(folder, extract_set.name, files)
    else:
        events = log.read_events(folder, extract_set.name)
        if not 1 <= as_of <= len(events):
            raise LandingError(
                _describe_missing_delivery(as_of, extract_set.name, len(events), folder)
            )
    current_numbers = {delivery.number for delivery in log.State(events).by_place.values()}
    state = log.State(events[:as_of])
    keys = {
        delivery.number: find_store_key(
            delivery, sources, delivery.number in current_numbers, folder
        )
        for delivery in state.deliveries.values()
    }
    checksums.verify_folders(folder, [store_key for store_key, _ in keys.values()])
    records = [
        _build_delivery_row(delivery, *keys[delivery.number], folder)
        for delivery in state.deliveries.values()
    ]
    for record in records:
        is_synthetic = record["synthetic"] or extract_set.kind == "synthetic"
        source = sources.get((record["provider"], record["source_name"]))
        origin = GENERATED if is_synthetic else source and source.provenance
        record.update(origin.columns if origin else NOT_DECLARED)
    validity.add_replaced_periods(records, sources, folder)
    # One synthetic file that is still in the folder makes the whole extract set synthetic.
    synthetic = any(
        record["synthetic"]
        for record in records + undeclared_files
        if record["valid_until_delivery"] is None
    )
    constants = {
        "extract_set": extract_set.name,
        "extract_set_kind": "synthetic" if synthetic else extract_set.kind,
    }
    table = pa.Table.from_pylist(
        [record | constants for record in sorted(records + undeclared_files, key=sort_key)],
        schema=contracts.read_schema("raw_deliveries"),
    )
    if as_of is None:
        tables_folder = settings.landed_tables_dir()
        tables = {
            "deliveries.parquet": table,
            "register_columns.parquet": registers.list_landed_columns(table),
            "extract_set.parquet": _build_extract_set_table(extract_set),
            "declared_sources.parquet": list_declared_sources(),
        }
        with _convert_write_errors("the tables of deliveries"):
            store.replace_tables(tables_folder, tables, folder)
    return table


def describe_extract_set(current_set: pa.Table | None) -> pa.Table:
    """Return the name, period and declared revisions of the extract set as a one-row table.

    Parameters
    ----------
    current_set : Table, optional
        The row that the warehouse currently contains.

    Raises
    ------
    LandingError
        If that row names another set: one warehouse must not mix tables and estimates of two sets.
    """
    extract_set = read_extract_set(settings.extracts_dir())
    _refuse_other_set(extract_set.name, current_set)
    return _build_extract_set_table(extract_set)


def _refuse_other_set(name: str, current_set: pa.Table | None) -> None:
    for other in set(current_set["extract_set"].to_pylist() if current_set else []) - {name}:
        warehouse = os.environ.get("WAREHOUSE_PATH") or "build/warehouse.duckdb"
        raise LandingError(
            f'{warehouse} contains the extract set "{other}", but EXTRACTS_DIR now contains the'
            f' extract set "{name}". No files were read. If the files in EXTRACTS_DIR belong to'
            f' "{other}", add the line `name: "{other}"` to {DESCRIPTION} in that folder. Otherwise'
            " set WAREHOUSE_PATH to another file, or delete the warehouse."
        )


def _build_extract_set_table(extract_set: ExtractSet) -> pa.Table:
    period = extract_set.period.model_dump() if extract_set.period else {}
    row = {"extract_set": extract_set.name} | period
    row["declared_revisions"] = declared_revisions.list_coverage(extract_set.name)
    return pa.Table.from_pylist([row], schema=contracts.read_schema("raw_extract_set"))


def list_declared_sources() -> pa.Table:
    """Return all declared sources, including registers, as the table raw_declared_sources."""
    rows = [
        {"provider": source.provider, "source_name": source.name, "entity": source.entity}
        | (source.sql_columns if isinstance(source, Register) else {})
        for source in declarations.read_sources()
    ]
    return pa.Table.from_pylist(rows, schema=contracts.read_schema("raw_declared_sources"))


def _describe_missing_delivery(as_of: int, name: str, count: int, folder: Path) -> str:
    if count:
        return f"as_of_delivery {as_of}: {name} has deliveries 1 to {count}. Choose one of them."
    names = ", ".join(log.list_extract_sets(folder)) or "none"
    return (
        f"as_of_delivery {as_of}: the landing store has no deliveries of {name}. Its extract"
        f" sets are: {names}. Set EXTRACTS_DIR to the folder of one of them, or LANDING_DIR to"
        f" the landing store of {name}."
    )


def find_store_key(
    delivery: Delivery, sources: dict[tuple[str, str], Source], is_in_folder: bool, folder: Path
) -> tuple[str, bool]:
    """Return a delivery's store key, and whether its declaration has changed since the import."""
    event = delivery.event
    source = sources.get((event["provider"], event["source_name"]))
    if source:
        store_key = store.compute_key(event["delivery_id"], source, event["file_name_values"])
        if store.is_landed(folder, store_key):
            return store_key, False
        if is_in_folder:
            path, declaration = event["file_path"], f"{source.provider}.{source.name}"
            raise LandingError(
                f"{path}: the file has not been read with the current declaration {declaration}."
                " Run the build once without the variable as_of_delivery."
            )
    return event["store_key"], True


def _build_delivery_row(
    delivery: Delivery, store_key: str, is_earlier: bool, folder: Path
) -> dict[str, Any]:
    """Combine a delivery's log entry and stored metadata into a row of raw_deliveries."""
    event = delivery.event
    record = store.read_record(folder, store_key)
    contradiction = formats.describe_contradiction(event["file_path"], record["file_format"])
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


@contextmanager
def _convert_write_errors(content: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = settings.landing_dir()
        raise LandingError(
            f"{folder}: {content} cannot be written ({error.strerror}). Free disk space in this"
            " folder, or correct the permissions of the folder."
        ) from error
