"""Rounding of what is printed in whole units, against the rounding errors themselves."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation import rounding
from ai_manufacturing.estimation.inputs import Sample
from ai_manufacturing.estimators.fixed_effects import Effects

CITIES, YEARS = 200, 10


def rests_on(role: str, quantity: str) -> SimpleNamespace:
    return SimpleNamespace(role=role, variable="ln_series", quantity=quantity, series=quantity)


def sampled(values: np.ndarray) -> Sample:
    cities, years = (axis.ravel() for axis in np.indices((CITIES, YEARS)))
    rows = pd.DataFrame({"city_id": cities.astype(str), "year": 2010 + years, "ln_series": np.log(values)})
    return Sample(rows, np.ones(len(rows), bool), 0, np.arange(len(rows)))


@pytest.fixture(scope="module")
def employed() -> np.ndarray:
    """Draw employment of cities from a few to a few hundred, in 10 thousand persons."""
    draws = np.random.default_rng(5)
    sizes = np.exp(draws.normal(2.5, 0.8, (CITIES, 1)) + draws.normal(0, 0.1, (CITIES, YEARS)))
    return np.asarray(np.clip(sizes, 1.6, None)).ravel()


@pytest.mark.parametrize("role", ["outcome", "control"])
def test_the_share_of_rounding_is_that_of_the_errors_it_makes(employed: np.ndarray, role: str) -> None:
    (remark,) = rounding.remarks([rests_on(role, "employment_10k")], sampled(np.round(employed)))
    every, smaller = (int(found) / 100 for found in re.findall(r"(\d+)%", remark.en))
    cities, years = (axis.ravel() for axis in np.indices((CITIES, YEARS)))
    effects = Effects(cities, years)
    printed, error = (
        effects.removed_from(logs[:, None])[:, 0]
        for logs in (np.log(np.round(employed)), np.log(np.round(employed)) - np.log(employed))
    )
    is_smaller = np.isin(cities, np.argsort(employed.reshape(CITIES, YEARS).mean(axis=1))[: CITIES // 2])
    assert every == pytest.approx(error.var() / printed.var(), abs=0.05)
    assert smaller == pytest.approx(error[is_smaller].var() / printed[is_smaller].var(), abs=0.07)
    assert smaller > every
    assert ("widens errors" if role == "outcome" else "drawn to zero") in remark.en


def test_nothing_is_said_of_decimals_of_counts_and_of_what_is_no_log_of_one_series(employed: np.ndarray) -> None:
    whole, printed_finer = sampled(np.round(employed)), sampled(np.round(employed, 2))
    assert rounding.remarks([rests_on("outcome", "employment_10k")], printed_finer) == []
    assert rounding.remarks([rests_on("outcome", "above_scale_firm_count")], whole) == []
    assert rounding.remarks([rests_on("measure", "employment_10k")], whole) == []
    assert rounding.remarks([rests_on("outcome", "employment_10k"), rests_on("outcome", "gdp_100m_cny")], whole) == []
