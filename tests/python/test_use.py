"""What the site gives to use and cite: data that other programs read, and quick starts that give
the number.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import citation, site, terms
from ai_manufacturing.refresh import writer
from ai_manufacturing.releases import contents
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.site import downloads
from ai_manufacturing.system import integrity
from tests.python.conftest import Build, made_once
from tests.python.release_store import described, read
from tests.python.site_reader import ONE_PAGE

ATOM = {"a": "http://www.w3.org/2005/Atom"}
HEADLINE = (
    "from reports.rpt_coefficients where specification_id = 'table_1_col_1' and term_order = 1"
)


@pytest.fixture(scope="session")
def sample_data(light_build: Build, shared: Path) -> Path:
    """Return a site of the sample with one page and the formats that quick starts read."""
    folder = shared / "sample_data"

    def make() -> None:
        manifest = described("000001") | {"published_at": "2026-01-02T03:04:05+00:00"}
        released = folder / "released.duckdb"
        writer.write(light_build.warehouse, released, manifest, None)
        with pytest.MonkeyPatch.context() as small:
            small.setattr(site, "PAGES", ONE_PAGE)
            small.setattr(downloads, "FORMATS", ("csv", "dta"))
            site.build(released, folder / "site")

    return made_once(folder, make) / "site"


PUBLIC = pytest.param(("public_site", "public_build"), marks=[pytest.mark.door, pytest.mark.soak])


@pytest.fixture(params=[("sample_data", "light_build"), PUBLIC], ids=["sample", "public"])
def built(request: pytest.FixtureRequest) -> tuple[Path, Build]:
    """Return the folder of data of a site, and the build it is of."""
    folder, build = map(request.getfixturevalue, request.param)
    return folder / downloads.FOLDER, build


def program(name: str) -> list[str]:
    """Return the command that runs a quick start here."""
    kind = Path(name).suffix
    if kind == ".py":
        return [sys.executable, name]
    names = ["Rscript"] if kind == ".R" else ["stata-mp", "stata-se", "stata"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"the program that runs {name} is not here")
    return [found, name] if kind == ".R" else [found, "-b", "do", name]


@pytest.mark.parametrize("name", ["headline.py", "headline.R", "headline.do"])
def test_a_quick_start_gives_the_estimate(
    built: tuple[Path, Build], name: str, tmp_path: Path
) -> None:
    folder, build = built
    command = program(name)
    # what a reader downloads for it
    for file in (name, "panel.csv", "panel.dta", "fct_city_year_panel.parquet"):
        shutil.copyfile(folder / file, tmp_path / file)
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    log = (tmp_path / "headline.log").read_text() if name == "headline.do" else ended.stdout
    query = f"select estimate, std_error, observation_count {HEADLINE}"
    ((estimate, error, count),) = build.rows(query)
    assert f"{estimate:.6f} ({error:.6f})" in log
    assert f"N = {count}" in log


def test_the_quick_start_in_sql_gives_the_estimate_and_that_of_the_public_set_is_the_published_one(
    built: tuple[Path, Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, build = built
    monkeypatch.chdir(folder)
    (found,) = duckdb.sql((folder / "headline.sql").read_text(encoding="utf-8")).fetchall()
    numbers = "printf('%.6f', estimate), printf('%.6f', std_error), observation_count"
    assert [found] == build.rows(f"select {numbers} {HEADLINE}")
    # what R's lm gave on the exported panel
    if build.extracts.name == "public":
        assert found[0] == "0.157606"


def test_stata_finds_every_variable_that_its_quick_start_names(built: tuple[Path, Build]) -> None:
    folder, _ = built
    text = (folder / "headline.do").read_text(encoding="utf-8")
    (regression,) = re.findall(r"^xtreg (.*?) i\.year,", text, re.MULTILINE)
    assert {*regression.split(), "city_id", "year"} <= {
        *pd.read_stata(folder / "panel.dta").columns
    }


def test_every_released_table_is_a_parquet_file_with_metadata_at_a_path_of_its_name(
    built: tuple[Path, Build],
) -> None:
    folder, build = built
    released = {(schema, table) for schema in contents.SCHEMAS for table in build.tables(schema)}
    package = json.loads((folder / downloads.METADATA).read_text(encoding="utf-8"))
    resources = package["resources"]
    assert {(one["schema_in_release"], one["name"]) for one in resources} == released
    for one in resources:
        path, fields = folder / one["path"], one["schema"]["fields"]
        assert one["hash"] == f"sha256:{integrity.sha256(path)}"
        assert one["rows"] == pq.read_metadata(path).num_rows
        assert [field["name"] for field in fields] == pq.read_schema(path).names
        assert json.loads((folder / f"{one['name']}.json").read_text(encoding="utf-8")) == one
        assert all(field.get("description") for field in fields), one["name"]
    licence, own = package["licenses"]
    assert own["path"] == terms.ESTIMATES_LICENCE.address
    computed = {one["name"] for one in resources if one.get("licenses") == [own]}
    assert "rpt_coefficients" in computed
    # of single cities
    assert not computed & {"fct_city_year_panel", "estimation_samples"}
    listed = (folder / licence["path"]).read_text(encoding="utf-8")
    assert terms.ESTIMATES_LICENCE.sentence in listed
    providers = "select distinct provider from marts.fct_deliveries where provider is not null"
    assert [name for (name,) in build.rows(providers) if f"| {name} |" not in listed] == []
    expected = build.frame("from marts.fct_city_year_panel order by city_id, year")
    panel = pd.read_parquet(folder / "fct_city_year_panel.parquet")
    panel = panel.sort_values(["city_id", "year"], ignore_index=True)
    pd.testing.assert_frame_equal(panel, expected, check_dtype=False)


def test_the_checksums_are_those_of_the_files_and_every_link_of_the_page_leads_to_one(
    built: tuple[Path, Build],
) -> None:
    folder, _ = built
    check = ["sha256sum", "--quiet", "-c", integrity.SUMS]
    assert subprocess.run(check, cwd=folder, check=False).returncode == 0
    page = (folder.parent / "use.html").read_text(encoding="utf-8")
    linked = {*re.findall(r'href="data/([^"]+)"', page)}
    named = {"panel.dta", downloads.RELEASE, downloads.BIBLIOGRAPHY, downloads.FEED}
    assert named <= linked
    assert [name for name in linked if not (folder / name).is_file()] == []


def test_the_citation_names_release_date_and_paper_and_marks_synthetic_data(
    built: tuple[Path, Build],
) -> None:
    folder, build = built
    text = (folder / downloads.BIBLIOGRAPHY).read_text(encoding="utf-8")
    assert "version = {release 000001 of 2026-01-02}" in text
    assert "author = {Zhu, Lan and Leng, Yuchen and Zhang, Tongjin}" in text
    assert "url = {https://link.cnki.net/urlid/42.1848.C.20250402.1101.003}" in text
    is_synthetic = build.value("select max(extract_set) from raw.deliveries") == "sample"
    assert ("SYNTHETIC DATA" in text) == is_synthetic


def test_the_history_keeps_the_headline_of_pruned_releases_and_begins_anew_with_another_set(
    small_build: Build, tmp_path: Path
) -> None:
    (headline,) = small_build.rows(f"select estimate, std_error {HEADLINE}")
    ((verdict,),) = small_build.rows(
        "select verdict_en from reports.rpt_verdicts where specification_id = 'table_1_col_1'"
    )
    before = None
    for release_id, name, kept in (
        ("000001", "sample", ["000001"]),
        ("000002", "sample", ["000001", "000002"]),
        ("000003", "another", ["000003"]),
    ):
        path = tmp_path / f"{release_id}.duckdb"
        manifest = described(release_id) | {"extract_set": name}
        writer.write(small_build.warehouse, path, manifest, before)
        if before:
            before.unlink()
        before = path
        history = (
            "select release_id, estimate, std_error, verdict_en from"
            f' "{release_id}".release.history order by all'
        )
        assert read(path, history) == [(one, *headline, verdict) for one in kept]


def test_the_feed_of_releases_is_atom(built: tuple[Path, Build]) -> None:
    folder, build = built
    feed = ElementTree.parse(folder / downloads.FEED).getroot()
    assert feed.findtext("a:updated", namespaces=ATOM) == "2026-01-02T03:04:05+00:00"
    (entry,) = feed.findall("a:entry", ATOM)
    assert entry.findtext("a:title", namespaces=ATOM) == "Release 000001"
    assert entry.findtext("a:id", namespaces=ATOM, default="").startswith("urn:uuid:")
    estimate = build.value(f"select estimate {HEADLINE}")
    assert f"Table 1 column 1: {estimate:.3f} (" in entry.findtext(
        "a:summary", namespaces=ATOM, default=""
    )


def test_the_address_of_the_site_is_a_setting(
    sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(sample_release)
    monkeypatch.delenv("SITE_URL", raising=False)
    release, _, paper = downloads.bibliography(manifest).partition("@article")
    assert "  author = {{The maintainers of ai-manufacturing}}," in release
    assert "url =" not in release
    assert "  note = {Published online first, 2025-04-02}," in paper
    monkeypatch.setenv("SITE_URL", "https://example.org/ai/")
    release, _, _ = downloads.bibliography(manifest).partition("@article")
    assert "\n  url = {https://example.org/ai/},\n" in release
    for wrong in ("javascript:alert(1)", "example.org", "https://x/{y}"):
        monkeypatch.setenv("SITE_URL", wrong)
        with pytest.raises(BadConfigurationError, match=r"SITE_URL is '.*', and no address"):
            downloads.bibliography(manifest)


def test_an_author_is_a_person_or_an_institution() -> None:
    authors = [{"family-names": "Zhu", "given-names": "Lan"}, {"name": "An Institute"}]
    assert citation.names(authors) == [("Zhu", "Lan"), ("An Institute",)]


@pytest.mark.parametrize(
    ("paper", "missing"),
    [
        ({"url": "https://x.org/1", "date-published": "2025-04-02"}, []),
        ({"url": "https://x.org/1"}, ["volume", "start", "end", "doi"]),
        ({"volume": 1, "start": 2, "end": 3, "doi": "10.1/x"}, []),
        # in print, its pages count
        (
            {"url": "https://x.org/1", "date-published": "2025-04-02", "volume": 1},
            ["start", "end", "doi"],
        ),
    ],
)
def test_a_paper_published_online_first_is_cited_by_address_and_date(
    paper: dict[str, Any], missing: list[str]
) -> None:
    assert citation.missing(paper) == missing
