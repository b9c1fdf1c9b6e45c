"""Sets never mix: which file a command reads, and what may replace, be compared with or stand beside what."""

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest
from click.testing import CliRunner, Result

from ai_manufacturing import cli, site
from ai_manufacturing.refresh import build, writer
from ai_manufacturing.releases import databases
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.databases import RELEASE, WAREHOUSE, DatabaseError
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue, query_book
from ai_manufacturing.system import integrity
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import Refreshes, changed, command, described, release

PUBLIC, SAMPLE = Origin("public", "delivered"), Origin("sample", "synthetic")
VARIABLES = ("WAREHOUSE_PATH", "RELEASE_PATH", "RELEASE_DIR", "EXTRACTS_DIR")


def of_another_set(build: Build, to: Path, origin: Origin = PUBLIC) -> Path:
    """Copy a warehouse, and let it say that it is of another extract set."""
    return changed(
        build.warehouse,
        to,
        f"update raw.deliveries set extract_set = '{origin.extract_set}', extract_set_kind = '{origin.kind}'",
    )


def extracts(build: Build, folder: Path) -> Path:
    """Copy one delivered file into a folder that does not describe itself: a delivered set of that name."""
    copied = folder / "patents"
    copied.mkdir(parents=True)
    shutil.copy(build.extracts / "patents/专利_2015.csv", copied)
    return folder


def past_release(store: Store, warehouse: Path, release_id: str, origin: Origin) -> None:
    """Write a release that is not published."""
    manifest = described(release_id) | {"extract_set": origin.extract_set, "extract_set_kind": origin.kind}
    writer.write(warehouse, store.work / "unpublished.duckdb", manifest, None)
    store.add(store.work / "unpublished.duckdb", release_id)


# ---------------------------------------------------------------- what may replace what


def test_a_release_of_another_set_is_refused_before_the_build_and_rolled_back_to_only_if_asked(
    store: Store, audited_build: Build, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    (clone / "build/extracts").mkdir(parents=True)
    for name in ("models", "seeds", "dbt_project.yml"):
        (clone / name).symlink_to(PROJECT / name)
    (clone / "build/extracts/sample").symlink_to(audited_build.extracts)
    past_release(store, audited_build.warehouse, "000001", SAMPLE)
    past_release(store, audited_build.warehouse, "000002", PUBLIC)
    store.publish("000002")

    forgotten = {"EXTRACTS_DIR": "", "DBT_PROJECT_DIR": str(clone)}

    def refused() -> str:
        run = command(store, audited_build, "refresh", **forgotten)
        assert (run.returncode, run.stderr) == (2, "")
        (line,) = run.stdout.splitlines()
        assert json.loads(line)["event"] == "BadConfigurationError", "it has not even started"
        return json.loads(line)["message"]

    message = refused()
    assert "the synthetic sample, as EXTRACTS_DIR is not set, is of extract set sample (SYNTHETIC: " in message
    assert "release 000002" in message
    assert "is of public (delivered). Nothing was published." in message
    assert message.endswith("--replace-extract-set.")
    assert "write name" not in message, "a sample is no delivery of the public set"
    assert store.current().release_id == "000002"
    store.published.unlink()
    assert refused() == message, "the latest past release counts where none is published"
    store.publish("000002")

    # a set that goes on under another name is offered its name first, and what replaces it last
    later = extracts(audited_build, tmp_path / "city_yearbooks")
    (later / "extract_set.yml").write_text("name: city statistics\n", encoding="utf-8")
    forgotten["EXTRACTS_DIR"] = str(later)
    assert refused().endswith(
        'is of public (delivered). Nothing was published. If these files continue that set, write name: "public" into '
        "their extract_set.yml. Otherwise set EXTRACTS_DIR to the folder of public, or RELEASE_DIR to another folder. "
        "To give that set up, add --replace-extract-set."
    )

    run = command(store, audited_build, "diff", "000001", "000002")
    assert (run.returncode, run.stdout) == (2, "")
    assert "Release 000001 is of sample (SYNTHETIC: its numbers are not real), release 000002 of public" in run.stderr

    run = command(store, audited_build, "rollback", "000001")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("Error: Release 000001 is of extract set sample (SYNTHETIC: ")
    assert store.current().release_id == "000002"
    run = command(store, audited_build, "rollback", "000001", "--replace-extract-set")
    assert run.returncode == 0, run.stderr
    assert store.current().release_id == "000001"

    held = store.held("000003")
    held.mkdir()
    shutil.copy(audited_build.warehouse, held / "warehouse.duckdb")
    kept = described("000003") | {"extract_set": "public", "extract_set_kind": "delivered"}
    report = {"outcome": "HeldError", "manifest": kept, "found": []}
    (held / "report.json").write_text(json.dumps(report), encoding="utf-8")
    integrity.record_folder(held)
    run = command(store, audited_build, "publish", "000003", "--reason", "x")
    assert run.returncode == 2
    assert "The held build 000003 is of extract set public (delivered)" in run.stdout
    assert store.current().release_id == "000001"
    run = command(store, audited_build, "publish", "000003", "--reason", "x", "--replace-extract-set")
    assert run.returncode == 0, run.stdout
    assert store.current().origin == PUBLIC


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_set_that_replaces_another_is_not_compared_with_it(
    store: Store, refreshes: Refreshes, light_build: Build, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    release(store, light_build.warehouse)
    refreshes.warehouse = of_another_set(light_build, tmp_path / "public.duckdb")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts(light_build, tmp_path / "public")))
    with monkeypatch.context() as building:
        building.setattr(build, "dbt", Mock(side_effect=AssertionError("it is refused before the build")))
        with pytest.raises(BadConfigurationError, match=r"is of extract set public \(delivered\); release 000001"):
            refreshes.run()
    manifest = refreshes.run(Limits(hold_above=0), replaces=True)
    assert (manifest.release_id, manifest.origin) == ("000002", PUBLIC)
    warning = f"Release 000002 of public (delivered) replaces one of {SAMPLE}."
    assert warning in refreshes.warnings
    with duckdb.connect(str(store.published), read_only=True) as connection:
        assert connection.execute("select count(*) from release.changes").fetchall() == [(0,)]
        assert connection.execute("from release.previous").fetchall() == [("000001", *SAMPLE)]

    site.build(store.published, tmp_path / "site")
    page = (tmp_path / "site/use.html").read_text(encoding="utf-8")
    assert "Nothing is compared: the release before was of another extract set or kind (sample)." in page
    assert "this is the first release" not in page

    corrected = of_another_set(light_build, tmp_path / "corrected.duckdb")
    with duckdb.connect(str(corrected)) as connection:
        connection.execute("update marts.fct_city_year_panel set ln_gdp = 1 where city_id = '440300' and year = 2015")
    refreshes.warehouse = corrected
    refreshes.run()
    site.build(store.published, tmp_path / "site")
    page = (tmp_path / "site/use.html").read_text(encoding="utf-8")
    assert "Nothing is compared" not in page
    assert "<code>ln_gdp</code>" in page.split('id="cells"')[1].split("</table>")[0]


