"""Time the landing of many small CSV files, and compare it with DuckDB's CSV reader."""

import csv
import os
import resource
from functools import partial
from pathlib import Path

import pyarrow as pa

from ai_manufacturing import landing
from ai_manufacturing.system import duckdb_client
from benchmarks import measuring
from benchmarks.measuring import PROJECT, Runs, Section

COUNTS = (
    "企业存续数",
    "企业新设数",
    "企业注销数",
    "人工智能企业存续数",
    "人工智能企业新设数",
    "人工智能企业注销数",
)
HEADER = ("城市代码", "城市名称", "行业代码", "年份", *COUNTS, "数据来源")
LIMIT = os.environ.setdefault("WAREHOUSE_MEMORY_LIMIT", "512MB")
PEER = "benchmarks/landing.py"
WHY = "DuckDB does not hash, check or store the files."


def write_file(folder: Path, number: int, rows: int, first_count: int = 0) -> None:
    """Write a CSV file for one city and one year; no key occurs in two files."""
    path = folder / "firm_survival" / f"企业存续_{number:05}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in range(rows):
            counts = [first_count + number + row, row, row // 2, row // 3, row // 4, row // 5]
            writer.writerow(
                (100000 + number, f"市{number}", row, 2010 + number % 11, *counts, "benchmark")
            )


def by_duckdb(folder: Path, warehouse: Path) -> int:
    """Load all files into a table with DuckDB's read_csv, and return the number of rows."""
    config = {"threads": 2, "memory_limit": LIMIT}
    with duckdb_client.connect(str(warehouse), config=config, reads_files=True) as connection:
        files = f"{folder}/firm_survival/*.csv"
        statement = "create or replace table firms as select * from read_csv(?, filename = true)"
        connection.execute(statement, [files])
        (count,) = connection.execute("select count(*) from firms").fetchone() or (0,)
    return int(count)


def build_rows(deliveries: pa.Table, warehouse: Path) -> int:
    """Write landed rows to a DuckDB table, as dbt does for a Python model; return the row count."""
    with duckdb_client.connect(
        str(warehouse), config={"threads": 2, "memory_limit": LIMIT}
    ) as connection:
        connection.register("landed", landing.read_rows("firm_survival", deliveries))
        connection.execute("create table raw_firm_survival as from landed")
        (count,) = connection.execute("select count(*) from raw_firm_survival").fetchone() or (0,)
    return int(count)


def measure(repeats: int, *, quick: bool) -> Section:
    """Time the landing of many CSV files, each for one city and one year."""
    files, rows = (50, 20) if quick else (5_000, 300)
    section = Section(
        "Landing many small files",
        f"The deliveries are {files:,} CSV files with {rows} rows each. Landing hashes each"
        " file, detects its format, checks each cell, writes Parquet and compares keys. The time"
        " for new files also includes loading their typed rows into a warehouse. DuckDB's CSV"
        " reader loads all files with one statement, but does not hash, check or store them."
        f" Landing and the CSV reader each use DuckDB with a memory limit of {LIMIT}.",
    )
    os.environ["DBT_PROJECT_DIR"] = str(PROJECT)
    times, peak = Runs(), 0
    with measuring.scratch() as folder:
        extracts = folder / "extracts"
        for number in range(files):
            write_file(extracts, number, rows)
        os.environ["EXTRACTS_DIR"] = str(extracts)
        for number in range(repeats):
            os.environ["LANDING_DIR"] = str(folder / f"landing_{number}")
            table = times.clock("first", landing.land_deliveries)
            landed = times.clock("rows", build_rows, table, folder / "warehouse.duckdb")
            # Read the peak memory before DuckDB's reader runs in the same process.
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            read = times.clock("duckdb", by_duckdb, extracts, folder / "plain.duckdb")
            assert landed == read == files * rows
            (folder / "warehouse.duckdb").unlink()
            unchanged = times.clock("unchanged", landing.land_deliveries)
            assert unchanged == table
            write_file(extracts, 0, rows, first_count=number + 1)
            corrected = times.clock("corrected", landing.land_deliveries)
            assert corrected.num_rows == files + 1
    times["landed"] = [sum(parts) for parts in zip(times["first"], times["rows"], strict=True)]
    beside = partial(
        section.add, peer="DuckDB read_csv", theirs=times["duckdb"], script=PEER, why=WHY
    )
    beside(f"{files:,} new files landed and loaded", times["landed"])
    beside(f"{files:,} landed files, one corrected", times["corrected"])
    beside(f"{files:,} landed files, none changed", times["unchanged"])
    section.add(f"{files:,} new files landed: peak memory", [peak], unit="B")
    section.versions = [measuring.version(name) for name in ("duckdb", "pyarrow")]
    return section


if __name__ == "__main__":
    measuring.main(measure)
