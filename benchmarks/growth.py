"""Measure how time, memory and disk use grow with firms, cities, years, regressions and files.

Each point is one run in a separate process, and another process draws its inputs. Cities and
specifications are rows of seeds, so their points build a copy of the project with longer seeds.
Sizes increase until a run ends without a result.
"""

import csv
import json
import math
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import BIN, COUNTS, PROJECT, Scratch, Section, shown
from benchmarks.whole_paper import QUICK

HOUR = 3600.0
MEMORY = 4e9
"""Memory limit in bytes for the whole process, equal to the default of WAREHOUSE_MEMORY_LIMIT."""
OPEN_FILES = 1024
"""Usual limit on the number of open files per process."""
CLOSE = 0.15
"""Maximum relative deviation of a point from a law that counts as fitting."""
LARGEST = 1e12
ROWS_PER_FILE = 300
DELIVER = """
import sys
from pathlib import Path
from benchmarks import landing
for number in range(int(sys.argv[2])):
    landing.write_file(Path(sys.argv[1]), number, int(sys.argv[3]))
"""
LAND = """
import os
from pathlib import Path
from benchmarks import landing
landing.build_rows(landing.landing.land_deliveries(), Path(os.environ["WAREHOUSE_PATH"]))
"""
FAILED_GATE = (
    "select description from gates.gate_results where severity = 'critical' and not success order"
    " by suite"
)


@dataclass(frozen=True)
class Point:
    """Time, memory and disk used by one run, with the failure if there was one.

    Attributes
    ----------
    size : int
    seconds, processor : float
        Wall time and processor time.
    memory, disk : float
        Bytes used by the largest process, and by the landing store and the warehouse.
    slowest : str
        The dbt node that took longest, with its seconds.
    broke : str
        The failure, or the limit that was exceeded; empty if there was none.
    is_end : bool
        Whether the run ended without a result.
    """

    size: int
    seconds: float
    processor: float
    memory: float
    disk: float
    slowest: str = ""
    broke: str = ""
    is_end: bool = False


@dataclass(frozen=True)
class Fit:
    """Fitted law of growth of a resource, such as time or memory, with input size.

    Attributes
    ----------
    kind : str
        "power" (scale x size ^ exponent), "line" (fixed + slope x size), or "neither". If neither
        law fits, larger sizes are extrapolated with the exponent between the two largest sizes, or
        as a constant if that exponent is negative.
    exponent : float
        Least-squares slope of the logs of all points.
    first, last : float
        Exponents between the two smallest and the two largest sizes.
    scale, fixed, slope : float
        Parameters of the power and of the line.
    largest : tuple of float
        The largest size, and the quantity at this size.
    """

    kind: str
    exponent: float
    first: float
    last: float
    scale: float
    fixed: float
    slope: float
    largest: tuple[float, float]

    def at(self, size: float) -> float:
        """Return the quantity that the fitted law predicts for a size."""
        if self.kind == "power":
            return float(self.scale * size**self.exponent)
        if self.kind == "line":
            return self.fixed + self.slope * size
        largest, quantity = self.largest
        return float(quantity * (size / largest) ** max(self.last, 0.0))

    def words(self, unit: str) -> str:
        """Return a description of the fitted law for a table cell."""
        if self.kind == "power":
            return "a power"
        if self.kind == "line":
            # Express the slope per power of ten of units, so that the printed number has
            # significant digits.
            each = (
                10 ** max(0, math.ceil(-math.log10(self.slope)) + (6 if unit == "B" else 0))
                if self.slope
                else 1
            )
            return f"{shown(self.fixed, unit)} + {shown(self.slope * each, unit)} per {each:,}"
        return f"no law: first exponent {self.first:.2f}, last {self.last:.2f}"


