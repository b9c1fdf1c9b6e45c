"""The wild cluster bootstrap against golden numbers, a textbook loop, enumeration, and its size under a true null."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from benchmarks import size_of_tests

GOLDEN = Path(__file__).parent / "golden"
RECORDS: list[dict[str, Any]] = json.loads((GOLDEN / "wild.json").read_text(encoding="utf-8"))["records"]

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
    data = data[rng.random(len(data)) < 0.95]
    kept = fixed_effects.rows_without_singletons(*(pd.factorize(data[name])[0] for name in ("city_id", "year")))
    return data.iloc[kept]


def textbook(
    data: pd.DataFrame, draws: Floats, null: float = 0.0, *, clusters: str = "province"
) -> tuple[float, Floats]:
    """One regression on all dummies per draw, as the papers describe it: t of the sample, t of each draw."""
    design = np.column_stack(
        [data[["x", "z"]]]
        + [data["city_id"] == c for c in data["city_id"].unique()]
        + [data["year"] == t for t in sorted(data["year"].unique())[1:]]
    ).astype(float)
    provinces = np.unique(data[clusters], return_inverse=True)[1]
    bread = np.linalg.inv(design.T @ design)

    def fitted(y: Floats) -> tuple[Floats, Floats]:
        b = bread @ (design.T @ y)
        return b, y - design @ b

    def t(y: Floats, truth: float) -> float:
        b, e = fitted(y)
        scores = [design[provinces == g].T @ e[provinces == g] for g in range(provinces.max() + 1)]
        meat = sum(np.outer(score, score) for score in scores)
        return float((b[0] - truth) / np.sqrt((bread @ meat @ bread)[0, 0]))

    y = data["y"].to_numpy()
    others = design[:, 1:]
    left = y - null * design[:, 0]
    left = left - others @ np.linalg.lstsq(others, left, rcond=None)[0]
    return t(y, null), np.array([t(y - left + left * draw[provinces], null) for draw in draws])


def regression_of(data: pd.DataFrame) -> fixed_effects.PartialledOut:
    return fixed_effects.partialled_out(data, "y", ["x", "z"], cluster="province")


def bootstrapped(data: pd.DataFrame, **options: Any) -> Inference:
    regression = regression_of(data)
    return wild_bootstrap.test(regression, 0, clusters=regression.clusters, **options)


# ---------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["param"])
def test_golden_p_is_met_exactly_by_enumeration(record: dict[str, Any]) -> None:
    """Ties count: the sample is one of the 512 vectors."""
    data = pd.read_csv(GOLDEN / "grunfeld.csv")
    regression = fixed_effects.partialled_out(data, "inv", ["value", "capital"], entity="firm")
    position = ["value", "capital"].index(record["param"])
    golden = record["wcr"]
    ours = wild_bootstrap.test(regression, position, clusters=regression.clusters)
    assert ours.p_value == golden["rademacher_p_ge"]
    assert (ours.draws, ours.is_enumerated, ours.monte_carlo_error) == (golden["draws"], True, 0)
    assert ours.cluster_count == record["G"]


# ---------------------------------------------------------------- a textbook loop


@pytest.mark.parametrize("null", [0.0, 0.4])
def test_every_t_is_that_of_a_textbook_loop(null: float) -> None:
    data = panel(1, provinces=13)
    vectors = wild_bootstrap.sign_vectors(13, 40, 1)[0]
    regression = regression_of(data)
    resampled = wild_bootstrap.Resampled(regression, 0, regression.clusters, vectors)
    delta = null / regression.units[0] - resampled.slope
    t, theirs = textbook(data, vectors, null)
    assert -delta / resampled.std_error * np.sqrt(regression.factor) == pytest.approx(t, rel=1e-10)
    np.testing.assert_allclose(np.sqrt(resampled.squares(delta)), np.abs(theirs), rtol=1e-9, atol=1e-9)


def test_clusters_may_cut_across_cities() -> None:
    """The projection of each draw is exact whether or not the cities are nested in the clusters."""
    data = panel(12, provinces=13)
    data["block"] = (data["city_id"] + data["year"]) % 14
    vectors = wild_bootstrap.sign_vectors(14, 40, 1)[0]
    regression = regression_of(data)
    blocks = data.sort_values(["city_id", "year"])["block"].to_numpy()
    resampled = wild_bootstrap.Resampled(regression, 0, blocks, vectors)
    theirs = textbook(data, vectors, clusters="block")[1]
    ours = np.sqrt(resampled.squares(-resampled.slope))
    np.testing.assert_allclose(ours, np.abs(theirs), rtol=1e-9, atol=1e-9)


def test_p_and_the_seed() -> None:
    """199 draws of 13 clusters: the p-value is (1 + r)/200 of the loop with the same weights."""
    data = panel(2, provinces=13, slope=0.25)
    ours = bootstrapped(data, draws=199, seed=7)
    vectors, enumerated = wild_bootstrap.sign_vectors(13, 199, 7)
    t, theirs = textbook(data, vectors)
    assert not enumerated
    assert ours.p_value == (1 + np.sum(np.abs(theirs) >= abs(t))) / 200
    assert ours.monte_carlo_error == np.sqrt(ours.p_value * (1 - ours.p_value) / 199)
    assert (ours.draws, ours.cluster_count, ours.is_enumerated, ours.warnings) == (199, 13, False, ())
    assert ours == bootstrapped(data, draws=199, seed=7)
    assert ours != bootstrapped(data, draws=199, seed=8)


def test_few_clusters_are_enumerated() -> None:
    """All 2^6 vectors of signs: the sample's own is among them."""
    data = panel(3, provinces=6, slope=0.3)
    ours = bootstrapped(data, draws=10)
    t, theirs = textbook(data, np.array(list(product((1.0, -1.0), repeat=6))))
    assert (ours.draws, ours.is_enumerated) == (32, True)
    assert ours.p_value == np.mean(np.abs(theirs) >= abs(t) * (1 - 1e-9))


