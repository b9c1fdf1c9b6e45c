"""The event study of a dose against dummies, means, the binary one, and truth."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimators.event_study import term
from ai_manufacturing.robustness import dose_event_study
from tests.python.estimator_tools import OnDummies, approx, changed, grid, refusal

pytestmark = pytest.mark.filterwarnings("error")
DATES: dict[str, Any] = {"event_year": 2015, "omitted_year": 2014, "window": (-3, 3)}
fit = partial(dose_event_study.fit, outcome="y", dose="share", **DATES)

TIMES = (-5, -4, -3, -2, 0, 1, 2, 3, 4)


def panel(seed: int = 1, cities: int = 45) -> pd.DataFrame:
    """Return a balanced panel in which a unit of dose adds .2 a year from the event on."""
    rng = np.random.default_rng(seed)
    data = grid((f"{c:04d}" for c in range(cities)), range(2010, 2020))
    city = data["city_id"].astype(int)
    data["share"] = rng.uniform(0.2, 0.8, cities)[city]
    data["control"] = rng.normal(size=len(data)) + city / 10
    since = (data["year"] - 2014).clip(lower=0)
    walk = rng.normal(size=(cities, 10)).cumsum(axis=1).ravel()
    data["y"] = 0.2 * since * data["share"] + city / 7 + np.sin(data["year"])
    data["y"] += 0.5 * data["control"] + 0.3 * walk
    return data.sample(frac=1, random_state=seed)


@pytest.mark.parametrize("split", ["continuous", "terciles"])
def test_a_regression_on_all_dummies_agrees(split: Any) -> None:
    """Terms written out by hand, with a control: estimates and covariance."""
    data = panel(2)
    levels = {"": data["share"]}
    if split == "terciles":
        thirds = data["city_id"].map((data.groupby("city_id")["share"].first().rank() - 1) // 15)
        levels = {f":{name}": thirds == place for place, name in ((1, "middle"), (2, "high"))}
    columns = {
        f"{term(time)}{suffix}": level * (data["year"] == 2015 + time).astype(float)
        for suffix, level in levels.items()
        for time in TIMES
    }
    names = [*columns, "control"]
    theirs = OnDummies(data.assign(**columns), "y", names)
    ours = fit(data, split=split, controls=["control"])
    assert ours.terms == tuple(names)
    assert ours.event_times == TIMES * len(levels)
    assert_allclose(ours.estimates, theirs.estimates, rtol=1e-8, atol=1e-10)
    covariance = theirs.covariance("clustered")
    assert_allclose(ours.covariance_matrix, covariance, rtol=1e-7, atol=1e-11)


def test_a_city_at_a_bound_is_below_it() -> None:
    """Terciles of 1 to 7 are 3 and 5: the lowest third has three cities."""
    data = panel(cities=7).assign(share=lambda rows: 1.0 + rows["city_id"].astype(int))
    changes = data.pivot_table(index="share", columns="year", values="y")
    changes = changes[2015] - changes[2014]
    ours = fit(data, split="terciles")
    middle = ours.estimates[ours.terms.index("current:middle")]
    expected = changes.loc[[4, 5]].mean() - changes.loc[[1, 2, 3]].mean()
    assert middle == approx(expected, rel=1e-9)


def test_the_reader_is_told_that_only_slopes_are_identified_unless_a_city_has_none() -> None:
    (warning,) = fit(panel()).warnings
    assert warning.en.startswith(
        "No city has a share of zero. Without an untreated group only slopes are identified",
    )
    assert warning.zh.startswith("没有城市的share为零")
    without = panel().assign(share=lambda rows: rows["share"].where(rows["city_id"] != "0003", 0.0))
    assert fit(without).warnings == ()


# ---------------------------------------------------------------- what cannot be estimated


TERCILES = {"split": "terciles"}
CASES: list[tuple[str | dict[str, Any], dict[str, Any], str]] = [
    (
        {"share": lambda d: d["share"].where((d["city_id"] != "0003") | (d["year"] < 2016), 0.5)},
        {},
        "city_id 0003 changes its dose: column share must be fixed over time.",
    ),
    (
        {"share": lambda d: d["share"].where(d["city_id"] != "0003")},
        {},
        "Column share has 10 missing or non-finite values.",
    ),
    (
        {"share": 0.5},
        {},
        "Regressor before5 does not vary once the city_id and year effects are removed.",
    ),
    ({"share": 0.5}, TERCILES, "The sample has no middle city."),
    (
        "city_id < '0004'",
        TERCILES,
        "Only city_id 0003 has middle cities; errors need two such clusters.",
    ),
    ("year != 2014", {}, "The sample has no row in the omitted year 2014."),
]


@pytest.mark.parametrize(("change", "options", "reason"), CASES, ids=[case[-1] for case in CASES])
def test_what_cannot_be_estimated_says_why(
    change: str | dict[str, Any],
    options: dict[str, Any],
    reason: str,
) -> None:
    assert refusal(fit, changed(panel(), change), **options) == reason


def test_a_control_named_like_a_term_is_a_mistake() -> None:
    data = panel().assign(**{"current:high": 1.0})
    with pytest.raises(ValueError, match="Column current:high has the name of a term"):
        fit(data, split="terciles", controls=["current:high"])
