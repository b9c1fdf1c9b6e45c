"""Helpers for the speed benchmarks: timing, Markdown tables and temporary warehouses."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PUBLIC_EXTRACTS = (
    PROJECT / os.environ.get("PUBLIC_EXTRACTS", "../shared/extracts/public")
).resolve()
BY_HAND = "benchmarks/peers/paper_by_hand.py"
NO_TESTS = ("--exclude", "resource_type:test", "resource_type:unit_test")
COUNTS = ("build", "--select", "+int_firm_register_counts", *NO_TESTS)
"""dbt arguments that build the models from a delivered register of firms to its counts."""
STEPS = {"s": (("s", 1.0), ("ms", 1e3), ("µs", 1e6)), "B": (("MB", 1e-6), ("kB", 1e-3), ("B", 1.0))}
"""Display units with their factors. Numbers use the first unit in which they are at least one."""


@dataclass(frozen=True)
class Row:
    """Row of the results table: this project's figure, optionally beside a peer's figure.

    Attributes
    ----------
    work : str
    ours : float
        Median of the runs, in `unit`.
    peer : str
        Name of the peer, or empty.
    theirs, ratio : float, optional
        Median of the peer's runs, and the median over pairs of ours / theirs.
    script : str
        The peer's script.
    limit : str
        The target, or empty.
    unit : str
        "s" or "B".
    why : str
        Reason why this project needs more than the peer, shown only if the ratio exceeds one.
    """

    work: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    script: str = ""
    limit: str = ""
    unit: str = "s"
    why: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the row, formatted for display."""
        beside = f"{self.peer}, {shown(self.theirs, self.unit)}" if self.theirs is not None else ""
        script = f"`{self.script}`" if self.script else ""
        return (
            self.work,
            shown(self.ours, self.unit),
            beside,
            "" if self.ratio is None else f"{self.ratio:.3g}",
            self.limit,
            script,
            self.why if self.ratio is not None and self.ratio > 1 else "",
        )


HEADINGS = (
    "work",
    "ours",
    "peer",
    "ours / peer",
    "target",
    "the peer's script",
    "why the ratio exceeds 1",
)
RUN = (
    "section",
    "date",
    "commit",
    "minutes",
    "load at the start",
    "paired runs",
    "machine",
    "versions",
)


@dataclass
class Section:
    """Results of one benchmark, as a section of the report.

    `run` describes the run: the cells of `RUN` except the first.
    """

    title: str
    how: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    details: str = ""
    versions: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)

    def add(
        self,
        work: str,
        ours: Sequence[float],
        peer: str = "",
        theirs: Sequence[float] = (),
        script: str = "",
        limit: str = "",
        unit: str = "s",
        why: str = "",
    ) -> None:
        """Add a row with the median of our runs, and their median ratio to a peer's runs."""
        beside, ratio = None, None
        if theirs:
            beside = statistics.median(theirs)
            ratio = statistics.median(
                mine / other for mine, other in zip(ours, theirs, strict=True)
            )
        self.rows.append(
            Row(work, statistics.median(ours), peer, beside, ratio, script, limit, unit, why)
        )

    @property
    def text(self) -> str:
        """Section in Markdown, without the rows of the results table."""
        skipped = "\n".join(f"- {reason}" for reason in self.skipped)
        return "\n\n".join(
            part for part in (f"## {self.title}", self.how, self.details, skipped) if part
        )


def shown(number: float, unit: str) -> str:
    """Format seconds or bytes with three significant digits in a suitable unit."""
    name, factor = next(
        ((name, by) for name, by in STEPS[unit] if number * by >= 1), STEPS[unit][-1]
    )
    return (
        f"{number * factor:.3g} {name}"
        if number * factor < 1000
        else f"{number * factor:,.0f} {name}"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format rows as a Markdown table, with an empty cell for None."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in ([*headings], ["---"] * len(headings), *cells)
    )


