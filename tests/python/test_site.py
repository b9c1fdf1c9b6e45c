"""Test the generated website: its text, numbers and links, and its output folder."""

import gzip
import os
import re
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from lxml import html
from scipy import stats

from ai_manufacturing import site
from ai_manufacturing.gate import result_tables
from ai_manufacturing.refresh import publishing
from ai_manufacturing.releases.databases import Database
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.robustness.specification_curve import AXES
from ai_manufacturing.site import (
    catalogue,
    cities,
    downloads,
    query,
    readings,
    specification_curve,
    use,
)
from ai_manufacturing.system.text import Catalogue
from tests.python.conftest import PROJECT, Build
from tests.python.dbt_process import stand_in
from tests.python.page_truth import contradictions, not_shown
from tests.python.release_store import changed, mounted
from tests.python.site_reader import Page, release

Pages = Callable[..., Page]
PAPER = "table_1_col_1"


def unmarked(page: Page) -> list[str]:
    """Return the charts and tables of a page that have no tag (such as "SYNTHETIC")."""
    places = (".//*[@class='tag']", "ancestor::figure//*[@class='tag']")
    places += ("ancestor::section[1]/h2//*[@class='tag']",)
    numbers = page.all("//figcaption | //div.scroll[table]")
    return [one.text_content()[:80] for one in numbers if not any(map(one.xpath, places))]


def links(tree: html.HtmlElement) -> set[str]:
    """Return all links and loaded files of an HTML page, except links to other sites."""
    found = {str(link) for link in tree.xpath("//@href | //@src")}
    return {link for link in found if not link.startswith(("http", "data:"))}


@pytest.mark.door
@pytest.mark.soak
def test_every_page_is_marked_runs_no_script_and_leads_to_what_is_there(
    sample_site: Path, sample_release: Path
) -> None:
    trees = {}
    for name in site.PAGES:
        markup = (sample_site / f"{name}.html").read_text("utf-8")
        trees[f"{name}.html"] = tree = html.fromstring(markup)
        assert "default-src 'none'; script-src 'self' file:;" in markup.replace("&#39;", "'")
        assert not re.search(
            r'<script(?! src=| type="application/(ld\+)?json")|\son\w+="', markup
        ), name
        assert 'id="synthetic-mark"' in markup
        assert "restricted-mark" not in markup
        assert 'class="note withheld"' not in markup
        assert unmarked(Page(markup)) == [], name
    ids = {name: Counter(tree.xpath("//@id")) for name, tree in trees.items()}
    assert [(name, key) for name, of in ids.items() for key, count in of.items() if count > 1] == []
    for name, tree in trees.items():
        for link in links(tree):
            file, _, place = link.partition("#")
            assert not file or (sample_site / file).stat().st_size > 0, (name, link)
            assert not place or place in ids[file or name], (name, link)
    # No provider of the sample is restricted, so the site offers the complete release.
    data = sample_site / downloads.FOLDER
    assert (data / downloads.RELEASE).read_bytes() == sample_release.read_bytes()
    # Run the code example of the download page with the local folder as the site's address.
    lines = use.ADDRESS_LINES.replace("https://…", str(sample_site))
    with duckdb.connect() as connection:
        assert connection.execute(lines).fetchall()
    # Timestamps in downloads are the release date, so that repeated builds give identical files.
    with pd.io.stata.StataReader(data / "panel.dta") as panel:
        assert panel.time_stamp == "02 Jan 2026 03:04"
    with zipfile.ZipFile(data / "ai_manufacturing.xlsx") as opened:
        assert b"2026-01-02T03:04:05Z" in opened.read("docProps/core.xml")


