"""What the site gives to use and cite: data that other programs read, and quick starts that give the number."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ai_manufacturing.refresh import writer
from ai_manufacturing.releases import contents
from ai_manufacturing.site import downloads
from ai_manufacturing.system import integrity
from tests.python.conftest import Build
from tests.python.release_store import described

ATOM = {"a": "http://www.w3.org/2005/Atom"}
HEADLINE = "from reports.rpt_coefficients where specification_id = 'table_1_col_1' and term_order = 1"


@pytest.fixture(params=["sample", "public"])
def built(request: pytest.FixtureRequest) -> tuple[Path, Build]:
    """Return the folder of data of a site, and the build it is of."""
    folder: Path = request.getfixturevalue(f"{request.param}_site")
    return folder / downloads.FOLDER, request.getfixturevalue(f"{request.param}_build")


def program(folder: Path, name: str) -> list[str] | None:
    """Return the command that runs a quick start here; None where its program is not found."""
    if name.endswith(".py"):
        return [sys.executable, name]
    if name.endswith(".R"):
        found = shutil.which("Rscript")
        return [found, name] if found else None
    found = next(filter(None, map(shutil.which, ("stata-mp", "stata-se", "stata"))), None)
    return [found, "-b", "do", name] if found else None


@pytest.mark.parametrize("name", [name for name in downloads.QUICK_STARTS.values() if not name.endswith(".sql")])
def test_a_quick_start_gives_the_estimate(built: tuple[Path, Build], name: str, tmp_path: Path) -> None:
    folder, build = built
    command = program(folder, name)
    if command is None:
        pytest.skip(f"the program that runs {name} is not here")
    # what a reader downloads for it
    for file in (name, "panel.csv", "panel.dta", "fct_city_year_panel.parquet"):
        shutil.copyfile(folder / file, tmp_path / file)
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    log = (tmp_path / "headline.log").read_text() if name.endswith(".do") else ended.stdout
    ((estimate, error, count),) = build.rows(f"select estimate, std_error, observation_count {HEADLINE}")
    assert f"{estimate:.6f} ({error:.6f})" in log
    assert f"N = {count}" in log


def test_the_quick_start_in_sql_gives_the_estimate_and_that_of_the_public_set_is_the_published_one(
    built: tuple[Path, Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, build = built
    monkeypatch.chdir(folder)
    ((estimate, error, count),) = duckdb.sql((folder / "headline.sql").read_text(encoding="utf-8")).fetchall()
    released = build.rows(f"select printf('%.6f', estimate), printf('%.6f', std_error), observation_count {HEADLINE}")
    assert [(estimate, error, count)] == released
    # what R's lm gave on the exported panel
    if "public" in folder.parent.parent.name:
        assert estimate == "0.159576"


def test_stata_finds_every_variable_that_its_quick_start_names(built: tuple[Path, Build]) -> None:
    folder, _ = built
    text = (folder / "headline.do").read_text(encoding="utf-8")
    (regression,) = re.findall(r"^xtreg (.*?) i\.year,", text, re.MULTILINE)
    assert {*regression.split(), "city_id", "year"} <= {*pd.read_stata(folder / "panel.dta").columns}


def test_every_released_table_is_a_parquet_file_with_metadata_at_a_path_of_its_name(built: tuple[Path, Build]) -> None:
    folder, build = built
    released = {(schema, table) for schema in contents.SCHEMAS for table in build.tables(schema)}
    package = json.loads((folder / downloads.METADATA).read_text(encoding="utf-8"))
    assert {(one["schema_in_release"], one["name"]) for one in package["resources"]} == released
    for one in package["resources"]:
        content = (folder / one["path"]).read_bytes()
        assert one["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert one["rows"] == pq.read_metadata(folder / one["path"]).num_rows
        assert [field["name"] for field in one["schema"]["fields"]] == pq.read_schema(folder / one["path"]).names
        assert json.loads((folder / f"{one['name']}.json").read_text(encoding="utf-8")) == one
        assert all(field.get("description") for field in one["schema"]["fields"]), one["name"]
    (licence,) = package["licenses"]
    providers = build.rows("select distinct provider from marts.fct_deliveries where provider is not null")
    terms = (folder / licence["path"]).read_text(encoding="utf-8")
    assert [name for (name,) in providers if f"| {name} |" not in terms] == []
    expected = build.frame("from marts.fct_city_year_panel order by city_id, year")
    read = pd.read_parquet(folder / "fct_city_year_panel.parquet").sort_values(["city_id", "year"], ignore_index=True)
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)


def test_the_checksums_are_those_of_the_files_and_every_link_of_the_page_leads_to_one(
    built: tuple[Path, Build],
) -> None:
    folder, _ = built
    verified = subprocess.run(
        ["sha256sum", "--quiet", "-c", integrity.SUMS], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    page = (folder.parent / "use.html").read_text(encoding="utf-8")
    linked = {*re.findall(r'href="data/([^"]+)"', page)}
    assert {"panel.dta", "ai_manufacturing.xlsx", downloads.RELEASE, downloads.BIBLIOGRAPHY, downloads.FEED} <= linked
    assert [name for name in linked if not (folder / name).is_file()] == []


def test_the_citation_names_release_date_and_paper_and_marks_synthetic_data(built: tuple[Path, Build]) -> None:
    folder, build = built
    text = (folder / downloads.BIBLIOGRAPHY).read_text(encoding="utf-8")
    assert "version = {release 000001 of 2026-01-02}" in text
    assert "author = {Zhu, Lan and Leng, Yuchen and Zhang, Tongjin}" in text
    assert "url = {https://link.cnki.net/urlid/42.1848.C.20250402.1101.003}" in text
    is_synthetic = build.value("select max(extract_set) from raw.deliveries") == "sample"
    assert ("SYNTHETIC DATA" in text) == is_synthetic


def test_the_history_keeps_the_headline_of_pruned_releases_and_begins_anew_with_another_set(
    audited_build: Build, tmp_path: Path
) -> None:
    warehouse, releases = audited_build.warehouse, [tmp_path / f"{number}.duckdb" for number in range(3)]
    for number, (path, before) in enumerate(zip(releases, [None, *releases], strict=False), start=1):
        named = {"extract_set": "another"} if number == 3 else {}
        writer.write(warehouse, path, {**described(f"{number:06d}"), **named}, before)
        if before:
            before.unlink()
        with duckdb.connect(str(path), read_only=True) as connection:
            history = connection.execute(
                f'select release_id, estimate, std_error, verdict_en from "{path.stem}".release.history order by all'
            ).fetchall()
        ((estimate, error),) = audited_build.rows(f"select estimate, std_error {HEADLINE}")
        verdict = audited_build.value(
            "select verdict_en from reports.rpt_verdicts where specification_id = 'table_1_col_1'"
        )
        kept = [number] if number == 3 else range(1, number + 1)
        assert history == [(f"{one:06d}", estimate, error, verdict) for one in kept]


def test_the_feed_of_releases_is_atom(built: tuple[Path, Build]) -> None:
    folder, build = built
    feed = ElementTree.parse(folder / downloads.FEED).getroot()
    assert feed.findtext("a:updated", namespaces=ATOM) == "2026-01-02T03:04:05+00:00"
    (entry,) = feed.findall("a:entry", ATOM)
    assert entry.findtext("a:title", namespaces=ATOM) == "Release 000001"
    assert entry.findtext("a:id", namespaces=ATOM, default="").startswith("urn:uuid:")
    estimate = build.value(f"select estimate {HEADLINE}")
    assert f"Table 1 column 1: {estimate:.3f} (" in entry.findtext("a:summary", namespaces=ATOM, default="")
