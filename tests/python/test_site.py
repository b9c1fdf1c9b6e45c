"""The site as a reader meets it: in headless Chromium, from the file, with nothing but the file."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from playwright.sync_api import Error, expect

from ai_manufacturing import site
from ai_manufacturing.gate import result_tables
from ai_manufacturing.refresh import publishing
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue
from ai_manufacturing.text import Catalogue
from tests.python.conftest import PROJECT, Build
from tests.python.site_reader import PHONE, SCREENSHOTS, STRAY, Reader, packed_size, release, serious_faults
from tests.python.test_refresh import mounted

PAGES = [*site.PAGES]
UNMARKED = """() => [...document.querySelectorAll("figcaption, .scroll:has(> table)")]
  .filter((one) => ![one, one.closest("figure"), one.closest("section")?.querySelector("h2")]
    .some((place) => place?.querySelector(".tag")))
  .map((one) => one.textContent.slice(0, 80))"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_the_file_here_and_on_a_phone_and_asks_for_nothing_else(
    reader: Reader, sample_site: Path, name: str
) -> None:
    page = reader.open(sample_site, name)
    files = reader.loaded(sample_site)
    # The chart library is loaded where there is a chart; the first page weighs less than half a megabyte.
    assert (sample_site / "assets" / "vega.js" in files) == (page.locator("figure.chart").count() > 0)
    if name == "index":
        assert packed_size(files) < 500_000
    # As for axe: rows that are like the first ones cost the picture time.
    page.evaluate("document.querySelectorAll('[data-filtered]:nth-child(n + 25)').forEach(one => one.remove())")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    assert page.locator("figure.chart").count() == page.locator("figure.chart svg").count()
    # Whatever numbers are in sight, so is the mark: at the top of the window, and at each chart and table.
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#synthetic-mark")).to_be_in_viewport()
    assert page.evaluate(UNMARKED) == []
    assert page.locator("nav").bounding_box()["height"] < 60, "the menu has one row"
    for name_of_language in ("中文", "English"):
        page.get_by_role("button", name=name_of_language).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    assert reader.complaints == []
    reader.loaded(sample_site)
    assert serious_faults(page) == []
    # On a phone nothing scrolls sideways, and all of it is in Chinese.
    reader.complaints.clear()  # axe reads the style sheet
    page.set_viewport_size(PHONE)
    for language in ("en", "zh-CN"):
        reader.open(sample_site, name, f"?language={language}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=SCREENSHOTS / f"{name}_phone.png")
    assert page.evaluate(STRAY) == []
    assert reader.complaints == []


@pytest.mark.soak
@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_public_set_has_no_serious_fault_in_either_language_here_and_on_a_phone(
    reader: Reader, public_site: Path, name: str
) -> None:
    files = reader.open_everywhere(public_site, name)
    assert name != "index" or packed_size(files) < 500_000


def test_the_language_switches_and_is_remembered_on_the_next_page(reader: Reader, sample_site: Path) -> None:
    page = reader.open(sample_site, "index")
    expect(page.get_by_role("heading", level=1)).to_have_text("Findings", use_inner_text=True)
    page.get_by_role("button", name="中文").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("主要发现", use_inner_text=True)
    assert page.title() == "主要发现 – 人工智能与制造业"
    page = reader.open(sample_site, "maps")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    expect(page.locator("#figure-gini svg")).to_contain_text("人工智能发明专利申请数")
    expect(page.locator("#figure-gini .view")).to_have_attribute("aria-label", re.compile("基尼系数"))


def test_no_text_is_missing_in_either_language() -> None:
    text = Catalogue.read()
    assert [key for key, words in (text.texts | text.labels).items() if len(words) != 2 or not all(words)] == []
    placeholders = {key: [set(re.findall(r"{(\w+)}", word)) for word in words] for key, words in text.texts.items()}
    assert [key for key, (en, zh) in placeholders.items() if en != zh] == []


def test_the_words_of_the_site_repeat_no_seed_and_name_what_a_sentence_names() -> None:
    text = Catalogue.read()
    seeds = {
        "series": "log_variable",
        "derived_variables": "variable",
        "labels": "name",
        "reasons": "reason",
    }
    for seed, name in seeds.items():
        with (PROJECT / f"seeds/{seed}.csv").open(encoding="utf-8") as file:
            assert not text.labels.keys() & {row[name] for row in csv.DictReader(file)}, seed
    assert text.labels["not_estimable"] == ("not estimable", "无法估计")
    firms = {"kind": "series", "name": "ai_firm_count", "label_en": "firms by keyword", "label_zh": "按关键词的企业"}
    text = text.with_labels(
        {"ai_firm_count": ("AI firms", "人工智能企业"), "ln_gdp": ("log GDP", "地区生产总值（对数）")}, [firms]
    )
    said = text.said("L.ln_gdp & ai_firm_count (industry), ai_firm_count <2>", "L.ln_gdp与ai_firm_count (industry)")
    assert "log GDP, a year before &amp; AI firms (industry), firms by keyword † &lt;2&gt;" in said
    assert "上年地区生产总值（对数）与人工智能企业（工业）" in said
    assert text.said(None, None) == ""


def test_the_exposure_names_every_table_that_the_pages_read() -> None:
    exposures = yaml.safe_load((PROJECT / "models/_exposures.yml").read_text(encoding="utf-8"))["exposures"]
    named = next(exposure for exposure in exposures if exposure["name"] == "site")["depends_on"]
    folder = Path(site.__file__).parent
    files = [*folder.glob("*.py"), folder.parent / "text.py", folder.parent / "tables/cells.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    read = set(re.findall(r"(?:from|join) (?:marts|reports|gates|estimates)\.(\w+)", source))
    read |= {*result_tables.RESULT_TABLES}
    assert {f"ref('{name}')" for name in read} == set(named)


@pytest.mark.parametrize("table", [f"table_{number}" for number in range(1, 7)])
def test_a_table_shows_the_digits_of_the_report_and_of_the_paper(
    reader: Reader, sample_site: Path, sample_build: Build, table: str
) -> None:
    page = reader.open(sample_site, "tables")
    shown = page.locator(f"#{table} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    frame = sample_build.frame(f"select * from reports.rpt_{table} order by row_number")
    columns = [column for column in frame.columns if column.startswith("column_")]
    above = frame[~frame["line_kind"].isin(["outcome", "specification", "warnings", "substitutions"])]
    expected = above[columns].astype(object).where(above[columns].notna(), "").to_numpy().tolist()
    # An error that does not exist says so here, and is no cell there.
    estimates = [["" if cell == "[–]" else cell for cell in row[1::2]] for row in shown if {*row} - {"", "[–]"}]
    names = {"fixed_effects": "fixed effects", "event_study": "event study", "dynamic_panel": "system GMM"}
    assert estimates == [[names.get(cell, cell) for cell in row] for row in expected]
    printed = sample_build.rows(
        "select printed_text || printed_stars, '(' || printed_std_error_text || ')' "
        "from reports.rpt_replication_scorecard where table_id = ?",
        table,
    )
    beside = [cell for row in shown for cell in row[2::2] if cell]
    assert {number for pair in printed for number in pair} <= set(beside)


def test_a_cell_leads_to_its_specification_and_the_numbers_there_are_the_same(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "tables")
    estimate, low, high = sample_build.rows(
        "select estimate, conf_low, conf_high from reports.rpt_coefficients "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'"
    )[0]
    page.locator("#table_1").get_by_role("link", name=f"{estimate:.3f}***").click()
    expect(page).to_have_url(re.compile(r"readings\.html#table_1_col_1$"))
    section = page.locator("#table_1_col_1")
    expect(section).to_be_in_viewport()
    expect(section.locator("tbody tr").first).to_contain_text(f"{estimate:.3f}")
    expect(section.locator("tbody tr").first).to_contain_text(f"[{low:.3f}, {high:.3f}]")


def test_a_chart_downloads_as_svg_and_csv(reader: Reader, sample_site: Path, sample_build: Build) -> None:
    page = reader.open(sample_site, "maps")
    figure = page.locator("#figure-gini")
    with page.expect_download() as svg:
        figure.get_by_role("button", name="SVG").click()
    assert svg.value.suggested_filename == "gini_sample.svg"
    image = Path(svg.value.path()).read_text(encoding="utf-8")
    assert image.startswith("<svg")
    assert "SYNTHETIC DATA." in image, "a picture that leaves the page says that its numbers are not real"
    with page.expect_download() as csv:
        figure.get_by_role("button", name="CSV").click()
    lines = Path(csv.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert csv.value.suggested_filename == "gini_sample.csv"
    assert lines[0] == "measure,year,gini,figure,extract_set,is_synthetic"
    gini = sample_build.value(
        "select gini from marts.fct_spatial_concentration where measure = 'ai_firms' and year = 2020"
    )
    assert f"ai_firms,2020,{gini},Gini,sample,true" in lines


def test_the_dictionary_is_searched_and_its_words_are_those_of_the_database(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "use")
    page.get_by_label("Show those that contain").fill("FDI panel")
    rows = page.locator("tr[data-filtered]:visible")
    expect(page.locator("#filter-count")).to_have_text(str(rows.count()))
    description, first, last = sample_build.rows(
        "select description_en, first_year, last_year from marts.data_dictionary "
        "where table_name = 'fct_city_year_panel' and column_name = 'fdi_1m_usd'"
    )[0]
    row = rows.filter(has_text=description)
    expect(row).to_contain_text("fdi_1m_usd")
    expect(row).to_contain_text(f"{first}–{last}")


def test_the_widest_table_fits_a_printed_page(reader: Reader, sample_site: Path) -> None:
    reader.page.set_viewport_size({"width": 680, "height": 960})  # A4 less its margins
    page = reader.open(sample_site, "tables")
    page.emulate_media(media="print")
    assert page.locator("#table_3 table").evaluate("table => table.scrollWidth") <= 680 - 2 * 16
    expect(page.get_by_role("navigation")).to_be_hidden()


def test_what_the_public_files_cannot_give_is_shown_with_its_reason(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    for name in PAGES:
        reader.open(public_site, name)
        reader.page.get_by_role("button", name="中文").click()
        assert reader.page.evaluate(STRAY) == [], name
        reader.page.get_by_role("button", name="English").click()
    assert reader.complaints == []
    columns = public_build.rows(
        "select table_id, column_number from reports.rpt_column_specifications where status = 'not_estimable' "
        "and table_id in (select table_id from reports.rpt_replication_scorecard)"
    )
    page = reader.open(public_site, "tables")
    for table, column in columns:
        cells = page.locator(f"#{table} tbody td:nth-child({2 * column})").filter(has_text="not estimable")
        assert cells.count() > 0, (table, column)
    years = page.locator("#table_6 tbody tr td:first-child").all_inner_texts()
    assert [words for words in years if words][:2] == ["5 years before", "4 years before"]
    # No city is without an AI firm there, which is a number and no gap.
    zero = page.locator("#spatial_classes tr").filter(has_text="cities without an AI firm of any industry")
    expect(zero.locator("td.number").last).to_have_text("0")
    page = reader.open(public_site, "readings")
    expect(page.locator("#synthetic-mark")).to_have_count(0)
    # What was not delivered is called what the paper uses.
    series = dict(public_build.rows("select series, label_en from marts.dim_series where substitution is null"))
    missing = public_build.rows(
        "select specification_id, reason from reports.rpt_coefficients where status = 'not_estimable'"
    )
    assert len(missing) > 10
    page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    shown = page.locator("p.not-estimable").evaluate_all("all => all.map(one => [one.parentElement.id, one.innerText])")
    assert len(shown) == len(missing)
    for specification_id, reason in missing:
        # A series of a named provider has the provider in brackets.
        words = re.sub(r"\w+", lambda word: series.get(word[0], word[0]), re.sub(r"@(\w+)", r" (\1)", reason))
        assert [specification_id, f"Not estimable {words}"] in shown


def test_a_reading_on_other_city_years_stands_beside_the_paper_s_on_those_of_both(
    reader: Reader, public_site: Path
) -> None:
    page = reader.open(public_site, "readings")
    rows = {
        cells[0].removesuffix(" †"): cells[1:]
        for cells in page.locator("#readings_table_1_1 table.plain tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
        )
    }
    assert rows["no controls"] == ["2,926", "0.368", "2,230", "0.275", "0.160"]
    assert {"shares of the first year", "iid errors"}.isdisjoint(rows), "on the same city-years"
    page = reader.open(public_site, "readings", "#table_1_col_1_no_controls")
    expect(page.locator("#table_1_col_1_no_controls")).to_contain_text(
        "On the 2,230 city-years shared with the paper's reading it is 0.275, and that reading's is 0.160.",
        use_inner_text=True,
    )


@pytest.mark.soak
@pytest.mark.usefixtures("one_page")
def test_a_site_replaces_an_older_one_whole_and_nothing_else(light_build: Build, tmp_path: Path) -> None:
    path = release(light_build, tmp_path, "synthetic")
    out = tmp_path / "pages"
    out.mkdir()
    (out / "diary.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(site.SiteError, match="is not a site"):
        site.build(path, out)
    assert [entry.name for entry in out.iterdir()] == ["diary.txt"]
    out = tmp_path / "site"
    out.mkdir()
    (out / "catalogue.html").write_text("", encoding="utf-8")  # `make catalogue` came first
    site.build(path, out)
    (out / "stale.html").write_text("", encoding="utf-8")
    site.build(path, out)
    assert not (out / "stale.html").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "pages", "site"}


def test_a_release_of_earlier_code_is_one_message_with_a_way_out(light_build: Build, tmp_path: Path) -> None:
    path = release(light_build, tmp_path, "synthetic")
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table marts.fct_deliveries drop column source_link")
    with pytest.raises(site.SiteError, match=r"made by earlier code, it lacks .* Refresh, or name a newer release"):
        site.build(path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_disk_that_refuses_a_site_is_one_message_that_names_it(
    sample_build: Build, sample_site: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    mounted(small, "600k")
    published = str(sample_site.parent / "synthetic.duckdb")
    try:
        run = sample_build.command("report", "--release", published, "--out", str(small / "site"))
        assert (run.returncode, run.stderr) == (
            1,
            f"Error: {small / 'site'}: the disk is full; what was there is unchanged. "
            "Make room, or name another folder with --out.\n",
        )
        assert [*small.iterdir()] == []
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        run = sample_build.command("report", "--release", published, "--out", str(small / "site"))
        assert (run.returncode, "site: Read-only file system; what was" in run.stderr) == (1, True), run.stderr
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.soak
def test_a_refresh_builds_the_site_and_a_failed_site_leaves_the_release(
    sample_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = release(sample_build, tmp_path, "synthetic")
    store = Store(tmp_path, published)
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.delenv("SITE_DIR", raising=False)
    publishing.build_site(store, lambda *event: told.append(event))
    assert told == []
    monkeypatch.setenv("SITE_DIR", str(tmp_path / "site"))
    publishing.build_site(store, lambda *event: told.append(event))
    assert told == [("site", {"path": str(tmp_path / "site")})]
    assert (tmp_path / "site" / "index.html").exists()
    monkeypatch.setenv("SITE_DIR", str(sample_build.extracts))
    publishing.build_site(store, lambda *event: told.append(event))
    assert told[1][0] == "warning"
    assert "is not a site" in told[1][1]["message"]
    assert store.current() is not None


def test_pages_run_no_script_and_reach_no_address_but_their_own(reader: Reader, sample_site: Path) -> None:
    for name in PAGES:
        markup = (sample_site / f"{name}.html").read_text(encoding="utf-8")
        assert "default-src 'none'; script-src 'self' file:;" in markup.replace("&#39;", "'")
        assert not re.search(r'<script(?! src=| type="application/json")|\son\w+="', markup), name
    page = reader.open(sample_site, "index")
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">');"
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 2'}))"
    )
    reached = page.evaluate("fetch('http://127.0.0.1:9/').then(() => true, (error) => String(error))")
    assert "Failed to fetch" in reached
    assert page.title() == "Findings – AI and manufacturing"
    assert any("connect-src" in words or "default-src" in words for words in reader.complaints)


@pytest.mark.soak
def test_a_catalogue_says_of_which_set_it_is_and_reaches_no_address(
    sample_build: Build, reader: Reader, tmp_path: Path
) -> None:
    out, origin = tmp_path / "site/catalogue.html", Origin("sample", "synthetic")
    # a copy, as dbt takes the file for itself and other tests read it
    warehouse = Path(shutil.copy(sample_build.warehouse, tmp_path))
    written_ = replace(sample_build, warehouse=warehouse).command("catalogue", "--out", str(out))
    assert written_.returncode == 0, written_.stdout + written_.stderr
    assert written_.stdout.splitlines()[0] == f"{origin}, warehouse, {warehouse}"
    assert catalogue.origin_of(out) == origin
    assert "fct_city_year_panel" in out.read_text(encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["catalogue.html"]
    page = reader.page
    page.goto(out.as_uri() + "#!/model/model.ai_manufacturing.fct_city_year_panel")
    page.get_by_role("heading", name="fct_city_year_panel").wait_for()
    assert not [words for words in reader.complaints if "Content Security Policy" in words]
    assert not [url for url in reader.requests if not url.startswith(("file:", "data:"))]
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://127.0.0.1:9/')")
    assert any("connect-src" in words or "default-src" in words for words in reader.complaints)


NO_DATA = "cannot tell: no data"


def test_the_first_page_has_the_verdict_on_each_claim_and_leads_to_its_checks(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    page = reader.open(public_site, "index")
    first = page.locator("#headline tbody tr:has(td)").first
    shown = page.locator("#headline tbody tr:not(.without):has(td)").evaluate_all(
        "rows => rows.map(row => [0, 3].map(place => row.cells[place].querySelector('a').innerText))"
    )
    verdicts = public_build.rows(
        "select 'Table ' || table_id[-1] || ' (' || column_number || ')', verdict_en from reports.rpt_verdicts "
        "order by 1"
    )
    assert shown == [list(row) for row in verdicts if row[1] != NO_DATA]
    assert shown[0] == ["Table 1 (1)", "cannot tell: imprecise"]
    first.locator("td").last.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"credibility\.html#table_1_col_1$"))
    rows = public_build.rows(
        "select case when passes then '✓ passes' else '✗ fails' end, sentence from reports.rpt_credibility "
        "where specification_id = 'table_1_col_1' order by check_order"
    )
    expect(page.locator("#table_1_col_1 tbody tr")).to_have_count(len(rows))
    checks = page.locator("#table_1_col_1 tbody tr").evaluate_all(
        "rows => rows.map(row => [row.cells[0].innerText, row.cells[2].innerText])"
    )
    assert [tuple(check) for check in checks] == rows
    # Columns without data are a line for each reason, and an address of one leads there.
    lines = page.locator("#verdict-table tr.without")
    reasons = public_build.value(
        "select count(distinct s.reason) from reports.rpt_specifications as s "
        "inner join reports.rpt_verdicts as v using (specification_id) where v.cause = 'no_data'"
    )
    expect(lines).to_have_count(reasons)
    line = lines.filter(has=page.locator("#table_1_col_2"))
    expect(line).to_contain_text(f"Table 3 (2): {NO_DATA}. Not delivered: ", use_inner_text=True)
    assert page.locator("section[id^=table_]").count() == sum(verdict != NO_DATA for _, verdict in verdicts)


def test_another_rule_makes_another_verdict_on_the_page(
    sample_build: Build, light_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "PAGES", {"index": site.findings, "credibility": site.credibility})
    monkeypatch.setattr(site.downloads, "FORMATS", ())
    # Compiled SQL names the database, which is the name of the file.
    broken = Build(sample_build.extracts, tmp_path / sample_build.warehouse.name, tmp_path)
    shutil.copy(light_build.warehouse, broken.warehouse)
    assert sample_build.value("select verdict from reports.rpt_verdicts where specification_id = 'table_1_col_1'") == (
        "holds"
    )
    compiled = sample_build.scratch / "target/compiled/ai_manufacturing/models/reports"
    with duckdb.connect(str(broken.warehouse)) as connection:
        (schema,) = connection.execute(
            "select table_schema from information_schema.tables where table_name = 'verdict_rules'"
        ).fetchall()[0]
        connection.execute(f"update {schema}.verdict_rules set threshold = 0 where check_id = 'without_flagged'")
        connection.execute("create temp macro current_extract_set() as 'sample'")  # dbt makes it at the start of a run
        for name in ("rpt_credibility", "rpt_verdicts", "rpt_findings"):
            sql = (compiled / f"{name}.sql").read_text(encoding="utf-8")
            connection.execute(f"create or replace table reports.{name} as {sql}")
    site.build(release(broken, tmp_path, "synthetic"), tmp_path / "site")
    index, checks = (
        (tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8") for name in ("index", "credibility")
    )
    verdict = '<a href="credibility.html#table_1_col_1"><span class="en" lang="en">not robust</span>'
    assert index.count(verdict) == 1
    assert "but of the checks that the claim needs these fail: Without flagged cities." in index
    assert '<strong><span class="en" lang="en">No.</span>' in index.split('id="answer-robust"')[1]
    section = checks.split('<section id="table_1_col_1">')[1].split("</section>")[0]
    assert "Without the cities that the gate flags it does not differ from zero" in section


def test_the_curve_shows_the_numbers_of_its_tables(reader: Reader, sample_site: Path, sample_build: Build) -> None:
    page = reader.open(sample_site, "readings")
    estimated = sample_build.value(
        "select count(distinct curve_id) from estimates.est_specification_curve where status = 'estimated'"
    )
    expect(page.locator("#figure-curve svg .mark-symbol.role-mark path")).to_have_count(estimated)
    undominated = sample_build.value(
        "select count(distinct curve_id) from estimates.est_specification_curve "
        "where status = 'estimated' and not is_dominated"
    )
    expect(page.locator("#curve + p")).to_contain_text(
        f"{estimated:,} combinations of choices, {undominated:,} of them without a dominated one"
    )
    cells = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    axes, joint = (page.locator(f"#{name} + p + .scroll tbody tr").evaluate_all(cells) for name in ("axes", "joint"))
    assert [row[2:7] for row in axes] == [
        [f"{some} / {all_}", "–" if median is None else f"{median:.3f}", *shares]
        for some, all_, median, *shares in sample_build.rows(
            "select estimated_count, specification_count, median_estimate, coalesce(format('{:.1f} %', 100 * "
            "columns(['same_sign_share', 'significant_by_city_share', 'significant_by_province_share'])), '–') "
            "from reports.rpt_specification_axes order by value_order"
        )
    ]
    assert ["Weighting", "fixed ratio (equation 2)"] in [row[:2] for row in axes]
    assert [row[-1] for row in axes] == [
        f"{standing} {why}"
        for standing, why in sample_build.rows(
            "select standing, why_en from reports.rpt_specification_axes order by value_order"
        )
    ]
    assert {row[-1].split()[0] for row in axes} == {"arbitrary", "defensible", "dominated"}
    for word in ("Arbitrary:", "Defensible:", "Dominated:"):
        expect(page.locator("#joint ~ p, #axes ~ p").filter(has_text=word).first).to_be_visible()
    # A build of one's own permutes nothing, and says so.
    reasons = sample_build.rows(
        "select errors, reason from estimates.est_specification_curve_joint order by choices, errors"
    )
    assert [row[:2] for row in joint] == [
        ["all", "city"],
        ["all", "province"],
        ["without dominated choices", "province"],
    ]
    assert all(reason in row[2] for row, (_, reason) in zip(joint, reasons, strict=True))


def test_a_specification_has_its_other_errors_and_what_it_is_without_some_cities(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    cells = "row => [...row.cells].map(cell => cell.innerText)"
    page = reader.open(public_site, "readings", "#table_1_col_1")
    section = page.locator("#table_1_col_1")
    section.locator("details.inference summary").click()
    ((estimate, error, low, high),) = public_build.rows(
        "select estimate, std_error, conf_low, conf_high from estimates.est_inference "
        "where specification_id = 'table_1_col_1' and method = 'crv3' and setting = 'cluster=province'"
    )
    row = section.locator("details.inference tbody tr", has_text="jackknife").filter(has_text="province")
    assert row.evaluate(cells)[1:] == [
        *("clustered jackknife errors (CRV3)", "clusters: province"),
        *(f"{estimate:.3f}", f"{error:.3f}", "0.126", f"[{low:.3f}, {high:.3f}]"),
    ]
    section.locator("details.influence summary").click()
    for kind, table in (("province", "province_id, province_name_en"), ("city", "city_id, name_en")):
        ((name, without),) = public_build.rows(
            f"select distinct c.name, i.estimate_without from (select {table} from marts.dim_city) as c (id, name) "
            "inner join estimates.est_influence as i on c.id = i.unit_id where i.specification_id = 'table_1_col_1' "
            f"and i.unit_kind = '{kind}' and i.rank = 1"
        )
        row = section.locator("details.influence tbody tr", has_text=f"Most influential {kind}").first
        expect(row.locator("td").first).to_have_text(re.compile(f" {name}$"), use_inner_text=True)
        expect(row).to_contain_text(f"{without:.3f}")
    # The cities whose GDP breaks: 37, without which .075 is left (p .37 by province).
    flagged = section.locator("details.influence tbody tr", has_text="GDP of a city grows").filter(has_text="province")
    assert flagged.last.evaluate(cells)[1:] == ["37", "province", "0.075", "0.082", "0.368"]
    # Two measurements, each the instrument of the other: are the slopes one?
    section = page.locator("#table_1_col_1_observed_instrumented")
    section.locator("summary").first.click()
    section.locator("details.inference summary").click()
    row = section.locator("details.inference tbody tr", has_text="province")
    assert row.evaluate(cells) == [
        *("less the slope of the other measurement", "clusters: province"),
        *("-0.022", "0.017", "0.209", "[-0.058, 0.013]"),
    ]
    expect(section.locator("details.inference p.note")).to_contain_text(
        "equality is not rejected, nor is any difference from -0.058 to 0.013.", use_inner_text=True
    )


def test_what_had_nothing_to_check_has_not_passed(reader: Reader, public_site: Path, public_build: Build) -> None:
    """The public files hold no patents, so that nothing can be said of them."""
    page = reader.open(public_site, "quality")
    page.locator("#not_failed").click()
    rows = page.locator("tr.unchecked")
    assert rows.filter(has_text="The AI share of invention applications lies between 0 and 1.").count() == 1
    assert set(rows.locator("td.number").all_inner_texts()) == {"0 / 0"}
    gdp = page.locator("tr.passed", has_text="Secondary value added is at most GDP")
    both = (
        "select count(*) from marts.fct_city_year_panel where gdp_100m_cny + secondary_value_added_100m_cny is not null"
    )
    expect(gdp.locator("td.number")).to_have_text(f"0 / {public_build.value(both):,}")
    passed, critical, warnings, nothing = (
        page.locator(f"tr.{name}").count() for name in ("passed", "failed-critical", "failed-warning", "unchecked")
    )
    results = public_build.value(
        "select count(*) from (select suite from gates.gate_results union all "
        "select suite from gates.gate_second_route)"
    )
    assert passed + critical + warnings + nothing == results
    words = f"{critical} critical failures, {warnings} warnings; {nothing} had nothing to check"
    expect(page.locator("#gate")).to_have_text(f"{passed} passed; {words}", use_inner_text=True)


def test_a_label_says_what_the_number_is_on_this_set_and_a_mark_stands_beside_it(
    reader: Reader, public_site: Path, sample_site: Path
) -> None:
    by_keyword = "AI firms of all industries, by keyword (M_AI) †"
    page = reader.open(public_site, "index")
    expect(page.locator("#headline tr.measure").first).to_contain_text(by_keyword, use_inner_text=True)
    row = page.locator("#headline tbody tr:has(td)").first
    expect(row.locator("td.number").last).to_have_text(re.compile(r"^\s*0\.160 †\s*\[-0\.047, 0\.366\]\s*$"))
    page.get_by_role("button", name="中文").click()
    measure = "全行业人工智能企业，按关键词识别（M_AI）†"
    expect(page.locator("#headline tr.measure").first).to_contain_text(measure, use_inner_text=True)
    page.get_by_role("button", name="English").click()
    page = reader.open(public_site, "tables")
    expect(page.locator("#table_1 tbody tr").first).to_contain_text(by_keyword, use_inner_text=True)
    expect(page.locator("#table_1 tbody tr td:nth-child(2)").first).to_have_text("0.160***‡ †", use_inner_text=True)
    shenzhen = page.locator("#spatial_classes tr", has_text="alive in Shenzhen")
    for words in ("by keyword, alive in Shenzhen †", "not comparable"):
        expect(shenzhen).to_contain_text(words, use_inner_text=True)
    five = page.locator("#spatial_classes tr", has_text="five cities that the paper names")
    expect(five.locator("td.number").last).to_have_text("20.19%")
    for name in PAGES:
        markup = (public_site / f"{name}.html").read_text(encoding="utf-8")
        assert "manufacturing AI firms alive" not in markup, name
        assert 'class="tag"' not in markup, name
        assert "AI firms of all industries by keyword substitute for" in markup.split('id="substitutes"')[1], name
    figures = {"cities": "ai_firm_count", "maps": "gini", "event_studies": "event_study_table_5"}
    for name, figure in figures.items():
        page = reader.open(public_site, name)
        expect(page.locator(f"figure[data-name^={figure}]").first).to_contain_text(
            re.compile("by keyword.*†"), use_inner_text=True
        )
    with page.expect_download() as svg:
        page.locator("figure.chart").first.get_by_role("button", name="SVG").click()
    picture = Path(svg.value.path()).read_text(encoding="utf-8")
    assert "† AI firms of all industries, by keyword, entered: AI firms of all industries by keyword" in picture
    assert "SYNTHETIC" not in picture
    pre_trend = page.locator("p.note", has_text="hypothesis that there is no effect in any year before the event").first
    expect(pre_trend).to_contain_text("p = 0.973: not rejected at 5 %", use_inner_text=True)
    assert "†" not in reader.open(sample_site, "index").locator("main").inner_text()
