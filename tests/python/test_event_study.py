"""The event study and its Wald test against differences of means, dummy regressions, hand-made F, and truth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators import event_study, fixed_effects, heterogeneity
from ai_manufacturing.estimators.event_study import EventStudyFit, wald
from ai_manufacturing.estimators.not_estimable import NotEstimable

pytestmark = pytest.mark.filterwarnings("error")
fit = partial(event_study.fit, event_year=2016, omitted_year=2015, window=(-5, 3))

YEARS = range(2010, 2021)
KEPT = ("before6", "before5", "before4", "before3", "before2", "current", "after1", "after2", "after3", "after4")
PATH = dict(zip(KEPT, (0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0), strict=True))


def panel(seed: int = 1, cities: int = 60, noise: float = 0.3, path: dict[str, float] = PATH) -> pd.DataFrame:
    """Return a balanced panel with a known path of effects, city trends in the errors, and no pre-trend."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([[f"{c:04d}" for c in range(cities)], YEARS], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    city = data["city_id"].astype(int)
    data["province"] = city // 5
    data["treated"] = (city % 2).astype(int)
    data["control"] = rng.normal(size=len(data)) + city / 10
    effect = (data["year"] - 2016).map(lambda t: path.get(event_study.term(t), 0.0)) * data["treated"]
    walk = rng.normal(size=(cities, len(YEARS))).cumsum(axis=1).ravel()
    data["y"] = effect + city / 7 + np.sin(data["year"]) + 0.5 * data["control"] + noise * walk
    return data.sample(frac=1, random_state=seed)


def test_the_path_is_the_difference_of_changes_in_means() -> None:
    """No controls, no gaps: every coefficient can be read off eleven pairs of means."""
    data = panel()
    ours = fit(data, "y", "treated")
    means = data.groupby(["treated", "year"])["y"].mean()
    gaps = means[1] - means[0]
    by_hand = gaps - gaps[2015]
    assert ours.terms == KEPT
    assert ours.event_times == (-6, -5, -4, -3, -2, 0, 1, 2, 3, 4)
    np.testing.assert_allclose(ours.estimates, by_hand.drop(2015), atol=1e-12)
    assert ours.treated_count == 30
    assert ours.observation_count == 660
    assert ours.degrees_of_freedom == 59


def test_iid_errors_on_a_balanced_panel_are_the_same_in_every_row() -> None:
    """The mark that Table 5 bears: s sqrt(2/N1 + 2/N0), whatever the year."""
    data = panel()
    ours = fit(data, "y", "treated", covariance="iid")
    gap = data["y"] - data.groupby(["treated", "year"])["y"].transform("mean")  # treated-by-year means fit exactly
    residuals = gap - gap.groupby(data["city_id"]).transform("mean")
    s2 = np.sum(residuals**2) / (660 - 10 - 60 - 10)
    np.testing.assert_allclose(ours.std_errors, np.sqrt(s2 * (2 / 30 + 2 / 30)), rtol=1e-10)
    assert ours.degrees_of_freedom == 580
    clustered = fit(data, "y", "treated")
    assert np.ptp(clustered.std_errors) > 0.1 * clustered.std_errors.mean()


