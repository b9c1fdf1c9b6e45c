"""How DuckDB is opened: without the network or other files, for clients of version 1.2 or later.

A file that is named by its path may come from elsewhere. It is data: `attach` is its one way in.
"""

import math
import os
import re
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.system import own_files
from ai_manufacturing.system.sql_text import beside, identifier, literal

SQL = beside(__file__)

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
# at() sets it for each of its cursors
NOT_LOCKED = ["enable_progress_bar"]
HOLDER = re.compile(r"Conflicting lock is held in (?P<process>.+ \(PID \d+\))")
READ = "file"  # the name that `reading` attaches a file by
LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")  # which DuckDB opens beside a file
# Seconds of processor time while a file from elsewhere is open, unless WAREHOUSE_PROCESSOR_LIMIT is
# set. To compare two warehouses of the sample takes 24, to write the site of a release 12.
PROCESSOR_LIMIT = 120
WATCHED_EVERY = 0.1  # seconds
LARGEST_TABLE = 200_000_000  # cells; the largest table of the public set has 20 million
LONGEST_TEXT = 16 * 2**20  # characters; the longest of the public set has 100,000


BEYOND_LIMITS = (duckdb.InterruptException, duckdb.PermissionException)
"""Errors of a statement that uses too much of the processor, or that names a file."""


class RefusedError(duckdb.Error):
    """A file that is not read, as it is no file of DuckDB's or more than data; it says which."""


