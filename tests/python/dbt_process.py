"""dbt in a process of its own that has its imports behind it: they are half of the processor time of a small run."""

import os
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

IMPORTED = [
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "great_expectations",
    "linearmodels.panel",
    "ai_manufacturing.estimates",
    "ai_manufacturing.estimators.spatial",
    "ai_manufacturing.landing",
    __name__,
]

processes = get_context("forkserver")
processes.set_forkserver_preload(IMPORTED)
# Read at import, thus before a run has its own environment; a process with threads cannot be forked.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run dbt in a folder, and return its exit code and what it printed."""
    with tempfile.NamedTemporaryFile() as printed:
        process = processes.Process(target=_dbt, args=(arguments, folder, environment, printed.name))
        process.start()
        process.join()
        return process.exitcode or 0, printed.read().decode("utf-8")


def refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Let a process fail that listens on the network; an audit hook, which cannot be taken away again."""
    if event == "socket.bind" and isinstance(arguments[1], tuple):
        raise PermissionError(f"listens on {arguments[1]}")


def _dbt(arguments: list[str], folder: Path, environment: dict[str, str], printed: str) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import cli

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with Path(printed).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.addaudithook(refuse_ports)
    sys.argv = ["dbt", *arguments]
    try:
        cli(arguments)
    finally:
        DuckDBConnectionManager.close_all_connections()  # dbt leaves it to atexit, which such a process skips