def test_make_report_bundles_the_query_page_where_npm_is(tmp_path: Path) -> None:
    for name in ("make", "nproc"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for has_npm in (False, True):
        if has_npm:
            (tmp_path / "npm").touch(mode=0o755)
        said = subprocess.run(
            ["make", "--dry-run", "--always-make", "report"],
            cwd=PROJECT,
            env={**os.environ, "PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert ("npm run bundle" in said) == has_npm
        assert "ai-manufacturing report --out site" in said


def test_the_catalogue_names_its_extract_set_and_replaces_only_after_dbt_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, out = Origin('a "b" & <c>', "delivered"), tmp_path / "site/catalogue.html"

    def write(script: str) -> str:
        stand_in(tmp_path, monkeypatch, f'{script} > "$6/static_index.html"')
        catalogue.write_catalogue(Database(tmp_path / "w.duckdb", origin), out)
        return out.read_text(encoding="utf-8")

    page = write('echo "<head id=x>$WAREHOUSE_PATH $2 $3 $4<header>"')
    assert page.startswith(f"<head id=x>{catalogue.POLICY}<meta")
    assert page.endswith(f">{tmp_path}/w.duckdb docs generate --static<header>\n")
    catalogue.require_origin(out, origin)
    for script, words in (
        ("seq 40; seq 40 >&2; exit 3; echo", r"unchanged:\n11\n[\d\n]*\n40$"),
        ("echo '<body>'", "no <head>"),
    ):
        with pytest.raises(catalogue.CatalogueError, match=words):
            write(script)
    assert out.read_text(encoding="utf-8") == page
    for content, words in (
        (page, r'a "b" & <c> .* other'),
        (page.rpartition("<meta")[0], "not name, .* other"),
    ):
        out.write_text(content, encoding="utf-8")
        with pytest.raises(catalogue.CatalogueError, match=words):
            catalogue.require_origin(out, Origin("other", "delivered"))


def test_the_query_page_loads_the_bundle_and_the_release_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "bundle_dir", lambda: tmp_path)
    for name in ("r.duckdb", "duckdb.js", "duckdb.wasm", "duckdb-worker.js"):
        assert not query.write_bundle(tmp_path / "r.duckdb", tmp_path)
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert query.write_bundle(tmp_path / "r.duckdb", tmp_path)
    written = {path.name: path.read_bytes() for path in (tmp_path / "query_page").iterdir()}
    assert gzip.decompress(written.pop("ai_manufacturing.duckdb.gz")) == b"r.duckdb"
    assert gzip.decompress(written.pop("duckdb.wasm.gz")) == b"duckdb.wasm"
    assert written == {"duckdb.js": b"duckdb.js", "duckdb-worker.js": b"duckdb-worker.js"}


@pytest.mark.parametrize(
    ("page", "scripts"),
    [(query, "query"), (specification_curve, "curve"), (cities, "cities ranking")],
)
def test_a_page_contains_every_text_that_its_scripts_show(page: Any, scripts: str) -> None:
    assets = PROJECT / "src/ai_manufacturing/site/assets"
    code = "".join((assets / f"{name}.js").read_text("utf-8") for name in scripts.split())
    shown = set(re.findall(r'phrase\("(\w+)"', code))
    assert len(shown) >= 3
    assert shown <= {*page.SCRIPT_TEXTS}
    assert len({*page.SCRIPT_TEXTS}) == len(page.SCRIPT_TEXTS)


@pytest.mark.parametrize("choice", ["outcome", "weighting", "scope", "subsample", "covariance"])
def test_specifications_with_fewer_controls_share_every_other_choice(choice: str) -> None:
    other_columns = ("overlap_observation_count", "overlap_estimate", "overlap_std_error_province")
    columns = dict.fromkeys(readings.CHOICES, "same") | dict.fromkeys(other_columns, np.nan)
    columns |= {"observation_count": 90, "estimate": 0.1, "std_error_province": 0.01}
    estimates = pd.DataFrame(
        [
            columns | {"reading": "default", "controls": "ln_gdp ln_population"},
            columns | {"reading": "fewer", "controls": "ln_gdp"},
            columns | {"reading": "none", "controls": "", choice: "other"},
        ]
    )
    rows = readings._select_fewer_controls(estimates)
    assert [row["reading"] for row in rows] == ["fewer", "default"]


def test_the_words_of_the_site_repeat_no_seed_and_name_what_a_sentence_names() -> None:
    text = Catalogue.load()
    for seed, name in {
        "series": "log_variable",
        "derived_variables": "variable",
        "labels": "name",
        "reasons": "reason",
    }.items():
        names = pd.read_csv(PROJECT / f"seeds/{seed}.csv")[name]
        assert text.labels.keys().isdisjoint(names), seed
    assert text.labels["not_estimable"] == ("not estimable", "无法估计")
    firms = {
        "kind": "series",
        "name": "ai_firm_count",
        "label_en": "firms by keyword",
        "label_zh": "按关键词的企业",
    }
    labels = {"ai_firm_count": ("AI firms", "人工智能企业"), "ln_gdp": ("log GDP", "生产总值")}
    # The substitute of a fact keeps the label of the series.
    fact = {"kind": "fact", "name": "ln_gdp", "label_en": "other", "label_zh": "其他"}
    sentence = text.extend_labels(labels, [firms, fact]).render_sentences(
        "L.ln_gdp & ai_firm_count (industry), ai_firm_count <2>",
        "L.ln_gdp与ai_firm_count (industry)",
    )
    english = "log GDP, previous year &amp; AI firms (industry), firms by keyword † &lt;2&gt;"
    assert english in sentence
    assert "上年生产总值与人工智能企业（工业）" in sentence
    assert text.render_sentences(None, None) == ""


@pytest.mark.parametrize(
    ("exposures", "folder", "other_files", "other_tables"),
    [
        (
            "models/_exposures.yml",
            "site",
            ("system/text.sql", "tables/cells.sql"),
            result_tables.RESULT_TABLES,
        ),
        ("models/reports/paper/_exposures.yml", "paper", (), ()),
    ],
)
def test_an_exposure_names_every_table_that_its_pages_read(
    exposures: str, folder: str, other_files: tuple[str, ...], other_tables: Sequence[str]
) -> None:
    named = yaml.safe_load((PROJECT / exposures).read_text("utf-8"))["exposures"][0]["depends_on"]
    package = Path(site.__file__).parents[1]
    files = [path for path in (package / folder).iterdir() if path.suffix in (".py", ".sql")]
    files += [package / other for other in other_files]
    source = "".join(path.read_text("utf-8") for path in files)
    # Join adjacent string literals.
    queries = re.sub(r'"\s*\n\s*f?"', "", source)
    read = re.findall(r"(?:from|join) \(?(?:marts|reports|gates|estimates)\.(\w+)", queries)
    assert {f"ref('{name}')" for name in (*read, *other_tables)} == {*named}


def test_readings_on_other_city_years_are_listed_apart_from_those_with_fewer_controls(
    public_page: Pages,
) -> None:
    page = public_page("readings")
    rows = page.rows("#readings_table_1_1//table/tbody/tr")
    of_reading = {name: [cell[:5] for cell in numbers] for name, *numbers in rows}
    assert of_reading["no controls †"] == ["2,926", "0.368", "2,228", "0.275", "0.158"]
    # Alternative specifications on the same city-years are not listed in this table.
    assert {"shares of the first year †", "iid errors †"}.isdisjoint(of_reading)
    rows = page.rows("#fewer_controls-readings_table_1_1//tbody/tr")
    assert [number[:5] for _, number in rows] == ["0.275", "0.229", "0.213", "0.158"]
    assert [name.count(", ") for name, _ in rows] == [0, 0, 1, 2]
    same = "use fewer control variables, but the same 2,228 city-years."
    assert f"The estimates in this table {same}" in page.text("#main")
    assert "51.6 % of the city-years and sum to -18.8" in page.text(f"#{PAPER}")


def test_the_curve_draws_the_numbers_of_its_table(sample_page: Pages, sample_build: Build) -> None:
    drawn = sample_page("specification_curve").drawn("curve").set_index([*AXES]).sort_index()
    table = sample_build.frame("from estimates.est_specification_curve where status = 'estimated'")
    by_errors = {
        name: rows.set_index([*AXES]).sort_index() for name, rows in table.groupby("errors")
    }
    estimates = ["estimate", "standardised_estimate"]
    for errors, rows in by_errors.items():
        shown = [*estimates, f"p_value_by_{errors}", f"std_error_by_{errors}"]
        expected = rows[[*estimates, "p_value", "std_error"]]
        np.testing.assert_allclose(drawn[shown].to_numpy(float), expected, rtol=1e-9)
        is_significant = drawn["significant_by"].isin(["both", errors])
        np.testing.assert_array_equal(is_significant, rows["p_value"] < 0.05)
    rows = by_errors["province"]
    half = rows["standardised_estimate"] * rows["std_error"] / rows["estimate"]
    half *= stats.t.ppf(0.975, rows["degrees_of_freedom"])
    for end, sign in (("conf_low", -1), ("conf_high", 1)):
        expected = rows["standardised_estimate"] + sign * half
        np.testing.assert_allclose(drawn[end], expected, atol=6e-5)


def test_what_had_nothing_to_check_has_not_passed(public_page: Pages, public_build: Build) -> None:
    """The public data contain no patents, so expectations about patents check no value."""
    page = public_page("quality")
    unchecked = page.rows("//tr.unchecked")
    share = "The AI share of invention applications is between 0 and 1."
    assert [row[1] for row in unchecked].count(share) == 1
    assert {row[-1] for row in unchecked} == {"0 / 0"}
    ((*_, gdp),) = page.rows("//tr.passed[contains(., 'value added does not exceed GDP')]")
    both = "select format('0 / {:t,}', count(gdp_100m_cny + secondary_value_added_100m_cny))"
    assert gdp == public_build.value(f"{both} from marts.fct_city_year_panel")


def test_a_label_says_what_the_number_is_on_this_set_and_a_mark_stands_beside_it(
    public_page: Pages, sample_page: Pages
) -> None:
    by_keyword = "AI firms of all industries, by keyword (M_AI) †"
    assert by_keyword in public_page("index").texts("#headline//tr.measure")[0]
    chinese = public_page("index", "zh").texts("#headline//tr.measure")[0]
    assert "全行业人工智能企业，按关键词识别（M_AI）†" in chinese
    page = public_page("tables")
    assert page.rows("#table_1//tbody/tr")[0][:2] == [by_keyword, "0.158***‡ †"]
    (shenzhen,) = page.texts("#spatial_classes//tr[contains(., 'alive in Shenzhen')]")
    assert re.search("by keyword, alive in Shenzhen †.*not comparable", shenzhen)
    # A count of zero cities must be shown as 0, not as a missing value.
    (zero,) = page.rows("#spatial_classes//tr[contains(., 'cities without an AI firm of any')]")
    assert "0" in zero[1:4]
    for name, figure in {"maps": "gini", "event_studies": "event_study_table_5_1"}.items():
        caption = public_page(name).texts(f"//figure[@data-name='{figure}']")[0]
        drawn = str(public_page(name).figure(figure))
        assert re.search("by keyword.*†", caption + drawn), name
    for name in ("index", "tables", "maps", "event_studies", "quality", "readings", "credibility"):
        markup = public_page(name).markup
        assert "manufacturing AI firms alive" not in markup, name
        assert 'class="tag"' not in markup, name
        assert 'id="restricted-mark"' in markup, name
        substitutes = markup.split('id="substitutes"')[1]
        assert "AI firms of all industries by keyword substitute for" in substitutes, name
    assert "†" not in sample_page("index").text("#main")


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_release_of_earlier_code_is_one_message_with_a_way_out(
    few: Build, tmp_path: Path
) -> None:
    earlier = "alter table marts.fct_deliveries drop column source_link"
    path = changed(release(few, tmp_path, "synthetic"), tmp_path / "earlier.duckdb", earlier)
    message = (
        r"built by an earlier version of the code and lacks .* Refresh, or name a newer release"
    )
    with pytest.raises(site.SiteError, match=message):
        site.build(path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_no_site_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine", "utf-8")
    with pytest.raises(site.SiteError, match="does not contain a site"):
        site.build(tmp_path / "release.duckdb", tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["diary.txt"]


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_warehouse_has_a_site_that_says_that_it_is_not_published(
    few: Build, tmp_path: Path
) -> None:
    """The processor limit is for untrusted files, so the user's own warehouse ignores it."""
    # The warehouse's views read landed files from the folder where the sample was built.
    views = "select any_value(sql) from duckdb_views() where sql like '%rows.parquet%'"
    read = few.value(views)
    landing = re.findall(r"'([^']+)/[0-9a-f]{64}/rows.parquet'", read)[0]
    named = {"WAREHOUSE_PATH": str(few.warehouse), "LANDING_DIR": landing}
    named["WAREHOUSE_PROCESSOR_LIMIT"] = "0.001"
    run = few.command("report", "--out", str(tmp_path / "site"), **named)
    assert run.returncode == 0, run.stderr
    page = Page((tmp_path / "site/use.html").read_text("utf-8"))
    footer = page.text("//footer")
    assert re.match(r"This site was built on \S+ \S+ UTC from an unpublished warehouse", footer)
    assert "SYNTHETIC DATA." in page.text("#synthetic-mark")


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_site_replaces_an_older_one_whole_and_nothing_else(
    sample_release: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    out.mkdir()
    # The output folder already contains the catalogue, as after `make catalogue`.
    (out / "catalogue.html").touch()
    site.build(sample_release, out)
    (out / "stale.html").touch()
    site.build(sample_release, out)
    assert not (out / "stale.html").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["site"]


@pytest.mark.door
@pytest.mark.soak
def test_a_disk_that_refuses_a_site_is_one_message_that_names_it(
    sample_build: Build, sample_release: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    mounted(small, "600k")
    try:
        run = sample_build.command(
            "report", "--release", str(sample_release), "--out", str(small / "site")
        )
        assert (run.returncode, run.stderr) == (
            1,
            (
                f"Error: The site could not be written ({small / 'site'}: the disk is full). "
                "The old site is unchanged. "
                "Free disk space, or name another folder with --out.\n"
            ),
        )
        assert [*small.iterdir()] == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.soak
def test_a_site_that_fails_is_a_warning_of_a_refresh_and_leaves_the_release(
    sample_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, Path(shutil.copy(sample_release, tmp_path)))
    events: list[tuple[str, dict[str, Any]]] = []
    for folder in ("", tmp_path):
        monkeypatch.setenv("SITE_DIR", str(folder))
        publishing.build_site(store, lambda *event: events.append(event))
    ((event, facts),) = events
    assert event == "warning"
    assert "does not contain a site" in facts["message"]
    assert store.published_path.exists()


def encodings(chart: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the column of each channel, for a Vega-Lite specification and every layer inside it."""
    channels = chart.get("encoding", {}).items()
    yield {name: part["field"] for name, part in channels if "field" in part}
    for part in (*chart.get("layer", ()), *chart.get("vconcat", ())):
        yield from encodings(part)


def test_the_bars_of_a_chart_are_intervals_and_its_columns_exist(sample_page: Pages) -> None:
    pages = ("index", "readings", "heterogeneity", "event_studies", "specification_curve")
    bars: Counter[str] = Counter()
    for name in pages:
        for figure in sample_page(name).all("//figure[@data-name]"):
            drawn = sample_page(name).figure(figure.get("data-name", ""))
            for chart in drawn["specifications"].values():
                for columns in encodings(chart):
                    if chart.get("transform") is None and name != "specification_curve":
                        assert {*columns.values()} <= {*drawn["data"]["names"]}
                    for axis in {"x", "y"} & columns.keys():
                        if f"{axis}2" in columns:
                            ends = columns[axis], columns[f"{axis}2"]
                            assert ends == ("conf_low", "conf_high"), figure.get("data-name")
                            bars[name] += 1
    assert bars.keys() == {*pages}


FIXTURES = [("sample_page", "sample_build"), ("public_page", "public_build")]
# Skip the download page, which requires the data files next to it.
NAMES = site.PAGES.keys() - {"use"}


@pytest.mark.parametrize(("pages", "built"), FIXTURES)
def test_a_page_shows_the_numbers_of_its_tables(
    pages: str, built: str, request: pytest.FixtureRequest
) -> None:
    page, build = map(request.getfixturevalue, (pages, built))
    assert [words for name in NAMES for words in not_shown(name, page(name), build)] == []


@pytest.mark.parametrize(("pages", "built"), FIXTURES)
def test_no_page_contradicts_the_tables_that_it_is_of(
    pages: str, built: str, request: pytest.FixtureRequest
) -> None:
    page, build = map(request.getfixturevalue, (pages, built))
    assert contradictions(page, build, NAMES) == []
