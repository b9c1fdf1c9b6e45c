"""Tests for the event-study estimator and its Wald tests against explicit regressions."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ai_manufacturing.estimators import event_study, fixed_effects, heterogeneity
from ai_manufacturing.estimators.event_study import wald
from tests.python.estimator_tools import approx, changed, grid, refusal

fit = partial(event_study.fit, event_year=2016, window=(-5, 3))

TIMES = (-6, -5, -4, -3, -2, 0, 1, 2, 3, 4)


def panel(seed: int = 1, cities: int = 60) -> pd.DataFrame:
    """Return a balanced panel with growing treatment effects and random-walk errors."""
    rng = np.random.default_rng(seed)
    data = grid((f"{c:04d}" for c in range(cities)), range(2010, 2021))
    city = data["city_id"].astype(int)
    data["province"] = city // 5
    data["treated"] = (city % 2).astype(int)
    data["control"] = rng.normal(size=len(data)) + city / 10
    effect = 0.2 * (data["year"] - 2015).clip(0) * data["treated"]
    walk = rng.normal(size=(cities, 11)).cumsum(axis=1).ravel()
    data["y"] = effect + city / 7 + np.sin(data["year"]) + 0.5 * data["control"] + 0.3 * walk
    return data.sample(frac=1, random_state=seed)


@pytest.mark.parametrize(
    ("endpoints", "errors"),
    [
        ("kept", {"cluster": "province"}),
        ("binned", {"covariance": "iid"}),
        ("dropped", {"covariance": "robust"}),
    ],
)
def test_it_is_a_regression_on_terms_written_out(endpoints: Any, errors: Any) -> None:
    """An event study equals a regression on explicit treatment-by-year dummies.

    Compare estimates, covariance and the pre-trend F, with a control included.
    """
    data = panel(2)
    ours = fit(data, "y", controls=["control"], endpoints=endpoints, **errors)
    years: dict[int, list[int]] = {time: [2016 + time] for time in TIMES}
    if endpoints != "kept":
        del years[-6], years[4]
    if endpoints == "binned":
        years |= {-5: [2010, 2011], 3: [2019, 2020]}
    if endpoints == "dropped":
        data = data[data["year"].between(2011, 2019)]
    terms = {event_study.name_term(time): data["year"].isin(years[time]) for time in years}
    by_hand = data.assign(**{name: data["treated"] * flag for name, flag in terms.items()})
    theirs = fixed_effects.fit(by_hand, "y", [*terms, "control"], **errors)
    assert ours.terms == theirs.terms
    assert ours.observation_count == len(data)
    assert_allclose(ours.estimates, theirs.estimates, rtol=1e-9, atol=1e-11)
    assert_allclose(ours.covariance_matrix, theirs.covariance_matrix, rtol=1e-8, atol=1e-12)

    p, freedom = sum(time < 0 for time in years), theirs.degrees_of_freedom
    slopes = theirs.estimates[:p]
    f = slopes @ np.linalg.solve(theirs.covariance_matrix[:p, :p], slopes) / p
    assert isinstance(ours.pre_trend, event_study.WaldTest)
    expected = {"statistic": f, "p_value": stats.f.sf(f, p, freedom), "df1": p, "df2": freedom}
    assert {name: getattr(ours.pre_trend, name) for name in expected} == approx(expected, rel=1e-7)


def test_event_year_and_units_change_names_and_no_joint_test() -> None:
    data = panel()
    shifted = partial(
        fit, event_year=2014, window=(-3, 2), endpoints="binned", controls=["control"]
    )
    ours, other = shifted(data, "y"), shifted(data.assign(control=1e9 * data["control"]), "y")
    names = ("before3", "before2", "current", "after1", "after2")
    assert ours.terms == (*names, "control")
    assert ours.pre_trend == wald(ours, names[:2])
    terms = ["after2", "control"]
    assert wald(ours, terms).statistic == approx(wald(other, terms).statistic, rel=1e-8)


def test_counts_are_of_cities_and_rows_left_after_singletons() -> None:
    data = panel()
    lone = data["city_id"].isin(["0001", "0003"]) & (data["year"] != 2013)
    ours = fit(data[~lone], "y")
    assert (ours.treated_count, ours.singletons_dropped, ours.city_count) == (28, 2, 58)


def test_no_joint_test_says_why() -> None:
    """The result states the reason if there is no joint test of the pre-trends.

    Cases: more restrictions than clusters, an exact fit, and no year before the event.
    """
    data = panel(cities=20)
    few = fit(data, "y", cluster="province")
    exact = fit(data.assign(y=data["treated"] * (data["year"] > 2015)), "y")
    late = fit(data.query("year >= 2015"), "y")
    names = "before6, before5, before4, before3, before2 cannot be tested jointly: "
    assert [getattr(one.pre_trend, "en", "") for one in (few, exact, late)] == [
        names + "their covariance has rank 3 for 5 restrictions (3 degrees of freedom).",
        names + "the outcome is fitted exactly, so a standard error is zero.",
        "Pre-trends cannot be tested, because no year before the event has a term.",
    ]
    assert np.isfinite(few.std_errors).all()


IS_7 = "Only city_id 0007 has {} cities, but standard errors need two such clusters."
CASES = [
    ("treated = 0", "The sample has no treated city."),
    ("treated = 1", "The sample has no untreated city."),
    ("treated = 1 * (city_id == '0007')", IS_7.format("treated")),
    ("treated = 1 * (city_id != '0007')", IS_7.format("untreated")),
    ("year != 2015", "The sample has no row in the omitted year 2015."),
    ("treated == 0 or year not in (2012, 2018)", "The sample has no treated city in 2012, 2018."),
    ("treated == 1 or year != 2015", "The sample has no untreated city in 2015."),
    (
        "treated = 1 * (province == 3)",
        "Only province 3 has treated cities, but standard errors need two such clusters.",
    ),
]


@pytest.mark.parametrize(("change", "reason"), CASES)
def test_what_cannot_be_estimated_says_why(change: str, reason: str) -> None:
    cluster = "province" if "province" in reason else "city_id"
    assert refusal(fit, changed(panel().sort_index(), change), "y", cluster=cluster) == reason


def grouped_panel() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    data = panel()
    city = data["city_id"].astype(int)
    data["region"] = np.array(["east", "central", "west"])[city % 3]
    data["x"] = rng.normal(size=len(data)) + data["year"] / 10
    slopes = 0.5 + 0.5 * (data["region"] == "east")
    data["y"] = slopes * data["x"] + city + rng.normal(size=len(data))
    return data


def test_interactions_are_differences_of_split_sample_slopes() -> None:
    """Interaction terms equal differences between the slopes of separate regressions by group.

    This requires group-by-year effects and an interaction of every regressor.
    """
    data, by_x = heterogeneity.add_interactions(grouped_panel(), "x", "region", "east")
    data, by_control = heterogeneity.add_interactions(data, "control", "region", "east")
    data["region_year"] = heterogeneity.label_group_years(data, "region")
    assert by_x == ("x:central", "x:west")
    terms = ["x", *by_x, "control", *by_control]
    ours = fixed_effects.fit(data, "y", terms, time="region_year")
    east, central, west = (
        fixed_effects.fit(data[data["region"] == name], "y", ["x", "control"]).estimates[0]
        for name in ("east", "central", "west")
    )
    assert_allclose(ours.estimates[:3], [east, central - east, west - east], rtol=1e-9)
    assert ours.p_values[1] < 1e-3
    assert wald(ours, by_x).p_value < 1e-3


def test_what_cannot_be_compared_says_why() -> None:
    for change, reason in (
        ("region == 'east'", "the sample has only the reference group east."),
        ("region != 'east'", "the sample lacks the reference group east; it has central, west."),
    ):
        data = changed(grouped_panel(), change)
        found = refusal(heterogeneity.add_interactions, data, "x", "region", "east")
        assert found == "The groups of region cannot be compared: " + reason


def test_permutations_are_regressions_with_the_groups_of_other_cities() -> None:
    """Permutation p-values match regressions with reshuffled group labels.

    Draws are compared by t, because raw slopes of small groups scatter too widely.
    """
    rng = np.random.default_rng(1)
    data = grouped_panel().sort_index()
    data["y"] += 0.3 * rng.normal(size=60)[data["city_id"].astype(int)] * (data["year"] - 2015)
    labels = np.where(rng.permutation(60) < 5, "largest", "others")

    def grouped(groups: np.ndarray) -> pd.DataFrame:
        return data.assign(size=groups[data["city_id"].astype(int)])

    def difference(groups: np.ndarray) -> float:
        frame, names = heterogeneity.add_interactions(grouped(groups), "x", "size", "others")
        return float(abs(fixed_effects.fit(frame, "y", ["x", *names, "control"]).statistics[1]))

    own, draws = difference(labels), np.random.default_rng(7)
    larger = sum(difference(draws.permutation(labels)) >= own for _ in range(19))
    assert 0 < larger < 19
    asked = (grouped(labels), "y", "x", ["control"], "size", "others")
    found = heterogeneity.compute_permutation_p_values(*asked, draws=19, seed=7)
    assert found == {"x:largest": (1 + larger) / 20}
