"""Test the loaders of the public data providers on invented files with the same layout."""

import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.python import conftest, models
from tests.python.conftest import PROJECT, Build, built_once

with (PROJECT / "tests/fixtures/read_values.csv").open(encoding="utf-8", newline="") as file:
    READ = [*csv.DictReader(file)]
"""Headings from the repositories in docs/how_to/fetch_what_is_missing.md, with invented values.

The values of Shenzhen test the units.
"""


@pytest.fixture(scope="session")
def invented(shared: Path, sample_build: Build) -> Build:
    """Build the marts from invented provider files, without the gate and the estimates."""
    folder = shared / "invented"
    manifest = folder / "manifest.json"

    def make(build: Build) -> Build:
        # The files contain deliberate errors, and a failing data test would skip all downstream
        # models.
        nodes = models.nodes_of(sample_build.manifest or Path()).items()
        untested = {name: node for name, node in nodes if node["resource_type"] != "test"}
        manifest.write_text(json.dumps({"nodes": untested}), encoding="utf-8")
        shutil.copytree(PROJECT / "tests/fixtures/invented_files", build.extracts)
        # Restore the providers' Chinese file names, because replication packages only allow
        # portable names.
        for portable, name in (
            ("ai_firms/all_firms_2015.csv", "全部企业_2015.csv"),
            ("city_yearbook/city_budgets.csv", "合并后的城市经济与企业数据.csv"),
        ):
            path = build.extracts / portable
            path.rename(path.with_name(name))
        conftest.seed(build, sample_build)
        build.models(
            "fct_deliveries",
            "dim_series",
            "fct_rows_set_aside",
            "fct_corrections",
            "fct_source_pairs",
        )
        build.exit_code = 0
        return build

    return built_once(
        Build(folder / "extracts", folder / conftest.WAREHOUSE, folder, manifest=manifest), make
    )


def used(build: Build, provider: str, series: str) -> list[tuple[Any, ...]]:
    return build.rows(
        "select city_id, year, value from intermediate.int_series_corrected where provider = ? and"
        " series = ? and value is not null order by 1, 2",
        provider,
        series,
    )


def test_english_names_do_not_matter_where_there_is_a_code(invented: Build) -> None:
    assert used(invented, "csmar", "unit_employment_10k") == [
        ("440300", 2015, 400.0),
        ("440300", 2020, 410.0),
        ("650200", 2015, 10.0),
    ]
    assert used(invented, "csmar", "secondary_employment_10k") == [
        ("440300", 2015, pytest.approx(240.0))
    ]
    assert used(invented, "csmar", "secondary_value_added_100m_cny") == [("440300", 2015, 400.0)]
    names = (
        "select city_name, set_aside_reason from marts.fct_rows_set_aside where provider = 'csmar'"
        " order by 1"
    )
    assert invented.rows(names) == [
        ("Nowhere(city)", "unknown city"),
        ("Shenzhen(city)", "out of period"),
    ]


def test_a_correction_with_a_star_is_of_every_city(invented: Build) -> None:
    assert used(invented, "csmar", "registered_population_10k") == [
        ("440300", 2015, 300.0),
        ("650200", 2015, 30.0),
    ]
    assert ("440300", 2019, 9.5) not in used(invented, "ciciliujx", "robot_stock_density")
    told = invented.rows(
        "select year, delivered_value, value, reason_zh from marts.fct_corrections where series ="
        " 'robot_stock_density'"
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
    # The provider uses the municipality's code for its districts, so 北京 has the code 110000.
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
        "select row_number, correction_id, correction_reason is not null from"
        " marts.fct_rows_set_aside where set_aside_reason = 'contradicting records' order by 1"
    )
    assert [(row, said) for row, _, said in aside] == [(5, True), (6, True)]
    assert len({correction for _, correction, _ in aside}) == 1
    # The records of 长沙 (430100) contradict each other, and corrections.csv chooses neither
    # of them, so the gate rejects both.
    assert invented.rows(
        "select city_id, series, count(*) - 1 from intermediate.int_series_corrected where scope ="
        " 'total' group by provider, series, city_id, year having count(*) > 1 order by 2"
    ) == [("430100", "robot_installation_density", 1), ("430100", "robot_stock_density", 1)]


def test_a_source_says_who_feeds_its_series_and_invented_numbers_are_no_vendors(
    invented: Build,
) -> None:
    outcomes = invented.pairs("select source_name, outcome from marts.fct_deliveries")
    assert {name for name, outcome in outcomes.items() if outcome == "outranked"} == {"ai_firms"}
    assert (len(outcomes), {*outcomes.values()}) == (10, {"used", "outranked"})
    assert (
        invented.value("select distinct provenance_class from marts.fct_deliveries") == "generated"
    )
    remedy = invented.value("select remedy from marts.fct_deliveries where outcome = 'outranked'")
    fed = (
        "Other providers feed its series by default: ai_firm_count (lily_han_ui). Its own are"
        " series@ciciliujx."
    )
    assert remedy.startswith(fed)


