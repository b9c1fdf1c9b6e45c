"""Compare registers with a scan of the same columns: time and memory from Parquet to counts, and of AI tagging.

    python benchmarks/registers.py [--firms 50000000] [--patents 20000000] [--scopes 1000000] [--repeats 3]
        [--out benchmarks]

The SQL is what dbt compiles from the project. Each figure is the fastest of repeated runs in new processes, on two
threads under WAREHOUSE_MEMORY_LIMIT (512MB here unless set). polars runs if it is installed; the project does not
require it.
"""

import argparse
import csv
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ai_manufacturing import duckdb_client

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LIMIT = os.environ.get("WAREHOUSE_MEMORY_LIMIT", "512MB")
FIRM_COLUMNS = ("firm_id", "city_code", "industry_code", "established_date", "exit_date")
PATENT_COLUMNS = (
    "application_number",
    "city_code",
    "industry_code",
    "ipc",
    "patent_type",
    "application_date",
    "grant_date",
)
COUNT_MODELS = {
    register: ["int_register_cohorts", "int_register_places", "int_register_cells", f"int_{register}_counts"]
    for register in ("firm_register", "patent_register")
}


class Warehouse:
    """A scratch warehouse of one extract set, and its compiled models."""

    def __init__(self, folder: Path, extracts: Path, seeds: Path | None = None) -> None:
        self.folder, self.path = folder, folder / "warehouse.duckdb"
        # dbt parses the project again for a warehouse at another path
        self.at_work = folder.parent / "at_work"
        folder.mkdir(exist_ok=True)
        self.at_work.mkdir(exist_ok=True)
        if seeds is not None:
            shutil.copy(seeds, self.path)
        self.environment = {
            **os.environ,
            "EXTRACTS_DIR": str(extracts),
            "WAREHOUSE_PATH": str(self.at_work / "warehouse.duckdb"),
            "LANDING_DIR": str(folder / "landing"),
            "DBT_TARGET_PATH": str(self.at_work / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "WAREHOUSE_MEMORY_LIMIT": LIMIT,
        }

    def dbt(self, *arguments: str) -> dict[str, float]:
        """Run dbt, and return the seconds of each node and, under "run", of all without start-up."""
        run = [str(BIN / "dbt"), "--quiet", "--no-use-colors", *arguments]
        at_work = Path(self.environment["WAREHOUSE_PATH"])
        if self.path.exists():
            self.path.rename(at_work)
        subprocess.run(run, cwd=PROJECT, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        at_work.rename(self.path)
        target = self.at_work / "target"
        if (target / "compiled").exists():
            shutil.copytree(target / "compiled", self.folder / "compiled", dirs_exist_ok=True)
        results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))
        seconds = {node["unique_id"].split(".")[-1]: node["execution_time"] for node in results["results"]}
        return {**seconds, "run": results["elapsed_time"]}

    def compiled(self, model: str) -> str:
        """Return the SQL of a model."""
        (path,) = (self.folder / "compiled").rglob(f"{model}.sql")
        return path.read_text(encoding="utf-8")

    def tables(self, models: list[str]) -> list[str]:
        """Return the statements that make tables of models."""
        return [f"create or replace table intermediate.{model} as {self.compiled(model)}" for model in models]

    def scan(self, register: str, columns: tuple[str, ...]) -> list[str]:
        """Return the statement that reads every value of the columns of a register and keeps none."""
        values = ", ".join(f"max({column})" for column in columns)
        return [f"select {values} from staging.stg_vendor__{register}"]


def measure(run: Callable[[], None]) -> tuple[float, float]:
    """Return seconds and the peak of this process's memory in MB; ru_maxrss would begin at that of the parent."""
    import time

    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return seconds, int(status.split("VmHWM:")[1].split()[0]) / 1024


def worker(task: dict[str, str | list[str]]) -> tuple[float, float]:
    """Do one task in this process."""
    kind, path = str(task["kind"]), str(task["path"])
    if kind == "duckdb":
        with duckdb_client.connect(path, config={"threads": 2, "memory_limit": LIMIT}, reads_files=True) as connection:
            return measure(lambda: [connection.execute(statement).fetchall() for statement in task["statements"]])
    return measure({"pandas": lambda: in_pandas(path), "polars": lambda: in_polars(path)}[kind])


