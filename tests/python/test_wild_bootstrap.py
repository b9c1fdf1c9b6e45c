"""The restricted wild cluster bootstrap against a textbook loop, enumeration, and its nominal size."""

import time
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.not_estimable import NotEstimable

pytestmark = pytest.mark.filterwarnings("error")


def panel(seed: int, provinces: int = 8, cities: int = 3, years: int = 5, slope: float = 0.0) -> pd.DataFrame:
    """Return an unbalanced panel whose regressor and errors share shocks within a province and year."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(provinces * cities), range(years)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    data["province"] = data["city_id"] // cities
    cell = data["province"] * years + data["year"]
    scale = 0.5 + rng.random(provinces)[data["province"]]
    for name in ("x", "z", "e"):
        data[name] = rng.normal(size=provinces * years)[cell] + rng.normal(size=len(data))
    data["y"] = slope * data["x"] + 0.3 * data["z"] + scale * data["e"] + data["city_id"] + data["year"] ** 2
    return data[rng.random(len(data)) < 0.95]


def textbook(data: pd.DataFrame, draws: np.ndarray, null: float = 0.0) -> tuple[float, np.ndarray]:
    """One regression on all dummies per draw, as the papers describe it: t of the sample, t of each draw."""
    frame = fixed_effects_rows(data)
    design = np.column_stack(
        [frame[["x", "z"]]]
        + [frame["city_id"] == c for c in frame["city_id"].unique()]
        + [frame["year"] == t for t in sorted(frame["year"].unique())[1:]]
    ).astype(float)
    provinces = np.unique(frame["province"], return_inverse=True)[1]
    bread = np.linalg.inv(design.T @ design)

    def t(y: np.ndarray, truth: float) -> float:
        b = bread @ (design.T @ y)
        e = y - design @ b
        meat = sum(
            np.outer(score, score)
            for score in (design[provinces == g].T @ e[provinces == g] for g in range(provinces.max() + 1))
        )
        return float((b[0] - truth) / np.sqrt((bread @ meat @ bread)[0, 0]))

    y = frame["y"].to_numpy()
    shifted, others = y - null * design[:, 0], design[:, 1:]
    fitted = others @ np.linalg.lstsq(others, shifted, rcond=None)[0]
    left = shifted - fitted
    restricted = fitted + null * design[:, 0]
    return t(y, null), np.array([t(restricted + left * draw[provinces], null) for draw in draws])


def fixed_effects_rows(data: pd.DataFrame) -> pd.DataFrame:
    kept = fixed_effects.rows_without_singletons(*(pd.factorize(data[name])[0] for name in ("city_id", "year")))
    return data.iloc[kept]


def inner(data: pd.DataFrame, vectors: np.ndarray, delta: float) -> tuple[np.ndarray, float]:
    """Return the |t| of our draws and of the sample for the null estimate + delta (in units of the design)."""
    regression = fixed_effects.partialled_out(data, "y", ["x", "z"], cluster="province")
    null = wild_bootstrap._Null(regression, 0, vectors, counted=0)
    shifts = null._shift_e - delta * null._shift_x
    variances = null._ee - 2 * delta * null._ex + delta**2 * null._xx
    return np.abs(shifts) / np.sqrt(variances), abs(delta) / np.sqrt(null._variance)


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
@pytest.mark.parametrize("null", [0.0, 0.4])
def test_every_t_is_that_of_a_textbook_loop(weights: Any, null: float) -> None:
    data = panel(1)
    vectors, _ = wild_bootstrap._weights(8, weights, 60, 1)
    estimated = fixed_effects.fit(data, "y", ["x", "z"], cluster="province")
    regression = fixed_effects.partialled_out(data, "y", ["x", "z"], cluster="province")
    ours, our_t = inner(data, vectors, (null - estimated.estimates[0]) / regression.units[0])
    t, theirs = textbook(data, vectors, null)
    assert our_t == pytest.approx(abs(t), rel=1e-10)
    np.testing.assert_allclose(ours, np.abs(theirs), rtol=1e-10, atol=1e-10)
    assert t == pytest.approx(
        (estimated.estimates[0] - null) / estimated.std_errors[0] * np.sqrt(regression.factor),
        rel=1e-9,
    )


def test_p_and_the_seed() -> None:
    """999 draws of 12 clusters: the p-value is (1 + r)/1000 of the loop with the same weights."""
    data = panel(2, provinces=12, slope=0.25)
    ours = wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province", draws=199, seed=7)
    vectors, enumerated = wild_bootstrap._weights(12, "rademacher", 199, 7)
    t, theirs = textbook(data, vectors)
    assert not enumerated
    assert ours.p_value == (1 + np.sum(np.abs(theirs) >= abs(t))) / 200
    assert (ours.draws, ours.cluster_count, ours.enumerated) == (199, 12, False)
    assert ours == wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province", draws=199, seed=7)
    assert ours != wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province", draws=199, seed=8)
    plain = fixed_effects.fit(data, "y", ["x", "z"], cluster="province")
    assert (ours.estimate, ours.std_error, ours.statistic) == (
        plain.estimates[0],
        plain.std_errors[0],
        plain.statistics[0],
    )


def test_few_clusters_are_enumerated() -> None:
    """All 2^6 vectors of signs, the sample's own among them."""
    data = panel(3, provinces=6, slope=0.3)
    ours = wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province", weights="rademacher")
    t, theirs = textbook(data, np.array(list(product((1.0, -1.0), repeat=6))))
    assert (ours.draws, ours.enumerated) == (32, True)
    assert ours.p_value == np.mean(np.abs(theirs) >= abs(t) * (1 - 1e-9))
    assert ours.p_value >= 1 / 32
    webb = wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province")
    assert (webb.draws, webb.enumerated) == (999, False), "fewer than 12 clusters have Webb's weights"


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
def test_weights_have_mean_zero_and_variance_one(weights: Any) -> None:
    vectors, _ = wild_bootstrap._weights(20, weights, 20000, 1)
    assert vectors.mean() == pytest.approx(0, abs=0.01)
    assert vectors.var() == pytest.approx(1, abs=0.01)
    assert len(np.unique(vectors)) == (2 if weights == "rademacher" else 6)


