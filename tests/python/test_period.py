"""Test the study period: its syntax in extract_set.yml, and its use in models and the gate."""

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.gate import validation
from tests.lib import in_memory
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import GOOD, Project, csv_text
from tests.python.test_estimates import estimated, read_tables, rows_of

ORDER = "period: first_year is {}, last_year is {}, and base_year is {}."
DEFAULTS = (
    "vars: {first_year: 2010, last_year: 2020, base_year: 2020, plausible_years: [1949, 2035]}\n"
)


@pytest.mark.parametrize(
    ("named", "period"),
    [
        ("{first_year: 2008, last_year: 2022}", (2008, 2022, 2020)),
        ("{last_year: 2015}", (2010, 2015, 2020)),
        ("{first_year: 1949, last_year: 1949, base_year: 2035}", (1949, 1949, 2035)),
        ("{first_year: 2035, last_year: 2035, base_year: 1949}", (2035, 2035, 1949)),
    ],
)
def test_a_set_names_its_period_and_takes_what_it_leaves_out_from_the_project(
    project: Project, named: str, period: tuple[int, ...]
) -> None:
    (project.root / "dbt_project.yml").write_text(DEFAULTS, encoding="utf-8")
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", f"name: autumn\nperiod: {named}\n")
    found = landing.read_extract_set(project.root / "extracts").period
    assert (found.first_year, found.last_year, found.base_year) == period


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("", "period is None, but the value must be a table of years, such as {"),
        ("[2010, 2022]", "period is [2010, 2022], but the value must be a table of years"),
        ("{}", "period: the value must be a table of years, such as {"),
        ("{lastyear: 2022}", "period: lastyear is unknown (did you mean last_year?)"),
        (
            "{last_year: '2022'}",
            "period.last_year is '2022', but the value must be a valid integer",
        ),
        ("{last_year: 2036}", f"{ORDER.format(2010, 2036, 2020)} Years must be between 1949"),
        ("{first_year: 1948}", ORDER.format(1948, 2020, 2020)),
        ("{last_year: yes}", "period.last_year is 'yes', but the value must be a valid integer"),
        ("{last_year: 2009}", ORDER.format(2010, 2009, 2020)),
        ("{base_year: 2036}", ORDER.format(2010, 2020, 2036)),
        ("{base_year: 1948}", ORDER.format(2010, 2020, 1948)),
    ],
)
def test_a_period_that_cannot_be_one_is_refused_in_one_line(
    project: Project, named: str, message: str
) -> None:
    (project.root / "dbt_project.yml").write_text(DEFAULTS, encoding="utf-8")
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", f"period: {named}\n")
    with pytest.raises(landing.LandingError) as raised:
        landing.land_deliveries()
    assert str(raised.value).startswith(f"extract_set.yml: {message}")
    assert len(str(raised.value).splitlines()) == 1


def test_landing_leaves_the_period_for_engines_without_python(project: Project) -> None:
    (project.root / "dbt_project.yml").write_text(DEFAULTS, encoding="utf-8")
    project.deliver("firms/a.csv", csv_text(GOOD))
    for named, period in (
        ("period: {last_year: 2022}", (2010, 2022, 2020)),
        ("name: extracts", (None, None, None)),
    ):
        project.deliver("extract_set.yml", named)
        landing.land_deliveries()
        (written,) = (project.root / "landing/tables").glob("*/extract_set.parquet")
        assert pq.read_table(written).to_pylist() == [
            {
                "extract_set": "extracts",
                **dict(zip(("first_year", "last_year", "base_year"), period, strict=True)),
                "declared_revisions": [],
            }
        ]


@pytest.mark.door
@pytest.mark.soak
def test_a_run_has_the_period_of_its_set_and_vars_go_before_it(fresh: Build) -> None:
    """All runs share a target folder, so a stale dbt parse of the old period would be noticed."""
    model = (
        fresh.scratch / "target/compiled/ai_manufacturing/models/marts/paper/fct_spatial_trend.sql"
    )

    def compiled(*arguments: str) -> tuple[bool, ...]:
        fresh.dbt("run", "--select", "raw_extract_set")
        fresh.dbt("compile", "--select", "fct_spatial_trend", *arguments)
        assert fresh.exit_code == 0, fresh.output
        sql = model.read_text(encoding="utf-8")
        return tuple(f"cast({year} as integer)" in sql for year in (2008, 2010, 2020, 2022))

    fresh.extracts.mkdir()
    assert compiled() == (False, True, True, False)
    described = fresh.extracts / "extract_set.yml"
    described.write_text("period: {first_year: 2008, last_year: 2022}\n", encoding="utf-8")
    assert compiled() == (True, False, False, True)
    described.unlink()
    assert compiled() == (False, True, True, False)
    described.write_text("period: {first_year: 2008, last_year: 2022}\n", encoding="utf-8")
    assert compiled("--vars", "{last_year: 2020}") == (True, False, True, False)


