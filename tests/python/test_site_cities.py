"""Cities and maps as a reader meets them: found in three scripts, compared, and traced to the delivered row."""

import csv
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.python.conftest import PROJECT, Build
from tests.python.site_reader import Reader

CELLS = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"


def test_every_city_has_one_english_name_and_what_shares_it_is_known() -> None:
    """Names were compared with pypinyin 0.55: what differs is not Chinese in origin, or read otherwise (长, 朝, 漯)."""
    with (PROJECT / "seeds/cities.csv").open(encoding="utf-8") as file:
        cities = list(csv.DictReader(file))
    assert len({city["city_id"] for city in cities}) == len(cities) == 367
    names = [city["name_en"] for city in cities]
    assert [name for name in names if not re.fullmatch(r"[A-Z][a-z]+(['a-zA-Z ]*[a-z])?", name)] == []
    assert {name for name in names if names.count(name) > 1} == {"Suzhou", "Taizhou", "Fuzhou", "Yichun", "Yulin"}
    assert len({(city["name_en"], city["province_name_en"]) for city in cities}) == len(cities)
    by_code = dict(zip((city["city_id"] for city in cities), names, strict=True))
    # As the Board on Geographic Names writes them, without accents.
    known = {"610100": "Xi'an", "650100": "Urumqi", "150100": "Hohhot", "540100": "Lhasa", "230100": "Harbin"}
    known |= {"610800": "Yulin", "450900": "Yulin", "411100": "Luohe", "340800": "Anqing", "653200": "Hotan Prefecture"}
    assert {code: by_code[code] for code in known} == known
    provinces = {city["province_id"]: city["province_name_en"] for city in cities}
    assert (provinces["140000"], provinces["610000"]) == ("Shanxi", "Shaanxi")
    assert len(set(provinces.values())) == len(provinces) == 31


def search(page: Page, words: str) -> None:
    """Type a city into the field and confirm."""
    field = page.locator("#city")
    field.fill(words)
    field.press("Enter")


def figure(page: Page, series: str) -> Locator:
    """Return the figure of a series, with its values shown."""
    found = page.locator(f"#figure-{series}")
    found.locator("summary").click()
    return found


def test_a_city_is_found_by_name_pinyin_and_code_and_stays_in_the_address(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "cities")
    for words in ("苏州", "苏州市", "320500", "Suzhou 320500", "suzhou320500"):
        search(page, "Beijing")
        expect(page.locator("#city-name")).to_have_text("Beijing 110000, east")
        search(page, words)
        expect(page.locator("#city-name")).to_have_text("Suzhou 320500, east")
    expect(page).to_have_url(re.compile(r"\?city=320500$"))
    gdp = figure(page, "gdp_100m_cny")
    value = sample_build.value(
        "select gdp_100m_cny from marts.fct_city_year_panel where city_id = '320500' and year = 2020"
    )
    last = gdp.locator("tbody tr", has_text="320500").last
    expect(last).to_contain_text("2020")
    expect(last).to_contain_text(f"{value:.10g}")
    assert reader.complaints == []


def test_a_name_of_two_cities_is_asked_for_and_one_of_none_leaves_no_chart(
    reader: Reader,
    sample_site: Path,
) -> None:
    page = reader.open(sample_site, "cities")
    search(page, "suzhou")
    choices = page.locator("#city-choices button")
    expect(choices).to_have_text(["Suzhou 320500 (Jiangsu)", "Suzhou 341300 (Anhui)"])
    # The charts of the last city would be taken for those of the city that was asked for.
    expect(page.locator("#city-name")).to_have_text("")
    expect(page.locator("figure.chart svg .mark-line")).to_have_count(0)
    choices.last.click()
    expect(page.locator("#city-name")).to_have_text("Suzhou 341300, central")
    expect(page.locator("#city-missing")).to_be_hidden()
    search(page, "Atlantis")
    expect(page.locator("#city-none")).to_be_visible()
    expect(page.locator("#city-several")).to_be_hidden()
    page = reader.open(sample_site, "cities", "#110000")  # as older addresses had it
    expect(page.locator("#city-name")).to_have_text("Beijing 110000, east")
    assert reader.complaints == []


