"""The landing store: one folder for what one file gives under one declaration, written once and never changed."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing import duckdb_client
from ai_manufacturing.durable import sync
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.records import Landed

LANDING_VERSION = 6  # raise it when the readers or the rules change what lands

DRAFT = re.compile(r"\.(?:.+\.)?[0-9a-f]{32}|\.spill\..+")  # what a run writes before it has its name


@contextmanager
def held(store: Path) -> Iterator[None]:
    """Hold the store while something is written to it. Who holds it alone removes first what dead runs have left.

    Any number of runs may hold it at once: a lock tells their drafts from those of the dead, as no clock can.

    Raises
    ------
    LandingError
        If the folder cannot be made or opened.
    """
    try:
        make_folder(store, store)
        descriptor = os.open(store, os.O_RDONLY)
    except OSError as error:
        raise LandingError(
            [f"{store}: {error.strerror}. Set LANDING_DIR to a folder that this user may read and write."]
        ) from error
    try:
        _sweep(store, descriptor)
        yield
    finally:
        os.close(descriptor)


def _sweep(store: Path, descriptor: int) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for path in (*store.iterdir(), *store.glob("log/*/*"), *store.glob("tables/*/*")):
                if not DRAFT.fullmatch(path.name):
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        # a file system without locks, or another user's litter: it does no harm
        return


def make_folder(folder: Path, store: Path) -> None:
    """Make a folder of the store, with the permissions of the store's own.

    The folder of the store decides who reads and writes it; a new one is for its owner to write and for all to read,
    whatever the umask. No folder of it is for all to write.
    """
    if not store.is_dir():
        store.mkdir(parents=True, exist_ok=True)
        store.chmod(0o755)
    for path in reversed([folder, *folder.parents]):
        if path != store and path.is_relative_to(store) and not path.is_dir():
            path.mkdir(exist_ok=True)
            share(path, store)


def share(path: Path, store: Path) -> None:
    """Give a file or a folder the permissions of the store."""
    mode = store.stat().st_mode & 0o775 | 0o700
    path.chmod(mode if path.is_dir() else mode & 0o666)


def key(delivery_id: str, source: Source, file_name_values: dict[str, str]) -> str:
    """Return the folder of a file's rows: the hash of all that decides them."""
    decides = [LANDING_VERSION, delivery_id, source.settings, file_name_values]
    # the order of the columns is part of the declaration, so keys are not sorted
    return hashlib.sha256(json.dumps(decides, ensure_ascii=False).encode()).hexdigest()


def holds(store: Path, store_key: str) -> bool:
    """Whether a file has landed."""
    return (store / store_key / "delivery.json").is_file()


def read_record(store: Path, store_key: str) -> dict[str, Any]:
    """Return what is recorded of a landed file."""
    path = _existing(store / store_key / "delivery.json")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise LandingError(
            [
                f"{path}: incomplete ({error}). Restore its folder from a backup; or put the delivered file into the "
                "extracts folder, delete this folder, and run the build again; the file then lands again."
            ]
        ) from error


def write(store: Path, store_key: str, landed: Landed, record: dict[str, Any]) -> None:
    """Add a landed file; whoever comes second to the same key leaves what the first one wrote."""
    folder = store / f".{store_key}.{uuid.uuid4().hex}"
    make_folder(folder, store)
    try:
        pq.write_table(landed.rows, folder / "rows.parquet", compression="zstd")
        pq.write_table(landed.rejected, folder / "rejected.parquet", compression="zstd")
        (folder / "delivery.json").write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")
        keep(folder, store / store_key)
    except OSError:
        shutil.rmtree(folder)
        if not holds(store, store_key):
            raise


def keep(written: Path, final: Path) -> None:
    """Give a written folder its name: whole and on the disk, or not at all."""
    for path in (*written.iterdir(), written):
        share(path, final.parent)
        sync(path)
    written.rename(final)
    sync(final.parent)


def replace(path: Path, table: pa.Table, store: Path) -> None:
    """Write a table that has changed, for engines without Python; who reads the file meanwhile keeps the old one."""
    if path.is_file() and pq.ParquetFile(path).read().equals(table):
        return
    make_folder(path.parent, store)
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    pq.write_table(table, written)
    share(written, store)
    written.replace(path)


def remove(store: Path, store_key: str) -> None:
    """Take a landed file out, whole, so that it lands anew. Only for a file that the extracts folder still has."""
    leaving = store / f".{store_key}.{uuid.uuid4().hex}"
    (store / store_key).rename(leaving)
    shutil.rmtree(leaving)


def read_rows(store: Path, store_key: str, name: str) -> Iterator[pa.RecordBatch]:
    """Yield "rows" or "rejected" of a landed file, so many at a time that a large file is never whole in memory."""
    with pq.ParquetFile(rows_path(store, store_key, name)) as file:
        yield from file.iter_batches()


def rows_path(store: Path, store_key: str, name: str = "rows") -> Path:
    """Return the Parquet file of "rows" or "rejected" of a landed file."""
    return _existing(store / store_key / f"{name}.parquet")


@contextmanager
def connection(scratch: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB in memory under the warehouse's limit; what does not fit goes to the disk below `scratch`."""
    limit = os.environ.get("WAREHOUSE_MEMORY_LIMIT", "4GB")
    make_folder(scratch, scratch)
    with tempfile.TemporaryDirectory(prefix=".spill.", dir=scratch) as temporary:
        settings = {"threads": threads, "memory_limit": limit, "temp_directory": temporary}
        with duckdb_client.connect(config=settings) as opened:
            yield opened


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise LandingError([f"{path}: missing from the landing store. Run the build again from raw_deliveries."])
    return path
