"""Copy the project, to run tests on changed code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE = "build/extracts/sample"  # The sample that `make build` generates.
WAREHOUSE = "build/warehouse.duckdb"
FAILED = 1  # pytest's exit code for failed tests; higher codes mean that the tests could not run.


def copy_of_the_project(folder: Path) -> Path:
    """Copy the tracked files, and untracked files that git does not ignore."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def environment(project: Path) -> dict[str, str]:
    """Return environment variables that make Python, dbt and the tests use a copy's own code."""
    public = os.environ.get("PUBLIC_EXTRACTS") or str(PROJECT / "../shared/extracts/public")
    return {
        **os.environ,
        "PYTHONPATH": f"{project / 'src'}:{project}",
        "DBT_PROJECT_DIR": str(project),
        "DBT_PROFILES_DIR": str(project),
        "PUBLIC_EXTRACTS": public,
    }


def run(
    project: Path, *command: str, seconds: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy on the copy's code, with an optional timeout in seconds."""
    limit = ("timeout", "-k", "9", str(seconds)) if seconds else ()
    return subprocess.run(
        [*limit, *command],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )


def stamp(project: Path) -> None:
    """Stamp a copy's warehouse as built from its current code, as `make build` does."""
    printed = run(project, sys.executable, "-m", "tests.stamp").stdout
    (project / f"{WAREHOUSE}.stamp").write_text(printed, encoding="utf-8")


def pytest_command(*arguments: str, workers: int = 0) -> list[str]:
    """Return the pytest command that stops at the first failure."""
    options = ("-x", "-q", "-n", str(workers), "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *options, *arguments]
