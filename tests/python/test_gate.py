"""Each critical failure, made for real: a delivery is broken, built into a good warehouse, and leaves no estimate."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import duckdb
import pandas as pd
import pytest
from great_expectations.core import ExpectationValidationResult

from ai_manufacturing.gate import suites, validation
from ai_manufacturing.site import quality
from ai_manufacturing.site.release import Release
from tests.python.conftest import PROJECT, Build
from tests.python.test_how_to import copy_of_the_project

SHENZHEN, BEIJING, CHANGSHA = "440300", "110000", "430100"
GDP, CITY, YEAR, AI_FIRMS = "地区生产总值(亿元)", "城市代码", "年份", "人工智能企业存续数"

Row = dict[str, str]


def edit(path: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Rewrite a delivered CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows, header = list(reader), list(reader.fieldnames or [])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))


def yearbook(build: Build, year: int) -> Path:
    return build.extracts / f"city_yearbook/城市统计年鉴_{year}.csv"


def firm_survival(build: Build, year: int) -> Path:
    return build.extracts / f"firm_survival/企业存续_{year}.csv"


def set_value(column: str, city: str, change: Callable[[Row], str]) -> Callable[[list[Row]], list[Row]]:
    """Change one column in the first row of a city."""

    def changed(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row[CITY] == city)
        row[column] = change(row)
        return rows

    return changed


def one_more(column: str) -> Callable[[Row], str]:
    return lambda row: str(int(row[column]) + 1)


def duplicate_city_year(build: Build) -> None:
    def copied(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row[CITY] == CHANGSHA)
        return [*rows, {**row, GDP: str(float(row[GDP]) + 1)}]

    edit(yearbook(build, 2015), copied)


def missing_year(build: Build) -> None:
    yearbook(build, 2014).unlink()


def unit_slip_of_a_year(build: Build) -> None:
    edit(yearbook(build, 2016), lambda rows: [{**row, GDP: f"{float(row[GDP]) * 10000:.2f}"} for row in rows])


def unit_slip_of_a_cell(build: Build) -> None:
    edit(yearbook(build, 2016), set_value(GDP, CHANGSHA, lambda row: f"{float(row[GDP]) * 10:.2f}"))


def ai_firms_above_all_firms(build: Build) -> None:
    # One cell, where the city as a whole still has fewer AI firms than firms.
    edit(firm_survival(build, 2020), set_value(AI_FIRMS, SHENZHEN, one_more("企业存续数")))


def share_above_one(build: Build) -> None:
    more = one_more("企业存续数")
    edit(
        firm_survival(build, 2020),
        lambda rows: [{**row, AI_FIRMS: more(row)} if row[CITY] == SHENZHEN else row for row in rows],
    )


def without(city: str) -> Callable[[Build], None]:
    def removed(build: Build) -> None:
        for year in range(2010, 2021):
            edit(yearbook(build, year), lambda rows: [row for row in rows if row[CITY] != city])

    return removed


def stock_and_flow_apart(build: Build) -> None:
    edit(firm_survival(build, 2015), set_value("企业新设数", CHANGSHA, one_more("企业新设数")))


def ai_stock_and_flow_apart(build: Build) -> None:
    edit(firm_survival(build, 2015), set_value("人工智能企业注销数", SHENZHEN, one_more("人工智能企业注销数")))


def coverage_falls(build: Build) -> None:
    def emptied(rows: list[Row]) -> list[Row]:
        return [
            {**row, "单位从业人员(万人)": ""} if n % 8 == 0 and row[CITY] != SHENZHEN else row
            for n, row in enumerate(rows)
        ]

    edit(yearbook(build, 2018), emptied)


def unreadable_share(build: Build) -> None:
    def spoiled(rows: list[Row]) -> list[Row]:
        return [{**row, "教育支出(亿元)": "x"} if n % 5 == 4 else row for n, row in enumerate(rows)]

    edit(yearbook(build, 2019), spoiled)


def patents(build: Build, year: int) -> Path:
    return build.extracts / f"patents/专利_{year}.csv"


def patents_cut_off(build: Build) -> None:
    lines = patents(build, 2015).read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if line.startswith("500000,"))
    patents(build, 2015).write_text("".join(lines[: last + 1]), encoding="utf-8")


def ai_patents_above_all_patents(build: Build) -> None:
    edit(patents(build, 2017), set_value("人工智能专利申请数", SHENZHEN, one_more("专利申请数")))


def patents_in_tens(build: Build) -> None:
    counts = ("专利申请数", "专利授权数", "人工智能专利申请数", "人工智能专利授权数")
    edit(patents(build, 2018), lambda rows: [{**row, **{name: row[name] + "0" for name in counts}} for row in rows])


def leading_zero_lost(build: Build) -> None:
    edit(firm_survival(build, 2013), lambda rows: [{**row, "行业代码": row["行业代码"].lstrip("0")} for row in rows])


def one_field_too_many(build: Build) -> None:
    lines = patents(build, 2016).read_text(encoding="utf-8").splitlines()
    patents(build, 2016).write_text("\n".join([*lines[:500], lines[500] + ",1", *lines[501:]]), encoding="utf-8")


def city_with_the_name_of_its_province(build: Build) -> None:
    edit(
        firm_survival(build, 2017),
        lambda rows: [
            {**row, CITY: "", "城市名称": "吉林"} if (row[CITY], row["行业代码"]) == ("220200", "13") else row
            for row in rows
        ],
    )


def merged_city_cells(build: Build) -> None:
    """As a workbook with merged cells gives them: a city's code and name stand in its first row only."""

    def merged(rows: list[Row]) -> list[Row]:
        seen: set[str] = set()
        for row in rows:
            city = row[CITY]
            if city in seen:
                row |= {CITY: "", "城市名称": ""}
            seen.add(city)
        return rows

    edit(patents(build, 2018), merged)