def timed(**task: object) -> tuple[float, float]:
    """Do a task in a fresh process."""
    command, given = [sys.executable, __file__, "--worker"], json.dumps(task, default=str)
    run = subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd=PROJECT)
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    seconds, peak = json.loads(run.stdout)
    return seconds, peak


def against(repeats: int, base: dict[str, object], task: dict[str, object]) -> tuple[float, float, float]:
    """Run two tasks in turn, and return the best seconds of both and the peak memory of the second."""
    runs = [(timed(**base), timed(**task)) for _ in range(repeats)]
    return min(b[0] for b, _ in runs), min(t[0] for _, t in runs), max(t[1] for _, t in runs)


def sections() -> list[tuple[str, str]]:
    with (PROJECT / "seeds/industries.csv").open(encoding="utf-8") as file:
        return [(row["industry_code"], row["section"]) for row in csv.DictReader(file)]


def in_pandas(folder: str) -> None:
    """Count alive, entered and exited by city, section and year: one group-by to cells, then the years."""
    import pandas as pd
    import pyarrow.parquet as pq

    columns = ["城市代码", "行业代码", "成立日期", "注销日期"]
    table = pq.read_table(folder, columns=columns, read_dictionary=["城市代码", "行业代码"])
    firms = table.to_pandas(date_as_object=False, self_destruct=True)
    section = firms["行业代码"].cat.categories.str[:2].map(dict(sections())).fillna("?")
    codes = pd.Categorical(section)
    firms["section"] = pd.Categorical.from_codes(codes.codes[firms["行业代码"].cat.codes], codes.categories)
    firms["entry"] = firms["成立日期"].dt.year.clip(lower=2009)
    firms["exit"] = firms["注销日期"].dt.year.clip(2009, 2021).fillna(2021)
    usable = firms["entry"].le(2020) & ~(firms["注销日期"] < firms["成立日期"])
    keys = ["城市代码", "section", "entry", "exit"]
    cells = firms.loc[usable, keys].groupby(keys, observed=True).size().rename("firms").reset_index()
    for year in range(2010, 2021):
        for flag in (cells.entry.le(year) & cells.exit.gt(year), cells.entry.eq(year), cells.exit.eq(year)):
            cells[flag].groupby(["城市代码", "section"], observed=True)["firms"].sum()


def in_polars(folder: str) -> None:
    """Count the same with polars, streaming."""
    import polars as pl

    year = pl.col("注销日期").dt.year()
    names = pl.LazyFrame(sections(), schema=["division", "section"], orient="row")
    cells = (
        pl.scan_parquet(f"{folder}/*.parquet")
        .filter(pl.col("成立日期").dt.year() <= 2020, ~(pl.col("注销日期") < pl.col("成立日期")).fill_null(False))
        .select(
            "城市代码",
            division=pl.col("行业代码").str.head(2),
            entry=pl.col("成立日期").dt.year().clip(lower_bound=2009),
            exit=year.clip(2009, 2021).fill_null(2021),
        )
        .group_by("城市代码", "division", "entry", "exit")
        .agg(pl.len().alias("firms"))
        .join(names, on="division")
        .collect(engine="streaming")
    )
    for year in range(2010, 2021):
        for flag in (
            (pl.col("entry") <= year) & (pl.col("exit") > year),
            pl.col("entry") == year,
            pl.col("exit") == year,
        ):
            cells.filter(flag).group_by("城市代码", "section").agg(pl.col("firms").sum())


def draw(folder: Path, firms: int, patents: int, years: range) -> Path:
    from ai_manufacturing.synthetic import registers

    registers.write(folder, firms, patents, seed=1, patent_years=years)
    return folder


def first_file(extracts: Path, folder: Path, register: str, files: int) -> Path:
    """Make an extract set of the first files of a register."""
    (folder / register).mkdir(parents=True)
    for path in sorted((extracts / register).iterdir())[:files]:
        shutil.copy(path, folder / register / path.name)
    return folder


