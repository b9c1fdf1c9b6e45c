"""Time the counting of firms on Spark, and compare it with DuckDB.

The script runs in Spark's environment: `.venv-spark/bin/python -m benchmarks.spark`.
"""

import contextlib
import os
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.measuring import BIN, Section
from tests.python import spark_cluster

SIZES = {
    5_000_000: ("duckdb", "local", "one_worker", "two_workers"),
    50_000_000: ("duckdb", "local"),
}
"""Numbers of firms, and the engines that count them.

A cluster on a single machine is slower than Spark in one process.
"""
ENGINES = {
    "local": "Spark in one process",
    "one_worker": "Spark, one worker",
    "two_workers": "Spark, two workers",
}
TARGET = re.compile(
    r"Arguments: (?:file:\S*/intermediate\.db/|`spark_catalog`\.`intermediate`\.`)(int_\w+)"
)
MODELS = (
    "--select",
    "+int_firm_register_counts",
    "--exclude",
    "raw_deliveries",
    "resource_type:test",
    "resource_type:unit_test",
)
SHUFFLES = {
    "shuffle_mb_of_ids": ("doubtful_rows", "dropped_rows"),
    "shuffle_mb_of_tagged_texts": ("ai_candidates", "ai_tags"),
    "shuffle_mb_of_cohorts": ("cohorts",),
    "shuffle_mb_of_other_cells": ("cells", "counts", "identifiers", "files", "other"),
}
"""Models by the data that they shuffle. Cohorts are the first aggregation, from rows to cells."""


def memory_of_others() -> dict[int, float]:
    """Return the memory in MB of each descendant of this process, keyed by process ID."""
    parents: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8")
            number = int(path.parent.name)
            parents[number] = int(text.split("PPid:")[1].split()[0])
            sizes[number] = int(text.split("VmRSS:")[1].split()[0]) if "VmRSS:" in text else 0
    found, grown = {os.getpid()}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        grown, found = bool(more), found | more
    return {number: sizes[number] / 1024 for number in found - {os.getpid()}}


@contextlib.contextmanager
def watched() -> Iterator[list[float]]:
    """Yield a list that holds the peak memory of descendant processes in MB after the block."""
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        before: set[int] = set()
        while not stop.wait(0.5):
            sizes = memory_of_others()
            # Ignore a process in its first sample, because a new fork reports its parent's memory
            # as its own.
            peak[0] = max(peak[0], sum(size for number, size in sizes.items() if number in before))
            before = set(sizes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def shuffled(events: list[dict[str, Any]]) -> dict[str, int]:
    """Return the number of bytes that each dbt model wrote to Spark shuffles."""
    models: dict[str, str] = {}
    stages: dict[int, str] = {}
    written: dict[str, int] = defaultdict(int)
    for event in events:
        if event["Event"].endswith("SparkListenerSQLExecutionStart"):
            named = TARGET.search(event["physicalPlanDescription"])
            of_root = models.get(str(event.get("rootExecutionId")))
            models[str(event["executionId"])] = named[1] if named else of_root or "other"
        elif event["Event"] == "SparkListenerJobStart":
            execution = event.get("Properties", {}).get("spark.sql.execution.id", "")
            stages |= dict.fromkeys(event["Stage IDs"], models.get(execution, "other"))
        elif event["Event"] == "SparkListenerTaskEnd":
            metrics = (event.get("Task Metrics") or {}).get("Shuffle Write Metrics", {})
            written[stages.get(event["Stage ID"], "other")] += metrics.get(
                "Shuffle Bytes Written", 0
            )
    return dict(written)


def run(engine: str, scratch: Path, extracts: Path) -> dict[str, float]:
    """Count a firm register with one engine; return the time, peak memory and shuffle sizes."""
    folder = scratch / engine
    environment = {
        **measuring.Scratch(scratch, extracts).environment,
        "SPARK_STORAGE": str(folder / "storage"),
        "COUNTS_DIR": str(folder / "counts"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "SPARK_MASTER": "local[2]",
    }
    with contextlib.ExitStack() as stack:
        if engine == "local":
            environment["SPARK_CONF_DIR"] = str(spark_cluster.write_conf(folder))
        elif engine != "duckdb":
            workers = {"one_worker": 1, "two_workers": 2}[engine]
            environment |= stack.enter_context(spark_cluster.running(folder, workers)).environment
        peak = stack.enter_context(watched())
        started = time.perf_counter()
        target = [] if engine == "duckdb" else ["--target", "spark"]
        measuring.run([BIN / "dbt", "--quiet", "build", *target, *MODELS], environment)
        seconds = time.perf_counter() - started
    written = shuffled(spark_cluster.read_events(folder / "events")) if engine != "duckdb" else {}
    shutil.rmtree(folder)
    sizes = {
        name: sum(size for model, size in written.items() if model.endswith(endings)) / 1e6
        for name, endings in SHUFFLES.items()
    }
    return {"seconds": seconds, "peak_mb": peak[0], **sizes}


def measure(repeats: int, *, quick: bool) -> Section:
    """Time the counting of firm registers of several sizes with each engine."""
    from ai_manufacturing.paper.synthetic import registers

    section = Section(
        "Spark",
        "Each engine runs one `dbt build` of the firm models without tests, from stored files"
        " to counts, including start-up. DuckDB uses two threads, Spark in one process uses two"
        " cores, and each Spark worker uses one core. Memory is the peak of the total memory of"
        " all processes, sampled twice a second.",
    )
    written: list[tuple[str, ...]] = []
    for firms, engines in ({20_000: ("duckdb", "local")} if quick else SIZES).items():
        with measuring.scratch() as scratch:
            extracts = scratch / "extracts"
            registers.write_registers(extracts, firms, 0, seed=1, patent_years=range(0))
            measuring.Scratch(scratch, extracts).dbt(
                "run", "--select", "+raw_deliveries", "raw_declared_sources"
            )
            found = {engine: run(engine, scratch, extracts) for engine in engines}
        for engine, figures in found.items():
            if engine == "duckdb":
                continue
            for unit, name, factor, what in (
                ("s", "seconds", 1.0, ""),
                ("B", "peak_mb", 1e6, ": peak memory"),
            ):
                ours, theirs = [found["duckdb"][name] * factor], [figures[name] * factor]
                work = f"{firms:,} firms{what}"
                section.add(
                    work, ours, ENGINES[engine], theirs, "dbt build --target spark", unit=unit
                )
            written.append(
                (f"{firms:,}", ENGINES[engine], *(f"{figures[name]:,.1f}" for name in SHUFFLES))
            )
    names = (
        "firms",
        "engine",
        *(name.removeprefix("shuffle_mb_of_").replace("_", " ") for name in SHUFFLES),
    )
    section.details = (
        "The following table shows the megabytes that Spark writes to shuffles:\n\n"
        + measuring.table(names, written)
    )
    section.versions = [measuring.version(name) for name in ("pyspark", "dbt-spark")]
    return section


if __name__ == "__main__":
    measuring.main(measure)
