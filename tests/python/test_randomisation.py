"""Test the permutation of weights over cities by enumeration, refitting and simulation."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.robustness.randomisation import (
    TRANSFORMS,
    PermutationTest,
    draw_permutations,
    fit_permutations,
)
from tests.python.estimator_tools import approx, grid, refusal


def panel(cities: int, share: float = 1.0) -> pd.DataFrame:
    """Return a simulated panel whose outcome depends on the measure, keeping a random share of
    rows.
    """
    rng = np.random.default_rng(3)
    data = grid((f"c{number:03}" for number in range(cities)), range(2010, 2016))
    city = data["city_id"].str[1:].astype(int)
    data["province_id"] = city % 11
    data["weight"] = (rng.pareto(1.5, cities) + 0.1)[city]
    scaling, data["x"], noise = rng.normal(size=(3, len(data)))
    data["scaling_value"] = np.exp(scaling)
    data["m"] = measure(data, weights_of(data))
    data["y"] = 0.1 * data["m"] + 0.2 * data["x"] + 0.3 * noise
    return data.sample(frac=share, random_state=1).sort_values(["city_id", "year"])


def weights_of(data: pd.DataFrame) -> Floats:
    return np.asarray(data.groupby("city_id")["weight"].first())


def measure(data: pd.DataFrame, weights: Floats) -> Floats:
    city = pd.factorize(data["city_id"], sort=True)[0]
    return np.asarray(np.log1p(weights[city] * data["scaling_value"]))


def swapped(data: pd.DataFrame) -> Floats:
    """Return the measure computed with the weights of the first two cities swapped."""
    return measure(data, weights_of(data)[[1, 0, *range(2, data["city_id"].nunique())]])


def permuted(
    data: pd.DataFrame,
    strata: Codes | None = None,
    *,
    draws: int = 999,
    transform: str = "ln1p",
    cluster: str = "city_id",
) -> PermutationTest:
    """Run a permutation test of the slope of `y` on `m`, controlling for `x`."""
    regression = fixed_effects.partial_out(data, "y", ["m", "x"], cluster=cluster)
    drawn = draw_permutations(sorted({*data["city_id"]}), strata, draws=draws)
    scaling = data["scaling_value"].to_numpy()
    return fit_permutations(regression, weights_of(data), scaling, transform, drawn)


@pytest.mark.parametrize(
    ("cities", "strata", "draws", "cluster"),
    [
        (5, [0] * 5, 120, "city_id"),
        (7, [5, 5, 9, 5, 2, 9, 9], 36, "city_id"),
        (40, [0] * 40, 300, "province_id"),
    ],
)
def test_slopes_and_p_are_those_of_refits(
    cities: int, strata: list[int], draws: int, cluster: str
) -> None:
    """Each permutation must give the same slope as a refitted regression, for all permutations of a
    few cities and for random draws in an unbalanced panel.
    """
    is_enumerated = cities < 40
    data = panel(cities, 1.0 if is_enumerated else 0.85)
    groups = np.array(strata)
    found = permuted(data, groups, draws=draws, cluster=cluster)
    weights, donors = weights_of(data), found.permutations.donors
    refits = []
    for donor in (np.arange(cities), *donors):
        other = data.assign(m=measure(data, weights[donor]))
        fit = fixed_effects.fit(other, "y", ["m", "x"], cluster=cluster)
        refits.append([fit.estimates[0], fit.std_errors[0], fit.statistics[0]])
    own, others = refits[0], np.array(refits[1:])
    assert [found.estimate, found.std_error, found.statistic] == approx(own, rel=1e-10)
    np.testing.assert_allclose(found.slopes, others[:, 0], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.statistics, others[:, 2], rtol=1e-8, atol=1e-12)

    extreme = int((np.abs(others[:, 2]) >= abs(own[2]) * (1 - 1e-8)).sum())
    assert 0 < extreme < draws
    p = extreme / draws if is_enumerated else (1 + extreme) / (1 + draws)
    by_t = found.infer_by_t()
    assert (by_t.p_value, by_t.draws, by_t.is_enumerated) == (p, draws, is_enumerated)
    error = 0 if is_enumerated else math.sqrt(p * (1 - p) / draws)
    assert by_t.monte_carlo_error == approx(error)
    assert [by_t.std_error, by_t.statistic] == approx(own[1:], rel=1e-10)
    assert by_t.cluster_count == data[cluster].nunique()

    assert len(np.unique(donors, axis=0)) == draws
    assert (np.sort(donors, axis=1) == np.arange(cities)).all()
    assert (groups[donors] == groups).all()
    alone = ["1 of the 7 cities are alone in their stratum and keep their weights."]
    assert [warning.en for warning in by_t.warnings] == (alone if cities == 7 else [])


def test_samples_share_a_permutation_wherever_both_have_the_donor() -> None:
    cities = [f"c{number:02}" for number in range(40)]
    strata = np.arange(40) % 3
    union = draw_permutations(cities, strata, draws=200, seed=8)
    first, second = cities[:30], cities[4:]
    for part in (first, second):
        drawn = union.restrict_to(part)
        assert drawn.cities == tuple(part)
        assert (np.sort(drawn.donors, axis=1) == np.arange(len(part))).all()
        for draw in range(200):
            for city, donor in zip(part, drawn.donors[draw], strict=True):
                passed = cities.index(city)
                while cities[passed := union.donors[draw, passed]] not in part:
                    pass
                assert part[donor] == cities[passed]
    assert draw_permutations([*"abcd"], draws=24).restrict_to("bd").is_enumerated


def test_the_order_of_cities_does_not_matter_and_the_seed_does() -> None:
    cities, strata = [f"c{number:02}" for number in range(20)], np.arange(20) // 5
    forward = draw_permutations(cities, strata, draws=50)
    backward = draw_permutations(cities[::-1], strata[::-1], draws=50)
    assert forward.cities == backward.cities
    np.testing.assert_array_equal(forward.donors, backward.donors)
    assert (draw_permutations(cities, strata, draws=50, seed=1).donors != forward.donors).any()


def test_in_logs_a_permutation_changes_nothing() -> None:
    data = panel(20)
    data["m"] = np.log(data["weight"] * data["scaling_value"])
    found = permuted(data, draws=99, transform="ln")
    assert np.ptp(found.slopes) < 1e-12
    assert found.p_value_of_t == 1


@pytest.mark.parametrize(
    ("broken", "transform", "reason"),
    [
        ({"weight": np.nan}, "ln1p", "no weight that could be permuted"),
        ({"weight": 0.01}, "ln1p", "All cities have the same weight"),
        ({"scaling_value": np.nan}, "ln1p", "no weight that could be permuted"),
        ({"scaling_value": 30.0}, "ln1p", "A permuted measure does not vary within cities"),
        ({"x": swapped}, "ln1p", "A permuted measure does not vary within cities"),
        ({}, "asinh", "not its weight times its scaling value"),
    ],
)
def test_what_has_no_permutations_says_so(
    broken: dict[str, Any], transform: str, reason: str
) -> None:
    assert reason in refusal(permuted, panel(6).assign(**broken), transform=transform)


def test_an_identity_has_slopes_and_no_t() -> None:
    """If the regressors fit the outcome exactly, slopes are defined but t statistics are not."""
    data = panel(12)
    for y, estimate in ((2 * data["m"] - data["x"], 2), (data["x"], 0)):
        found = permuted(data.assign(y=y), draws=99)
        assert found.estimate == approx(estimate, abs=1e-12)
        assert "fitted exactly" in refusal(found.infer_by_t)


def test_a_permutation_that_fits_the_outcome_exactly_is_as_extreme_as_can_be() -> None:
    data = panel(6)
    found = permuted(data.assign(y=swapped(data) + data["x"]))
    exact = np.isinf(found.statistics)
    assert found.permutations.donors[exact].tolist() == [[1, 0, 2, 3, 4, 5]]
    assert found.slopes[exact] == approx(1)
    extreme = np.abs(found.statistics) >= abs(found.statistic) * (1 - 1e-8)
    assert found.p_value_of_t == extreme.sum() / 720


def test_cities_that_are_each_alone_cannot_be_permuted() -> None:
    alone = refusal(draw_permutations, [*"abc"], np.array([1, 2, 3]))
    assert alone.startswith("Each of the 3 cities is alone in its stratum")
    union = draw_permutations([*"abc"], np.array([1, 1, 2]))
    assert refusal(union.restrict_to, [*"ac"]).startswith("Each of the 2 cities is alone")


def test_the_transforms_are_those_of_the_measures() -> None:
    """The logarithmic transforms are covered by the comparison with refitted regressions."""
    assert TRANSFORMS["level"](np.array([20_000.0])) == 2
    assert TRANSFORMS["asinh"](np.array([20_000.0])) == approx(math.asinh(20_000))
