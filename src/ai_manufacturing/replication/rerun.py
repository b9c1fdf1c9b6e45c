"""Rerun a replication package, and compare the results with the published ones."""

import csv
import importlib.metadata
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ai_manufacturing.auditing import compare
from ai_manufacturing.auditing.changes import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE
from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases import databases
from ai_manufacturing.replication import contents, withheld
from ai_manufacturing.replication.errors import ReplicationError

RERUN = "rerun"
COMMAND = ("sh", "run.sh")
# Environment variables passed to run.sh. HOME and TMPDIR are set to empty folders, because a
# stranger may have written the program.
INHERITED_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "PYTHON",
    "WAREHOUSE_THREADS",
    "WAREHOUSE_MEMORY_LIMIT",
)
# Matches a pinned requirement in a lock file.
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)")
MAX_PRINTED_LINES = 30  # maximum number of output lines reported for a failed run

# Relative and absolute tolerance for summary statistics, because the mean of a million numbers
# depends on the order of summation.
SAME_SUMMARY = 1e-6


@dataclass(frozen=True)
class Run:
    """Console output of a package's run, and a description of its Python environment."""

    log: str
    environment: str


def read_pins(requirements: Path) -> dict[str, str]:
    """Return the package versions that a requirements lock file pins, keyed by package."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for line in lines if (match := PIN.match(line))}


def has_locked_versions(folder: Path) -> bool:
    """Return whether the current environment has every package in its locked version."""
    versions = read_pins(folder / contents.LOCK)
    try:
        return bool(versions) and all(
            importlib.metadata.version(name) == version for name, version in versions.items()
        )
    except importlib.metadata.PackageNotFoundError:
        return False


def run_package(folder: Path, new_environment: bool) -> Run:
    """Run the program run.sh of a package with an empty HOME and a minimal environment.

    Parameters
    ----------
    folder : Path
        The unpacked package, with all of its raw files.
    new_environment : bool
        Whether to install the locked packages even if the same versions are already installed.

    Raises
    ------
    ReplicationError
        If the run fails; the message ends with its last printed lines.
    """
    variables = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    environment = "installed from code/requirements/run.txt"
    if not new_environment and has_locked_versions(folder):
        variables["ENVIRONMENT"] = sys.prefix
        environment = "that has the same versions as code/requirements/run.txt"
    with (
        tempfile.TemporaryDirectory(prefix="home-") as home,
        tempfile.TemporaryDirectory(prefix="tmp-") as tmp,
    ):
        process = subprocess.run(
            COMMAND,
            cwd=folder,
            env=variables | {"HOME": home, "TMPDIR": tmp},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    # Remove the names of local folders from the log.
    log = process.stdout.replace(str(folder), ".").replace(sys.prefix, "$ENVIRONMENT")
    if process.returncode:
        last_lines = "\n".join(log.splitlines()[-MAX_PRINTED_LINES:])
        raise ReplicationError(
            f"The program run.sh failed with exit code {process.returncode}:\n{last_lines}"
        )
    return Run(log, environment)


def find_differences(folder: Path, release: Path | None = None) -> list[str]:
    """Return one line per difference between a package's results and its rerun.

    Parameters
    ----------
    folder : Path
        A package that `run_package` has run.
    release : Path, optional
        Release to compare with. The default is the release in the package, whose withheld tables
        are compared by their summary.
    """
    warehouse = folder / RERUN / "warehouse.duckdb"
    differences = _compare_tables(
        release or folder / contents.RELEASE, warehouse, folder / contents.WITHHELD
    )
    for name in ("output", "data"):
        for path in sorted((folder / name).glob("*.*")):
            rerun_path = folder / RERUN / name / path.name
            if rerun_path.is_file():
                differences += _compare_files(path, rerun_path, f"{name}/{path.name}")
            elif name == "output":
                differences.append(f"{name}/{path.name}: the run did not write this file.")
    return differences


def _compare_tables(release: Path, warehouse: Path, summary_path: Path) -> list[str]:
    try:
        warehouse_database = databases.read_database(warehouse)
    except databases.DatabaseError as error:
        raise ReplicationError(
            f"The program run.sh ended without writing the warehouse {RERUN}/{warehouse.name}."
        ) from error
    landing = warehouse.with_name("landing")  # landing store of the rerun
    withheld_summary = withheld.read_summary(summary_path) if summary_path.is_file() else []
    names = list(dict.fromkeys(row["table"] for row in withheld_summary))
    with tempfile.TemporaryDirectory() as folder:
        if withheld_summary:
            warehouse_database = replace(warehouse_database, path=Path(folder) / "public.duckdb")
            terms.write_public_copy(warehouse, warehouse_database.path, [landing])
        sections = compare.compare_databases(
            databases.read_database(release), warehouse_database, landing
        )
        differences = compare.format_text(sections).splitlines()
    rerun_summary = withheld.summarise_tables(warehouse, names, [landing])
    for before, after in zip(withheld_summary, rerun_summary, strict=True):
        differences += [
            f"{before['table']}, column {before['column']}: {figure} is {after[figure]} instead"
            f" of {before[figure]}."
            for figure in withheld.SUMMARY[2:]
            if not _is_same(before[figure], after[figure], SAME_SUMMARY, SAME_SUMMARY)
        ]
    return differences


def _compare_files(path: Path, rerun_path: Path, name: str) -> list[str]:
    """Return one message per line or CSV cell in which two files differ."""
    is_table = path.suffix == ".csv"
    old, new = (_read_cells(file, is_table) for file in (path, rerun_path))
    if [len(row) for row in old] != [len(row) for row in new]:
        return [
            (
                f"{name}: the package has {len(old)} lines, but the run wrote {len(new)}, or"
                " their columns differ."
            )
        ]
    return [
        f"{name}, {f'row {number}, column {column}' if is_table else f'line {number}'}: {before!r},"
        f" but {after!r} from the run."
        for number, rows in enumerate(zip(old, new, strict=True), start=1)
        for column, before, after in zip(old[0], *rows, strict=True)
        if before != after and not (is_table and _is_same_number(before, after))
    ]


def _read_cells(path: Path, is_table: bool) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="" if is_table else None) as file:
        return [*csv.reader(file)] if is_table else [[line] for line in file.read().splitlines()]


def _is_same_number(old: str, new: str) -> bool:
    try:
        return _is_same(float(old), float(new), RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
    except ValueError:
        return False


def _is_same(old: float | None, new: float | None, relative: float, absolute: float) -> bool:
    if old is None or new is None:
        return old is new
    return math.isclose(old, new, rel_tol=relative, abs_tol=absolute)
