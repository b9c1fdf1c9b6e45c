"""The landing store: one folder for each pair of a landed file and its declaration.

A folder is written once and never changed.
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

LANDING_VERSION = 7  # increase it if readers or row rules change the landed rows

# Temporary names of files and folders that a run has not finished.
DRAFT = re.compile(r"\.(?:.+\.)?[0-9a-f]{32}|\.spill\..+")


@contextmanager
def lock(store: Path) -> Iterator[list[str]]:
    """Lock the landing store while a run writes to it; yield a message per leftover removed.

    Runs share the lock, so that any number of them can write at once. A run that can obtain the
    lock exclusively first removes the drafts of dead runs, since no other run is then alive.
    Timestamps could not tell drafts of dead runs from those in progress.

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
            f"{store}: {error.strerror}. Set LANDING_DIR to a folder that this user may read and"
            " write."
        ) from error
    try:
        messages = [
            f"{path}: left by a dead run; removed." for path in _remove_drafts(store, descriptor)
        ]
        # List folders before reading the log: a folder gets its name only after its log line.
        has_landed_files = any(map(checksums.is_landed_folder, store.iterdir()))
        try:
            has_log = bool(log.read_lines(store))
        except OSError as error:
            raise LandingError(
                f"{error.filename}: {error.strerror}. Correct its permissions."
            ) from error
        if has_landed_files and not has_log:
            raise LandingError(
                f"{log.open_chain(store).path}: missing, and {store} has landed files."
                f" {log.WAY_OUT}"
            )
        yield messages
    finally:
        os.close(descriptor)


def _remove_drafts(store: Path, descriptor: int) -> list[Path]:
    leftovers = []
    # Ignore file systems without locks, and drafts of other users, which are harmless.
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
    """Return the name of a landed file's folder: a hash of everything that determines its rows."""
    inputs = [LANDING_VERSION, delivery_id, source.settings, file_name_values]
    # Do not sort keys: the order of the columns is part of the declaration.
    return hashlib.sha256(json.dumps(inputs, ensure_ascii=False).encode()).hexdigest()


def is_landed(store: Path, store_key: str) -> bool:
    """Return whether a file has landed."""
    return (store / store_key / "delivery.json").is_file()


def read_record(store: Path, store_key: str) -> dict[str, Any]:
    """Return the recorded facts about a landed file."""
    return dict(
        json.loads(_require_file(store / store_key / "delivery.json").read_text(encoding="utf-8"))
    )


def write_landed_file(
    store: Path, store_key: str, rows: pa.Table, rejected_rows: pa.Table, record: dict[str, Any]
) -> None:
    """Add a landed file to the store."""
    with open_draft(store, store_key) as folder:
        _write_parquet(rows, folder / "rows.parquet")
        _write_parquet(rejected_rows, folder / "rejected.parquet")
        write_record(folder, record)


def write_rows_only(store: Path, store_key: str, rows: pa.Table) -> None:
    """Add rows that do not come from a delivered file."""
    with open_draft(store, store_key) as folder:
        _write_parquet(rows, folder / "rows.parquet")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the facts about a landed file."""
    (folder / "delivery.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8"
    )


@contextmanager
def open_draft(store: Path, store_key: str) -> Iterator[Path]:
    """Create a draft folder; rename it to its store key on success, and delete it on failure.

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
    """Write a table with page checksums, which readers verify on request."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def publish_folder(draft: Path, folder: Path) -> None:
    """Rename a complete draft folder to its final name.

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
    """Write the tables that have changed, for engines without Python.

    Each file is replaced atomically, so open readers continue with the old one. SHA256SUMS is
    absent while tables are being replaced.
    """
    contents = {name: _serialize(table) for name, table in tables.items()}
    make_folder(folder, store)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # the file system may have no locks
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
    """Delete a landed file's folder, so that the file lands again.

    Call this only for a file that is still in the extracts folder.
    """
    trash = store / f".{store_key}.{uuid.uuid4().hex}"
    (store / store_key).rename(trash)
    shutil.rmtree(trash)


def read_rows(store: Path, store_key: str, name: str) -> Iterator[pa.RecordBatch]:
    """Yield "rows" or "rejected" of a landed file in batches, to limit memory use."""
    with pq.ParquetFile(rows_path(store, store_key, name)) as file:
        yield from file.iter_batches()


def rows_path(store: Path, store_key: str, name: str = "rows") -> Path:
    """Return the path of the Parquet file "rows" or "rejected" of a landed file."""
    return _require_file(store / store_key / f"{name}.parquet")


@contextmanager
def open_connection(scratch: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory DuckDB with the memory limit of the warehouse.

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
            f"{path}: missing from the landing store. Run the build again from raw_deliveries."
        )
    return path
