"""The period belongs to the extract set: what it may say, who reads it, and which of its years the
gate judges.
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.gate import validation
from tests.planted_faults import copy_of_the_project
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import GOOD, Project, csv_text

ORDER = "period: first_year is {}, base_year {} and last_year {}."
DEFAULTS = (
    "vars: {first_year: 2010, last_year: 2020, base_year: 2020, plausible_years: [1949, 2035]}\n"
)


# ---------------------------------------------------------------- what extract_set.yml says


@pytest.mark.parametrize(
    ("named", "period"),
    [
        ("{first_year: 2008, last_year: 2022}", (2008, 2022, 2020)),
        ("{last_year: 2022}", (2010, 2022, 2020)),
        ("{last_year: 2015, base_year: 2015}", (2010, 2015, 2015)),
    ],
)
def test_a_set_names_its_period_and_takes_what_it_leaves_out_from_the_project(
    project: Project, named: str, period: tuple[int, ...]
) -> None:
    (project.root / "dbt_project.yml").write_text(DEFAULTS, encoding="utf-8")
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", f"name: autumn\nperiod: {named}\n")
    found = landing.extract_set(project.root / "extracts").period
    assert (found.first_year, found.last_year, found.base_year) == period


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("", "period is None, not a table of years, such as {"),
        ("[2010, 2022]", "period is [2010, 2022], not a table of years"),
        ("{}", "period: not a table of years, such as {"),
        ("{lastyear: 2022}", "period: lastyear is unknown (did you mean last_year?)"),
        ("{last_year: '2022'}", "period.last_year is '2022', not a valid integer"),
        ("{last_year: 20222}", f"{ORDER.format(2010, 2020, 20222)} Write years from 1949"),
        ("{last_year: yes}", "period.last_year is 'yes', not a valid integer"),
        ("{last_year: 2009}", ORDER.format(2010, 2020, 2009)),
        ("{first_year: 2022, last_year: 2010}", ORDER.format(2022, 2020, 2010)),
        ("{last_year: 2015}", ORDER.format(2010, 2020, 2015)),
        ("{base_year: 2022}", ORDER.format(2010, 2022, 2020)),
    ],
)
def test_a_period_that_cannot_be_one_is_refused_in_one_line(
    project: Project, named: str, message: str
) -> None:
    (project.root / "dbt_project.yml").write_text(DEFAULTS, encoding="utf-8")
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", f"period: {named}\n")
    with pytest.raises(landing.LandingError) as raised:
        landing.deliveries()
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
        landing.deliveries()
        (written,) = (project.root / "landing/tables").glob("*/extract_set.parquet")
        assert pq.read_table(written).to_pylist() == [
            dict(
                zip(
                    ("extract_set", "first_year", "last_year", "base_year"),
                    ("extracts", *period),
                    strict=True,
                )
            )
        ]


# ---------------------------------------------------------------- who reads it


@pytest.mark.door
@pytest.mark.soak
def test_a_run_has_the_period_of_its_set_and_vars_go_before_it(fresh: Build) -> None:
    """In one target folder: what dbt parsed for one set must not stay for the next."""
    model = (
        fresh.scratch
        / "target/compiled/ai_manufacturing/models/marts/measure/fct_spatial_trend.sql"
    )

    def compiled(*arguments: str) -> tuple[bool, ...]:
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


def test_sql_asks_for_the_period_and_not_for_the_variables_of_the_project() -> None:
    asked = re.compile(r"""var\(\s*['"](first_year|last_year|base_year)['"]""")
    paths = [
        path
        for folder in ("models", "python_models", "macros", "tests")
        for path in (PROJECT / folder).rglob("*")
    ]
    texts = {
        path: path.read_text(encoding="utf-8") for path in paths if path.suffix in (".sql", ".yml")
    }
    assert len(texts) > 100
    assert [str(path) for path, text in texts.items() if asked.search(text)] == []


def test_the_headline_years_are_those_of_samples_and_of_fixed_shares() -> None:
    series = pd.DataFrame(
        [
            {"is_headline": True, "first_year": 2010, "last_year": 2012, "fixed_year": None},
            {"is_headline": True, "first_year": None, "last_year": None, "fixed_year": 2020},
            {"is_headline": False, "first_year": 2010, "last_year": 2022, "fixed_year": 2005},
        ]
    )
    assert validation.headline_years(series) == {2010, 2011, 2012, 2020}
    assert validation.headline_years(series.head(0)) == set()


FAULTS = {
    ("150600", 2022): "GDP of a city does not fall by more than 60 %",
    ("340400", 2022): "GDP of a city does not fall by more than 60 %",
    ("460400", 2021): "GDP of a city grows by -20 to 40 % a year",
    ("654000", 2021): "GDP of a city grows by -20 to 40 % a year",
    ("652300", 2022): "GDP of a city does not repeat the year before",
    ("231200", 2021): "Resident population of a city changes by a quarter or less",
    ("320800", 2021): "Unit employment of a city at most doubles or halves",
}


@pytest.mark.door
@pytest.mark.soak
def test_the_public_set_to_2022_builds_in_the_same_clone_and_the_gate_finds_its_faults(
    public_extracts: Path, public_build: Build, fresh: Build, tmp_path: Path
) -> None:
    """Links to the delivered files beside a description, without and with what is declared of 2021
    and 2022.
    """
    fresh.extracts.mkdir()
    for folder in public_extracts.iterdir():
        (fresh.extracts / folder.name).symlink_to(folder)
    described = "name: public to 2022\nperiod: {first_year: 2010, last_year: 2022}\n"
    (fresh.extracts / "extract_set.yml").write_text(described, encoding="utf-8")
    fresh.landing = Path(shutil.copytree(public_build.scratch / "landing", tmp_path / "store"))
    undeclared = replace(fresh, project=copy_of_the_project(tmp_path / "project"))
    for name, column in (("corrections", 4), ("expected_coverage", 3)):
        path = undeclared.project / f"seeds/{name}.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [
            line
            for line in lines
            if not line.split(",")[column].isdigit() or int(line.split(",")[column]) < 2021
        ]
        assert len(kept) < len(lines)
        path.write_text("".join(kept), encoding="utf-8")
    undeclared.dbt("build", "--select", "+gate_results", "--indirect-selection", "cautious")
    assert undeclared.exit_code == 0, undeclared.output
    failed = (
        "select description, failing_rows from gates.gate_results where not success and"
        " severity = ?"
    )
    assert fresh.rows(failed, "critical") == []
    found = fresh.rows(failed, "warning")
    for (city_id, year), said in FAULTS.items():
        place = f'"city_id": "{city_id}", "year": {year}'
        assert any(said in description and place in rows for description, rows in found), (
            city_id,
            year,
        )
    covered = [
        rows for description, rows in found if "covers at least 90 % of the cities" in description
    ]
    assert any(
        '"science_spending_100m_cny"' in rows and '"year": 2022, "city_count": 23' in rows
        for rows in covered
    )

    assert fresh.dbt("build").exit_code == 0, fresh.output
    found = fresh.rows(failed, "warning")
    for city_id, year in FAULTS:
        place = f'"city_id": "{city_id}", "year": {year}'
        assert not any(place in rows for _, rows in found), (city_id, year)
    panel = "select min(year), max(year), count(*) from marts.fct_city_year_panel"
    assert fresh.rows(panel) == [(2010, 2022, 367 * 13)]
    # the years to 2020 are as in the public set to 2020
    estimates = (
        "select specification_id, term, estimate, std_error from reports.rpt_coefficients where "
    )
    estimates += (
        "specification_id not like 'table_1_col_1_to_2022%' and table_id in ('table_1', 'table_2')"
        " order by all"
    )
    assert fresh.rows(estimates) == public_build.rows(estimates)