def fit(sizes: Sequence[float], quantities: Sequence[float]) -> Fit:
    """Fit a power law and a straight line to measurements, and return the closer law if it fits.

    Parameters
    ----------
    sizes, quantities : sequence of float
        At least two points, ascending, all above zero.

    Returns
    -------
    Fit
        Both laws minimise relative deviations. The power is fitted by least squares of the logs.
        The line is fitted by least squares of (fixed + slope x size) / quantity - 1, with parts
        that are not negative. The closer law is returned if no point deviates by more than
        `CLOSE`. The line wins ties, such as two points. A decreasing power is noise, and is never
        returned.

    Raises
    ------
    ValueError
        If there are fewer than two points, or one is not above zero.
    """
    if len(sizes) < 2 or min(*sizes, *quantities) <= 0:
        raise ValueError(
            f"A law needs at least two points above zero, but these points were given:"
            f" {[*zip(sizes, quantities, strict=True)]}."
        )
    logs = [[math.log(value) for value in values] for values in (sizes, quantities)]
    exponent, intercept = statistics.linear_regression(*logs)
    steps = [
        (logs[1][at + 1] - logs[1][at]) / (logs[0][at + 1] - logs[0][at])
        for at in (0, len(sizes) - 2)
    ]
    fixed, slope = _line(
        [1 / quantity for quantity in quantities],
        [x / y for x, y in zip(sizes, quantities, strict=True)],
    )
    laws = {
        kind: Fit(
            kind, exponent, *steps, math.exp(intercept), fixed, slope, (sizes[-1], quantities[-1])
        )
        for kind in ("power", "line", "neither")
    }
    misfits = {
        kind: max(abs(laws[kind].at(x) / y - 1) for x, y in zip(sizes, quantities, strict=True))
        for kind in (("line", "power") if exponent > 0 else ("line",))
    }
    closest = min(misfits, key=lambda kind: round(misfits[kind], 9))
    return laws[closest if misfits[closest] <= CLOSE else "neither"]


def _line(fixed: list[float], slope: list[float]) -> tuple[float, float]:
    """Return non-negative least-squares coefficients of a column of ones on two columns."""
    aa, ab, bb = (
        sum(x * y for x, y in zip(p, q, strict=True))
        for p, q in ((fixed, fixed), (fixed, slope), (slope, slope))
    )
    a, b = sum(fixed), sum(slope)
    determinant = aa * bb - ab * ab
    found = (
        ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant)
        if determinant
        else (0.0, b / bb)
    )
    if found[0] < 0:
        return 0.0, b / bb
    return found if found[1] >= 0 else (a / aa, 0.0)


def size_at(law: Fit, limit: float) -> float | None:
    """Return the size at which a law reaches a limit, or None if the size exceeds `LARGEST`."""
    low, high = 0.0, math.log(LARGEST)
    if law.at(math.exp(high)) < limit:
        return None
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if law.at(math.exp(middle)) < limit else (low, middle)
    return math.exp(high)


def broke(
    usage: measuring.Usage, seconds: float = HOUR, memory: float = MEMORY
) -> tuple[str, bool]:
    """Return why a run failed or exceeded a limit, and whether it ended without a result."""
    if usage.exit_code:
        if usage.seconds >= seconds:
            return f"killed after {shown(seconds, 's')}", True
        lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in usage.output.splitlines()]
        said = [
            line for line in lines if re.search(r"error|exception|killed|fail", line, re.IGNORECASE)
        ] or lines
        return f"exit code {usage.exit_code}: {(said or [''])[-1][:200]}".replace("|", "/"), True
    if usage.peak > memory:
        return (
            f"The run used {shown(usage.peak, 'B')} of memory, which exceeds the limit of"
            f" {shown(memory, 'B')}."
        ), False
    return "", False


def firms(scratch: Scratch, size: int) -> dict[str, str]:
    """Write a random register of `size` firms, and return the environment for dbt."""
    sizes = ("--firms", str(size), "--patents", "0", "--seed", "1")
    scratch.command("registers", "--out", scratch.extracts, *sizes)
    return scratch.environment