def dummies(data: pd.DataFrame, names: dict[str, Any], controls: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the full design with the event terms first, and its labels are the caller's."""
    columns = [(data["treated"] * data["year"].isin(years)).to_numpy(float) for years in names.values()]
    columns += [data[c].to_numpy(float) for c in controls]
    columns += [(data["city_id"] == c).to_numpy(float) for c in data["city_id"].unique()]
    columns += [(data["year"] == t).to_numpy(float) for t in sorted(data["year"].unique())[1:]]
    return np.column_stack(columns), data["y"].to_numpy(float)


@pytest.mark.parametrize("covariance", ["clustered", "iid", "robust"])
@pytest.mark.parametrize(
    ("endpoints", "first", "last", "rows"),
    [("kept", {"before6": [2010]}, {"after4": [2020]}, 660), ("binned", {}, {}, 660), ("dropped", {}, {}, 540)],
)
def test_a_regression_on_all_dummies_agrees(
    covariance: Any, endpoints: Any, first: dict[str, Any], last: dict[str, Any], rows: int
) -> None:
    """Terms written out by hand, with a control; estimates, covariance and the pre-trend F."""
    data = panel(2)
    names = first | {event_study.term(t): [2016 + t] for t in (-5, -4, -3, -2, 0, 1, 2, 3)} | last
    if endpoints == "binned":
        names["before5"], names["after3"] = [2010, 2011], [2019, 2020]
    used = data if endpoints != "dropped" else data[data["year"].between(2011, 2019)]
    x, y = dummies(used, names, ["control"])
    bread = np.linalg.inv(x.T @ x)
    b = bread @ (x.T @ y)
    e = y - x @ b
    n, k = x.shape
    if covariance == "clustered":
        scores = pd.DataFrame(x * e[:, None]).groupby(used["city_id"].to_numpy()).sum().to_numpy()
        parameters = len(names) + 1 + used["year"].nunique()
        v = 60 / 59 * (n - 1) / (n - parameters) * bread @ scores.T @ scores @ bread
        df2 = 59
    elif covariance == "iid":
        v, df2 = e @ e / (n - k) * bread, n - k
    else:
        v, df2 = n / (n - k) * bread @ (x * e[:, None] ** 2).T @ x @ bread, n - k

    ours = fit(data, "y", "treated", controls=["control"], endpoints=endpoints, covariance=covariance)
    q = len(names) + 1
    assert ours.terms == (*names, "control")
    assert ours.observation_count == rows
    np.testing.assert_allclose(ours.estimates, b[:q], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ours.covariance_matrix, v[:q, :q], rtol=1e-8, atol=1e-12)

    pre = [name for name in names if name.startswith("before")]
    p = len(pre)
    f = b[:p] @ np.linalg.solve(v[:p, :p], b[:p]) / p
    assert ours.pre_trend is not None
    assert ours.pre_trend.terms == tuple(pre)
    assert ours.pre_trend.statistic == pytest.approx(f, rel=1e-8)
    assert (ours.pre_trend.df1, ours.pre_trend.df2) == (p, df2)
    assert ours.pre_trend.p_value == pytest.approx(stats.f.sf(f, p, df2), rel=1e-7)
    assert ours.pre_trend_reason is None


def test_the_path_is_found_and_a_pre_trend_too() -> None:
    ours = fit(panel(3, cities=400, noise=0.1), "y", "treated", controls=["control"])
    truth = np.array([*PATH.values(), 0.5])
    assert (np.abs(ours.estimates - truth) < 4 * ours.std_errors).all()
    assert ours.pre_trend is not None
    assert ours.pre_trend.p_value > 0.05
    sloped = panel(3, cities=400, noise=0.1, path=PATH | {"before6": 0.15, "before2": -0.1})
    trend = fit(sloped, "y", "treated", controls=["control"]).pre_trend
    assert trend is not None
    assert trend.p_value < 1e-6


def test_other_event_and_omitted_years_shift_the_names() -> None:
    ours = fit(panel(), "y", "treated", event_year=2014, omitted_year=2012, window=(-3, 2), endpoints="binned")
    assert ours.terms == ("before3", "before1", "current", "after1", "after2")
    assert ours.pre_trend is not None
    assert ours.pre_trend.terms == ("before3", "before1")


def test_province_clusters_are_those_of_fixed_effects() -> None:
    data = panel()
    ours = fit(data, "y", "treated", cluster="province")
    assert ours.degrees_of_freedom == 11
    assert ours.pre_trend is not None
    assert ours.pre_trend.df2 == 11


def test_counts_are_of_cities_and_rows_left_after_singletons() -> None:
    data = panel()
    lone = data["city_id"].isin(["0001", "0003"]) & (data["year"] != 2013)
    ours = fit(data[~lone], "y", "treated")
    assert (ours.treated_count, ours.singletons_dropped) == (28, 2)
    assert ours.city_count == 58


def test_a_flag_may_be_boolean_and_the_sample_is_left_as_it_was() -> None:
    data = panel()
    before = data.copy()
    plain = fit(data, "y", "treated")
    other = fit(data.assign(treated=data["treated"].astype("boolean")), "y", "treated")
    np.testing.assert_array_equal(plain.std_errors, other.std_errors)
    pd.testing.assert_frame_equal(data, before)


# ---------------------------------------------------------------- Wald


def test_one_restriction_is_t_squared() -> None:
    ours = fit(panel(), "y", "treated")
    single = wald(ours, ["after2"])
    j = ours.terms.index("after2")
    assert single.statistic == pytest.approx(ours.statistics[j] ** 2, rel=1e-12)
    assert single.p_value == pytest.approx(ours.p_values[j], rel=1e-9)


def test_units_do_not_change_a_joint_test() -> None:
    data = panel()
    data["late"] = data["treated"] * (data["year"] > 2015)
    plain = fixed_effects.fit(data, "y", ["late", "control"])
    data["control"] *= 1e9
    scaled = fixed_effects.fit(data, "y", ["late", "control"])
    assert wald(scaled, ["late", "control"]).statistic == pytest.approx(wald(plain, plain.terms).statistic, rel=1e-8)


def test_more_restrictions_than_clusters_leave_no_test_and_say_why() -> None:
    data = panel(cities=20)
    data["region"] = data["city_id"].astype(int) // 5
    ours = fit(data, "y", "treated", cluster="region")
    assert ours.pre_trend is None
    assert ours.pre_trend_reason is not None
    assert ours.pre_trend_reason.en == (
        "No joint test of before6, before5, before4, before3, before2: their covariance has rank 3 for 5 restrictions "
        "(3 degrees of freedom)."
    )
    assert np.isfinite(ours.std_errors).all()


def test_an_exact_fit_has_no_joint_test() -> None:
    data = panel()
    data["y"] = data["treated"] * np.where(data["year"] > 2015, 2.0, 0.0) + data["city_id"].astype(int)
    ours = fit(data, "y", "treated")
    assert ours.pre_trend is None
    assert ours.pre_trend_reason is not None
    assert ours.pre_trend_reason.en.endswith("an error is zero because the outcome is fitted exactly.")


def test_no_year_before_the_event_leaves_no_pre_trend_test() -> None:
    ours = fit(panel().query("year >= 2015"), "y", "treated")
    assert (ours.pre_trend, ours.pre_trend_reason) == (
        None,
        ("No pre-trend test: no year before the event has a term.", "没有事前趋势检验：事前没有任何一年有变量。"),
    )


def test_a_joint_test_of_nothing_is_refused() -> None:
    with pytest.raises(NotEstimable, match="A joint test needs at least one term"):
        wald(fit(panel(), "y", "treated"), [])


# ---------------------------------------------------------------- what cannot be estimated


def estimate(data: pd.DataFrame, **options: Any) -> EventStudyFit:
    return fit(data, "y", "treated", **options)


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "none treated": (lambda d: d.assign(treated=0), "The sample has no treated city."),
    "all treated": (lambda d: d.assign(treated=1), "The sample has no untreated city."),
    "one treated": (
        lambda d: d.assign(treated=(d["city_id"] == "0007").astype(int)),
        "Only city_id 0007 has treated cities; errors need two such clusters.",
    ),
    "one untreated": (
        lambda d: d.assign(treated=(d["city_id"] != "0007").astype(int)),
        "Only city_id 0007 has untreated cities; errors need two such clusters.",
    ),
    "one treated province": (
        lambda d: d.assign(treated=(d["province"] == 3).astype(int)),
        "Only province 3 has treated cities; errors need two such clusters.",
    ),
    "one city": (lambda d: d.query("city_id == '0001'"), "The sample has no row in the omitted year 2015"),
    "varying treatment": (
        lambda d: d.assign(treated=d["treated"].where((d["city_id"] != "0003") | (d["year"] < 2016), 0)),
        "city_id 0003 is treated in some years and not in others: column treated must be fixed over time.",
    ),
    "not a flag": (lambda d: d.assign(treated=0.5 * d["treated"]), "Column treated holds 0.5: a treatment is 0 or 1."),
    "missing flag": (
        lambda d: d.assign(treated=d["treated"].where(d["city_id"] != "0003")),
        "Column treated has 11 missing or non-finite values.",
    ),
    "missing city": (
        lambda d: d.assign(city_id=d["city_id"].where(d["city_id"] != "0003")),
        "Column city_id has 11 missing values.",
    ),
    "missing province": (
        lambda d: d.assign(province=d["province"].where(d["province"] != 3)),
        "Column province has 55 missing values.",
    ),
    "omitted year absent": (lambda d: d.query("year != 2015"), "The sample has no row in the omitted year 2015."),
    "omitted year alone": (lambda d: d.query("year == 2015"), "The sample has no row in the omitted year 2015"),
    "no rows": (lambda d: d.head(0), "The sample has no observations."),
    "half a year": (lambda d: d.assign(year=d["year"] + 0.5), "Column year holds 2010.5: an event study needs"),
    "a year without treated cities": (
        lambda d: d[(d["treated"] == 0) | ~d["year"].isin([2012, 2018])],
        "The sample has no treated city in 2012, 2018.",
    ),
    "a year without untreated cities": (
        lambda d: d[(d["treated"] == 1) | (d["year"] != 2015)],
        "The sample has no untreated city in 2015.",
    ),
    "absorbed control": (
        lambda d: d.assign(control=d["province"]),
        "Regressor control does not vary once the city_id and year effects are removed.",
    ),
    "missing outcome": (
        lambda d: d.assign(y=d["y"].where(d["year"] != 2012)),
        "Column y has 60 missing or non-finite values.",
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "one untreated": {"covariance": "robust"},
    "one treated province": {"cluster": "province"},
    "missing province": {"cluster": "province"},
    "absorbed control": {"controls": ["control"]},
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_says_why(case: str) -> None:
    change, reason = CASES[case]
    with pytest.raises(NotEstimable) as caught:
        estimate(change(panel().sort_index()), **OPTIONS.get(case, {}))
    assert caught.value.reason.en.startswith(reason)
    assert caught.value.reason.en.endswith(".")


def test_a_window_without_the_omitted_year_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="The omitted year 2015 is outside the window 2016-2019"):
        estimate(panel(), window=(0, 3))


def test_a_control_named_like_a_term_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Column current has the name of a term"):
        estimate(panel().assign(current=1.0), controls=["current"])


# ---------------------------------------------------------------- heterogeneity


def grouped_panel() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    data = panel()
    data["region"] = data["city_id"].astype(int).map(lambda c: ("east", "central", "west")[c % 3])
    data["x"] = rng.normal(size=len(data)) + data["year"] / 10
    slopes = data["region"].map({"east": 1.0, "central": 0.5, "west": 0.5})
    data["y"] = slopes * data["x"] + data["city_id"].astype(int) + rng.normal(size=len(data))
    return data


def test_interactions_are_differences_of_split_sample_slopes() -> None:
    """Group-by-year effects and all regressors interacted: the same slopes as three regressions."""
    data, by_x = heterogeneity.interact(grouped_panel(), "x", "region", "east")
    data, by_control = heterogeneity.interact(data, "control", "region", "east")
    data["region_year"] = heterogeneity.group_year(data, "region")
    assert by_x == ("x:central", "x:west")
    ours = fixed_effects.fit(data, "y", ["x", *by_x, "control", *by_control], time="region_year")
    split = {name: fixed_effects.fit(rows, "y", ["x", "control"]).estimates[0] for name, rows in data.groupby("region")}
    expected = [split["east"], split["central"] - split["east"], split["west"] - split["east"]]
    np.testing.assert_allclose(ours.estimates[:3], expected, rtol=1e-9)
    assert ours.p_values[1] < 1e-3
    assert wald(ours, by_x).p_value < 1e-3


def test_the_reference_group_only_turns_the_signs() -> None:
    east, _ = heterogeneity.interact(grouped_panel().query("region != 'west'"), "x", "region", "east")
    central, _ = heterogeneity.interact(grouped_panel().query("region != 'west'"), "x", "region", "central")
    first = fixed_effects.fit(east, "y", ["x", "x:central"])
    second = fixed_effects.fit(central, "y", ["x", "x:east"])
    assert first.estimates[1] == pytest.approx(-second.estimates[1], rel=1e-10)
    assert first.p_values[1] == pytest.approx(second.p_values[1], rel=1e-8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda d: d.assign(region="east"),
            "No comparison of region: the sample has only the reference group east.",
        ),
        (
            lambda d: d.query("region != 'east'"),
            "No comparison of region: the sample lacks the reference group east; it has central, west.",
        ),
        (lambda d: d.assign(region=d["region"].where(d["year"] > 2010)), "Column region has 60 missing values."),
        (
            lambda d: d.assign(region=d["region"].where((d["city_id"] != "0003") | (d["year"] < 2016), "west")),
            "city_id 0003 changes its region: a group must be fixed over time.",
        ),
    ],
)
def test_groups_that_cannot_be_compared_say_why(change: Callable[[pd.DataFrame], pd.DataFrame], reason: str) -> None:
    with pytest.raises(NotEstimable) as caught:
        heterogeneity.interact(change(grouped_panel()), "x", "region", "east")
    assert caught.value.reason.en == reason


