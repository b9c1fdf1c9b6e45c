"""Test that `ai-manufacturing verify` finds corrupted files and that other commands refuse them."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ai_manufacturing import cli, landing
from ai_manufacturing.auditing import verify
from ai_manufacturing.landing import checksums, log, registers
from ai_manufacturing.refresh import by_hand
from ai_manufacturing.releases import databases, lock
from ai_manufacturing.releases.errors import LockedError, RefreshError
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import contracts, integrity
from ai_manufacturing.system.integrity import Chain
from tests.python import killed
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import GOOD, Project, csv_text, fault
from tests.python.release_store import past_release, quiet, release
from tests.python.test_command_line import keys

ENTITIES = ("city_yearbook", "firm_survival", "patents")
Numbers = tuple[pa.Table, ...]
DAMAGED = (RefreshError, databases.DatabaseError)


def flip(path: Path, chance: random.Random) -> bytes:
    """Flip a random bit of a file, and return the original content."""
    before = path.read_bytes()
    place = chance.randrange(8 * len(before))
    changed = bytearray(before)
    changed[place // 8] ^= 1 << place % 8
    overwrite(path, bytes(changed))
    return before


def overwrite(path: Path, content: bytes) -> None:
    """Overwrite a read-only file and restore its permissions, to simulate a disk error."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def files(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def read_landed() -> Numbers:
    """Return the sample's landed data, after clearing the cache of verified checksums."""
    checksums._verified_signatures.clear()
    deliveries = landing.land_deliveries()
    registers.list_paths(contracts.read_schema("raw_register_paths").empty_table())
    return (deliveries, *(landing.read_rows(entity, deliveries).read_all() for entity in ENTITIES))


