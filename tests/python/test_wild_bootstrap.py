"""Test the wild cluster bootstrap and Romano-Wolf p-values against exact reference values."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimators import cluster_errors, fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.robustness import romano_wolf
from tests.python.estimator_tools import (
    REGRESSORS,
    OnDummies,
    approx,
    golden,
    golden_data,
    random_panel,
    refusal,
    regression_of,
    without_singletons,
)

RECORDS: list[dict[str, Any]] = golden("wild")["records"]

pytestmark = pytest.mark.filterwarnings("error")


def panel(seed: int, provinces: int = 8, slope: float = 0.0) -> pd.DataFrame:
    data = random_panel(seed, provinces=provinces, years=5, slope=slope)
    return without_singletons(data).sort_values(["city_id", "year"], ignore_index=True)


def textbook(
    data: pd.DataFrame, draws: Floats, null: float = 0.0, *, clusters: str = "province"
) -> tuple[float, Floats]:
    """Return |t| of the sample and of each bootstrap draw, with one regression per draw."""
    members = np.unique(data[clusters], return_inverse=True)[1]
    fitted = OnDummies(data, "y", REGRESSORS)

    def t(y: Floats) -> float:
        residuals = y - fitted.design @ (fitted.inverse @ y)
        scores = np.bincount(members, weights=fitted.inverse[0] * residuals)
        return float(abs(fitted.inverse[0] @ y) / np.linalg.norm(scores))

    y = data["y"].to_numpy() - null * data["x1"].to_numpy()
    left = OnDummies(data.assign(y=y), "y", REGRESSORS[1:]).residuals
    return t(y), np.array([t(y - left + left * draw[members]) for draw in draws])


def bootstrapped(data: pd.DataFrame, **options: Any) -> Inference:
    """Bootstrap the first regressor, with string labels for the province clusters."""
    return wild_bootstrap.bootstrap_coefficient(
        regression_of(data), 0, clusters=labels_of(data), **options
    )


def labels_of(data: pd.DataFrame) -> Any:
    return data["province"].map("province {:02}".format).to_numpy(str)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["param"])
def test_golden_p_is_met_exactly_by_enumeration(record: dict[str, Any]) -> None:
    """Ties count as extreme, because the sample itself is one of the 512 sign vectors."""
    regression = fixed_effects.partial_out(
        golden_data("grunfeld"),
        "inv",
        ["value", "capital"],
    )
    position = ["value", "capital"].index(record["param"])
    golden = record["wcr"]
    ours = wild_bootstrap.bootstrap_coefficient(regression, position, clusters=regression.clusters)
    assert ours.p_value == golden["rademacher_p_ge"]
    assert (ours.draws, ours.is_enumerated, ours.monte_carlo_error) == (golden["draws"], True, 0)
    assert ours.cluster_count == record["G"]


def test_clusters_may_cut_across_cities() -> None:
    """Bootstrap statistics are exact even if cities are not nested in the clusters."""
    data = panel(12, provinces=13)
    data["block"] = (data["city_id"] + data["year"]) % 14
    vectors = wild_bootstrap.draw_sign_vectors(14, 40, 1)[0]
    blocks = data["block"].to_numpy()
    resampled = wild_bootstrap.BootstrapDistribution(
        regression_of(data, cluster="province"), 0, blocks, vectors
    )
    theirs = textbook(data, vectors, clusters="block")[1]
    ours = np.sqrt(resampled.square_statistics(-resampled.slope))
    assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_p_and_the_seed() -> None:
    """The p-value is (1 + r) / 200 if r of 199 brute-force draws are at least as large."""
    data = panel(2, provinces=13, slope=0.25)
    ours = bootstrapped(data, draws=199, seed=7)
    t, theirs = textbook(data, wild_bootstrap.draw_sign_vectors(13, 199, 7)[0])
    p = (1 + np.sum(theirs >= t)) / 200
    assert 0.02 < p < 0.98
    error = np.sqrt(p * (1 - p) / 199)
    found = (ours.p_value, ours.monte_carlo_error, ours.draws, ours.cluster_count)
    assert found == (p, error, 199, 13)
    assert (ours.is_enumerated, ours.warnings) == (False, ())
    factor = regression_of(data, cluster="province").factor
    assert abs(ours.statistic) == approx(t / np.sqrt(factor), rel=1e-9)
    plain = fixed_effects.fit(data, "y", REGRESSORS, cluster="province")
    assert ours.std_error == approx(plain.std_errors[0], rel=1e-12)
    assert [ours.estimate, ours.statistic] == approx([plain.estimates[0], plain.statistics[0]])
    assert ours == bootstrapped(data, draws=199, seed=7)
    assert ours != bootstrapped(data, draws=199, seed=8)


def test_twelve_clusters_are_the_last_to_be_enumerated() -> None:
    for count, draws in ((12, 2_048), (13, 9_999)):
        vectors, is_enumerated = wild_bootstrap.draw_sign_vectors(count, 9_999, 1)
        assert (len(vectors), is_enumerated) == (draws, count == 12)
    assert vectors.mean() == approx(0, abs=0.01)
    assert (vectors**2 == 1).all()


def test_the_interval_holds_what_is_not_rejected() -> None:
    """The brute-force p-value exceeds 5 % just inside the interval but not just outside."""
    data = panel(4, provinces=13, slope=0.5)
    ours = bootstrapped(data, draws=59)
    vectors = wild_bootstrap.draw_sign_vectors(13, 59, 2020)[0]
    for end, outwards in ((ours.conf_low, -1), (ours.conf_high, 1)):
        for step, is_rejected in ((1e-6, True), (-1e-6, False)):
            t, theirs = textbook(data, vectors, end + outwards * step)
            assert ((1 + np.sum(theirs >= t)) / 60 <= 0.05) == is_rejected
    assert ours.conf_low < ours.estimate < ours.conf_high
    assert (ours.conf_low > 0) == (ours.p_value <= 0.05)


def test_too_few_clusters_or_draws_to_reject_leave_no_end_and_say_so() -> None:
    """Four clusters give 8 sign vectors with different t statistics, so p cannot be below 1/8."""
    ours = bootstrapped(panel(5, provinces=4))
    fewer_draws = bootstrapped(panel(5, provinces=13), draws=18)
    for found in (ours, fewer_draws):
        assert (found.conf_low, found.conf_high) == (-np.inf, np.inf)
    assert [warning.en for warning in ours.warnings] == [
        "4 clusters have only 8 sign vectors with different t, so p is a multiple of 0.125."
    ]
    assert not bootstrapped(panel(5, provinces=6)).warnings


def test_what_has_no_bootstrap_says_why() -> None:
    """An exact fit and a zero cluster variance are refused with a reason."""
    data = panel(9)
    exact = data.assign(y=2 * data["x1"] + data["city_id"])
    for function, samples in ((bootstrapped, [exact]), (adjust_p_values, [data, exact])):
        reason = refusal(function, *samples)
        assert reason.startswith("The bootstrap is impossible, because the regressors fit the")
    pair = data[data["city_id"] < 2]
    regression = fixed_effects.partial_out(pair, "y", ["x1"])
    reason = refusal(
        wild_bootstrap.bootstrap_coefficient, regression, 0, clusters=regression.clusters
    )
    assert "with these 2 clusters its variance is zero" in reason


@pytest.mark.parametrize(
    ("panels", "draws", "margin"),
    [(20, 99, 0.1), pytest.param(500, 999, 0, marks=pytest.mark.soak)],
)
def test_clusters_of_provinces_reject_a_true_null_in_3_to_8_percent(
    panels: int, draws: int, margin: float
) -> None:
    p_values = []
    for seed in range(panels):
        data = panel(seed, provinces=20)
        regression = regression_of(data, cluster="province")
        jackknife = cluster_errors.crv3(regression, 0, regression.clusters)
        p_values.append([jackknife.p_value, bootstrapped(data, draws=draws).p_value])
    shares = np.mean(np.array(p_values) <= 0.05, axis=0)
    assert 0.03 - margin <= shares.min() <= shares.max() <= 0.08 + margin


def adjust_p_values(*samples: pd.DataFrame) -> list[Inference]:
    """Return Romano-Wolf adjusted tests of the first regressor in several samples."""
    return romano_wolf.adjust_p_values(
        [*map(regression_of, samples)],
        [0] * len(samples),
        clusters=[*map(labels_of, samples)],
    )


def test_the_numbers_of_wildrwolf() -> None:
    """Both implementations use 9,999 random draws, so each p-value has an error of up to 0.005."""
    data = golden_data("guns")
    regressions = [
        fixed_effects.partial_out(data, name, ["lawn", "prisoners", "income"])
        for name in ("lviolent", "lmurder", "lrobbery")
    ]
    clusters = [rows.clusters for rows in regressions]
    ours = romano_wolf.adjust_p_values(regressions, [0, 0, 0], clusters=clusters)
    for found, record in zip(ours, golden("rwolf")["guns"]["res"], strict=True):
        exact = [record[name] for name in ("Estimate", "Std..Error", "t.value")]
        assert [found.estimate, found.std_error, found.statistic] == approx(exact, rel=1e-10)
        assert found.p_value == approx(record["RW.Pr...t.."], abs=0.01)
        assert (found.cluster_count, found.draws, found.is_enumerated) == (51, 9_999, False)


@pytest.mark.parametrize("seed", [20, 21])
def test_two_hypotheses_by_brute_force(seed: int) -> None:
    """Enumerate all sign vectors over seven provinces for two samples with different provinces.

    A sample ties with the largest |t*| of the vectors that are constant in its provinces.
    """
    data = panel(seed, provinces=7, slope=0.5)
    samples = [
        data[data["province"] != 2],
        data[data["province"] > 0].assign(y=data["y"] + data["x2"] * data["x1"]),
    ]
    vectors = np.array([*product((1.0, -1.0), repeat=7)])
    found = []
    for sample, missing in zip(samples, (2, 0), strict=True):
        t, drawn = textbook(sample, np.delete(vectors, missing, axis=1))
        root = np.sqrt(regression_of(sample, cluster="province").factor)
        found.append((t / root, drawn / root))
    both = np.maximum(found[0][1], found[1][1])
    (larger, _), (smaller, drawn) = sorted(found, key=lambda one: -one[0])
    p_larger = np.mean(both >= larger * (1 - 1e-9))
    p_smaller = max(p_larger, np.mean(drawn >= smaller * (1 - 1e-9)))

    ours = adjust_p_values(*samples)
    assert {found[0][0]: ours[0].p_value, found[1][0]: ours[1].p_value} == {
        larger: p_larger,
        smaller: p_smaller,
    }
    for one in ours:
        assert (one.draws, one.is_enumerated, one.cluster_count) == (64, True, 6)


def test_the_same_hypothesis_twice_costs_nothing() -> None:
    data = panel(31, provinces=14, slope=0.3)
    single = bootstrapped(data)
    for count in (1, 2):
        for found in adjust_p_values(*[data] * count):
            assert found.p_value == single.p_value
            assert found.monte_carlo_error == single.monte_carlo_error