def test_the_headline_years_are_those_of_samples_and_of_fixed_shares() -> None:
    series = pd.DataFrame(
        [
            {"is_headline": True, "first_year": 2010, "last_year": 2012, "fixed_year": None},
            {"is_headline": True, "first_year": None, "last_year": None, "fixed_year": 2020},
            {"is_headline": False, "first_year": 2010, "last_year": 2022, "fixed_year": 2005},
        ]
    )
    assert validation.list_headline_years(series) == {2010, 2011, 2012, 2020}
    assert validation.list_headline_years(series.head(0)) == set()


def test_an_estimate_on_part_of_its_years_is_that_of_these_years_and_says_so(
    sample_build: Build,
) -> None:
    name, whole = "heterogeneity_income_median", read_tables(sample_build)
    years = {"first_year": 2012, "last_year": 2020}
    part = replace(whole, panel=whole.panel[whole.panel["year"].ge(2012)])
    found = estimated(rows_of(name), part, **years)
    expected = estimated(rows_of(name, **years), whole)
    numbers = ["term", "estimate", "std_error", "observation_count", "sample_last_year"]
    pd.testing.assert_frame_equal(found[numbers], expected[numbers])
    (words,), (words_zh,) = {*found["substitutions"]}, {*found["substitutions_zh"]}
    assert words == (
        "years 2012-2020 of 2010-2020; 2012 substitutes for 2010 as the fixed year of income_median"
    )
    assert words_zh.endswith("income_median的固定年份以2012年替代2010年")
    assert {*expected["substitutions"]} == {""}


def test_a_specification_without_a_year_of_the_period_says_so(sample_build: Build) -> None:
    rows = rows_of("table_1_col_1", first_year=2003, last_year=2009)
    (found,) = estimated(rows, read_tables(sample_build)).to_dict("records")
    assert found["reason"].startswith(
        "The years 2003-2009 are outside the period of this extract set, 2010-2020;"
    )
    assert found["reason_zh"].startswith("2003—2009年在本数据集的样本期（2010—2020）之外；")


@pytest.mark.parametrize(
    ("first", "trend", "odd_years"),
    [
        # The limits of ±0.05 widen to ±0.1235 for seven years of data and to ±0.0945 for eight
        # years.
        (2013, 0.11, [2020]),
        (2010, 0.06, [2016, 2017, 2018, 2019, 2020]),
        (2013, 0.06, []),
        (2010, 0.04, []),
    ],
)
def test_the_limits_of_a_trend_widen_where_the_period_begins_after_the_paper(
    first: int, trend: float, odd_years: list[int]
) -> None:
    pair = {"series": "a", "scope": "total", "other_series": "b", "other_scope": "total"}
    limits = pd.read_csv(PROJECT / "seeds/series_pairs.csv")
    limits = limits[limits["series"] == "registered_population_10k"]
    limits = limits.assign(**pair, ratio_trend_min=-0.05, ratio_trend_max=0.05)
    cities = pd.DataFrame({"city_id": map(str, range(100, 120)), "name_zh": "市"})
    values = cities.merge(pd.DataFrame({"year": range(first, 2021)}), how="cross")
    values = pd.concat(
        values.assign(series=series, value=np.exp(rate * (values["year"] - 2010)))
        for series, rate in (("a", trend), ("b", 0.0))
    ).assign(quantity=lambda rows: rows["series"], scope="total", provider="p", is_spliced=False)
    default = {"specification_id": "s", "reading": "default", "first_year": 2010}
    with duckdb.connect() as connection:
        for name, frame in (
            ("dim_specification_series", pd.DataFrame([{**pair, "specification_id": "s"}])),
            ("regression_specifications", pd.DataFrame([{**default, "last_year": 2020}])),
            ("int_series_conformed", values.drop(columns="name_zh")),
            ("series_pairs", limits),
            ("cities", cities),
        ):
            in_memory.create(connection, name, frame)
        in_memory.run(connection, "gate/int_shown_series")
        in_memory.run(connection, "gate/int_series_pairs", first_year=first)
        odd = connection.execute(
            "select year from int_series_pairs where odd_ratio_trend is not null order by year"
        ).fetchall()
    assert [year for (year,) in odd] == odd_years


def described(extracts: Path, fresh: Build, period: str) -> None:
    """Link to the delivered files, and write an extract_set.yml that declares another period."""
    fresh.extracts.mkdir()
    for folder in extracts.iterdir():
        (fresh.extracts / folder.name).symlink_to(folder)
    (fresh.extracts / "extract_set.yml").write_text(f"name: public\nperiod: {period}\n", "utf-8")


CRITICAL = "select description from gates.gate_results where not success and severity = 'critical'"


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.parametrize(
    ("first", "last"),
    [(2003, 2017), (2010, 2017), (2013, 2019), (2014, 2017), (2014, 2022)],
)
def test_sound_data_of_any_period_pass_the_gate(
    public_extracts: Path, fresh: Build, first: int, last: int
) -> None:
    described(public_extracts, fresh, f"{{first_year: {first}, last_year: {last}}}")
    fresh.dbt("build", "--select", "+gate_results", "--indirect-selection", "cautious")
    assert fresh.exit_code == 0, fresh.output
    assert fresh.rows(CRITICAL) == []
