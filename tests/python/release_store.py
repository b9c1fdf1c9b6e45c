"""Fixtures for release folders, and for refreshes that copy a warehouse instead of running dbt."""

import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing.auditing import anchors
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.refresh import build, cycle, writer
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.manifest import Manifest, read_manifest, require_intact
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import duckdb_client
from tests.python.conftest import PROJECT, WAREHOUSE, Build

DBT_FILES = ("manifest.json", "run_results.json")


def quiet(event: str, facts: dict[str, Any]) -> None:
    """Ignore an event."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / """it's; a "folder" """
    store = Store(folder, folder / "ai_manufacturing.duckdb", keep_count=3)
    store.prepare_folders()
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
        "gate_summary": dict.fromkeys(("expectations", "critical", "warnings", "not_evaluated"), 0),
    }


def write(
    warehouse: Path,
    target: Path,
    manifest: dict[str, Any],
    previous: Path | None = None,
) -> Manifest:
    """Write a release that serves as the baseline for drift checks of later releases."""
    with writer.open_new_release(warehouse, target, manifest, previous) as new:
        release = duckdb_client.open_cursor(new.connection, "new")
        shown = anchors.read_shown_estimates(release)
        anchors.write_anchor(release, Anchor(manifest["release_id"], "", "", shown), shown)
        return new.manifest


def release(store: Store, warehouse: Path) -> Manifest:
    """Write a release from a built warehouse, and publish the release."""
    release_id = store.compute_next_id()
    target = store.work / "unpublished.duckdb"
    previous = store.published_path if store.published_path.exists() else None
    manifest = write(warehouse, target, described(release_id), previous)
    store.add_release(target, release_id)
    store.publish_release(release_id)
    store.prune_releases()
    return manifest


def write_dbt_files(build: Path) -> None:
    """Write stand-ins for the files that dbt leaves in its target folder."""
    (build / "target").mkdir(exist_ok=True)
    for name in DBT_FILES:
        (build / "target" / name).write_text(build.name, "utf-8")


def check(path: Path) -> Manifest:
    """Check the SHA-256 and row counts of a release, and return the release manifest."""
    require_intact(path)
    counts = "select concat(schema_name, '.', table_name), estimated_size from duckdb_tables()"
    manifest = read_manifest(path)
    assert dict(read(path, f"{counts} where schema_name <> 'release'")) == manifest.row_counts
    return manifest


def published_as_built(
    store: Store, warehouse: Path, extracts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publish a release that is up to date with the extracts, so that a refresh does nothing."""
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    hashes = fingerprint.hash_deliveries(extracts)
    past_release(
        store,
        warehouse,
        fingerprint=fingerprint.compute_fingerprint(hashes),
        delivery_hashes=hashes,
    )
    store.publish_release("000001")


def past_release(store: Store, warehouse: Path, release_id: str = "000001", **fields: Any) -> None:
    """Add an unpublished release to the store, optionally overriding fields of its manifest."""
    target = store.work / "unpublished.duckdb"
    write(warehouse, target, described(release_id) | fields)
    store.add_release(target, release_id)


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a database file."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(query).fetchall()


def mounted(folder: Path, size: str) -> None:
    """Mount a file system of the given size, or skip the test if mounting is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")


def edit(database: Path, *statements: str) -> Path:
    """Run SQL statements on a database file, and return its path."""
    with duckdb.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)
    return database


def changed(warehouse: Path, to: Path, *statements: str) -> Path:
    """Copy a warehouse, and run SQL statements on the copy."""
    return edit(Path(shutil.copyfile(warehouse, to)), *statements)


