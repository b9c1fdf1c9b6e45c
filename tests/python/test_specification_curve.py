"""Slopes of a regressor and its permutations, and what all specifications say together."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import joint_test
from ai_manufacturing.robustness.permutation_sums import DonorMeasure, PanelSums


def panel() -> pd.DataFrame:
    """Return an unbalanced panel: 24 cities in 6 provinces, 7 years, a regressor in three versions."""
    rng = np.random.default_rng(7)
    city, year = (grid.ravel() for grid in np.meshgrid(np.arange(24), np.arange(2010, 2017), indexing="ij"))
    data = pd.DataFrame({"city_id": city, "year": year, "province_id": city // 4})
    data = data.assign(**{name: rng.normal(size=len(data)) for name in ("y", "x0", "x1", "x2", "z")})
    return data.sample(frac=0.85, random_state=1).sort_values(["city_id", "year"], ignore_index=True)


def test_each_column_is_a_regression_with_errors_by_city_and_by_province() -> None:
    data, versions = panel(), ["x0", "x1", "x2"]
    codes = {name: pd.factorize(data[name], sort=True)[0] for name in ("city_id", "year")}
    effects = fixed_effects.Effects(codes["city_id"], codes["year"])
    y, z, x = (effects.removed_from(data[names].to_numpy()) for names in (["y"], ["z"], versions))
    clusters = {"city": np.arange(24), "province": np.arange(24) // 4}
    found = joint_test.slopes(codes["city_id"], y[:, 0], z, x, clusters, data["year"].nunique())
    for j, name in enumerate(versions):
        for cluster, column in (("city", "city_id"), ("province", "province_id")):
            fit = fixed_effects.fit(data, "y", [name, "z"], cluster=column)
            assert found.estimates[j] == pytest.approx(fit.estimates[0], rel=1e-9)
            assert found.std_errors[cluster][j] == pytest.approx(fit.std_errors[0], rel=1e-9)
            assert found.p_values(cluster)[j] == pytest.approx(fit.p_values[0], rel=1e-8)
    doubled = joint_test.slopes(codes["city_id"], 5 * y[:, 0], z, 2 * x, clusters, data["year"].nunique())
    np.testing.assert_allclose(doubled.standardised, found.standardised)


CITIES, YEARS, DRAWS = 24, 7, 9
CONTROL_SETS = [(), ("z",), ("z", "w"), ("w",), ("near", "z"), ("measure",)]


def panel_sums(
    data: pd.DataFrame, blocks: Codes, entity_effects: Sequence[str] = ("constant",)
) -> tuple[PanelSums, DonorMeasure, Codes, Floats]:
    """Return the panel by city and year, a measure with every city as donor, draws, and the same measures by row."""
    rng = np.random.default_rng(5)
    city, year = data["city_id"].to_numpy(), data["year"].to_numpy() - 2010
    scaling, weights = np.exp(rng.normal(5, 1, (CITIES, YEARS))), rng.pareto(1.5, CITIES)
    drawn = np.array([rng.permutation(CITIES) for _ in range(DRAWS)])
    of_donors = np.log1p(scaling[:, None, :] * weights[:, None]).reshape(-1, YEARS)
    measures = np.log1p(scaling[city, year][:, None] * weights[np.vstack([np.arange(CITIES), drawn]).T[city]])
    noise = rng.normal(size=len(data))
    controls = {"z": data["z"].to_numpy(), "w": data["x0"].to_numpy(), "measure": measures[:, 0]}
    controls["near"] = measures[:, 3] + 1e-4 * noise
    made = PanelSums(
        city,
        year,
        YEARS,
        blocks=blocks,
        clusters={"city": np.arange(CITIES), "province": np.arange(CITIES) // 4},
        outcome=data["y"].to_numpy(),
        controls=controls,
        control_sets=CONTROL_SETS,
        donor_counts=np.full(CITIES, CITIES),
        entity_effects=entity_effects,
    )
    donors = drawn + CITIES * np.arange(CITIES)
    np.testing.assert_array_equal(made.by_row(DonorMeasure(measures[:, 0], of_donors), donors), measures)
    columns = np.column_stack([*controls.values()])
    return made, DonorMeasure(measures[:, 0], of_donors), donors, np.column_stack([columns, measures])


@pytest.mark.parametrize("blocks", [np.zeros(CITIES, dtype=int), np.arange(CITIES) // 4], ids=["year", "province-year"])
def test_sums_by_city_give_what_all_rows_give(blocks: Codes) -> None:
    """One control is nearly one of the draws, and leaves of it what differences of sums cannot tell."""
    data = panel()
    city, year = (pd.factorize(data[name], sort=True)[0] for name in ("city_id", "year"))
    periods = np.unique(blocks[city] * YEARS + year, return_inverse=True)[1]
    made, measure, donors, columns = panel_sums(data, blocks)
    effects = fixed_effects.Effects(city, periods)
    within = effects.removed_from(np.column_stack([data["y"], columns]))
    of_name = dict(zip(("z", "w", "measure", "near"), within[:, 1:5].T, strict=True))
    clusters = {"city": np.arange(CITIES), "province": np.arange(CITIES) // 4}
    moments = made.moments(measure, donors)
    for names in CONTROL_SETS[:-1]:
        controls = np.column_stack([np.empty((len(data), 0)), *(of_name[name] for name in names)])
        found = made.slopes(moments, names, lambda: made.by_row(measure, donors))
        by_rows = joint_test.slopes(city, within[:, 0], controls, within[:, 5:], clusters, int(periods.max()) + 1)
        assert found.degrees_of_freedom == by_rows.degrees_of_freedom
        for mine, other in (
            (found.estimates, by_rows.estimates),
            (found.standardised, by_rows.standardised),
            *((found.std_errors[name], by_rows.std_errors[name]) for name in clusters),
        ):
            np.testing.assert_allclose(mine, other, rtol=1e-10)
        alone = made.slopes(made.moments(measure, None), names, lambda: made.by_row(measure, None))
        np.testing.assert_allclose(alone.std_errors["city"], found.std_errors["city"][:1], rtol=1e-12)
    with pytest.raises(NotEstimable, match="does not vary"):
        made.slopes(moments, ("measure",), lambda: made.by_row(measure, donors))


@pytest.mark.parametrize("entity_effects", [("constant", "trend"), ()], ids=["trends", "differences"])
def test_trends_and_no_effects_of_cities_are_regressions_on_all_dummies(entity_effects: tuple[str, ...]) -> None:
    """statsmodels on dummies and on each city's years; effects of a city lie in its cluster and count as one."""
    data = panel()
    blocks = np.zeros(CITIES, dtype=int)
    made, measure, donors, columns = panel_sums(data, blocks, entity_effects)
    dummies = [pd.get_dummies(data[name], dtype=float).to_numpy() for name in ("city_id", "year")]
    of_cities = {"constant": dummies[0], "trend": dummies[0] * (data["year"].to_numpy() - 2013.0)[:, None]}
    effects = np.column_stack([*(of_cities[name] for name in entity_effects), dummies[1]])
    of_name = dict(zip(("z", "w", "measure", "near"), columns.T, strict=False))
    moments = made.moments(measure, donors)
    for names in CONTROL_SETS[:-1]:
        found = made.slopes(moments, names, lambda: made.by_row(measure, donors))
        for draw, regressor in enumerate(columns[:, 4:].T):
            terms = np.column_stack([regressor, *(of_name[name] for name in names)])
            raw = np.column_stack([data["y"], terms])
            within = raw - effects @ np.linalg.lstsq(effects, raw)[0]
            for kind, groups in (("city", data["city_id"]), ("province", data["province_id"])):
                fit = sm.OLS(within[:, 0], within[:, 1:]).fit(
                    cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
                )
                count, parameters = groups.nunique(), terms.shape[1] + YEARS
                factor = count / (count - 1) * (len(data) - 1) / (len(data) - parameters)
                assert found.estimates[draw] == pytest.approx(fit.params[0], rel=1e-7)
                assert found.std_errors[kind][draw] == pytest.approx(np.sqrt(factor) * fit.bse[0], rel=1e-7)
                assert found.degrees_of_freedom[kind] == count - 1