@pytest.mark.parametrize(("provinces", "draws"), [(12, 2_048), (13, 9_999)])
def test_twelve_clusters_are_the_last_to_be_enumerated(provinces: int, draws: int) -> None:
    ours = bootstrapped(panel(11, provinces=provinces))
    assert (ours.draws, ours.is_enumerated) == (draws, provinces == 12)


def test_the_interval_holds_what_is_not_rejected() -> None:
    """Just inside an end the loop's p-value is above 5 %, just outside it is not."""
    data = panel(4, provinces=14, slope=0.5)
    ours = bootstrapped(data, draws=199)
    vectors = wild_bootstrap.sign_vectors(14, 199, 2020)[0]
    assert ours.p_value is not None
    assert ours.conf_low is not None
    assert ours.conf_high is not None
    assert ours.conf_low < ours.estimate < ours.conf_high
    for end, outwards in ((ours.conf_low, -1), (ours.conf_high, 1)):
        for step, rejected in ((1e-6, True), (-1e-6, False)):
            t, theirs = textbook(data, vectors, end + outwards * step)
            assert ((1 + np.sum(np.abs(theirs) >= abs(t))) / 200 <= 0.05) == rejected
    assert (ours.conf_low > 0) == (ours.p_value <= 0.05)


# ---------------------------------------------------------------- what it says, and what it refuses


def test_the_error_is_that_of_the_clusters_given() -> None:
    """Whatever clusters the regression was made with."""
    data = panel(7)
    data["name"] = "province " + data["province"].astype(str)
    regression = fixed_effects.partialled_out(data, "y", ["x", "z"])
    names = data.sort_values(["city_id", "year"])["name"].to_numpy()
    ours = wild_bootstrap.test(regression, 1, clusters=names)
    plain = fixed_effects.fit(data, "y", ["x", "z"], cluster="province")
    assert ours.estimate == pytest.approx(plain.estimates[1], rel=1e-12)
    assert ours.std_error == pytest.approx(plain.std_errors[1], rel=1e-12)
    assert ours.statistic == pytest.approx(plain.statistics[1], rel=1e-12)


