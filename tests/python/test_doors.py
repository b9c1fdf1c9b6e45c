"""Small doors: what DuckDB may reach, who may read a release, and what a command leaves that is killed."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import counts, site
from ai_manufacturing.landing import landed, log
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.manifest import check
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue
from ai_manufacturing.synthetic import registers
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.tables import exports
from tests.python import dbt_process, killed
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import release
from tests.python.site_reader import ONE_FORMAT, ONE_PAGE

# ---------------------------------------------------------------- DuckDB


@pytest.mark.parametrize(
    "statement",
    [
        "from read_text('/etc/hostname')",
        "copy (select 1) to '{folder}/out.csv'",
        "attach '{folder}/other.duckdb' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
    ],
)
def test_a_connection_reaches_no_file_but_its_own(statement: str, sample_build: Build, tmp_path: Path) -> None:
    with duckdb_client.connect(str(sample_build.warehouse), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.dim_city").fetchall() == [(367,)]
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nothing_opens_duckdb_but_the_one_place_that_closes_its_doors() -> None:
    opening = re.compile(r"\bduckdb\.connect\(")
    sources = [path for folder in ("src", "benchmarks", "python_models") for path in (PROJECT / folder).rglob("*.py")]
    assert [path.name for path in sources if opening.search(path.read_text(encoding="utf-8"))] == ["duckdb_client.py"]


# ---------------------------------------------------------------- permissions


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def permissions(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_all_may_read_a_release_and_none_may_write_it_whatever_the_umask(
    mask: int, audited_build: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "above" / "releases"
    store = Store(folder, folder / "ai_manufacturing.duckdb")
    with umask(mask), lock.held(folder / "refresh.lock"):
        store.prepare()
        release(store, audited_build.warehouse)
        store.record({"release_id": "000001"})
        (store.work / "000002").mkdir()
        (store.work / "000002" / "report.json").write_text("{}", encoding="utf-8")
        store.keep_held(store.work / "000002", "000002")
    found = permissions(folder)
    folders = {"releases", "past", "held", "work", "000002"}
    written_again = {"refreshes.jsonl", "refreshes.jsonl.head", "refresh.lock"}
    assert {name for name, mode in found.items() if mode == 0o755} == folders
    assert {name for name, mode in found.items() if mode == 0o644} == written_again
    assert {name for name, mode in found.items() if mode == 0o444} == found.keys() - folders - written_again
    assert permissions(folder.parent)["above"] == 0o755


# ---------------------------------------------------------------- kills


def content(path: Path) -> object:
    """Return what a file holds; of a workbook all but when it was written."""
    if path.suffix != ".xlsx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as workbook:
        assert workbook.testzip() is None
        return {member.filename: member.CRC for member in workbook.infolist() if "core.xml" not in member.filename}


@pytest.mark.soak
@pytest.mark.parametrize(("file_format", "points"), [("csv", 8), ("xlsx", 4), ("latex", 4)])
def test_a_killed_export_leaves_each_file_old_or_new(
    file_format: str, points: int, sample_build: Build, tmp_path: Path
) -> None:
    finished = exports.export(sample_build.warehouse, tmp_path / "finished", file_format)
    new = {path.name: content(path) for path in finished}
    out = tmp_path / "out"
    out.mkdir()

    def earlier() -> None:
        for name in new:
            shutil.copyfile(tmp_path / "finished" / name, out / name)
            with (out / name).open("ab") as file:
                file.write(b"earlier")

    def is_old_or_new() -> None:
        for name, expected in new.items():
            is_old = (out / name).read_bytes() == (tmp_path / "finished" / name).read_bytes() + b"earlier"
            assert is_old or content(out / name) == expected, name

    def is_new(printed: str) -> None:
        assert {path.name: content(path) for path in out.iterdir() if path.name != exports.LOCK} == new

    arguments = ("export", "--format", file_format, "--out", out, "--database", sample_build.warehouse)
    within = ("/tables/exports", "/system/disk", "/pandas/io/formats/csvs")
    imported = ("ai_manufacturing.tables.exports", "ai_manufacturing.releases.databases", "pandas.io.formats.csvs")
    with killed.command(PROJECT, sample_build.environment, within, "_write", imported) as run:
        killed.dies(run, points, arguments, is_old_or_new, is_new, earlier)


def one_page() -> None:
    """Build one page and one export, as a user whose files are his own."""
    site.PAGES = ONE_PAGE  # type: ignore[assignment]
    site.downloads.FORMATS = ONE_FORMAT  # type: ignore[assignment]
    os.umask(0o077)


@pytest.mark.soak
def test_a_killed_report_leaves_the_old_site_or_the_new_one(store: Store, light_build: Build, tmp_path: Path) -> None:
    release(store, light_build.warehouse)
    folder = tmp_path / "pages"
    folder.mkdir()
    out = folder / "site"
    marks = "".join(catalogue.META.format(*mark) for mark in zip(Origin._fields, ("sample", "synthetic"), strict=True))

    def with_catalogue() -> None:
        out.mkdir(exist_ok=True)
        (out / "catalogue.html").write_text(f"<html><head>{marks}</head></html>", encoding="utf-8")

    def is_whole() -> None:
        assert integrity.check_folder(out, ("catalogue.html",)) == []
        assert (out / "catalogue.html").exists()

    def is_alone(printed: str) -> None:
        is_whole()
        assert [path.name for path in folder.iterdir()] == ["site"]
        modes = permissions(out)
        assert {modes[name] for name in ("site", "assets")} == {0o755}
        assert {modes[name] for name in ("index.html", "use.html", "site.css") if name in modes} == {0o644}

    arguments = ("report", "--out", out, "--release", store.published)
    imported = ("ai_manufacturing.site", "ai_manufacturing.site.catalogue", "ai_manufacturing.releases.databases")
    within = ("/ai_manufacturing/site/__init__", "/system/disk", "/system/integrity")
    with killed.command(PROJECT, light_build.environment, within, "open_to_readers", imported, one_page) as run:
        killed.dies(run, 10, arguments, is_whole, is_alone, with_catalogue)


@pytest.mark.soak
def test_a_killed_verify_changes_no_release_and_no_landed_file(
    store: Store, delivery: Build, audited_build: Build, tmp_path: Path
) -> None:
    """The releases are of an earlier version, so that there are hashes to write, with what dead runs left."""
    release(store, audited_build.warehouse)
    landing, site_folder = delivery.landing, tmp_path / "site"
    assert landing is not None
    folders = [path for path in landing.iterdir() if landed.is_landed_folder(path)]
    kept = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    published = store.published.read_bytes()
    (name,) = log.sets(landing)
    events = len(log.read(landing, name))
    litter = [store.work / "000009", tmp_path / ".site.4194304999", landing / f".{'0' * 32}"]

    def of_an_earlier_version() -> None:
        for sums in store.folder.rglob("*.sha256"):
            sums.unlink()
        (store.folder / "refreshes.jsonl").write_text(
            '{"release_id": "000001", "outcome": "published"}\n', encoding="utf-8"
        )
        (store.folder / "refreshes.jsonl.head").unlink()
        for folder in litter:
            folder.mkdir()

    def is_unchanged() -> None:
        assert {path: path.read_bytes() for path in kept} == kept
        for path in (store.published, store.past("000001")):
            assert path.read_bytes() == published
            integrity.check(path)
        check(store.published)

    def is_in_order(printed: str) -> None:
        is_unchanged()
        assert "None differ." in printed
        assert len(log.read(landing, name)) == events
        assert [row["release_id"] for row in store.listed()[0]] == ["000001"]
        assert not [folder for folder in litter if folder.exists()]
        assert not [path for path in (*landing.rglob(".*"), *store.folder.rglob(".*")) if path.is_file()]

    environment = {
        **delivery.environment,
        "RELEASE_DIR": str(store.folder),
        "RELEASE_PATH": str(store.published),
        "SITE_DIR": str(site_folder),
    }
    imported = ("ai_manufacturing.auditing.verify", "ai_manufacturing.releases.configured")
    with killed.command(PROJECT, environment, ("/ai_manufacturing/",), "_landing", imported) as run:
        killed.dies(run, 8, ("verify",), is_unchanged, is_in_order, of_an_earlier_version)


def handed_over(made: Path, to: Path, last: int, printed: Path) -> None:
    dbt_process.settle_in(made, dict(os.environ), str(printed))
    with killed.at_place(("/ai_manufacturing/counts", "/system/disk"), last):
        counts.hand_over(made, to)


@pytest.mark.soak
def test_counts_that_are_handed_over_are_old_or_new_wherever_the_command_is_killed(tmp_path: Path) -> None:
    made, to, printed = tmp_path / "made", tmp_path / "counted/firm_counts", tmp_path / "printed"
    made.mkdir()
    old, new = (pa.table({"year": list(range(2010, 2010 + years))}) for years in (5, 11))
    pq.write_table(new, made / "part-00000.parquet")
    (made / "_SUCCESS").touch()

    def run(dies_at: int) -> int | None:
        process = dbt_process.processes.Process(target=handed_over, args=(made, to, dies_at, printed))
        process.start()
        process.join()
        return process.exitcode

    assert run(0) == 0
    total, _ = map(int, printed.read_text(encoding="utf-8").split())
    seen = []
    for place in killed.spread(8, total, total // 2):
        pq.write_table(old, to / "counts.parquet")
        assert run(place) == -signal.SIGKILL
        seen.append(pq.read_table(to / "counts.parquet"))
        assert run(0) == 0
        assert [path.name for path in to.iterdir()] == ["counts.parquet"]
        assert pq.read_table(to / "counts.parquet") == new
    assert [table for table in seen if table not in (old, new)] == []
    assert old in seen
    assert new in seen


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_count_leaves_the_warehouse_to_the_next(delivery: Build, tmp_path: Path) -> None:
    """Killed after so many lines that dbt has printed, from its first to when tables are written."""
    registers.write(tmp_path / "registers", 2000, 2000, seed=1)
    shutil.copytree(tmp_path / "registers/firm_register", delivery.extracts / "firm_register")
    good = shutil.copy(delivery.warehouse, tmp_path / "good.duckdb")
    counted = replace(delivery, landing=tmp_path / "undisturbed_landing").command("counts")
    assert counted.returncode == 0, counted.stdout
    # at the path of the others, as dbt parses the whole project again for another
    undisturbed = replace(delivery, warehouse=Path(shutil.move(delivery.warehouse, tmp_path / "undisturbed.duckdb")))
    shutil.move(good, delivery.warehouse)
    printed_lines = len(counted.stdout.splitlines())
    for share in (0.05, 0.3, 0.6, 0.9):
        with subprocess.Popen(
            [str(Path(sys.executable).parent / "ai-manufacturing"), "counts"],
            cwd=PROJECT,
            env=delivery.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + int(share * printed_lines)):
                assert process.stdout.readline(), "the command ended first"
            process.kill()
            process.stdout.read()  # ends when dbt, which has the pipe too, is dead
    again = delivery.command("counts")
    assert again.returncode == 0, again.stdout
    query = "select * from intermediate.int_firm_register_counts order by all"
    expected = undisturbed.rows(query)
    assert len(expected) > 100
    assert delivery.rows(query) == expected
    assert not [path for path in (tmp_path / "landing").rglob(".*") if path.name != ".lock"]
