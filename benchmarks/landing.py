"""Time landing of many small files: the first time, unchanged, one of them corrected, and into a new warehouse.

    python benchmarks/landing.py [--files 5000] [--rows 300] [--out benchmarks]

Prints the table, and writes it as landing.csv and landing.md. The bare scan reads, hashes and parses each file as CSV
and keeps nothing. Landing also detects the format, judges each cell, writes Parquet and compares keys.
DuckDB has WAREHOUSE_MEMORY_LIMIT (512MB here unless set); the peak is that of the whole process.
"""

import argparse
import csv
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ai_manufacturing import duckdb_client, landing

PROJECT = Path(__file__).resolve().parents[1]
COUNTS = (
    "企业存续数", "企业新设数", "企业注销数", "人工智能企业存续数", "人工智能企业新设数", "人工智能企业注销数",
)  # fmt: skip
HEADER = ("城市代码", "城市名称", "行业代码", "年份", *COUNTS, "数据来源")
SMALL = 100
LIMIT = os.environ.setdefault("WAREHOUSE_MEMORY_LIMIT", "512MB")


def write_file(folder: Path, number: int, rows: int, first_count: int = 0) -> None:
    """Write one city and year, so that all files of a year share a period, and no key."""
    path = folder / "firm_survival" / f"企业存续_{number:05}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in range(rows):
            counts = [first_count + number + row, row, row // 2, row // 3, row // 4, row // 5]
            writer.writerow((100000 + number, f"市{number}", row, 2010 + number % 11, *counts, "benchmark"))


def scan(folder: Path) -> int:
    rows = 0
    for path in sorted(folder.rglob("*.csv")):
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        rows += pyarrow.csv.read_csv(pyarrow.py_buffer(content)).num_rows
    return rows


def build_rows(deliveries: pa.Table, warehouse: Path) -> int:
    """Write the rows as dbt does with what a Python model returns, and count them."""
    with duckdb_client.connect(str(warehouse), config={"threads": 2, "memory_limit": LIMIT}) as connection:
        connection.register("landed", landing.rows("firm_survival", deliveries))
        connection.execute("create table raw_firm_survival as from landed")
        (count,) = connection.execute("select count(*) from raw_firm_survival").fetchone() or (0,)
    return count


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measured: list[tuple[str, int, float, str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        os.environ["DBT_PROJECT_DIR"] = str(PROJECT)

        def use(name: str, count: int) -> Path:
            folder = scratch / name
            for number in range(count):
                write_file(folder, number, arguments.rows)
            os.environ["EXTRACTS_DIR"] = str(folder)
            os.environ["LANDING_DIR"] = str(scratch / f"landing_{name}")
            return folder

        small = use("small", min(SMALL, arguments.files))
        landing.deliveries()
        unchanged, table = timed(landing.deliveries)
        assert table.num_rows == len([*small.rglob("*.csv")])
        measured.append(("no change", table.num_rows, unchanged, "< 1 s"))

        folder = use("large", arguments.files)
        bare, rows = timed(lambda: scan(folder))
        assert rows == arguments.files * arguments.rows
        measured.append(("bare scan of the files", arguments.files, bare, ""))
        first, table = timed(landing.deliveries)
        assert sum(table["landed_row_count"].to_pylist()) == rows
        measured.append(("first landing", arguments.files, first, "< 60 s"))
        read, landed = timed(lambda: build_rows(table, scratch / "warehouse.duckdb"))
        assert landed == rows
        measured.append(("rows into a warehouse", arguments.files, read, ""))
        unchanged, again = timed(landing.deliveries)
        assert again == table
        measured.append(("no change, also for a new warehouse", arguments.files, unchanged, ""))
        write_file(folder, 0, arguments.rows, first_count=1)
        corrected, again = timed(landing.deliveries)
        assert again.num_rows == arguments.files + 1
        measured.append(("one file corrected", arguments.files, corrected, ""))
    lines = ["| work | files | seconds | / bare scan | target |", "|---|---|---|---|---|"]
    lines += [
        f"| {work} | {count} | {seconds:.2f} | {seconds / bare:.2f} | {target} |"
        for work, count, seconds, target in measured
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = "\n".join([*lines, "", f"{arguments.rows} rows a file; peak memory {peak:.0f} MB, limit {LIMIT}."])
    print(text)
    if arguments.out:
        head = f"{os.cpu_count()} cores; `python benchmarks/landing.py --out benchmarks`.\n\n"
        (arguments.out / "landing.md").write_text(head + text + "\n", encoding="utf-8")
        with (arguments.out / "landing.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("work", "file_count", "seconds", "ratio_to_bare_scan"))
            writer.writerows((work, count, f"{s:.3f}", f"{s / bare:.3f}") for work, count, s, _ in measured)


if __name__ == "__main__":
    main()
