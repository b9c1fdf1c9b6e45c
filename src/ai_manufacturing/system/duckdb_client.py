"""How DuckDB is opened: nothing from the network, no file that is not named, files that clients since 1.2 read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.system.sql_text import identifier, literal

STORAGE_VERSION = "v1.2.0"
# Of a file to attach. It has a hundred small tables, each of whole blocks: with those of 256 kB it
# is a fifth larger.
STORAGE = f"(storage_version '{STORAGE_VERSION}', block_size 65536)"
# core_functions, icu, json and parquet are built in. A query that needs another extension fails and
# names it.
SETTINGS: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def connect(
    database: str = ":memory:",
    *,
    read_only: bool = False,
    config: dict[str, Any] | None = None,
    reads_files: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, or a database in memory, as duckdb.connect does.

    Parameters
    ----------
    database : str
        The file; in memory without it.
    read_only : bool
        Whether the file is opened for reading only.
    config : dict, optional
        Settings of DuckDB, beside SETTINGS.
    reads_files : bool
        Whether statements may name other files, as where a database is attached or a view of the
        warehouse reads the files of a register; DuckDB counts a frame that a statement names among
        them. A release needs none.

    Returns
    -------
    DuckDBPyConnection
        To be closed by the caller.
    """
    connection = duckdb.connect(database, read_only=read_only, config=config or {})
    # after it is open: a process that has the file open with other settings could not open it again
    for name, value in SETTINGS.items():
        connection.execute(f"set {name} = {value}")
    if not reads_files:
        confine(connection)
    return connection


def confine(connection: duckdb.DuckDBPyConnection) -> None:
    """Let statements reach what is open or attached, and no other file; it cannot be taken back."""
    connection.execute("set enable_external_access = false")


def in_memory(spill: Path) -> duckdb.DuckDBPyConnection:
    """Connect to no file, to attach some, within WAREHOUSE_THREADS and WAREHOUSE_MEMORY_LIMIT, without progress bars.

    Parameters
    ----------
    spill : Path
        Folder for what exceeds the memory limit; DuckDB makes it when it needs it.
    """
    connection = connect(
        config={
            "threads": os.environ.get("WAREHOUSE_THREADS") or "2",
            "memory_limit": os.environ.get("WAREHOUSE_MEMORY_LIMIT") or "4GB",
            "temp_directory": str(spill),
        },
        reads_files=True,
    )
    # a bar among the lines of a scheduler's log is no JSON
    connection.execute("set enable_progress_bar = false")
    return connection


@contextmanager
def reading(path: Path, reads_files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file read-only while the block runs, without progress bars; parameters as in connect."""
    with connect(str(path), read_only=True, reads_files=reads_files) as connection:
        connection.execute("set enable_progress_bar = false")
        yield connection


@contextmanager
def attached(spill: Path, **databases: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open several files read-only on one connection while the block runs.

    Parameters
    ----------
    spill : Path
        As in in_memory.
    **databases : Path
        The files, by the names that they are attached by.
    """
    with in_memory(spill) as connection:
        for name, path in databases.items():
            connection.execute(f"attach {literal(path)} as {name} (read_only)")
        yield connection


def at(connection: duckdb.DuckDBPyConnection, database: str) -> duckdb.DuckDBPyConnection:
    """Return a connection on which names without a database are those of one that is attached.

    Parameters
    ----------
    connection : DuckDBPyConnection
        To which it is attached; what is returned is closed with it.
    database : str
        The name it was attached by.
    """
    cursor = connection.cursor()
    cursor.execute(f"use {identifier(database)}")
    cursor.execute("set enable_progress_bar = false")
    return cursor


def rows(connection: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[dict[str, Any]]:
    """Return the rows of a query by the names of its columns.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An open connection.
    query : str
        SQL.
    *values
        Of its parameters.
    """
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
