"""Browser tests of the city and map pages: search, peers, and tracing a value to its file."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.python.conftest import Build
from tests.python.site_reader import Reader

pytestmark = [pytest.mark.door, pytest.mark.soak]
CELLS = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
LEGEND = "svg .role-legend-label text"


def search(page: Page, words: str) -> None:
    """Type a city's name or code into the search field, and press Enter."""
    field = page.locator("#city")
    field.fill(words)
    field.press("Enter")


def test_hefei_is_found_in_two_clicks_on_the_public_site_in_both_languages(
    reader: Reader, given_away: Path, public_build: Build
) -> None:
    page = reader.open(given_away, "index")
    page.get_by_role("link", name="Cities", exact=True).click()
    page.wait_for_selector("html[data-drawn=all]", state="attached")
    search(page, "hefei")
    name = page.locator("#city-name")
    expect(name).to_have_text("Hefei 340100, Anhui")
    cells = page.locator("#standing tbody tr").evaluate_all(CELLS)
    ((rank, count, peer, peers),) = public_build.rows(
        "select national_rank, city_count, peer_rank, peer_count from reports.rpt_city_standing"
        " where variable = 'firm_count' and city_id = '340100' and year = 2020"
    )
    assert len(cells) == 5
    # A rank up to four is shown exactly, and a larger rank as the range of a quarter of the cities.
    assert count // 4 >= rank > 4 >= peer
    assert cells[2][1:4] == ["2020", f"5–{-(-count // 4)} of {count}", f"{peer} of {peers}"]
    links = page.locator("#city-peers a")
    expect(links).to_have_count(peers - 1)
    shown = page.locator("#series")
    shown.select_option("firm_count")
    lines = page.locator("#figure-city svg .mark-line path")
    expect(lines).to_have_count(1 + 8)
    expect(page.locator(f"#figure-city {LEGEND}")).to_have_text(
        ["This city", "Peers nearest in rank"]
    )
    expect(page.locator("#trace")).to_have_count(0)
    page.get_by_role("button", name="中文").click()
    expect(name).to_have_text("合肥市 340100, 安徽省")
    links.filter(has_text="武汉市").click()
    expect(name).to_have_text("武汉市 420100, 湖北省")
    expect(page).to_have_url(re.compile("city=420100"))
    assert reader.complaints == []


def test_a_city_is_found_by_name_pinyin_and_code_and_stays_in_the_address(
    reader: Reader, sample_site: Path
) -> None:
    page = reader.open(sample_site, "cities")
    name = page.locator("#city-name")
    for words in ("苏州", "苏州市", "320500", "Suzhou (Jiangsu)", "suzhou (jiangsu) 320500"):
        search(page, "Beijing")
        expect(name).to_have_text("Beijing 110000, Beijing")
        search(page, words)
        expect(name).to_have_text("Suzhou (Jiangsu) 320500, Jiangsu")
    expect(page).to_have_url(re.compile(r"\?city=320500$"))
    page.locator("#series").select_option("gdp_100m_cny")
    chart = page.locator("#figure-city")
    expect(chart.locator(LEGEND)).to_have_text(
        ["This city", "Peers nearest in rank", "Median of the peers", "Range of all peers"]
    )
    _, file = reader.downloaded(chart, "CSV")
    assert file == "city_gdp_100m_cny_320500_sample.csv"
    # The search offers choices for an ambiguous name, and shows an error for an unknown name. Both
    # remove the chart, which a reader could take for the requested city.
    search(page, "suzhou")
    choices = page.locator("#city-choices button")
    expect(choices).to_have_text(["Suzhou (Jiangsu) 320500", "Suzhou (Anhui) 341300"])
    expect(name).to_have_text("")
    expect(page.locator("figure.chart svg .mark-line")).to_have_count(0)
    choices.last.click()
    expect(name).to_have_text("Suzhou (Anhui) 341300, Anhui")
    search(page, "Atlantis")
    expect(page.locator("#city-none")).to_be_visible()
    assert reader.complaints == []


def test_the_ranking_names_the_first_city_and_sorts_and_filters(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "cities", "?ranked=gdp&ranked-year=2015")
    ranks = sample_build.rows(
        "select city_id, peer_group, growth_rank from reports.rpt_city_standing "
        "where variable = 'gdp_100m_cny' and year = 2015 order by national_rank, city_id"
    )
    page.select_option("#ranked", "gdp_100m_cny")
    links = page.locator("#ranks tbody tr a")

    def listed() -> list[str]:
        return [text[-6:] for text in links.all_inner_texts()]

    assert listed() == [city for city, _, _ in ranks]
    first = links.first.inner_text().removesuffix(f" {ranks[0][0]}")
    expect(page.locator("#ranked-first")).to_contain_text(f"in 2015 is {first}, rank 1 of")
    page.locator("#ranked-among select").nth(1).select_option("region=west")
    assert listed() == [city for city, group, _ in ranks if "region=west" in group.split(", ")]
    page.locator("#ranked-among select").nth(1).select_option("")
    page.locator("#ranks th button").last.click()
    by_growth = sorted((growth or 10**6, place) for place, (_, _, growth) in enumerate(ranks))
    assert listed() == [ranks[place][0] for _, place in by_growth]
    links.nth(2).click()
    expect(page.locator("#city-name")).to_contain_text(listed()[2])
    assert reader.complaints == []


