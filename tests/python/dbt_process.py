"""Run dbt in processes forked from a server that has already imported its modules.

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
# These must be set before the preloaded modules read them. OpenBLAS must not start threads, because
# a process with threads cannot be forked safely.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run dbt in a folder, and return its exit code and output."""
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
    """Start a process that initialises itself with `serve` and forks for each request."""
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
    """Run each request in a fork, and reply with its exit code."""
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
    """A process that has parsed the project once and forks for each run.

    Its runs use no worker processes.
    """

    ask: Ask

    def dbt(
        self, *arguments: str, environment: dict[str, str] | None = None, dies_at: str = ""
    ) -> tuple[int, str]:
        """Run dbt; with `dies_at`, kill it when it opens a file whose path ends with that text.

        The environment may add variables, or override those that dbt does not read while parsing.
        """
        return self.ask(arguments, environment or {}, dies_at)


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """Start a process that parses the project and runs dbt on request."""
    with forks(_serve, folder, environment) as ask:
        yield Shell(ask)


def refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise if the process listens on a network port.

    This is an audit hook, so the process cannot remove it.
    """
    if event == "socket.bind" and isinstance(arguments[1], tuple):
        raise PermissionError(f"listens on {arguments[1]}")


def _serve(asked: Connection, printed: str, folder: Path, environment: dict[str, str]) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    settle_in(folder, environment, printed)
    # Worker processes would repeat the imports of this process.
    os.environ.setdefault("WAREHOUSE_THREADS", "1")
    manifest = dbtRunner().invoke(["--quiet", "parse"]).result
    # Let forks share the memory of the parsed manifest.
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
        # Use the command line's exit codes: 1 for failures in the results, 2 for an aborted run.
        return 2 if outcome.exception else int(not outcome.success)

    fork_for_each(asked, run)


def settle_in(folder: Path, environment: dict[str, str], printed: str) -> None:
    """Set a forked process's folder, environment and output file, and block its ports."""
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
            # multiprocessing joins children on exit, before atexit could stop the pool.
            pool.stop()
        # dbt closes its connections in atexit, which multiprocessing processes skip.
        DuckDBConnectionManager.close_all_connections()
