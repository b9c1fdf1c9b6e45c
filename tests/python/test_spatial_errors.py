"""Test spatial (SCPC) standard errors against the R package scpcR, and refused cases."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.robustness import spatial_errors
from ai_manufacturing.robustness.spatial_errors import scpc
from tests.python.estimator_tools import (
    approx,
    golden,
    golden_data,
    grid,
    random_panel,
    refusal,
    regression_of,
)

SCPC: dict[str, Any] = golden("scpc")


def components_of(coordinates: np.ndarray, correlation: float) -> spatial_errors.SpatialComponents:
    return spatial_errors._choose_components(spatial_errors._check_places(coordinates), correlation)


def places(cities: int = 23) -> np.ndarray:
    return np.random.default_rng(8).uniform([100, 22], [125, 45], (cities, 2))


def cross_section() -> tuple[PartialledOut, np.ndarray, list[str]]:
    """Return a cross-sectional regression as a panel of two years, with zeros in the first year.

    Changes between the years are the cross-section, and the second year's effect is the constant,
    so slopes and scores are the same.
    """
    data = golden_data("chetty_subset").dropna().rename(columns={"cz": "city_id"})
    terms = ["gini", "fracblack"]
    first = data.assign(**dict.fromkeys(["am", *terms], 0.0), year=0)
    regression = fixed_effects.partial_out(pd.concat([first, data.assign(year=1)]), "am", terms)
    return regression, data.sort_values("city_id")[["lon", "lat"]].to_numpy(), terms


@pytest.mark.parametrize("name", list(SCPC))
def test_scpc_is_that_of_scpcr(name: str) -> None:
    record = SCPC[name]
    regression, coordinates, terms = cross_section()
    components = components_of(coordinates, record["avc"])
    assert components.count == record["q"]
    assert components.decays[0] == approx(record["c0"], rel=1e-12)
    printed = {row["_row"]: row for row in record["stats"]}
    names = ["Coef", "Std_Err", "t"]
    # scpcR's conditional inference uses other critical values, so compare p-values only for
    # unconditional records.
    if "uncond" in name:
        names += ["P>|t|", "2.5 %", "97.5 %"]
    for position, term in enumerate(terms):
        ours = scpc(regression, position, coordinates, record["avc"])
        found = [ours.estimate, ours.std_error, ours.statistic]
        found += [ours.p_value, ours.conf_low, ours.conf_high]
        expected = [printed[term][name] for name in names]
        assert found[: len(names)] == approx(expected, rel=1e-10)


def test_what_the_map_or_the_fit_does_not_give_is_a_reason() -> None:
    data, coordinates = random_panel(8), places()
    exact = regression_of(data.assign(y=2 * data["x1"] + data["year"]))
    assert "fit the outcome exactly" in refusal(scpc, exact, 0, coordinates, 0.03)
    for value, part in (
        ([np.nan, 30.0], "1 cities have no coordinates"),
        ([30.0, 110.0], "1 cities have a longitude beyond 180 or"),
    ):
        coordinates[3] = value
        assert part in refusal(scpc, regression_of(data), 0, coordinates, 0.03)
    with pytest.raises(ValueError, match=r"between 0.001 and 0.99, but it is 1.0"):
        scpc(regression_of(data), 0, places(), 1.0)


def test_scores_that_cancel_in_every_city_leave_no_error() -> None:
    """Regressor and residuals are uncorrelated within each city, so the variance is zero."""
    data = grid(range(8), range(4))
    city, year = data["city_id"].to_numpy(), data["year"].to_numpy()
    data["x"] = (-1.0) ** (city + year)
    data["y"] = data["x"] + (-1.0) ** (city // 4 + year // 2)
    regression = fixed_effects.partial_out(data, "y", ["x"])
    reason = refusal(scpc, regression, 0, places(8), 0.03)
    assert "spatial components of the scores are zero" in reason


def test_components_need_places_enough_and_apart() -> None:
    coordinates = places()
    reason = refusal(components_of, coordinates[:4], 0.03)
    assert "at least 5 cities, and the sample has 4" in reason
    coordinates[:20] = coordinates[0]
    assert "cannot be as low as 0.03" in refusal(components_of, coordinates, 0.03)