def landed(folder: Path, extracts: Path, register: str) -> tuple[Warehouse, dict[str, float]]:
    """Build a register from landing to counts with dbt, on the seeds that lie beside the folder once they are made."""
    seeds = folder.parent / "seeds"
    if not seeds.exists():
        Warehouse(seeds, extracts).dbt("seed")
    warehouse = Warehouse(folder, extracts, seeds / "warehouse.duckdb")
    return warehouse, warehouse.dbt("run", "--select", f"+int_{register}_counts")


def row(
    work: str, base: float, seconds: float, target: str, peak: float | None = None, note: str = ""
) -> dict[str, str]:
    return {
        "work": work,
        "base_s": f"{base:.2f}",
        "seconds": f"{seconds:.2f}",
        "ratio": f"{seconds / base:.2f}",
        "peak_mb": "" if peak is None else f"{peak:.0f}",
        "target": target,
        "note": note,
    }


def count_rows(scratch: Path, firms: int, repeats: int) -> list[dict[str, str]]:
    """Firms: counts against a scan, growth, and other tools."""
    extracts = draw(scratch / "firms", firms, 0, range(0))
    # a tenth of the firms in the same cities, not one province of the large register
    small = draw(scratch / "small_firms", firms // 10, 0, range(0))
    rows, grown = [], []
    for folder, name in ((small, "small"), (extracts, "large")):
        warehouse, built = landed(scratch / name, folder, "firm_register")
        with duckdb_client.connect(str(warehouse.path), read_only=True, reads_files=True) as connection:
            (count,) = connection.execute("select count(*) from raw.raw_firm_register").fetchone() or (0,)
        scan = {"kind": "duckdb", "path": warehouse.path, "statements": warehouse.scan("firm_register", FIRM_COLUMNS)}
        work = {**scan, "statements": warehouse.tables(COUNT_MODELS["firm_register"])}
        base, seconds, peak = against(repeats, scan, work)
        target = "1.5; 300 MB" if name == "large" else ""
        rows.append(row(f"{count:,} firms to counts / scan of the same columns", base, seconds, target, peak))
        grown.append((count, seconds, peak))
        if name == "large":
            unread = {**scan, "statements": warehouse.scan("firm_register", FIRM_COLUMNS[1:])}
            base, seconds, peak = against(repeats, unread, work)
            rows.append(row(f"{count:,} firms to counts / scan without the ids", base, seconds, "", peak))
            copy = {
                **scan,
                "statements": [
                    f"create temp table t as select {', '.join(FIRM_COLUMNS)} from staging.stg_vendor__firm_register"
                ],
            }
            base, seconds, peak = against(repeats, copy, work)
            rows.append(row(f"{count:,} firms to counts / the same columns copied to a table", base, seconds, "", peak))
            for step in ("doubtful_rows", "ai_candidates"):
                note = "dbt node, once per file"
                rows.append(row(f"{count:,} firms, {step}", base, built[f"int_register_{step}"], "", None, note))
            ten = first_file(extracts, scratch / "ten", "firm_register", 2)
            duck, _ = landed(scratch / "ten_build", ten, "firm_register")
            work = {"kind": "duckdb", "path": duck.path, "statements": duck.tables(COUNT_MODELS["firm_register"])}
            for tool in ("polars", "pandas"):
                if importlib.util.find_spec(tool) is None:
                    continue
                base, seconds, peak = against(repeats, work, {"kind": tool, "path": ten / "firm_register"})
                rows.append(row(f"10 million firms: {tool} / the project's SQL", base, seconds, "none", peak))
    (small_count, small_seconds, small_peak), (large_count, large_seconds, large_peak) = grown
    size = f"{small_count:,} to {large_count:,} firms"
    rows.append(row(f"growth in time, {size}", small_seconds, large_seconds, "11"))
    rows.append(row(f"growth in memory (MB), {size}", small_peak, large_peak, "1.2"))
    shutil.rmtree(extracts)
    return rows


def patent_rows(scratch: Path, patents: int, repeats: int) -> list[dict[str, str]]:
    """Patents: counts against a scan, and one more year onto what has landed."""
    extracts = draw(scratch / "patents", 0, patents * 5 // 4, range(2016, 2021))
    older = first_file(extracts, scratch / "older", "patent_register", 4)
    warehouse, _ = landed(scratch / "grown", older, "patent_register")
    scan = {"kind": "duckdb", "path": warehouse.path, "statements": warehouse.scan("patent_register", PATENT_COLUMNS)}
    work = {**scan, "statements": warehouse.tables(COUNT_MODELS["patent_register"])}
    base, seconds, peak = against(repeats, scan, work)
    rows = [row(f"{patents:,} patents to counts / scan of the same columns", base, seconds, "2", peak)]
    last = sorted((extracts / "patent_register").iterdir())[-1]
    shutil.copy(last, older / "patent_register" / last.name)
    more = warehouse.dbt("run", "--select", "+int_patent_register_counts")["run"]
    _, full = landed(scratch / "full", extracts, "patent_register")
    note = "dbt run from landing to counts, without start-up"
    rows.append(row(f"one more year of {patents // 4:,} patents / full build", full["run"], more, "0.33", None, note))
    shutil.rmtree(extracts)
    return rows


def tag_rows(scratch: Path, scopes: int, repeats: int) -> list[dict[str, str]]:
    """AI tagging of business scopes with dictionaries of two sizes, against a scan of the text."""
    extracts = draw(scratch / "scopes", scopes, 0, range(0))
    warehouse, _ = landed(scratch / "tags", extracts, "firm_register")
    scan = {
        "kind": "duckdb",
        "path": warehouse.path,
        "statements": warehouse.scan("firm_register", ("business_scope",)),
    }
    with (PROJECT / "seeds/ai_keywords.csv").open(encoding="utf-8") as file:
        seed = [row for row in csv.DictReader(file) if row["kind"] == "include"]
    rows = []
    for size, target in ((200, "3.5"), (3000, "6")):
        terms = [(*r.values(),) for r in seed[:size]]
        terms += invented_terms(size - len(terms), {term[0] for term in terms})
        with duckdb_client.connect(str(warehouse.path), reads_files=True) as connection:
            connection.execute("delete from seeds.ai_keywords where kind = 'include'")
            connection.executemany("insert into seeds.ai_keywords values (?, ?, ?, ?, ?, ?, ?, ?)", terms)
        warehouse.dbt("compile", "--full-refresh", "--select", "int_register_ai_candidates int_register_ai_tags")
        models = ["int_register_ai_candidates", "int_register_ai_tags"]
        base, seconds, peak = against(repeats, scan, {**scan, "statements": warehouse.tables(models)})
        rows.append(row(f"{scopes:,} scopes tagged, {size:,} terms / scan of the text", base, seconds, target, peak))
    shutil.rmtree(extracts)
    return rows


def invented_terms(count: int, known: set[str]) -> list[tuple[str, ...]]:
    """Invent terms of three to six Chinese characters that share their characters with the scopes."""
    from ai_manufacturing.synthetic.registers import AI_PHRASES, GOODS

    letters = sorted(set("".join(AI_PHRASES + GOODS)))
    draw = random.Random(1)
    found: set[str] = set()
    while len(found) < count:
        found.add("".join(draw.choices(letters, k=draw.randint(3, 6))))
        found -= known
    place = ("deep learning", "basic theory and core technology", "any", "own", "")
    return [(term, "zh", "include", *place) for term in sorted(found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--firms", type=int, default=50_000_000)
    parser.add_argument("--patents", type=int, default=20_000_000)
    parser.add_argument("--scopes", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(worker(json.load(sys.stdin))))
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows = tag_rows(scratch, arguments.scopes, arguments.repeats)
        print_table(rows)
        rows += patent_rows(scratch, arguments.patents, arguments.repeats)
        print_table(rows)
        rows += count_rows(scratch, arguments.firms, arguments.repeats)
    table = print_table(rows)
    if arguments.out:
        head = f"{os.cpu_count()} cores, memory limit {LIMIT}; `python benchmarks/registers.py --out benchmarks`.\n\n"
        (arguments.out / "registers.md").write_text(head + table + "\n", encoding="utf-8")
        with (arguments.out / "registers.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def print_table(rows: list[dict[str, str]]) -> str:
    names = [*rows[0]]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    table = "\n".join(lines)
    print(table, flush=True)
    return table


if __name__ == "__main__":
    main()
