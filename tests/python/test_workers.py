"""Test the worker processes that compute Python models: results, errors and killed workers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.refresh.build import PYTHON_MODEL_ERROR
from ai_manufacturing.system import workers
from ai_manufacturing.system.sql_text import quote_literal
from tests.python.conftest import Build
from tests.python.waiting import wait_for

HEAD = """from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
"""


@pytest.fixture(scope="module")
def pool() -> workers.Pool:
    return workers.Pool(2)


def made(pool: workers.Pool, folder: Path, body: str, **tables: pd.DataFrame) -> Any:
    """Write a Python model to a file and return its result from a worker process."""
    path = folder / "a_model.py"
    path.write_text(HEAD + indent(body, "    "), "utf-8")
    with duckdb.connect() as connection:
        dbt = SimpleNamespace(
            ref=lambda name: connection.from_df(tables[name]),
            config=SimpleNamespace(meta_get={"year": 2015}.get),
        )
        return pool.run_model(path, dbt)


def test_an_error_comes_with_its_type_its_text_and_its_place(
    pool: workers.Pool,
    tmp_path: Path,
) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        made(pool, tmp_path, "return 1 / 0")
    printed = "".join(traceback.format_exception(raised.value))
    assert "a_model.py" in printed
    reason = PYTHON_MODEL_ERROR.sub("", f"Python model failed:\n{printed}")
    assert reason == "ZeroDivisionError: division by zero\n"


def test_a_worker_that_dies_fails_its_model_and_no_other(
    pool: workers.Pool,
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    waiting = (
        "import time\n"
        "from pathlib import Path\n"
        f"folder = Path({str(other)!r})\n"
        'folder.joinpath("started").touch()\n'
        'while not folder.joinpath("ended").exists():\n'
        "    time.sleep(0.01)\n"
        "return 5"
    )
    with ThreadPoolExecutor() as threads:
        second = threads.submit(made, pool, other, waiting)
        wait_for((other / "started").exists)
        died = threads.submit(made, pool, tmp_path, "import os\nos._exit(9)").exception()
        # The other worker is still busy, so the next model must run in the replacement.
        next_model = threads.submit(made, pool, tmp_path, "return 7")
        wait([next_model])
        (other / "ended").touch()
    assert isinstance(died, workers.WorkerDiedError)
    assert re.search(r"a_model\.py ended.*WAREHOUSE_THREADS=1", str(died))
    assert (next_model.result(), second.result()) == (7, 5)


def living(session: int) -> list[str]:
    """Return the states of the running processes in a process session."""
    listed = ["ps", "-o", "stat=", "--sid", str(session)]
    states = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    return [state for state in states.split() if not state.startswith("Z")]


@pytest.mark.soak
@pytest.mark.parametrize("is_killed", [True, False])
def test_a_run_that_is_stopped_leaves_no_worker(
    is_killed: bool,
    sample_build: Build,
    tmp_path: Path,
) -> None:
    build = replace(sample_build, warehouse=tmp_path / "sample.duckdb", scratch=tmp_path)
    dbt = str(Path(sys.executable).parent / "dbt")
    process = subprocess.Popen(
        [dbt, "build"],
        cwd=build.project,
        env=build.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: len(living(process.pid)) > 3, lambda: process.poll() is not None)
    if is_killed:
        process.kill()
    else:
        # Ctrl-C in a terminal sends SIGINT to all processes of the group, including the workers.
        os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate()
    wait_for(lambda: not living(process.pid))
    # A traceback printed by a worker would start with this process name.
    assert "ForkServerProcess" not in printed


def differing(one: Path, other: Path) -> list[str]:
    """Return the names of the tables whose rows differ between two warehouses."""
    with duckdb.connect() as connection:
        for name, path in (("one", one), ("other", other)):
            connection.execute(f"attach {quote_literal(path)} as {name} (read_only)")
        tables = connection.execute(
            "select concat(schema_name, '.', table_name) from duckdb_tables() where database_name ="
            " 'one' and table_name not in ('built_relations', 'register_paths')"
            # These tables contain build times and paths, which may differ.
        ).fetchall()
        return [
            table
            for (table,) in tables
            if connection.execute(
                f"(from one.{table} except all from other.{table}) union all"
                f" (from other.{table} except all from one.{table})"
            ).fetchone()
        ]


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_build_gives_the_same_bytes_on_any_number_of_threads(
    threads: str,
    sample_build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results must not depend on the number of threads. With one thread, no worker processes are
    used.
    """
    monkeypatch.setenv("WAREHOUSE_THREADS", threads)
    landing = Path(shutil.copytree(sample_build.scratch / "landing", tmp_path / "landing"))
    build = replace(
        sample_build,
        warehouse=tmp_path / "sample.duckdb",
        scratch=tmp_path,
        landing=landing,
    )
    assert build.dbt("build").exit_code == 0, build.output
    assert differing(sample_build.warehouse, build.warehouse) == []
