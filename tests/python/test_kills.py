"""What DuckDB may reach, who may read a release, and what a command leaves that is killed."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import counts, site
from ai_manufacturing.paper.synthetic import registers
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue
from ai_manufacturing.system import duckdb_client, integrity
from tests.python import killed
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import release
from tests.python.site_reader import ONE_FORMAT, ONE_PAGE

# ---------------------------------------------------------------- DuckDB


def test_a_connection_reaches_no_file_but_its_own(small_build: Build, tmp_path: Path) -> None:
    with duckdb_client.connect(str(small_build.warehouse), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.dim_city").fetchall() == [(55,)]
        for statement in (
            "from read_text('/etc/hostname')",
            f"copy (select 1) to '{tmp_path}/out.csv'",
            f"attach '{tmp_path}/other.duckdb' as other",
            "install httpfs",
            "load httpfs",
            "set enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert list(tmp_path.iterdir()) == []


def test_nothing_opens_duckdb_but_the_one_place_that_closes_its_doors() -> None:
    sources = [
        path
        for folder in ("src", "benchmarks", "python_models")
        for path in (PROJECT / folder).rglob("*.py")
        if re.search(r"\bduckdb\.connect\(", path.read_text(encoding="utf-8"))
    ]
    assert [path.name for path in sources] == ["duckdb_client.py"]


# ---------------------------------------------------------------- permissions


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
        with lock.held(folder / "refresh.lock"):
            store.prepare()
            release(store, small_build.warehouse)
            store.record({"release_id": "000001"})
            held = store.work / "000002"
            held.mkdir()
            (held / "report.json").write_text("{}", encoding="utf-8")
            store.keep_held(held, "000002")
    finally:
        os.umask(before)
    found = permissions(folder)
    modes = dict.fromkeys(found, 0o444)
    modes |= dict.fromkeys(("releases", "past", "held", "work", "000002"), 0o755)
    modes |= dict.fromkeys(("refreshes.jsonl", "refreshes.jsonl.head", "refresh.lock"), 0o644)
    assert found == modes
    assert permissions(folder.parent)["above"] == 0o755


# ---------------------------------------------------------------- kills


def one_page() -> None:
    """Build one page and one export, as a user whose files are his own."""
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
    marks = "".join(catalogue.META.format(*mark) for mark in values)

    def with_catalogue() -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "catalogue.html").write_text(f"<html><head>{marks}</head></html>", encoding="utf-8")

    def is_whole() -> None:
        assert integrity.check_folder(out, ("catalogue.html",)) == []
        assert (out / "catalogue.html").exists()

    def is_alone(printed: str) -> None:
        is_whole()
        assert list(out.parent.iterdir()) == [out]
        modes = permissions(out)
        assert (modes["site"], modes["assets"]) == (0o755, 0o755)
        assert (modes["use.html"], modes["site.css"]) == (0o644, 0o644)

    arguments = ("report", "--out", out, "--release", store.published)
    imported = ("ai_manufacturing.site", "ai_manufacturing.releases.databases")
    within = ("/ai_manufacturing/site/__init__", "/system/disk", "/system/integrity")
    place = (PROJECT, light_build.environment, within, "open_to_readers", imported, one_page)
    with killed.command(*place) as run:
        killed.dies(run, 10, arguments, is_whole, is_alone, with_catalogue)


def test_only_whole_counts_are_handed_over_and_they_replace_the_old_ones_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, to = tmp_path / "made", tmp_path / "counted/firm_counts"
    for folder in (made, to):
        folder.mkdir(parents=True)
    part, counts_file = made / "part-00000.parquet", to / "counts.parquet"
    new = pa.table({"year": [2020]})
    pq.write_table(new, part)
    counts_file.write_bytes(b"old")
    (to / part.name).write_bytes(b"of dbt alone")
    with pytest.raises(counts.CountsError, match="made: the counts are not in one complete file"):
        counts.hand_over(made, to)
    (made / "_SUCCESS").touch()
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            counts.hand_over(made, to)
    assert counts_file.read_bytes() == b"old"
    counts.hand_over(made, to)
    assert list(to.iterdir()) == [counts_file]
    assert pq.read_table(counts_file) == new
    pq.write_table(new.slice(1), part)
    counts.hand_over(made, to)
    assert list(to.iterdir()) == [], "a delivery without a record would stop at the gate"


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_count_leaves_the_warehouse_to_the_next(delivery: Build, tmp_path: Path) -> None:
    """Killed after so many lines of dbt, from its first to when tables are written."""
    registers.write(tmp_path / "registers", 2000, 2000, seed=1)
    shutil.copytree(tmp_path / "registers/firm_register", delivery.extracts / "firm_register")
    good = shutil.copy(delivery.warehouse, tmp_path / "good.duckdb")
    query = "select * from intermediate.int_firm_register_counts order by all"

    def lines_of_a_run(build: Build, last: float = float("inf")) -> int:
        """Run the command, kill it after its last line, and return how many it printed."""
        with subprocess.Popen(
            [str(Path(sys.executable).parent / "ai-manufacturing"), "counts"],
            cwd=PROJECT,
            env=build.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            for count, _ in enumerate(process.stdout, start=1):
                if count >= last:
                    process.kill()
                    process.stdout.read()  # ends when dbt, which has the pipe too, is dead
                    break
        assert process.returncode == (0 if last > count else -signal.SIGKILL)
        return count

    printed = lines_of_a_run(replace(delivery, landing=tmp_path / "undisturbed"))
    expected = delivery.rows(query)
    assert len(expected) > 100
    shutil.copy(good, delivery.warehouse)
    for share in (0.05, 0.3, 0.6, 0.9):
        lines_of_a_run(delivery, last=1 + int(share * printed))
    lines_of_a_run(delivery)
    assert delivery.rows(query) == expected
    hidden = {path.name for path in delivery.landing.rglob(".*")}
    assert hidden <= {".lock"}
