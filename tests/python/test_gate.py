"""Tests for the quality gate, which must locate every fault in a broken delivery."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import pandas as pd
import pytest
from great_expectations.core import ExpectationValidationResult

from ai_manufacturing.auditing import findings
from ai_manufacturing.gate import result_tables, suites, validation
from ai_manufacturing.site import quality
from ai_manufacturing.system import settings
from ai_manufacturing.system.duckdb_client import open_read_only
from tests.python.conftest import PROJECT, Build

SHENZHEN, CHANGSHA, HANGZHOU = "440300", "430100", "330100"
GDP, CITY, YEAR, AI_FIRMS = "地区生产总值(亿元)", "城市代码", "年份", "人工智能企业存续数"
FIRMS = "企业存续数"
PATENTS = ("专利申请数", "专利授权数", "人工智能专利申请数", "人工智能专利授权数")

Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]
Breakage = Callable[[Build], None]


def edit(path: Path, change: Change) -> None:
    """Apply a change to the rows of a delivered CSV file."""
    rows: Any = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    pd.DataFrame(change(rows)).to_csv(path, index=False)


def yearbook(build: Build, year: int) -> Path:
    return build.extracts / f"city_yearbook/城市统计年鉴_{year}.csv"


def firm_survival(build: Build, year: int) -> Path:
    return build.extracts / f"firm_survival/企业存续_{year}.csv"


def patents(build: Build, year: int) -> Path:
    return build.extracts / f"patents/专利_{year}.csv"


def in_file(file: Callable[[Build, int], Path], year: int, change: Change) -> Breakage:
    return lambda build: edit(file(build, year), change)


def each(change: Callable[[Row], Row]) -> Change:
    """Return a function that updates columns in every row of a file."""
    return lambda rows: [row | change(row) for row in rows]


def first(city: str, change: Callable[[Row], Row]) -> Change:
    """Return a function that updates columns in the first row of a city."""

    def changed(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row[CITY] == city)
        row |= change(row)
        return rows

    return changed


def set_to(column: str, value: str) -> Callable[[Row], Row]:
    return lambda row: {column: value}


def one_above(column: str, other: str) -> Callable[[Row], Row]:
    """Return a function that sets `column` to the value of `other` plus one."""
    return lambda row: {column: str(int(row[other]) + 1)}


def times(column: str, factor: int) -> Callable[[Row], Row]:
    return lambda row: {column: f"{float(row[column]) * factor:.2f}"}


unit_slip_of_a_year = in_file(yearbook, 2016, each(times(GDP, 10000)))


def repeated(city: str, change: Row) -> Change:
    """Return a function that appends a modified copy of a city's first row."""
    return lambda rows: [*rows, next(row for row in rows if row[CITY] == city) | change]


def without_shenzhen(build: Build) -> None:
    for year in range(2010, 2021):
        edit(yearbook(build, year), lambda rows: [row for row in rows if row[CITY] != SHENZHEN])


def cut_off(rows: list[Row]) -> list[Row]:
    """Drop all rows after Chongqing, as if the file had been truncated."""
    return rows[: max(n for n, row in enumerate(rows) if row[CITY] == "500000") + 1]


def one_field_too_many(build: Build) -> None:
    lines = patents(build, 2016).read_text(encoding="utf-8").splitlines()
    lines[500] += ",1"
    patents(build, 2016).write_text("\n".join(lines), encoding="utf-8")


duplicate_city_year = in_file(yearbook, 2015, repeated(CHANGSHA, {GDP: "8511"}))
unit_slip_of_a_cell = in_file(yearbook, 2012, first(CHANGSHA, times(GDP, 10)))
unreadable_share = in_file(
    yearbook,
    2019,
    lambda rows: [
        row | {"教育支出(亿元)": "x"} if n % 5 == 4 else row for n, row in enumerate(rows)
    ],
)

