"""Bytes that changed on the disk: `ai-manufacturing verify` finds them, and nothing makes or shows numbers of them."""

import fcntl
import hashlib
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
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ai_manufacturing import cli, landing
from ai_manufacturing.auditing import verify
from ai_manufacturing.landing import landed, log, registers
from ai_manufacturing.refresh import by_hand, writer
from ai_manufacturing.releases import databases
from ai_manufacturing.releases.errors import LockedError, RefreshError
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import integrity
from ai_manufacturing.system.integrity import Chain
from tests.python import killed
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import FIRMS, GOOD, Project, csv_text
from tests.python.landing_project import lines as kept_lines
from tests.python.release_store import described, quiet, release
from tests.python.test_command_line import keys

ENTITIES = ("city_yearbook", "firm_survival", "patents")
Numbers = tuple[pa.Table, ...]


def flip(path: Path, chance: random.Random) -> bytes:
    """Flip one bit of a file, and return the bytes that it had."""
    before = path.read_bytes()
    place = chance.randrange(8 * len(before))
    changed = bytearray(before)
    changed[place // 8] ^= 1 << place % 8
    overwrite(path, bytes(changed))
    return before


def overwrite(path: Path, content: bytes) -> None:
    """Write as a disk does that errs: permissions do not hinder it."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def files(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def read_landed() -> Numbers:
    """Read what a build reads of the sample, as a new process does."""
    landed._found_whole.clear()
    deliveries = landing.deliveries()
    for entity in ("firm_register", "patent_register"):
        registers.declared_path(entity)
    return (deliveries, *(landing.rows(entity, deliveries).read_all() for entity in ENTITIES))


@pytest.fixture(scope="session")
def two_releases(audited_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release folder of two releases and a held build."""
    folder = tmp_path_factory.mktemp("two_releases")
    store = Store(folder, folder / "ai_manufacturing.duckdb")
    store.prepare()
    for release_id in ("000001", "000002"):
        release(store, audited_build.warehouse)
        store.record({"release_id": release_id, "at": "2026-11-26T00:00:00+00:00", "outcome": "published"})
    held = store.work / "held"
    held.mkdir()
    for name in ("warehouse.duckdb", "report.json"):
        (held / name).write_text(name, encoding="utf-8")
    store.keep_held(held, "000003")
    return folder


@pytest.fixture
def kept(two_releases: Path, audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a copy of two_releases beside a copy of the sample's landing store."""
    monkeypatch.chdir(PROJECT)
    folder = tmp_path / """it's; a "folder" """
    shutil.copytree(two_releases, folder)
    shutil.copytree(audited_build.scratch / "landing", tmp_path / "landing")
    for name, path in {
        "EXTRACTS_DIR": audited_build.extracts,
        "LANDING_DIR": tmp_path / "landing",
        "RELEASE_DIR": folder,
        "SITE_DIR": tmp_path / "site",
    }.items():
        monkeypatch.setenv(name, str(path))
    return Store(folder, folder / "ai_manufacturing.duckdb")


def refused(kept: Store, path: Path) -> None:
    """Read a damaged file of the release folder as each command does that would make or show its numbers."""
    acts: list[Callable[[], object]]
    if path.parent == kept.folder / "past":
        release_id = path.name[:6]
        acts = [
            lambda: by_hand.rollback(kept, release_id, quiet),
            lambda: by_hand.difference(kept, "000001", "000002"),
            lambda: databases.read(kept.past(release_id)),
        ]
    elif path.is_relative_to(kept.folder / "held"):
        acts = [lambda: by_hand.publish_held(kept, "000003", "a test", quiet)]
    elif path.name.startswith("refreshes.jsonl"):
        acts = [kept.refreshes, kept.next_id, lambda: by_hand.rollback(kept, "000001", quiet)]
    else:
        acts = [kept.current, kept.next_id, lambda: databases.read(kept.published)]
    for act in acts:
        with pytest.raises((RefreshError, databases.DatabaseError)):
            act()


def flips(kept: Store, store: Path, count: int) -> None:
    """Flip bits, a third each in landed files, logs and releases; each is found, and none is read as a number."""
    chance = random.Random(count)
    right = read_landed()
    assert verify.verify().damaged == []
    kinds = (
        files(store, 64 * "?" + "/*", "tables/*/*"),
        files(store, "log/*") + files(kept.folder, "refreshes.jsonl*"),
        files(kept.folder, "*.duckdb*", "past/*", "held/*/*"),
    )
    for number in range(count):
        path = chance.choice(kinds[number % 3])
        before = flip(path, chance)
        found = verify.verify().damaged
        assert any(str(path.parent) in line for line in found), path
        if path.is_relative_to(store):
            if path.is_relative_to(store / "tables"):  # read by SQL alone; a build writes them anew
                assert read_landed() == right
            else:
                with pytest.raises(landing.LandingError, match=re.escape(str(path.parent))):
                    read_landed()
        else:
            refused(kept, path)
        overwrite(path, before)
    assert verify.verify().damaged == []
    assert read_landed() == right


def test_a_flipped_bit_is_found_and_reaches_no_number(kept: Store, tmp_path: Path) -> None:
    flips(kept, tmp_path / "landing", 9)


@pytest.mark.soak
def test_each_of_three_hundred_flipped_bits_is_found_and_reaches_no_number(kept: Store, tmp_path: Path) -> None:
    flips(kept, tmp_path / "landing", 300)


# ---------------------------------------------------------------- what the commands say


def test_the_commands_refuse_a_damaged_release_and_a_rollback_mends_it(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAREHOUSE_PATH", raising=False)
    before = flip(kept.published, random.Random(1))
    damage = f"{kept.published}: its SHA-256 is "
    out = str(tmp_path / "out")
    for expected, *arguments in (
        (2, "export", "--format", "csv", "--out", out),
        (2, "report", "--out", out),
        (1, "status"),
        (1, "releases"),
    ):
        code, printed = command(*arguments)
        assert (code, damage in printed) == (expected, True)
    assert "000002" in printed, "releases that can take its place are listed"
    assert not (tmp_path / "out").exists()
    run = CliRunner().invoke(cli.main, ["verify", "--json"])
    found = json.loads(run.stdout)
    assert (run.exit_code, found.keys()) == (1, keys("`verify`"))
    assert [damage in line for line in found["damaged"]] == [True]
    assert (found["checked"]["releases"], found["checked"]["held builds"]) == (2, 1)
    assert command("rollback", "000002")[0] == 0
    assert kept.published.read_bytes() == before
    code, printed = command("verify")
    assert (code, printed.rstrip().endswith(" None differ.")) == (0, True)


def test_sha256sum_agrees(kept: Store) -> None:
    for folder, sums in [
        (kept.folder, "ai_manufacturing.duckdb.sha256"),
        (kept.folder / "past", "000001.duckdb.sha256"),
        (kept.held("000003"), "SHA256SUMS"),
    ]:
        run = subprocess.run(["sha256sum", "--check", "--strict", sums], cwd=folder, capture_output=True, check=False)
        assert run.returncode == 0, run.stderr


def test_what_dead_runs_left_is_removed_and_a_live_refresh_is_not_disturbed(kept: Store, tmp_path: Path) -> None:
    store, site = tmp_path / "landing", tmp_path / ".site.123"
    litter = [store / f".{'a' * 64}.{'b' * 32}", store / ".spill.x", kept.work / "000009", site]
    for folder in litter:
        folder.mkdir()
        (folder / "half").write_text("written", encoding="utf-8")
    draft = kept.folder / f".refreshes.jsonl.{'c' * 32}"
    orphan = integrity.beside(kept.past("000007"))
    for path in (draft, orphan):
        path.write_text("half", encoding="utf-8")
    with (kept.folder / "refresh.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            verify.verify()
    assert all(path.exists() for path in litter)
    found = verify.verify()
    assert found.damaged == []
    for path in (*litter, draft, orphan):
        assert not path.exists()
        assert any(line.startswith(f"{path}: ") for line in found.mended), path
    assert verify.verify().mended == []


def test_a_site_is_compared_but_for_the_catalogue(kept: Store, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    for name in ("assets/site.js", "index.html", "catalogue.html"):
        (site / name).write_text(name, encoding="utf-8")
    assert [line for line in verify.verify().mended if str(site) in line]
    integrity.record_folder(site, ("catalogue.html",))
    (site / "catalogue.html").write_text("made again", encoding="utf-8")
    assert verify.verify().damaged == []
    (site / "index.html").write_text("another", encoding="utf-8")
    (site / "more.html").write_text("more", encoding="utf-8")
    said = verify.verify().damaged
    assert [line.split(": ")[0] for line in said] == [str(site / "more.html"), str(site / "index.html")]
    assert all("`ai-manufacturing report`" in line for line in said)


# ---------------------------------------------------------------- releases


def test_a_past_release_is_no_link_to_the_published_file(kept: Store) -> None:
    assert kept.published.read_bytes() == kept.past("000002").read_bytes()
    assert not kept.published.samefile(kept.past("000002"))
    flip(kept.published, random.Random(2))
    by_hand.difference(kept, "000001", "000002")


def outcomes_alone(kept: Store, sealed: bool) -> None:
    """Turn a release folder into one of commit 63ebdc3, whose log had no head; unsealed, into one of 0.1.0."""
    log = kept.folder / "refreshes.jsonl"
    log.with_name(f"{log.name}.head").unlink()
    before = b""
    for line in kept_lines(log):
        if "outcome" in line:
            body = {name: value for name, value in line.items() if name not in ("sha256", "log_version")}
            own = hashlib.sha256(before + json.dumps(body, ensure_ascii=False).encode()).hexdigest()
            before += json.dumps(body | ({"sha256": own} if sealed else {}), ensure_ascii=False).encode() + b"\n"
    log.write_bytes(before)


def test_a_release_folder_of_an_earlier_version_is_adopted_once_and_it_is_said(kept: Store) -> None:
    outcomes_alone(kept, sealed=False)
    before = kept.refreshes()
    for path in files(kept.folder, "*.sha256", "past/*.sha256", "held/*/SHA256SUMS"):
        path.unlink()
    kept.published.unlink()
    os.link(kept.past("000002"), kept.published)
    found = verify.verify()
    assert found.damaged == []
    assert [line.split(": ")[0] for line in found.mended] == [
        str(path) for path in (kept.past("000002"), kept.folder, integrity.beside(kept.published))
    ]
    assert "written by an earlier version. The SHA-256 of 2 releases are now in" in found.mended[1]
    assert kept.refreshes() == before
    assert [row["release_id"] for row in kept.listed()[0]] == ["000001", "000002"]
    assert not kept.published.samefile(kept.past("000002"))
    assert integrity.check_folder(kept.held("000003")) == []
    assert verify.verify().mended == []


def test_a_release_folder_of_the_last_version_keeps_its_lines_and_hashes_and_a_lost_one_is_not_made_up(
    kept: Store,
) -> None:
    outcomes_alone(kept, sealed=True)
    written = (kept.folder / "refreshes.jsonl").read_bytes()
    before, digest = kept.refreshes(), integrity.recorded(kept.past("000001"))
    integrity.beside(kept.past("000002")).unlink()
    code, printed = command("rollback", "000001")
    assert (code, printed.count("written by an earlier version")) == (0, 1), printed
    assert (kept.folder / "refreshes.jsonl").read_bytes().startswith(written)
    assert kept.refreshes()[:-1] == before
    assert kept.releases_in_log()["000001"]["file_sha256"] == digest
    found = verify.verify()
    assert found.mended == []
    assert [line.split(": ")[0] for line in found.damaged] == [
        str(integrity.beside(kept.past("000002"))), str(kept.past("000002")),
    ]  # fmt: skip


def test_a_publication_that_died_before_its_last_step_leaves_a_release_that_is_read_and_compared(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = integrity.record
    with monkeypatch.context() as dying:
        dying.setattr(integrity, "record", lambda path, digest: path != kept.published and record(path, digest))
        kept.publish("000001")
    assert not integrity.beside(kept.published).exists()
    assert kept.current().release_id == databases.read(kept.published).release_id == "000001"
    before = flip(kept.published, random.Random(3))
    for read in (kept.current, lambda: databases.read(kept.published)):
        with pytest.raises((RefreshError, databases.DatabaseError)):
            read()
    overwrite(kept.published, before)
    assert verify.verify().mended == [f"{integrity.beside(kept.published)}: missing; written again."]


# ---------------------------------------------------------------- witnesses that are gone


def command(*arguments: object) -> tuple[int, str]:
    """Run `ai-manufacturing` in this process; return its exit code and what it printed."""
    run = CliRunner().invoke(cli.main, [*map(str, arguments)])
    return run.exit_code, run.output.replace('\\"', '"')  # of paths in JSON


def times_ten(path: Path) -> None:
    """Change the estimates of a release, which stays one that opens."""
    path.chmod(0o644)
    with duckdb.connect(str(path)) as release:
        release.execute("update reports.rpt_coefficients set estimate = 10 * estimate")


def test_a_past_release_whose_sha_256_is_gone_is_damage_and_is_not_published(kept: Store) -> None:
    past, published = kept.past("000001"), kept.published.read_bytes()
    sums = integrity.beside(past)
    whole = {path: path.read_bytes() for path in (past, sums)}

    def is_refused(said: str) -> None:
        for arguments in (["verify"], ["rollback", "000001"], ["diff", "000001", "000002"], ["compare", past, past]):
            code, printed = command(*arguments)
            assert code == (2 if arguments[0] == "compare" else 1), printed
            assert said in printed
        assert kept.published.read_bytes() == published
        for path, content in whole.items():
            overwrite(path, content) if path.exists() else path.write_bytes(content)
        assert command("verify")[0] == 0

    times_ten(past)
    sums.unlink()
    is_refused(f"{sums}: missing")
    sums.unlink()
    is_refused(f"{sums}: missing")
    times_ten(past)
    sums.unlink()
    integrity.record(past, integrity.sha256(past))
    is_refused(f"{kept.folder / 'refreshes.jsonl'} says ")
    # the published file, beside which a publication that dies leaves none
    times_ten(kept.published)
    integrity.beside(kept.published).unlink()
    code, printed = command("verify")
    assert (code, f"{kept.published}: its SHA-256 is " in printed) == (1, True)
    assert command("export", "--format", "csv", "--out", str(kept.folder / "out"), "--database", str(kept.published))[0]
    assert command("rollback", "000002")[0] == 0
    assert command("verify")[0] == 0


def test_a_held_build_whose_sha_256_are_gone_is_damage_and_is_not_published(kept: Store) -> None:
    sums = kept.held("000003") / "SHA256SUMS"
    sums.unlink()
    for arguments in (["verify"], ["publish", "000003", "--reason", "a test"]):
        code, printed = command(*arguments)
        assert (code, f"{sums}: missing" in printed) == (1, True)


@pytest.mark.parametrize("kept_lines", [0, 1, -1])
def test_a_log_of_refreshes_that_was_cut_is_damage_and_nothing_is_published(kept: Store, kept_lines: int) -> None:
    log, published = kept.folder / "refreshes.jsonl", kept.published.read_bytes()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:kept_lines]))
    cut = f"{log}: was cut: it has {len(lines[:kept_lines])} lines, and {log}.head counts {len(lines)}"
    for arguments in (["verify"], ["rollback", "000001"], ["refresh"], ["status"]):
        code, printed = command(*arguments)
        assert (code, cut in printed) == (1, True), printed
    code, printed = command("releases")
    assert (code, cut in printed, "000001" in printed) == (1, True, True)
    assert kept.published.read_bytes() == published
    # the way out where there is no backup
    log.write_bytes(b"")
    Path(f"{log}.head").unlink()
    assert command("rollback", "000001")[0] == 0
    assert command("verify")[0] == 0
    log.unlink()
    Path(f"{log}.head").unlink()
    code, printed = command("verify")
    assert (code, f"{log}: missing, and {kept.folder / 'past'} has releases" in printed) == (1, True)


def test_a_landing_store_that_lost_its_log_or_the_end_of_it_is_damage_and_nothing_is_built_of_it(
    kept: Store, tmp_path: Path
) -> None:
    store = tmp_path / "landing"
    written = log.chain(store).path
    lines = written.read_bytes().splitlines(keepends=True)
    rows = next(
        path for path in files(store, 64 * "?" + "/rows.parquet") if "地区生产总值(亿元)" in pq.read_schema(path).names
    )
    table = pq.read_table(rows)
    at = table.schema.get_field_index("地区生产总值(亿元)")
    gdp = pa.array([value and 1.2 * value for value in table.column(at).to_pylist()], table.schema.field(at).type)

    def is_refused(said: str) -> None:
        for arguments, expected in ((["verify"], 1), (["refresh"], 5)):
            code, printed = command(*arguments)
            assert (code, said in printed) == (expected, True), printed
        assert said in refusal()

    written.write_bytes(b"".join(lines[:20]))
    is_refused(f"{written}: was cut: it has 20 lines, and {written}.head counts {len(lines)}")
    # all hashes are gone, and a value is another: nothing is landed over it
    written.write_bytes(b"".join(lines))
    before = rows.read_bytes()
    pq.write_table(table.set_column(at, table.schema.field(at), gdp), rows)
    assert command("verify")[0] == 1
    shutil.move(written.parent, tmp_path / "log")
    is_refused(f"{written}: missing, and {store} has landed files")
    shutil.move(tmp_path / "log", store)
    overwrite(rows, before)
    assert command("verify")[0] == 0


def test_releases_and_the_logs_are_compared_with_each_other(kept: Store, audited_build: Build, tmp_path: Path) -> None:
    store, past = tmp_path / "landing", kept.folder / "past"
    (name,) = log.sets(store)
    first, second = (event for event in log.read(store, name)[:2])
    hashes = {first["file_path"]: first["delivery_id"], second["file_path"]: 64 * "0", "extract_set.yml": 64 * "1"}
    target = kept.work / "unpublished.duckdb"
    writer.write(audited_build.warehouse, target, described("000004") | {"delivery_hashes": hashes}, None)
    kept.add(target, "000004")
    assert verify.verify().damaged == [
        f"{past / '000004.duckdb'}: made of {second['file_path']} with SHA-256 {64 * '0'}, which the log of {name} "
        "does not have. Restore the landing store of this release."
    ]
    for path in (past / "000004.duckdb", past / "000001.duckdb"):
        for there, copied in ((path, "000009.duckdb"), (integrity.beside(path), "000009.duckdb.sha256")):
            shutil.copy(there, past / copied)
            there.unlink()
    (past / "000009.duckdb.sha256").write_text(f"{integrity.sha256(past / '000009.duckdb')}  000009.duckdb\n")
    found = verify.verify().damaged
    # 000004 was never seen by a reader: a refresh died before its file came
    assert [line.split(". ")[0] for line in found] == [
        f"{past / '000001.duckdb'}: missing, and {kept.folder / 'refreshes.jsonl'} names it",
        f"{past / '000009.duckdb'}: no line of {kept.folder / 'refreshes.jsonl'} names it",
    ]
    kept.published.unlink()
    for release_id in ("000010", "000011"):
        writer.write(audited_build.warehouse, target, described(release_id), None)
        kept.add(target, release_id)
        kept.publish(release_id)
    replace(kept, kept=2).prune()
    assert verify.verify().damaged == []


def test_the_releases_are_listed_from_the_log_and_not_opened(kept: Store) -> None:
    listed = kept.releases_in_log()["000001"]
    added = {f"{number:06d}": listed | {"release_id": f"{number:06d}"} for number in range(4, 404)}
    Chain(kept.folder / "refreshes.jsonl").append(lambda lines: {"releases": added})
    for release_id in added:
        kept.past(release_id).write_bytes(b"no release")
    run = CliRunner().invoke(cli.main, ["releases", "--json"])
    releases = json.loads(run.stdout)["releases"]
    assert (run.exit_code, len(releases), releases[-1]["release_id"]) == (0, 402, "000403")
    assert [row["release_id"] for row in releases if row["is_published"]] == ["000002"]
    kept.past("000404").write_bytes(b"no release")  # which the log does not list
    code, printed = command("releases")
    assert (code, f"{kept.past('000404')}: not a release" in printed) == (1, True)


def test_a_writer_that_is_killed_at_any_line_leaves_a_log_that_is_whole(tmp_path: Path) -> None:
    """One after the other, so that each meets what the ones before it have left."""
    written = Chain(tmp_path / "log.jsonl")
    place, exit_code = 0, 1
    while exit_code:
        before, place = written.read().lines, place + 1
        child = os.fork()
        if not child:
            try:
                integrity._read.clear()
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


# ---------------------------------------------------------------- the landing store


def log_of(project: Project) -> Path:
    return log.chain(project.root / "landing").path


def refusal(as_of: int | None = None) -> str:
    landed._found_whole.clear()
    with pytest.raises(landing.LandingError) as raised:
        landing.deliveries(as_of)
    return str(raised.value)


def test_files_and_lines_that_were_exchanged_or_lost_are_named(project: Project) -> None:
    for city in ("110000", "120000", "130000"):
        project.deliver(f"firms/{city}.csv", csv_text((city, 2020, 1, 1)))
        landing.deliveries()
    first, second, _ = project.store_folders()
    written, head = log_of(project), log.chain(project.root / "landing").head
    whole = {path: path.read_bytes() for path in (first / "rows.parquet", written, head)}
    lines = whole[written].splitlines(keepends=True)

    def restore() -> None:
        for path, content in whole.items():
            path.write_bytes(content)
        landing.deliveries()

    overwrite(first / "rows.parquet", (second / "rows.parquet").read_bytes())
    assert f"{first / 'rows.parquet'}: its SHA-256 is " in refusal()
    restore()
    for content, said in (
        ([*lines[:2], *lines[3:]], f"{written}: was cut: it has 5 lines, and {head} counts 6"),
        (lines[:-1], f"{written}: was cut: it has 5 lines, and {head} counts 6"),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], f"{written}, line 3: not as it was written"),
        ([*lines, *lines[:2]], f"{written}: has 8 lines, and {head} counts 6"),
        ([], f"{written}: was cut: it has 0 lines"),
    ):
        written.write_bytes(b"".join(content))
        assert said in refusal()
        restore()
    written.unlink()
    assert f"{written}: was cut: it has 0 lines" in refusal()
    restore()
    head.unlink()
    assert f"{written}: has 6 lines, and {head} is missing" in refusal()
    restore()
    shutil.rmtree(written.parent)
    assert f"{written}: missing, and {project.root / 'landing'} has landed files" in refusal()
    written.parent.mkdir()
    restore()
    (first / "more.parquet").touch()
    assert f"{first / 'more.parquet'}: {written} does not name it" in refusal()


def test_a_damaged_file_lands_again_once_its_folder_is_deleted_and_a_lost_one_is_named(project: Project) -> None:
    path = project.deliver("firms/a.csv", csv_text(GOOD))
    before = landing.deliveries()
    (folder,) = project.store_folders()
    flip(folder / "rows.parquet", random.Random(5))
    assert "delete this folder, and run the build again" in refusal()
    shutil.rmtree(folder)
    assert landing.deliveries() == before
    path.unlink()
    project.deliver("firms/b.csv", csv_text(("120000", 2020, 1, 1)))
    landing.deliveries()
    shutil.rmtree(folder)
    assert "firms/a.csv, delivery 1 of extracts, landed there" in "".join(verify.verify().damaged)
    with pytest.raises(landing.LandingError, match=r"delivery\.json: missing from the landing store"):
        landing.deliveries()


def test_years_read_again_mend_a_damaged_file(project: Project) -> None:
    project.declare(FIRMS.replace("key =", 'period = "年份"\n    key ='))
    project.deliver("firms/a.csv", csv_text(GOOD))
    before = landing.deliveries()
    (folder,) = project.store_folders()
    flip(folder / "rows.parquet", random.Random(6))
    refusal()
    assert landing.land_again(range(2020, 2021)) == ["firms/a.csv"]
    assert landing.deliveries() == before


def test_pages_of_landed_parquet_carry_checksums(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(*((f"{110000 + number}", 2020, number, 1) for number in range(500))))
    landing.deliveries()
    rows = project.store_folders()[0] / "rows.parquet"
    column = pq.read_metadata(rows).row_group(0).column(0)
    content = bytearray(rows.read_bytes())
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2] ^= 1
    rows.chmod(0o644)
    rows.write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.read_table(rows, page_checksum_verification=True)