def year_out_of_reach(build: Build) -> None:
    edit(firm_survival(build, 2019), set_value(YEAR, CHANGSHA, lambda row: "2109"))


def district_in_brackets(build: Build) -> None:
    def renamed(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row[CITY] == "330100")
        row |= {CITY: "", "城市名称": "杭州市(萧山区)"}
        return rows

    edit(patents(build, 2012), renamed)


def broken_year_of_a_yearbook(build: Build) -> None:
    edit(
        yearbook(build, 2013),
        lambda rows: [{**row, CITY: "", "城市名称": f"城市{n}"} if n % 5 < 3 else row for n, row in enumerate(rows)],
    )


def city_beside_its_county(build: Build) -> None:
    edit(
        patents(build, 2014),
        lambda rows: [*rows, {**next(row for row in rows if row[CITY] == CHANGSHA), CITY: "430102"}],
    )


def negative_control(build: Build) -> None:
    edit(yearbook(build, 2014), set_value("R&D人员(人)", CHANGSHA, lambda row: "-" + row["R&D人员(人)"]))


# Faults in different cities and series, so that each is found on its own; a build costs ten seconds.
BROKEN = {
    "a duplicate city-year, a unit slip of a cell, a stock and flow apart; patents cut off, patents in tens, industry "
    "codes without their zero, a field too many, a negative control": [
        (duplicate_city_year, "city_yearbook", {"city_id": CHANGSHA, "year": 2015}),
        (unit_slip_of_a_cell, "panel_consistency", {"city_id": CHANGSHA, "year": 2016}),
        (stock_and_flow_apart, "firm_survival", {"city_id": CHANGSHA, "year": 2015}),
        (patents_cut_off, "series_years", {"series": "ai_invention_application_count", "year": 2015}),
        (patents_in_tens, "series_years", {"series": "invention_application_count", "year": 2018}),
        (leading_zero_lost, "landed_sources", {"source_name": "firm_survival"}),
        (one_field_too_many, "landed_sources", {"source_name": "patents", "lost_count_records": 1.0}),
        (negative_control, "series_years", {"series": "rd_personnel_count", "year": 2014}),
    ],
    "a missing year, a share above 1, an AI stock and flow apart; merged cells, a year out of reach, a district in "
    "brackets, a broken year, a city beside its county": [
        (missing_year, "series_years", {"series": "gdp_100m_cny", "year": 2014, "city_count": 0}),
        (share_above_one, "city_year_panel", {"city_id": SHENZHEN, "year": 2020}),
        (merged_city_cells, "landed_sources", {"file_path": "patents/专利_2018.csv", "lost_count_records": 16613.0}),
        (
            year_out_of_reach,
            "landed_sources",
            {"file_path": "firm_survival/企业存续_2019.csv", "lost_count_records": 1.0},
        ),
        (district_in_brackets, "landed_sources", {"year_of_lost_cities": "2012", "lost_count_records": 1.0}),
        (broken_year_of_a_yearbook, "landed_sources", {"year_of_lost_cities": "2013", "unknown_city_share": 0.6}),
        (city_beside_its_county, "patents", {"city_id": CHANGSHA, "year": 2014, "duplicate_record_count": 1.0}),
        (ai_stock_and_flow_apart, "firm_survival", {"city_id": SHENZHEN, "year": 2015}),
    ],
    "a unit slip of a year, AI firms above all firms, a fall of coverage; Shenzhen and a municipality absent, a source "
    "that cannot be read, a city with the name of its province": [
        (unit_slip_of_a_year, "series_years", {"series": "gdp_100m_cny", "year": 2016}),
        (ai_firms_above_all_firms, "firm_survival", {"city_id": SHENZHEN, "year": 2020}),
        (coverage_falls, "series_years", {"series": "unit_employment_10k", "year": 2018}),
        (without(SHENZHEN), "headline_samples", {"city_id": SHENZHEN, "missing_year_count": 11}),
        (without(BEIJING), "headline_samples", {"city_id": BEIJING, "missing_year_count": 11}),
        (unreadable_share, "landed_sources", {"source_name": "city_yearbook"}),
        (
            city_with_the_name_of_its_province,
            "landed_sources",
            {"source_name": "firm_survival", "lost_count_records": 1.0},
        ),
    ],
}


