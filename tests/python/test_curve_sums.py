"""Sums of the curve: estimates that follow from them, and cities that do not."""

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing import disclosure
from ai_manufacturing.estimators import fixed_effects
from tests.python import curve_reader
from tests.python.conftest import Build

EXACT = {"rel": 1e-8, "abs": 0}
HEADLINE = """
    select outcome, concat(transform, ' ', weighting) as measure, controls, regressor, transform
    from reports.rpt_specifications
    where specification_id in (select specification_id from estimates.est_specification_curve)
"""


@pytest.fixture(scope="module", params=["sample_build", "public_build"])
def build(request: pytest.FixtureRequest) -> Build:
    """A build with a curve."""
    built: Build = request.getfixturevalue(request.param)
    return built


def sums_of(build: Build) -> dict[str, pd.DataFrame]:
    """Return the sums by period."""
    table = build.frame("select * from estimates.est_curve_sums where status = 'estimated'")
    return dict(iter(table.groupby("period")))


def of_longest_period(build: Build) -> pd.DataFrame:
    """Return the sums of the period with the most observations."""
    return max(sums_of(build).values(), key=lambda sums: sums["observation_count"].iloc[0])


def cities_of(build: Build) -> pd.DataFrame:
    """Return the city-years of the headline, with the group of provinces of each."""
    rows = build.frame(
        """
        select p.city_id, p.year, p.province_id, p.ln_gdp, p.ln_registered_population,
            p.ln_unit_employment, p.ln_science_spending, p.ln_rd_personnel, p.ln1p_ai_firms_scaled
        from estimates.estimation_samples as s
        inner join marts.fct_city_year_panel as p using (city_id, year)
        where s.specification_id = 'table_1_col_1'
        """
    )
    groups = {
        province: name
        for name in of_longest_period(build)["provinces"].dropna().unique()
        for province in name.split()
    }
    return rows.assign(group=rows["province_id"].map(groups))


def test_points_with_the_city_years_of_the_sums_follow_from_them(build: Build) -> None:
    points = build.frame(
        """
        select outcome, concat(transform, ' ', weighting) as measure, control_variables, period,
            observation_count, estimate, std_error
        from estimates.est_specification_curve
        where
            status = 'estimated' and errors = 'city' and provider = 'default'
            and scope = 'industry' and fixed_effects = 'city year' and city_sample = 'all'
            and dynamics = 'levels'
        """
    )
    followed = 0
    for period, sums in sums_of(build).items():
        terms = {*sums["term"]}
        for point in points[points["period"] == period].itertuples():
            controls = str(point.control_variables or "").split()
            if point.observation_count != sums["observation_count"].iloc[0]:
                continue
            if not {point.outcome, point.measure, *controls} <= terms:
                continue
            answer = curve_reader.fitted(sums, point.outcome, point.measure, controls)
            assert answer.estimate == pytest.approx(point.estimate, **EXACT)
            assert answer.by_city == pytest.approx(point.std_error, **EXACT)
            followed += 1
    # the headline and another transform, in both periods
    assert followed >= 4


def test_the_error_by_groups_is_the_jackknife_over_their_city_years(build: Build) -> None:
    (headline,) = build.frame(HEADLINE).to_dict("records")
    controls = headline["controls"].split()
    rows = cities_of(build)
    sums = of_longest_period(build)
    answer = curve_reader.fitted(sums, headline["outcome"], headline["measure"], controls)

    def slope(sample: pd.DataFrame) -> float:
        terms = ["ln1p_ai_firms_scaled", *controls]
        return float(fixed_effects.fit(sample, headline["outcome"], terms).estimates[0])

    groups = rows["group"].unique()
    moves = np.array([slope(rows[rows["group"] != group]) for group in groups]) - slope(rows)
    jackknife = np.sqrt((len(groups) - 1) / len(groups) * (moves**2).sum())
    assert answer.groups == len(groups)
    assert answer.by_group == pytest.approx(jackknife, **EXACT)


def test_no_city_follows_from_a_sum(build: Build) -> None:
    rows = cities_of(build)
    assert rows["group"].notna().all()
    assert rows.groupby("group")["city_id"].nunique().min() >= 3
    for name in ("ln_gdp", "ln1p_ai_firms_scaled", "ln_unit_employment"):
        within = rows[name] - rows.groupby("city_id")[name].transform("mean")
        squares = (within**2).groupby([rows["group"], rows["city_id"]]).sum()
        for _, of_group in squares.groupby("group"):
            largest, second, *others = sorted(of_group, reverse=True)
            assert sum(others) >= 0.1 * largest, (name, largest, second)
    # what a provincial sum of one city would be
    table = pd.concat(sums_of(build).values())
    municipalities = {"110000", "120000", "310000", "500000"}
    assert not municipalities & {*table["provinces"].dropna()}


def test_a_measure_in_levels_has_no_sums(public_build: Build) -> None:
    # of whose squares the largest city has nearly all
    terms = {term for sums in sums_of(public_build).values() for term in sums["term"]}
    assert "ln1p fixed_ratio" in terms
    assert "level fixed_ratio" not in terms


@pytest.mark.parametrize(
    ("contributions", "is_safe"),
    [
        ([5.0, 4.0, 3.0], True),
        ([5.0, -4.0, 3.0], True),
        ([5.0, 4.0], False),
        ([5.0, 4.0, 0.0], False),
        ([50.0, 40.0, 4.0], False),
        ([50.0, 40.0, 5.0], True),
        ([0.0, 0.0], True),
    ],
)
def test_a_sum_is_safe_if_no_unit_follows_from_it(
    contributions: list[float], is_safe: bool
) -> None:
    assert disclosure.are_safe(np.array([contributions]).T) == is_safe


def test_sums_are_safe_together() -> None:
    assert not disclosure.are_safe(np.array([[5.0, 5.0], [4.0, 4.0], [3.0, 0.0]]))
