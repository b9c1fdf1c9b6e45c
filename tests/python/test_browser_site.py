"""Browser tests of the site, opened from its files without a server or network."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ai_manufacturing import site
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import catalogue
from tests.python.conftest import Build
from tests.python.site_reader import (
    DESK,
    SCREENSHOTS,
    Reader,
    first_rows_only,
    packed_size,
)

pytestmark = [pytest.mark.door, pytest.mark.soak]
PAPER = "table_1_col_1"


@pytest.mark.parametrize("name", site.PAGES)
@pytest.mark.parametrize("folder", ["sample_site", "public_site"])
def test_a_page_opens_from_the_file_here_and_on_a_phone_and_asks_for_nothing_else(
    reader: Reader, folder: str, name: str, request: pytest.FixtureRequest
) -> None:
    of_site: Path = request.getfixturevalue(folder)
    files = reader.open_everywhere(of_site, name)
    page = reader.page
    # The chart library is only loaded on pages with charts, to keep the front page small.
    charts = page.locator("figure.chart").count()
    assert (of_site / "assets" / "vega.js" in files) == (charts > 0)
    assert name != "index" or packed_size(files) < 500_000
    page.set_viewport_size(DESK)
    reader.open(of_site, name)
    first_rows_only(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{folder}_{name}.png", full_page=True)
    assert page.locator("figure.chart :is(.view svg, canvas)").count() == charts
    assert page.locator("nav").bounding_box()["height"] < 60, "the menu has one row"
    # The mark for synthetic or restricted data stays visible while the reader scrolls.
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    mark = page.locator(
        {"sample_site": "#synthetic-mark", "public_site": "#restricted-mark"}[folder]
    )
    expect(mark).to_be_in_viewport()


def test_the_language_switches_and_is_remembered_on_the_next_page(
    reader: Reader, sample_site: Path
) -> None:
    page = reader.open(sample_site, "index")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Findings", use_inner_text=True)
    page.get_by_role("button", name="中文").press("Enter")
    expect(heading).to_have_text("主要发现", use_inner_text=True)
    assert page.title() == "主要发现 – 人工智能与制造业"
    page = reader.open(sample_site, "maps")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    expect(page.locator("#figure-gini svg")).to_contain_text("人工智能发明专利申请数")
    view = page.locator("#figure-gini .view")
    expect(view).to_have_accessible_name(re.compile("基尼系数"))


def test_a_chart_shows_its_values_and_downloads_as_svg_and_csv(
    reader: Reader,
    sample_site: Path,
    public_site: Path,
    sample_build: Build,
) -> None:
    page = reader.open(sample_site, "maps")
    figure = page.locator("#figure-gini")
    image, name = reader.downloaded(figure, "SVG")
    assert name == "gini_sample.svg"
    assert image.startswith("<svg")
    assert "SYNTHETIC DATA." in image, "a picture that leaves the page says what its numbers are"
    rows, name = reader.downloaded(figure, "CSV")
    assert name == "gini_sample.csv"
    lines = rows.splitlines()
    assert lines[0] == "measure,year,gini,figure,extract_set,is_synthetic"
    gini = sample_build.value(
        "select gini from marts.fct_spatial_concentration where measure = 'ai_firms' and year ="
        " 2020"
    )
    assert f"ai_firms,2020,{gini},Gini,sample,true" in lines
    figure = reader.open(public_site, "event_studies").locator("figure.chart").first
    image, _ = reader.downloaded(figure, "SVG")
    words = (
        "† AI firms of all industries, by keyword, entered: AI firms of all industries by keyword"
    )
    assert words in image
    assert "SYNTHETIC" not in image
    page = reader.open(sample_site, "maps")
    page.locator("#figure-gini details.values summary").click()
    expect(page.locator("#figure-gini details.values tr")).to_have_count(len(lines))


def test_specifications_and_dictionary_fold_and_open_by_address_and_by_search(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "readings")
    assert page.locator("details.specification[open]").count() == 0
    page = reader.open(sample_site, "readings", f"#trace-{PAPER}")
    expect(page.locator(f"#{PAPER}")).to_have_attribute("open", "")
    trace = page.locator(f"#trace-{PAPER}")
    expect(trace).to_contain_text(f"trace --specification {PAPER}")
    expect(trace).to_be_in_viewport()

    page = reader.open(sample_site, "use")
    search = page.get_by_label("Show only rows that contain")
    search.fill("FDI panel")
    rows = page.locator("tr[data-filtered]:visible")
    expect(page.locator("#filter-count")).to_have_text(str(rows.count()))
    description, years = sample_build.rows(
        "select description_en, first_year || '–' || last_year from marts.data_dictionary "
        "where table_name = 'fct_city_year_panel' and column_name = 'fdi_1m_usd'"
    )[0]
    row = rows.filter(has_text=description)
    for words in ("fdi_1m_usd", years):
        expect(row).to_contain_text(words)
    search.fill("")
    expect(page.locator("details.group[open]")).to_have_count(1)


def test_on_paper_the_widest_table_fits_and_folded_answers_are_open(
    reader: Reader, sample_site: Path
) -> None:
    # The width of an A4 page without its margins, in pixels.
    reader.page.set_viewport_size({"width": 680, "height": 960})
    page = reader.open(sample_site, "tables")
    page.emulate_media(media="print")
    assert page.locator("#table_3 table").evaluate("table => table.scrollWidth") <= 680 - 2 * 16
    expect(page.get_by_role("navigation")).to_be_hidden()
    page = reader.open(sample_site, "credibility")
    page.emulate_media(media="print")
    for place in ("#remark-1 > p", "#table_1_col_1 p"):
        expect(page.locator(place).first).to_be_visible()


@pytest.mark.parametrize("folder", ["sample_site", "public_site", "given_away"])
def test_a_reader_steers_the_curve(
    request: pytest.FixtureRequest, reader: Reader, folder: str
) -> None:
    site: Path = request.getfixturevalue(folder)
    page = reader.open(site, "specification_curve")
    assert page.evaluate("document.querySelectorAll('*').length") <= 3000
    rank = page.evaluate("curve.view.signal('chosen')")
    page.select_option("[name=transform]", "asinh")
    page.wait_for_function("rank => curve.view.signal('chosen') !== rank", arg=rank)
    point = page.evaluate("curve.rows.find((row) => row.rank === curve.view.signal('chosen'))")
    assert point["transform"] == "asinh"
    told = page.inner_text("#point")
    for number in ("estimate", "std_error_by_city", "std_error_by_province"):
        digits = f"{point[number]:.3f}"
        assert (f"{float(digits):g}" if folder == "given_away" else digits) in told
    assert "asinh_measure" in page.inner_text("#lines")
    page.select_option("[name=dynamics]", "city_trends")
    # An option without an estimate beside the other choices is disabled, and its text names the
    # required choices.
    options = page.locator("#steering option").evaluate_all(
        "all => all.map((one) => [one.parentElement.name, one.value, one.disabled, one.text])"
    )
    keys = {name for name, *_ in options}
    chosen = {name: page.input_value(f"[name={name}]") for name in keys}
    curve_rows = page.evaluate("curve.rows")
    for name, value, is_disabled, words in options:
        wanted = chosen | {name: value}
        exists = any(all(row[key] == wanted[key] for key in keys) for row in curve_rows)
        assert (is_disabled, "requires" in words) == (not exists, not exists), words
    assert any(is_disabled for _, _, is_disabled, _ in options)
    assert "asinh_measure" not in page.inner_text("#lines")
    address = page.url
    again = reader.open(
        site, "specification_curve", address.partition("specification_curve.html")[2]
    )
    assert again.input_value("[name=transform]") == "asinh"
    assert again.input_value("[name=dynamics]") == "city_trends"


def test_event_studies_have_one_axis_and_a_choice_of_readings(
    reader: Reader, sample_site: Path
) -> None:
    page = reader.open(sample_site, "event_studies")
    assert page.locator("figure.chart").count() == 6
    axes = {
        page.locator(f"#figure-event_study_table_5_{column} svg .role-axis-label")
        .nth(1)
        .text_content()
        for column in (1, 2, 3)
    }
    assert len(axes) == 1
    figure = page.locator("#figure-event_study_table_5_1")
    choice = figure.get_by_role("combobox")
    points = figure.locator("svg .mark-symbol.role-mark path[aria-label]")
    places = "all => all.map(one => one.getAttribute('d') + one.getAttribute('transform'))"
    before = points.evaluate_all(places)
    choice.select_option("table_5_col_1_level")
    expect(points.first).to_be_visible()
    assert before != points.evaluate_all(places)
    # The URL only records settings that differ from their default.
    expect(page).to_have_url(re.compile(r"\?event_study_table_5_1=table_5_col_1_level$"))
    assert reader.complaints == []


def test_a_catalogue_says_of_which_set_it_is_and_reaches_no_address(
    sample_build: Build, reader: Reader, tmp_path: Path
) -> None:
    out, origin = tmp_path / "site/catalogue.html", Origin("sample", "synthetic")
    # Copy the warehouse, because dbt locks the file and other tests read it.
    warehouse = Path(shutil.copy(sample_build.warehouse, tmp_path))
    copied = replace(sample_build, warehouse=warehouse)
    run = copied.command("catalogue", "--out", str(out))
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[0] == f"{origin}, warehouse, {warehouse}"
    assert catalogue.read_origin(out) == origin
    assert [path.name for path in out.parent.iterdir()] == ["catalogue.html"]
    page = reader.page
    page.goto(out.as_uri() + "#!/model/model.ai_manufacturing.fct_city_year_panel")
    page.get_by_role("heading", name="fct_city_year_panel").wait_for()
    assert not [words for words in reader.complaints if "Content Security Policy" in words]
    assert not [url for url in reader.requests if not url.startswith(("file:", "data:"))]
    reader.reaches_nothing()


def test_a_page_without_what_is_withheld_draws_the_rest(reader: Reader, given_away: Path) -> None:
    for name in ("cities", "maps", "quality", "use"):
        page = reader.open(given_away, name)
        charts = page.locator("figure.chart").count()
        assert page.locator("figure.chart :is(.view svg, canvas)").count() == charts
    assert reader.complaints == []
    assert reader.open(given_away, "maps").locator("#figure-clusters svg").count() == 1
    reader.open_everywhere(given_away, "cities")
    # The ranking has one row for each city, and the rest of the page does not grow with them.
    assert reader.page.evaluate("document.querySelectorAll(':not(#ranks *)').length") < 1500
