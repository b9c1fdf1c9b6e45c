"""Bands of event studies, and the trends that they find, against R, one-dimensional integrals, simulation and scipy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, special, stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.robustness.event_paths import (
    rectangle,
    simultaneous_band,
    sup_t,
    trend_found,
)
from tests.python.estimator_tools import approx, golden, grid, refusal

pytestmark = pytest.mark.filterwarnings("error")

GOLDEN: dict[str, Any] = golden("event_paths")
SIGMA = np.array(GOLDEN["sigma"])
TIMES: list[int] = GOLDEN["event_times"]
OMITTED: int = GOLDEN["omitted_time"]
TERMS = {"all": slice(0, 7), "before": slice(0, 5), "after": slice(5, 7)}


def equicorrelated(count: int, correlation: float) -> np.ndarray:
    return np.full((count, count), correlation) + (1 - correlation) * np.eye(count)


def inside(critical_value: float, count: int, correlation: float) -> float:
    """Probability that equicorrelated normal variables lie in a cube: one integral over what they share."""
    own = np.sqrt(1 - correlation)

    def given(shared: float) -> float:
        centre = np.sqrt(correlation) * shared
        below, above = (special.ndtr((side * critical_value - centre) / own) for side in (-1, 1))
        return float(np.exp(-(shared**2) / 2) / np.sqrt(2 * np.pi) * (above - below) ** count)

    return float(integrate.quad(given, -12, 12, epsabs=1e-12, points=(-3, 0, 3))[0])


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize("which", TERMS)
def test_r_prints_the_same_critical_values(which: str) -> None:
    block = SIGMA[TERMS[which], TERMS[which]]
    assert sup_t(block) == approx(GOLDEN["sup_t"][which], abs=1e-5)


def test_a_critical_value_is_the_same_in_every_run_and_unit() -> None:
    block = SIGMA[:5, :5]
    units = np.array([1.0, 1e3, 1e-6, 1e9, 0.1])
    value = sup_t(block)
    assert sup_t(block) == value
    assert sup_t(block * np.outer(units, units)) == approx(value, abs=1e-9)


def test_t_in_place_of_the_normal_distribution_agrees_with_two_integrals() -> None:
    degrees = 12
    root = np.sqrt(degrees)
    ours = sup_t(equicorrelated(4, 0.6), degrees_of_freedom=degrees)
    covered = integrate.quad(
        lambda scale: inside(ours * scale, 4, 0.6) * stats.chi.pdf(scale * root, degrees) * root,
        0,
        3,
        epsabs=1e-8,
    )[0]
    assert covered == approx(0.95, abs=2e-6)


def panel(seed: int = 4) -> pd.DataFrame:
    """Return cities that differ by random walks only, half of them treated in 2016."""
    data = grid(range(60), range(2010, 2020))
    data["treated"] = data["city_id"] % 2
    data["region"] = data["city_id"] // 15
    walks = np.random.default_rng(seed).normal(size=(60, 10)).cumsum(axis=1)
    data["y"] = walks.ravel() + data["year"]
    return data


def fitted(data: pd.DataFrame, **options: Any) -> EventStudyFit:
    years = {"event_year": 2016, "omitted_year": 2015, "window": (-6, 3)}
    return event_study.fit(data, "y", "treated", **years, **options)


def test_the_band_of_one_term_is_its_interval_and_that_of_a_path_is_wider() -> None:
    fit = fitted(panel())
    one = simultaneous_band(fit, ["after2"])
    j = fit.terms.index("after2")
    ends = [one.conf_low[0], one.conf_high[0]]
    assert ends == approx([fit.conf_low[j], fit.conf_high[j]], rel=1e-4)

    path = simultaneous_band(fit, fit.terms)
    assert path.terms == fit.terms
    assert (path.conf_low < fit.conf_low).all()
    assert_allclose((path.conf_high - fit.estimates) / fit.std_errors, path.critical_value)


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


def test_what_has_no_band_and_no_power_says_why() -> None:
    """An exact fit; fewer clusters than terms; no year before the event; no term."""
    data = panel()
    exact = fitted(data.assign(y=data["treated"] * (data["year"] > 2015) + data["city_id"]))
    few = fitted(data, cluster="region")
    late = fitted(data.query("year >= 2015"))
    fitted_exactly = "an error is zero because the outcome is fitted exactly"
    for reason, part in (
        (refusal(simultaneous_band, exact, exact.terms), fitted_exactly),
        (refusal(trend_of, exact), fitted_exactly),
        (refusal(simultaneous_band, few, few.terms), "the covariance of the 9 terms has rank 3"),
        (refusal(trend_of, few), "the covariance of the 5 terms has rank 3"),
        (refusal(trend_of, late), "No pre-trend test: no year before the event has a term"),
        (refusal(simultaneous_band, late, []), "needs at least one term"),
    ):
        assert part in reason


def test_a_test_that_rejects_by_chance_as_often_finds_no_trend() -> None:
    reason = refusal(trend_found, np.eye(10), [*range(-11, -1)], 0.2, omitted_time=-1)
    assert reason.startswith("No trend is found with probability 0.20: ")
    assert "rejects with probability 0.40" in reason