# One build of them with each test run, the others with the long ones.
@pytest.mark.parametrize(
    "name", [name if place == 0 else pytest.param(name, marks=pytest.mark.soak) for place, name in enumerate(BROKEN)]
)
def test_a_broken_delivery_stops_before_the_estimates(name: str, delivery: Build) -> None:
    assert {"est_coefficients", "estimation_samples"} <= delivery.tables("estimates")
    for breakage, _, _ in BROKEN[name]:
        breakage(delivery)

    delivery.dbt("build")

    assert delivery.exit_code != 0
    assert delivery.tables("estimates") == set()
    assert delivery.tables("reports") == set()
    for _, suite, row in BROKEN[name]:
        failed = delivery.rows(
            "select failing_rows from gates.gate_results where suite = ? and severity = 'critical' and not success",
            suite,
        )
        failing_rows = [found for (sampled,) in failed for found in json.loads(sampled)]
        assert any(row.items() <= found.items() for found in failing_rows), (suite, failing_rows)
        assert f"gate critical: {suite}: " in delivery.output
    said = [line for line in delivery.output.splitlines() if "gate critical: " in line]
    assert not [line for line in said if "[{" in line]
    if merged_city_cells in [breakage for breakage, _, _ in BROKEN[name]]:
        assert any("lost_count_records 16613, provider vendor, source_name patents" in line for line in said), said


