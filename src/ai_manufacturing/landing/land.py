"""Parse delivered files, and write their rows to the landing store.

Every record is either stored as a typed row, or rejected with a reason.
"""

import datetime
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ai_manufacturing.landing import checksums, declarations, records, registers, store
from ai_manufacturing.landing.declarations import Register, Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.extracts import DeliveredFile, closing_archives, find_delivered_files
from ai_manufacturing.landing.readers import containers, formats
from ai_manufacturing.system import settings

THREADS = 2
"""Number of files that are landed in parallel."""


def land_folder(
    sources: list[Source], folder: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Import new files, and return the metadata of declared and of undeclared files."""
    files, faults = find_delivered_files(settings.extracts_dir(), sources)
    declared_files: list[dict[str, Any]] = []
    undeclared_files: list[dict[str, Any]] = []
    with closing_archives(files), ThreadPoolExecutor(THREADS) as threads:
        for outcome in threads.map(_land, files, repeat(folder)):
            if isinstance(outcome, str):
                faults.append(outcome)
            else:
                (declared_files if "provider" in outcome else undeclared_files).append(outcome)
    if faults:
        raise LandingError(*sorted(faults))
    return declared_files, undeclared_files


def clean_up() -> list[str]:
    """Remove temporary files that interrupted runs left in the landing store.

    Returns
    -------
    list of str
        One message per removed file or folder.

    Raises
    ------
    LandingError
        If the landing store cannot be opened, or its log is damaged.
    """
    with store.lock(settings.landing_dir()) as messages:
        return messages


def land_again(years: range) -> list[str]:
    """Import files in the extracts folder again if they may contain any of the given years.

    A register may contain any year, as may a file whose declaration has no integer period column.
    Files that are no longer in the folder stay in the store unchanged.

    Parameters
    ----------
    years : range
        Statistical years.

    Returns
    -------
    list of str
        Paths of the files that were read again, sorted.

    Raises
    ------
    LandingError
        If files can no longer be read, with one line for each.
    """
    folder = settings.landing_dir()
    files, faults = find_delivered_files(settings.extracts_dir(), declarations.read_sources())
    paths = []
    with store.lock(folder), closing_archives(files):
        digests = checksums.read_checksums(folder)
        for file in files:
            if file.source is None:
                continue
            outcome = _land(file, folder)
            if isinstance(outcome, dict):
                key = outcome["store_key"]
                # A damaged stored file may contain any year, so it is always imported again.
                is_damaged = key in digests and checksums.find_faults(folder, key, digests[key])
                if is_damaged or _may_contain(years, file.source, store.rows_path(folder, key)):
                    store.remove_folder(folder, key)
                    outcome = _land(file, folder)
                    paths.append(file.file_path)
            if isinstance(outcome, str):
                faults.append(outcome)
    if faults:
        raise LandingError(*sorted(faults))
    return [*dict.fromkeys(paths)]  # drop repeated paths of files that feed several entities


def _may_contain(years: range, source: Source, rows: Path) -> bool:
    if source.period is None or source.columns[source.period] != "integer":
        return True
    column = pq.read_table(rows, columns=[source.period])[source.period]
    return any(year in years for year in column.unique().to_pylist())


def _land(file: DeliveredFile, folder: Path) -> dict[str, Any] | str:
    """Import one file; return its metadata, or an error message if the file is invalid."""
    content = b""
    try:
        if file.source is None:
            return _describe_undeclared_file(file)
        if isinstance(file.source, Register):
            return _describe_landed_file(
                file, file.source, *registers.land(file, file.source, folder)
            )
        content = file.read_content()
        return _describe_landed_file(
            file, file.source, *_land_content(file, file.source, content, folder)
        )
    except FileFault as fault:
        return " ".join(
            [fault.format_line(file.file_path), *_find_contradiction(file.file_path, content)]
        )
    except OSError as error:
        return (
            f"{file.file_path}: the file cannot be read, or cannot be stored in {folder}"
            f" ({error.strerror}). Free disk space, or correct its permissions."
        )
    except MemoryError:
        return (
            f"{file.file_path}: this machine does not have enough memory for the file"
            f" ({file.path.stat().st_size:,} bytes). Deliver it in parts, or build on a machine"
            " with more memory."
        )


def _find_contradiction(file_path: str, content: bytes) -> list[str]:
    """Return a one-element list with a hint if a file's extension and format do not match."""
    try:
        hint = (
            formats.describe_contradiction(file_path, formats.detect_format(content))
            if content
            else None
        )
    except FileFault:
        return []
    # The format of a gzip file's content is unknown until the file is unpacked.
    return [hint] if hint and not containers.is_gzip(content) else []


def _describe_undeclared_file(file: DeliveredFile) -> dict[str, Any]:
    """Return the metadata of a file that does not match any declared source."""
    delivery_id, size = file.hash_content()
    counts = dict.fromkeys(("record_count", "landed_row_count", "rejected_row_count"), 0)
    nulls = dict.fromkeys(("delivery_number", "valid_until_delivery"))
    facts = {"file_path": file.file_path, "delivery_id": delivery_id, "size_bytes": size}
    return facts | counts | nulls | {"synthetic": False, "hint": file.hint}


def _land_content(
    file: DeliveredFile, source: Source, content: bytes, folder: Path
) -> tuple[str, int, str]:
    """Store the rows of a file unless they exist; return its SHA-256, size and store key."""
    delivery_id = hashlib.sha256(content).hexdigest()
    store_key = store.compute_key(delivery_id, source, file.file_name_values)
    if not store.is_landed(folder, store_key):
        properties, sheets = formats.read_sheets(content, source.read_headings)
        rows, rejected_rows, record = records.land(sheets, source, file.file_name_values)
        store.write_landed_file(folder, store_key, rows, rejected_rows, asdict(properties) | record)
    return delivery_id, len(content), store_key


def _describe_landed_file(
    file: DeliveredFile, source: Source, delivery_id: str, size: int, store_key: str
) -> dict[str, Any]:
    """Return the metadata of an imported file, as recorded in the delivery log."""
    return {
        "file_path": file.file_path,
        "delivery_id": delivery_id,
        "size_bytes": size,
        "store_key": store_key,
        "provider": source.provider,
        "source_name": source.name,
        "entity": source.entity,
        "file_name_values": file.file_name_values,
        # Both timestamps are informational; no computation depends on them.
        "modified_at": file.modified_at.isoformat(),
        "landed_at": (
            datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None).isoformat()
        ),
    }
