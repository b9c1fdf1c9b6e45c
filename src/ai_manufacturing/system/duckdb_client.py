"""Open DuckDB databases without access to the network or to other files.

The functions support DuckDB 1.2 and later.

A file that a user names may be untrusted. Such files must be opened with `attach`, which treats
them as data only.
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

from ai_manufacturing.system import trusted_files
from ai_manufacturing.system.sql_text import load_statements, quote_identifier, quote_literal

SQL = load_statements(__file__)

STORAGE_VERSION = "v1.2.0"  # oldest DuckDB version that can read the written files

# Options of ATTACH for a new file. A file contains about a hundred small tables, which occupy whole
# blocks, so DuckDB's default block size of 256 kB would make it a fifth larger.
ATTACH_OPTIONS = f"(storage_version '{STORAGE_VERSION}', block_size 65536)"
# Disable the automatic loading of extensions. The extensions core_functions, icu, json and parquet
# are built in; a query that needs another one fails with an error that names it.
SETTINGS: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# Settings that are not locked, because `open_cursor` changes them for each cursor.
UNLOCKED_SETTINGS = ["enable_progress_bar"]
# Matches the process in DuckDB's error message if another process holds the write lock.
LOCK_HOLDER = re.compile(r"Conflicting lock is held in (?P<process>.+ \(PID \d+\))")
FILE_CATALOG = "file"  # catalog name under which `open_read_only` attaches a file
LOG_SUFFIXES = (".wal", ".wal.checkpoint", ".wal.recovery")  # suffixes of DuckDB's write-ahead logs

# Default of WAREHOUSE_PROCESSOR_LIMIT, in seconds of CPU time. Comparing two warehouses built from
# the sample takes 24 seconds, and building the website of a release takes 12 seconds.
PROCESSOR_LIMIT = 120
WATCH_INTERVAL = 0.1  # interval in seconds between two checks of the CPU time
LARGEST_TABLE = 200_000_000  # maximum cells; the largest table from public data has 20 million
LONGEST_TEXT = 16 * 2**20  # maximum characters; the longest string in the public data has 100,000


LIMIT_ERRORS = (duckdb.InterruptException, duckdb.PermissionException)
"""Errors of statements that exceed the CPU time limit or access a forbidden file."""


class RefusedError(duckdb.Error):
    """Raised for a file that is not a regular DuckDB database or contains more than plain data."""


def connect(
    database: str = ":memory:",
    *,
    read_only: bool = False,
    config: dict[str, Any] | None = None,
    reads_files: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database like `duckdb.connect`, by default without access to other files.

    Parameters
    ----------
    database : str
        Path of the file; the default is in memory. Use `open_read_only` for files that a user
        names.
    read_only : bool
        Whether to open the file read-only.
    config : dict, optional
        DuckDB settings in addition to SETTINGS.
    reads_files : bool
        Whether statements may access other files, for example to attach a database or to read a
        register through a view. DuckDB also requires this for data frames named in a statement.

    Returns
    -------
    DuckDBPyConnection
        Connection that the caller must close.
    """
    connection = duckdb.connect(database, read_only=read_only, config=config or {})
    # Apply the settings after opening, because DuckDB rejects a second connection from the same
    # process with a different configuration.
    for name, value in SETTINGS.items():
        connection.execute(f"set {name} = {value}")
    # Disable the progress bar, which would corrupt logs in JSON lines format.
    connection.execute("set enable_progress_bar = false")
    if not reads_files:
        _confine(connection)
    return connection


def _confine(connection: duckdb.DuckDBPyConnection) -> None:
    """Irreversibly restrict a connection to the databases that are already open or attached."""
    connection.execute("set enable_external_access = false")


def open_in_memory(spill: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory connection to which database files can be attached.

    It respects WAREHOUSE_THREADS and WAREHOUSE_MEMORY_LIMIT.

    Parameters
    ----------
    spill : Path
        Folder for temporary files beyond the memory limit; DuckDB creates it on demand.
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
    new_file: Path | None = None,
    allowed_folders: Sequence[Path] = (),
    reads_files: bool = False,
) -> None:
    """Attach database files read-only, block access to all other files, and check the content.

    No content is read before access to other files is blocked, and settings are locked. While an
    untrusted file is attached, this process may use WAREHOUSE_PROCESSOR_LIMIT seconds of CPU time;
    after that, every statement of the connection is interrupted.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection from `open_in_memory`.
    databases : mapping of str to Path
        Files to attach, by catalog name.
    new_file : Path, optional
        New file to attach as `new`.
    allowed_folders : sequence of Path
        Folders that statements may read and write. If all databases are trusted, their landing
        stores are added, because views of a warehouse read files of its store.
    reads_files : bool
        Whether statements may access any file, as in a refresh, which has just built the warehouse.

    Raises
    ------
    RefusedError
        If a path is not a regular file, or the file contains macros or computed columns, or, in a
        release, views.
    duckdb.Error
        If DuckDB cannot open a file as a database.
    """
    for path in databases.values():
        require_file(path)
        if not (reads_files or trusted_files.is_configured(path)):
            _require_no_log(path)
    is_trusted = {
        path: reads_files or trusted_files.is_trusted(path) for path in databases.values()
    }
    for name, path in databases.items():
        place = quote_literal(path.absolute())
        connection.execute(f"attach {place} as {quote_identifier(name)} (type duckdb, read_only)")
    if new_file is not None:
        connection.execute(f"attach {quote_literal(new_file)} as new {ATTACH_OPTIONS}")
    if not reads_files:
        stores = (
            map(trusted_files.find_landing_store, is_trusted) if all(is_trusted.values()) else ()
        )
        folders = ", ".join(map(quote_literal, filter(None, [*allowed_folders, *stores])))
        connection.execute(f"set allowed_directories = [{folders}]")
        _confine(connection)
    if not all(is_trusted.values()):
        _limit_processor_time(connection, read_processor_limit())
    connection.execute(f"set allowed_configs = {UNLOCKED_SETTINGS}")
    connection.execute("set lock_configuration = true")
    for name, path in () if reads_files else databases.items():
        _require_data(connection, name, path, is_trusted=is_trusted[path])


