"""Workers that compute Python models: what they give, and what becomes of a run when one dies."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from ai_manufacturing.system import workers
from ai_manufacturing.system.sql_text import literal
from tests.python.conftest import Build

HEAD = "from ai_manufacturing.system.workers import in_a_worker\n\n\n@in_a_worker\ndef model(dbt, session):\n"


@pytest.fixture(scope="module")
def pool() -> Iterator[workers.Pool]:
    pool = workers.Pool(2)
    yield pool
    while not pool._idle.empty():
        pool._idle.get().stop()


def made(pool: workers.Pool, folder: Path, body: str, **tables: pd.DataFrame) -> Any:
    """Write a model and have it made."""
    path = folder / "a_model.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), encoding="utf-8")
    with duckdb.connect() as connection:
        ref = SimpleNamespace(
            ref=lambda name: connection.from_df(tables[name]),
            config=SimpleNamespace(meta_get={"year": 2015}.get),
        )
        return pool.make(str(path), ref)


def test_a_model_reads_relations_and_its_config_as_in_dbt(pool: workers.Pool, tmp_path: Path) -> None:
    body = (
        'dbt.config(materialized="table")\n'
        'year = dbt.config.meta_get("year")\n'
        'return dbt.ref("a").filter(f"year = {year}").project("city, count + 1 as count")'
    )
    table = pd.DataFrame({"city": ["北京", None, "x"], "year": [2015, 2015, 2016], "count": [1, None, 3]})
    found = made(pool, tmp_path, body, a=table)
    assert isinstance(found, pa.Table)
    assert found.to_pylist() == [{"city": "北京", "count": 2.0}, {"city": None, "count": None}]


def test_an_error_comes_with_its_type_its_text_and_its_place(pool: workers.Pool, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        made(pool, tmp_path, "return 1 / 0")
    assert "a_model.py" in str(raised.value.__cause__)
    with pytest.raises(KeyError):  # of dbt's process, while the worker waits
        made(pool, tmp_path, 'return dbt.ref("not there")')
    assert made(pool, tmp_path, "return 7") == 7


def test_a_worker_that_dies_fails_its_model_and_no_other(pool: workers.Pool, tmp_path: Path) -> None:
    with pytest.raises(workers.WorkerDiedError, match=r"a_model\.py ended \(exit code 9\).*WAREHOUSE_THREADS=1"):
        made(pool, tmp_path, "import os\nos._exit(9)")
    assert [made(pool, tmp_path, "return 7") for _ in range(3)] == [7, 7, 7]


def test_a_free_worker_takes_half_of_what_another_computes(pool: workers.Pool, tmp_path: Path) -> None:
    body = "import os\nfrom ai_manufacturing.system import workers\nreturn workers.both(os.getpid, (), ())"
    first, second = made(pool, tmp_path, body)
    assert len({first, second, os.getpid()}) == 3
    assert workers.both(max, (1, 2), (3, 4)) == (2, 4)


def of_group(pid: int) -> set[int]:
    """Return the processes that a process has started, and theirs."""
    found = {pid}
    for _ in range(3):
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in found and fields[0] != "Z":
                found.add(int(entry.parent.name))
    return found - {pid}


@pytest.mark.soak
@pytest.mark.parametrize("cause", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_worker(cause: signal.Signals, sample_build: Build, tmp_path: Path) -> None:
    build = replace(sample_build, warehouse=tmp_path / "sample.duckdb", scratch=tmp_path)
    dbt = str(Path(sys.executable).parent / "dbt")
    process = subprocess.Popen([dbt, "build"], cwd=build.project, env=build.environment, stdout=subprocess.DEVNULL)
    while len(started := of_group(process.pid)) < 2:
        time.sleep(0.05)
    process.send_signal(cause)
    process.wait()
    while any(Path(f"/proc/{pid}/cmdline").exists() and not is_zombie(pid) for pid in started):
        time.sleep(0.05)


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# ---------------------------------------------------------------- as many as there are, the same bytes


def differing(one: Path, other: Path) -> list[str]:
    """Return what two warehouses do not have alike: columns, comments, and the rows of tables."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(one)} as one (read_only); attach {literal(other)} as other (read_only)")

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
        for schema, table in () if found else of("schema_name, table_name from duckdb_tables()", "one"):
            rows = [f"from {name}.{schema}.{table}" for name in ("one", "other")]
            for here, there in (rows, rows[::-1]):
                if lost := connection.execute(f"{here} except all {there} limit 1").fetchall():
                    found.append(f"{schema}.{table}: {lost}")
        return found


@pytest.mark.soak
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_build_gives_the_same_bytes_on_any_number_of_threads(
    threads: str, sample_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one, every model is computed in dbt's own process; the sample was built on as many as there are cores."""
    monkeypatch.setenv("WAREHOUSE_THREADS", threads)
    landing = Path(shutil.copytree(sample_build.scratch / "landing", tmp_path / "landing"))
    build = replace(sample_build, warehouse=tmp_path / "sample.duckdb", scratch=tmp_path, landing=landing)
    assert build.dbt("build").exit_code == 0, build.output
    assert differing(sample_build.warehouse, build.warehouse) == []
