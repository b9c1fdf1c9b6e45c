"""Processes that compute Python models beside dbt, whose threads share one interpreter.

A model keeps its file and its `dbt.ref`: a worker runs the file, and asks dbt's process for each relation that it
names, which comes as Arrow.
"""

import functools
import importlib
import os
import pickle
import queue
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import duckdb

from ai_manufacturing import settings
from ai_manufacturing.system import duckdb_client

Answer = TypeVar("Answer")
Model = Callable[[Any, Any], Any]
PRELOADED = ("great_expectations", "pandas", "scipy.stats")  # what models import, before the first is asked
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of linear algebra
_ask: Callable[..., Any] | None = None  # in a worker: asks dbt's process


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
                env={**os.environ, **ONE_THREAD, "GX_ANALYTICS_ENABLED": "false"},
                pass_fds=[far.fileno()],
            )
        self.stream = self.socket.makefile("rwb")

    def call(self, function: Callable[..., Answer], arguments: tuple[Any, ...], answers: dict[str, Any]) -> Answer:
        """Let the worker call a function, and answer what that asks."""
        try:
            _send(self.stream, (function, arguments))
            while True:
                kind, value = pickle.load(self.stream)
                if kind not in answers:
                    break
                _send(self.stream, answers[kind](*value))
        except (EOFError, OSError) as error:
            raise WorkerDiedError(
                f"The process that computed {arguments[0]} ended (exit code {self.process.wait()}). If memory is "
                "short, set WAREHOUSE_THREADS=1: every model is then computed in dbt's own process."
            ) from error
        if kind == "error":
            raised, text = value
            raise raised from _RemoteError(text)
        made: Answer = value
        return made

    def stop(self) -> None:
        """End the process, whatever it computes."""
        self.process.kill()
        self.process.wait()
        self.socket.close()


class Pool:
    """Workers, each of which is asked for one thing at a time.

    Parameters
    ----------
    size : int
        Number of processes at most; one starts when it is needed.
    """

    def __init__(self, size: int) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._places = threading.BoundedSemaphore(size)  # of processes that have not started

    def start(self) -> None:
        """Start all, which import what models need while dbt does other things."""
        while self._places.acquire(blocking=False):
            self._idle.put(_Worker())

    def _free(self) -> _Worker | None:
        """Return a worker that is free, or a new one; None if all are at work."""
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        if self._places.acquire(blocking=False):
            return _Worker()
        return None

    def make(self, path: str, dbt: Any) -> Any:
        """Run a model's file in a worker that is free; a worker that died is replaced.

        Raises
        ------
        WorkerDiedError
            If the process ended.
        """
        answers = {"ref": lambda *names: dbt.ref(*names).to_arrow_table(), "meta_get": dbt.config.meta_get}
        with ThreadPoolExecutor(max_workers=1) as helped:
            half: list[Future[Any]] = []

            def help_with(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
                worker = self._free()
                if worker is not None:
                    half.append(helped.submit(self._called, worker, function, arguments, {}))
                return worker is not None

            answers |= {"help": help_with, "helped": lambda: half.pop().result()}
            return self._called(self._free() or self._idle.get(), _made, (path,), answers)

    def _called(self, worker: _Worker, function: Any, arguments: tuple[Any, ...], answers: dict[str, Any]) -> Any:
        is_whole = False
        try:
            made = worker.call(function, arguments, answers)
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
    """Return the workers of this process; None where there is one core, or WAREHOUSE_THREADS is 1."""
    cores = min(os.cpu_count() or 1, int(os.environ.get("WAREHOUSE_THREADS") or 2))
    return Pool(cores) if cores > 1 else None


def in_a_worker(model: Model) -> Model:
    """Have a Python model of dbt computed in a worker; its file in python_models has its name."""

    @functools.wraps(model)
    def made(dbt: Any, session: Any) -> Any:
        workers = pool()
        if workers is None:
            return model(dbt, session)
        (path,) = (settings.project_root() / "python_models").rglob(f"{dbt.this.identifier}.py")
        return workers.make(str(path), dbt)

    return made


def both(function: Callable[..., Answer], one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Answer, Answer]:
    """Call a function of the package twice, the second time in another worker if one is free."""
    is_helped = _ask is not None and _ask("help", function, other)
    first = function(*one)
    return first, _ask("helped") if is_helped and _ask else function(*other)


def _send(stream: Any, value: Any) -> None:
    stream.write(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))  # whole, or what cannot be sent leaves none
    stream.flush()


class _Config:
    """A model's config, as far as models read it."""

    def __init__(self, meta_get: Callable[[str], Any]) -> None:
        self.meta_get = meta_get

    def __call__(self, **options: Any) -> None:
        """Take what dbt has read when it parsed the file."""


def _made(path: str) -> Any:
    """Run a model's file, in a worker."""
    ask = cast(Callable[..., Any], _ask)
    with duckdb_client.connect(config={"threads": 1}) as session:
        config = _Config(functools.partial(ask, "meta_get"))
        dbt = SimpleNamespace(ref=lambda *names: session.from_arrow(ask("ref", *names)), config=config)
        made = runpy.run_path(path)["model"].__wrapped__(dbt, session)
        return made.to_arrow_table() if isinstance(made, duckdb.DuckDBPyRelation) else made


def serve(descriptor: int) -> None:
    """Call the functions that arrive on a socket, until its other end is closed."""
    global _ask
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its parent
    stream = socket.socket(fileno=descriptor).makefile("rwb")

    def ask(kind: str, *arguments: Any) -> Any:
        _send(stream, (kind, arguments))
        return pickle.load(stream)

    _ask = ask
    for name in PRELOADED:
        importlib.import_module(name)
    while True:
        try:
            function, arguments = pickle.load(stream)
        except EOFError:
            return
        try:
            _send(stream, ("made", function(*arguments)))
        except Exception as error:
            _send(stream, ("error", (error, traceback.format_exc())))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, whatever it computes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    # By its name, as what is called and what models import is there.
    importlib.import_module("ai_manufacturing.system.workers").serve(int(sys.argv[1]))