def test_the_interval_holds_what_is_not_rejected() -> None:
    """Just inside an end the loop's p-value is above 5 %, just outside it is not."""
    data = panel(4, provinces=14, slope=0.5)
    ours = wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province", draws=199)
    vectors, _ = wild_bootstrap._weights(14, "rademacher", 199, 2020)
    assert ours.conf_low < ours.estimate < ours.conf_high
    for end, outwards in ((ours.conf_low, -1), (ours.conf_high, 1)):
        for step, rejected in ((1e-6, True), (-1e-6, False)):
            t, theirs = textbook(data, vectors, end + outwards * step)
            assert ((1 + np.sum(np.abs(theirs) >= abs(t))) / 200 <= 0.05) == rejected
    assert (ours.conf_low > 0) == (ours.p_value <= 0.05)


def test_too_few_clusters_to_reject_leave_no_end() -> None:
    """Four clusters have 8 distinct vectors of signs, so that no p-value is below 1/8."""
    ours = wild_bootstrap.fit(panel(5, provinces=4), "y", ["x", "z"], "x", cluster="province", weights="rademacher")
    assert (ours.conf_low, ours.conf_high) == (-np.inf, np.inf)


def test_units_and_order_do_not_matter() -> None:
    data = panel(6, provinces=12)
    plain = wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province")
    data = data.sample(frac=1, random_state=1).assign(x=data["x"] * 1e-6 + 3, y=data["y"] * 1e3)
    scaled = wild_bootstrap.fit(data, "y", ["z", "x"], "x", cluster="province")
    assert scaled.p_value == plain.p_value
    assert scaled.conf_low == pytest.approx(plain.conf_low * 1e9, rel=1e-6)
    assert scaled.conf_high == pytest.approx(plain.conf_high * 1e9, rel=1e-6)


def test_size_is_near_nominal_where_clusters_are_few() -> None:
    """400 samples of 10 provinces under a true null, tested at 10 %; the steps of fit that p needs."""
    draws, rejected = 400, 0
    for seed in range(1000, 1000 + draws):
        regression = fixed_effects.partialled_out(
            panel(seed, provinces=10, cities=2), "y", ["x", "z"], cluster="province"
        )
        vectors, _ = wild_bootstrap._weights(10, "rademacher", 999, seed)
        slope = np.linalg.lstsq(regression.design, regression.outcome, rcond=None)[0][0]
        rejected += wild_bootstrap._Null(regression, 0, vectors, counted=0).p_value(-slope) <= 0.1
    assert abs(rejected / draws - 0.1) < 3 * np.sqrt(0.09 / draws)


def test_provinces_of_the_paper_take_no_time() -> None:
    """260 cities, 11 years, 31 provinces, 999 draws and both ends of the interval."""
    data = panel(8, provinces=31, cities=9, years=11)
    wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province")
    start = time.process_time()  # of this process: a loaded machine takes none of it
    wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province")
    assert time.process_time() - start < 2


def test_a_fit_without_error_has_no_bootstrap() -> None:
    data = panel(9)
    data["y"] = 2 * data["x"] + data["city_id"]
    with pytest.raises(NotEstimable, match="No bootstrap of x: the outcome is fitted exactly"):
        wild_bootstrap.fit(data, "y", ["x", "z"], "x", cluster="province")


def test_what_fixed_effects_refuse_is_refused() -> None:
    with pytest.raises(NotEstimable, match="Clustered errors need at least two values of province"):
        wild_bootstrap.fit(panel(9).assign(province=1), "y", ["x"], "x", cluster="province")


def test_a_term_that_is_no_regressor_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="w is not among the regressors x, z"):
        wild_bootstrap.fit(panel(9), "y", ["x", "z"], "w")
