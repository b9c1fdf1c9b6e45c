"""The wild cluster bootstrap against golden numbers, a textbook loop, enumeration, and its size
under a true null.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import Inference
from tests.lib import size_of_tests
from tests.python.estimator_tools import (
    OnDummies,
    approx,
    golden,
    golden_data,
    grid,
    refusal,
    without_singletons,
)

RECORDS: list[dict[str, Any]] = golden("wild")["records"]

pytestmark = pytest.mark.filterwarnings("error")


def panel(seed: int, provinces: int = 8, slope: float = 0.0) -> pd.DataFrame:
    """Return an unbalanced panel whose regressor and errors share shocks of provinces and years."""
    rng = np.random.default_rng(seed)
    data = grid(range(provinces * 3), range(5))
    data["province"] = data["city_id"] // 3
    cell = data["province"] * 5 + data["year"]
    scale = 0.5 + rng.random(provinces)[data["province"]]
    for name in ("x", "z", "e"):
        data[name] = rng.normal(size=provinces * 5)[cell] + rng.normal(size=len(data))
    data["y"] = slope * data["x"] + 0.3 * data["z"] + scale * data["e"]
    data["y"] += data["city_id"] + data["year"] ** 2
    return without_singletons(data[rng.random(len(data)) < 0.95])


def textbook(
    data: pd.DataFrame, draws: Floats, null: float = 0.0, *, clusters: str = "province"
) -> tuple[float, Floats]:
    """One regression on all dummies per draw, as the papers describe it: t, and t of each draw."""
    members = np.unique(data[clusters], return_inverse=True)[1]
    fitted = OnDummies(data, "y", ["x", "z"])

    def t(y: Floats) -> float:
        residuals = y - fitted.design @ (fitted.inverse @ y)
        scores = np.bincount(members, weights=fitted.inverse[0] * residuals)
        return float(fitted.inverse[0] @ y / np.linalg.norm(scores))

    y = data["y"].to_numpy() - null * data["x"].to_numpy()
    left = OnDummies(data.assign(y=y), "y", ["z"]).residuals
    return t(y), np.array([t(y - left + left * draw[members]) for draw in draws])


def regression_of(data: pd.DataFrame) -> fixed_effects.PartialledOut:
    return fixed_effects.partialled_out(data, "y", ["x", "z"], cluster="province")


def bootstrapped(data: pd.DataFrame, **options: Any) -> Inference:
    regression = regression_of(data)
    return wild_bootstrap.test(regression, 0, clusters=regression.clusters, **options)


# ---------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["param"])
def test_golden_p_is_met_exactly_by_enumeration(record: dict[str, Any]) -> None:
    """Ties count: the sample is one of the 512 vectors."""
    regression = fixed_effects.partialled_out(
        golden_data("grunfeld"),
        "inv",
        ["value", "capital"],
    )
    position = ["value", "capital"].index(record["param"])
    golden = record["wcr"]
    ours = wild_bootstrap.test(regression, position, clusters=regression.clusters)
    assert ours.p_value == golden["rademacher_p_ge"]
    assert (ours.draws, ours.is_enumerated, ours.monte_carlo_error) == (golden["draws"], True, 0)
    assert ours.cluster_count == record["G"]


# ---------------------------------------------------------------- a textbook loop


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
    assert_allclose(ours, np.abs(theirs), rtol=1e-9, atol=1e-9)


def test_p_and_the_seed() -> None:
    """199 draws of 13 clusters: the p-value is (1 + r)/200 of the loop with the same weights."""
    data = panel(2, provinces=13, slope=0.25)
    ours = bootstrapped(data, draws=199, seed=7)
    vectors, enumerated = wild_bootstrap.sign_vectors(13, 199, 7)
    t, theirs = textbook(data, vectors)
    assert not enumerated
    assert ours.p_value == (1 + np.sum(np.abs(theirs) >= abs(t))) / 200
    assert ours.monte_carlo_error == np.sqrt(ours.p_value * (1 - ours.p_value) / 199)
    assert (ours.draws, ours.cluster_count, ours.is_enumerated, ours.warnings) == (
        199,
        13,
        False,
        (),
    )
    assert ours == bootstrapped(data, draws=199, seed=7)
    assert ours != bootstrapped(data, draws=199, seed=8)


def test_twelve_clusters_are_the_last_to_be_enumerated() -> None:
    for count, draws in ((12, 2_048), (13, 9_999)):
        vectors, is_enumerated = wild_bootstrap.sign_vectors(count, 9_999, 1)
        assert (len(vectors), is_enumerated) == (draws, count == 12)
    assert vectors.mean() == approx(0, abs=0.01)
    assert (vectors**2 == 1).all()


def test_the_interval_holds_what_is_not_rejected() -> None:
    """Just inside an end the loop's p-value is above 5 %, just outside it is not."""
    data = panel(4, provinces=13, slope=0.5)
    ours = bootstrapped(data, draws=59)
    vectors = wild_bootstrap.sign_vectors(13, 59, 2020)[0]
    for end, outwards in ((ours.conf_low, -1), (ours.conf_high, 1)):
        for step, is_rejected in ((1e-6, True), (-1e-6, False)):
            t, theirs = textbook(data, vectors, end + outwards * step)
            assert ((1 + np.sum(np.abs(theirs) >= abs(t))) / 60 <= 0.05) == is_rejected
    assert ours.conf_low < ours.estimate < ours.conf_high
    assert (ours.conf_low > 0) == (ours.p_value <= 0.05)