@pytest.mark.soak
def test_no_selection_walks_around_the_gate_and_the_next_good_delivery_brings_the_estimates_back(
    delivery: Build, sample_build: Build
) -> None:
    unit_slip_of_a_year(delivery)
    assert delivery.dbt("run", "--select", "+fct_city_year_panel").exit_code == 0
    delivery.dbt("run", "--select", "est_coefficients")
    assert "no gate has judged all of their inputs. Nothing was changed." in delivery.output
    assert "est_coefficients" not in delivery.tables("estimates")
    delivery.dbt("run", "--select", "gates+")
    assert "no gate has judged all of their inputs. Nothing was changed." in delivery.output

    delivery.dbt("run")
    assert delivery.exit_code != 0
    assert "The gate holds these estimates back" in delivery.output
    assert delivery.tables("estimates") == set()

    delivery.dbt("run", "--select", "est_coefficients+")
    assert delivery.exit_code != 0
    assert delivery.tables("estimates") == set()

    delivery.extracts = sample_build.extracts
    delivery.dbt("build", "--select", "+rpt_coefficients", "--indirect-selection", "cautious")
    assert delivery.exit_code == 0, delivery.output

    table_1 = "select * exclude (statistic) from reports.rpt_coefficients order by specification_id, term"
    assert delivery.rows(table_1) == sample_build.rows(table_1)


@pytest.mark.parametrize("extracts", ["sample_build", "public_build"])
def test_a_slip_of_units_leaves_the_bounds_of_a_series_in_every_year(
    extracts: str, request: pytest.FixtureRequest
) -> None:
    build: Build = request.getfixturevalue(extracts)
    found = build.rows(
        "select series, year, median_value from intermediate.int_series_years inner join seeds.series using (series) "
        "cross join (select unnest([10, 100, 1000, 10000, 0.1, 0.01, 0.001, 0.0001]) as slip) "
        "where median_value * slip between median_min and median_max"
    )
    assert found == []
    # of these, a zero at the end of every number tells; of those whose unit nobody states, nothing can
    without = "select distinct unit from seeds.series where median_min is null and unit not like '%not stated'"
    counts, not_measured = {"firms", "patents"}, {"persons", "10 thousand persons"}  # of files that wait
    assert {unit for (unit,) in build.rows(without)} == counts | not_measured


@pytest.mark.parametrize(
    ("test", "harm"),
    [
        (
            "singular/every_correction_is_used.sql",
            "insert into seeds.corrections (correction_id, provider, source_name, city_id, year, series, action) "
            "values ('unused', 'vendor', 'firm_survival', '440300', '2019', 'no_such_series', 'set_missing')",
        ),
        (
            "singular/every_correction_is_used.sql",
            "insert into seeds.corrections (correction_id, provider, source_name, city_id, year, series, action) "
            "values ('unused', 'vendor', 'no_such_source', '440300', '2019', '*', 'set_missing')",
        ),
        (
            "singular/every_delivered_record_is_accounted_for.sql",
            "update marts.fct_row_accounting set row_count = row_count - 1 where delivery_number = 1",
        ),
    ],
)
def test_a_test_of_the_warehouse_finds_what_it_is_for(
    test: str, harm: str, sample_build: Build, tmp_path: Path
) -> None:
    sql = (sample_build.scratch / "target/compiled/ai_manufacturing/tests" / test).read_text(encoding="utf-8")
    with duckdb.connect(str(shutil.copy(sample_build.warehouse, tmp_path))) as connection:
        assert connection.execute(sql).fetchall() == []
        connection.execute(harm)
        assert len(connection.execute(sql).fetchall()) == 1


def test_every_expectation_of_the_good_sample_holds(sample_build: Build) -> None:
    assert sample_build.rows("select suite, description from gates.gate_results where not success") == []
    assert sample_build.value("select count(*) from gates.gate_results where severity = 'critical'") > 20


PANEL = "city_year_panel"
GDP_SERIES, PRIMARY_SERIES = "gdp_100m_cny", "primary_value_added_100m_cny"
# One that fails of each family, with what SQL says was observed and how many rows were checked and failed.
FAMILIES = {
    "row": (
        "expect_column_values_to_be_between",
        {"column": GDP_SERIES, "max_value": 1000},
        f"select null, count({GDP_SERIES}), count(case when {GDP_SERIES} > 1000 then 1 end) from panel",
    ),
    "mean": (
        "expect_column_mean_to_be_between",
        {"column": GDP_SERIES, "max_value": 1},
        f"select avg({GDP_SERIES}), null, null from panel",
    ),
    "table": ("expect_table_row_count_to_equal", {"value": 1}, "select count(*), null, null from panel"),
    "pair": (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": PRIMARY_SERIES, "column_B": GDP_SERIES, "ignore_row_if": "either_value_is_missing"},
        f"select null, count({PRIMARY_SERIES} + {GDP_SERIES}), "
        f"count(case when {PRIMARY_SERIES} <= {GDP_SERIES} then 1 end) from panel",
    ),
    "multi-column": (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["province_id", "year"]},
        "select null, sum(c), sum(case when c > 1 then c end) "
        "from (select count(*) as c from panel group by province_id, year)",
    ),
}


