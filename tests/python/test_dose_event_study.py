"""The event study of a dose against regressions on all dummies, differences of means, the binary one, and truth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.event_study import term
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import dose_event_study
from ai_manufacturing.robustness.event_paths import simultaneous_band, trend_found

pytestmark = pytest.mark.filterwarnings("error")
fit = partial(dose_event_study.fit, event_year=2015, omitted_year=2014, window=(-3, 3))

YEARS = range(2010, 2020)
TIMES = (-5, -4, -3, -2, 0, 1, 2, 3, 4)


def panel(seed: int = 1, cities: int = 45, noise: float = 0.3) -> pd.DataFrame:
    """Return a balanced panel in which a unit of dose adds .2 a year from the event on."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([[f"{c:04d}" for c in range(cities)], YEARS], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    city = data["city_id"].astype(int)
    data["province"] = city // 5
    data["share"] = rng.uniform(0.2, 0.8, cities)[city]
    data["control"] = rng.normal(size=len(data)) + city / 10
    since = (data["year"] - 2014).clip(lower=0)
    walk = rng.normal(size=(cities, len(YEARS))).cumsum(axis=1).ravel()
    data["y"] = 0.2 * since * data["share"] + city / 7 + np.sin(data["year"]) + 0.5 * data["control"] + noise * walk
    return data.sample(frac=1, random_state=seed)


