"""Test DuckDB's access to files, permissions of releases, and cleanup after killed commands."""

import os
import re
import shutil
import stat
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import site
from ai_manufacturing.landing import counts
from ai_manufacturing.paper.synthetic import registers
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue
from ai_manufacturing.system import integrity
from tests.python import killed
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import output_of, release
from tests.python.site_reader import ONE_FORMAT, ONE_PAGE


def test_nothing_opens_duckdb_but_the_one_place_that_closes_its_doors() -> None:
    assert [
        path.name
        for folder in ("src", "benchmarks", "python_models")
        for path in (PROJECT / folder).rglob("*.py")
        if re.search(r"\bduckdb\.connect\(", path.read_text("utf-8"))
    ] == ["duckdb_client.py"]


def permissions(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_all_may_read_a_release_and_none_may_write_it_whatever_the_umask(
    mask: int, small_build: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "above" / "releases"
    store = Store(folder, folder / "ai_manufacturing.duckdb")
    before = os.umask(mask)
    try:
        with lock.hold_lock(folder / "refresh.lock"):
            store.prepare_folders()
            release(store, small_build.warehouse)
            store.append_to_log({"release_id": "000001"})
            held = store.work / "000002"
            held.mkdir()
            (held / "report.json").write_text("{}", "utf-8")
            store.add_held_build(held, "000002")
    finally:
        os.umask(before)
    found = permissions(folder)
    modes = dict.fromkeys(found, 0o444)
    modes |= dict.fromkeys(("releases", "past", "held", "work", "000002"), 0o755)
    modes |= dict.fromkeys(("refreshes.jsonl", "refreshes.jsonl.head", "refresh.lock"), 0o644)
    assert found == modes
    assert permissions(folder.parent)["above"] == 0o755


def one_page() -> None:
    """Restrict the site to one page and one export format, and set a umask of 077."""
    site.PAGES = ONE_PAGE  # type: ignore[assignment]
    site.downloads.FORMATS = ONE_FORMAT  # type: ignore[assignment]
    os.umask(0o077)


@pytest.mark.soak
def test_a_killed_report_leaves_the_old_site_or_the_new_one(
    store: Store, light_build: Build, tmp_path: Path
) -> None:
    release(store, light_build.warehouse)
    out = tmp_path / "pages/site"
    values = zip(Origin._fields, ("sample", "synthetic"), strict=True)
    marks = "".join(catalogue.META_TAG.format(*mark) for mark in values)

    def with_catalogue() -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "catalogue.html").write_text(f"<html><head>{marks}</head></html>", "utf-8")

    def is_whole() -> None:
        assert integrity.check_folder(out, ("catalogue.html",)) == []
        assert (out / "catalogue.html").exists()

    def is_alone(printed: str) -> None:
        is_whole()
        assert list(out.parent.iterdir()) == [out]
        modes = permissions(out)
        assert (modes["site"], modes["assets"]) == (0o755, 0o755)
        assert (modes["use.html"], modes["site.css"]) == (0o644, 0o644)

    arguments = ("report", "--out", out, "--release", store.published_path)
    imported = ("ai_manufacturing.site", "ai_manufacturing.releases.databases")
    within = ("/ai_manufacturing/site/__init__", "/system/disk", "/system/integrity")
    place = (PROJECT, light_build.environment, within, "open_to_readers", imported, one_page)
    with killed.command(*place) as run:
        killed.dies(run, 10, arguments, is_whole, is_alone, with_catalogue)


def test_only_whole_counts_are_handed_over_and_they_replace_the_old_ones_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, to = tmp_path / "made", tmp_path / "counts"
    made.mkdir()
    to.mkdir()
    part, counts_file = made / "part-00000.parquet", to / "counts.parquet"
    new = pa.table({"year": [2020]})
    pq.write_table(new, part)
    counts_file.write_bytes(b"old")
    (to / part.name).write_bytes(b"of dbt alone")
    incomplete = "made does not contain the counts in one complete file"
    with pytest.raises(counts.CountsError, match=incomplete):
        counts.copy_counts(made, to)
    (made / "_SUCCESS").touch()
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            counts.copy_counts(made, to)
    assert counts_file.read_bytes() == b"old"
    counts.copy_counts(made, to)
    assert list(to.iterdir()) == [counts_file]
    assert pq.read_table(counts_file) == new
    pq.write_table(new.slice(1), part)
    counts.copy_counts(made, to)
    # A delivery without a record would stop at the gate.
    assert list(to.iterdir()) == []


@pytest.mark.door
@pytest.mark.soak
def test_the_command_counts_registers_into_the_warehouse(delivery: Build, tmp_path: Path) -> None:
    registers.write_registers(tmp_path / "registers", 2000, 2000, seed=1)
    shutil.copytree(tmp_path / "registers/firm_register", delivery.extracts / "firm_register")
    output_of(delivery.command("counts"))
    counts = "select count(*) from intermediate.int_firm_register_counts"
    assert delivery.value(counts) > 100
