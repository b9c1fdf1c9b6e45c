"""Workers that compute Python models: what they give, and what becomes of a run when one dies."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from ai_manufacturing.refresh.build import RAISED
from ai_manufacturing.system import workers
from ai_manufacturing.system.sql_text import literal
from tests.python.conftest import Build

HEAD = """from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
"""


@pytest.fixture(scope="module")
def pool() -> workers.Pool:
    return workers.Pool(2)


def made(pool: workers.Pool, folder: Path, body: str, **tables: pd.DataFrame) -> Any:
    """Write a model and have it made."""
    path = folder / "a_model.py"
    path.write_text(HEAD + indent(body, "    "), encoding="utf-8")
    with duckdb.connect() as connection:
        dbt = SimpleNamespace(
            ref=lambda name: connection.from_df(tables[name]),
            config=SimpleNamespace(meta_get={"year": 2015}.get),
        )
        return pool.make(path, dbt)


def test_a_model_reads_relations_and_its_config_as_in_dbt(
    pool: workers.Pool,
    tmp_path: Path,
) -> None:
    body = (
        'dbt.config(materialized="table")\n'
        'year = dbt.config.meta_get("year")\n'
        'return dbt.ref("a").filter(f"year = {year}").project("city, count + 1 as count")'
    )
    table = pd.DataFrame(
        {
            "city": ["北京", None, "x"],
            "year": [2015, 2015, 2016],
            "count": [1, None, 3],
        }
    )
    found = made(pool, tmp_path, body, a=table)
    assert isinstance(found, pa.Table)
    assert found.to_pylist() == [{"city": "北京", "count": 2.0}, {"city": None, "count": None}]


def test_an_error_comes_with_its_type_its_text_and_its_place(
    pool: workers.Pool,
    tmp_path: Path,
) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        made(pool, tmp_path, "return 1 / 0")
    printed = "".join(traceback.format_exception(raised.value))
    assert "a_model.py" in printed
    reason = RAISED.sub("", f"Python model failed:\n{printed}")
    assert reason == "ZeroDivisionError: division by zero\n"


def test_a_model_has_the_relations_that_it_names_and_none_of_another(tmp_path: Path) -> None:
    pool, reading = workers.Pool(1), 'return dbt.ref("a")'
    for value in (1, 2):
        table = made(pool, tmp_path, reading, a=pd.DataFrame({"x": [value]}))
        assert table.to_pylist() == [{"x": value}]
    with pytest.raises(KeyError):
        made(pool, tmp_path, 'return dbt.ref("not there")')


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
        while not (other / "started").exists():
            time.sleep(0.01)
        died = threads.submit(made, pool, tmp_path, "import os\nos._exit(9)").exception()
        (other / "ended").touch()
        assert second.result() == 5
    assert isinstance(died, workers.WorkerDiedError)
    assert re.search(r"a_model\.py ended.*WAREHOUSE_THREADS=1", str(died))
    assert [made(pool, tmp_path, "return 7") for _ in range(3)] == [7, 7, 7]


def test_a_fork_takes_half_of_what_a_worker_computes(pool: workers.Pool, tmp_path: Path) -> None:
    imports = "import os\nfrom ai_manufacturing.system.workers import both"
    first, second = made(pool, tmp_path, f"{imports}\nreturn both(os.getpid, (), ())")
    assert len({first, second, os.getpid()}) == 3
    assert workers.both(max, (1, 2), (3, 4)) == (2, 4)


def parents() -> dict[int, int]:
    """Return the parent of each process that runs."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(entry.parent.name)] = int(parent)
    return found


def started_by(pid: int) -> set[int]:
    """Return the processes that a process has started, and theirs."""
    children = {child for child, parent in parents().items() if parent == pid}
    return children.union(*map(started_by, children))


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
    while len(started := started_by(process.pid)) < 3:
        time.sleep(0.05)
    if is_killed:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does, to workers too
    printed, _ = process.communicate()
    while started & parents().keys():
        time.sleep(0.05)
    assert "ForkServerProcess" not in printed  # the head of a worker's traceback


def differing(one: Path, other: Path) -> list[str]:
    """Return what two warehouses do not have alike: columns, comments, and the rows of tables."""
    with duckdb.connect() as connection:
        for name, path in (("one", one), ("other", other)):
            connection.execute(f"attach {literal(path)} as {name} (read_only)")

        def of(what: str, database: str) -> list[tuple[str, ...]]:
            query = (
                f"select {what} where database_name = '{database}' and not internal "
                "and schema_name <> 'main' order by all"
            )
            return connection.execute(query).fetchall()

        found = []
        for what in (
            "schema_name, table_name, column_name, data_type, comment from duckdb_columns()",
            "schema_name, table_name, comment from duckdb_tables()",
            "schema_name, view_name, comment from duckdb_views()",
        ):
            found += [str(row) for row in set(of(what, "one")) ^ set(of(what, "other"))]
        tables = of("schema_name, table_name from duckdb_tables()", "one")
        for schema, table in () if found else tables:
            if table in ("built_relations", "register_paths"):  # when, and where files landed
                continue
            rows = [f"from {name}.{schema}.{table}" for name in ("one", "other")]
            for here, there in (rows, rows[::-1]):
                if lost := connection.execute(f"{here} except all {there} limit 1").fetchall():
                    found.append(f"{schema}.{table}: {lost}")
        return found


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_build_gives_the_same_bytes_on_any_number_of_threads(
    threads: str,
    sample_build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On one, dbt's own process computes every model; the sample had as many as there are cores."""
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
