"""Test the register models on Spark: results equal to DuckDB's, lost workers and error messages."""

import csv
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing.landing import counts
from tests.planted_faults import copy_of_the_project
from tests.python import awkward_registers, spark_cluster
from tests.python.conftest import Build
from tests.python.test_vendor_register import deliver_crawl
from tests.python.waiting import wait_for

COMPARED = [
    f"int_register_{step}"
    for step in ("places", "cells", "coverage", "cohorts", "ai_tags", "dropped_rows")
]
COMPARED += [f"int_{register}_register_counts" for register in ("firm", "patent")]


def what_is_missing() -> str | None:
    try:
        counts.check_java()
    except counts.CountsError as error:
        return str(error)
    return (
        None if spark_cluster.ENVIRONMENT.is_dir() else "no .venv-spark. Make it with `make spark`."
    )


MISSING = what_is_missing()
needs_spark = pytest.mark.skipif(MISSING is not None, reason=f"no Spark here: {MISSING}")
"""Skips a test if Spark is missing, with the reason."""


SOON_WARM = {
    f"spark.{role}.defaultJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
    )
    for role in ("driver", "executor")
}
"""JVM options that shorten the start, for little data."""


FEW_TASKS = {"spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "false"}
"""Two partitions for little data, and no adaptive plans, as on clusters that disable them."""


def local(folder: Path) -> dict[str, str]:
    """Return environment variables for a local Spark session, configured for small data."""
    conf = spark_cluster.write_conf(folder, **SOON_WARM, **FEW_TASKS)
    return {"SPARK_MASTER": "local[2]", "SPARK_CONF_DIR": str(conf)}


BOTH_FROM_THE_START = {
    "spark.cores.max": "2",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "1h",
}
"""No task starts before both executors have registered, however late the second is."""


class SparkBuild(Build):
    """A build that can also run on Spark, with separate tables and result files."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "SPARK_STORAGE": str(self.scratch / "storage"),
            "COUNTS_DIR": str(self.scratch / "counted/register_counts"),
            **self.more,
        }

    more: dict[str, str] = {}  # noqa: RUF012 - replaced, never mutated

    def count_on_spark(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `ai-manufacturing counts --engine spark` in the virtual environment of Spark."""
        return subprocess.run(
            [
                str(spark_cluster.ENVIRONMENT / "bin/ai-manufacturing"),
                "counts",
                "--engine",
                "spark",
                *options,
            ],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project with additional keywords that contain special characters."""
    project = copy_of_the_project(tmp_path / "project")
    with (project / "seeds/ai_keywords.csv").open("a", encoding="utf-8", newline="") as seed:
        writer = csv.writer(seed, lineterminator="\n")
        placed = ["include", "deep learning", "infrastructure", "any", "own", ""]
        writer.writerows([*term, *placed] for term in awkward_registers.KEYWORDS)
    return project


def draw(project: Path, firms: int, patents: int) -> SparkBuild:
    """Write simulated registers and a zipped register, and return a build for them."""
    folder = project.parent
    awkward_registers.write(folder / "registers", firms, patents)
    deliver_crawl(folder / "registers")
    return SparkBuild(folder / "registers", folder / "warehouse.duckdb", folder, project=project)


def count_on_duckdb(build: SparkBuild, *command: str) -> None:
    """Count the registers on DuckDB, building the seeds too unless another command is given."""
    build.dbt("run", "--select", "+raw_deliveries", "raw_declared_sources")
    assert build.exit_code == 0, build.output
    command = command or ("build", "--exclude-resource-type=test")
    build.dbt(*command, "--selector", "register_counts")
    assert build.exit_code == 0, build.output


def differing_rows(build: SparkBuild) -> dict[str, int]:
    """Return the number of rows per table that only one of the two engines produced."""
    differing = {}
    with duckdb.connect(str(build.warehouse), read_only=True) as connection:
        for table in COMPARED:
            columns = ", ".join(
                f"{name}::{kind} as {name}"
                for name, kind in connection.execute(
                    "select column_name, data_type from information_schema.columns where"
                    " table_name = ?",
                    [table],
                ).fetchall()
                if name != "rules"
            )
            files = f"{build.scratch}/storage/tables/intermediate.db/{table}/**/*.parquet"
            here = f"select {columns} from intermediate.{table}"
            there = (
                f"select {columns} from read_parquet('{files}', hive_partitioning = true,"
                " hive_types_autocast = false)"
            )
            (count,) = connection.execute(
                f"select (select count(*) from ({here} except all {there})) + (select count(*) from"
                f" ({there} except all {here})) + (select count(*) = 0 from ({here}))::integer"
            ).fetchone() or (-1,)
            differing[table] = count
    return {table: count for table, count in differing.items() if count}


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[spark_cluster.Cluster]:
    with spark_cluster.running(
        tmp_path / "cluster", workers=2, **SOON_WARM, **BOTH_FROM_THE_START
    ) as running:
        yield running


def executors(events: list[dict[str, Any]]) -> dict[str, int]:
    """Return the number of finished tasks of each Spark executor."""
    tasks: dict[str, int] = {}
    for event in events:
        if (
            event["Event"] == "SparkListenerTaskEnd"
            and event["Task End Reason"]["Reason"] == "Success"
        ):
            executor = event["Task Info"]["Executor ID"]
            tasks[executor] = tasks.get(executor, 0) + 1
    return tasks


@needs_spark
@pytest.mark.door
@pytest.mark.soak
def test_a_cluster_that_loses_a_worker_counts_as_duckdb_and_a_new_year_writes_its_partitions(
    project: Path, two_workers: spark_cluster.Cluster
) -> None:
    """Spark must overwrite the leftovers of a killed run, give the same counts as DuckDB, and
    delete the partition of a withdrawn file.
    """
    # Draw enough records for every city to occur in the earlier years, because a new city adds
    # zeros to all years.
    build = draw(project, firms=20_000, patents=200_000)
    later = build.extracts / "patent_register/专利登记_2015.parquet"
    kept = later.rename(build.scratch / later.name)
    count_on_duckdb(build)
    tables = build.scratch / "storage/tables/intermediate.db"
    left = tables / "int_register_cells/part-0.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 and no more")

    build.more = two_workers.environment
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(build.count_on_spark)
        try:
            kill_a_worker_that_works(two_workers, counting)
        except (RuntimeError, TimeoutError):
            # Stopping the cluster also ends the Spark run.
            two_workers.end()
            raise
        command = counting.result()

    assert command.returncode == 0, command.stdout[-3000:] + command.stderr
    events = [event["Event"] for event in two_workers.events()]
    assert "SparkListenerJobEnd" in events[events.index("SparkListenerExecutorRemoved") :], (
        "none was lost at work"
    )
    two_workers.end()
    assert not left.exists()
    assert differing_rows(build) == {}
    the_warehouse_reads_the_counts(build)

    def written() -> dict[str, int]:
        return {
            f"{path.relative_to(tables).parts[0]}/{path.parent.name}": path.stat().st_mtime_ns
            for path in tables.glob("int_*register_*/*/*=*/*.parquet")
        }

    build.more = local(build.scratch)
    first = written()
    shutil.move(kept, later)
    command = build.count_on_spark()
    assert command.returncode == 0, command.stdout[-3000:]
    anew = {name for name, time in written().items() if first.get(name) != time}
    years = {name for name in anew if name.startswith("int_patent_register_counts/")}
    assert years, "the new file has counts"
    assert years <= {f"int_patent_register_counts/year={year}" for year in range(2015, 2021)}
    of_file = sorted(name.split("/")[0] for name in anew - years)
    assert of_file == ["int_register_ai_candidates", "int_register_cohorts"], "one file is new"
    count_on_duckdb(build, "run")
    assert differing_rows(build) == {}

    later.unlink()
    command = build.count_on_spark()
    assert command.returncode == 0, command.stdout[-3000:]
    count_on_duckdb(build, "run")
    table, handed_over = (
        "intermediate.int_patent_register_counts",
        f"read_parquet('{build.scratch}/counted/register_counts/patent_counts/*.parquet')",
    )
    columns = ", ".join(row[0] for row in build.rows(f"describe {table}"))
    expected = build.rows(f"select {columns} from {table} order by all")
    assert build.rows(f"select {columns} from {handed_over} order by all") == expected


def the_warehouse_reads_the_counts(build: SparkBuild) -> None:
    warehouse = replace(
        build, extracts=build.scratch / "counted", warehouse=build.scratch / "counted.duckdb"
    )
    # Skip tests that depend on tables outside the selection.
    only = ("--indirect-selection", "cautious")
    warehouse.dbt("build", "--select", "+int_series_conformed", "+fct_row_accounting", *only)
    assert warehouse.exit_code == 0, warehouse.output
    for register in ("firm", "patent"):
        counts = (
            "select * exclude (provider, source_name) from"
            f" intermediate.int_{register}_register_counts"
        )
        expected = build.rows(
            f"from (unpivot ({counts}) on columns(* exclude (city_id, year, scope)) into name"
            " series value value) select city_id, year, scope, series, value::double order by all"
        )
        found = warehouse.rows(
            "select delivered_city_id, year, scope, series, delivered_value from"
            " intermediate.int_series_corrected where contains(series, 'firm') = ? and"
            " delivered_value is not null order by all",
            register == "firm",
        )
        assert found == expected
    assert warehouse.rows("select distinct extract_set_kind from raw.deliveries") == [
        ("synthetic",)
    ]


def kill_a_worker_that_works(cluster: spark_cluster.Cluster, counting: Future[Any]) -> None:
    """Kill a worker after both have finished tasks and the classification of texts has started."""

    def both_work() -> bool:
        events = cluster.events()
        at_work = any(
            "int_register_ai_candidates" in event["physicalPlanDescription"]
            for event in events
            if event["Event"].endswith("SparkListenerSQLExecutionStart")
        )
        return at_work and len(executors(events)) == 2

    def is_over() -> str:
        return f"the run has ended: {counting.result().stdout[-3000:]}" if counting.done() else ""

    wait_for(both_work, is_over, cluster.written)
    cluster.kill_worker(0)


def test_a_master_that_does_not_answer_and_a_driver_that_workers_cannot_reach_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master = f"spark://127.0.0.1:{spark_cluster.free_port()}"
    with pytest.raises(
        counts.CountsError,
        match=f"SPARK_MASTER is {master}, but no Spark master answers there: {master[8:]}",
    ):
        counts.check_master(master)
    # Workers of a cluster with a master on another machine may run there.
    several = f"{master},192.0.2.1:7077"
    for driver in ("", "localhost", "127.0.1.1"):
        monkeypatch.setenv("SPARK_DRIVER_HOST", driver)
        with pytest.raises(
            counts.CountsError,
            match="Set SPARK_DRIVER_HOST to an address of this machine that the workers can reach",
        ):
            counts.check_master(several)
    monkeypatch.setenv("SPARK_DRIVER_HOST", "192.0.2.2")
    with socket.create_server(("127.0.0.1", 0)) as standby:
        counts.check_master(f"{master},127.0.0.1:{standby.getsockname()[1]},192.0.2.1:7077")


def test_a_folder_that_spark_would_take_for_a_pattern_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANDING_DIR", "land[1]ng")
    with pytest.raises(
        counts.CountsError,
        match=r"LANDING_DIR is .*, but Spark does not support the characters \[ \] in a path",
    ):
        counts.check_folders()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, "but .*/bin/java was not found. Install Java 17 or later"),
        ('java version "1.8.0_381"', "1.8.0_381.*, but Spark needs Java 17 or later"),
        ('java version "16.0.2"', "16.0.2.*, but Spark needs Java 17 or later"),
        ("no Java", "printed 'no Java', but Spark needs Java 17 or later"),
    ],
)
def test_missing_or_old_java_is_told_with_the_way_out(
    version: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version is not None:
        java = tmp_path / "bin/java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho '{version}' >&2\n", encoding="utf-8")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(counts.CountsError, match=message):
        counts.check_java()


@needs_spark
@pytest.mark.door
@pytest.mark.soak
def test_a_cluster_without_workers_is_told(project: Path, tmp_path: Path) -> None:
    build = draw(project, firms=100, patents=100)
    # Let Spark report every second, instead of every 15, that it is waiting for resources.
    waiting = {"spark.starvation.timeout": "1s"}
    with spark_cluster.running(tmp_path / "cluster", workers=0, **waiting, **SOON_WARM) as cluster:
        build.more = cluster.environment
        command = build.count_on_spark()
    assert command.returncode == 1
    assert "it has no worker with a free core and enough memory. Start a worker." in command.stderr
    assert (
        command.stdout.count("Spark is waiting for a worker with a free core and enough memory.")
        == 1
    )
    assert not (build.scratch / "counted").exists()


@needs_spark
@pytest.mark.door
@pytest.mark.soak
def test_storage_that_workers_do_not_share_is_told_and_nothing_is_counted(
    project: Path, tmp_path: Path
) -> None:
    build = draw(project, firms=1000, patents=1000)
    storage = build.scratch / "storage"
    storage.mkdir(exist_ok=True)
    # Mount a separate file system over the shared folder, visible only to the worker.
    below = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs none "{storage}" && exec "$@"',
        "sh",
    )
    if subprocess.run([*below, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounts need more rights than there are here")
    with spark_cluster.running(tmp_path / "cluster", 1, below, **SOON_WARM) as cluster:
        build.more = cluster.environment
        command = build.count_on_spark()
    assert command.returncode == 1
    assert f"SPARK_STORAGE is {storage}" in command.stdout + command.stderr
    assert "Mount" in command.stdout + command.stderr
    assert not (build.scratch / "counted").exists()
