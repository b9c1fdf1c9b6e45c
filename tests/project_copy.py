"""Copy the project to another folder, and run commands on the copy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE = "build/extracts/sample"  # Sample data that `make build` generates.
WAREHOUSE = "build/warehouse.duckdb"
FAILED = 1  # pytest's exit code if tests fail; higher codes mean that tests could not run.


def copy_of_the_project(folder: Path) -> Path:
    """Copy the project's files to a folder, except files that git ignores."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def commit(project: Path) -> None:
    """Commit the files of a project copy to a repository of its own, as some commands require."""
    author = ("-c", "user.name=Copy", "-c", "user.email=copy@localhost")
    for command in (("init",), ("add", "--all"), (*author, "commit", "--message=Copy")):
        subprocess.run(["git", *command], cwd=project, capture_output=True, check=True)


def environment(project: Path) -> dict[str, str]:
    """Return environment variables that make Python and dbt use the code of a project copy."""
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
    """Run a command in a project copy, with an optional timeout in seconds."""
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
    """Mark the warehouse of a project copy as built from the copy's current code."""
    printed = run(project, sys.executable, "-m", "tests.stamp").stdout
    (project / f"{WAREHOUSE}.stamp").write_text(printed, encoding="utf-8")


def pytest_command(*arguments: str, workers: int = 0) -> list[str]:
    """Return a pytest command line that stops at the first failure."""
    options = ("-x", "-q", "-n", str(workers), "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *options, *arguments]