# ---------------------------------------------------------------- what it says, and what it refuses


def test_the_error_is_that_of_the_clusters_given() -> None:
    """Whatever clusters the regression was made with, and whatever their labels."""
    data = panel(7)
    regression = fixed_effects.partialled_out(data, "y", ["x", "z"])
    names = "province " + data["province"].astype(str).to_numpy(object)
    ours = wild_bootstrap.test(regression, 1, clusters=names.astype(str))
    theirs = fixed_effects.fit(data, "y", ["x", "z"], cluster="province").inference(1)
    for name in ("estimate", "std_error", "statistic"):
        assert getattr(ours, name) == approx(getattr(theirs, name), rel=1e-12)


def test_too_few_clusters_or_draws_to_reject_leave_no_end_and_say_so() -> None:
    """Four clusters have 8 vectors of signs with different t: no p-value is below 1/8."""
    ours = bootstrapped(panel(5, provinces=4))
    fewer_draws = bootstrapped(panel(5, provinces=13), draws=18)
    for found in (ours, fewer_draws):
        assert (found.conf_low, found.conf_high) == (-np.inf, np.inf)
    assert [warning.en for warning in ours.warnings] == [
        "4 clusters have 8 vectors of signs with different t: p is a multiple of 0.125."
    ]
    assert not bootstrapped(panel(5, provinces=6)).warnings


def test_what_has_no_bootstrap_says_why() -> None:
    """An exact fit; scores of two cities, opposite in each year."""
    data = panel(9)
    exact = data.assign(y=2 * data["x"] + data["city_id"])
    assert refusal(bootstrapped, exact).startswith("No bootstrap: the outcome is fitted exactly")
    pair = data[data["city_id"] < 2].drop_duplicates(["city_id", "year"])
    pair = pair[pair.groupby("year")["year"].transform("size") == 2]
    regression = fixed_effects.partialled_out(pair, "y", ["x"])
    reason = refusal(wild_bootstrap.test, regression, 0, clusters=regression.clusters)
    assert "by these 2 clusters its variance is zero" in reason


# ---------------------------------------------------------------- known truth


@pytest.mark.parametrize(
    ("panels", "draws", "margin"),
    [(20, 99, 0.1), pytest.param(500, 999, 0, marks=pytest.mark.soak)],
)
def test_clusters_of_provinces_reject_a_true_null_in_3_to_8_percent_and_cities_in_more(
    panels: int, draws: int, margin: float
) -> None:
    shares = size_of_tests.rejected(panels, draws)
    for name in size_of_tests.TARGETED:
        assert size_of_tests.LEAST - margin <= shares[name] <= size_of_tests.MOST + margin
    assert shares["CRV1, city"] > 0.15
