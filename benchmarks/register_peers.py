"""Time a register from Parquet to city-year counts, ids and texts included: dbt build, and what one would write.

    python -m benchmarks.register_peers [--firms 50000000] [--extracts DIR] [--repeats 3] [--peers duckdb polars pandas]
        [--out benchmarks]

Ours is `dbt build` with start-up and landing, from an empty folder, under WAREHOUSE_MEMORY_LIMIT (512MB unless set). A
peer reads the same files, keeps one row per id, tags texts that hold an AI term, and counts firms alive, entered and
exited by city, section and year; it lands nothing, strikes no excluded term and accounts for no row set aside. All
run in turn, on two threads, each in a new process. polars runs where it can be imported (`pip install polars`).
"""

import argparse
import csv
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import BIN, PROJECT, Scratch

ID, CITY, INDUSTRY, ENTRY, EXIT, SCOPE = (
    "统一社会信用代码",
    "城市代码",
    "行业代码",
    "成立日期",
    "注销日期",
    "经营范围",
)
YEARS = range(2010, 2021)


def seed(name: str) -> list[dict[str, str]]:
    with (PROJECT / f"seeds/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def terms() -> list[str]:
    return [row["term"].lower() for row in seed("ai_keywords") if row["kind"] == "include"]


def in_duckdb(folder: Path, limit: str) -> None:
    """Count in two statements of SQL: one row per id to cells, cells to years."""
    import re

    from ai_manufacturing import duckdb_client

    pattern = "(?i)" + "|".join(map(re.escape, terms()))
    with duckdb_client.connect(config={"threads": 2, "memory_limit": limit}, reads_files=True) as connection:
        connection.execute(
            f"""
            create table cells as
            with firms as (
                select
                    {ID} as id, any_value({CITY}) as city, any_value({INDUSTRY}[:2]) as division,
                    any_value(greatest(year({ENTRY}), 2009)) as entry,
                    any_value(coalesce(least(greatest(year({EXIT}), 2009), 2021), 2021)) as exit,
                    any_value(regexp_matches({SCOPE}, $pattern)) as is_ai
                from read_parquet($files)
                where {ENTRY} <= date '2020-12-31' and not coalesce({EXIT} < {ENTRY}, false)
                group by id
            )
            select city, section, entry, exit, count(*) as firms, count(*) filter (is_ai) as ai_firms
            from firms join read_csv($industries, all_varchar = true) on division = industry_code
            group by all
            """,
            {"pattern": pattern, "files": f"{folder}/*.parquet", "industries": str(PROJECT / "seeds/industries.csv")},
        )
        connection.execute(
            f"""
            select
                city, section, year,
                sum(firms) filter (entry <= year and exit > year), sum(firms) filter (entry = year),
                sum(firms) filter (exit = year), sum(ai_firms) filter (entry <= year and exit > year),
                sum(ai_firms) filter (entry = year), sum(ai_firms) filter (exit = year)
            from cells, range({YEARS.start}, {YEARS.stop}) as years(year)
            group by all
            """
        ).fetchall()


def in_polars(folder: Path) -> None:
    """Count in one lazy query, streaming, and the years from its cells."""
    import polars as pl

    entry, left = pl.col(ENTRY), pl.col(EXIT)
    industries = pl.LazyFrame(
        [(row["industry_code"], row["section"]) for row in seed("industries")],
        schema=["division", "section"],
        orient="row",
    )
    cells = (
        pl.scan_parquet(f"{folder}/*.parquet")
        .filter(entry.dt.year() <= YEARS[-1], ~(left < entry).fill_null(False))
        .select(
            ID,
            CITY,
            division=pl.col(INDUSTRY).str.head(2),
            entry=entry.dt.year().clip(lower_bound=2009),
            exit=left.dt.year().clip(2009, 2021).fill_null(2021),
            is_ai=pl.col(SCOPE).str.contains_any(terms(), ascii_case_insensitive=True),
        )
        .unique(ID, keep="any")
        .join(industries, on="division")
        .group_by(CITY, "section", "entry", "exit")
        .agg(firms=pl.len(), ai_firms=pl.col("is_ai").sum())
        .collect(engine="streaming")
    )
    entered, exited = pl.col("entry"), pl.col("exit")
    for year in YEARS:
        for flag in ((entered <= year) & (exited > year), entered == year, exited == year):
            cells.filter(flag).group_by(CITY, "section").agg(pl.col("firms", "ai_firms").sum())


def in_pandas(folder: Path) -> None:
    """Count from one frame in memory."""
    import re

    import pandas as pd

    firms = pd.read_parquet(folder, columns=[ID, CITY, INDUSTRY, ENTRY, EXIT, SCOPE]).drop_duplicates(ID)
    entry, left = pd.to_datetime(firms[ENTRY]), pd.to_datetime(firms[EXIT])
    cells = pd.DataFrame(
        {
            "city": firms[CITY],
            "section": firms[INDUSTRY]
            .str[:2]
            .map({row["industry_code"]: row["section"] for row in seed("industries")}),
            "entry": entry.dt.year.clip(lower=2009),
            "exit": left.dt.year.clip(2009, 2021).fillna(2021),
            "ai_firms": firms[SCOPE].str.contains("|".join(map(re.escape, terms())), case=False),
        }
    )[entry.dt.year.le(YEARS[-1]) & ~(left < entry)]
    cells = cells.groupby(["city", "section", "entry", "exit"])["ai_firms"].agg(["size", "sum"]).reset_index()
    for year in YEARS:
        for flag in (cells.entry.le(year) & cells.exit.gt(year), cells.entry.eq(year), cells.exit.eq(year)):
            cells[flag].groupby(["city", "section"])[["size", "sum"]].sum()


def ours(extracts: Path, folder: Path, limit: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of the project and its environment, in an empty folder."""
    scratch = Scratch(folder, extracts)
    scratch.emptied()
    command = [str(BIN / "dbt"), "--quiet", "build", "--select", "+int_firm_register_counts"]
    without_tests = ["--exclude", "resource_type:test", "resource_type:unit_test"]
    return [*command, *without_tests], {**scratch.environment, "WAREHOUSE_MEMORY_LIMIT": limit}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Run a command, and return its seconds, processor seconds and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise RuntimeError(f"{command[:3]} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def table(runs: dict[str, list[tuple[float, float, float]]]) -> str:
    """Return a row for each, of the medians, and how many times ours the peers take."""
    medians = {
        name: [statistics.median(figures) for figures in zip(*taken, strict=True)] for name, taken in runs.items()
    }
    first = medians["dbt build"]
    lines = ["| by | s | processor s | peak MB | s / ours | MB / ours |", "|---|---|---|---|---|---|"]
    for name, (seconds, processor, peak) in medians.items():
        ratios = f"{seconds / first[0]:.2f} | {peak / first[2]:.2f}"
        lines.append(f"| {name} | {seconds:.1f} | {processor:.1f} | {peak:.0f} | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--firms", type=int, default=50_000_000)
    parser.add_argument("--extracts", type=Path, help="an extract set with a firm_register, instead of a new one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=["duckdb", "polars", "pandas"], default=["duckdb", "polars"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    limit = os.environ.get("WAREHOUSE_MEMORY_LIMIT", "512MB")
    if arguments.peer:
        folder = arguments.extracts / "firm_register"
        peers = {"duckdb": lambda: in_duckdb(folder, limit), "polars": lambda: in_polars(folder)}
        peers.get(arguments.peer, lambda: in_pandas(folder))()
        return
    with tempfile.TemporaryDirectory() as folder:
        extracts = arguments.extracts and arguments.extracts.resolve()
        if extracts is None:
            from ai_manufacturing.synthetic import registers

            extracts = Path(folder) / "extracts"
            registers.write(extracts, arguments.firms, 0, seed=1, patent_years=range(0))
        runs: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(arguments.repeats):
            command, environment = ours(extracts, Path(folder) / "ours", limit)
            runs.setdefault("dbt build", []).append(timed(command, environment))
            for peer in arguments.peers:
                if importlib.util.find_spec(peer) is None:
                    continue
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.register_peers",
                    "--peer",
                    peer,
                    "--extracts",
                    str(extracts.resolve()),
                ]
                runs.setdefault(f"{peer} by hand", []).append(timed(command, {**os.environ, "POLARS_MAX_THREADS": "2"}))
            print(table(runs), flush=True)
    if arguments.out:
        head = (
            f"{os.cpu_count()} cores, memory limit {limit}, medians of {arguments.repeats}; "
            "`python -m benchmarks.register_peers --out benchmarks`.\n\n"
        )
        (arguments.out / "register_peers.md").write_text(f"{head}{table(runs)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