def test_a_row_that_the_effects_of_its_city_fit_exactly_is_dropped() -> None:
    """City 0 has one row, city 1 two and city 2 three; year 3 has one row."""
    cities, years = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3]), np.array([0, 0, 1, 0, 1, 2, 0, 1, 3])
    for effects, rows in ((0, [0, 1, 2, 3, 4, 6, 7]), (1, [1, 2, 3, 4, 6, 7]), (2, [])):
        np.testing.assert_array_equal(
            fixed_effects.rows_without_singletons(cities, years, entity_effects=effects), rows
        )


def test_joint_statistics_are_those_counted_by_hand() -> None:
    """Three specifications, the sample and four permutations."""
    standardised = np.array([[0.3, 0.1, -0.2, 0.3, 0.0], [0.2, 0.2, -0.1, -0.1, 0.1], [0.4, -0.3, 0.3, 0.5, 0.2]])
    p_values = np.array([[0.01, 0.2, 0.04, 0.01, 0.9], [0.20, 0.04, 0.3, 0.6, 0.04], [0.03, 0.01, 0.02, 0.02, 0.8]])
    found = {test.statistic: test for test in joint_test.joint_tests(standardised, p_values, [4])}
    # medians: .3, and .1, -.1, .3, .1 permuted: one of four is as far from zero
    assert (found["median_estimate"].observed, found["median_estimate"].p_value) == (0.3, pytest.approx(2 / 5))
    # with the sign of the own median: 3 of 3, and 2, 2, 2, 2 of 3
    assert (found["share_of_sign"].observed, found["share_of_sign"].p_value) == (1.0, pytest.approx(1 / 5))
    # of this sign with p below .05: 2 of 3, and 1, 1, 2, 1 of 3
    assert found["share_significant"].observed == pytest.approx(2 / 3)
    assert found["share_significant"].p_value == pytest.approx(2 / 5)
    assert found["share_significant"].permuted_mean == pytest.approx(5 / 12)