# The faults affect different cities, series and years, so that the gate reports each one
# separately.
BROKEN: list[tuple[Breakage, str, dict[str, Any]]] = [
    (duplicate_city_year, "city_yearbook", {"city_id": CHANGSHA, "year": 2015}),
    (unit_slip_of_a_cell, "panel_consistency", {"city_id": CHANGSHA, "year": 2012}),
    (
        in_file(firm_survival, 2015, first(CHANGSHA, one_above("企业新设数", "企业新设数"))),
        "firm_survival",
        {"city_id": CHANGSHA, "year": 2015},
    ),
    (
        in_file(patents, 2015, cut_off),
        "series_years",
        {"series": "ai_invention_application_count", "year": 2015},
    ),
    (
        in_file(patents, 2018, each(lambda row: {name: row[name] + "0" for name in PATENTS})),
        "series_years",
        {"series": "invention_application_count", "year": 2018},
    ),
    (
        one_field_too_many,
        "landed_sources",
        {"file_path": "patents/专利_2016.csv", "lost_count_records": 1.0},
    ),
    (
        in_file(yearbook, 2014, first(CHANGSHA, set_to("R&D人员(人)", "-9"))),
        "series_years",
        {"series": "rd_personnel_count", "year": 2014},
    ),
    (unit_slip_of_a_year, "series_years", {"series": "gdp_100m_cny", "year": 2016}),
    (unit_slip_of_a_year, "units", {"series": "gdp_100m_cny", "year": 2016, "unit_factor": 1e4}),
    (
        # A single row has more AI firms than firms, although the city as a whole does not.
        in_file(firm_survival, 2020, first(SHENZHEN, one_above(AI_FIRMS, FIRMS))),
        "firm_survival",
        {"city_id": SHENZHEN, "year": 2020},
    ),
    (
        in_file(
            firm_survival,
            2020,
            each(lambda row: one_above(AI_FIRMS, FIRMS)(row) if row[CITY] == HANGZHOU else {}),
        ),
        "city_year_panel",
        {"city_id": HANGZHOU, "year": 2020},
    ),
    (without_shenzhen, "headline_samples", {"city_id": SHENZHEN, "missing_year_count": 11}),
    (unreadable_share, "landed_sources", {"source_name": "city_yearbook"}),
    (
        in_file(
            patents, 2012, first(HANGZHOU, lambda row: {CITY: "", "城市名称": "杭州市(萧山区)"})
        ),
        "landed_sources",
        {"year_of_lost_cities": "2012", "lost_count_records": 1.0},
    ),
    (
        in_file(patents, 2014, repeated(CHANGSHA, {CITY: "430102"})),
        "patents",
        {"city_id": CHANGSHA, "year": 2014, "duplicate_record_count": 1.0},
    ),
]


def test_the_gate_names_the_place_of_each_fault_and_no_estimate_is_made(delivery: Build) -> None:
    for breakage in dict.fromkeys(breakage for breakage, _, _ in BROKEN):
        breakage(delivery)
    run = delivery.models("est_coefficients")
    failed = "select failing_rows from gates.gate_results where suite = ?"
    failed += " and severity = 'critical' and not success"
    for _, suite, row in BROKEN:
        failing_rows = [
            found for (rows,) in delivery.rows(failed, suite) for found in json.loads(rows)
        ]
        assert any(row.items() <= found.items() for found in failing_rows), (suite, failing_rows)
    # The wrong unit is listed first, because it causes other failures.
    with open_read_only(delivery.warehouse) as warehouse:
        assert findings.read_failures(warehouse, "critical")[0].suite == "units"
    assert {*run.failed} == {"no_critical_failure_gate_results_"}
    assert "gate_results" in run.ran
    assert "est_coefficients" not in run.ran


@pytest.mark.parametrize("extracts", ["sample_build", "public_build"])
def test_a_slip_of_units_leaves_the_bounds_of_a_series_in_every_year(
    extracts: str, request: pytest.FixtureRequest
) -> None:
    build: Build = request.getfixturevalue(extracts)
    found = build.rows(
        "select series, year, median_value from intermediate.int_series_years inner join"
        " seeds.series using (series) cross join (select unnest([10, 100, 1000, 10000, 0.1, 0.01,"
        " 0.001, 0.0001]) as slip) where median_value * slip between median_min and median_max"
    )
    assert found == []
    # Counts need no bounds on the median, because a wrong unit would show as an extra zero in every
    # number. Series in persons have not been delivered yet, and unstated units cannot be checked.
    without = (
        "select distinct unit from seeds.series where median_min is null and unit not like '%not"
        " stated'"
    )
    counts, not_measured = (
        {"firms", "patents"},
        {"persons", "10 thousand persons"},
    )
    assert {unit for (unit,) in build.rows(without)} == counts | not_measured


