"""Time firm registers to counts: on DuckDB, on Spark in one process, and on a standalone Spark cluster on this machine.

    .venv-spark/bin/python benchmarks/spark.py [--firms 5000000 20000000 50000000]
        [--engines duckdb local one_worker two_workers] [--out benchmarks]

Each figure is one `dbt build` of the firm models without tests, from landed files to counts, with start-up. DuckDB has
two threads, Spark two cores, a worker one. Memory is the peak of all processes of the run, sampled twice a second;
shuffle bytes are from Spark's event log, by model.
"""

import argparse
import contextlib
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.python import spark_cluster  # noqa: E402 - the cluster is that of the tests

BIN = Path(sys.executable).parent
ENGINES = ("duckdb", "local", "one_worker", "two_workers")
TARGET = re.compile(r"Arguments: (?:file:\S*/intermediate\.db/|`spark_catalog`\.`intermediate`\.`)(int_\w+)")
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
"""Models by what they shuffle. Cohorts are the first aggregation: rows to cells."""


def memory_of_others() -> dict[int, float]:
    """Return the memory in MB of each process that this one has started."""
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
    """Give the peak of memory after the block."""
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        before: set[int] = set()
        while not stop.wait(0.5):
            sizes = memory_of_others()
            # A fork on its way to another program shows its parent's memory as its own.
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
    """Return the bytes that each model wrote to shuffles."""
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
            written[stages.get(event["Stage ID"], "other")] += metrics.get("Shuffle Bytes Written", 0)
    return dict(written)


def run(engine: str, scratch: Path, extracts: Path) -> dict[str, float]:
    """Count a register by one engine."""
    folder = scratch / engine
    environment = {
        **os.environ,
        "EXTRACTS_DIR": str(extracts),
        "LANDING_DIR": str(scratch / "landing"),
        "WAREHOUSE_PATH": str(scratch / "warehouse.duckdb"),
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
        command = [str(BIN / "dbt"), "--quiet", "build", *target, *MODELS]
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    written = shuffled(spark_cluster.read_events(folder / "events")) if engine != "duckdb" else {}
    shutil.rmtree(folder)
    sizes = {
        name: sum(size for model, size in written.items() if model.endswith(endings)) / 1e6
        for name, endings in SHUFFLES.items()
    }
    return {"seconds": seconds, "peak_mb": peak[0], **sizes}


def write_table(rows: list[dict[str, str]], out: Path | None) -> str:
    """Return the rows measured so far as a table, and write them as spark.md and spark.csv."""
    names = [*rows[0]]
    table = [names, ["---"] * len(names), *([*row.values()] for row in rows)]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    if out:
        head = f"{os.cpu_count()} cores; `python benchmarks/spark.py --out benchmarks`.\n\n"
        (out / "spark.md").write_text(f"{head}{text}\n", encoding="utf-8")
        with (out / "spark.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--firms", type=int, nargs="+", default=[5_000_000, 20_000_000, 50_000_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    from ai_manufacturing.synthetic import registers

    rows: list[dict[str, str]] = []
    for firms in arguments.firms:
        with tempfile.TemporaryDirectory() as folder:
            scratch, extracts = Path(folder), Path(folder) / "extracts"
            registers.write(extracts, firms, 0, seed=1, patent_years=range(0))
            land = {
                **os.environ,
                "EXTRACTS_DIR": str(extracts),
                "LANDING_DIR": str(scratch / "landing"),
                "WAREHOUSE_PATH": str(scratch / "warehouse.duckdb"),
                "DBT_TARGET_PATH": str(scratch / "target"),
            }
            subprocess.run(
                [BIN / "dbt", "--quiet", "run", "--select", "raw_deliveries"], cwd=PROJECT, env=land, check=True
            )
            for engine in arguments.engines:
                figures = run(engine, scratch, extracts)
                rows.append(
                    {"firms": f"{firms:,}", "engine": engine}
                    | {name: f"{figure:,.1f}" for name, figure in figures.items()}
                )
                table = write_table(rows, arguments.out)
    print(table)


if __name__ == "__main__":
    main()
