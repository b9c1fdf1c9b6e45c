"""Bands of event studies, and the trends that they find, against R, one-dimensional integrals, simulation and scipy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.event_paths import rectangle, simultaneous_band, sup_t, trend_found

pytestmark = pytest.mark.filterwarnings("error")

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden/event_paths.json").read_text(encoding="utf-8"))
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
    assert sup_t(block) == pytest.approx(GOLDEN["sup_t"][which], abs=1e-5)


def test_a_critical_value_is_the_same_in_every_run_and_unit() -> None:
    units = np.array([1.0, 1e3, 1e-6, 2.0, 5.0, 1e9, 0.1])
    assert sup_t(SIGMA) == sup_t(SIGMA)
    assert sup_t(SIGMA * np.outer(units, units)) == pytest.approx(sup_t(SIGMA), abs=1e-9)


def test_the_order_of_the_terms_matters_only_in_the_last_digits() -> None:
    assert sup_t(SIGMA[::-1, ::-1]) == pytest.approx(sup_t(SIGMA), abs=5e-6)


def test_independent_terms_have_the_value_of_sidak() -> None:
    assert sup_t(np.eye(6)) == pytest.approx(-special.ndtri((1 - 0.95 ** (1 / 6)) / 2), abs=1e-7)
    assert sup_t(np.eye(6), level=0.9) == pytest.approx(-special.ndtri((1 - 0.9 ** (1 / 6)) / 2), abs=1e-7)


@pytest.mark.parametrize(("count", "correlation"), [(2, 0.9), (5, 0.5), (10, 0.3), (10, 0.8)])
def test_equal_correlations_agree_with_one_integral(count: int, correlation: float) -> None:
    ours = sup_t(equicorrelated(count, correlation))
    assert inside(ours, count, correlation) == pytest.approx(0.95, abs=1e-6)


def test_t_in_place_of_the_normal_distribution_agrees_with_two_integrals() -> None:
    degrees = 12
    ours = sup_t(equicorrelated(4, 0.6), degrees_of_freedom=degrees)
    covered = integrate.quad(
        lambda scale: inside(ours * scale, 4, 0.6) * stats.chi.pdf(scale * np.sqrt(degrees), degrees),
        0,
        3,
        epsabs=1e-8,
    )[0] * np.sqrt(degrees)
    assert covered == pytest.approx(0.95, abs=2e-6)
    assert sup_t(equicorrelated(4, 0.6)) < ours < -special.stdtrit(degrees, 0.025 / 4)


def test_one_term_has_its_own_quantile() -> None:
    assert sup_t(np.array([[4.0]])) == pytest.approx(-special.ndtri(0.025), abs=1e-8)
    assert sup_t(np.array([[4.0]]), degrees_of_freedom=7) == pytest.approx(-special.stdtrit(7, 0.025), abs=1e-5)


def panel(cities: int = 60, seed: int = 4) -> pd.DataFrame:
    """Return cities that differ by random walks only, half of them treated in 2016."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(cities), range(2010, 2020)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    data["treated"] = data["city_id"] % 2
    data["region"] = data["city_id"] // 15
    data["y"] = rng.normal(size=(cities, 10)).cumsum(axis=1).ravel() + data["year"]
    return data


def fitted(data: pd.DataFrame, **options: Any) -> EventStudyFit:
    return event_study.fit(data, "y", "treated", event_year=2016, omitted_year=2015, window=(-6, 3), **options)


def test_the_band_of_one_term_is_its_interval_and_that_of_a_path_is_wider() -> None:
    fit = fitted(panel())
    one = simultaneous_band(fit, ["after2"])
    j = fit.terms.index("after2")
    assert one.conf_low[0] == pytest.approx(fit.conf_low[j], rel=1e-4)
    assert one.conf_high[0] == pytest.approx(fit.conf_high[j], rel=1e-4)

    path = simultaneous_band(fit, fit.terms)
    assert path.terms == fit.terms
    assert (path.conf_low < fit.conf_low).all()
    assert (path.conf_high > fit.conf_high).all()
    np.testing.assert_allclose((path.conf_high - fit.estimates) / fit.std_errors, path.critical_value)


# ---------------------------------------------------------------- the integral


def test_scipy_gives_the_same_rectangle() -> None:
    errors = np.sqrt(np.diag(SIGMA))[:5]
    correlations = SIGMA[:5, :5] / np.outer(errors, errors)
    means = 0.003 * np.arange(-5, 0) / errors
    low, high = -1.96 - means, 1.96 - means
    by_scipy = stats.multivariate_normal.cdf(
        high, cov=correlations, lower_limit=low, maxpts=10**6, abseps=1e-7, releps=0, rng=1
    )
    assert rectangle(low, high, correlations) == pytest.approx(float(by_scipy), abs=1e-6)


def test_a_rectangle_far_off_holds_nothing_and_a_wide_one_everything() -> None:
    correlations = equicorrelated(4, 0.5)
    assert rectangle(np.full(4, 40.0), np.full(4, 50.0), correlations) == 0
    assert rectangle(np.full(4, -50.0), np.full(4, 50.0), correlations) == pytest.approx(1, abs=1e-12)
    assert rectangle(np.full(4, -np.inf), np.full(4, np.inf), correlations) == pytest.approx(1, abs=1e-12)