def test_a_failing_expectation_of_each_family_warns_or_holds_through_a_build(delivery: Build, tmp_path: Path) -> None:
    delivery.project = copy_of_the_project(tmp_path / "project")
    path = delivery.project / f"expectations/{PANEL}.json"
    declared = json.loads(path.read_text(encoding="utf-8"))

    def add(*severities: str, **changed: str) -> None:
        added = [
            {
                "type": expectation,
                "kwargs": arguments,
                "severity": severity,
                "description": f"{severity} {family}.",
                "meta": {"series": [GDP_SERIES], "zh": f"{severity} {family}。"},
            }
            | changed
            for severity in severities
            for family, (expectation, arguments, _) in FAMILIES.items()
        ]
        expectations = declared["expectations"] + added
        path.write_text(json.dumps(declared | {"expectations": expectations}, indent=1), encoding="utf-8")

    add("critical", "warning")
    delivery.dbt("build")
    assert delivery.exit_code != 0
    assert delivery.tables("estimates") == delivery.tables("reports") == set()
    assert "Got 5 results, configured to fail if != 0" in delivery.output
    for severity in ("critical", "warning"):
        for family, (_, _, oracle) in FAMILIES.items():
            description = f"{severity} {family}."
            ((success, observed, checked, failing, rows, series),) = delivery.rows(
                "select success, observed_value, checked_count, failing_row_count, failing_rows, series "
                "from gates.gate_results where description = ? and severity = ?",
                description,
                severity,
            )
            ((value, checked_count, failing_count),) = delivery.rows(
                f"with panel as (from marts.fct_city_year_panel) {oracle}"
            )
            assert (success, series, checked, failing) == (False, GDP_SERIES, checked_count, failing_count), family
            if value is None:
                assert len(json.loads(rows)) == failing > 100
                assert {"city_id", "year"} <= json.loads(rows)[0].keys()
            else:
                assert json.loads(observed) == pytest.approx(value, rel=1e-12)
                assert rows is None
                assert f"gate {severity}: {PANEL}: {description} Observed: {observed}." in delivery.output
            assert f"gate {severity}: {PANEL}: {description}" in delivery.output

    add("warning")
    delivery.dbt("build", "--select", "gate_results", "est_coefficients")
    assert delivery.exit_code == 0, delivery.output
    ((warnings, chinese),) = delivery.rows(
        "select warnings, warnings_zh from estimates.est_coefficients "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms' and status = 'estimated'"
    )
    for family in ("mean", "table"):
        assert f"{GDP_SERIES} as a whole breaks: warning {family}." in warnings
        assert f"{GDP_SERIES}整体未通过检验：warning {family}。" in chinese
    for family in ("row", "pair", "multi-column"):
        assert f"that break: warning {family}." in warnings

    add("warning", type="expect_column_means_to_be_between")
    delivery.dbt("build", "--select", "gate_results")
    assert delivery.exit_code != 0
    line = 1 + path.read_text(encoding="utf-8").splitlines().index('   "type": "expect_column_means_to_be_between",')
    assert (
        f"expectations/{PANEL}.json, line {line}: Great Expectations has no expectation "
        "'expect_column_means_to_be_between'. Did you mean 'expect_column_mean_to_be_between'?"
    ) in " ".join(delivery.output.split())