def test_a_synthetic_file_in_a_delivered_set_is_found_before_it_is_published(
    store: Store, refreshes: Refreshes, audited_build: Build, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    past_release(store, audited_build.warehouse, "000001", PUBLIC)
    store.publish("000001")
    refreshes.warehouse = of_another_set(audited_build, tmp_path / "mixed.duckdb", Origin("public", "synthetic"))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts(audited_build, tmp_path / "public")))
    with pytest.raises(BadConfigurationError, match=r"is of extract set public \(SYNTHETIC: .*; release 000001"):
        refreshes.run()
    assert store.current().release_id == "000001"
    assert [(line["release_id"], line["outcome"]) for line in store.refreshes()] == [
        ("000002", "BadConfigurationError")
    ]
    assert store.release_ids() == ["000001"]


# ---------------------------------------------------------------- which file a command reads


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project folder whose build has no file yet; no variable names one either."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    (tmp_path / "build/releases").mkdir(parents=True)
    return tmp_path


def written(path: Path, origin: Origin, release_id: str | None = None) -> Path:
    """Write a file that says of itself what a warehouse or a release says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema, table = ("raw", "deliveries") if release_id is None else ("release", "manifest")
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create schema {schema}")
        connection.execute(
            f"create table {schema}.{table} as select '{origin.extract_set}' as extract_set, "
            f"'{origin.kind}' as extract_set_kind, '{release_id}' as release_id"
        )
    return path


def test_a_file_that_the_user_names_goes_before_any_default(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match=r"build/warehouse\.duckdb: there is no such file"):
        databases.chosen(None)
    warehouse = written(clone / "build/warehouse.duckdb", SAMPLE)
    assert str(databases.chosen(None)) == f"sample (SYNTHETIC: its numbers are not real), warehouse, {warehouse}"
    published = written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    assert str(databases.chosen(None)) == f"public (delivered), release 000012, {published}"
    elsewhere = written(clone / "elsewhere/ai_manufacturing.duckdb", SAMPLE, "000003")
    monkeypatch.setenv("RELEASE_DIR", str(elsewhere.parent))
    assert databases.chosen(None).path == elsewhere
    named = written(clone / "named.duckdb", SAMPLE, "000004")
    monkeypatch.setenv("RELEASE_PATH", "named.duckdb")
    assert databases.chosen(None).path == named
    public = written(clone / "build/public.duckdb", PUBLIC)
    monkeypatch.setenv("WAREHOUSE_PATH", "build/public.duckdb")
    assert databases.chosen(None).path == public
    assert databases.chosen(elsewhere).path == elsewhere, "the option goes before all variables"
    monkeypatch.setenv("RELEASE_PATH", "gone.duckdb")
    with pytest.raises(DatabaseError, match=r"gone\.duckdb: there is no such file"):
        databases.chosen(None, (RELEASE,))


def test_a_file_that_a_command_cannot_read_is_passed_over_for_one_of_the_same_set_only(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = written(clone / "build/warehouse.duckdb", SAMPLE)
    published = written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    with pytest.raises(DatabaseError, match=r"The published release holds extract set public \(delivered\) \("):
        databases.chosen(None, (WAREHOUSE,))
    assert databases.chosen(warehouse, (WAREHOUSE,)).origin == SAMPLE
    public = written(clone / "build/public.duckdb", PUBLIC)
    monkeypatch.setenv("WAREHOUSE_PATH", str(public))
    assert databases.chosen(None, (RELEASE,)).path == published
    monkeypatch.setenv("WAREHOUSE_PATH", str(warehouse))
    with pytest.raises(DatabaseError, match=r"WAREHOUSE_PATH holds extract set sample .* this command needs a release"):
        databases.chosen(None, (RELEASE,))


def test_no_default_is_read_for_the_extract_set_of_another_folder(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = written(clone / "build/releases/ai_manufacturing.duckdb", SAMPLE, "000001")
    for name in ("public", "sample"):
        (clone / name).mkdir()
    monkeypatch.setenv("EXTRACTS_DIR", "public")
    with pytest.raises(DatabaseError, match=r"EXTRACTS_DIR is public, extract set public; .* is of sample \(SYNTH"):
        databases.chosen(None)
    assert databases.chosen(published).path == published
    monkeypatch.setenv("EXTRACTS_DIR", "sample")
    assert databases.chosen(None).path == published


def test_a_file_that_is_neither_release_nor_warehouse_is_named(clone: Path) -> None:
    (clone / "text.duckdb").write_text("no database", encoding="utf-8")
    with pytest.raises(DatabaseError, match=r"text\.duckdb: cannot be opened as a release or a warehouse"):
        databases.read(clone / "text.duckdb")
    duckdb.connect(str(clone / "empty.duckdb")).close()
    with pytest.raises(DatabaseError, match=r"empty\.duckdb: neither a release nor a warehouse with landed files"):
        databases.read(clone / "empty.duckdb")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def test_each_command_that_reads_says_first_which_set_and_file_and_ends_alike_without_one(
    light_build: Build, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_sample = f"{SAMPLE}, warehouse, {light_build.warehouse}"
    monkeypatch.setenv("WAREHOUSE_PATH", str(light_build.warehouse))
    written(clone / "build/releases/ai_manufacturing.duckdb", PUBLIC, "000012")
    (clone / "docs").mkdir()
    book = shutil.copy(PROJECT / "docs/queries.md", clone / "docs")
    traced = run("trace", "--specification", "table_1_col_1")
    exported = run("export", "--format", "csv", "--out", clone / "exports")
    answered = run("queries", "--out", clone / "answers.md")
    for result in (traced, exported, answered):
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[0] == of_sample
    assert (clone / "exports/panel.csv").exists()
    for entry in query_book.entries((clone / "answers.md").read_text(encoding="utf-8")):
        assert len(entry.answer.splitlines()) == 2 + len(light_build.rows(entry.sql))

    for command_line in (
        ("trace", "--specification", "table_1_col_1"),
        ("export", "--format", "csv", "--out", clone / "exports"),
        ("queries",),
        ("catalogue",),
        ("report", "--out", clone / "site"),
    ):
        result = run(*command_line, "--database", clone / "gone.duckdb")
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"Error: {clone / 'gone.duckdb'}: there is no such file." in result.stderr

    answers = Path(book).read_bytes()
    result = run("queries", "--database", clone / "build/releases/ai_manufacturing.duckdb")
    assert result.exit_code == 2
    assert "holds the answers on the synthetic sample. Give --out for those of this set" in result.stderr
    assert Path(book).read_bytes() == answers


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_site_gets_the_catalogue_of_its_own_set_only(store: Store, light_build: Build, tmp_path: Path) -> None:
    release(store, light_build.warehouse)
    out = tmp_path / "site"

    def marked(origin: Origin) -> str:
        marks = zip(Origin._fields, origin, strict=True)
        return f"<html><head>{''.join(catalogue.META.format(*mark) for mark in marks)}</head></html>"

    def reported(*arguments: object) -> list[str]:
        result = run("report", "--database", store.published, "--out", out, *arguments)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0] == f"{SAMPLE}, release 000001, {store.published}"
        return lines

    assert "Without dbt's catalogue: `make catalogue` writes it." in reported()
    beside = out / "catalogue.html"
    beside.write_text(marked(SAMPLE), encoding="utf-8")
    assert not any(line.startswith("Without dbt's catalogue") for line in reported()), "one of the same set stays"
    assert beside.read_text(encoding="utf-8") == marked(SAMPLE)

    for text, said in (
        (marked(PUBLIC), "is of public (delivered)"),
        ("<html></html>", "does not name its extract set"),
    ):
        beside.write_text(text, encoding="utf-8")
        other = shutil.copy(beside, tmp_path / "other.html")
        (line,) = [line for line in reported() if line.startswith("Without dbt's catalogue")]
        assert said in line
        assert not beside.exists()
        result = run("report", "--database", store.published, "--out", out, "--catalogue", other)
        assert result.exit_code == 2
        assert said in result.stderr
        assert f"; the release is of {SAMPLE}" in result.stderr