@pytest.fixture(scope="session")
def two_releases(small_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release folder that contains two releases and a held build."""
    folder = tmp_path_factory.mktemp("two_releases")
    store = Store(folder, folder / "ai_manufacturing.duckdb")
    store.prepare_folders()
    for number in ("000001", "000002"):
        release(store, small_build.warehouse)
        line = {"release_id": number, "at": "2026-11-26T00:00:00+00:00", "outcome": "published"}
        store.append_to_log(line)
    held = store.work / "held"
    held.mkdir()
    for name in ("warehouse.duckdb", "report.json"):
        (held / name).write_text(name, encoding="utf-8")
    store.add_held_build(held, "000003")
    return folder


@pytest.fixture
def kept(
    two_releases: Path, small_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """Return a store with a copy of the release folder, and without any landed data."""
    monkeypatch.chdir(PROJECT)
    folder = tmp_path / """it's; a "folder" """
    shutil.copytree(two_releases, folder)
    for name, path in {
        "EXTRACTS_DIR": small_build.extracts,
        "LANDING_DIR": tmp_path / "landing",
        "RELEASE_DIR": folder,
        "SITE_DIR": tmp_path / "site",
    }.items():
        monkeypatch.setenv(name, str(path))
    return Store(folder, folder / "ai_manufacturing.duckdb")


@pytest.fixture
def landing_store(
    kept: Store, sample_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of the sample's landing store, next to the release folder."""
    monkeypatch.setenv("EXTRACTS_DIR", str(sample_build.extracts))
    return Path(shutil.copytree(sample_build.scratch / "landing", tmp_path / "landing"))


def refused(kept: Store, path: Path) -> None:
    """Assert that all commands refuse a damaged file in the release folder."""
    acts: list[Callable[[], object]]
    if path.parent == kept.folder / "past":
        number = path.name[:6]
        acts = [
            lambda: by_hand.roll_back(kept, number, quiet),
            lambda: by_hand.summarise_changes(kept, "000001", "000002"),
            lambda: databases.read_database(kept.locate_past_release(number)),
        ]
    elif path.is_relative_to(kept.folder / "held"):
        acts = [lambda: by_hand.publish_held_build(kept, "000003", "a test", quiet)]
    elif path.name.startswith("refreshes.jsonl"):
        acts = [
            kept.read_refreshes,
            kept.compute_next_id,
            lambda: by_hand.roll_back(kept, "000001", quiet),
        ]
    else:
        acts = [
            kept.read_current_manifest,
            kept.compute_next_id,
            lambda: databases.read_database(kept.published_path),
        ]
    for act in acts:
        with pytest.raises(DAMAGED):
            act()


@pytest.mark.soak
def test_each_flipped_bit_is_found_and_reaches_no_number(kept: Store, landing_store: Path) -> None:
    """Flip 300 bits: one third each in landed files, in logs and in releases."""
    chance = random.Random(300)
    right = read_landed()
    assert verify.verify().damage_lines == []
    kinds = (
        files(landing_store, 64 * "?" + "/*", "tables/*/*"),
        files(landing_store, "log/*") + files(kept.folder, "refreshes.jsonl*"),
        files(kept.folder, "*.duckdb*", "past/*", "held/*/*"),
    )
    for number in range(300):
        path = chance.choice(kinds[number % 3])
        before = flip(path, chance)
        assert any(str(path.parent) in line for line in verify.verify().damage_lines), path
        if path.is_relative_to(landing_store / "tables"):
            # Python does not read these tables, and each build rewrites them.
            assert read_landed() == right
        elif path.is_relative_to(landing_store):
            with pytest.raises(landing.LandingError, match=re.escape(str(path.parent))):
                read_landed()
        else:
            refused(kept, path)
        overwrite(path, before)
    assert verify.verify().damage_lines == []
    assert read_landed() == right


def test_sha256sum_agrees(kept: Store) -> None:
    for folder, sums in [
        (kept.folder, "ai_manufacturing.duckdb.sha256"),
        (kept.folder / "past", "000001.duckdb.sha256"),
        (kept.locate_held_build("000003"), "SHA256SUMS"),
    ]:
        run = subprocess.run(
            ["sha256sum", "--check", "--strict", sums], cwd=folder, capture_output=True, check=False
        )
        assert run.returncode == 0, run.stderr


def test_what_dead_runs_left_is_removed_and_a_live_refresh_is_not_disturbed(
    kept: Store, tmp_path: Path
) -> None:
    store = tmp_path / "landing"
    store.mkdir()
    litter = [
        store / f".{'a' * 64}.{'b' * 32}",
        store / ".spill.x",
        kept.work / "000009",
        tmp_path / ".site.123",
        kept.folder / f".refreshes.jsonl.{'c' * 32}",
        integrity.checksum_path(kept.locate_past_release("000007")),
    ]
    for path in litter[:4]:
        path.mkdir()
        (path / "half").write_text("written", encoding="utf-8")
    for path in litter[4:]:
        path.write_text("half", encoding="utf-8")
    with lock.hold_lock(kept.lock), pytest.raises(LockedError):
        verify.verify()
    assert all(path.exists() for path in litter)
    found = verify.verify()
    assert found.damage_lines == []
    for path in litter:
        assert not path.exists()
        assert any(line.startswith(str(path)) for line in found.repair_lines), path
    assert verify.verify().repair_lines == []


def test_a_site_is_compared_but_for_the_catalogue(kept: Store, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    pages = ("assets/site.js", "index.html", "catalogue.html")
    for name in pages:
        (site / name).write_text(name, encoding="utf-8")
    sums = site / "SHA256SUMS"
    assert verify.verify().damage_lines == [
        f"{sums} is missing. Run `ai-manufacturing report` again."
    ]
    integrity.record_folder(site, ("catalogue.html",))
    (site / "catalogue.html").write_text("made again", encoding="utf-8")
    assert verify.verify().damage_lines == []
    for name in ("index.html", "more.html"):
        (site / name).write_text("another", encoding="utf-8")
    more, differs = verify.verify().damage_lines
    assert more.startswith(f"{site / 'more.html'} is not listed")
    assert differs.startswith(f"{site / 'index.html'}: ")
    assert "`ai-manufacturing report`" in differs


def test_a_publication_that_died_before_its_last_step_leaves_a_release_that_is_read_and_mended(
    kept: Store,
) -> None:
    sums = integrity.checksum_path(kept.published_path)
    sums.unlink()
    for read in (kept.read_current_manifest, lambda: databases.read_database(kept.published_path)):
        assert read().release_id == "000002"
    assert verify.verify().repair_lines == [f"{sums} was missing, and was written again."]


def exits(expected: int, said: str, *arguments: object) -> str:
    """Run the CLI in this process, check its exit code and part of its output, and return the
    output.
    """
    run = CliRunner().invoke(cli.main, [*map(str, arguments)])
    # Undo the escaping of quotes in JSON output.
    printed = run.output.replace('\\"', '"')
    assert (run.exit_code, said in printed) == (expected, True), printed
    return printed


def times_ten(path: Path) -> None:
    """Multiply a release's estimates by ten, which corrupts the data but not the file format."""
    path.chmod(0o644)
    with duckdb.connect(str(path)) as release:
        release.execute("update reports.rpt_coefficients set estimate = 10 * estimate")


def test_a_release_whose_sha_256_is_gone_is_damage_and_is_not_published(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All commands refuse the release, and a rollback repairs the published file."""
    monkeypatch.delenv("WAREHOUSE_PATH", raising=False)
    past, published = kept.locate_past_release("000001"), kept.published_path.read_bytes()
    sums = integrity.checksum_path(past)
    whole = {path: path.read_bytes() for path in (past, sums)}

    def is_refused(said: str) -> None:
        exits(1, said, "verify")
        exits(1, said, "rollback", "000001")
        exits(1, said, "diff", "000001", "000002")
        exits(2, said, "compare", past, past)
        assert kept.published_path.read_bytes() == published
        for path, content in whole.items():
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        exits(0, "", "verify")

    times_ten(past)
    sums.unlink()
    is_refused(f"{sums} is missing")
    times_ten(past)
    sums.unlink()
    integrity.record_checksum(past, integrity.sha256(past))
    is_refused(f"{kept.folder / 'refreshes.jsonl'} records ")
    # A publication that is killed may leave the published file without its SHA-256.
    times_ten(kept.published_path)
    integrity.checksum_path(kept.published_path).unlink()
    # The published file is a copy, so its damage leaves past releases intact.
    by_hand.summarise_changes(kept, "000001", "000002")
    damage = f"{kept.published_path}: its SHA-256 is "
    out = ("--out", tmp_path / "out")
    exits(2, damage, "export", "--format", "csv", *out)
    exits(2, damage, "export", "--format", "csv", *out, "--database", kept.published_path)
    exits(2, damage, "report", *out)
    assert not out[1].exists()
    exits(1, damage, "status")
    assert "000002" in exits(1, damage, "releases"), "those that can take its place are listed"
    found = json.loads(CliRunner().invoke(cli.main, ["verify", "--json"]).stdout)
    assert found.keys() == keys("`verify`")
    assert [damage in line for line in found["damaged"]] == [True]
    assert (found["checked"]["releases"], found["checked"]["held builds"]) == (2, 1)
    exits(0, "", "rollback", "000002")
    assert kept.published_path.read_bytes() == published
    exits(0, " None differ.", "verify")
    sums = kept.locate_held_build("000003") / "SHA256SUMS"
    sums.unlink()
    exits(1, f"{sums} is missing", "verify")
    exits(1, f"{sums} is missing", "publish", "000003", "--reason", "a test")


@pytest.mark.soak
@pytest.mark.parametrize("kept_lines", [0, 1, -1])
def test_a_log_of_refreshes_that_was_cut_is_damage_and_nothing_is_published(
    kept: Store, kept_lines: int
) -> None:
    log, published = kept.folder / "refreshes.jsonl", kept.published_path.read_bytes()
    head = Path(f"{log}.head")
    lines = log.read_bytes().splitlines(keepends=True)
    left = lines[:kept_lines]
    log.write_bytes(b"".join(left))
    cut = f"{log} was truncated: it has {len(left)} lines, but {head} records {len(lines)}"
    exits(1, cut, "verify")
    exits(1, cut, "rollback", "000001")
    exits(1, cut, "refresh")
    assert "000001" in exits(1, cut, "releases")
    assert kept.published_path.read_bytes() == published
    # Without a backup, the user has to delete the log and its head.
    log.write_bytes(b"")
    head.unlink()
    again = f"{log} was empty; the SHA-256 of 2 releases were recorded again"
    exits(0, again, "rollback", "000001")
    exits(0, "", "verify")
    assert [row["release_id"] for row in kept.summarise_releases()[0]] == ["000001", "000002"]
    log.unlink()
    head.unlink()
    exits(1, f"{log} is missing, but {kept.folder / 'past'} contains releases", "verify")


def test_a_release_that_the_log_lacks_is_summarised_from_its_file(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = kept.summarise_releases()
    monkeypatch.setattr(Store, "read_logged_releases", lambda _: {})
    assert kept.summarise_releases() == logged
    assert [row["release_id"] for row in logged[0]] == ["000001", "000002"]


def test_releases_and_the_logs_are_compared_with_each_other(
    kept: Store, small_build: Build, landing_store: Path
) -> None:
    past = kept.folder / "past"
    (name,) = log.list_extract_sets(landing_store)
    first, second = log.read_events(landing_store, name)[:2]
    never = 64 * "0"
    hashes = {
        first["file_path"]: first["delivery_id"],
        second["file_path"]: never,
        "extract_set.yml": 64 * "1",
    }
    past_release(kept, small_build.warehouse, "000004", delivery_hashes=hashes)
    assert verify.verify().damage_lines == [
        f"{past / '000004.duckdb'} was built from {second['file_path']} with SHA-256 {never}, which"
        f" is not in the log of {name}. Restore the landing store of this release."
    ]
    other = past / "000009.duckdb"
    shutil.copy(past / "000001.duckdb", other)
    integrity.record_checksum(other, integrity.sha256(other))
    for number in ("000001", "000004"):
        (past / f"{number}.duckdb").unlink()
    # Release 000004 is not reported, because its refresh was killed before the release was
    # published.
    assert [line.split(". ")[0] for line in verify.verify().damage_lines] == [
        f"{past / '000001.duckdb'} is missing, but {kept.folder / 'refreshes.jsonl'} lists it",
        f"{other} is not listed in {kept.folder / 'refreshes.jsonl'}",
    ]
    kept.published_path.unlink()
    for number in ("000010", "000011"):
        past_release(kept, small_build.warehouse, number)
        kept.publish_release(number)
    replace(kept, keep_count=2).prune_releases()
    assert verify.verify().damage_lines == []


def test_a_writer_that_is_killed_at_any_line_leaves_a_log_that_is_whole(tmp_path: Path) -> None:
    """Each writer is killed one line later and starts with the leftovers of earlier writers."""
    written = Chain(tmp_path / "log.jsonl")
    place, exit_code = 0, 1
    while exit_code:
        before, place = written.read().lines, place + 1
        child = os.fork()
        if not child:
            try:
                integrity._verified_logs.clear()
                with killed.at_place(("/system/integrity", "/system/disk"), place):
                    written.append(lambda lines: {"number": place})  # noqa: B023
                os._exit(0)
            finally:
                os._exit(1)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert exit_code in (0, -signal.SIGKILL)
        lines = written.read().lines
        assert lines[: len(before)] == before
        assert lines[len(before) :] in ([], [{"number": place}])
    assert place > 40
    assert 5 < len(lines) < place
    content = written.path.read_bytes()
    for size in (*range(0, len(content), 7), len(content) - 1):
        written.path.write_bytes(content[:size])
        with pytest.raises(integrity.DamagedError, match=r"log\.jsonl"):
            written.read()


def test_the_head_of_a_log_may_be_one_line_behind(tmp_path: Path) -> None:
    """A writer that dies between a line and its head leaves the head one line behind."""
    log, heads = Chain(tmp_path / "log.jsonl"), [b""]
    for number in (1, 2, 3):
        assert len(log.append(lambda lines: {"number": len(lines) + 1})) == number
        heads.append(log.head.read_bytes())
    log.head.write_bytes(heads[2])
    assert log.append(lambda _: None) == [{"number": 1}, {"number": 2}, {"number": 3}]
    log.head.write_bytes(heads[1])
    with pytest.raises(integrity.DamagedError, match=r"has 3 lines, but .* records only 1 lines"):
        log.read()
    for head in (heads[3].replace(b"}", b', "more": 1}'), heads[3].replace(b": ", b":"), b"[]\n"):
        log.head.write_bytes(head)
        with pytest.raises(integrity.DamagedError, match="head was altered or damaged"):
            log.read()
    log.head.write_bytes(heads[3])
    whole = log.path.read_bytes()
    log.path.write_bytes(whole.replace(b'"number": 3', b'"number": 5'))
    with pytest.raises(integrity.DamagedError, match="line 3 was altered"):
        log.read()
    log.path.write_bytes(whole + b'{"num')
    log.append(lambda _: {"number": 4})
    integrity._verified_logs.clear()
    assert log.read().lines == [{"number": number} for number in (1, 2, 3, 4)]
    log.path.write_bytes(log.path.read_bytes().removesuffix(b"\n"))
    log.head.write_bytes(heads[3])
    assert len(log.read().lines) == 3, "a line without its end is not complete"
    log.path.write_bytes(whole.splitlines(keepends=True)[0])
    log.head.unlink()
    assert log.append(lambda _: None) == [{"number": 1}]


def refusal() -> str:
    checksums._verified_signatures.clear()
    return fault()


def test_files_and_lines_that_were_exchanged_or_lost_are_named(project: Project) -> None:
    for city in ("110000", "120000", "130000"):
        project.deliver(f"firms/{city}.csv", csv_text((city, 2020, 1, 1)))
        landing.land_deliveries()
    store = project.root / "landing"
    first, second, _ = (folder / "rows.parquet" for folder in project.store_folders())
    written, head = log.open_chain(store).path, log.open_chain(store).head
    whole = {path: path.read_bytes() for path in (first, written, head)}
    lines = whole[written].splitlines(keepends=True)
    cut = f"{written} was truncated: it has"
    for path, content, said in (
        (first, second.read_bytes(), f"{first}: its SHA-256 is "),
        (written, [*lines[:2], *lines[3:]], f"{cut} 5 lines, but {head} records 6"),
        (written, lines[:-1], f"{cut} 5 lines, but {head} records 6"),
        (
            written,
            [*lines[:2], lines[3], lines[2], *lines[4:]],
            f"{written}, line 3 was altered or damaged",
        ),
        (written, [*lines, *lines[:2]], f"{written} has 8 lines, but {head} records only 6 lines"),
        (written, [], f"{cut} 0 lines"),
        (written, None, f"{cut} 0 lines"),
        (head, None, f"{written} has 6 lines, but {head} is missing"),
    ):
        if content is None:
            path.unlink()
        else:
            overwrite(path, content if isinstance(content, bytes) else b"".join(content))
        assert said in refusal()
        for kept_file, bytes_before in whole.items():
            kept_file.write_bytes(bytes_before)
        landing.land_deliveries()
    (first.parent / "more.parquet").touch()
    assert f"{first.parent / 'more.parquet'} is not listed in {written}" in refusal()
    shutil.rmtree(written.parent)
    assert f"{written} is missing, but {store} contains landed files" in refusal()


def test_a_damaged_file_lands_again_once_its_folder_is_deleted_and_a_lost_one_is_named(
    project: Project,
) -> None:
    path = project.deliver("firms/a.csv", csv_text(GOOD))
    before = landing.land_deliveries()
    (folder,) = project.store_folders()
    flip(folder / "rows.parquet", random.Random(5))
    assert "delete this folder and run the build again" in refusal()
    shutil.rmtree(folder)
    assert landing.land_deliveries() == before
    path.unlink()
    project.deliver("firms/b.csv", csv_text(("120000", 2020, 1, 1)))
    landing.land_deliveries()
    shutil.rmtree(folder)
    assert "firms/a.csv, delivery 1 of extracts, was stored there" in "".join(
        verify.verify().damage_lines
    )
    with pytest.raises(
        landing.LandingError, match=r"delivery\.json is missing from the landing store"
    ):
        landing.land_deliveries()


def test_a_copied_store_gives_identical_rows(delivery: Build) -> None:
    shutil.rmtree(delivery.landing / "tables")
    checksums._verified_signatures.clear()
    run = delivery.models("fct_city_year_panel")
    landing_models = {path.stem for path in (PROJECT / "python_models/landing").glob("*.py")}
    assert run.ran, "what reads files"
    assert {*run.ran} <= landing_models, "and nothing after it, as it is the same"
