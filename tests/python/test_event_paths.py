"""The trends that event studies find, against R and scipy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.robustness.event_paths import (
    rectangle,
    trend_found,
)
from tests.python.estimator_tools import approx, golden, grid, refusal

pytestmark = pytest.mark.filterwarnings("error")

GOLDEN: dict[str, Any] = golden("event_paths")
SIGMA = np.array(GOLDEN["sigma"])
TIMES: list[int] = GOLDEN["event_times"]
OMITTED: int = GOLDEN["omitted_time"]


def equicorrelated(count: int, correlation: float) -> np.ndarray:
    return np.full((count, count), correlation) + (1 - correlation) * np.eye(count)


def panel(seed: int = 4) -> pd.DataFrame:
    """Return cities that differ by random walks only, half of them treated in 2016."""
    data = grid(range(60), range(2010, 2020))
    data["treated"] = data["city_id"] % 2
    data["region"] = data["city_id"] // 15
    walks = np.random.default_rng(seed).normal(size=(60, 10)).cumsum(axis=1)
    data["y"] = walks.ravel() + data["year"]
    return data


def fitted(data: pd.DataFrame, **options: Any) -> EventStudyFit:
    years = {"event_year": 2016, "window": (-6, 3)}
    return event_study.fit(data, "y", **years, **options)


# ---------------------------------------------------------------- the integral


def test_scipy_gives_the_same_rectangle() -> None:
    errors = np.sqrt(np.diag(SIGMA))[:5]
    correlations = SIGMA[:5, :5] / np.outer(errors, errors)
    means = 0.003 * np.arange(-5, 0) / errors
    low, high = -1.96 - means, 1.96 - means
    by_scipy = stats.multivariate_normal.cdf(
        high, cov=correlations, lower_limit=low, maxpts=10**5, abseps=1e-6, releps=0, rng=1
    )
    assert rectangle(low, high, correlations) == approx(float(by_scipy), abs=1e-5)


def test_a_rectangle_far_off_holds_nothing_and_a_wide_one_everything() -> None:
    correlations = equicorrelated(4, 0.5)
    ones = np.ones(4)
    assert rectangle(40 * ones, 50 * ones, correlations) == 0
    for end in (50.0, np.inf):
        assert rectangle(-end * ones, end * ones, correlations) == approx(1, abs=1e-12)


# ---------------------------------------------------------------- the trend that is found


def power_of(slope: float, threshold: float = 1.959964) -> float:
    """Probability that any term before the event is significant, with a trend of this slope."""
    errors = np.sqrt(np.diag(SIGMA))[:5]
    means = slope * (np.array(TIMES[:5]) - OMITTED) / errors
    return 1 - rectangle(
        -threshold - means,
        threshold - means,
        SIGMA[:5, :5] / np.outer(errors, errors),
    )


@pytest.mark.parametrize("record", GOLDEN["pre_test"], ids=lambda record: str(record["target"]))
def test_r_finds_the_same_trends(record: dict[str, Any]) -> None:
    slope = trend_found(SIGMA, TIMES, record["target"], omitted_time=OMITTED)
    assert slope == approx(record["slope"], rel=0.01)
    assert power_of(slope) == approx(record["target"], abs=1e-5)
    assert power_of(record["slope"]) == approx(record["power"], abs=1e-3)  # pmvnorm's own error


def test_a_trend_of_t_tests_has_the_power_asked_for() -> None:
    slope = trend_found(SIGMA, TIMES, 0.6, omitted_time=OMITTED, degrees_of_freedom=30)
    threshold = float(-special.stdtrit(30, 0.025))
    assert power_of(slope, threshold) == approx(0.6, abs=1e-5)


def trend_of(fit: EventStudyFit, power: float = 0.5) -> float:
    return trend_found(
        fit.covariance_matrix,
        fit.event_times,
        power,
        omitted_time=-1,
        degrees_of_freedom=59,
    )


# ---------------------------------------------------------------- what cannot be said


def test_what_has_no_power_says_why() -> None:
    """An exact fit; fewer clusters than terms; no year before the event."""
    data = panel()
    exact = fitted(data.assign(y=data["treated"] * (data["year"] > 2015) + data["city_id"]))
    few = fitted(data, cluster="region")
    late = fitted(data.query("year >= 2015"))
    fitted_exactly = "an error is zero because the outcome is fitted exactly"
    for reason, part in (
        (refusal(trend_of, exact), fitted_exactly),
        (refusal(trend_of, few), "the covariance of the 5 terms has rank 3"),
        (refusal(trend_of, late), "No pre-trend test: no year before the event has a term"),
    ):
        assert part in reason


def test_a_test_that_rejects_by_chance_as_often_finds_no_trend() -> None:
    reason = refusal(trend_found, np.eye(10), [*range(-11, -1)], 0.2, omitted_time=-1)
    assert reason.startswith("No trend is found with probability 0.20: ")
    assert "rejects with probability 0.40" in reason