UNUSED = """
    insert into seeds.corrections
        (correction_id, provider, source_name, city_id, year, series, action)
    values ('unused', 'vendor', 'firm_survival', '440300', '2019', 'no_such_series', 'set_missing')
"""


@pytest.mark.parametrize(
    ("test", "harm"),
    [
        ("every_correction_is_used", UNUSED),
        (
            "every_delivered_record_is_accounted_for",
            (
                "update marts.fct_row_accounting set row_count = row_count - 1 where"
                " delivery_number = 1"
            ),
        ),
    ],
)
def test_a_test_of_the_warehouse_finds_what_it_is_for(
    test: str, harm: str, sample_build: Build, tmp_path: Path
) -> None:
    sql = sample_build.compiled(test)
    with duckdb.connect(str(shutil.copy(sample_build.warehouse, tmp_path))) as connection:
        assert connection.execute(sql).fetchall() == []
        connection.execute(harm)
        assert len(connection.execute(sql).fetchall()) == 1


def test_a_judged_table_that_lost_its_rows_stops_the_estimates(
    sample_build: Build, tmp_path: Path
) -> None:
    """The gate fails if a table that it checks is empty.

    Each table that a suite checks is emptied in turn.
    """
    judged = {suites.read_suite(name).judges.table for name in SUITES} - {"int_judged_tables"}
    sql = sample_build.compiled("int_judged_tables")
    found = []
    with duckdb.connect(str(shutil.copy(sample_build.warehouse, tmp_path))) as connection:
        for table in sorted(judged):
            ((schema,),) = connection.execute(
                "select schema_name from duckdb_tables() where table_name = ?", [table]
            ).fetchall()
            connection.execute("begin")
            connection.execute(f"delete from {schema}.{table}")
            # This table depends on the estimates, so it is checked after them.
            if table == "est_route_differences":
                lost = sample_build.compiled("every_estimate_of_two_routes_is_compared")
                assert len(connection.execute(lost).fetchall()) > 100
            else:
                rows = connection.sql(f"select * from ({sql}) where row_count < row_floor").df()
                assert {*rows["table_name"]} == {table}
                found.append(rows)
            connection.execute("rollback")
    results = validation.validate(pd.concat(found, ignore_index=True), "judged_tables").to_pylist()
    (floors, _) = results
    assert (floors["severity"], floors["success"]) == ("critical", False)
    rows = json.loads(floors["failing_rows"])
    assert {row["table_name"] for row in rows} == judged - {"est_route_differences"}
    panel = next(row for row in rows if row["table_name"] == "fct_city_year_panel")
    # The minimum is half of 337 prefectures and municipalities in each of eleven years.
    assert (panel["row_floor"], panel["row_count"]) == (1854, 0)


def test_the_gate_fails_where_no_table_has_a_floor() -> None:
    nothing = pd.DataFrame(
        columns=["table_name", "specification_id", "series", "scope", "row_floor", "row_count"]
    )
    floors, listed = validation.validate(nothing, "judged_tables").to_pylist()
    assert (floors["success"], listed["success"]) == (None, False)


def test_every_expectation_of_the_good_sample_holds(sample_build: Build) -> None:
    """The sample passes the gate, apart from warnings about a few of 120,000 values.

    Some values differ from their neighbours by chance.
    """
    failed = sample_build.rows("select suite, severity from gates.gate_results where not success")
    assert {*failed} == {("doubtful_values", "warning")}
    judged = " union ".join(
        f"select suite from gates.{name}" for name in result_tables.RESULT_TABLES
    )
    assert sample_build.rows(f"{judged} order by suite") == [(suite,) for suite in SUITES]