# ---------------------------------------------------------------- the trend that is found


def power_of(slope: float, threshold: float = 1.959964) -> float:
    """Probability that any term before the event is significant, with a trend of this slope."""
    errors = np.sqrt(np.diag(SIGMA))[:5]
    means = slope * (np.array(TIMES[:5]) - OMITTED) / errors
    return 1 - rectangle(-threshold - means, threshold - means, SIGMA[:5, :5] / np.outer(errors, errors))


@pytest.mark.parametrize("record", GOLDEN["pre_test"], ids=lambda record: str(record["target"]))
def test_r_finds_the_same_trends(record: dict[str, Any]) -> None:
    slope = trend_found(SIGMA, TIMES, record["target"], omitted_time=OMITTED)
    assert slope == pytest.approx(record["slope"], rel=0.01)
    assert power_of(slope) == pytest.approx(record["target"], abs=1e-5)
    assert power_of(record["slope"]) == pytest.approx(record["power"], abs=1e-3)  # pmvnorm's own error


@pytest.mark.parametrize("degrees", [np.inf, 30])
def test_simulated_estimates_are_found_as_often(degrees: float) -> None:
    slope = trend_found(SIGMA, TIMES, 0.6, omitted_time=OMITTED, degrees_of_freedom=degrees)
    threshold = 1.959964 if np.isinf(degrees) else float(-special.stdtrit(degrees, 0.025))
    assert power_of(slope, threshold) == pytest.approx(0.6, abs=1e-5)
    draws = np.random.default_rng(1).multivariate_normal(slope * np.array(TIMES), SIGMA, size=200_000)[:, :5]
    found = (np.abs(draws) > threshold * np.sqrt(np.diag(SIGMA))[:5]).any(axis=1)
    assert found.mean() == pytest.approx(0.6, abs=0.004)


def test_one_year_before_the_event_has_the_power_of_one_t_test() -> None:
    drift = trend_found(np.diag([0.04, 0.09]), [-2, 0], 0.5, omitted_time=-1) / 0.2
    assert special.ndtr(-1.959964 - drift) + special.ndtr(-1.959964 + drift) == pytest.approx(0.5, abs=1e-6)


def trend_of(fit: EventStudyFit, power: float, degrees_of_freedom: float = np.inf) -> float:
    return trend_found(
        fit.covariance_matrix, fit.event_times, power, omitted_time=-1, degrees_of_freedom=degrees_of_freedom
    )


def test_a_steeper_trend_is_found_more_often_and_t_asks_for_more() -> None:
    fit = fitted(panel(), cluster="city_id")
    by_t = trend_of(fit, 0.5, fit.degrees_of_freedom)
    assert trend_of(fit, 0.5) < by_t < trend_of(fit, 0.8, fit.degrees_of_freedom)


@pytest.mark.soak
def test_a_planted_trend_is_found_as_often_as_said() -> None:
    """Truth: 60 panels with the trend that the test of one of them finds with power .5."""
    fit = fitted(panel())
    slope = trend_of(fit, 0.5, fit.degrees_of_freedom)
    found = 0
    for seed in range(60):
        data = panel(seed=seed)
        data["y"] += slope * data["treated"] * (data["year"] - 2015)
        found += bool((fitted(data).p_values[:5] < 0.05).any())
    assert 0.3 < found / 60 < 0.7


# ---------------------------------------------------------------- what cannot be said


def test_an_exact_fit_has_no_band_and_no_power() -> None:
    data = panel()
    data["y"] = 2.0 * data["treated"] * (data["year"] > 2015) + data["city_id"]
    fit = fitted(data)
    with pytest.raises(NotEstimable, match="an error is zero because the outcome is fitted exactly"):
        simultaneous_band(fit, fit.terms)
    with pytest.raises(NotEstimable, match="an error is zero because the outcome is fitted exactly"):
        trend_of(fit, 0.5)


def test_fewer_clusters_than_terms_have_no_band_and_no_power() -> None:
    fit = fitted(panel(), cluster="region")
    with pytest.raises(NotEstimable, match="the covariance of the 9 terms has rank 3"):
        simultaneous_band(fit, fit.terms)
    with pytest.raises(NotEstimable, match="the covariance of the 5 terms has rank 3"):
        trend_of(fit, 0.5)


def test_no_year_before_the_event_leaves_no_pre_test() -> None:
    fit = fitted(panel().query("year >= 2015"))
    with pytest.raises(NotEstimable, match="No pre-trend test: no year before the event has a term"):
        trend_of(fit, 0.5)


def test_a_test_that_rejects_by_chance_as_often_finds_no_trend() -> None:
    with pytest.raises(
        NotEstimable, match=r"No trend is found with probability 0\.20: .* rejects with probability 0\.40"
    ):
        trend_found(np.eye(10), list(range(-11, -1)), 0.2, omitted_time=-1)


def test_a_band_of_nothing_is_refused() -> None:
    with pytest.raises(NotEstimable, match="needs at least one term"):
        simultaneous_band(fitted(panel()), [])