def test_a_gap_has_its_reason_and_a_value_its_file_and_row(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    address = "?city=440300&series=secondary_value_added_100m_cny"
    page = reader.open(public_site, "cities", address)
    gaps = page.locator("#figure-city svg .mark-symbol path[aria-label*='Correction c01']")
    # Corrections c010 to c013 set the values of 2011 to 2014 to missing.
    expect(gaps).to_have_count(4)
    gaps.nth(1).click()
    traced = page.locator("#trace-result")
    reason = traced.locator("p.not-estimable")
    expect(traced.locator("p").first).to_have_text(
        "Shenzhen 440300, 2012, Secondary value added: missing, Provider biechouwo"
    )
    expect(reason).to_contain_text(
        "Correction c011: the sum of the three sectors differs from GDP by more than 2 %"
    )
    ((file, sheet, number, value, sha),) = public_build.rows(
        "select file_path, sheet_name, row_number, delivered_value, delivery_id "
        "from marts.fct_delivered_values where series = 'secondary_value_added_100m_cny' "
        "and provider = 'biechouwo' and city_id = '440300' and year = 2012"
    )
    shown, correction = (table.locator("tbody tr") for table in traced.locator("table").all())
    row = [file, sheet, str(number), f"{value:,.2f}", "", sha[:12]]
    assert shown.evaluate_all(CELLS) == [row]
    corrected = ["2012", f"{value:,.2f}", "missing"]
    assert correction.evaluate_all(CELLS)[0][3:6] == corrected
    address = r"\?city=440300&series=secondary_value_added_100m_cny&year=2012$"
    expect(page).to_have_url(re.compile(address))
    page.locator("#series").select_option("firm_count")
    page.locator("#trace-year").select_option("2010")
    expect(reason).to_have_text("duhe1123 delivers no value for any city in 2010.")
    # Traced rows show the city code that was delivered: a merged city has rows of both former
    # cities, and a correction reassigned a row of Jiamusi (230800) for 2011.
    for city, year, codes in (("370100", 2015, ["", "371200"]), ("230900", 2011, ["230800"])):
        address = f"?city={city}&series=gdp_100m_cny&year={year}&language=en"
        page = reader.open(public_site, "cities", address)
        files = page.locator("#trace-result table").first.locator("tbody tr td:first-child")
        found = [re.findall(r"\((\d{6})\)", name) for name in files.all_inner_texts()]
        assert sorted("".join(code) for code in found) == codes
    assert reader.complaints == []


def test_the_map_follows_its_slider_and_names_a_city_under_the_pointer(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "maps")
    drawn = page.locator("#figure-map svg .mark-symbol.role-mark path")
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
    player = page.get_by_role("button", name="Play the years")
    player.click()
    expect(page).to_have_url(re.compile(r"\?year=201[2-9]$"))
    player.click()
    expect(player).to_have_attribute("aria-pressed", "false")
    assert reader.complaints == []


def test_a_link_to_a_map_opens_the_quantity_and_the_classes_that_were_chosen(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    address = "?year=2015&measure=ai_patent_grants&shown=m_ai&classes=thirds&language=zh-CN"
    page = reader.open(sample_site, "maps", address)
    shown = page.locator("#figure-map select[name=shown]")
    expect(shown).to_have_value("m_ai")
    expect(page.get_by_role("slider", name="年份")).to_have_value("2015")
    city, m_ai, rate = sample_build.rows(
        "select c.name_zh, m.measure_count, 10000 * d.measure_count / p.firm_count "
        "from marts.fct_ai_measure as m inner join marts.dim_city as c using (city_id) "
        "inner join marts.fct_spatial_distribution as d using (measure, city_id, year) "
        "inner join marts.fct_city_year_panel as p using (city_id, year) "
        "where m.measure = 'ai_patent_grants' and m.weighting = 'fixed_ratio' "
        "and m.scope = 'industry' and year = 2015 order by m.measure_count desc limit 1"
    )[0]
    page.locator("#figure-map svg .mark-symbol.role-mark path").first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    for words in (city, f"{m_ai:,.6g}", f"{rate:,.4f}"[:5]):
        expect(tooltip).to_contain_text(words)
    page.locator("#figure-map select[name=classes]").select_option("paper")
    shown.select_option("measure_count")
    legend = page.locator(f"#figure-map {LEGEND}")
    expect(legend.nth(1)).to_have_text("1–99")
    address = r"\?year=2015&measure=ai_patent_grants&language=zh-CN$"
    expect(page).to_have_url(re.compile(address))
    # The page ignores invalid query parameters and falls back to the defaults.
    page = reader.open(sample_site, "maps", "?year=1066&measure=nothing&language=en")
    expect(page.get_by_role("slider", name="Year")).to_have_value("2020")
