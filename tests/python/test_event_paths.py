"""Tests for the smallest pre-trend that an event study can detect, against results from R."""

from typing import Any

import numpy as np
import pytest
from scipy import special

from ai_manufacturing.robustness.event_paths import (
    find_detectable_slope,
    normal_rectangle_probability,
)
from tests.python.estimator_tools import approx, golden, refusal

GOLDEN: dict[str, Any] = golden("event_paths")
SIGMA = np.array(GOLDEN["sigma"])
TIMES: list[int] = GOLDEN["event_times"]
OMITTED: int = GOLDEN["omitted_time"]


def power_of(slope: float, threshold: float = 1.959964) -> float:
    """Return the probability that a linear trend makes any pre-event coefficient significant."""
    errors = np.sqrt(np.diag(SIGMA))[:5]
    means = slope * (np.array(TIMES[:5]) - OMITTED) / errors
    return 1 - normal_rectangle_probability(
        -threshold - means,
        threshold - means,
        SIGMA[:5, :5] / np.outer(errors, errors),
    )


@pytest.mark.parametrize("record", GOLDEN["pre_test"], ids=lambda record: str(record["target"]))
def test_r_finds_the_same_trends(record: dict[str, Any]) -> None:
    slope = find_detectable_slope(SIGMA, TIMES, record["target"], omitted_time=OMITTED)
    assert slope == approx(record["slope"], rel=0.01)
    assert power_of(slope) == approx(record["target"], abs=1e-5)
    # The tolerance allows for the numerical error of R's pmvnorm.
    assert power_of(record["slope"]) == approx(record["power"], abs=1e-3)


def test_a_trend_of_t_tests_has_the_power_asked_for() -> None:
    slope = find_detectable_slope(SIGMA, TIMES, 0.6, omitted_time=OMITTED, degrees_of_freedom=30)
    threshold = float(-special.stdtrit(30, 0.025))
    assert power_of(slope, threshold) == approx(0.6, abs=1e-5)


def test_no_year_before_the_event_or_one_that_rejects_by_chance_finds_no_trend() -> None:
    late = refusal(find_detectable_slope, np.eye(2), [0, 1], 0.5, omitted_time=-1)
    assert late == "Pre-trends cannot be tested, because no year before the event has a term."
    reason = refusal(find_detectable_slope, np.eye(10), [*range(-11, -1)], 0.2, omitted_time=-1)
    assert reason.startswith("The trend that the pre-test finds with probability 0.20 is")
    assert "rejects with probability 0.40" in reason