def test_expectations_about_cities_and_years_name_series_that_there_are() -> None:
    with (PROJECT / "seeds/series.csv").open(encoding="utf-8") as file:
        series = {row["series"] for row in csv.DictReader(file)}
    named = {
        path.stem: {name for expectation in suites.read(path.stem) for name in expectation["meta"].get("series", ())}
        for path in (PROJECT / "expectations").glob("*.json")
    }
    assert set().union(*named.values()) <= series
    assert all(named[suite] for suite in ("panel_consistency", "city_year_panel", "firm_survival", "patents"))


@pytest.fixture
def odd_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that writes the suite `odd` of a project of its own."""
    (tmp_path / "expectations").mkdir()
    (tmp_path / "models").symlink_to(PROJECT / "models")  # has the columns of gate_results
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("EXTRACTS_DIR", str(tmp_path))

    def write(expectations: str) -> None:
        text = f'{{"name": "odd", "expectations": [\n{expectations}\n]}}\n'
        (tmp_path / "expectations/odd.json").write_text(text, encoding="utf-8")

    return write


MEAN = {
    "type": "expect_column_mean_to_be_between",
    "kwargs": {"column": "x", "max_value": 1},
    "severity": "warning",
    "description": "d",
    "meta": {"series": ["s"], "zh": "述"},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"type": "expect_column_means_to_be_between"},
            r"has no expectation 'expect_column_means_to_be_between'\. Did "
            r"you mean 'expect_column_mean_to_be_between'\?",
        ),
        ({"type": "expect_multicolumn_values_to_be_unique"}, "has no expectation 'expect_multicolumn_values_to_be_uni"),
        ({"kwargs": {"column": "x", "max_valu": 1}}, r"has no argument 'max_valu'\. Did you mean 'max_value'\?"),
        ({"kwargs": {"max_value": 1}}, r"expect_column_mean_to_be_between needs the argument 'column'\."),
        ({"kwargs": {"column": "x", "max_value": "high"}}, "argument 'max_value': 'high': value is not a valid float"),
        ({"severity": "info"}, "severity 'info' is neither critical nor warning"),
        ({"severity": None}, "`severity` must be a text"),
        ({"series": ["s"]}, "does not know 'series'; what the project adds stands under `meta`"),
        ({"meta": {"zh": "述"}}, "`meta.series` is missing"),
        ({"meta": {"series": ["s"]}}, "`meta.zh`, the description in Chinese, is missing"),
    ],
)
def test_a_fault_of_a_suite_is_named_by_its_line(
    changed: dict[str, object], message: str, odd_suite: Callable[[str], None]
) -> None:
    first = json.dumps(MEAN | {"description": "first"}, indent=1)
    odd_suite(f"{first},\n\n{json.dumps(MEAN | changed)}")
    line = 2 + len(first.splitlines()) + 1
    with pytest.raises(suites.SuiteError, match=rf"^expectations/odd\.json, line {line}: .*{message}"):
        validation.validate(pd.DataFrame(), "odd", key=["city_id", "year"])


def test_all_faults_of_a_suite_are_named_at_once_by_the_lines_they_stand_in(odd_suite: Callable[[str], None]) -> None:
    odd_suite(
        '{"type": "expect_column_mean_to_be_between", "description": "d",\n'
        '\t"kwargs": {"column": "x",\n'
        '\t\t"min_valu": 1},\n'
        ' "severity": "fatal", "meta": {"zh": "述"}},\n'
        f"{json.dumps(MEAN)}"
    )
    with pytest.raises(suites.SuiteError) as refused:
        suites.read("odd")
    lines = [line.removeprefix("expectations/odd.json, ") for line in str(refused.value).splitlines()]
    assert lines == [
        "line 5: severity 'fatal' is neither critical nor warning.",
        "line 4: expect_column_mean_to_be_between has no argument 'min_valu'. Did you mean 'min_value'?",
        "line 1: 2 expectations have the description 'd', which names one.",
    ]
    odd_suite('{"type" "expect_column_to_exist"}')
    with pytest.raises(
        suites.SuiteError, match=r"^expectations/odd\.json, line 2: no JSON: Expecting ':' delimiter\.$"
    ):
        suites.read("odd")


ANSWERS = pd.DataFrame(
    {
        "city": [*"abcdef"],
        "year": [2019, 2019, 2020, 2020, 2021, 2021],
        "x": [1.0, 2.0, 3.0, None, 50.0, 60.0],
        "y": [2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
        "name": ["p", "p", "q", "q", "r", None],
    }
)


@pytest.mark.parametrize(
    ("expectation", "arguments", "judged", "others"),
    [
        # by row: observed, checked, failing, and the cities that fail; in 2019 and 2020, and in 2021
        (
            "expect_column_values_to_be_between",
            {"column": "x", "max_value": 2},
            ({"failing": 1, "missing": 1, "of": 4}, 3, 1, "c"),
            ({"failing": 2, "missing": 0, "of": 2}, 2, 2, "ef"),
        ),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "x", "column_B": "y", "ignore_row_if": "either_value_is_missing"},
            ({"failing": 2, "missing": 1, "of": 4}, 3, 2, "ab"),
            ({"failing": 0, "missing": 0, "of": 2}, 2, 0, ""),
        ),
        (
            "expect_compound_columns_to_be_unique",
            {"column_list": ["year", "name"]},
            ({"failing": 4, "missing": 0, "of": 4}, 4, 4, "abcd"),
            ({"failing": 0, "missing": 0, "of": 2}, 2, 0, ""),
        ),
        (
            "expect_multicolumn_sum_to_equal",
            {"column_list": ["x", "y"], "sum_total": 4, "ignore_row_if": "any_value_is_missing"},
            ({"failing": 2, "missing": 1, "of": 4}, 3, 2, "ac"),
            ({"failing": 2, "missing": 0, "of": 2}, 2, 2, "ef"),
        ),
        # one answer for all rows: none is asked of 2021
        ("expect_column_mean_to_be_between", {"column": "x", "max_value": 1}, (2.0, None, None, ""), None),
        (
            "expect_column_quantile_values_to_be_between",
            {"column": "x", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[5, 9]]}},
            (
                {
                    "observed_value": {"quantiles": [0.5], "values": [2.0]},
                    "details": {"success_details": [False]},
                },
                None,
                None,
                "",
            ),
            None,
        ),
        (
            "expect_column_distinct_values_to_be_in_set",
            {"column": "name", "value_set": ["p"]},
            ({"unexpected_count": 1, "partial_unexpected_list": ["q"]}, None, None, ""),
            None,
        ),
        ("expect_column_to_exist", {"column": "z"}, (None, None, None, ""), None),
        (
            "expect_table_columns_to_match_set",
            {"column_set": ["city", "z"], "exact_match": False},
            (
                {
                    "observed_value": ["city", "name", "x", "y", "year"],
                    "details": {"mismatched": {"unexpected": ["name", "x", "y", "year"], "missing": ["z"]}},
                },
                None,
                None,
                "",
            ),
            None,
        ),
    ],
)
def test_every_family_says_what_it_observed_and_fails_on_the_rows_that_are_judged(
    expectation: str,
    arguments: dict[str, object],
    judged: tuple[object, int | None, int | None, str],
    others: tuple[object, int | None, int | None, str] | None,
    odd_suite: Callable[[str], None],
) -> None:
    declared = MEAN | {"type": expectation, "kwargs": arguments}
    odd_suite(
        ",\n".join(json.dumps(declared | {"severity": name, "description": name}) for name in ("critical", "warning"))
    )
    results = validation.validate(ANSWERS, "odd", key=["city"], judged_years=[2019, 2020]).to_pylist()

    def found(row: dict[str, object]) -> tuple[object, object, object, str]:
        failing = "".join(failed["city"] for failed in json.loads(str(row["failing_rows"] or "[]")))
        return json.loads(str(row["observed_value"])), row["checked_count"], row["failing_row_count"], failing

    critical, *rest, warning = results
    assert (critical["severity"], critical["success"], critical["row_count"]) == ("critical", False, 4)
    assert found(critical) == judged
    assert [found(row) for row in rest] == ([] if others is None else [others])
    assert all(
        (row["severity"], row["row_count"], row["description"])
        == ("warning", 2, validation.OTHER_YEARS[0] + "critical")
        for row in rest
    )
    assert (warning["severity"], warning["row_count"]) == ("warning", 6)
    for row in results:
        # what the library wrote, it reads
        written = json.loads(row["validation_result"], parse_constant=pytest.fail)
        assert ExpectationValidationResult(**written).success == row["success"]
        assert written["expectation_config"]["type"] == row["expectation"] == expectation
        assert written["expectation_config"]["severity"] == row["severity"]


def test_what_cannot_be_evaluated_has_failed_with_the_reason(odd_suite: Callable[[str], None]) -> None:
    odd_suite(json.dumps(MEAN | {"kwargs": {"column": "z", "max_value": 1}}))
    (found,) = validation.validate(ANSWERS, "odd", key=["city"]).to_pylist()
    assert found["observed_value"] == 'could not be evaluated: Error: The column "z" in BatchData does not exist.'
    assert found["success"] is False
    assert {found[name] for name in ("checked_count", "failing_row_count", "failing_rows")} == {None}


def test_the_site_counts_what_has_no_counts_of_rows_as_passed_or_failed() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table results as from (values (true, 'critical', 5), (true, 'critical', 0), "
            "(true, 'warning', null), (false, 'warning', null), (false, 'critical', null)) "
            "as t (success, severity, checked_count)"
        )
        release = SimpleNamespace(
            rows=lambda query: connection.sql(query).df().to_dict("records"), gate_results=lambda: "results"
        )
        found = quality._gate_counts(cast(Release, release))
    assert found == {"passed": 2, "nothing_to_check": 1, "critical": 1, "warnings": 1}


SUITES = sorted(path.stem for path in (PROJECT / "expectations").glob("*.json"))


@pytest.mark.parametrize("suite", SUITES)
def test_one_critical_failure_of_any_suite_holds_the_estimates(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCEPTED_GATE_FAILURES", raising=False)
    results = pd.DataFrame({"suite": SUITES, "severity": "critical", "success": True, "description": "d"})
    validation.require(results)
    results["success"] = results["suite"] != suite
    with pytest.raises(validation.GateFailedError, match=f"\n{suite}: d$"):
        validation.require(results)
    validation.require(results.assign(severity="warning"))


def test_a_key_that_a_failing_row_lacks_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not NaN, which is no JSON, and stood as `nan` in the message."""
    table = pd.DataFrame(
        {"extract_set": "s", "provider": "p", "source_name": "yearbook", "file_path": ["a.csv", "b.csv"]}
        | {"year": ["2019", None], "source_faulty_share": [0.02, 0.02], "faulty_share": [0.06, 0.0]}
    )
    kwargs = {"column": "source_faulty_share", "max_value": 0.01}
    declared = MEAN | {"type": "expect_column_values_to_be_between", "kwargs": kwargs}
    monkeypatch.setattr(suites, "read", lambda suite, needs_series: [declared])
    monkeypatch.setenv("EXTRACTS_DIR", str(tmp_path))
    key = ["provider", "source_name", "file_path", "year"]
    (found,) = validation.validate(table, "landed_sources", key=key).to_pylist()
    years = [row["year"] for row in json.loads(found["failing_rows"], parse_constant=pytest.fail)]
    assert years == ["2019", None]


def test_every_estimate_and_report_comes_after_the_gate(sample_build: Build) -> None:
    """The gate drops them all; `gate_results+` rebuilds them when a held release is published by hand."""
    manifest = json.loads((sample_build.scratch / "target/manifest.json").read_text(encoding="utf-8"))
    after = {"model.ai_manufacturing.gate_results"}
    reached = [*after]
    for name in reached:
        found = [child for child in manifest["child_map"][name] if child not in after]
        after.update(found)
        reached.extend(found)
    gated = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["fqn"][1] in ("estimates", "reports")
    }
    assert len(gated) > 25
    assert gated - after == set()
