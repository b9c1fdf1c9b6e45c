"""Test robustness values against sensemakr, and detectable effects and weights by definition."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.inference import compute_minimum_detectable_effect
from ai_manufacturing.robustness import second_route
from ai_manufacturing.robustness.sensitivity import (
    compute_effect_weights,
    compute_robustness_value,
)
from tests.python.estimator_tools import (
    REGRESSORS,
    OnDummies,
    approx,
    golden,
    golden_data,
    grid,
    random_panel,
    refusal,
    regression_of,
    without_singletons,
)

RECORDS: dict[str, Any] = golden("ovb")


def test_the_robustness_value_of_sensemakr_is_matched() -> None:
    """Match sensemakr's Darfur example, and check that the sign of t does not matter."""
    village = pd.factorize(golden_data("darfur")["village"])[0].astype(np.intp)
    design = np.empty((len(village), 7))
    effects = fixed_effects.Effects(village, np.zeros_like(village))
    darfur = replace(regression_of(random_panel(4)), design=design, effects=effects)
    printed = RECORDS["darfur"]["stats"]
    for t in (printed["t_statistic"], -printed["t_statistic"]):
        assert compute_robustness_value(darfur, t) == approx(printed["rv_q"], rel=1e-10)


@pytest.mark.parametrize("degrees_of_freedom", [3, 30, math.inf])
def test_the_minimum_detectable_effect_is_found_four_times_in_five(
    degrees_of_freedom: float,
) -> None:
    effect = compute_minimum_detectable_effect(0.5, degrees_of_freedom)
    t = stats.t(degrees_of_freedom)
    assert t.sf(t.ppf(0.975) - effect / 0.5) == approx(0.8)


def test_the_weights_give_the_slope_of_effects_that_differ() -> None:
    """The slope is a weighted sum of unit-level effects, with weights from the residualised
    regressor.
    """
    data = without_singletons(random_panel(1)).sort_values(["city_id", "year"])
    data["x1"] = np.exp(data["x1"])
    slopes = np.random.default_rng(7).normal(size=len(data))
    data["y"] = slopes * data["x1"] + 2 * data["x2"] + data["city_id"] + data["year"] ** 2
    weights = compute_effect_weights(regression_of(data), 0, data["x1"].to_numpy())
    slope = second_route.fit_panel_ols(data, "y", REGRESSORS)[0][0]
    assert weights @ slopes == approx(slope, rel=1e-8)
    assert weights.sum() == approx(1)
    assert weights.min() < 0

    left = OnDummies(data, "x1", REGRESSORS[1:]).residuals
    np.testing.assert_allclose(weights, left * data["x1"] / (left @ data["x1"]), atol=1e-9)


def test_without_a_degree_of_freedom_to_spare_there_is_no_robustness_value() -> None:
    rows = grid(range(3), range(4)).iloc[:-2]
    rows[["y", *REGRESSORS]] = np.random.default_rng(4).normal(size=(len(rows), 4))
    few = regression_of(rows)
    assert "no degree of freedom left" in refusal(compute_robustness_value, few, 2.0)