def test_signs_have_mean_zero_and_variance_one() -> None:
    vectors, _ = wild_bootstrap.sign_vectors(20, 20000, 1)
    assert vectors.mean() == pytest.approx(0, abs=0.01)
    assert (vectors**2 == 1).all()


def test_too_few_clusters_to_reject_leave_no_end_and_say_so() -> None:
    """Four clusters have 8 vectors of signs with different t: no p-value of the restricted test is below 1/8."""
    ours = bootstrapped(panel(5, provinces=4))
    assert (ours.conf_low, ours.conf_high) == (-np.inf, np.inf)
    assert [warning.en for warning in ours.warnings] == [
        "4 clusters have 8 vectors of signs with different t: p is a multiple of 0.125."
    ]
    assert not bootstrapped(panel(5, provinces=6)).warnings


def test_fewer_draws_than_can_reject_leave_no_end() -> None:
    ours = bootstrapped(panel(5, provinces=13), draws=18)
    assert (ours.conf_low, ours.conf_high) == (-np.inf, np.inf)


def test_units_and_order_do_not_matter() -> None:
    data = panel(6, provinces=12)
    plain = bootstrapped(data)
    data = data.sample(frac=1, random_state=1).assign(x=data["x"] * 1e-6 + 3, y=data["y"] * 1e3)
    regression = fixed_effects.partialled_out(data, "y", ["z", "x"], cluster="province")
    scaled = wild_bootstrap.test(regression, 1, clusters=regression.clusters)
    assert plain.conf_low is not None
    assert plain.conf_high is not None
    assert scaled.p_value == plain.p_value
    assert scaled.conf_low == pytest.approx(plain.conf_low * 1e9, rel=1e-6)
    assert scaled.conf_high == pytest.approx(plain.conf_high * 1e9, rel=1e-6)


def test_a_fit_without_error_has_no_bootstrap() -> None:
    data = panel(9)
    data["y"] = 2 * data["x"] + data["city_id"]
    with pytest.raises(NotEstimable, match="No bootstrap: the outcome is fitted exactly"):
        bootstrapped(data)


def test_scores_that_cancel_in_every_cluster_have_no_bootstrap() -> None:
    """Two cities in all years: their scores are opposite in each year, so they sum to zero in each city."""
    data = panel(9, provinces=1, cities=2, years=8)
    regression = fixed_effects.partialled_out(data, "y", ["x"])
    with pytest.raises(NotEstimable, match="by these 2 clusters its variance is zero"):
        wild_bootstrap.test(regression, 0, clusters=regression.clusters)


def test_one_cluster_is_refused() -> None:
    data = panel(9)
    with pytest.raises(NotEstimable, match="Clustered errors need at least two clusters, and the sample has 1"):
        wild_bootstrap.test(regression_of(data), 0, clusters=np.zeros(len(data), dtype=int))


# ---------------------------------------------------------------- known truth


def test_clusters_of_provinces_reject_a_true_null_near_5_percent_and_cities_do_not() -> None:
    panels = 60
    shares = size_of_tests.rejected(panels, draws=499)
    for name in size_of_tests.TARGETED:
        assert shares[name] <= size_of_tests.MOST + 2 * np.sqrt(0.05 * 0.95 / panels)
    assert shares["CRV1, city"] > 0.15


@pytest.mark.soak
def test_clusters_of_provinces_reject_a_true_null_in_3_to_8_percent() -> None:
    shares = size_of_tests.rejected(500, draws=999)
    for name in size_of_tests.TARGETED:
        assert size_of_tests.LEAST <= shares[name] <= size_of_tests.MOST