def test_cities_are_compared_in_one_chart_in_either_language_and_leave_with_their_names(
    reader: Reader,
    sample_site: Path,
    sample_build: Build,
) -> None:
    page = reader.open(sample_site, "cities", "?city=440300")
    chart = page.locator("#figure-ai_firm_count")
    legend = chart.locator("svg .role-legend-label text")
    expect(legend).to_have_text(["Shenzhen 440300", "Mean, east", "Mean, country"])
    page.locator("#city").fill("Hangzhou")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#city-name .chosen")).to_have_text(["Shenzhen 440300, east ×", "Hangzhou 330100, east ×"])
    expect(legend).to_have_text(["Shenzhen 440300", "Hangzhou 330100", "Mean, country"])
    expect(page).to_have_url(re.compile(r"\?city=440300,330100$"))
    page.get_by_role("button", name="中文").click()
    expect(legend).to_have_text(["深圳市 440300", "杭州市 330100", "全国均值"])
    expect(page).to_have_url(re.compile(r"\?city=440300,330100&language=zh-CN$"))
    with page.expect_download() as download:
        chart.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "ai_firm_count_440300_330100_sample.csv"
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = {(row["city_id"], int(row["year"])): int(row["value"]) for row in rows if row["who"] == "city"}
    expected = sample_build.rows(
        "select city_id, year, ai_firm_count from marts.fct_city_year_panel where city_id in ('440300', '330100')"
    )
    assert counts == {(city, year): count for city, year, count in expected}
    assert {(row["name_en"], row["name_zh"], row["is_synthetic"]) for row in rows if row["city_id"] == "330100"} == {
        ("Hangzhou 330100", "杭州市 330100", "true")
    }
    page.get_by_role("button", name="移除深圳市 440300").click()
    expect(page.locator("#city-name")).to_have_text("杭州市 330100, 东部")
    # A link opens what it was made of, for a reader of the other language too.
    page = reader.open(sample_site, "cities", "?city=440300,330100&language=en")
    expect(page.locator("#figure-ai_firm_count svg .role-legend-label text").first).to_have_text("Shenzhen 440300")
    assert reader.complaints == []


def test_a_gap_has_its_reason_and_a_value_its_file_and_row(
    reader: Reader,
    public_site: Path,
    public_build: Build,
) -> None:
    page = reader.open(public_site, "cities", "?city=440300")
    gaps = page.locator("#figure-secondary_value_added_100m_cny svg .mark-symbol path[aria-label*='Correction c01']")
    expect(gaps).to_have_count(4)  # c010 to c013 took 2011 to 2014
    gaps.nth(1).click()
    traced = page.locator("#trace-result")
    expect(traced.locator("p").first).to_have_text(
        "Shenzhen 440300, 2012, Secondary value added: missing, Provider biechouwo"
    )
    expect(traced.locator("p.not-estimable")).to_contain_text(
        "Correction c011: the three sectors differ from GDP by more than 2 %"
    )
    (row,) = public_build.rows(
        "select file_path, sheet_name, row_number, delivered_value, delivery_id from marts.fct_delivered_values "
        "where series = 'secondary_value_added_100m_cny' and provider = 'biechouwo' and city_id = '440300' "
        "and year = 2012"
    )
    file, sheet, number, value, sha = row
    shown, correction = traced.locator("table").all()
    assert shown.locator("tbody tr").evaluate_all(CELLS) == [[file, sheet, str(number), f"{value:,.2f}", "", sha[:12]]]
    assert correction.locator("tbody tr").evaluate_all(CELLS)[0][:6] == [
        "c011", "Shenzhen 440300", "Secondary value added", "2012", f"{value:,.2f}", "missing",
    ]  # fmt: skip
    expect(page).to_have_url(re.compile(r"\?city=440300&series=secondary_value_added_100m_cny&year=2012$"))
    listed = page.locator("#city-corrections tbody tr td:first-child").all_inner_texts()
    assert set(listed) == {"c010", "c011", "c012", "c013", "c127", "c128"}
    page.locator("#trace-series").select_option("firm_count")
    page.locator("#trace-year").select_option("2010")
    expect(traced.locator("p.not-estimable")).to_have_text("duhe1123 delivers no city for 2010")
    page.get_by_role("button", name="中文").click()
    expect(traced.locator("p.not-estimable")).to_have_text("duhe1123未交付2010年任何城市的数值")
    # Of a city that was merged the rows are those of both, under the code that was delivered.
    page = reader.open(public_site, "cities", "?city=370100&series=gdp_100m_cny&year=2015&language=en")
    files = page.locator("#trace-result tbody tr td:first-child").all_inner_texts()
    assert len(files) == 2
    assert sum("(371200)" in name for name in files) == 1
    assert reader.complaints == []


