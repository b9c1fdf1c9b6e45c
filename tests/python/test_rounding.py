"""Test that remarks about rounded data state the attenuation bias that a simulation finds."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation import rounding
from ai_manufacturing.estimation.inputs import Sample
from ai_manufacturing.estimators.fixed_effects import Effects

CITIES, YEARS = 280, 10
AXES = tuple(axis.ravel() for axis in np.indices((CITIES, YEARS)))
REGRESSION: Any = SimpleNamespace(terms=("ai_firms", "ln_series"), period="year")


def rests_on(role: str, quantity: str) -> SimpleNamespace:
    return SimpleNamespace(role=role, variable="ln_series", quantity=quantity, series=quantity)


OUTCOME = rests_on("outcome", "employment_10k")


def remarks(used: list[Any], values: np.ndarray, measure: np.ndarray) -> list[Any]:
    """Return the remarks on a regression that uses these printed values."""
    cities, years = AXES
    rows = pd.DataFrame({"city_id": cities.astype(str), "year": 2010 + years})
    rows = rows.assign(ln_series=np.log(values), ai_firms=measure)
    sample = Sample(rows, np.ones(len(rows), bool), 0, np.arange(len(rows)))
    return [*rounding.find_remarks(REGRESSION, used, sample)]


def drawn(median: float, persistence: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate city employment (in 10,000 persons) around a median, and a correlated regressor."""
    draws = np.random.default_rng(seed)
    shocks = draws.normal(size=(CITIES, YEARS))
    for year in range(1, YEARS):
        shocks[:, year] = (
            persistence * shocks[:, year - 1] + np.sqrt(1 - persistence**2) * shocks[:, year]
        )
    values = np.exp(draws.normal(np.log(median), 0.8, (CITIES, 1)) + 0.1 * shocks).ravel()
    return np.clip(values, 0.501, None), 0.5 * shocks.ravel() + draws.normal(size=CITIES * YEARS)


def percentages(remark: Any) -> tuple[float, float]:
    every, smaller = (int(found) / 100 for found in re.findall(r"(\d+)%", remark.en))
    return every, smaller


@pytest.mark.parametrize(
    ("median", "persistence"),
    [(3, 0.9), (12, 0.0)],
)
def test_a_control_is_drawn_to_zero_by_no_more_than_is_said_and_by_that_where_it_moves(
    median: float, persistence: float
) -> None:
    """Regress the true log on the rounded log and a correlated measure to find the attenuation."""
    lost, shares = [], []
    for seed in range(10):
        values, measure = drawn(median, persistence, seed)
        whole = np.round(values)
        (remark,) = remarks([rests_on("control", "employment_10k")], whole, measure)
        columns = np.column_stack([np.log(whole), measure, np.log(values)])
        left = Effects(*AXES).remove_from(columns)
        lost.append(1 - np.linalg.lstsq(left[:, :2], left[:, 2])[0][0])
        shares.append(percentages(remark))
        assert "biased towards zero" in remark.en
    every, smaller = np.mean(shares, axis=0)
    assert smaller > every or smaller == 1
    assert np.mean(lost) < every + 0.01
    if every < 0.25:
        assert np.mean(lost) == pytest.approx(every, rel=0.2, abs=0.01)


def test_noise_of_an_outcome_is_its_share_of_the_variance_within() -> None:
    values, measure = drawn(30, 0.0, 1)
    whole = np.round(values)
    (remark,) = remarks([OUTCOME], whole, measure)
    columns = np.column_stack([np.log(whole), np.log(whole) - np.log(values)])
    printed, error = Effects(*AXES).remove_from(columns).T
    assert percentages(remark)[0] == pytest.approx(error.var() / printed.var(), abs=0.01)
    assert "increases standard errors" in remark.en
    assert "bias" in remark.en


def test_decimals_counts_large_values_and_what_is_no_log_of_one_series_are_no_remark() -> None:
    values, measure = drawn(12, 0.0, 1)
    whole = np.round(values)
    for printed, used in (
        (np.round(values, 2), [OUTCOME]),
        (np.round(1000 * values), [OUTCOME]),
        (whole, [rests_on("outcome", "above_scale_firm_count")]),
        (whole, [rests_on("measure", "employment_10k")]),
        (whole, [OUTCOME, rests_on("outcome", "gdp_100m_cny")]),
    ):
        assert remarks(used, printed, measure) == []