def test_what_can_be_fetched_has_the_units_of_its_series(invented: Build) -> None:
    delivered = (
        "select value from intermediate.int_series_conformed where series = ? and city_id = ? and"
        " year = ?"
    )
    for series, city_id, year, value in (
        ("science_spending_100m_cny", "440300", 2010, 2.0),
        ("fdi_1m_usd", "440300", 2010, 3.0),
        ("loans_100m_cny", "440300", 2010, 4.0),
        ("above_scale_firm_count", "440300", 2010, 5.0),
        ("research_employment_10k", "440300", 2010, 6.0),
        ("gdp_100m_cny@lily_han_ui", "440300", 2015, 17000.5),
        ("science_spending_100m_cny@lily_han_ui", "440300", 2015, 3.0),
        ("education_spending_100m_cny", "440300", 2015, 20.0),
    ):
        assert invented.value(delivered, series, city_id, year) == pytest.approx(
            value, rel=1e-12
        ), series


def recorded(build: Build, provider: str, city_code: str, series: str) -> dict[int, float]:
    """Return a provider's values of a series by year, including years outside the study period."""
    return build.pairs(
        f"select year, {series} from intermediate.int_records_conformed "
        f"where provider = ? and city_code = ? and {series} is not null",
        provider,
        city_code,
    )


def test_every_value_that_was_read_of_an_absent_file_is_what_its_loader_reads(
    invented: Build,
) -> None:
    for (provider, city_code, series), cells in itertools.groupby(
        READ, key=lambda cell: (cell["provider"], cell["city_code"], cell["series"])
    ):
        if series:
            read = {int(cell["year"]): float(cell["recorded"]) for cell in cells}
            assert recorded(invented, provider, city_code, series) == pytest.approx(
                read, rel=1e-12
            ), series


def test_inventions_in_computing_substitute_for_ai_inventions_and_say_so(invented: Build) -> None:
    names = ("invention_application_count", "ai_invention_application_count")
    values = (
        "select value from intermediate.int_series_conformed where series = ? and scope ="
        " 'industry' and city_id = '440300' and year = 2015"
    )
    assert [invented.value(values, name) for name in names] == [500, 125]
    said = (
        "select substitution, substitution_zh, label_en from marts.dim_series where series = ? and"
        " scope = 'industry'"
    )
    assert [invented.rows(said, name) for name in names] == [
        [
            (
                "inventions of all industries substitute for sections B-E",
                "以全行业发明专利替代B—E门类",
                "Invention applications of all industries",
            )
        ],
        [
            (
                "computing inventions of all industries substitute for AI inventions of sections"
                " B-E",
                "以全行业计算类发明专利替代B—E门类人工智能发明专利",
                "Computing inventions of all industries applied for",
            )
        ],
    ]
    # The row for other technology fields appears in the row accounting but feeds no series.
    accounted = (
        "select disposition, row_count from marts.fct_row_accounting"
        " where file_path like 'patents/overall_tech%' order by all"
    )
    assert invented.rows(accounted) == [("in no series", 1), ("used", 1)]


def test_the_page_names_every_series_that_a_printed_column_waits_for_but_grants(
    invented: Build, public_build: Build
) -> None:
    waited_for = public_build.rows(
        "select distinct quantity, scope from marts.dim_specification_series inner join"
        " reports.rpt_column_specifications using (specification_id)"
        " where table_id like 'table%' and not is_delivered"
    )
    delivered = invented.rows("select series, scope from marts.dim_series where is_delivered")
    assert {*waited_for} - {*delivered} == {
        ("invention_grant_count", "industry"),
        ("ai_invention_grant_count", "industry"),
    }


def test_prices_of_a_province_are_those_of_its_cities(invented: Build) -> None:
    levels = invented.rows(
        "select city_id, year, value from intermediate.int_series_conformed where series ="
        " 'consumer_price_level' and city_id in ('110000', '440100', '440300', '310000') order"
        " by all"
    )
    guangdong = [(2010, 1.0), (2011, 1.1), (2012, 0.99)]
    expected = [("110000", 2010, 1.0), ("110000", 2011, 1.02), ("110000", 2012, 1.071)]
    expected += [(city_id, *level) for city_id in ("440100", "440300") for level in guangdong]
    assert levels == [
        (city_id, year, pytest.approx(level, rel=1e-12)) for city_id, year, level in expected
    ]