def find_lock_holder(path: Path, config: Mapping[str, Any]) -> str | None:
    """Return the process that holds the write lock on a DuckDB file, or None if it is unlocked.

    Parameters
    ----------
    path : Path
        Path of the file; a file that does not exist is free.
    config : mapping of str to object
        Settings for opening the file later; they must match.
    """
    if not path.exists():
        return None
    try:
        duckdb.connect(str(path), config=dict(config)).close()
    except duckdb.IOException as error:
        holder = LOCK_HOLDER.search(str(error))
        if holder is None:
            raise
        return holder["process"]
    return None


def read_processor_limit() -> float:
    """Return the CPU time limit in seconds, from WAREHOUSE_PROCESSOR_LIMIT or the default."""
    text = os.environ.get("WAREHOUSE_PROCESSOR_LIMIT") or str(PROCESSOR_LIMIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RefusedError(
            f"The setting WAREHOUSE_PROCESSOR_LIMIT is {text!r}. Give a number of seconds above 0."
        )
    return seconds


def _limit_processor_time(connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
    """Interrupt a connection's statements once this process has used `seconds` of CPU time.

    DuckDB's own limit counts elapsed time, which would interrupt short statements on a busy
    machine.
    """
    reference = weakref.ref(connection)
    end = time.process_time() + seconds

    def watch() -> None:
        while (still_open := reference()) is not None:
            try:
                if time.process_time() < end:
                    still_open.query_progress()  # raises ConnectionException once closed
                else:
                    still_open.interrupt()
            except duckdb.ConnectionException:
                return
            del still_open  # a strong reference would prevent garbage collection
            time.sleep(WATCH_INTERVAL)

    threading.Thread(target=watch, daemon=True).start()


def require_file(path: Path) -> None:
    """Raise RefusedError if a path or its write-ahead log exists but is not a regular file.

    Opening a named pipe would block until a writer appears.

    Raises
    ------
    RefusedError
        If a path is not a regular file; the message names it.
    """
    logs = [path.with_name(path.name + ending) for ending in LOG_SUFFIXES]
    for file in (path, *logs):
        if os.path.lexists(file) and not file.is_file():
            raise RefusedError(
                f"{file} is not a regular file. Name the file of a release or a warehouse."
            )


def _require_no_log(path: Path) -> None:
    """Raise RefusedError if opening a database file would replay a write-ahead log.

    The logged statements would run before access is restricted.

    Raises
    ------
    RefusedError
        If there is a log with content; the message names it.
    """
    for ending in LOG_SUFFIXES:
        log = path.with_name(path.name + ending)
        if log.is_file() and log.stat().st_size:
            raise RefusedError(
                f"{log} contains changes that are not in {path.name} yet. Run `checkpoint` on"
                f" {path.name} in DuckDB to merge these changes, and run the command again."
            )


def _require_data(
    connection: duckdb.DuckDBPyConnection, database: str, path: Path, *, is_trusted: bool
) -> None:
    """Raise RefusedError if an attached database has unsafe objects or oversized tables.

    The message names the first such object.

    Views are rejected in releases only: a warehouse contains views from dbt, which can no longer
    access other files.
    """
    objects = connection.execute(
        SQL["refused"],
        {"database": database, "largest": LARGEST_TABLE, "is_trusted": is_trusted},
    ).fetchall()
    for kind, schema, name in objects:
        raise RefusedError(
            f"{path}: the object {schema}.{name} is {kind}, which is not accepted in an untrusted"
            " file. Ask the author of the file for a file that contains only plain tables."
        )


def require_views(
    connection: duckdb.DuckDBPyConnection, database: str, path: Path, relations: Sequence[str]
) -> None:
    """Raise RefusedError if a view reads inaccessible files or returns too many rows.

    Rows are counted in untrusted files only, where a view could return any number of them.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the file attached.
    database : str
        Catalog name of the file.
    path : Path
        Path of the file.
    relations : sequence of str
        Relations to check, as schema.name; tables are skipped.

    Raises
    ------
    RefusedError
        If a view cannot be read or is too large; the message names the file and the view.
    """
    views = connection.execute(
        "select schema_name, view_name from duckdb_views() where database_name = ? and"
        " list_contains(?, schema_name || '.' || view_name) order by all",
        [database, [*relations]],
    ).fetchall()
    for names in views:
        view, relation = ".".join(names), _qualify(database, *names)
        try:
            columns = connection.execute(f"describe {relation}").fetchall()
        except (duckdb.IOException, duckdb.PermissionException) as error:
            reason = str(error).splitlines()[0]
            raise RefusedError(
                f"{path}: the view {view} reads files that cannot be accessed ({reason}). Move the"
                " landing store back to the folder that it was in when the warehouse was built. If"
                " the store is in that folder and you trust its author, set WAREHOUSE_PATH to the"
                " warehouse and LANDING_DIR to the store, or build the warehouse again."
            ) from error
        row_limit = LARGEST_TABLE // len(columns)
        exceeding_rows = f"select 1 from {relation} limit 1 offset {row_limit}"
        if not trusted_files.is_trusted(path) and connection.execute(exceeding_rows).fetchall():
            raise RefusedError(
                f"{path}: the view {view} has more than {LARGEST_TABLE:,} cells, which is the limit"
                " for an untrusted file. Ask the author of the file for a smaller file."
            )


def require_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise RefusedError if strings or lists in an untrusted database could exhaust memory.

    Compression makes repetitive texts small on disk, so the check uses the lengths in the file's
    storage statistics.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection from `open_read_only`.
    path : Path
        Path of the file.

    Raises
    ------
    RefusedError
        If a column exceeds LONGEST_TEXT or LARGEST_TABLE; the message names it.
    """
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = ?",
        [FILE_CATALOG],
    ).fetchall()
    if trusted_files.is_trusted(path) or not tables:
        return
    segments = " union all ".join(
        f"select {quote_literal('.'.join(names))} as name, column_name, count, stats"
        f" from pragma_storage_info({quote_literal(_qualify(FILE_CATALOG, *names))})"
        for names in tables
    )
    columns = connection.execute(
        "select name, column_name, max(cast(stats['max_string_length'] as bigint)) as length,"
        f" sum(count) as number from ({segments}) group by all"
        " having length > $longest or number > $largest order by all limit 1",
        {"longest": LONGEST_TEXT, "largest": LARGEST_TABLE},
    ).fetchall()
    for name, column, length, number in columns:
        if number > LARGEST_TABLE:
            content = f"{number:,} values, above the limit of {LARGEST_TABLE:,}"
        else:
            content = f"a text of {length:,} characters, above the limit of {LONGEST_TEXT:,}"
        raise RefusedError(
            f"{path}: column {column} of table {name} contains {content}. Ask the author of the"
            " file for a smaller file."
        )


def _qualify(*names: str) -> str:
    """Return the quoted, fully qualified name of a relation: database, schema and name."""
    return ".".join(map(quote_identifier, names))


def open_read_only(
    path: Path, *, allowed_folders: Sequence[Path] = (), reads_files: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open a database file read-only; see `attach` for the parameters and errors."""
    connection = open_in_memory(
        Path(tempfile.gettempdir()) / f"ai_manufacturing_{uuid.uuid4().hex}"
    )
    try:
        attach(
            connection,
            {FILE_CATALOG: path},
            allowed_folders=allowed_folders,
            reads_files=reads_files,
        )
        connection.execute(f"use {FILE_CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def open_attached(
    spill: Path,
    databases: Mapping[str, Path],
    *,
    new_file: Path | None = None,
    allowed_folders: Sequence[Path] = (),
    reads_files: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach database files read-only to an in-memory connection, as a context manager.

    Parameters
    ----------
    spill : Path
        As in `open_in_memory`.
    databases, new_file, allowed_folders, reads_files
        As in attach, which also documents the errors.
    """
    with open_in_memory(spill) as connection:
        attach(
            connection,
            databases,
            new_file=new_file,
            allowed_folders=allowed_folders,
            reads_files=reads_files,
        )
        yield connection


def open_cursor(connection: duckdb.DuckDBPyConnection, database: str) -> duckdb.DuckDBPyConnection:
    """Return a cursor whose default database is one of the attached databases.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the database attached; closing it closes the cursor.
    database : str
        Catalog name of the database.
    """
    cursor = connection.cursor()
    cursor.execute(f"use {quote_identifier(database)}")
    cursor.execute("set enable_progress_bar = false")
    return cursor


def fetch_rows(
    connection: duckdb.DuckDBPyConnection, query: str, **values: Any
) -> list[dict[str, Any]]:
    """Run a query and return its rows as dictionaries keyed by column name.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An open connection.
    query : str
        SQL query.
    **values
        Values of its parameters, by name.
    """
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
