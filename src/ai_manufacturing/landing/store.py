"""Read and write the landing store, which has one folder per delivered file and declaration.

A folder is named by its store key, written once and never changed.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing.landing import checksums, log
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.disk import apply_store_permissions, make_folder, sync
from ai_manufacturing.system.integrity import SUMS, check_folder, record_folder

LANDING_VERSION = 7  # increment when a code change alters the rows that are read

# Names of temporary files and folders, which an interrupted run may leave behind.
DRAFT = re.compile(r"\.(?:.+\.)?[0-9a-f]{32}|\.spill\..+")


@contextmanager
def lock(store: Path) -> Iterator[list[str]]:
    """Lock the landing store for writing; yield a message for each temporary file removed.

    Runs share the lock, so that any number of them can write at once. A run that can obtain the
    lock exclusively first removes the drafts of dead runs, since no other run is then alive.
    Timestamps could not distinguish the drafts of dead runs from drafts in progress.

    Raises
    ------
    LandingError
        If the folder cannot be created or opened, its log is damaged, or it has landed files but no
        log.
    """
    try:
        make_folder(store, store)
        descriptor = os.open(store, os.O_RDONLY)
    except OSError as error:
        raise LandingError(
            f"{store}: the landing store cannot be opened ({error.strerror}). Set LANDING_DIR"
            " to a folder that you can read and write."
        ) from error
    try:
        messages = [
            f"{path} was left behind by a run that crashed, and was removed."
            for path in _remove_drafts(store, descriptor)
        ]
        # List folders before reading the log, because each folder is logged before it appears.
        has_landed_files = any(map(checksums.is_landed_folder, store.iterdir()))
        try:
            has_log = bool(log.read_lines(store))
        except OSError as error:
            raise LandingError(
                f"{error.filename} cannot be read ({error.strerror}). Correct its permissions."
            ) from error
        if has_landed_files and not has_log:
            log_path = log.open_chain(store).path
            raise LandingError(
                f"The log {log_path} is missing, but {store} contains landed files. {log.WAY_OUT}"
            )
        yield messages
    finally:
        os.close(descriptor)


def _remove_drafts(store: Path, descriptor: int) -> list[Path]:
    leftovers = []
    # Ignore errors from file systems without locks, and from other users' temporary files.
    with suppress(OSError):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            patterns = ("*", "log/*", "tables/*/*")
            for path in (path for pattern in patterns for path in [*store.glob(pattern)]):
                if not DRAFT.fullmatch(path.name):
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                leftovers.append(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return leftovers


def compute_key(delivery_id: str, source: Source, file_name_values: dict[str, str]) -> str:
    """Return a file's store key, a hash of its content, declaration and file-name values."""
    inputs = [LANDING_VERSION, delivery_id, source.settings, file_name_values]
    # Do not sort the JSON keys, because the column order is part of the declaration.
    return hashlib.sha256(json.dumps(inputs, ensure_ascii=False).encode()).hexdigest()


def is_landed(store: Path, store_key: str) -> bool:
    """Return whether the landing store contains a file with the given store key."""
    return (store / store_key / "delivery.json").is_file()


def read_record(store: Path, store_key: str) -> dict[str, Any]:
    """Return the metadata stored with a delivered file in delivery.json."""
    return dict(
        json.loads(_require_file(store / store_key / "delivery.json").read_text(encoding="utf-8"))
    )


def write_landed_file(
    store: Path, store_key: str, rows: pa.Table, rejected_rows: pa.Table, record: dict[str, Any]
) -> None:
    """Write the rows, rejected rows and metadata of a file to a new folder of the store."""
    with open_draft(store, store_key) as folder:
        _write_parquet(rows, folder / "rows.parquet")
        _write_parquet(rejected_rows, folder / "rejected.parquet")
        write_record(folder, record)


def write_rows_only(store: Path, store_key: str, rows: pa.Table) -> None:
    """Write rows that do not come from a delivered file to a new folder of the store."""
    with open_draft(store, store_key) as folder:
        _write_parquet(rows, folder / "rows.parquet")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the metadata of a delivered file to delivery.json."""
    (folder / "delivery.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8"
    )


@contextmanager
def open_draft(store: Path, store_key: str) -> Iterator[Path]:
    """Create a temporary folder, and rename it to its store key if the `with` block succeeds.

    If another run has stored the same key in the meantime, its folder remains.
    """
    folder = store / f".{store_key}.{uuid.uuid4().hex}"
    make_folder(folder, store)
    try:
        yield folder
        publish_folder(folder, store / store_key)
    except (OSError, FileFault):
        shutil.rmtree(folder)
        if not (store / store_key).is_dir():
            raise


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table to Parquet with page checksums, which readers can verify."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def publish_folder(draft: Path, folder: Path) -> None:
    """Flush a complete temporary folder to disk, and rename the folder to its final name.

    Its files are flushed to disk and their checksums recorded first, so that a folder with its
    final name is always complete.
    """
    for path in (*draft.iterdir(), draft):
        apply_store_permissions(path, folder.parent)
        sync(path)
    checksums.record_checksums(draft, folder.parent, folder.name)
    draft.rename(folder)
    sync(folder.parent)


def replace_tables(folder: Path, tables: dict[str, pa.Table], store: Path) -> None:
    """Write changed tables to Parquet files, for query engines that cannot run Python.

    Each file is replaced atomically, so open readers continue with the old one. SHA256SUMS is
    absent while tables are being replaced.
    """
    contents = {name: _serialize(table) for name, table in tables.items()}
    make_folder(folder, store)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems do not support locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        changed_names = [name for name in contents if _read_bytes(folder / name) != contents[name]]
        if not changed_names and not check_folder(folder):
            return
        (folder / SUMS).unlink(missing_ok=True)
        for name in changed_names:
            draft = folder / f".{name}.{uuid.uuid4().hex}"
            draft.write_bytes(contents[name])
            apply_store_permissions(draft, store)
            draft.replace(folder / name)
        record_folder(folder)
        apply_store_permissions(folder / SUMS, store)
    finally:
        os.close(descriptor)


def _serialize(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, write_page_checksum=True)
    return bytes(buffer.getvalue())


def _read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def remove_folder(store: Path, store_key: str) -> None:
    """Delete a file's folder from the store, so that the file is imported again.

    Call this only for a file that is still in the extracts folder.
    """
    trash = store / f".{store_key}.{uuid.uuid4().hex}"
    (store / store_key).rename(trash)
    shutil.rmtree(trash)


def read_rows(store: Path, store_key: str, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the typed or rejected rows of a stored file in batches, to limit memory use."""
    with pq.ParquetFile(rows_path(store, store_key, name)) as file:
        yield from file.iter_batches()


def rows_path(store: Path, store_key: str, name: str = "rows") -> Path:
    """Return the path of the Parquet file with a stored file's typed or rejected rows."""
    return _require_file(store / store_key / f"{name}.parquet")


@contextmanager
def open_connection(scratch: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory DuckDB database with the warehouse's memory limit.

    Data beyond the limit are spilled to a temporary folder in `scratch`.
    """
    make_folder(scratch, scratch)
    with (
        tempfile.TemporaryDirectory(prefix=".spill.", dir=scratch) as temporary,
        duckdb_client.open_in_memory(Path(temporary)) as connection,
    ):
        connection.execute(f"set threads = {threads}")
        yield connection


def _require_file(path: Path) -> Path:
    if not path.is_file():
        raise LandingError(
            f"{path} is missing from the landing store. Run the build again, starting with the"
            " model raw_deliveries."
        )
    return path