@pytest.fixture(scope="session")
def light_build(sample_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a copy of the sample build with few delivered values, which is quick to release.

    The view of delivered values takes most of the time of writing a release. Views on the landing
    store would fail, because `make build` and tests use different stores.
    """
    views = {
        "marts.fct_delivered_values": "year = 2015 and city_id < '2'",
        "marts.fct_register_rows_set_aside": "true",
    }
    as_tables = [
        f"create or replace temp table kept as from {view} where {kept};"
        f" drop view {view}; create table {view} as from kept"
        for view, kept in views.items()
    ]
    light = tmp_path_factory.mktemp("light") / "sample.duckdb"
    warehouse = changed(sample_build.warehouse, light, *as_tables)
    return replace(sample_build, warehouse=warehouse)


# From the large tables, copy only rows that a refresh or a test needs, so that releases are written
# quickly.
SHOWN = "specification_id in (select specification_id from whole.reports.rpt_column_specifications)"
SAMPLES = f"select sample_id from whole.intermediate.int_specifications_sampled where {SHOWN}"
# Number of cells (rows times columns) from which a table is considered large.
LARGE = 400_000
SOME = {
    "estimates.estimation_samples": SHOWN,
    "intermediate.int_series_conformed": "true",
    "intermediate.int_specification_city_years": f"is_used and sample_id in ({SAMPLES})",
    "marts.fct_ai_measure": "true",
    "marts.fct_delivered_values": "series = 'gdp_100m_cny'",
    "marts.fct_register_rows_set_aside": "true",
}


@pytest.fixture(scope="session")
def audited_build(sample_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a copy of the sample build with all small tables and some rows of the large ones."""
    warehouse = tmp_path_factory.mktemp("audited") / "sample.duckdb"
    with duckdb.connect(warehouse) as connection:
        connection.execute(f"attach '{sample_build.warehouse}' as whole (read_only)")
        small = connection.execute(
            "select concat(schema_name, '.', table_name), 'true' from duckdb_tables() where"
            f" database_name = 'whole' and estimated_size * column_count < {LARGE}"
        ).fetchall()
        for name, rows in (dict(small) | SOME).items():
            connection.execute(f"create schema if not exists {name.partition('.')[0]}")
            connection.execute(f"create table {name} as from whole.{name} where {rows}")
    return replace(sample_build, warehouse=warehouse)


@dataclass
class Refreshes:
    """Refresh runner that copies an existing warehouse instead of building one with dbt.

    Attributes
    ----------
    warehouse : Path
        Result of the next refresh's build. A changed path counts as a new delivery.
    events : list of tuple
        Events of the last refresh, each with its facts.
    """

    store: Store
    build: Build
    folder: Path
    warehouse: Path
    limits: Limits = field(default_factory=Limits)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, *statements: str) -> Path:
        """Apply SQL statements to a copy of the warehouse, which the next refresh then uses."""
        number = len(list(self.folder.glob("*.duckdb")))
        self.warehouse = changed(
            self.build.warehouse, self.folder / f"{number}.duckdb", *statements
        )
        return self.warehouse

    def run(self, limits: Limits | None = None, **options: Any) -> Manifest:
        """Run a refresh, record the events, and return the release manifest."""
        self.events.clear()
        return cycle.refresh(
            self.store, limits or self.limits, lambda *event: self.events.append(event), **options
        )

    @property
    def names(self) -> list[str]:
        """Names of the events that the last refresh reported."""
        return [event for event, _ in self.events]

    @property
    def warnings(self) -> list[str]:
        """Messages of the warnings that the last refresh reported."""
        return [facts["message"] for event, facts in self.events if event == "warning"]


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a build with a few invented rows in every table that a refresh reads."""
    folder = tmp_path_factory.mktemp("small")
    warehouse, delivered = folder / "small.duckdb", folder / "sample/city_yearbook/2020.csv"
    edit(warehouse, (PROJECT / "tests/fixtures/small_warehouse.sql").read_text())
    delivered.parent.mkdir(parents=True)
    delivered.write_text("a,b\n", "utf-8")
    (folder / "sample/extract_set.yml").write_text("name: sample\nkind: synthetic\n")
    return Build(folder / "sample", warehouse, folder)


@pytest.fixture
def refreshes(
    store: Store, small_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Refreshes:
    """Return a refresh runner whose warehouse contains a few invented rows."""
    return refreshes_of(small_build, store, tmp_path, monkeypatch)


@pytest.fixture
def sample_refreshes(
    store: Store, audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Refreshes:
    """Return a refresh runner whose warehouse contains part of the synthetic sample."""
    return refreshes_of(audited_build, store, tmp_path, monkeypatch)


def refreshes_of(
    built: Build, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Refreshes:
    (tmp_path / "warehouses").mkdir()
    refreshes = Refreshes(store, built, tmp_path / "warehouses", built.warehouse)

    def copied(store: Store, work: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(refreshes.warehouse, work / WAREHOUSE)
        write_dbt_files(work)
        return False

    monkeypatch.setattr(build, "run_dbt", copied)
    monkeypatch.setattr(fingerprint, "compute_fingerprint", lambda hashes: str(refreshes.warehouse))
    monkeypatch.setenv("EXTRACTS_DIR", str(built.extracts))
    monkeypatch.setenv("LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.setenv("WAREHOUSE_PATH", str(tmp_path / "none.duckdb"))
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    return refreshes


def released_to(store: Store) -> dict[str, str]:
    """Return the environment variables that point a command to a release store."""
    return {"RELEASE_DIR": str(store.folder), "RELEASE_PATH": str(store.published_path)}


def command(
    store: Store, build: Build, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the `ai-manufacturing` command on a release store."""
    return build.command(*arguments, **released_to(store), **environment)


def output_of(run: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Check the exit code of a command, and return its standard output."""
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout
