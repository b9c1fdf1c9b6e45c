"""Real builds for the tests: a sample, the public deliveries where they exist, and dbt as a subprocess."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from tests.python.landing_project import project  # noqa: F401 - a fixture

PROJECT = Path(__file__).resolve().parents[2]
PUBLIC_EXTRACTS = PROJECT / os.environ.get("PUBLIC_EXTRACTS", "../shared/extracts/public")


@dataclass
class Build:
    """A dbt run in the project, or a copy of it, into a warehouse of its own."""

    extracts: Path
    warehouse: Path
    scratch: Path
    project: Path = PROJECT
    landing: Path | None = None
    exit_code: int = -1
    output: str = field(default="", repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the README, and a target folder that no other run writes to."""
        return {
            **os.environ,
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_PROFILES_DIR": str(self.project),
            "EXTRACTS_DIR": str(self.extracts),
            "WAREHOUSE_PATH": str(self.warehouse),
            "LANDING_DIR": str(self.landing or self.scratch / "landing"),
            "DBT_TARGET_PATH": str(self.scratch / "target"),
            "DBT_LOG_PATH": str(self.scratch / "logs"),
            "OPENBLAS_NUM_THREADS": "1",
        }

    def dbt(self, *arguments: str) -> "Build":
        """Run dbt, and keep its exit code and what it printed."""
        run = subprocess.run(
            [str(Path(sys.executable).parent / "dbt"), "--no-use-colors", *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.exit_code, self.output = run.returncode, run.stdout + run.stderr
        return self

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `ai-manufacturing`."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "ai-manufacturing"), *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query the warehouse as an analyst would."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(query, list(values)).fetchall()

    def frame(self, query: str) -> pd.DataFrame:
        """Query the warehouse into a DataFrame."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(query).df()

    def value(self, query: str, *values: Any) -> Any:
        """Return the one value of a query."""
        ((value,),) = self.rows(query, *values)
        return value

    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables and views in a schema."""
        found = self.rows("select table_name from information_schema.tables where table_schema = ?", schema)
        return {name for (name,) in found}


def environment_of_its_own(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with these packages and return its Python; skip where none can be installed."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"cannot be installed here, perhaps for want of a network: {installed.stderr[-300:]}")
    return python


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for landing store and dbt's own files, shared by the builds of one worker."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def sample_extracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the sample of the default seed."""
    folder = tmp_path_factory.mktemp("extracts") / "sample"
    subprocess.run(
        [str(Path(sys.executable).parent / "ai-manufacturing"), "sample", "--out", str(folder)], cwd=PROJECT, check=True
    )
    return folder


@pytest.fixture(scope="session")
def sample_build(sample_extracts: Path, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build the sample once."""
    warehouse = tmp_path_factory.mktemp("warehouse") / "sample.duckdb"
    build = Build(sample_extracts, warehouse, scratch).dbt("build")
    assert build.exit_code == 0, build.output
    return build


@pytest.fixture(scope="session")
def public_extracts() -> Path:
    """Return the real public deliveries, which may not be redistributed and so are not in every clone."""
    if not PUBLIC_EXTRACTS.is_dir():
        pytest.skip("the real public deliveries are not here; set PUBLIC_EXTRACTS to their folder")
    return PUBLIC_EXTRACTS.resolve()


@pytest.fixture(scope="session")
def public_build(public_extracts: Path, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build the public deliveries once."""
    warehouse = tmp_path_factory.mktemp("warehouse") / "public.duckdb"
    build = Build(public_extracts, warehouse, scratch).dbt("build")
    assert build.exit_code == 0, build.output
    return build


@pytest.fixture
def delivery(sample_build: Build, scratch: Path, tmp_path: Path) -> Iterator[Build]:
    """Return a copy of the sample to break, and of the good warehouse that the broken delivery is built into."""
    extracts = tmp_path / "sample"
    shutil.copytree(sample_build.extracts, extracts)
    warehouse = tmp_path / "warehouse.duckdb"
    shutil.copy(sample_build.warehouse, warehouse)
    # a store of its own, because the log would remember what other tests delivered
    landing = Path(shutil.copytree(scratch / "landing", tmp_path / "landing"))
    yield Build(extracts, warehouse, scratch, landing=landing)
    shutil.rmtree(tmp_path, ignore_errors=True)
