"""Processes that compute Python models beside dbt, whose threads share one interpreter.

A model keeps its file and its `dbt.ref`: a worker runs the file, and asks dbt's process for each relation that it
names, which comes as Arrow.
"""

import functools
import os
import pickle
import queue
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import duckdb

from ai_manufacturing import settings

Model = Callable[[Any, Any], Any]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of linear algebra


class WorkerDiedError(Exception):
    """A worker ended before its model was made."""


class _RemoteError(Exception):
    """The traceback of an error that a worker raised."""


class _Worker:
    """A process, and the socket over which it is asked."""

    def __init__(self) -> None:
        self.socket, far = socket.socketpair()
        with far:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(far.fileno())],
                cwd=settings.project_root(),
                env={**os.environ, **ONE_THREAD},
                pass_fds=[far.fileno()],
            )
        self.stream = self.socket.makefile("rwb")

    def make(self, path: str, dbt: Any) -> Any:
        """Let the worker run a model's file, and answer what it asks."""
        answers = {"ref": lambda *names: dbt.ref(*names).to_arrow_table(), "meta_get": dbt.config.meta_get}
        try:
            _send(self.stream, path)
            while True:
                kind, arguments = pickle.load(self.stream)
                if kind not in answers:
                    break
                _send(self.stream, answers[kind](*arguments))
        except (EOFError, OSError) as error:
            raise WorkerDiedError(
                f"The process that computed {path} ended (exit code {self.process.wait()}). Memory may be short: set "
                "WAREHOUSE_THREADS=1, and every model is computed in dbt's own process."
            ) from error
        if kind == "error":
            raised, text = arguments
            raise raised from _RemoteError(text)
        return arguments

    def stop(self) -> None:
        """End the process, whatever it computes."""
        self.process.kill()
        self.process.wait()
        self.socket.close()


class Pool:
    """Workers, each of which makes one model at a time.

    Parameters
    ----------
    size : int
        Number of processes; they start at once, and import what models need while dbt does other things.
    """

    def __init__(self, size: int) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(size):
            self._idle.put(_Worker())

    def make(self, path: str, dbt: Any) -> Any:
        """Run a model's file in a worker that is free; a worker that failed otherwise than by an answer is replaced.

        Raises
        ------
        WorkerDiedError
            If the process ended.
        """
        worker = self._idle.get()
        is_whole = False
        try:
            made = worker.make(path, dbt)
            is_whole = True
        except Exception as error:
            is_whole = isinstance(error.__cause__, _RemoteError)
            raise
        finally:
            if not is_whole:
                worker.stop()
                worker = _Worker()
            self._idle.put(worker)
        return made


@functools.cache
def pool() -> Pool | None:
    """Start the workers of this process, at the first call; None where there is one core, or WAREHOUSE_THREADS is 1."""
    cores = min(len(os.sched_getaffinity(0)), int(os.environ.get("WAREHOUSE_THREADS") or 2))
    return Pool(cores) if cores > 1 else None


def in_a_worker(model: Model) -> Model:
    """Have a Python model of dbt computed in a worker; the name of its file is that of the model."""

    @functools.wraps(model)
    def made(dbt: Any, session: Any) -> Any:
        workers = pool()
        if workers is None:
            return model(dbt, session)
        (path,) = (settings.project_root() / "python_models").rglob(f"{dbt.this.identifier}.py")
        return workers.make(str(path), dbt)

    return made


def _send(stream: Any, value: Any) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def serve(descriptor: int) -> None:
    """Run the files that arrive on a socket, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # dbt ends its workers
    from ai_manufacturing.gate import suites
    from ai_manufacturing.robustness import checks, second_route  # noqa: F401  imported before the first model is asked

    suites.great_expectations()
    stream = socket.socket(fileno=descriptor).makefile("rwb")

    def answer(kind: str, *arguments: Any) -> Any:
        _send(stream, (kind, arguments))
        return pickle.load(stream)

    with duckdb.connect(config={"threads": 1}) as session:
        config = _Config(functools.partial(answer, "meta_get"))
        dbt = SimpleNamespace(ref=lambda *names: session.from_arrow(answer("ref", *names)), config=config)
        while True:
            try:
                path = pickle.load(stream)
            except EOFError:
                return
            try:
                made = runpy.run_path(path)["model"].__wrapped__(dbt, session)
                is_relation = isinstance(made, duckdb.DuckDBPyRelation)
                _send(stream, ("made", made.to_arrow_table() if is_relation else made))
            except Exception as error:
                _send(stream, ("error", (error, traceback.format_exc())))


class _Config:
    """A model's config, as far as models read it."""

    def __init__(self, meta_get: Callable[[str], Any]) -> None:
        self.meta_get = meta_get

    def __call__(self, **options: Any) -> None:
        """Take what dbt has read when it parsed the file."""


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, whatever it computes."""
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    serve(int(sys.argv[1]))