def years(scratch: Scratch, size: int) -> dict[str, str]:
    """Write a synthetic sample of `size` years up to 2020."""
    scratch.command("synthetic", "--out", scratch.extracts, "--years", f"{2021 - size}:2020")
    return scratch.environment


def in_a_copy(
    scratch: Scratch, size: int, seeds: dict[str, Callable[[dict[str, str], int], dict[str, str]]]
) -> dict[str, str]:
    """Copy the project, extend its seeds to `size` rows, and write its synthetic sample.

    The functions in `seeds` derive a new row from an existing one and a number.
    """
    copy = scratch.folder / "project"
    copy.mkdir()
    for path in PROJECT.iterdir():
        if path.name not in ("seeds", "build", "target", "logs") and not path.name.startswith("."):
            (copy / path.name).symlink_to(path)
    shutil.copytree(PROJECT / "seeds", copy / "seeds")
    for name, another in seeds.items():
        path = copy / f"seeds/{name}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = [*csv.DictReader(file)]
        if size < len(rows):
            raise ValueError(
                f"seeds/{name}.csv has {len(rows)} rows, which is more than the size {size}."
            )
        more = [another(rows[number % len(rows)], number + 1) for number in range(size - len(rows))]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            writer.writeheader()
            writer.writerows([*rows, *more])
    environment = {
        **scratch.environment,
        "DBT_PROJECT_DIR": str(copy),
        "DBT_PROFILES_DIR": str(copy),
    }
    measuring.run([BIN / "ai-manufacturing", "synthetic", "--out", scratch.extracts], environment)
    return environment


def cities(scratch: Scratch, size: int) -> dict[str, str]:
    """Write a synthetic sample for a city list that is extended to `size` cities."""

    def another(row: dict[str, str], number: int) -> dict[str, str]:
        names = {name: f"{row[name]}{number}" for name in ("short_name_zh", "name_en")}
        names |= {"name_zh": f"{names['short_name_zh']}市", "unit_kind": "prefecture_level"}
        # Shift the copies of a city slightly to the east, because the distance between two cities
        # must not be zero.
        names["longitude"] = f"{float(row['longitude']) + number / 10_000:.4f}"
        return {**row, "city_id": str(900_000 + number), **names}

    return in_a_copy(scratch, size, {"cities": another})


def specifications(scratch: Scratch, size: int) -> dict[str, str]:
    """Write a synthetic sample in a project with `size` regressions, by repeating seed rows."""

    def another(row: dict[str, str], number: int) -> dict[str, str]:
        named = {
            "specification_id": f"growth_{number}",
            "table_id": "growth",
            "column_number": str(number),
        }
        return {**row, **named, "is_headline": "false"}

    return in_a_copy(scratch, size, {"regression_specifications": another})


def files(scratch: Scratch, size: int) -> dict[str, str]:
    """Write `size` CSV files, each with the industries of one city and one year."""
    measuring.run([sys.executable, "-c", DELIVER, scratch.extracts, str(size), str(ROWS_PER_FILE)])
    return scratch.environment


@dataclass(frozen=True)
class Axis:
    """Dimension along which the input grows, such as the number of cities.

    Attributes
    ----------
    draw : callable
        Writes the inputs of a size, and returns the environment of the measured command.
    command : tuple
        The measured command.
    work : str
        Name of the counted things, which the report appends to the size.
    sizes, quick : tuple of int
        Sizes of a full and of a quick run.
    asked : dict of str to int
        Sizes for which docs/growth.md extrapolates the cost, keyed by their description.
    """

    draw: Callable[[Scratch, int], dict[str, str]]
    command: tuple[str | Path, ...]
    work: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    asked: dict[str, int]


