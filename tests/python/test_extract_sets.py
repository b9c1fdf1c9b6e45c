"""Tests that commands never mix extract sets, such as real and synthetic data."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from ai_manufacturing import cli
from ai_manufacturing.releases import databases
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.databases import RELEASE, WAREHOUSE, DatabaseError
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue, use
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import integrity
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import Refreshes, command, described, past_release, read, release

PUBLIC, SAMPLE = Origin("public", "delivered"), Origin("sample", "synthetic")
VARIABLES = ("WAREHOUSE_PATH", "RELEASE_PATH", "RELEASE_DIR", "EXTRACTS_DIR")


def of_another_set(origin: Origin) -> str:
    """Return the SQL statement that assigns a warehouse to another extract set."""
    name, kind = origin
    return f"update raw.deliveries set extract_set = '{name}', extract_set_kind = '{kind}'"


def extracts(build: Build, folder: Path) -> Path:
    """Copy delivered files without extract_set.yml, so that the folder's name is the set's name."""
    return Path(shutil.copytree(build.extracts, folder, ignore=lambda *_: ["extract_set.yml"]))


def test_a_release_of_another_set_is_refused_before_the_build_and_rolled_back_to_only_if_asked(
    store: Store, small_build: Build, clone: Path
) -> None:
    for name in ("models", "seeds", "dbt_project.yml"):
        (clone / name).symlink_to(PROJECT / name)
    (clone / "build/extracts").mkdir()
    (clone / "build/extracts/sample").symlink_to(small_build.extracts)
    of_public = {"extract_set": "public", "extract_set_kind": "delivered"}
    past_release(store, small_build.warehouse, "000001")
    past_release(store, small_build.warehouse, "000002", **of_public)
    store.publish_release("000002")

    def run(code: int, *arguments: str, extracts: Path | str = "") -> str:
        there = {"DBT_PROJECT_DIR": str(clone), "EXTRACTS_DIR": str(extracts)}
        ended = command(store, small_build, *arguments, **there)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout or ended.stderr

    def refused(extracts: Path | str = "") -> str:
        (line,) = run(2, "refresh", extracts=extracts).splitlines()
        event = json.loads(line)
        assert event["event"] == "BadConfigurationError", "it has not even started"
        return str(event["message"])

    message = refused()
    unset = (
        "the synthetic sample (the default, because EXTRACTS_DIR is not set) belongs to extract set"
        " sample"
        " (SYNTHETIC: "
    )
    assert unset in message
    assert "release 000002" in message
    assert "belongs to public (delivered). Nothing was published." in message
    assert message.endswith("--replace-extract-set.")
    assert "write name" not in message, "a sample is no delivery of the public set"
    store.published_path.unlink()
    assert refused() == message, "the latest past release counts where none is published"
    store.publish_release("000002")

    # The message suggests the old name, in case the files belong to the published extract set.
    later = extracts(small_build, clone / "city_yearbooks")
    (later / "extract_set.yml").write_text("name: city statistics\n", encoding="utf-8")
    assert 'write name: "public" into their extract_set.yml' in refused(later)
    said = (
        "Release 000001 belongs to extract set sample (SYNTHETIC: its numbers are not real), but"
        " release 000002 belongs to public"
    )
    assert said in run(2, "diff", "000001", "000002")
    said = run(2, "rollback", "000001")
    assert said.startswith("Error: Release 000001 belongs to extract set sample (SYNTHETIC: ")
    assert store.read_current_manifest().release_id == "000002"
    run(0, "rollback", "000001", "--replace-extract-set")
    assert store.read_current_manifest().release_id == "000001"

    held = store.locate_held_build("000003")
    held.mkdir()
    shutil.copy(small_build.warehouse, held / "warehouse.duckdb")
    report = {"outcome": "HeldError", "manifest": described("000003") | of_public, "found": []}
    (held / "report.json").write_text(json.dumps(report), encoding="utf-8")
    integrity.record_folder(held)
    publish = ("publish", "000003", "--reason", "x")
    assert "The held build 000003 belongs to extract set public (delivered)" in run(2, *publish)
    assert store.read_current_manifest().release_id == "000001"
    run(0, *publish, "--replace-extract-set")
    assert store.read_current_manifest().origin == PUBLIC


def test_a_set_that_replaces_another_is_not_compared_with_it(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = refreshes.store
    refreshes.run()
    refreshes.of(of_another_set(PUBLIC), "update reports.rpt_coefficients set estimate = 0")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts(refreshes.build, tmp_path / "public")))
    another = r"belongs to extract set public \(delivered\), but release 000001"
    with pytest.raises(BadConfigurationError, match=another):
        refreshes.run()
    assert refreshes.names == [], "it is refused before the build"
    manifest = refreshes.run(Limits(hold_shown_above=0), replaces=True)
    assert (manifest.release_id, manifest.origin) == ("000002", PUBLIC)
    replaced = (
        "Release 000002 of extract set public (delivered) replaces a release of extract set"
        f" {SAMPLE}."
    )
    assert replaced in refreshes.warnings
    assert read(store.published_path, "from release.changes") == []
    assert read(store.published_path, "from release.previous") == [("000001", *SAMPLE)]
    with Release(store.published_path) as shown:
        assert use._find_replaced_origin(shown) == SAMPLE, "the site says why nothing is compared"


def test_a_synthetic_file_in_a_delivered_set_is_found_before_it_is_published(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, build = refreshes.store, refreshes.build
    of_public = {"extract_set": "public", "extract_set_kind": "delivered"}
    past_release(store, build.warehouse, "000001", **of_public)
    store.publish_release("000001")
    refreshes.of(of_another_set(Origin("public", "synthetic")))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts(build, tmp_path / "public")))
    synthetic = r"belongs to extract set public \(SYNTHETIC: .*, but release 000001"
    with pytest.raises(BadConfigurationError, match=synthetic):
        refreshes.run()
    assert store.read_current_manifest().release_id == "000001"
    assert (store.read_refreshes(), store.list_release_ids()) == ([], ["000001"])


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project folder without builds, and unset the variables that locate databases."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    (tmp_path / "build/releases").mkdir(parents=True)
    return tmp_path


def written(path: Path, origin: Origin, release_id: str | None = None) -> Path:
    """Write a minimal warehouse of an extract set, or a minimal release if an ID is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema, table = ("raw", "deliveries") if release_id is None else ("release", "manifest")
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create schema {schema}")
        connection.execute(
            f"create table {schema}.{table} as select '{origin.extract_set}' as extract_set, "
            f"'{origin.kind}' as extract_set_kind, '{release_id}' as release_id"
        )
    return path


