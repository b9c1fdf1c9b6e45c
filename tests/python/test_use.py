"""Test the downloads, metadata and citations of the site, and its quick-start scripts."""

import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from ai_manufacturing import site
from ai_manufacturing.cli import main
from ai_manufacturing.disclosure import terms
from ai_manufacturing.refresh import writer
from ai_manufacturing.releases import citation, contents
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.site import downloads, metadata
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import disk, integrity
from tests.python.conftest import PROJECT, Build, made_once
from tests.python.release_store import changed, described, read
from tests.python.site_reader import ONE_PAGE, Page

ATOM = {"a": "http://www.w3.org/2005/Atom"}
HEADLINE = (
    "from reports.rpt_coefficients where specification_id = 'table_1_col_1' and term_order = 1"
)


@pytest.fixture(scope="session")
def sample_data(light_build: Build, shared: Path) -> Path:
    """Return a small site of the sample with the data formats that the quick-start scripts read."""
    folder = shared / "sample_data"

    def make() -> None:
        manifest = described("000001") | {"published_at": "2026-01-02T03:04:05+00:00"}
        released = folder / "released.duckdb"
        writer.write_release(light_build.warehouse, released, manifest, None)
        with pytest.MonkeyPatch.context() as small:
            small.setattr(site, "PAGES", ONE_PAGE)
            small.setattr(downloads, "FORMATS", ("csv", "dta"))
            site.build(released, folder / "site")

    return made_once(folder, make) / "site"


@pytest.fixture(autouse=True)
def without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE_URL", "RELEASE_DOI"):
        monkeypatch.delenv(name, raising=False)


Built = tuple[Path, Build]
"""Data folder of a site, and the build behind the site."""
PUBLIC = pytest.param(("public_site", "public_build"), marks=[pytest.mark.door, pytest.mark.soak])


@pytest.fixture(params=[("sample_data", "light_build"), PUBLIC], ids=["sample", "public"])
def built(request: pytest.FixtureRequest, sample_build: Build) -> Built:
    folder, build = map(request.getfixturevalue, request.param)
    return folder / downloads.FOLDER, build