def connect(
    database: str = ":memory:",
    *,
    read_only: bool = False,
    config: dict[str, Any] | None = None,
    reads_files: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open a database in memory, or a file that this process made, as duckdb.connect does.

    Parameters
    ----------
    database : str
        The file; in memory without it. Of a file that a user names, `reading` is the door.
    read_only : bool
        Whether the file is opened for reading only.
    config : dict, optional
        Settings of DuckDB, beside SETTINGS.
    reads_files : bool
        Whether statements may name other files, as where a database is attached or a view of the
        warehouse reads the files of a register; DuckDB counts a frame that a statement names among
        them.

    Returns
    -------
    DuckDBPyConnection
        To be closed by the caller.
    """
    connection = duckdb.connect(database, read_only=read_only, config=config or {})
    # after it is open: a process that has the file open with other settings could not open it again
    for name, value in SETTINGS.items():
        connection.execute(f"set {name} = {value}")
    # a bar among the lines of a scheduler's log is no JSON
    connection.execute("set enable_progress_bar = false")
    if not reads_files:
        _confine(connection)
    return connection


def _confine(connection: duckdb.DuckDBPyConnection) -> None:
    """Let statements reach what is open or attached, and no other file; it cannot be taken back."""
    connection.execute("set enable_external_access = false")


def in_memory(spill: Path) -> duckdb.DuckDBPyConnection:
    """Connect to no file, to attach some, within WAREHOUSE_THREADS and WAREHOUSE_MEMORY_LIMIT.

    Parameters
    ----------
    spill : Path
        Folder for what exceeds the memory limit; DuckDB makes it when it needs it.
    """
    return connect(
        config={
            "threads": os.environ.get("WAREHOUSE_THREADS") or "2",
            "memory_limit": os.environ.get("WAREHOUSE_MEMORY_LIMIT") or "4GB",
            "temp_directory": str(spill),
        },
        reads_files=True,
    )


def attach(
    connection: duckdb.DuckDBPyConnection,
    databases: Mapping[str, Path],
    *,
    writes: Path | None = None,
    reaches: Sequence[Path] = (),
    reads_files: bool = False,
) -> None:
    """Attach files read-only, then close every other door, then look at what is in them.

    Nothing of a file is read before DuckDB can reach no other file. Settings are locked. While a
    file from elsewhere is attached, this process has WAREHOUSE_PROCESSOR_LIMIT seconds of processor
    time; then every statement of the connection is interrupted.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Of in_memory.
    databases : mapping of str to Path
        The files, by the names that they are attached by.
    writes : Path, optional
        A new file, attached as `new`.
    reaches : sequence of Path
        Folders whose files statements may read and write, beside the landing stores of the
        databases if all of those are own files: views of a warehouse show files of its store.
    reads_files : bool
        Whether statements may name any file, as in a refresh, which has just made the warehouse.

    Raises
    ------
    RefusedError
        If one is no regular file, or has what data does not need: a macro or a computed column; a
        view, in a release.
    duckdb.Error
        If one is no database that DuckDB can open.
    """
    for path in databases.values():
        require_file(path)
        if not (reads_files or own_files.is_named(path)):
            _require_no_log(path)
    is_own = {path: reads_files or own_files.is_own(path) for path in databases.values()}
    for name, path in databases.items():
        place = literal(path.absolute())
        connection.execute(f"attach {place} as {identifier(name)} (type duckdb, read_only)")
    if writes is not None:
        connection.execute(f"attach {literal(writes)} as new {STORAGE}")
    if not reads_files:
        stores = map(own_files.landing_store, is_own) if all(is_own.values()) else ()
        listed = ", ".join(map(literal, filter(None, [*reaches, *stores])))
        connection.execute(f"set allowed_directories = [{listed}]")
        _confine(connection)
    if not all(is_own.values()):
        _limit_processor_time(connection, processor_limit())
    connection.execute(f"set allowed_configs = {NOT_LOCKED}")
    connection.execute("set lock_configuration = true")
    for name, path in () if reads_files else databases.items():
        _require_data(connection, name, path, is_own=is_own[path])


def holder(path: Path, config: Mapping[str, Any]) -> str | None:
    """Return the process that has a file open, so that nobody else can write to it; None if none.

    Parameters
    ----------
    path : Path
        The file; one that is not there is held by nobody.
    config : mapping of str to object
        Settings that it will be opened with.
    """
    if not path.exists():
        return None
    try:
        duckdb.connect(str(path), config=dict(config)).close()
    except duckdb.IOException as error:
        held = HOLDER.search(str(error))
        if held is None:
            raise
        return held["process"]
    return None


def processor_limit() -> float:
    """Return the seconds of WAREHOUSE_PROCESSOR_LIMIT."""
    text = os.environ.get("WAREHOUSE_PROCESSOR_LIMIT") or str(PROCESSOR_LIMIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RefusedError(
            f"WAREHOUSE_PROCESSOR_LIMIT is {text!r}. Give a number of seconds above 0."
        )
    return seconds


def _limit_processor_time(connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
    """Interrupt all statements of a connection once this process has used some processor time.

    DuckDB's own limit counts elapsed time, so that a loaded machine would end a small statement.
    """
    watched = weakref.ref(connection)
    end = time.process_time() + seconds

    def watch() -> None:
        while (still_open := watched()) is not None:
            try:
                if time.process_time() < end:
                    still_open.query_progress()  # fails once the connection is closed
                else:
                    still_open.interrupt()
            except duckdb.ConnectionException:
                return
            del still_open  # or it would never be collected
            time.sleep(WATCHED_EVERY)

    threading.Thread(target=watch, daemon=True).start()


def require_file(path: Path) -> None:
    """Raise if a path, or a log of DuckDB beside it, is a folder, a pipe or a device.

    To open a pipe waits for its writer.

    Raises
    ------
    RefusedError
        Naming the path.
    """
    logs = [path.with_name(path.name + ending) for ending in LOGS]
    for each in (path, *logs):
        if os.path.lexists(each) and not each.is_file():
            raise RefusedError(f"{each}: not a regular file. Name a release or a warehouse.")


def _require_no_log(path: Path) -> None:
    """Raise if DuckDB would replay a log: its statements run before any guard stands.

    Raises
    ------
    RefusedError
        Naming the log.
    """
    for ending in LOGS:
        log = path.with_name(path.name + ending)
        if log.is_file() and log.stat().st_size:
            raise RefusedError(
                f"{log}: a log that is not part of the file yet. Whoever wrote {path.name} ends it"
                " by `checkpoint` in DuckDB; then name it again."
            )


def _require_data(
    connection: duckdb.DuckDBPyConnection, database: str, path: Path, *, is_own: bool
) -> None:
    """Raise if an attached file has more than data; it names the first such thing.

    Views are refused in a release alone: a warehouse has some of dbt, which reach no other file.
    """
    found = connection.execute(
        SQL["refused"],
        {"database": database, "largest": LARGEST_TABLE, "is_own": is_own},
    ).fetchall()
    for what, schema, name in found:
        raise RefusedError(
            f"{path}: {schema}.{name} is {what}. A file from elsewhere is read as data alone: ask"
            " its maker for tables."
        )


def require_views(
    connection: duckdb.DuckDBPyConnection, database: str, path: Path, relations: Sequence[str]
) -> None:
    """Raise if a view shows files that are gone or out of reach, or too many rows.

    Rows are counted in a file from elsewhere, where a view may have any number of them.

    Parameters
    ----------
    connection : DuckDBPyConnection
        To which the file is attached.
    database : str
        The name it was attached by.
    path : Path
        The file.
    relations : sequence of str
        Schema and name of what will be read; those that are no views are passed over.

    Raises
    ------
    RefusedError
        Naming the file and the view.
    """
    views = connection.execute(
        "select schema_name, view_name from duckdb_views() where database_name = ? and"
        " list_contains(?, schema_name || '.' || view_name) order by all",
        [database, [*relations]],
    ).fetchall()
    for names in views:
        view, relation = ".".join(names), ".".join(map(identifier, (database, *names)))
        try:
            columns = connection.execute(f"describe {relation}").fetchall()
        except (duckdb.IOException, duckdb.PermissionException) as error:
            raise RefusedError(
                f"{path}: the view {view} shows files that cannot be read"
                f" ({str(error).splitlines()[0]}). Put the landing store back where it was when the"
                " warehouse was built. If it is there and you trust its maker, set WAREHOUSE_PATH"
                " to the warehouse and LANDING_DIR to the store, or build again."
            ) from error
        most = LARGEST_TABLE // len(columns)
        beyond = f"select 1 from {relation} limit 1 offset {most}"
        if not own_files.is_own(path) and connection.execute(beyond).fetchall():
            raise RefusedError(
                f"{path}: the view {view} has more than {LARGEST_TABLE:,} cells. A file from"
                " elsewhere is read as data alone: ask its maker for less."
            )


def require_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise if what a file from elsewhere holds would fill memory: a long text, or long lists.

    A text that repeats itself has a small file. Lengths stand in the statistics of the file.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Of reading.
    path : Path
        The file.

    Raises
    ------
    RefusedError
        Naming the column.
    """
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = ?", [READ]
    ).fetchall()
    if own_files.is_own(path) or not tables:
        return
    segments = " union all ".join(
        f"select {literal('.'.join(names))} as name, column_name, count, stats"
        f" from pragma_storage_info({literal('.'.join(map(identifier, (READ, *names))))})"
        for names in tables
    )
    found = connection.execute(
        "select name, column_name, max(cast(stats['max_string_length'] as bigint)) as length,"
        f" sum(count) as number from ({segments}) group by all"
        " having length > $longest or number > $largest order by all limit 1",
        {"longest": LONGEST_TEXT, "largest": LARGEST_TABLE},
    ).fetchall()
    for name, column, length, number in found:
        if number > LARGEST_TABLE:
            what = f"{number:,} values, above the limit of {LARGEST_TABLE:,}"
        else:
            what = f"a text of {length:,} characters, above the limit of {LONGEST_TEXT:,}"
        raise RefusedError(f"{path}: {name}, column {column}: {what}. Ask its maker for less.")


def reading(
    path: Path, *, reaches: Sequence[Path] = (), reads_files: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open a file read-only, for a block that closes it; parameters and errors as of attach."""
    connection = in_memory(Path(tempfile.gettempdir()) / f"ai_manufacturing_{uuid.uuid4().hex}")
    try:
        attach(connection, {READ: path}, reaches=reaches, reads_files=reads_files)
        connection.execute(f"use {READ}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def attached(
    spill: Path,
    databases: Mapping[str, Path],
    *,
    writes: Path | None = None,
    reaches: Sequence[Path] = (),
    reads_files: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open several files read-only on one connection while the block runs.

    Parameters
    ----------
    spill : Path
        As in in_memory.
    databases, writes, reaches, reads_files
        As in attach, and so are the errors.
    """
    with in_memory(spill) as connection:
        attach(connection, databases, writes=writes, reaches=reaches, reads_files=reads_files)
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


def rows(connection: duckdb.DuckDBPyConnection, query: str, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a query by the names of its columns.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An open connection.
    query : str
        SQL.
    **values
        Of its parameters, by name.
    """
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