def test_a_file_that_the_user_names_goes_before_any_default(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = r"{}\.duckdb: the file does not exist"
    with pytest.raises(DatabaseError, match=gone.format("build/warehouse")):
        databases.select_database(None)
    warehouse = written(clone / "build/warehouse.duckdb", SAMPLE)
    assert str(databases.select_database(None)) == f"{SAMPLE}, warehouse, {warehouse}"
    published = written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    assert str(databases.select_database(None)) == f"{PUBLIC}, release 000012, {published}"
    elsewhere = written(clone / "elsewhere/ai_manufacturing.duckdb", SAMPLE, "000003")
    named = written(clone / "named.duckdb", SAMPLE, "000004")
    public = written(clone / "build/public.duckdb", PUBLIC)
    for variable, value, path in (
        ("RELEASE_DIR", str(elsewhere.parent), elsewhere),
        ("RELEASE_PATH", "named.duckdb", named),
        ("WAREHOUSE_PATH", "build/public.duckdb", public),
    ):
        monkeypatch.setenv(variable, value)
        assert databases.select_database(None).path == path
    assert databases.select_database(elsewhere).path == elsewhere, (
        "the option goes before all variables"
    )
    monkeypatch.setenv("RELEASE_PATH", "gone.duckdb")
    with pytest.raises(DatabaseError, match=gone.format("gone")):
        databases.select_database(None, (RELEASE,))


def test_a_file_that_a_command_cannot_read_is_passed_over_for_one_of_the_same_set_only(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = written(clone / "build/warehouse.duckdb", SAMPLE)
    published = written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    with pytest.raises(
        DatabaseError, match=r"\(The published release, extract set public \(delivered\)\)"
    ):
        databases.select_database(None, (WAREHOUSE,))
    assert databases.select_database(warehouse, (WAREHOUSE,)).origin == SAMPLE
    public = written(clone / "build/public.duckdb", PUBLIC)
    monkeypatch.setenv("WAREHOUSE_PATH", str(public))
    assert databases.select_database(None, (RELEASE,)).path == published
    monkeypatch.setenv("WAREHOUSE_PATH", str(warehouse))
    with pytest.raises(
        DatabaseError,
        match=r"needs a release, so it .* \(WAREHOUSE_PATH, extract set sample ",
    ):
        databases.select_database(None, (RELEASE,))


def test_no_default_is_read_for_the_extract_set_of_another_folder(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = written(clone / "build/releases/ai_manufacturing.duckdb", SAMPLE, "000001")
    for name in ("public", "sample"):
        (clone / name).mkdir()
    monkeypatch.setenv("EXTRACTS_DIR", "public")
    with pytest.raises(
        DatabaseError,
        match=r"EXTRACTS_DIR is public, which contains extract set public, but .* belongs to"
        r" extract set sample \(SYNTH",
    ):
        databases.select_database(None)
    assert databases.select_database(published).path == published
    monkeypatch.setenv("EXTRACTS_DIR", "sample")
    assert databases.select_database(None).path == published


def test_a_file_that_is_neither_release_nor_warehouse_is_named(clone: Path) -> None:
    duckdb.connect(str(clone / "empty.duckdb")).close()
    with pytest.raises(
        DatabaseError, match=r"empty\.duckdb is neither a release nor a warehouse with landed files"
    ):
        databases.read_database(clone / "empty.duckdb")


def test_a_folder_is_refused_before_its_checksum_is_read(clone: Path) -> None:
    """A folder in place of a database is refused before its checksum is read.

    The same check refuses named pipes, which would block until somebody writes.
    """
    folder = clone / "release.duckdb"
    folder.mkdir()
    folder.with_name("release.duckdb.sha256").write_text(f"{'0' * 64}  release.duckdb\n")
    with pytest.raises(DatabaseError, match=r"release\.duckdb is not a regular file"):
        databases.read_database(folder)


def run(code: int, *arguments: object) -> Result:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_command_says_first_which_set_it_reads_and_overwrites_no_answers_of_another(
    light_build: Build, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PATH", str(light_build.warehouse))
    of_public = written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    (clone / "docs").mkdir()
    book = Path(shutil.copy(PROJECT / "docs/questions.md", clone / "docs"))
    answers = book.read_bytes()
    trace = ("trace", "--specification", "table_1_col_1")
    export = ("export", "--format", "csv", "--out", clone / "exports")
    for arguments in (trace, export, ("queries", "--out", clone / "answers.md")):
        first, *_ = run(0, *arguments).stdout.splitlines()
        assert first == f"{SAMPLE}, warehouse, {light_build.warehouse}"
    said = run(2, "queries", "--database", of_public).stderr
    assert "contains the answers for the synthetic sample. For another extract set, name" in said
    assert book.read_bytes() == answers


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_site_gets_the_catalogue_of_its_own_set_only(
    store: Store, light_build: Build, tmp_path: Path
) -> None:
    release(store, light_build.warehouse)
    report = ("report", "--database", store.published_path, "--out", tmp_path / "site")
    beside = tmp_path / "site/catalogue.html"

    def marked(origin: Origin) -> str:
        marks = zip(Origin._fields, origin, strict=True)
        return f"<head>{''.join(catalogue.META_TAG.format(*mark) for mark in marks)}</head>"

    first, *lines = run(0, *report).stdout.splitlines()
    assert first == f"{SAMPLE}, release 000001, {store.published_path}"
    assert (
        "The site does not contain dbt's catalogue. Run `make catalogue` to write the catalogue."
        in lines
    )
    beside.write_text(marked(SAMPLE), encoding="utf-8")
    assert "does not contain dbt's catalogue" not in run(0, *report).stdout, (
        "one of the same set stays"
    )
    assert beside.read_text(encoding="utf-8") == marked(SAMPLE)
    for text, said in (
        (marked(PUBLIC), "belongs to public (delivered)"),
        ("<html></html>", "belongs to an extract set that it does not name"),
    ):
        beside.write_text(text, encoding="utf-8")
        other = shutil.copy(beside, tmp_path / "other.html")
        assert said in run(0, *report).stdout
        assert not beside.exists()
        refused = run(2, *report, "--catalogue", other).stderr
        assert f"{said}, but the release belongs to {SAMPLE}" in refused