def described_by(release: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the descriptions of a release for web pages and for its Data Package."""
    with Release(release) as opened:
        about = metadata.describe_dataset(opened, opened.load_catalogue())
        return about, metadata.describe_package(opened, about, metadata.read_tables(opened))


def metadata_of(folder: Path) -> tuple[Any, Any]:
    """Return the Data Package and Croissant metadata of a data folder."""
    names = (downloads.PACKAGE, downloads.CROISSANT)
    package, croissant = (json.loads((folder / name).read_text("utf-8")) for name in names)
    return package, croissant


IN_SQL = """
import duckdb, sys
(found,) = duckdb.sql(open(sys.argv[1], encoding="utf-8").read()).fetchall()
print("{} ({}) N = {}".format(*found))
"""


def program(name: str) -> list[str]:
    """Return the command that runs a quick-start script, or skip the test if it cannot run."""
    kind = Path(name).suffix
    if kind in (".py", ".sql"):
        return [sys.executable, *(["-c", IN_SQL] if kind == ".sql" else []), name]
    names = ["Rscript"] if kind == ".R" else ["stata-mp", "stata-se", "stata"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"the program that runs {name} is not here")
    return [found, name] if kind == ".R" else [found, "-b", "do", name]


@pytest.mark.parametrize("name", ["headline.py", "headline.sql", "headline.R", "headline.do"])
def test_a_quick_start_gives_the_estimate(built: Built, name: str, tmp_path: Path) -> None:
    folder, build = built
    command = program(name)
    # Copy only the files that a user of the quick-start script downloads.
    tables = ("fct_city_year_panel.parquet", "rpt_coefficients.parquet")
    for file in (name, "panel.csv", "panel.dta", *tables):
        shutil.copyfile(folder / file, tmp_path / file)
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    log = (tmp_path / "headline.log").read_text() if name == "headline.do" else ended.stdout
    query = f"select estimate, std_error, observation_count {HEADLINE}"
    ((estimate, error, count),) = build.rows(query)
    assert f"{estimate:.6f} ({error:.6f})" in log
    assert f"N = {count}" in log
    # R's lm() gives this estimate on the exported panel.
    assert build.extracts.name != "public" or "0.157606" in log


def test_stata_finds_every_variable_that_its_quick_start_names(built: Built) -> None:
    folder, _ = built
    text = (folder / "headline.do").read_text("utf-8")
    (regression,) = re.findall(r"^xtreg (.*?) i\.year,", text, re.MULTILINE)
    assert {*regression.split(), "city_id", "year"} <= {
        *pd.read_stata(folder / "panel.dta").columns
    }


def test_every_released_table_is_a_parquet_file_with_metadata_at_a_path_of_its_name(
    built: Built,
) -> None:
    folder, build = built
    released = {(schema, table) for schema in contents.SCHEMAS for table in build.tables(schema)}
    package, croissant = metadata_of(folder)
    resources = package["resources"]
    assert {(one["schema_in_release"], one["name"]) for one in resources} == released
    files = {one["contentUrl"]: one["sha256"] for one in croissant["distribution"]}
    assert len(files) == len(resources)
    for one, record in zip(resources, croissant["recordSet"], strict=True):
        path, fields = folder / f"{one['name']}.parquet", one["schema"]["fields"]
        assert files[path.name] == integrity.sha256(path)
        assert one["rows"] == pq.read_metadata(path).num_rows
        names = [field["name"] for field in fields]
        assert names == pq.read_schema(path).names
        assert names == pd.read_csv(folder / one["path"], nrows=0).columns.tolist()
        assert (record["name"], [field["name"] for field in record["field"]]) == (
            one["name"],
            names,
        )
        assert all(field.get("description") for field in fields), one["name"]
    licence, own = package["licenses"]
    assert own["path"] == terms.ESTIMATES_LICENCE.address
    computed = {one["name"] for one in resources if one.get("licenses") == [own]}
    assert "rpt_coefficients" in computed
    # The licence for estimates does not cover tables of single cities.
    assert not computed & {"fct_city_year_panel", "estimation_samples"}
    listed = (folder / licence["path"]).read_text("utf-8")
    assert terms.ESTIMATES_LICENCE.sentence in listed
    providers = "select distinct provider from marts.fct_deliveries where provider is not null"
    assert [name for (name,) in build.rows(providers) if f"| {name} |" not in listed] == []


def test_every_key_of_the_metadata_holds_in_the_release(built: Built) -> None:
    folder, _ = built
    package, croissant = metadata_of(folder)
    resources = {one["name"]: one for one in package["resources"]}
    place = {name: f"{one['schema_in_release']}.{name}" for name, one in resources.items()}
    keys, referred = {}, {}
    with duckdb.connect(str(folder / downloads.RELEASE), read_only=True) as release:

        def count(query: str) -> int:
            ((found,),) = release.execute(f"select count(*) {query}").fetchall()
            return int(found)

        for name, one in resources.items():
            schema = one["schema"]
            primary = schema.get("primaryKey", [])
            for column in primary:
                assert count(f"from {place[name]} where {column} is null") == 0, (name, column)
            keys[name] = primary or schema.get("uniqueKeys", [[]])[0]
            for key in schema.get("foreignKeys", []):
                other, fields = key["reference"]["resource"], key["fields"]
                assert (
                    fields == key["reference"]["fields"] == resources[other]["schema"]["primaryKey"]
                )
                referred.setdefault(other, set()).add(name)
                known = " and ".join(f"{field} is not null" for field in fields)
                orphans = (
                    f"from {place[name]} anti join {place[other]} using ({', '.join(fields)})"
                    f" where {known}"
                )
                assert count(orphans) == 0, (name, other)
    # The keys of these tables contain a file name, which is withheld for restricted files.
    assert {name for name, key in keys.items() if not key} <= {
        "fct_register_rows_set_aside",
        "fct_row_accounting",
    }
    assert keys["fct_city_year_panel"] == ["city_id", "year"]
    assert "fct_city_year_panel" in referred["dim_city"]
    assert {"rpt_coefficients", "estimation_samples"} <= referred["rpt_specifications"]
    assert "fct_rows_set_aside" in referred["fct_deliveries"]
    for one in croissant["recordSet"]:
        in_words = [f"{one['name']}/{column}" for column in keys[one["name"]]]
        assert [column["@id"] for column in one.get("key", [])] == in_words
        others = {
            field["references"]["field"]["@id"].split("/")[0]
            for field in one["field"]
            if "references" in field
        }
        # A reference to one column of a composite key would duplicate rows.
        assert others == {
            other
            for other, names in referred.items()
            if one["name"] in names and len(keys[other]) == 1
        }


def test_the_metadata_name_title_sources_units_and_whether_data_are_synthetic(
    built: Built,
) -> None:
    folder, build = built
    package, croissant = metadata_of(folder)
    extract_set = build.value("select max(extract_set) from raw.deliveries")
    is_synthetic = extract_set == "sample"
    assert package["title"] == croissant["name"]
    assert package["title"].endswith(f"estimates ({extract_set})")
    assert package["is_synthetic"] == is_synthetic
    declared = yaml.safe_load((PROJECT / citation.FILE).read_text("utf-8"))["keywords"]
    assert "manufacturing" in declared
    assert croissant["keywords"] == declared + ["synthetic data"] * is_synthetic
    assert package["keywords"] == croissant["keywords"]
    assert croissant["description"].startswith("SYNTHETIC DATA. Its numbers") == is_synthetic
    delivering = build.rows(
        "select distinct provider, citation_en from marts.fct_deliveries where provider is not null"
    )
    assert {(one["provider"], one["title"]) for one in package["sources"]} == {*delivering}
    links = build.rows(
        "select distinct unnest(string_split(source_links, ' ')) from"
        " marts.dim_series where source_links is not null"
    )
    assert {one["path"] for one in package["sources"] if "path" in one} <= {one for (one,) in links}
    described = build.pairs("select (table_name, column_name), unit from marts.data_dictionary")
    assert described["fct_city_year_panel", "gdp_100m_cny"] == "100 million yuan current"
    for one in package["resources"]:
        for field in one["schema"]["fields"]:
            assert described[one["name"], field["name"]] == field.get("unit"), field
    assert {path.name for path in folder.glob("*.json")} == {downloads.PACKAGE, downloads.CROISSANT}


@pytest.mark.soak
@pytest.mark.parametrize(
    "kind", ["sample_data", pytest.param("given_away", marks=pytest.mark.door)]
)
def test_the_validators_of_both_formats_find_no_error(
    kind: str,
    request: pytest.FixtureRequest,
    sample_build: Build,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frictionless = pytest.importorskip("frictionless")
    mlcroissant = pytest.importorskip("mlcroissant")
    folder = request.getfixturevalue(kind) / downloads.FOLDER
    monkeypatch.chdir(folder)
    report = frictionless.validate(downloads.PACKAGE)
    assert report.flatten(["name", "type", "message"]) == []
    assert report.valid
    assert len(report.tasks) > 60
    opened = mlcroissant.Dataset(jsonld=str(folder / downloads.CROISSANT))
    assert not opened.metadata.issues.errors
    # Accept one warning of mlcroissant: a release number is not a semantic version.
    assert [one for one in opened.metadata.issues.warnings if "MAJOR.MINOR" not in one] == []
    cities = [*opened.records("dim_city")]
    assert len(cities) == 367
    assert b"Suzhou (Anhui)" in {one["dim_city/name_en"] for one in cities}


@pytest.mark.soak
def test_a_reader_of_croissant_gets_each_row_of_each_table_once(
    built: Built, tmp_path: Path
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    folder, _ = built
    _, croissant = metadata_of(folder)
    expected = {}
    for one in croissant["distribution"]:
        path = tmp_path / one["name"]
        # The first 1,000 rows are enough to detect a reference that duplicates rows.
        rows = pq.read_table(folder / path.name).slice(length=1000)
        pq.write_table(rows, path)
        one["sha256"] = integrity.sha256(path)
        expected[path.stem] = rows.num_rows
    (tmp_path / downloads.CROISSANT).write_text(json.dumps(croissant), "utf-8")
    opened = mlcroissant.Dataset(jsonld=str(tmp_path / downloads.CROISSANT))
    assert {name: sum(1 for _ in opened.records(name)) for name in expected} == expected


def test_the_history_keeps_the_headline_of_pruned_releases_and_begins_anew_with_another_set(
    small_build: Build, tmp_path: Path
) -> None:
    (headline,) = small_build.rows(
        f"select estimate, std_error, (select association_en from reports.rpt_claims"
        f" where specification_id = 'table_1_col_1') {HEADLINE}"
    )
    before = None
    for release_id, name, kept in (
        ("000001", "sample", ["000001"]),
        ("000002", "sample", ["000001", "000002"]),
        ("000003", "another", ["000003"]),
    ):
        path = tmp_path / f"{release_id}.duckdb"
        manifest = described(release_id) | {"extract_set": name}
        writer.write_release(small_build.warehouse, path, manifest, before)
        if before:
            before.unlink()
        before = path
        history = (
            "select release_id, estimate, std_error, verdict_en from"
            f' "{release_id}".release.history order by all'
        )
        assert read(path, history) == [(one, *headline) for one in kept]


def test_the_feed_of_releases_is_atom(built: Built) -> None:
    folder, build = built
    feed = ElementTree.parse(folder / downloads.FEED).getroot()
    assert feed.findtext("a:updated", namespaces=ATOM) == "2026-01-02T03:04:05+00:00"
    title, entry_id, summary = (
        feed.findtext(f"a:entry/a:{name}", namespaces=ATOM, default="")
        for name in ("title", "id", "summary")
    )
    assert len(feed.findall("a:entry", ATOM)) == 1
    assert title == "Release 000001"
    assert entry_id.startswith("urn:uuid:")
    estimate = build.value(f"select estimate {HEADLINE}")
    assert f"The headline: {estimate:.3f} (" in summary


def test_address_and_doi_are_settings_and_nothing_is_invented_without_them(
    sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(sample_release)
    bibliography = downloads.build_bibliography(manifest)
    about, package = described_by(sample_release)
    release, _, paper = bibliography.partition("@article")
    assert "  author = {{The maintainers of ai-manufacturing}}," in release
    assert not re.search("(url|doi) =", release)
    assert f"version = {{release 000001 of {manifest.published_at[:10]}}}" in release
    assert "SYNTHETIC DATA" in release
    for line in (
        "  author = {Zhu, Lan and Leng, Yuchen and Zhang, Tongjin},",
        "  url = {https://link.cnki.net/urlid/42.1848.C.20250402.1101.003}",
        "  note = {Published online first, 2025-04-02},",
    ):
        assert line in paper
    assert not about.keys() & {"url", "identifier"}
    assert not package.keys() & {"homepage", "id"}
    assert about["license"][1] == "data/LICENSE_DATA.md"
    site_url, doi = "https://example.org/ai/", "10.5281/zenodo.1234567"
    monkeypatch.setenv("SITE_URL", site_url)
    monkeypatch.setenv("RELEASE_DOI", doi)
    release, _, _ = downloads.build_bibliography(manifest).partition("@article")
    assert f"\n  url = {{{site_url}}},\n" in release
    assert f"\n  doi = {{{doi}}},\n" in release
    about, package = described_by(sample_release)
    assert about["identifier"] == package["id"] == f"https://doi.org/{doi}"
    assert about["url"] == package["homepage"] == site_url
    assert about["license"][1] == f"{site_url}data/LICENSE_DATA.md"


@pytest.mark.parametrize("wrong", ["javascript:alert(1)", "example.org", "https://x/{y}"])
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", wrong)
    with pytest.raises(
        BadConfigurationError, match=r"SITE_URL is '.*', which is not a web address"
    ):
        citation.read_citation(PROJECT)


@pytest.mark.parametrize("wrong", ["https://doi.org/10.5281/zenodo.1", "zenodo.1", "10.5281/a b"])
def test_what_is_no_doi_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_DOI", wrong)
    with pytest.raises(BadConfigurationError, match=r"RELEASE_DOI is '.*', which is not a DOI"):
        citation.read_citation(PROJECT)


def dataset_of(markup: str) -> dict[str, Any]:
    """Return the data set that an HTML page describes in JSON-LD."""
    (text,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', markup)
    described: dict[str, Any] = json.loads(text)
    return described


def test_every_page_describes_itself_and_the_data_to_programs(
    sample_page: Callable[..., Page], sample_release: Path, sample_build: Build
) -> None:
    manifest = read_manifest(sample_release)
    columns = sample_build.rows(
        "select column_name, coalesce(label_en, description_en), unit from marts.data_dictionary"
        " where table_name = 'fct_city_year_panel' and not is_key and missing_share < 1"
    )
    assert ("gdp_100m_cny", "100 million yuan current") in {(one[0], one[2]) for one in columns}
    (years,) = sample_build.rows("select min(year), max(year) from marts.fct_ai_measure")
    (box,) = sample_build.rows(
        "select min(latitude), min(longitude), max(latitude), max(longitude) from marts.dim_city"
    )
    expected = {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "version": manifest.release_id,
        "datePublished": manifest.published_at,
        "isAccessibleForFree": True,
        "creator": [
            {"@type": "Organization", "name": "The maintainers of ai-manufacturing"},
        ],
        "temporalCoverage": "/".join(map(str, years)),
    }
    descriptions = set()
    # Skip the page `use`, which requires the data files next to it.
    pages = [name for name in site.PAGES if name != "use"]
    for name in pages:
        page = sample_page(name)
        (description,) = page.tree.xpath("//meta[@name='description']/@content")
        assert re.search(r"^[A-Z][^\u4e00-\u9fff]+\. .*[\u4e00-\u9fff].*。$", description), name
        descriptions.add(description)
        about = dataset_of(page.markup)
        assert about | expected == about
        assert about["license"][0] == terms.ESTIMATES_LICENCE.address
        assert about["citation"]["author"] == ["Zhu Lan", "Leng Yuchen", "Zhang Tongjin"]
        place = about["spatialCoverage"]["geo"]["box"]
        assert [float(degrees) for degrees in place.split()] == [*box]
        assert {
            (one["name"], one["description"], one.get("unitText"))
            for one in about["variableMeasured"]
        } == {*columns}
    assert len(descriptions) == len(pages)


def test_values_that_may_not_be_passed_on_are_not_free_and_a_copy_without_them_is(
    sample_release: Path, tmp_path: Path
) -> None:
    closed = changed(
        sample_release,
        tmp_path / "closed.duckdb",
        "update marts.fct_deliveries set provenance_class = 'commercial_vendor', licence = 'none',"
        " may_be_passed_on = false",
    )
    opened = tmp_path / "opened.duckdb"
    terms.write_public_copy(closed, opened)
    for path, is_free in ((closed, False), (opened, True)):
        about, package = described_by(path)
        assert about["isAccessibleForFree"] is is_free
        assert {one["may_be_passed_on"] for one in package["sources"]} == {False}
        (panel,) = (one for one in package["resources"] if one["name"] == "fct_city_year_panel")
        names = {field["name"] for field in panel["schema"]["fields"]}
        described = {one["name"] for one in about["variableMeasured"]}
        assert described < names
        assert ("gdp_100m_cny" in described) is not is_free


def test_the_page_leads_to_its_downloads_and_has_their_checksums_and_sizes(built: Built) -> None:
    folder, _ = built
    check = ["sha256sum", "--quiet", "-c", integrity.SUMS]
    assert subprocess.run(check, cwd=folder, check=False).returncode == 0
    page = (folder.parent / "use.html").read_text("utf-8")
    linked = {*re.findall(r'href="(data/[^"]+)"', page)}
    named = {"panel.csv", "panel.dta", downloads.RELEASE, downloads.BIBLIOGRAPHY, downloads.FEED}
    assert linked >= {f"data/{name}" for name in named}
    assert [path for path in linked if not (folder.parent / path).is_file()] == []
    distribution = {one["contentUrl"]: one for one in dataset_of(page)["distribution"]}
    assert {"data/ai_manufacturing.duckdb", "data/panel.csv"} <= distribution.keys()
    for path, one in distribution.items():
        file = folder.parent / path
        assert one["sha256"] == integrity.sha256(file)
        assert one["contentSize"] == f"{file.stat().st_size} B"
    assert distribution["data/panel.csv"]["encodingFormat"] == "text/csv"


def test_a_release_says_which_of_its_tables_answers_which_question(sample_release: Path) -> None:
    found = dict(read(sample_release, "from release.questions"))
    listed = "select concat(schema_name, '.', table_name) from duckdb_tables()"
    there = {name for (name,) in read(sample_release, listed)}
    question = "What are the definition and unit of each column?"
    assert "table: `marts.data_dictionary`" in found[question].splitlines()
    named = {*re.findall(r"`((?:marts|estimates|reports|gates)\.[a-z_0-9]+)`", str(found))}
    assert len(named) > 30
    assert named - there == set()


def test_a_release_has_the_comments_of_its_build_alone() -> None:
    with duckdb.connect() as connection:
        for name in ("built", "new", "old"):
            connection.execute(f"""
                attach ':memory:' as {name}; create schema {name}.marts;
                create table {name}.marts.kept (one integer{", two integer" * (name != "new")});
                create {"table" if name == "new" else "view"} {name}.marts.seen as select 1 as one;
                create table {name}.marts.other as select 1 as one;
                create table {name}.marts.bare as select 1 as one;
            """)
        for name in ("built", "old"):
            connection.execute(f"""
                comment on table {name}.marts.kept is 'kept {name}';
                comment on view {name}.marts.seen is 'seen {name}';
                comment on table {name}.marts.other is 'other {name}';
                comment on column {name}.marts.kept.one is 'one {name}';
                comment on column {name}.marts.kept.two is 'two {name}';
                comment on column {name}.marts.other.one is 'other {name}';
            """)
        notes = {"marts.seen": "A part. ", "marts.bare": "A note. "}
        contents.copy_comments(connection, ["marts.kept", "marts.seen", "marts.bare"], notes)
        written = connection.execute("""
            select table_name, comment from duckdb_tables() where database_name = 'new'
            union all
            select table_name || '.' || column_name, comment from duckdb_columns()
            where database_name = 'new'
        """).fetchall()
    assert {name: comment for name, comment in written if comment} == {
        "kept": "kept built",
        "seen": "A part. seen built",
        "bare": "A note. ",
        "kept.one": "one built",
    }


def test_a_question_may_have_any_columns_and_a_bar_in_a_cell() -> None:
    page = (
        "# Title\n\n| question | table |\n|---|---|\n| why? | `a \\| b` |\n| what? | |\n\n"
        "Text.\n\n| question | seeds | call |\n|:--|---|--:|\n| who? | s | c |\n"
    )
    assert writer.parse_questions(page) == [
        ("why?", "table: `a | b`"),
        ("what?", ""),
        ("who?", "seeds: s\ncall: c"),
    ]


OWN = """
title: Robots and wages
authors: [{family-names: Doe, given-names: Ann}]
keywords: [wages]
"""


def test_a_study_without_a_citation_cites_nobody(tmp_path: Path) -> None:
    file = tmp_path / citation.FILE
    absent = citation.read_citation(tmp_path)
    assert absent.absence.startswith(f"There is no {file}. Write one for your study")
    assert absent == citation.Citation(absent.absence)
    own = citation.Citation(title="Robots and wages", authors=(("Doe", "Ann"),))
    fields = "version: 1.0.2\nurl: https://x.org\ndoi: 10.1/x"
    for text, cited in {
        OWN: replace(own, keywords=("wages",)),
        OWN.replace("keywords: [wages]", fields): replace(
            own, version="1.0.2", url="https://x.org", doi="10.1/x"
        ),
    }.items():
        file.write_text(text, "utf-8")
        assert citation.read_citation(tmp_path) == cited


def test_a_paper_without_a_journal_is_cited(tmp_path: Path) -> None:
    paper = "{title: P, year: 2026, authors: [{name: An Institute}]}"
    (tmp_path / citation.FILE).write_text(f"{OWN}references: [{paper}]", "utf-8")
    manifest = SimpleNamespace(
        published_at="2026-01-02T03:04:05+00:00",
        release_id="000001",
        git_commit=None,
        extract_set="own",
        origin=SimpleNamespace(is_synthetic=False),
    )
    cited = citation.read_citation(tmp_path)
    assert citation.format_makers((("Doe", "Ann"), ("An Institute",))) == [
        {"@type": "Person", "name": "Ann Doe"},
        {"@type": "Organization", "name": "An Institute"},
    ]
    assert cited.paper is not None
    assert citation.format_article(cited.paper) == {
        "@type": "ScholarlyArticle",
        "name": "P",
        "datePublished": "2026",
        "author": ["An Institute"],
    }
    text = downloads._render_template(
        downloads.BIBLIOGRAPHY, key="k", manifest=manifest, cited=cited, citation=citation
    )
    assert "  note = {extract set own.}\n" in text
    paper_text = "@misc{an_institute_2026,\n  author = {{An Institute}},\n  title = {P},\n"
    assert f"{paper_text}  year = {{2026}}\n}}" in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: T", "lacks the required field authors"),
        ("authors: [{family-names: Doe}]\ntitle: T", "lacks the required field given-names"),
        (f"{OWN}references: [{{title: P, year: 2026}}]", "lacks the required field authors"),
        ("title: [", "is not a valid citation file"),
        ("a text", "is not a valid citation file"),
        ("", "is not a valid citation file"),
    ],
)
def test_a_file_that_is_not_a_citation_is_refused_by_name(
    text: str, why: str, tmp_path: Path
) -> None:
    file = tmp_path / citation.FILE
    file.write_text(text, "utf-8")
    with pytest.raises(BadConfigurationError, match=re.escape(f"{file} {why}")):
        citation.read_citation(tmp_path)


def test_a_study_that_cites_nothing_says_so_and_names_no_author(
    few: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "release.duckdb"
    writer.write_release(few.warehouse, release, described("000001"), None)
    monkeypatch.setattr(citation, "read_citation", lambda _: citation.Citation("There is none."))
    with Release(release) as opened:
        text = opened.load_catalogue()
        about = metadata.describe_dataset(opened, text)
        listed = metadata.read_tables(opened)
        package = metadata.describe_package(opened, about, listed)
        files = {
            name: metadata.Download(name, 1, "")
            for table in listed
            for name in (table.parquet, table.parquet.replace("parquet", "csv.gz"))
        }
        bibliography = downloads.build_bibliography(opened.manifest)
        croissant = metadata.describe_croissant(about, listed, files, bibliography)
        feed = downloads._render_template(
            downloads.FEED, manifest=opened.manifest, history=[], cited=downloads._read_citation()
        )
        shown = site.build_page_content("use", opened, text)
        environment = site.make_environment(opened, text, files=[*files.values()])
        page = site.render_page(environment, "use", shown)
        of_two = site.render_page(environment, "use", shown | {"history": shown["history"] * 2})
    assert bibliography is None
    assert about["name"] == package["title"] == "sample"
    assert about["keywords"] == ["synthetic data"]
    assert not (about.keys() | croissant.keys()) & {"creator", "citation", "citeAs"}
    assert "contributors" not in package
    uncited = "This page gives no citation, because this study has no CITATION.cff file of its own."
    assert uncited in page
    no_earlier, equal = "There is no earlier release", "estimates equal those in the previous"
    assert [[words in html for words in (no_earlier, equal)] for html in (page, of_two)] == [
        [True, False],
        [False, True],
    ]
    for written in (json.dumps(croissant), json.dumps(package), feed, page):
        assert not re.search(r"Zhu|Leng|maintainers|citation\.bib", written)
    monkeypatch.setattr(site, "build", lambda *_, **__: ["index"])
    ran = CliRunner().invoke(
        main, ["report", "--database", str(release), "--out", str(tmp_path / "site")]
    )
    assert ran.exit_code == 0
    assert "The site does not contain a citation of the project. There is none.\n" in ran.output


def test_a_site_names_the_project_file_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "project" / "dbt_project.yml"
    missing.parent.mkdir()
    monkeypatch.setattr(site, "_write_site", lambda *_: missing.read_text())
    words = rf"\({missing}: No such file or directory\)\. The .*Create it"
    with pytest.raises(site.SiteError, match=words):
        site.build(tmp_path / "release.duckdb", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_way_out_depends_on_what_the_system_refused(tmp_path: Path) -> None:
    place, missing = tmp_path / "out", str(tmp_path / "folder" / "file")
    for error, expected in {
        OSError(errno.ENOSPC, "No space"): (f"{place}: the disk is full", "Free disk space"),
        OSError(errno.EACCES, "Denied", missing): (f"{place}: Denied", "Make it writable"),
        # The message names the topmost folder that is missing.
        OSError(errno.ENOENT, "None", missing): (f"{tmp_path}/folder: None", "Create it"),
    }.items():
        assert disk.describe_failure(error, place) == expected


def test_a_paper_published_online_first_is_cited_by_address_and_date() -> None:
    in_print = {"volume": 1, "start": 2, "end": 3, "doi": "10.1/x"}
    online = {"url": "https://x.org/1", "date-published": "2025-04-02"}
    for paper, missing in (
        (online, []),
        ({"url": online["url"]}, [*in_print]),
        (in_print, []),
        # A paper with a volume is cited by its pages instead of its address.
        ({**online, "volume": 1}, ["start", "end", "doi"]),
    ):
        assert citation.find_missing_fields(paper) == missing