BUILD = (BIN / "dbt", "--quiet", "build", "--exclude", "resource_type:unit_test")
AXES = {
    "firms": Axis(
        firms,
        (BIN / "dbt", "--quiet", *COUNTS),
        "firms",
        (500_000, 2_000_000, 5_000_000, 20_000_000, 50_000_000),
        (2_000, 20_000),
        {
            "enterprises of China": 60_000_000,
            "businesses of China": 188_000_000,
            "firms of fifty countries": 200_000_000,
        },
    ),
    "cities": Axis(
        cities,
        BUILD,
        "cities",
        (367, 700, 1_500, 3_000),
        (367, 370),
        {"counties of China": 2_850, "regions of fifty countries": 2_400},
    ),
    "years": Axis(years, BUILD, "years", (11, 15, 20, 30), (6, 11), {}),
    "files": Axis(
        files,
        (sys.executable, "-c", LAND),
        "files",
        (10, 100, 1_000, 3_000, 10_000),
        (2, 20),
        {"files of fifty countries": 1_650},
    ),
    "specifications": Axis(
        specifications,
        BUILD,
        "specifications",
        (300, 1_000, 3_000, 10_000),
        (250, 300),
        {},
    ),
}


def point(
    axis: Axis, size: int, *, quick: bool = False, seconds: float = HOUR, memory: float = MEMORY
) -> Point:
    """Create the inputs of one size, and measure one run of the command within the limits."""
    with measuring.scratch() as folder:
        scratch = Scratch(folder, folder / "extracts")
        environment = {
            **axis.draw(scratch, size),
            "ACCEPTED_GATE_FAILURES": "growth",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [*axis.command, *(QUICK if quick and axis.command is BUILD else ())]
        within = ["/bin/sh", "-c", f'ulimit -n {OPEN_FILES} && exec "$@"', "sh"]
        usage = measuring.used([*within, *command], environment, seconds)
        kept = (folder / "landing", folder / "warehouse.duckdb")
        disk = sum(
            file.stat().st_size
            for path in kept
            for file in (path, *path.rglob("*"))
            if file.is_file()
        )
        what, is_end = broke(usage, seconds, memory)
        found = [*([] if is_end else failed_gate(folder / "warehouse.duckdb")), what]
        slowest = slowest_node(folder / "target/run_results.json")
    text = " ".join(reason for reason in found if reason)
    return Point(size, usage.seconds, usage.processor, usage.peak, disk, slowest, text, is_end)


def slowest_node(results: Path) -> str:
    """Return the slowest dbt node and its seconds, or an empty string if dbt did not finish."""
    if not results.exists():
        return ""
    nodes = json.loads(results.read_text(encoding="utf-8"))["results"]
    longest = max(nodes, key=lambda node: float(node["execution_time"]))
    return f"`{longest['unique_id'].split('.')[2]}`, {shown(longest['execution_time'], 's')}"


def failed_gate(warehouse: Path) -> list[str]:
    """Describe the gate's critical failures in a list, which is empty if the gate passed."""
    from ai_manufacturing.system import duckdb_client

    if not warehouse.exists():
        return []
    with duckdb_client.connect(str(warehouse), read_only=True) as connection:
        judged = connection.execute(
            "select 1 from duckdb_tables() where table_name = 'gate_results'"
        ).fetchall()
        failed = [text for (text,) in connection.execute(FAILED_GATE).fetchall()] if judged else []
    if not failed:
        return []
    count = "1 critical failure" if len(failed) == 1 else f"{len(failed)} critical failures"
    first = failed[0].split(". ")[0].removesuffix(".")
    return [f'The gate reported {count}. The first failed expectation is: "{first}."']


def points(axis: Axis, *, quick: bool) -> list[Point]:
    """Measure runs of increasing size until a run ends without a result."""
    found: list[Point] = []
    for size in axis.quick if quick else axis.sizes:
        found.append(point(axis, size, quick=quick))
        print(found[-1], file=sys.stderr, flush=True)
        if found[-1].is_end:
            break
    return found


QUANTITIES = {"seconds": "s", "processor": "s", "memory": "B", "disk": "B"}
LIMITS = {"seconds": HOUR, "memory": MEMORY}


def add(section: Section, axis: Axis, found: list[Point]) -> tuple[list[tuple[str, ...]], ...]:
    """Add the largest run to a section, and return the rows of three Markdown tables.

    The tables show the measurements, the fitted laws, and predictions for the sizes asked for.
    """
    measured = [
        (
            f"{one.size:,} {axis.work}",
            *(shown(getattr(one, name), unit) for name, unit in QUANTITIES.items()),
            one.slowest,
            one.broke,
        )
        for one in found
    ]
    whole = [one for one in found if not one.is_end]
    if whole:
        work = f"{whole[-1].size:,} {axis.work}"
        section.add(work, [whole[-1].seconds], limit=f"≤ {HOUR / 3600:.0f} h")
        section.add(
            f"{work}: memory", [whole[-1].memory], limit=f"≤ {MEMORY / 1e9:.0f} GB", unit="B"
        )
    if len(whole) < 2:
        return measured, [], []
    laws = {
        name: fit([one.size for one in whole], [getattr(one, name) for one in whole])
        for name in QUANTITIES
    }
    of_laws, asked = [], []
    for name, law in laws.items():
        reached = size_at(law, LIMITS[name]) if name in LIMITS else None
        limit = (
            f"{shown(LIMITS[name], QUANTITIES[name])} at {float(f'{reached:.3g}'):,.0f}"
            if reached
            else ""
        )
        of_laws.append((axis.work, name, f"{law.exponent:.2f}", law.words(QUANTITIES[name]), limit))
    for what, size in axis.asked.items():
        # A curve that decreases at its end is noise, and is not extrapolated.
        given = (
            (
                "no law"
                if law.kind == "neither" and law.last <= 0
                else shown(law.at(size), QUANTITIES[name])
            )
            for name, law in laws.items()
        )
        asked.append((f"{size:,} {what}", axis.work, *given, f"{size / whole[-1].size:.3g}"))
    return measured, of_laws, asked


def measure(repeats: int, *, quick: bool, chosen: Sequence[str] = tuple(AXES)) -> Section:
    """Measure one run for each size along each dimension of growth."""
    section = Section(
        "Growth",
        "Each size was run once, with a new landing store and warehouse. The runs for firms"
        f" count a register, and the runs for files land files of {ROWS_PER_FILE} rows. The runs"
        " for cities, years and specifications build the sample with `dbt build`, without unit"
        " tests. Additional cities and specifications are copies of rows in the project's seeds."
        " The gate reports failures, but does not stop a build. A process may open at most"
        f" {OPEN_FILES:,} files. Memory is the peak of the largest process. An exponent is the"
        " slope of a regression of the log of a quantity on the log of the size. A law is a"
        " power function or a line (fixed part + slope) from which no run deviates by more than"
        f" {CLOSE:.0%}. If no law fits, larger sizes are extrapolated with the exponent between"
        " the two largest runs. [growth.md](../docs/growth.md) uses these laws to estimate the"
        " cost of larger warehouses.",
    )
    tables: tuple[list[tuple[str, ...]], ...] = ([], [], [])
    for name in chosen:
        for rows, more in zip(
            tables, add(section, AXES[name], points(AXES[name], quick=quick)), strict=True
        ):
            rows.extend(more)
    measured, laws, asked = tables
    parts = [
        measuring.table(
            (
                "size",
                "time",
                "processor",
                "memory",
                "disk",
                "slowest node",
                "failure, or exceeded limit",
            ),
            measured,
        ),
        "The following table shows the fitted laws, and the sizes at which they reach a limit:",
        measuring.table(("sizes", "quantity", "exponent", "law", "limit, extrapolated"), laws),
        "Extrapolated figures:" if asked else "",
        (
            measuring.table(
                ("size", "from", "time", "processor", "memory", "disk", "times the largest run"),
                asked,
            )
            if asked
            else ""
        ),
    ]
    section.details = "\n\n".join(part for part in parts if part)
    section.versions = [measuring.version(name) for name in ("dbt-core", "dbt-duckdb", "duckdb")]
    return section


if __name__ == "__main__":
    measuring.main(measure)