class Runs(defaultdict[str, list[float]]):
    """Durations of repeated runs in seconds, keyed by the name of the task.

    Compared runs alternate, so that other load on the machine affects all of them equally.
    """

    def __init__(self) -> None:
        super().__init__(list)

    def clock(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, record its duration in seconds, and return its result."""
        started = time.perf_counter()
        found = call(*arguments)
        self[name].append(time.perf_counter() - started)
        return found


def run(
    command: Sequence[str | Path], environment: dict[str, str] | None = None, *, accepted: int = 0
) -> str:
    """Run a command in the project folder, and return its output.

    If the exit code differs from the accepted one, exit with the last lines of the output.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != accepted:
        raise SystemExit(
            f"The command {' '.join(map(str, command))} exited with code {done.returncode}. Its"
            f" output ends with:\n{done.stdout[-3000:]}"
        )
    return done.stdout


@dataclass(frozen=True)
class Usage:
    """Time and memory used by a command, with its output and exit code.

    Attributes
    ----------
    seconds, processor : float
        Wall time, and processor time of the process and its descendants.
    peak : float
        Memory of the largest of these processes, in bytes.
    exit_code : int
        Negative if a signal ended the process.
    output : str
        Standard output and standard error.
    """

    seconds: float
    processor: float
    peak: float
    exit_code: int
    output: str


WATCH = """
import contextlib, ctypes, json, os, resource, signal, subprocess, sys, threading, time
out, limit, *command = sys.argv[1:]
if sys.platform == "linux":
    # PR_SET_CHILD_SUBREAPER: wait for processes that outlive the command
    ctypes.CDLL(None).prctl(36, 1)
started = time.perf_counter()
process = subprocess.Popen(command, start_new_session=True)
timer = threading.Timer(float(limit), os.killpg, (process.pid, signal.SIGKILL))
timer.daemon = True
timer.start()
try:
    code = process.wait()
    seconds = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
except BaseException:
    os.killpg(process.pid, signal.SIGKILL)
    raise
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(out, "w") as file:
    json.dump([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, code], file)
"""


def used(
    command: Sequence[str | Path], environment: dict[str, str] | None = None, limit: float = 1e6
) -> Usage:
    """Run a command for at most `limit` seconds, and return its time and memory use.

    A small process starts the command, because the peak memory of a process is never reported as
    less than its parent's memory.
    """
    with tempfile.TemporaryDirectory(prefix="bench_") as folder:
        found = Path(folder) / "usage.json"
        watch = [sys.executable, "-I", "-S", "-c", WATCH, found, limit]
        said = run([*map(str, watch), *command], environment)
        return Usage(*json.loads(found.read_text(encoding="utf-8")), said)


@dataclass(frozen=True)
class Scratch:
    """Temporary folder for a warehouse, landing store and dbt target of one extract set."""

    folder: Path
    extracts: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make dbt use this folder and its extract set."""
        return {
            **os.environ,
            "DBT_PROJECT_DIR": str(PROJECT),
            "DBT_PROFILES_DIR": str(PROJECT),
            "EXTRACTS_DIR": str(self.extracts),
            "LANDING_DIR": str(self.folder / "landing"),
            "WAREHOUSE_PATH": str(self.folder / "warehouse.duckdb"),
            "RELEASE_DIR": str(self.folder / "releases"),
            "RELEASE_PATH": "",
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "GX_ANALYTICS_ENABLED": "false",
        }

    def emptied(self) -> None:
        """Delete all files in the folder, including dbt's parsed project."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def unbuilt(self) -> None:
        """Delete the warehouse and the landing store, but keep dbt's parsed project."""
        for path in self.folder.iterdir():
            if path.name != "target":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def dbt(self, *arguments: str | Path) -> None:
        """Run dbt."""
        run([BIN / "dbt", "--quiet", *arguments], self.environment)

    def command(self, *arguments: str | Path, accepted: int = 0) -> str:
        """Run `ai-manufacturing`."""
        return run([BIN / "ai-manufacturing", *arguments], self.environment, accepted=accepted)


def sample(folder: Path) -> Path:
    """Write the synthetic sample of the default seed to a folder."""
    run([BIN / "ai-manufacturing", "synthetic", "--out", folder])
    return folder


def public(section: Section) -> list[tuple[str, Path]]:
    """Return the public extract set, or note in the section that it is missing."""
    if PUBLIC_EXTRACTS.is_dir():
        return [("public set", PUBLIC_EXTRACTS)]
    section.skipped.append(
        "The public set was skipped, because its folder is missing. Set PUBLIC_EXTRACTS to the"
        " folder."
    )
    return []


@contextmanager
def scratch() -> Iterator[Path]:
    """Create a temporary folder, and remove it after the with block."""
    with tempfile.TemporaryDirectory(prefix="bench_") as folder:
        yield Path(folder).resolve()


def version(package: str) -> str:
    """Return the name and the installed version of a Python package."""
    return f"{package} {importlib.metadata.version(package)}"


def machine() -> str:
    """Return the processor, cores, memory and operating system of this machine in one line."""
    model = platform.processor() or platform.machine()
    gigabytes = 0.0
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{model}, {cores} cores, {gigabytes:.0f} GB of memory, "
        f"{platform.system()} {platform.release()}"
    )


def checked_out() -> str:
    """Return the checked-out git commit, with the suffix "-dirty" if files have changed.

    Outside a checkout the result is empty.
    """

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=PROJECT, capture_output=True, text=True, check=False
        ).stdout.strip()

    differing = git("diff", "--name-only", "HEAD", "--", ".", ":!benchmarks/README.md")
    return git("describe", "--always") + ("-dirty" if differing else "")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command-line options that all benchmarks share."""
    parser.add_argument(
        "--repeats", type=int, default=3, help="paired runs of each row (default: 3)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use small inputs, to test the code instead of measuring it",
    )


def main(measure: Callable[..., Section]) -> None:
    """Run one benchmark from the command line, and print its section or write it as JSON."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    add_options(parser)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    began, started, load, commit = (
        datetime.now(UTC),
        time.monotonic(),
        os.getloadavg()[0],
        checked_out(),
    )
    section = measure(arguments.repeats, quick=arguments.quick)
    section.run = [
        f"{began:%Y-%m-%d}",
        commit,
        f"{(time.monotonic() - started) / 60:.0f}",
        f"{load:.1f}",
        str(arguments.repeats),
        machine(),
        ", ".join([f"Python {platform.python_version()}", *section.versions]),
    ]
    if arguments.json:
        arguments.json.write_text(
            json.dumps(dataclasses.asdict(section), ensure_ascii=False), encoding="utf-8"
        )
        return
    print(f"{section.text}\n\n{table(HEADINGS, (row.cells for row in section.rows))}")


def read(path: Path) -> Section:
    """Read the results of a benchmark from its JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return Section(**{**content, "rows": [Row(**row) for row in content["rows"]]})
