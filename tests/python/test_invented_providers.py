"""Files of the shape of the public ones, invented and marked, so that a bare clone follows their paths too."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.python import conftest
from tests.python.conftest import Build, built_once
from tests.python.invented_downloads import PATENTS, PRICES, YEARBOOK, patents, prices, yearbook

EMPLOYMENT = ("Sgnyea", "Ctnm_en", "Ctnm_id", "Prvcnm_en", "Eect01", "Eect05", "Eect09", "Eect11")
GDP = ("Sgnyea", "Ctnm_en", "Ctnm_id", "Gdpct01", "GDP_PerCapita", "GDP_PrimInd", "GDP_SecInd", "GDP_TerInd")
AI = ("city_cn", "year", "robot_install", "robot_stock", "province_cn", "city", "company", "region")

# Read on the pages of the repositories that docs/how_to/fetch_what_is_missing.md names; nothing beside them is real.
BEIJING = {
    "制造业从业人员数(万人)": dict(zip(range(2010, 2020), (101, 108, 107, 103, 100, 92, 87, 82, 74, 65), strict=True)),
    "R&D人员(人)": {2017: 397281, 2019: 464178},
    "发明专利授权数(件)": dict(zip(range(2017, 2024), (46091, 46978, 53127, 63266, 79210, 88127, 107875), strict=True)),
    "地区生产总值(万元)": {2010: 141135800},
}
SHANGHAI = {
    "city_apply": {2015: 91684, 2020: 218878},
    "city_grant": {2020: 143055},
    "city_invgrant": {2015: 16680, 2017: 21120, 2019: 23199, 2020: 24708, 2021: 33532, 2022: 37548, 2023: 45249},
}
LINCANG = {"city_apply": {2000: 11}, "city_grant": {2000: 7}, "city_invgrant": {2000: 2}}
PRINTED = "发明专利授权数(件)"
IMPLIED = {year: round(SHANGHAI["city_invgrant"][year] / 1.0205) for year in range(2020, 2024)}
FOR_THE_UNITS = {
    "科学支出(万元)": 20000,
    "当年实际使用外资金额(万美元)": 300,
    "年末金融机构各项贷款余额(万元)": 40000,
    "规模以上工业企业数(个)": 5,
    "科研、技术服务和地质勘查业从业人员数(万人)": 6,
}
READ = [
    ("duhe1123", "110000", "manufacturing_employment_10k", BEIJING["制造业从业人员数(万人)"]),
    ("duhe1123", "110000", "rd_person_count", BEIJING["R&D人员(人)"]),
    ("duhe1123", "110000", "all_invention_grant_count", BEIJING[PRINTED]),
    ("duhe1123", "110000", "gdp_100m_cny", {2010: 14113.58}),
    *(
        ("axcelchan583", code, f"all_{series}_count", counts[name])
        for code, counts in (("310000", SHANGHAI), ("530900", LINCANG))
        for name, series in {
            "city_apply": "patent_application",
            "city_grant": "patent_grant",
            "city_invgrant": "invention_grant",
        }.items()
    ),
]


def by_year(columns: dict[str, dict[int, Any]]) -> dict[int, dict[str, Any]]:
    """Return the cells of each year by heading."""
    years = sorted({year for values in columns.values() for year in values})
    return {year: {name: values[year] for name, values in columns.items() if year in values} for year in years}


def quoted(header: Sequence[str], *rows: Sequence[Any]) -> bytes:
    """Write as the vendor does: a byte order mark, and all cells in quotation marks."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return text.getvalue().encode("utf-8-sig")


