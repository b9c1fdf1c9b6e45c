"""Run dbt Python models in worker processes, because dbt's threads share one interpreter.

Model files and their `dbt.ref` calls need no changes: dbt's process reads the relations that a file
references, and a worker runs the file. All workers fork from one server process, which imports the
models' packages once.
"""

import ast
import functools
import multiprocessing
import os
import queue
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from dbt_common.invocation import get_invocation_id

from ai_manufacturing.system import duckdb_client, settings

Result = TypeVar("Result")
Model = Callable[[Any, Any], Any]
# Modules that the fork server imports before it starts any worker.
PRELOADED_MODULES = ["great_expectations", "pandas", "scipy.stats", __name__]
ENVIRONMENT = {
    "GX_ANALYTICS_ENABLED": "false",
    # Limit linear algebra libraries to one thread per worker.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_is_worker = False


class WorkerDiedError(Exception):
    """Raised if a worker process ends before it has computed its model."""


class Pool:
    """Pool of worker processes for one dbt run; each worker computes one model at a time.

    Parameters
    ----------
    size : int
        Maximum number of processes, which are started on demand.
    """

    def __init__(self, size: int) -> None:
        # Give each worker its own executor, because a process that dies breaks its whole executor.
        self._idle: queue.LifoQueue[ProcessPoolExecutor] = queue.LifoQueue()
        for _ in range(size):
            self._idle.put(_make_executor("forkserver"))

    def run_model(self, path: Path, dbt: Any) -> Any:
        """Run a model file in an idle worker process, and replace the worker if it dies.

        Raises
        ------
        WorkerDiedError
            If the worker process ended unexpectedly.
        """
        source = ast.parse(path.read_text(encoding="utf-8"))
        names, keys = (
            _find_arguments(source, "dbt.ref"),
            _find_arguments(source, "dbt.config.meta_get"),
        )
        executor = self._idle.get()
        try:
            tables = {name: dbt.ref(name).to_arrow_table() for name in names}
            config = {key: dbt.config.meta_get(key) for key in keys}
            return executor.submit(_compute_model, path, tables, config).result()
        except BrokenProcessPool as error:
            executor = _make_executor("forkserver")
            raise WorkerDiedError(
                f"The process that computed the model {path} ended unexpectedly. If memory is"
                " short, set WAREHOUSE_THREADS=1, so that dbt computes every model in its own"
                " process."
            ) from error
        finally:
            self._idle.put(executor)

    def stop(self) -> None:
        """Shut down all worker processes, which must be idle."""
        while not self._idle.empty():
            self._idle.get().shutdown()


def get_pool() -> Pool | None:
    """Return the worker pool of this dbt run, or None if only one core may be used."""
    cores = min(os.cpu_count() or 1, int(os.environ.get("WAREHOUSE_THREADS") or 2))
    return _start_pool(cores, get_invocation_id()) if cores > 1 else None


@functools.lru_cache(maxsize=1)
def _start_pool(size: int, run: str) -> Pool:
    """Create the worker pool of a dbt run, or return the existing pool.

    Pools are not shared between runs, because relations may have changed.
    """
    os.environ.update(ENVIRONMENT)  # must be set before the fork server imports libraries

    # Without __file__, new processes do not import the main program, which is dbt's command line.
    vars(sys.modules["__main__"]).pop("__file__", None)
    forkserver.set_forkserver_preload(PRELOADED_MODULES)
    forkserver.ensure_running()  # import modules in the background while dbt continues
    return Pool(size)


def run_in_worker(model: Model) -> Model:
    """Decorate a dbt Python model so that it runs in a worker process.

    The file in python_models must have the model's name.
    """

    @functools.wraps(model)
    def run(dbt: Any, session: Any) -> Any:
        pool = get_pool()
        if pool is None:
            return model(dbt, session)
        name = f"{dbt.this.identifier}.py"
        folders = settings.project_folders()
        (path,) = (path for root in folders for path in (root / "python_models").rglob(name))
        return pool.run_model(path, dbt)

    return run


def call_twice(
    function: Callable[..., Result],
    one: tuple[Any, ...],
    other: tuple[Any, ...],
) -> tuple[Result, Result]:
    """Call a function with two argument tuples; in a worker, the second call runs in a fork."""
    if not _is_worker:
        return function(*one), function(*other)
    with _make_executor("fork") as fork:
        second = fork.submit(function, *other)
        return function(*one), second.result()


def _make_executor(start_method: str) -> ProcessPoolExecutor:
    """Return a process pool executor with a single worker process."""
    context = multiprocessing.get_context(start_method)
    return ProcessPoolExecutor(1, context, initializer=_start_worker)


def _find_arguments(source: ast.Module, function: str) -> set[str]:
    """Return the literals that a model's source code passes to a dbt function.

    Only the first argument of each call is considered.
    """
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    return {ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == function}


def _start_worker() -> None:
    """Initialise a worker process: ignore Ctrl-C, and exit when the parent process exits."""
    global _is_worker
    _is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Config:
    """Stand-in for `dbt.config` in a worker, with the values that the model reads."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.meta_get = values.__getitem__

    def __call__(self, **options: Any) -> None:
        """Ignore configuration options, which dbt has already parsed from the model file."""


def _compute_model(path: Path, tables: dict[str, pa.Table], config: dict[str, Any]) -> Any:
    """Run a model file in a worker process, with the tables that the model references."""
    with duckdb_client.connect(config={"threads": 1}) as session:
        dbt = SimpleNamespace(
            ref=lambda name: session.from_arrow(tables[name]),
            config=_Config(config),
        )
        result = runpy.run_path(str(path))["model"].__wrapped__(dbt, session)
        return result.to_arrow_table() if isinstance(result, duckdb.DuckDBPyRelation) else result
