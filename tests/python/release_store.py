"""Release folders to refresh into, and a refresh whose dbt run is a copy of a warehouse that dbt built."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing.refresh import build, cycle, writer
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.store import Store
from tests.python.conftest import PROJECT, Build


def quiet(event: str, facts: dict[str, Any]) -> None:
    """Report nothing."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / """it's; a "folder" """
    store = Store(folder, folder / "ai_manufacturing.duckdb", kept=3)
    store.prepare()
    return store


def described(release_id: str) -> dict[str, Any]:
    return {
        "release_id": release_id,
        "published_at": "2026-11-24T00:00:00+00:00",
        "git_commit": "",
        "extract_set": "sample",
        "extract_set_kind": "synthetic",
        "fingerprint": release_id,
        "published_by": "refresh",
        "reason": "",
        "delivery_hashes": {},
        "package_versions": {},
        "gate_summary": {},
    }


def release(store: Store, warehouse: Path) -> Manifest:
    """Write a release of a built warehouse and publish it."""
    release_id = store.next_id()
    target = store.work / "unpublished.duckdb"
    manifest = writer.write(
        warehouse, target, described(release_id), store.published if store.published.exists() else None
    )
    store.add(target, release_id)
    store.publish(release_id)
    store.prune()
    return manifest


def changed(warehouse: Path, to: Path, *statements: str) -> Path:
    """Copy a warehouse and change it."""
    shutil.copyfile(warehouse, to)
    with duckdb.connect(str(to)) as connection:
        for statement in statements:
            connection.execute(statement)
    return to


@pytest.fixture(scope="session")
def light_build(sample_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the sample with few delivered values, a view that takes most of the time of a release."""
    warehouse = changed(
        sample_build.warehouse,
        tmp_path_factory.mktemp("light") / "sample.duckdb",
        "create temp table kept as from marts.fct_delivered_values where year = 2015 and city_id < '2'",
        "drop view marts.fct_delivered_values",
        "create table marts.fct_delivered_values as from kept",
    )
    return replace(sample_build, warehouse=warehouse)


# What a refresh reads of a build, and what its tests change there: of these, a release is soon written.
AUDITED = {
    "raw": ("deliveries", "rejected_rows"),
    "seeds": ("published_estimates", "series", "substitutions"),
    "intermediate": (
        "int_city_year_variables",
        "int_series_conformed",
        "int_specification_city_years",
        "int_specification_losses",
        "int_specifications_resolved",
        "int_specifications_sampled",
    ),
    "marts": (
        "dim_city",
        "dim_city_groups",
        "dim_series",
        "dim_specification_series",
        "fct_ai_measure",
        "fct_city_year_panel",
        "fct_deliveries",
        "fct_register_rows_set_aside",
        "fct_row_accounting",
        "fct_rows_set_aside",
    ),
    "gates": ("gate_results", "gate_second_route"),
    "estimates": ("estimation_samples",),
    "reports": ("rpt_coefficients", "rpt_column_specifications", "rpt_figure_1", "rpt_verdicts"),
}


@pytest.fixture(scope="session")
def audited_build(sample_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the sample with no other tables than a refresh reads: for tests of what it does with a build."""
    warehouse = tmp_path_factory.mktemp("audited") / "sample.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"attach '{sample_build.warehouse}' as whole (read_only)")
        for schema, names in AUDITED.items():
            connection.execute(f"create schema {schema}")
            for name in names:
                connection.execute(f"create table {schema}.{name} as from whole.{schema}.{name}")
        # of the values in files, as many as tests of their provenance need
        connection.execute(
            "create table marts.fct_delivered_values as from whole.marts.fct_delivered_values "
            "where series = 'gdp_100m_cny'"
        )
    return replace(sample_build, warehouse=warehouse)


@dataclass
class Refreshes:
    """Refreshes whose dbt run is a copy of a warehouse that dbt built earlier: of the sample, unless changed.

    Attributes
    ----------
    warehouse : Path
        What the next refresh builds; another path is another delivery.
    events : list of tuple
        Event and facts of each that the last refresh reported.
    """

    store: Store
    build: Build
    folder: Path
    warehouse: Path
    limits: Limits = field(default_factory=Limits)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, *statements: str) -> Path:
        """Let the next refresh build the sample, changed by statements, and return its warehouse."""
        number = len(list(self.folder.glob("*.duckdb")))
        self.warehouse = changed(self.build.warehouse, self.folder / f"{number}.duckdb", *statements)
        return self.warehouse

    def run(self, limits: Limits | None = None, **options: Any) -> Manifest:
        """Refresh."""
        self.events.clear()
        return cycle.refresh(self.store, limits or self.limits, lambda *event: self.events.append(event), **options)

    @property
    def names(self) -> list[str]:
        """The events of the last refresh."""
        return [event for event, _ in self.events]

    @property
    def warnings(self) -> list[str]:
        """The warnings of the last refresh."""
        return [facts["message"] for event, facts in self.events if event == "warning"]


@pytest.fixture
def refreshes(store: Store, audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refreshes:
    (tmp_path / "warehouses").mkdir()
    refreshes = Refreshes(store, audited_build, tmp_path / "warehouses", audited_build.warehouse)

    def copied(work: Path, target: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(refreshes.warehouse, target)
        return False

    monkeypatch.setattr(build, "dbt", copied)
    monkeypatch.setattr(fingerprint, "of", lambda hashes: str(refreshes.warehouse))
    monkeypatch.setenv("EXTRACTS_DIR", str(audited_build.extracts))
    monkeypatch.setenv("LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    return refreshes


def command(store: Store, build: Build, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ai-manufacturing` on a release folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "ai-manufacturing"), *arguments],
        cwd=PROJECT,
        env={
            **build.environment,
            "RELEASE_DIR": str(store.folder),
            "RELEASE_PATH": str(store.published),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
