"""How DuckDB is opened: with no extension from the network, and in files that clients since 1.2 read."""

from typing import Any

import duckdb

STORAGE_VERSION = "v1.2.0"
# core_functions, icu, json and parquet are built in. A query that needs another extension fails and names it.
SETTINGS: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def connect(
    database: str = ":memory:", *, read_only: bool = False, config: dict[str, Any] | None = None
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

    Returns
    -------
    DuckDBPyConnection
        To be closed by the caller.
    """
    connection = duckdb.connect(database, read_only=read_only, config=config or {})
    # after it is open: a process that has the file open with other settings could not open it again
    for name, value in SETTINGS.items():
        connection.execute(f"set {name} = {value}")
    return connection