@pytest.mark.parametrize("shape", [(0, 5), (3, 1)])
def test_nothing_to_test_is_said(shape: tuple[int, int]) -> None:
    with pytest.raises(NotEstimable, match="CURVE_PERMUTATIONS"):
        joint_test.joint_tests(np.zeros(shape), np.ones(shape), [shape[1] - 1])


# ---------------------------------------------------------------- how many permutations a test needs

LOOKS = (100, 200, 400, 500)


@pytest.mark.parametrize(
    ("larger", "draws"),
    [
        (range(500), 100),
        (range(80, 100), 100),
        (range(81, 101), 200),
        (range(0, 400, 20), 400),
        (range(0, 380, 20), 500),
        (range(0), 500),
    ],
)
def test_a_test_ends_at_the_first_look_with_twenty_as_large(larger: range, draws: int) -> None:
    is_larger = np.isin(np.arange(500), larger)
    assert joint_test.draws_needed(is_larger, LOOKS) == draws


@pytest.mark.parametrize("looks", [(10,), (4, 8, 10), (3, 6, 10), tuple(range(2, 11))])
@pytest.mark.parametrize("enough", [1, 2, 4])
def test_a_test_that_ends_early_rejects_a_true_null_no_more_often_than_its_level(
    looks: tuple[int, ...], enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, over all that ten draws can be.

    Where the sample is one of eleven exchangeable statistics, r draws of ten are as large with the
    probability 1/11, whatever r is, and are any r of the ten alike.
    """
    monkeypatch.setattr(joint_test, "ENOUGH", enough)
    chances: dict[Fraction, Fraction] = {}
    for outcome in itertools.product([False, True], repeat=10):
        draws = joint_test.draws_needed(np.array(outcome), looks)
        p_value = Fraction(1 + sum(outcome[:draws]), 1 + draws)
        chance = Fraction(1, 11 * math.comb(10, sum(outcome)))
        chances[p_value] = chances.get(p_value, Fraction(0)) + chance
    assert sum(chances.values()) == 1
    for level in chances:
        rejected = sum(chance for p_value, chance in chances.items() if p_value <= level)
        assert rejected <= level


def test_each_statistic_ends_with_its_own_draws() -> None:
    """One specification: the sign is always that of the median, p is never small, the median is."""
    rng = np.random.default_rng(3)
    standardised = np.append(5.0, rng.normal(size=500))[None]
    p_values = np.append(0.5, rng.uniform(size=500))[None]
    tests = {test.statistic: test for test in joint_test.joint_tests(standardised, p_values, LOOKS)}
    ends = {name: (test.draws, test.larger_draws) for name, test in tests.items()}
    assert ends == {
        "median_estimate": (500, 0),
        "share_of_sign": (100, 100),
        "share_significant": (100, 100),
    }
    median = tests["median_estimate"]
    assert median.p_value == pytest.approx(1 / 501)
    assert median.permuted_mean == pytest.approx(standardised[0, 1:].mean())
    assert tests["share_of_sign"].p_value == 1
