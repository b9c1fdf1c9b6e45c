"""Run dbt in processes that are forked from a server with all modules already imported.

Imports take half of the processor time of a small run.
"""

import gc
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ai_manufacturing.system import workers

IMPORTED = [
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "great_expectations",
    "linearmodels.panel",
    "ai_manufacturing.estimation",
    "ai_manufacturing.paper.spatial",
    "ai_manufacturing.landing",
    "ai_manufacturing.refresh.cycle",
    __name__,
]

processes = get_context("forkserver")
processes.set_forkserver_preload(IMPORTED)
# Set these variables before the preloaded modules read them. OpenBLAS must not start threads,
# because a process with threads cannot be forked safely.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run dbt in a working directory, and return the exit code and output."""
    with tempfile.NamedTemporaryFile() as printed:
        process = processes.Process(
            target=_dbt, args=(arguments, folder, environment, printed.name)
        )
        process.start()
        process.join()
        return process.exitcode or 0, printed.read().decode("utf-8")


Ask = Callable[..., tuple[int, str]]
"""Sends a request to a forking process; returns the exit code and the output."""


@contextmanager
def forks(serve: Callable[..., None], *arguments: Any) -> Iterator[Ask]:
    """Start a server process, and yield a function that sends requests to it.

    The process initialises itself with `serve` and forks for each request.
    """
    ours, theirs = processes.Pipe()
    with tempfile.NamedTemporaryFile() as printed, ours:
        process = processes.Process(target=serve, args=(theirs, printed.name, *arguments))
        process.start()
        theirs.close()

        def ask(*request: Any) -> tuple[int, str]:
            before = Path(printed.name).stat().st_size
            ours.send(request)
            return ours.recv(), Path(printed.name).read_bytes()[before:].decode("utf-8")

        yield ask
        ours.close()
        process.join()


def fork_for_each(asked: Connection, run: Callable[..., int]) -> None:
    """Run each incoming request in a forked process, and send back the exit code."""
    while True:
        try:
            request = asked.recv()
        except EOFError:
            return
        child = os.fork()
        if not child:
            exit_code = 1
            try:
                exit_code = run(*request)
            except SystemExit as end:
                exit_code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(exit_code)
        asked.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@dataclass
class Shell:
    """A process that has parsed the dbt project once and forks for each dbt run.

    Its runs use no worker processes.
    """

    ask: Ask

    def dbt(
        self, *arguments: str, environment: dict[str, str] | None = None, dies_at: str = ""
    ) -> tuple[int, str]:
        """Run dbt, and kill the process if it opens a file whose path ends with `dies_at`.

        If `dies_at` is empty, the process is not killed. The environment may add variables, or
        override variables that dbt does not read while parsing.
        """
        return self.ask(arguments, environment or {}, dies_at)


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """Start a process that parses the dbt project once and then runs dbt on request."""
    with forks(_serve, folder, environment) as ask:
        yield Shell(ask)


def refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError if the process tries to listen on a network port.

    This is an audit hook, so the process cannot remove it.
    """
    if event == "socket.bind" and isinstance(arguments[1], tuple):
        raise PermissionError(f"listens on {arguments[1]}")


def _serve(asked: Connection, printed: str, folder: Path, environment: dict[str, str]) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    settle_in(folder, environment, printed)
    # Do not start worker processes, because each of them would repeat the imports.
    os.environ.setdefault("WAREHOUSE_THREADS", "1")
    manifest = dbtRunner().invoke(["--quiet", "parse"]).result
    # Exclude the parsed manifest from garbage collection, so that forks share its memory.
    gc.freeze()

    def run(arguments: tuple[str, ...], of_the_run: dict[str, str], dies_at: str) -> int:
        def die(event: str, values: tuple[Any, ...]) -> None:
            if event == "open" and isinstance(values[0], str) and values[0].endswith(dies_at):
                os.kill(os.getpid(), signal.SIGKILL)

        os.environ.update(of_the_run)
        if dies_at:
            sys.addaudithook(die)
        outcome = dbtRunner(manifest=manifest).invoke(["--no-use-colors", *arguments])
        DuckDBConnectionManager.close_all_connections()
        if outcome.exception:
            print(outcome.exception)
        # Return the exit codes of dbt's command line: 1 if a node failed, 2 if the run was aborted.
        return 2 if outcome.exception else int(not outcome.success)

    fork_for_each(asked, run)


def settle_in(folder: Path, environment: dict[str, str], printed: str) -> None:
    """Set the working directory, environment and output file of a process, and block its ports."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with Path(printed).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.addaudithook(refuse_ports)


def _dbt(arguments: list[str], folder: Path, environment: dict[str, str], printed: str) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import cli

    settle_in(folder, environment, printed)
    sys.argv = ["dbt", *arguments]
    try:
        cli(arguments)
    finally:
        if workers._start_pool.cache_info().currsize and (pool := workers.get_pool()) is not None:
            # Stop the pool explicitly: on exit, multiprocessing waits for child processes before an
            # atexit handler could stop the pool.
            pool.stop()
        # dbt closes its connections in an atexit handler, which multiprocessing processes do not
        # run.
        DuckDBConnectionManager.close_all_connections()


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str = "dbt") -> None:
    """Write a shell script that the package runs instead of dbt or another program."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