def test_the_rows_behind_each_value_add_up_to_it(sample_site: Path, sample_build: Build) -> None:
    """In the sample nothing is corrected, so each value is the sum of the rows and of the rest that are named."""
    values = {
        (city, series, year): value
        for city, series, year, value in sample_build.rows(
            "select city_id, variable, year, value from marts.fct_city_year_values "
            "inner join marts.dim_series on variable = series where scope in ('industry', 'total')"
        )
    }
    reached = 0
    for path in (sample_site / "cities").iterdir():
        words = re.fullmatch(r'cityDelivered\("(\d{6})",(.*)\);\n', path.read_text(encoding="utf-8"))
        assert words is not None, path
        told = json.loads(words[2])
        for series, years in told["cells"].items():
            for year, cell in years.items():
                total = sum(row[3] for row in cell["rows"]) + (cell["more"] or [0, 0])[1]
                assert total == pytest.approx(values[words[1], series, int(year)], rel=1e-9), (path.name, series, year)
                reached += 1
    gaps = [key for key, value in values.items() if value is None]
    assert reached == len(values) - len(gaps)
    assert reached > 60_000


def test_the_map_follows_its_slider_and_names_a_city_under_the_pointer(
    reader: Reader,
    sample_site: Path,
    sample_build: Build,
) -> None:
    page = reader.open(sample_site, "maps")
    drawn = page.locator("#figure-map svg .mark-symbol.role-mark path")
    widths = [drawn.first.bounding_box()["width"]]  # drawn from large to small
    slider = page.get_by_role("slider", name="Year")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
    count = sample_build.value(
        "select measure_count from marts.fct_spatial_distribution "
        "where measure = 'ai_firms' and year = 2010 and city_id = '440300'"
    )
    expect(drawn).to_have_count(367)
    expect(page).to_have_url(re.compile(r"\?year=2010$"))
    drawn.first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    for words in ("Shenzhen", "Guangdong", str(count), "2010"):
        expect(tooltip).to_contain_text(words)
    # One scale for all years: Shenzhen has grown.
    assert drawn.first.bounding_box()["width"] < 0.9 * widths[0]
    player = page.get_by_role("button", name="Play the years")
    player.click()
    expect(page).to_have_url(re.compile(r"\?year=201[2-9]$"))
    player.click()
    expect(player).to_have_attribute("aria-pressed", "false")
    assert reader.complaints == []