# ---------------------------------------------------------------- another machine


def test_a_copied_store_gives_identical_rows(kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_landed()
    shutil.copytree(tmp_path / "landing", tmp_path / "elsewhere/landing", ignore=shutil.ignore_patterns("tables"))
    shutil.copytree(os.environ["EXTRACTS_DIR"], tmp_path / "elsewhere/sample")
    shutil.rmtree(tmp_path / "landing")
    monkeypatch.setenv("LANDING_DIR", str(tmp_path / "elsewhere/landing"))
    monkeypatch.setenv("EXTRACTS_DIR", str(tmp_path / "elsewhere/sample"))
    assert read_landed() == before
    assert verify.verify().damaged == []


@pytest.mark.soak
def test_a_copied_store_builds_identical_tables_and_a_run_of_one_model_refuses_a_damaged_file(
    kept: Store, sample_build: Build, tmp_path: Path
) -> None:
    copied = Build(sample_build.extracts, tmp_path / "sample.duckdb", tmp_path, landing=tmp_path / "landing")
    copied.excluded = "unit_test test"
    assert copied.dbt("build", "--select", "+fct_city_year_panel").exit_code == 0, copied.output
    for table in ("raw.deliveries", "raw.raw_city_yearbook", "marts.fct_city_year_panel"):
        assert copied.rows(f"from {table} order by all") == sample_build.rows(f"from {table} order by all")
    rows = (
        tmp_path
        / "landing"
        / copied.value("select store_key from raw.deliveries where entity = 'city_yearbook' limit 1")
    )
    flip(rows / "rows.parquet", random.Random(7))
    assert copied.dbt("run", "--select", "raw_city_yearbook").exit_code == 1
    assert f"{rows / 'rows.parquet'}: its SHA-256 is " in copied.output
