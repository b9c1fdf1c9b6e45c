"""dbt in a process of its own that has its imports behind it: they are half of the processor time
of a small run.
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
# Read at import, thus before a run has its own environment; a process with threads cannot be
# forked.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run dbt in a folder, and return its exit code and what it printed."""
    with tempfile.NamedTemporaryFile() as printed:
        process = processes.Process(
            target=_dbt, args=(arguments, folder, environment, printed.name)
        )
        process.start()
        process.join()
        return process.exitcode or 0, printed.read().decode("utf-8")


Ask = Callable[..., tuple[int, str]]
"""Sends a request to a process of forks, and returns exit code and what was printed."""


@contextmanager
def forks(serve: Callable[..., None], *arguments: Any) -> Iterator[Ask]:
    """Start a process that `serve` makes ready, and that is forked for each request."""
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
    """Answer requests: a fork runs each, and its exit code is the answer."""
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
    """A process that has parsed the project, and is forked for each run, without workers of its
    own.
    """

    ask: Ask

    def dbt(
        self, *arguments: str, environment: dict[str, str] | None = None, dies_at: str = ""
    ) -> tuple[int, str]:
        """Run dbt; with `dies_at`, the run is killed when it opens a file whose path ends so.

        Its environment may add to that of the parse, or change, what dbt does not read when it
        parses.
        """
        return self.ask(arguments, environment or {}, dies_at)


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """Start a process that runs dbt as often as it is asked."""
    with forks(_serve, folder, environment) as ask:
        yield Shell(ask)


def refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Let a process fail that listens on the network; an audit hook, which cannot be taken away
    again.
    """
    if event == "socket.bind" and isinstance(arguments[1], tuple):
        raise PermissionError(f"listens on {arguments[1]}")


def _serve(asked: Connection, printed: str, folder: Path, environment: dict[str, str]) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    settle_in(folder, environment, printed)
    # workers would import anew what is imported here
    os.environ.setdefault("WAREHOUSE_THREADS", "1")
    manifest = dbtRunner().invoke(["--quiet", "parse"]).result
    gc.freeze()  # so that a fork shares what was parsed

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
        # as the command line: 1 for a failure in the results, 2 for what ended the run
        return 2 if outcome.exception else int(not outcome.success)

    fork_for_each(asked, run)


def settle_in(folder: Path, environment: dict[str, str], printed: str) -> None:
    """Give a forked process its folder, its environment and a file to print to, and no port to
    listen on.
    """
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
        if workers._pool.cache_info().currsize and (pool := workers.pool()) is not None:
            pool.stop()  # such a process waits for its children before they are told to end
        # dbt leaves it to atexit, which such a process skips
        DuckDBConnectionManager.close_all_connections()