def test_a_link_to_a_map_opens_the_quantity_and_the_classes_that_were_chosen(
    reader: Reader,
    sample_site: Path,
    sample_build: Build,
) -> None:
    page = reader.open(
        sample_site, "maps", "?year=2015&measure=ai_patent_grants&shown=m_ai&classes=thirds&language=zh-CN"
    )
    expect(page.locator("#figure-map select[name=shown]")).to_have_value("m_ai")
    expect(page.get_by_role("slider", name="年份")).to_have_value("2015")
    city, m_ai, rate = sample_build.rows(
        "select c.name_zh, m.measure_count, 10000 * d.measure_count / p.firm_count from marts.fct_ai_measure as m "
        "inner join marts.dim_city as c using (city_id) "
        "inner join marts.fct_spatial_distribution as d using (measure, city_id, year) "
        "inner join marts.fct_city_year_panel as p using (city_id, year) where m.measure = 'ai_patent_grants' "
        "and m.weighting = 'fixed_ratio' and m.scope = 'industry' and year = 2015 order by m.measure_count desc limit 1"
    )[0]
    page.locator("#figure-map svg .mark-symbol.role-mark path").first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    for words in (city, f"{m_ai:,.6g}", f"{rate:,.4f}"[:5]):
        expect(tooltip).to_contain_text(words)
    page.locator("#figure-map select[name=classes]").select_option("paper")
    page.locator("#figure-map select[name=shown]").select_option("measure_count")
    legend = page.locator("#figure-map svg .role-legend-label text")
    assert legend.all_text_contents()[:4] == ["0", "1–99", "100–200", "> 200"]
    expect(page).to_have_url(re.compile(r"\?year=2015&measure=ai_patent_grants&language=zh-CN$"))
    # What an address cannot mean is left.
    page = reader.open(sample_site, "maps", "?year=1066&measure=nothing&language=en")
    expect(page.get_by_role("slider", name="Year")).to_have_value("2020")
    assert reader.complaints == []


def test_the_classes_of_the_map_begin_with_the_papers_only_for_the_papers_counts(
    reader: Reader,
    public_site: Path,
    sample_site: Path,
    public_build: Build,
) -> None:
    legend = "#figure-map svg .role-legend-label text"
    page = reader.open(sample_site, "maps")
    assert page.locator(legend).all_text_contents()[:4] == ["0", "1–99", "100–200", "> 200"]
    page = reader.open(public_site, "maps")
    lower, upper = public_build.rows(
        "select quantile_disc(measure_count, [1.0 / 3, 2.0 / 3]) from marts.fct_spatial_distribution "
        "where measure = 'ai_firms' and year = 2020 and measure_count > 0"
    )[0][0]
    assert page.locator(legend).all_text_contents()[:4] == ["0", f"1–{lower}", f"{lower + 1}–{upper}", f"> {upper}"]
    # The sizes of circles are explained too.
    assert set(page.locator(legend).all_text_contents()[4:]) >= {"10,000", "20,000"}
    expect(page.locator("main")).to_contain_text("are other firms, so the map begins with thirds")


def test_the_map_of_clusters_colours_what_differs_from_chance(
    reader: Reader,
    public_site: Path,
    public_build: Build,
) -> None:
    page = reader.open(public_site, "maps", "?cluster_year=2016")
    expect(page.locator("#figure-clusters select[name=cluster_year]")).to_have_value("2016")
    colours = page.locator("#figure-clusters svg .mark-symbol.role-mark path").evaluate_all(
        "all => Object.entries(Object.groupBy(all, one => one.getAttribute('fill'))).map(([fill, some]) => "
        "[fill, some.length])"
    )
    counts = dict(
        public_build.rows(
            "select case when p_value < 0.05 then quadrant else 'NS' end as cluster, count(*) "
            "from estimates.est_local_spatial_autocorrelation where year = 2016 and statistic is not null group by all"
        )
    )
    assert sorted(count for _, count in colours) == sorted(counts.values())
    assert dict(colours)["#a3161a"] == counts["HH"]
    expect(page.locator("#figure-clusters .view")).to_have_attribute("aria-label", re.compile(r"2020: \d+ cities"))
