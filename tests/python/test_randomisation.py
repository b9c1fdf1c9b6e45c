"""Weights permuted over cities: all permutations of a small panel, refits, and known truths."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.randomisation import (
    TRANSFORMS,
    PermutedSlopes,
    permutations,
    permuted_slopes,
)
from tests.python.estimator_tools import grid

pytestmark = pytest.mark.filterwarnings("error")


def panel(
    cities: int, years: int = 6, *, effect: float = 0.0, seed: int = 3, share: float = 1.0
) -> pd.DataFrame:
    """Return a panel, rows in disorder, whose outcome follows scaling values and the measure."""
    rng = np.random.default_rng(seed)
    names = [f"c{number:03}" for number in range(cities)]
    data = grid(names, range(2010, 2010 + years))
    city, t = data["city_id"].str[1:].astype(int).to_numpy(), data["year"].to_numpy() - 2010
    data["scaling_value"] = np.exp(
        5
        + rng.normal(size=cities)[city]
        + rng.uniform(0, 0.3, cities)[city] * t
        + 0.1 * rng.normal(size=len(data))
    )
    data["weight"] = (rng.pareto(1.5, cities) / 50 + 1e-3)[city]
    data["m"] = np.log1p(data["weight"] * data["scaling_value"])
    data["x"] = rng.normal(size=len(data))
    data["y"] = (
        0.1 * np.log(data["scaling_value"])
        + effect * data["m"]
        + 0.2 * data["x"]
        + 0.05 * rng.normal(size=cities)[city] * t
        + 0.05 * rng.normal(size=len(data))
    )
    return data.sample(frac=share, random_state=1)


def weights_of(data: pd.DataFrame) -> Floats:
    return np.asarray(data.groupby("city_id")["weight"].first())


def permuted(
    data: pd.DataFrame,
    strata: Codes | None = None,
    *,
    draws: int = 999,
    transform: str = "ln1p",
    cluster: str = "city_id",
) -> PermutedSlopes:
    """Return the slopes of y on m, beside x, with the weights of m permuted."""
    rows = data.sort_values(["city_id", "year"])
    regression = fixed_effects.partialled_out(rows, "y", ["m", "x"], cluster=cluster)
    drawn = permutations(sorted({*rows["city_id"]}), strata, draws=draws)
    scaling = rows["scaling_value"].to_numpy()
    return permuted_slopes(regression, weights_of(rows), scaling, transform, drawn)


def refitted(
    data: pd.DataFrame, weights: Floats, cluster: str = "city_id"
) -> tuple[float, float, float]:
    """Fit with other weights, in the order of the cities: slope, clustered error, t."""
    city = pd.factorize(data["city_id"], sort=True)[0]
    other = data.assign(m=np.log1p(weights[city] * data["scaling_value"]))
    fit = fixed_effects.fit(other, "y", ["m", "x"], cluster=cluster)
    return float(fit.estimates[0]), float(fit.std_errors[0]), float(fit.statistics[0])


# ---------------------------------------------------------------- every permutation of five cities


def test_all_permutations_of_five_cities_are_used_and_counted_as_refits_count_them() -> None:
    data = panel(5, effect=0.4).sort_values(["city_id", "year"])
    found = permuted(data, draws=120)
    weights = weights_of(data)
    slopes, _, statistics = np.transpose(
        [refitted(data, np.array(drawn)) for drawn in itertools.permutations(weights)]
    )
    np.testing.assert_allclose(found.slopes, slopes, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.statistics, statistics, rtol=1e-8, atol=1e-12)

    own = refitted(data, weights)
    assert (found.estimate, found.std_error, found.statistic) == pytest.approx(own, rel=1e-10)
    by_t = found.by_t()
    assert by_t.p_value == (np.abs(statistics) >= abs(statistics[0]) * (1 - 1e-8)).sum() / 120
    assert (by_t.draws, by_t.is_enumerated, by_t.monte_carlo_error, by_t.warnings) == (
        120,
        True,
        0.0,
        (),
    )
    assert (by_t.std_error, by_t.statistic, by_t.cluster_count) == (
        found.std_error,
        found.statistic,
        5,
    )


def test_within_strata_weights_stay_in_their_stratum_and_a_city_alone_keeps_its_own() -> None:
    data = panel(7, effect=0.4).sort_values(["city_id", "year"])
    strata = np.array([5, 5, 9, 5, 2, 9, 9])
    found = permuted(data, strata)
    drawn = found.permutations
    assert (len(drawn.donors), drawn.is_enumerated) == (math.factorial(3) ** 2, True)
    assert len(np.unique(drawn.donors, axis=0)) == 36
    assert (np.sort(drawn.donors, axis=1) == np.arange(7)).all()
    assert (strata[drawn.donors] == strata).all()
    assert (drawn.donors[:, 4] == 4).all()
    (warning,) = found.by_t().warnings
    assert warning.en == "1 of the 7 cities are alone in their stratum and keep their weights."
    assert warning.zh == "7个城市中有1个独占一层，保留其权重。"


# ---------------------------------------------------------------- many cities


def test_a_draw_of_many_cities_is_a_refit_in_an_unbalanced_panel_with_clusters() -> None:
    data = panel(40, effect=0.3, share=0.85).sort_values(["city_id", "year"])
    data["province_id"] = data["city_id"].str[1:].astype(int) % 11
    found = permuted(data, draws=300, cluster="province_id")
    weights, donors = weights_of(data), found.permutations.donors
    for draw in (0, 1, 126, 127, 128, 299):
        slope, _, t = refitted(data, weights[donors[draw]], "province_id")
        assert (found.slopes[draw], found.statistics[draw]) == pytest.approx((slope, t), rel=1e-10)

    assert found.cluster_count == 11
    by_t = found.by_t()
    extreme = int((np.abs(found.statistics) >= abs(found.statistic)).sum())
    assert (by_t.p_value, by_t.draws, by_t.is_enumerated) == ((1 + extreme) / 301, 300, False)
    assert by_t.p_value is not None
    assert by_t.monte_carlo_error == pytest.approx(stats.binom(300, by_t.p_value).std() / 300)


# ---------------------------------------------------------------- samples share permutations


def test_samples_share_a_permutation_wherever_both_have_the_donor() -> None:
    cities = [f"c{number:02}" for number in range(40)]
    strata = np.arange(40) % 3
    union = permutations(cities, strata, draws=200, seed=8)
    first, second = cities[:30], cities[4:]
    for part in (first, second):
        drawn = union.among(part)
        assert drawn.cities == tuple(part)
        assert (np.sort(drawn.donors, axis=1) == np.arange(len(part))).all()
        for draw in range(200):
            for city, donor in zip(part, drawn.donors[draw], strict=True):
                passed = cities.index(city)
                while cities[passed := union.donors[draw, passed]] not in part:
                    pass
                assert part[donor] == cities[passed]


def test_the_permutations_of_a_part_are_all_equally_likely() -> None:
    union = permutations(list("abcdefg"), draws=5040)
    part = union.among("bdeg")
    listed, counts = np.unique(part.donors, axis=0, return_counts=True)
    assert (len(listed), set(counts)) == (24, {210})
    assert part.is_enumerated


def test_the_order_of_cities_does_not_matter_and_the_seed_does() -> None:
    cities, strata = [f"c{number:02}" for number in range(20)], np.arange(20) // 5
    forward = permutations(cities, strata, draws=50)
    backward = permutations(cities[::-1], strata[::-1], draws=50)
    assert forward.cities == backward.cities
    np.testing.assert_array_equal(forward.donors, backward.donors)
    assert (permutations(cities, strata, draws=50, seed=1).donors != forward.donors).any()


# ---------------------------------------------------------------- known truth


def test_in_logs_a_permutation_changes_nothing() -> None:
    data = panel(20, effect=0.3)
    data["m"] = np.log(data["weight"] * data["scaling_value"])
    found = permuted(data, draws=99, transform="ln")
    assert np.ptp(found.slopes) < 1e-12
    assert found.p_value_of_t == 1


# ---------------------------------------------------------------- what cannot be permuted


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"weight": np.nan}, "no weight that could be permuted"),
        ({"weight": 0.01}, "All cities have the same weight"),
        ({"scaling_value": np.nan}, "no weight that could be permuted"),
        ({"scaling_value": 30.0}, "A permuted measure does not vary within cities"),
    ],
)
def test_what_has_no_permutations_says_so(broken: dict[str, float], reason: str) -> None:
    with pytest.raises(NotEstimable, match=reason):
        permuted(panel(12).assign(**broken))


def swapped() -> tuple[pd.DataFrame, Floats]:
    """Return a panel, and its measure with the weights of the first two cities swapped."""
    data = panel(6).sort_values(["city_id", "year"])
    weights = weights_of(data)[[1, 0, 2, 3, 4, 5]]
    return data, np.log1p(np.repeat(weights, 6) * data["scaling_value"].to_numpy())


def test_a_permutation_that_is_a_control_says_so() -> None:
    data, control = swapped()
    with pytest.raises(NotEstimable, match="A permuted measure does not vary within cities"):
        permuted(data.assign(x=control), draws=720)


def test_a_regressor_that_is_not_weight_times_scaling_value_says_so() -> None:
    with pytest.raises(NotEstimable, match="not its weight times its scaling value"):
        permuted(panel(12), transform="asinh")


def test_an_identity_has_slopes_and_no_t() -> None:
    data = panel(12)
    found = permuted(data.assign(y=2 * data["m"] - data["x"]), draws=99)
    assert found.estimate == pytest.approx(2)
    with pytest.raises(NotEstimable, match="fitted exactly"):
        found.by_t()
    # of the control alone, the measure has neither slope nor error, own or permuted
    of_control = permuted(data.assign(y=data["x"]), draws=99)
    assert of_control.estimate == pytest.approx(0, abs=1e-12)
    with pytest.raises(NotEstimable, match="fitted exactly"):
        of_control.by_t()


def test_a_permutation_that_fits_the_outcome_exactly_is_as_extreme_as_can_be() -> None:
    data, measure = swapped()
    found = permuted(data.assign(y=measure + data["x"]), draws=720)
    exact = np.isinf(found.statistics)
    assert found.permutations.donors[exact].tolist() == [[1, 0, 2, 3, 4, 5]]
    assert found.slopes[exact] == pytest.approx(1)
    assert (
        found.p_value_of_t
        == (np.abs(found.statistics) >= abs(found.statistic) * (1 - 1e-8)).sum() / 720
    )


def test_cities_that_are_each_alone_cannot_be_permuted() -> None:
    with pytest.raises(NotEstimable, match="Each of the 3 cities is alone in its stratum"):
        permutations(["a", "b", "c"], np.array([1, 2, 3]))
    union = permutations(["a", "b", "c"], np.array([1, 1, 2]))
    with pytest.raises(NotEstimable, match="Each of the 2 cities is alone"):
        union.among(["a", "c"])


def test_the_transforms_are_those_of_the_measures() -> None:
    """Those in logs are compared with refits above."""
    assert TRANSFORMS["level"](np.array([20_000.0])) == 2
    assert TRANSFORMS["asinh"](np.array([20_000.0])) == pytest.approx(math.asinh(20_000))
