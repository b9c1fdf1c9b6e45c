"""Release folders to refresh into, and a refresh whose dbt run is a copy of a warehouse that dbt built."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing.releases import build, fingerprint, writer
from ai_manufacturing.releases.store import Manifest, Store
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


@pytest.fixture
def built_from_the_sample(light_build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let refreshes use a warehouse that dbt built earlier; returns a function that chooses another."""
    chosen = {"warehouse": light_build.warehouse}

    def copied(work: Path, target: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(chosen["warehouse"], target)
        return False

    monkeypatch.setattr(build, "dbt", copied)
    monkeypatch.setenv("EXTRACTS_DIR", str(light_build.extracts))
    monkeypatch.setenv("LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))

    def use(warehouse: Path) -> None:
        chosen["warehouse"] = warehouse
        monkeypatch.setattr(fingerprint, "of", lambda hashes: str(warehouse))

    return use


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
