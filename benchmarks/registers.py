"""Time the counting of firm and patent registers, and compare it with scans and other tools.

dbt compiles the project's SQL. Each run is a separate process with two threads and the memory limit
in WAREHOUSE_MEMORY_LIMIT (here 512MB by default). The comparison includes polars if it is installed
(`pip install polars`).
"""

import csv
import importlib.util
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ai_manufacturing.system import duckdb_client
from benchmarks import measuring
from benchmarks.measuring import BIN, COUNTS, PROJECT, Scratch, Section

LIMIT = os.environ.setdefault("WAREHOUSE_MEMORY_LIMIT", "512MB")
SIZES, QUICK = (50_000_000, 20_000_000, 1_000_000), (20_000, 8_000, 2_000)
"""Numbers of firms, patents and business scopes in full and in quick runs."""
SCAN = "benchmarks/registers.py"
BY_HAND = "benchmarks/peers/registers_by_hand.py"
WHY_SCAN = "The scan counts nothing."
WHY_TAGS = "The scan does not search for terms."
WHY_WHOLE = "The script does not use dbt or store files."
WHY_MORE = "The register has ten times as many firms."
TOOLS = {"duckdb": "DuckDB by hand", "polars": "polars by hand", "pandas": "pandas by hand"}
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
    register: [
        "int_register_cohorts",
        "int_register_places",
        "int_register_cells",
        f"int_{register}_counts",
    ]
    for register in ("firm_register", "patent_register")
}


class Warehouse:
    """Temporary warehouse of one extract set, with the compiled SQL of its models."""

    def __init__(self, folder: Path, extracts: Path, seeds: Path | None = None) -> None:
        self.folder, self.path = folder, folder / "warehouse.duckdb"
        # Build at a constant path, because dbt would parse the project again for another path.
        self.at_work = folder.parent / "at_work"
        folder.mkdir(exist_ok=True)
        self.at_work.mkdir(exist_ok=True)
        if seeds is not None:
            shutil.copy(seeds, self.path)
        self.environment = {
            **Scratch(folder, extracts).environment,
            "WAREHOUSE_PATH": str(self.at_work / "warehouse.duckdb"),
            "DBT_TARGET_PATH": str(self.at_work / "target"),
        }

    def dbt(self, *arguments: str) -> dict[str, float]:
        """Run dbt; return the seconds of each node, and the total without start-up under "run"."""
        at_work = Path(self.environment["WAREHOUSE_PATH"])
        if self.path.exists():
            self.path.rename(at_work)
        measuring.run([BIN / "dbt", "--quiet", *arguments], self.environment)
        at_work.rename(self.path)
        target = self.at_work / "target"
        if (target / "compiled").exists():
            shutil.copytree(target / "compiled", self.folder / "compiled", dirs_exist_ok=True)
        results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))
        seconds = {
            node["unique_id"].split(".")[-1]: node["execution_time"] for node in results["results"]
        }
        return {**seconds, "run": results["elapsed_time"]}

    def compiled(self, model: str) -> str:
        """Return the compiled SQL of a dbt model."""
        (path,) = (self.folder / "compiled").rglob(f"{model}.sql")
        return path.read_text(encoding="utf-8")

    def tables(self, models: list[str]) -> list[str]:
        """Return SQL statements that create the tables of the given dbt models."""
        return [
            f"create or replace table intermediate.{model} as {self.compiled(model)}"
            for model in models
        ]

    def scan(self, register: str, columns: tuple[str, ...]) -> list[str]:
        """Return a query that reads all values of a register's columns without storing them."""
        values = ", ".join(f"max({column})" for column in columns)
        return [f"select {values} from ({self.compiled(f'stg_vendor__{register}')})"]


def worker(path: str, statements: list[str]) -> tuple[float, float]:
    """Run SQL statements; return the seconds and the peak memory of this process in bytes.

    The peak is read from VmHWM, because ru_maxrss starts at the parent process's peak.
    """
    with duckdb_client.connect(
        path, config={"threads": 2, "memory_limit": LIMIT}, reads_files=True
    ) as connection:
        started = time.perf_counter()
        for statement in statements:
            connection.execute(statement).fetchall()
        seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return seconds, int(status.split("VmHWM:")[1].split()[0]) * 1024


def timed(warehouse: Warehouse, statements: list[str]) -> tuple[float, float]:
    """Time SQL statements on a warehouse in a new process."""
    # Pass the statements in a file, because a statement with all terms is too long for a command
    # line.
    task = warehouse.folder / "task.json"
    task.write_text(json.dumps([str(warehouse.path), statements]), encoding="utf-8")
    seconds, peak = json.loads(
        measuring.run([sys.executable, "-m", "benchmarks.registers", "--worker", task])
    )
    return seconds, peak


def against(
    warehouse: Warehouse, base: list[str], work: list[str], repeats: int
) -> tuple[list[float], ...]:
    """Time two lists of SQL statements, alternating between them.

    Returns the seconds of the first, the seconds of the second, and the second's memory.
    """
    runs = [(timed(warehouse, base), timed(warehouse, work)) for _ in range(repeats)]
    return (
        [first[0] for first, _ in runs],
        [second[0] for _, second in runs],
        [second[1] for _, second in runs],
    )


def draw(folder: Path, firms: int, patents: int, years: range) -> Path:
    from ai_manufacturing.paper.synthetic import registers

    registers.write_registers(folder, firms, patents, seed=1, patent_years=years)
    return folder


def first_file(extracts: Path, folder: Path, register: str, files: int) -> Path:
    """Create an extract set from the first `files` files of a register."""
    (folder / register).mkdir(parents=True)
    for path in sorted((extracts / register).iterdir())[:files]:
        shutil.copy(path, folder / register / path.name)
    return folder


def landed(folder: Path, extracts: Path, register: str) -> tuple[Warehouse, dict[str, float]]:
    """Build the counts of a register from its delivered files, on seeds that are loaded once."""
    seeds = folder.parent / "seeds"
    if not seeds.exists():
        Warehouse(seeds, extracts).dbt("seed")
    warehouse = Warehouse(folder, extracts, seeds / "warehouse.duckdb")
    return warehouse, warehouse.dbt("run", "--select", f"+int_{register}_counts")


def add_whole(
    section: Section, extracts: Path, scratch: Path, tools: list[str], repeats: int
) -> None:
    """Time the counting of firms from files, including IDs and texts, against other tools.

    dbt's time includes start-up and landing, but not parsing.
    """
    ours = Scratch(scratch / "whole", extracts)
    ours.emptied()
    ours.dbt("parse")
    runs: dict[str, list[measuring.Usage]] = {}
    for _ in range(repeats):
        ours.unbuilt()
        runs.setdefault("ours", []).append(
            measuring.used([BIN / "dbt", "--quiet", *COUNTS], ours.environment)
        )
        for tool in tools:
            command = [
                sys.executable,
                "-m",
                "benchmarks.peers.registers_by_hand",
                tool,
                extracts / "firm_register",
            ]
            found = measuring.used(command, {**os.environ, "POLARS_MAX_THREADS": "2"})
            runs.setdefault(tool, []).append(found)
    for name, taken in runs.items():
        if any(run.exit_code for run in taken):
            raise SystemExit(
                f"{name} exited with code {taken[-1].exit_code}. Its output ends with:\n"
                f"{taken[-1].output[-3000:]}"
            )
    firms = f"{rows_of(extracts):,} firms, complete build"
    for tool in tools:
        for part, work, unit, limit, why in (
            ("seconds", firms, "s", "≤ 22 s for 50M", WHY_WHOLE),
            (
                "peak",
                f"{firms}: memory",
                "B",
                "≤ 1 GB for 50M",
                "dbt and its parsed project also need memory.",
            ),
        ):
            mine, theirs = ([getattr(run, part) for run in runs[name]] for name in ("ours", tool))
            section.add(work, mine, TOOLS[tool], theirs, BY_HAND, limit, unit, why)


def rows_of(extracts: Path) -> int:
    """Return the number of firms in the register of an extract set."""
    with duckdb_client.connect(reads_files=True) as connection:
        files = f"{extracts}/firm_register/*.parquet"
        (count,) = connection.execute(
            "select count(*) from read_parquet(?)", [files]
        ).fetchone() or (0,)
    return int(count)


def add_counts(section: Section, scratch: Path, firms: int, repeats: int, *, quick: bool) -> None:
    """Time the counting of firms for two sizes, against a scan and other tools."""
    extracts = draw(scratch / "firms", firms, 0, range(0))
    # The smaller register has a tenth of the firms, spread over the same cities.
    small = draw(scratch / "small_firms", firms // 10, 0, range(0))
    grown = []
    for folder, is_large in ((small, False), (extracts, True)):
        warehouse, built = landed(
            scratch / ("large" if is_large else "small"), folder, "firm_register"
        )
        scan, counts = (
            warehouse.scan("firm_register", FIRM_COLUMNS),
            warehouse.tables(COUNT_MODELS["firm_register"]),
        )
        base, seconds, peak = against(warehouse, scan, counts, repeats)
        work = f"{rows_of(folder):,} firms, grouping"
        section.add(
            work,
            seconds,
            "plain scan",
            base,
            SCAN,
            "≤ 1.3 ×" if is_large else "",
            why=WHY_SCAN,
        )
        section.add(f"{work}: memory", peak, limit="≤ 300 MB", unit="B")
        grown.append((rows_of(folder), seconds, peak))
        if is_large:
            columns = ", ".join(FIRM_COLUMNS)
            copy = [
                f"create temp table t as select {columns} from"
                f" ({warehouse.compiled('stg_vendor__firm_register')})"
            ]
            for peer, statements, limit in (
                (
                    "scan without the ids",
                    warehouse.scan("firm_register", FIRM_COLUMNS[1:]),
                    "≤ 3.5 ×",
                ),
                ("copy of the same columns", copy, ""),
            ):
                base, seconds, _ = against(warehouse, statements, counts, repeats)
                section.add(work, seconds, peer, base, SCAN, limit, why=WHY_SCAN)
            for step, what in (
                ("doubtful_rows", "ids checked"),
                ("ai_candidates", "texts searched"),
            ):
                section.add(f"{rows_of(folder):,} firms, {what}", [built[f"int_register_{step}"]])
        shutil.rmtree(warehouse.folder)
        if not (quick and is_large):
            tools = [
                tool
                for tool in TOOLS
                if importlib.util.find_spec(tool) and not (is_large and tool == "pandas")
            ]
            add_whole(section, folder, scratch, tools, repeats)
    if importlib.util.find_spec("polars") is None:
        section.skipped.append("polars was skipped, because it is not installed.")
    (few, few_seconds, few_peak), (many, many_seconds, many_peak) = grown
    work, peer = f"{many:,} firms, grouping", f"{few:,} firms"
    section.add(
        work, many_seconds, peer, few_seconds, "benchmarks/registers.py", "≤ 11 ×", why=WHY_MORE
    )
    section.add(
        f"{work}: memory",
        many_peak,
        peer,
        few_peak,
        "benchmarks/registers.py",
        "≤ 1.2 ×",
        unit="B",
        why=WHY_MORE,
    )
    for folder in (extracts, small):
        shutil.rmtree(folder)


def add_patents(section: Section, scratch: Path, patents: int, repeats: int) -> None:
    """Time the counting of patents against a scan, and the addition of one more year."""
    extracts = draw(scratch / "patents", 0, patents * 5 // 4, range(2016, 2021))
    older = first_file(extracts, scratch / "older", "patent_register", 4)
    warehouse, _ = landed(scratch / "grown", older, "patent_register")
    scan, counts = (
        warehouse.scan("patent_register", PATENT_COLUMNS),
        warehouse.tables(COUNT_MODELS["patent_register"]),
    )
    base, seconds, _ = against(warehouse, scan, counts, repeats)
    section.add(
        f"{patents:,} patents, grouping",
        seconds,
        "plain scan",
        base,
        SCAN,
        "≤ 2 ×",
        why=WHY_SCAN,
    )
    last = sorted((extracts / "patent_register").iterdir())[-1]
    shutil.copy(last, older / "patent_register" / last.name)
    more = warehouse.dbt("run", "--select", "+int_patent_register_counts")["run"]
    _, full = landed(scratch / "full", extracts, "patent_register")
    work = f"adding a year of {patents // 4:,} patents"
    section.add(
        work,
        [more],
        "build of all years",
        [full["run"]],
        "benchmarks/registers.py",
        "≤ 0.25 ×",
    )
    shutil.rmtree(extracts)


def add_tags(section: Section, scratch: Path, scopes: int, repeats: int) -> None:
    """Time the AI tagging of business scopes for two dictionary sizes, against a text scan."""
    extracts = draw(scratch / "scopes", scopes, 0, range(0))
    warehouse, _ = landed(scratch / "tags", extracts, "firm_register")
    scan = warehouse.scan("firm_register", ("business_scope",))
    with (PROJECT / "seeds/ai_keywords.csv").open(encoding="utf-8") as file:
        seed = [row for row in csv.DictReader(file) if row["kind"] == "include"]
    for size, limit in ((200, "≤ 3 ×"), (3000, "≤ 4.5 ×")):
        terms: list[Any] = [(*row.values(),) for row in seed[:size]]
        terms += invented_terms(size - len(terms), {term[0] for term in terms})
        with duckdb_client.connect(str(warehouse.path), reads_files=True) as connection:
            connection.execute("delete from seeds.ai_keywords where kind = 'include'")
            connection.executemany(
                "insert into seeds.ai_keywords values (?, ?, ?, ?, ?, ?, ?, ?)", terms
            )
        models = ["int_register_ai_candidates", "int_register_ai_tags"]
        warehouse.dbt("compile", "--full-refresh", "--select", *models)
        base, seconds, _ = against(warehouse, scan, warehouse.tables(models), repeats)
        section.add(
            f"{scopes:,} scopes tagged, {size:,} terms",
            seconds,
            "scan of the text",
            base,
            SCAN,
            limit,
            why=WHY_TAGS,
        )
    shutil.rmtree(extracts)


def invented_terms(count: int, known: set[str]) -> list[tuple[str, ...]]:
    """Invent terms of three to six Chinese characters that also occur in business scopes."""
    from ai_manufacturing.paper.synthetic.registers import AI_PHRASES, GOODS

    letters = sorted(set("".join(AI_PHRASES + GOODS)))
    draw = random.Random(1)
    found: set[str] = set()
    while len(found) < count:
        found.add("".join(draw.choices(letters, k=draw.randint(3, 6))))
        found -= known
    place = ("deep learning", "basic theory and core technology", "any", "own", "")
    return [(term, "zh", "include", *place) for term in sorted(found)]


def measure(repeats: int, *, quick: bool) -> Section:
    """Time the tagging of texts and the counting of patents and firms."""
    firms, patents, scopes = QUICK if quick else SIZES
    section = Section(
        "Registers",
        "Grouping runs the project's SQL on stored files, and a plain scan reads all values of"
        " the same columns. The time for adding a year includes landing, but not dbt's start-up."
        " A complete build is a `dbt build` of a parsed project from Parquet files to counts,"
        " and includes start-up, landing, the check of ids and the search of texts. The"
        " hand-written scripts deduplicate ids, tag texts and count firms, but do not store"
        " files, remove excluded terms or account for rejected rows. DuckDB uses two threads and"
        f" at most {LIMIT} of memory.",
    )
    with measuring.scratch() as scratch:
        add_tags(section, scratch, scopes, repeats)
        add_patents(section, scratch, patents, repeats)
        add_counts(section, scratch, firms, repeats, quick=quick)
    found = [name for name in ("duckdb", "polars", "pandas") if importlib.util.find_spec(name)]
    section.versions = [measuring.version(name) for name in found]
    return section


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(worker(*json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))))
    else:
        measuring.main(measure)