def plain(header: Sequence[str], *rows: Sequence[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


@pytest.fixture(scope="session")
def invented(shared: Path, sample_build: Build) -> Build:
    """Return what the marts make of invented files, without gate or estimate."""
    folder = shared / "invented"

    def make(build: Build) -> Build:
        files = {
            "extract_set.yml": b"name: invented\nkind: synthetic\n",
            "city_yearbook/CRE_Eplwagct.csv": quoted(
                EMPLOYMENT,
                (2015, "Shenzhen(city)", 440300, "Guangdong", "300.0000", "400.0000", "60.0000", "390"),
                (2015, "Karamay(city) ", 650200, "Xinjiang", "30.0000", "10.0000", "", ""),
                (2020, "Shenzhen(city)", 440300, "Guangdong", "310.0000", "410.0000", "", "395"),
                (1978, "Shenzhen(city)", 440300, "Guangdong", "1.0000", "", "", ""),
            ),
            "city_yearbook/CRE_Gdpct.csv": quoted(
                GDP,
                (2015, "Shenzhen(city)", 440300, "1000.5", "80000", "500000", "4000000", "5505000"),
                (2015, "Nowhere(city)", 999999, "1", "1", "1", "1", "1"),
            ),
            "ai_firms/ai.csv": plain(
                AI,
                ("深圳市", 2015, 1.5, 7.5, "广东省", 440300, 70, "east"),
                ("深圳市", 2019, 2.5, 9.5, "广东省", 440300, 90, "east"),
                ("北京市", 2015, "NA", "NA", "北京市", 110100, 80, "east"),
                # a declared contradiction, and one that is not
                ("合肥市", 2015, 1.25, 3.5, "安徽省", 340100, 40, "central"),
                ("合肥市", 2015, 2.25, 4.5, "安徽省", 340100, 40, "central"),
                ("长沙市", 2015, 1.25, 3.5, "湖南省", 430100, 50, "central"),
                ("长沙市", 2015, 2.25, 4.5, "湖南省", 430100, 50, "central"),
            ),
            YEARBOOK: yearbook(
                {"年份": year, "省份": province, "城市": city, "省份代码": code, "城市代码": code, **cells}
                for province, city, code, of_years in (
                    ("北京市", "北京市", 110000, by_year(BEIJING)),
                    # what the ratio that was read implies
                    ("上海市", "上海市", 310000, by_year({PRINTED: IMPLIED})),
                    ("广东省", "深圳市", 440300, {2010: FOR_THE_UNITS}),
                )
                for year, cells in of_years.items()
            ),
            PATENTS: patents(
                (province, city, year, code, *(counts[name].get(year) for name in SHANGHAI))
                for province, city, code, counts in (
                    ("上海市", "上海市", "310000", SHANGHAI),
                    ("云南省", "临沧市", "530900", LINCANG),
                )
                for year in sorted({*counts["city_apply"], *counts["city_invgrant"]})
            ),
            PRICES: prices(
                (year, code, name, index)
                for code, name, of_years in (
                    ("110000", "北京市", (100.0, 102.0, 105.0)),
                    ("440000", "广东省", (101.0, 110.0, 90.0)),
                )
                for year, index in zip((2010, 2011, 2012), of_years, strict=True)
            ),
            "ai_firms/全部企业_2015.csv": plain(("城市", "全部企业"), ("深圳市", 60)),
        }
        for name, content in files.items():
            (build.extracts / name).parent.mkdir(parents=True, exist_ok=True)
            (build.extracts / name).write_bytes(content)
        conftest.seed(build, sample_build)
        build.models("fct_deliveries", "dim_series", "fct_rows_set_aside", "fct_corrections", "fct_source_pairs")
        build.exit_code = 0
        return build

    manifest = sample_build.manifest
    return built_once(Build(folder / "extracts", folder / conftest.WAREHOUSE, folder, manifest=manifest), make)


def used(build: Build, provider: str, series: str) -> list[tuple[Any, ...]]:
    return build.rows(
        "select city_id, year, value from intermediate.int_series_corrected where provider = ? and series = ? "
        "and value is not null order by 1, 2",
        provider,
        series,
    )


def test_english_names_do_not_matter_where_there_is_a_code(invented: Build) -> None:
    assert used(invented, "csmar", "unit_employment_10k") == [
        ("440300", 2015, 400.0),
        ("440300", 2020, 410.0),
        ("650200", 2015, 10.0),
    ]
    assert used(invented, "csmar", "secondary_employment_10k") == [("440300", 2015, pytest.approx(240.0))]
    assert used(invented, "csmar", "secondary_value_added_100m_cny") == [("440300", 2015, 400.0)]
    names = "select city_name, set_aside_reason from marts.fct_rows_set_aside where provider = 'csmar' order by 1"
    assert invented.rows(names) == [("Nowhere(city)", "unknown city"), ("Shenzhen(city)", "out of period")]


def test_a_correction_with_a_star_is_of_every_city(invented: Build) -> None:
    assert used(invented, "csmar", "registered_population_10k") == [("440300", 2015, 300.0), ("650200", 2015, 30.0)]
    assert ("440300", 2019, 9.5) not in used(invented, "ciciliujx", "robot_stock_density")
    told = invented.rows(
        "select year, delivered_value, value, reason_zh from marts.fct_corrections where series = 'robot_stock_density'"
    )
    assert told == [(2019, 9.5, None, "2019年起为外推：安装量合计每年等额下降")]


def test_one_file_feeds_two_entities_and_conserves_its_records_in_each(invented: Build) -> None:
    assert invented.rows(
        "select entity, source_name, disposition, row_count from marts.fct_row_accounting "
        "where file_path = 'ai_firms/ai.csv' order by all"
    ) == [
        ("city_yearbook", "robots", "contradicting records", 2),
        ("city_yearbook", "robots", "used", 5),
        ("firm_survival", "ai_firms", "duplicate row", 2),
        ("firm_survival", "ai_firms", "used", 5),
    ]
    # the code of a municipality's districts is the municipality's here
    assert used(invented, "ciciliujx", "ai_firm_count") == [
        ("110000", 2015, 80.0),
        ("340100", 2015, 40.0),
        ("430100", 2015, 50.0),
        ("440300", 2015, 70.0),
        ("440300", 2019, 90.0),
    ]


def test_records_that_contradict_each_other_need_a_declaration(invented: Build) -> None:
    of_hefei = (
        "select delivered_city_id, delivered_value from intermediate.int_series_corrected "
        "where series = 'robot_stock_density' "
    )
    assert invented.rows(of_hefei + "and delivered_city_id in ('340100', '110000') order by 1") == [
        ("110000", None),
        ("340100", None),
    ]
    aside = invented.rows(
        "select row_number, correction_id, correction_reason is not null from marts.fct_rows_set_aside "
        "where set_aside_reason = 'contradicting records' order by 1"
    )
    assert [(row, said) for row, _, said in aside] == [(5, True), (6, True)]
    assert len({correction for _, correction, _ in aside}) == 1
    # what the gate refuses: 长沙, of which no row of corrections.csv says which record is right
    assert invented.rows(
        "select city_id, series, count(*) - 1 from intermediate.int_series_corrected where scope = 'total' "
        "group by provider, series, city_id, year having count(*) > 1 order by 2"
    ) == [("430100", "robot_installation_density", 1), ("430100", "robot_stock_density", 1)]


def test_a_source_says_who_feeds_its_series_and_invented_numbers_are_no_vendors(invented: Build) -> None:
    outcomes = invented.pairs("select source_name, outcome from marts.fct_deliveries")
    assert {name for name, outcome in outcomes.items() if outcome == "outranked"} == {"ai_firms"}
    assert (len(outcomes), {*outcomes.values()}) == (8, {"used", "outranked"})
    assert invented.value("select distinct provenance_class from marts.fct_deliveries") == "generated"
    remedy = invented.value("select remedy from marts.fct_deliveries where outcome = 'outranked'")
    fed = "Other providers feed its series by default: ai_firm_count (lily_han_ui). Its own are series@ciciliujx."
    assert remedy.startswith(fed)


def test_what_can_be_fetched_has_the_units_of_its_series(invented: Build) -> None:
    delivered = "select value from intermediate.int_series_conformed where series = ? and city_id = ? and year = ?"
    for series, city_id, year, value in (
        ("gdp_100m_cny@duhe1123", "110000", 2010, 14113.58),
        ("manufacturing_employment_10k", "110000", 2010, 101.0),
        ("science_spending_100m_cny", "440300", 2010, 2.0),
        ("fdi_1m_usd", "440300", 2010, 3.0),
        ("loans_100m_cny", "440300", 2010, 4.0),
        ("above_scale_firm_count", "440300", 2010, 5.0),
        ("research_employment_10k", "440300", 2010, 6.0),
        ("rd_person_count", "110000", 2017, 397281.0),
        ("all_invention_grant_count@duhe1123", "110000", 2017, 46091.0),
        ("all_patent_application_count", "310000", 2015, 91684.0),
        ("all_invention_grant_count", "310000", 2015, 16680.0),
    ):
        assert invented.value(delivered, series, city_id, year) == pytest.approx(value, rel=1e-12), series


def recorded(build: Build, provider: str, city_code: str, series: str) -> dict[int, float]:
    """Return a series as its loader reads it, years outside the period included."""
    return build.pairs(
        f"select year, {series} from intermediate.int_records_conformed "
        f"where provider = ? and city_code = ? and {series} is not null",
        provider,
        city_code,
    )


def test_every_value_that_was_read_of_an_absent_file_is_what_its_loader_reads(invented: Build) -> None:
    for provider, city_code, series, read in READ:
        assert recorded(invented, provider, city_code, series) == pytest.approx(read, rel=1e-12), series


def test_inventions_granted_in_shanghai_stand_in_the_ratio_that_was_read(invented: Build) -> None:
    panel, printed = (
        recorded(invented, provider, "310000", "all_invention_grant_count") for provider in ("axcelchan583", "duhe1123")
    )
    assert all(1.02 <= panel[year] / printed[year] <= 1.021 for year in range(2020, 2024))
    both = invented.rows(
        "select first_provider, second_provider, count(*) from marts.fct_source_pairs "
        "where series = 'all_invention_grant_count' and city_id = '310000' and year = 2020 "
        "and first_ln is not null and second_ln is not null group by all"
    )
    assert both == [("axcelchan583", "duhe1123", 1)]


def test_patents_of_all_fields_and_persons_of_two_years_stand_for_no_series_of_the_paper(invented: Build) -> None:
    absent = invented.rows(
        "select distinct series from marts.dim_series where not is_delivered and "
        "(series like 'ai_invention%' or series like 'invention%' or series = 'rd_personnel_count') order by 1"
    )
    assert [series for (series,) in absent] == [
        "ai_invention_application_count",
        "ai_invention_grant_count",
        "invention_application_count",
        "invention_grant_count",
        "rd_personnel_count",
    ]


def test_prices_of_a_province_are_those_of_its_cities(invented: Build) -> None:
    levels = invented.rows(
        "select city_id, year, value from intermediate.int_series_conformed "
        "where series = 'consumer_price_level' and city_id in ('110000', '440100', '440300', '310000') order by all"
    )
    guangdong = [(2010, 1.0), (2011, 1.1), (2012, 0.99)]
    expected = [("110000", 2010, 1.0), ("110000", 2011, 1.02), ("110000", 2012, 1.071)]
    expected += [(city_id, *level) for city_id in ("440100", "440300") for level in guangdong]
    assert levels == [(city_id, year, pytest.approx(level, rel=1e-12)) for city_id, year, level in expected]