@pytest.fixture
def odd_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes the expectation suite `odd` into a temporary project."""
    (tmp_path / "expectations").mkdir()
    for name in ("dbt_project.yml", "macros", "models", "python_models", "seeds"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("EXTRACTS_DIR", str(tmp_path))

    def write(expectations: str, **judges: object) -> None:
        meta = {"judges": {"table": "fct_city_year_panel", "key": ["city_id", "year"]} | judges}
        text = (
            f'{{"name": "odd", "meta": {json.dumps(meta)}, "expectations": [\n{expectations}\n]}}\n'
        )
        (tmp_path / "expectations/odd.json").write_text(text, encoding="utf-8")

    return write


MEAN = {
    "type": "expect_column_mean_to_be_between",
    "kwargs": {"column": "x", "max_value": 1},
    "severity": "warning",
    "description": "d",
    "meta": {"series": ["gdp_100m_cny"], "zh": "述"},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"type": "expect_column_means_to_be_between"},
            "no expectation 'expect_column_means.*Did you mean 'expect_column_mean_to_be_between'",
        ),
        (
            {"kwargs": {"column": "x", "max_valu": 1}},
            "no argument 'max_valu'.*Did you mean 'max_value'",
        ),
        ({"kwargs": {"max_value": 1}}, "requires the argument 'column'"),
        (
            {"kwargs": {"column": "x", "max_value": "high"}},
            r"argument 'max_value': 'high' is invalid \(value is not a valid float\)",
        ),
        (
            {"kwargs": {"column": "x", "row_condition": "x > 0", "condition_parser": "pandas"}},
            "argument 'row_condition': 'x > 0' is not a condition object of type",
        ),
        (
            {
                "kwargs": {
                    "column": "x",
                    "row_condition": {
                        "type": "or",
                        "conditions": [
                            {"type": "pass_through", "pass_through_filter": "@os.getpid()"}
                        ],
                    },
                }
            },
            "argument 'row_condition': .*'@os.getpid..'.* is not a condition object of type",
        ),
        ({"severity": "info"}, "severity is 'info', but the value must be 'critical' or 'warning'"),
        ({"sevrity": "warning"}, "sevrity is unknown .did you mean severity"),
        ({"meta": {"zh": "述"}}, "`meta.series` is missing"),
        ({"meta": {"series": ["gdp_100m_cny"]}}, "meta.zh is missing"),
        (
            {"meta": {"series": ["gdp_100m"], "zh": "述"}},
            "no series 'gdp_100m'.*Did you mean 'gdp_100m_cny'",
        ),
        (
            {"kwargs": {"column": "x", "min_value": 2, "max_value": 1}},
            "min_value 2 is above max_value 1",
        ),
        (
            {
                "type": "unexpected_rows_expectation",
                "kwargs": {"unexpected_rows_query": "select 1 from {batch}"},
            },
            "Write the check as a dbt data test",
        ),
    ],
)
def test_a_fault_of_a_suite_is_named_by_its_line(
    changed: dict[str, object], message: str, odd_suite: Callable[..., None]
) -> None:
    first = json.dumps(MEAN | {"description": "first"}, indent=1)
    odd_suite(f"{first},\n\n{json.dumps(MEAN | changed)}")
    line = 2 + len(first.splitlines()) + 1
    with pytest.raises(
        suites.SuiteError, match=rf"^expectations/odd\.json, line {line}: .*{message}"
    ):
        suites.read_suite("odd")


def test_all_faults_of_a_suite_are_named_at_once_by_the_lines_they_stand_in(
    odd_suite: Callable[..., None],
) -> None:
    odd_suite(
        '{"type": "expect_column_mean_to_be_between", "description": "d",\n'
        '\t"kwargs": {"column": "x",\n'
        '\t\t"min_valu": 1},\n'
        ' "severity": "warning", "meta": {"zh": "述"}},\n'
        f"{json.dumps(MEAN)}",
        key=["city"],
    )
    with pytest.raises(suites.SuiteError) as refused:
        suites.read_suite("odd")
    argument, description = str(refused.value).splitlines()
    assert "line 4: expect_column_mean_to_be_between has no argument 'min_valu'" in argument
    assert "line 1: 2 expectations share the description 'd'" in description
    for judges, message in (
        (
            {"table": "fct_city_year_pane"},
            "no gate reads the table 'fct_city_year_pane'.+'fct_city_year_panel'",
        ),
        ({"keys": ["year"]}, r"meta\.judges: keys is unknown \(did you mean key\?\)"),
    ):
        odd_suite(json.dumps(MEAN), **judges)
        with pytest.raises(suites.SuiteError, match=rf"^expectations/odd\.json, line 1: {message}"):
            suites.read_suite("odd")
    odd_suite('{"type" "expect_column_to_exist"}')
    with pytest.raises(
        suites.SuiteError,
        match=(
            r"^expectations/odd\.json, line 2: the text is not valid JSON \(Expecting ':'"
            r" delimiter\)\.$"
        ),
    ):
        suites.read_suite("odd")


NONE_JUDGED = pd.DataFrame({"relation": [], "row_count": [], "content": []})
ANSWERS = pd.DataFrame(
    {
        "city": [*"abcdef"],
        "year": [2019, 2019, 2020, 2020, 2021, 2021],
        "x": [1.0, 2.0, 3.0, None, 50.0, 60.0],
        "y": [2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
        "name": ["p", "p", "q", "q", "r", None],
    }
)


def counts(failing: int, missing: int, of: int, cities: str) -> tuple[Row, int, int, str]:
    """Return the observed value, the rows checked, the failing rows and the failing cities."""
    return {"failing": failing, "missing": missing, "of": of}, of - missing, failing, cities


@pytest.mark.parametrize(
    ("expectation", "arguments", "expected"),
    [
        # Expected results for 2019 and 2020, then for 2021: observed value, number of rows checked,
        # number of failing rows, and failing cities.
        (
            "expect_column_values_to_be_between",
            {"column": "x", "max_value": 2},
            [
                counts(1, 1, 4, "c"),
                counts(2, 0, 2, "ef"),
            ],
        ),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "x", "column_B": "y", "ignore_row_if": "either_value_is_missing"},
            [
                counts(2, 1, 4, "ab"),
                counts(0, 0, 2, ""),
            ],
        ),
        (
            "expect_compound_columns_to_be_unique",
            {"column_list": ["year", "name"]},
            [
                counts(4, 0, 4, "abcd"),
                counts(0, 0, 2, ""),
            ],
        ),
        # A mean yields one result for all rows of 2019 and 2020, and no result for 2021.
        (
            "expect_column_mean_to_be_between",
            {"column": "x", "max_value": 1},
            [(2.0, None, None, "")],
        ),
    ],
)
def test_every_family_says_what_it_observed_and_fails_on_the_rows_that_are_judged(
    expectation: str,
    arguments: Row,
    expected: list[tuple[Any, ...]],
    odd_suite: Callable[..., None],
) -> None:
    declared = MEAN | {"type": expectation, "kwargs": arguments}
    odd_suite(
        ",\n".join(
            json.dumps(declared | {"severity": name, "description": name})
            for name in ("critical", "warning")
        ),
        key=["city"],
        critical_where=["headline_years"],
    )
    results = validation.validate(ANSWERS, "odd", [2019, 2020]).to_pylist()
    shown = [(row["severity"], row["row_count"], row["description"]) for row in results]
    others = ("warning", 2, validation.OTHER_YEARS[0] + "critical")
    assert shown == [
        ("critical", 4, "critical"),
        *[others] * (len(expected) - 1),
        ("warning", 6, "warning"),
    ]
    found = [
        (
            json.loads(row["observed_value"]),
            row["checked_count"],
            row["failing_row_count"],
            "".join(failed["city"] for failed in json.loads(row["failing_rows"] or "[]")),
        )
        for row in results[:-1]
    ]
    assert found == expected
    # Great Expectations must be able to parse the validation result that it wrote.
    written = json.loads(results[0]["validation_result"], parse_constant=pytest.fail)
    assert results[0]["success"] is ExpectationValidationResult(**written).success is False
    assert written["expectation_config"]["type"] == expectation
    assert written["expectation_config"]["severity"] == "critical"


def answer(write: Callable[..., None], rows: pd.DataFrame = ANSWERS, **expectation: Any) -> Row:
    """Return the result of a suite with a single expectation."""
    write(json.dumps(MEAN | expectation), key=["city", "name"])
    (found,) = validation.validate(rows, "odd").to_pylist()
    return dict(found)


@pytest.mark.parametrize(
    ("rows", "expectation"),
    [
        (
            ANSWERS[3:4],
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "x", "max_value": 2},
            },
        ),
        (
            ANSWERS[:0],
            {
                "type": "expect_column_distinct_values_to_be_in_set",
                "kwargs": {"column": "x", "value_set": [1]},
            },
        ),
    ],
)
def test_an_expectation_without_a_value_to_check_is_not_evaluated(
    rows: pd.DataFrame, expectation: Row, odd_suite: Callable[..., None]
) -> None:
    found = answer(odd_suite, rows, **expectation)
    assert found["success"] is None
    # An expectation that could not be evaluated does not stop the estimates.
    validation.check_gate(pd.DataFrame([found | {"severity": "critical"}]), NONE_JUDGED)


def test_what_cannot_be_evaluated_has_failed_with_the_reason(
    odd_suite: Callable[..., None],
) -> None:
    found = answer(odd_suite, kwargs={"column": "z", "max_value": 1})
    assert (
        found.items()
        >= {
            "observed_value": 'could not be evaluated: Error: The column "z" in BatchData does not'
            " exist.",
            "success": False,
            "checked_count": None,
            "failing_row_count": None,
            "failing_rows": None,
        }.items()
    )


def test_the_site_counts_as_passed_what_neither_failed_nor_was_not_evaluated() -> None:
    counts = {"expectations": 5, "critical": 1, "warnings": 1, "not_evaluated": 1}
    release = Mock(manifest=Mock(gate_summary=counts))
    found = quality._count_results(release)
    assert found == {"passed": 2, "not_evaluated": 1, "critical": 1, "warnings": 1}


SUITES = sorted(path.stem for path in (PROJECT / "expectations").glob("*.json"))


def test_one_critical_failure_of_any_suite_holds_the_estimates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ACCEPTED_GATE_FAILURES", raising=False)
    results = pd.DataFrame(
        {"suite": SUITES, "severity": "critical", "success": True, "description": "d"}
    )
    validation.check_gate(results, NONE_JUDGED)
    for suite in SUITES:
        failed = results.assign(success=results["suite"] != suite)
        with pytest.raises(validation.GateFailedError, match=f"\n{suite}: d$"):
            validation.check_gate(failed, NONE_JUDGED)
        validation.check_gate(failed.assign(severity="warning"), NONE_JUDGED)


def test_a_key_that_a_failing_row_lacks_is_null(odd_suite: Callable[..., None]) -> None:
    """A missing key of a failing row is stored as null, because NaN is not valid JSON."""
    found = answer(
        odd_suite,
        type="expect_column_values_to_be_between",
        kwargs={"column": "y", "max_value": 1},
    )
    failing = json.loads(found["failing_rows"], parse_constant=pytest.fail)
    assert [row["name"] for row in failing] == [*"ppqqr", None]


def test_every_estimate_and_report_comes_after_the_gate_and_sources_are_providers(
    sample_build: Build,
) -> None:
    """All estimates and reports are downstream of the gate, so that `gate_results+` rebuilds them.

    The gate drops these models if it fails, and they must be rebuilt to publish a held release.
    """
    assert sample_build.manifest is not None
    manifest = json.loads(sample_build.manifest.read_text(encoding="utf-8"))
    gated = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["fqn"][1] in ("estimates", "reports")
    }
    assert len(gated) > 25

    @cache
    def follows(name: str) -> bool:
        parents = manifest["parent_map"].get(name, [])
        return "model.ai_manufacturing.gate_results" in parents or any(map(follows, parents))

    assert [name for name in gated if not follows(name)] == []


def test_a_studys_suite_replaces_the_engines_wherever_the_study_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, study = tmp_path / "b", tmp_path / "a"
    for folder, names in ((engine, ("units", "patents")), (study, ("patents",))):
        for name in names:
            (folder / "expectations").mkdir(parents=True, exist_ok=True)
            (folder / "expectations" / f"{name}.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(settings, "project_folders", lambda: (engine, study))
    assert suites.list_files() == {
        "patents": study / "expectations/patents.json",
        "units": engine / "expectations/units.json",
    }
