"""dbt in a process of its own that has its imports behind it: they are half of the processor time
of a small run.
"""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
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


@dataclass
class Shell:
    """A process that has parsed the project, and is forked for each run, without workers of its
    own.
    """

    asked: Connection
    printed: Path

    def dbt(
        self, *arguments: str, environment: dict[str, str] | None = None, dies_at: str = ""
    ) -> tuple[int, str]:
        """Run dbt; with `dies_at`, the run is killed when it opens a file whose path ends so.

        Its environment may add to that of the parse, or change, what dbt does not read when it
        parses.
        """
        before = self.printed.stat().st_size
        self.asked.send((arguments, environment or {}, dies_at))
        return self.asked.recv(), self.printed.read_bytes()[before:].decode("utf-8")


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """Start a process that runs dbt as often as it is asked."""
    ours, theirs = processes.Pipe()
    with tempfile.NamedTemporaryFile() as printed, ours:
        process = processes.Process(target=_serve, args=(theirs, folder, environment, printed.name))
        process.start()
        theirs.close()
        yield Shell(ours, Path(printed.name))
        ours.close()
        process.join()


def refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Let a process fail that listens on the network; an audit hook, which cannot be taken away
    again.
    """
    if event == "socket.bind" and isinstance(arguments[1], tuple):
        raise PermissionError(f"listens on {arguments[1]}")


def _serve(asked: Connection, folder: Path, environment: dict[str, str], printed: str) -> None:
    from dbt.cli.main import dbtRunner

    settle_in(folder, environment, printed)
    os.environ.setdefault(
        "WAREHOUSE_THREADS", "1"
    )  # workers would import anew what is imported here
    manifest = dbtRunner().invoke(["--quiet", "parse"]).result
    gc.freeze()  # so that a fork shares what was parsed
    while True:
        try:
            arguments, environment, dies_at = asked.recv()
        except EOFError:
            return
        child = os.fork()
        if not child:
            os.environ.update(environment)
            os._exit(_invoke(manifest, arguments, dies_at))
        asked.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _invoke(manifest: Any, arguments: tuple[str, ...], dies_at: str) -> int:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    def die(event: str, values: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(values[0], str) and values[0].endswith(dies_at):
            os.kill(os.getpid(), signal.SIGKILL)

    if dies_at:
        sys.addaudithook(die)
    outcome = dbtRunner(manifest=manifest).invoke(["--no-use-colors", *arguments])
    DuckDBConnectionManager.close_all_connections()
    if outcome.exception:
        print(outcome.exception)
    sys.stdout.flush()
    # as the command line: 1 for a failure in the results, 2 for what ended the run
    return 2 if outcome.exception else int(not outcome.success)


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