def thirds(data: pd.DataFrame) -> pd.Series:
    """Return low, middle or high for each row, by rank of its city among cities of distinct doses."""
    ranks = data.groupby("city_id")["share"].first().rank()
    names = np.array(["low", "middle", "high"])
    return data["city_id"].map(dict(zip(ranks.index, names[((ranks - 1) * 3 // len(ranks)).astype(int)], strict=True)))


@pytest.mark.parametrize("split", ["continuous", "terciles"])
def test_a_regression_on_all_dummies_agrees(split: Any) -> None:
    """Terms written out by hand, with a control: estimates and covariance."""
    data = panel(2)
    levels = {"": data["share"]}
    if split == "terciles":
        levels = {f":{name}": (thirds(data) == name).astype(float) for name in ("middle", "high")}
    names = [f"{term(event_time)}{suffix}" for suffix in levels for event_time in TIMES]
    columns = [level * (data["year"] == 2015 + event_time) for level in levels.values() for event_time in TIMES]
    columns += [data["control"]]
    columns += [data["city_id"] == city for city in data["city_id"].unique()]
    columns += [data["year"] == year for year in YEARS[1:]]
    x = np.column_stack([column.to_numpy(float) for column in columns])
    plain = sm.OLS(data["y"].to_numpy(), x).fit()
    cities = data["city_id"].astype(int).to_numpy()
    bare = plain.get_robustcov_results("cluster", groups=cities, use_correction=False, df_correction=False)
    factor = 45 / 44 * (len(data) - 1) / (len(data) - (len(names) + 1 + len(YEARS)))

    ours = fit(data, "y", "share", split=split, controls=["control"])
    q = len(names) + 1
    assert ours.terms == (*names, "control")
    assert ours.event_times == TIMES * len(levels)
    np.testing.assert_allclose(ours.estimates, plain.params[:q], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.covariance_matrix, factor * bare.cov_params()[:q, :q], rtol=1e-7, atol=1e-11)


def test_a_coefficient_is_the_slope_of_changes_since_the_omitted_year() -> None:
    """No controls, no gaps: nine regressions of cities' changes on their dose."""
    data = panel()
    wide = data.pivot_table(index="city_id", columns="year", values="y")
    share = data.groupby("city_id")["share"].first()
    slopes = [np.polyfit(share, wide[2015 + event_time] - wide[2014], 1)[0] for event_time in TIMES]
    ours = fit(data, "y", "share")
    np.testing.assert_allclose(ours.estimates, slopes, rtol=1e-9)


def test_terciles_are_differences_of_mean_changes_and_the_binary_study_without_the_middle() -> None:
    data = panel(cities=46)
    ours = fit(data, "y", "share", split="terciles")
    assert [name.partition(":")[2] for name in ours.terms] == ["middle"] * 9 + ["high"] * 9
    bounds = np.quantile(data.groupby("city_id")["share"].first(), [1 / 3, 2 / 3])
    extremes = data[(data["share"] <= bounds[0]) | (data["share"] > bounds[1])]
    binary = event_study.fit(
        extremes.assign(treated=(extremes["share"] > bounds[1]).astype(float)),
        "y",
        "treated",
        event_year=2015,
        omitted_year=2014,
        window=(-3, 3),
    )
    np.testing.assert_allclose(ours.estimates[9:], binary.estimates, rtol=1e-9)


def test_a_city_at_a_bound_is_below_it() -> None:
    """Terciles of 1 to 7 are 3 and 5: the lowest third has three cities."""
    doses = dict(zip((f"{c:04d}" for c in range(7)), (1, 2, 3, 4, 5, 6, 7), strict=True))
    data = panel(cities=7).assign(share=lambda rows: rows["city_id"].map(doses).astype(float))
    changes = data.pivot_table(index="share", columns="year", values="y")
    changes = changes[2015] - changes[2014]
    ours = fit(data, "y", "share", split="terciles")
    middle = ours.estimates[ours.terms.index("current:middle")]
    assert middle == pytest.approx(changes.loc[[4, 5]].mean() - changes.loc[[1, 2, 3]].mean(), rel=1e-9)


def test_the_slope_is_found_and_so_is_no_pre_trend() -> None:
    ours = fit(panel(3, cities=400, noise=0.05), "y", "share", controls=["control"])
    truth = np.array([0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.5])
    assert (np.abs(ours.estimates - truth) < 4 * ours.std_errors).all()
    assert event_study.wald(ours, ours.terms[:4]).p_value > 0.05


def test_units_of_the_dose_only_scale_the_slopes() -> None:
    per_share = fit(panel(), "y", "share")
    per_cent = fit(panel().assign(share=lambda rows: 100 * rows["share"]), "y", "share")
    np.testing.assert_allclose(per_cent.estimates, per_share.estimates / 100, rtol=1e-9)
    np.testing.assert_allclose(per_cent.p_values, per_share.p_values, rtol=1e-8)


def test_the_reader_is_told_that_only_slopes_are_identified_unless_a_city_has_none() -> None:
    warning = fit(panel(), "y", "share").warnings[0]
    assert warning.en.startswith("No city has a share of zero. Without an untreated group only slopes are identified")
    assert warning.zh.startswith("没有城市的share为零")
    untreated = panel().assign(share=lambda rows: rows["share"].where(rows["city_id"] != "0003", 0.0))
    assert fit(untreated, "y", "share").warnings == ()


def test_a_path_of_slopes_has_a_band_and_a_power() -> None:
    ours = fit(panel(), "y", "share", controls=["control"])
    band = simultaneous_band(ours, ours.terms[: len(ours.event_times)])
    assert band.critical_value > stats.t.ppf(0.975, 44)
    count = len(ours.event_times)
    assert trend_found(ours.covariance_matrix[:count, :count], ours.event_times, 0.5, omitted_time=-1) > 0


def test_the_sample_is_left_as_it_was() -> None:
    data = panel()
    before = data.copy()
    fit(data, "y", "share", split="terciles")
    pd.testing.assert_frame_equal(data, before)


# ---------------------------------------------------------------- what cannot be estimated


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "moving dose": (
        lambda d: d.assign(share=d["share"].where((d["city_id"] != "0003") | (d["year"] < 2016), 0.5)),
        "city_id 0003 changes its dose: column share must be fixed over time.",
    ),
    "missing dose": (
        lambda d: d.assign(share=d["share"].where(d["city_id"] != "0003")),
        "Column share has 10 missing or non-finite values.",
    ),
    "one dose": (lambda d: d.assign(share=0.5), "Regressor before5 does not vary once the city_id and year effects"),
    "one dose in thirds": (lambda d: d.assign(share=0.5), "The sample has no middle city."),
    "two doses in thirds": (lambda d: d.assign(share=(d["city_id"] < "0020").astype(float)), "The sample has no "),
    "a third of one city": (
        lambda d: d[d["city_id"] < "0004"].assign(share=d["city_id"].astype(int)),
        "Only city_id 0002 has middle cities; errors need two such clusters.",
    ),
    "a year with one dose": (
        lambda d: d.assign(share=d["share"].where(d["city_id"] > "0002", 0.5))[
            lambda rows: (rows["share"] == 0.5) | (rows["year"] != 2017)
        ],
        "Regressor after2 does not vary once the city_id and year effects are removed.",
    ),
    "omitted year absent": (lambda d: d.query("year != 2014"), "The sample has no row in the omitted year 2014."),
    "no rows": (lambda d: d.head(0), "The sample has no observations."),
    "half a year": (lambda d: d.assign(year=d["year"] + 0.5), "Column year holds 2010.5: an event study needs"),
    "missing city": (
        lambda d: d.assign(city_id=d["city_id"].where(d["city_id"] != "0003")),
        "Column city_id has 10 missing values.",
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "one dose in thirds": {"split": "terciles"},
    "two doses in thirds": {"split": "terciles"},
    "a third of one city": {"split": "terciles"},
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_says_why(case: str) -> None:
    change, reason = CASES[case]
    with pytest.raises(NotEstimable) as caught:
        fit(change(panel().sort_index()), "y", "share", **OPTIONS.get(case, {}))
    assert caught.value.reason.en.startswith(reason)
    assert caught.value.reason.en.endswith(".")


def test_a_window_without_the_omitted_year_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="The omitted year 2014 is outside the window 2015-2018"):
        fit(panel(), "y", "share", window=(0, 3))


def test_a_control_named_like_a_term_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Column current:high has the name of a term"):
        fit(panel().assign(**{"current:high": 1.0}), "y", "share", split="terciles", controls=["current:high"])
