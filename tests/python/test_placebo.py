"""The placebo of permuted weights: against a loop of regressions, and against what it must say of known panels."""

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import placebo

pytestmark = pytest.mark.filterwarnings("error")


def panel(effect_of_weight: float, cities: int = 60, years: int = 8) -> pd.DataFrame:
    """Return a panel in which the outcome follows the log of firms and, times effect_of_weight, the city's own M."""
    rng = np.random.default_rng(11)
    grid = pd.MultiIndex.from_product([range(cities), range(2010, 2010 + years)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    growth = rng.uniform(0, 0.2, cities)[data["city_id"]] * (data["year"] - 2010)
    data["scaling_value"] = np.exp(6 + growth + 0.05 * rng.normal(size=len(data)))
    data["weight"] = (rng.pareto(1.5, cities) / 300)[data["city_id"]]
    data["m"] = np.log1p(data["weight"] * data["scaling_value"])
    data["x"] = rng.normal(size=len(data))
    data["y"] = (
        0.1 * np.log(data["scaling_value"])
        + effect_of_weight * data["m"]
        + 0.2 * data["x"]
        + 0.02 * rng.normal(size=len(data))
    )
    return data.sample(frac=0.95, random_state=1)


def test_the_slopes_are_those_of_one_regression_per_permutation() -> None:
    data = panel(0.3)
    found = placebo.fit(data, "y", "m", ["x"], transform="ln1p", draws=19, seed=5)

    rng = np.random.default_rng(5)
    weights = data.groupby("city_id")["weight"].first().sort_index()
    slopes = []
    for _ in range(19):
        drawn = pd.Series(rng.permutation(weights.to_numpy()), index=weights.index)
        frame = data.assign(m=np.log1p(data["city_id"].map(drawn) * data["scaling_value"]))
        slopes.append(fixed_effects.fit(frame, "y", ["m", "x"]).estimates[0])
    own = fixed_effects.fit(data, "y", ["m", "x"]).estimates[0]
    assert found.estimate == pytest.approx(own, rel=1e-9)
    assert found.placebo_mean == pytest.approx(np.mean(slopes), rel=1e-9)
    assert found.placebo_sd == pytest.approx(np.std(slopes, ddof=1), rel=1e-9)
    assert (found.placebo_low, found.placebo_high) == pytest.approx(tuple(np.quantile(slopes, [0.025, 0.975])))
    farther = np.sum(np.abs(np.array(slopes) - np.mean(slopes)) >= abs(own - np.mean(slopes)))
    assert found.p_value == (1 + farther) / 20


def test_weights_that_matter_are_told_from_weights_that_do_not() -> None:
    matters = placebo.fit(panel(0.5), "y", "m", ["x"], transform="ln1p", draws=199)
    assert matters.p_value == 1 / 200
    assert matters.estimate > 1.5 * matters.placebo_mean

    carries_nothing = placebo.fit(panel(0.0), "y", "m", ["x"], transform="ln1p", draws=199)
    # The outcome follows firms alone, and yet the slope is there with anybody's weights.
    assert carries_nothing.placebo_mean > 0.05
    assert carries_nothing.p_value > 0.05


def test_in_logs_every_permutation_gives_the_estimate_itself() -> None:
    data = panel(0.3)
    data["m"] = np.log(data["weight"] * data["scaling_value"])
    found = placebo.fit(data, "y", "m", ["x"], transform="ln", draws=99)
    assert found.placebo_sd < 1e-12
    assert found.placebo_mean == pytest.approx(found.estimate, abs=1e-12)
    assert found.p_value == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"weight": np.nan}, "no weight that could be permuted"),
        ({"weight": 0.01}, "All cities have the same weight"),
    ],
)
def test_what_has_no_placebo_says_so(broken: dict[str, float], reason: str) -> None:
    with pytest.raises(NotEstimable, match=reason):
        placebo.fit(panel(0.3).assign(**broken), "y", "m", ["x"], transform="ln1p", draws=9)