def random_groups(seed: int, cities: int = 60, few: int = 5, *, largest: bool = False) -> pd.DataFrame:
    """Return a panel in which a handful of cities differs in nothing: drawn at random, or those whose x varies most."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(cities), range(2010, 2018)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    trend = rng.normal(size=cities)[data["city_id"]] * (data["year"] - 2010)
    data["x"] = trend + 0.5 * rng.normal(size=len(data))
    spread = np.exp(rng.normal(size=cities)) if largest else np.ones(cities)
    data["x"] *= spread[data["city_id"]]
    data["z"] = rng.normal(size=len(data))
    drift = rng.normal(size=cities)[data["city_id"]] * (data["year"] - 2010)
    data["y"] = data["x"] + 0.3 * data["z"] + 0.3 * drift + rng.normal(size=len(data))
    chosen = np.argsort(-spread)[:few] if largest else rng.choice(cities, few, replace=False)
    data["size"] = np.where(data["city_id"].isin(chosen), "largest", "others")
    return data


def test_permutations_are_regressions_with_the_groups_of_other_cities() -> None:
    data = random_groups(1)
    found = heterogeneity.permutation_p_values(data, "y", "x", ["z"], "size", "others", draws=19, seed=7)
    rng = np.random.default_rng(7)
    labels = data.groupby("city_id")["size"].first().to_numpy()

    def difference(groups: np.ndarray) -> float:
        frame, names = heterogeneity.interact(data.assign(size=groups[data["city_id"]]), "x", "size", "others")
        return abs(fixed_effects.fit(frame, "y", ["x", *names, "z"]).statistics[1])

    own = difference(labels)
    larger = sum(difference(rng.permutation(labels)) >= own for _ in range(19))
    assert found == {"x:largest": (1 + larger) / 20}


@pytest.mark.soak
def test_a_handful_that_differs_in_nothing_is_rarely_found_to_differ_unlike_by_clustered_errors() -> None:
    samples = 60
    permuted = clustered = 0
    for seed in range(samples):
        data = random_groups(seed)
        p_values = heterogeneity.permutation_p_values(data, "y", "x", ["z"], "size", "others", draws=99, seed=seed)
        permuted += p_values["x:largest"] <= 0.05
        frame, names = heterogeneity.interact(data, "x", "size", "others")
        clustered += fixed_effects.fit(frame, "y", ["x", *names, "z"]).p_values[1] <= 0.05
    assert permuted <= 0.12 * samples  # 5 %, three binomial errors
    assert clustered > permuted


@pytest.mark.parametrize(("effect", "fewest", "most"), [(0.0, 0, 0.12), (0.3, 0.7, 1)])
def test_the_largest_are_compared_with_cities_whose_measure_varies_less(
    effect: float, fewest: float, most: float
) -> None:
    """Raw slopes of small cities scatter so widely that nine in ten such effects would be called chance."""
    samples, found = 60, 0
    for seed in range(samples):
        data = random_groups(seed, largest=True)
        data["y"] += effect * data["x"] * (data["size"] == "largest")
        p_values = heterogeneity.permutation_p_values(data, "y", "x", ["z"], "size", "others", draws=99, seed=seed)
        found += p_values["x:largest"] <= 0.05
    assert fewest * samples <= found <= most * samples


def test_a_handful_that_differs_is_found() -> None:
    data = random_groups(2)
    data["y"] += 2 * data["x"] * (data["size"] == "largest")
    found = heterogeneity.permutation_p_values(data, "y", "x", ["z"], "size", "others", draws=199)
    assert found["x:largest"] < 0.02
