"""Test the specification curve: slopes of permuted regressors, and joint permutation tests."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes
from ai_manufacturing.robustness import joint_test
from ai_manufacturing.robustness.panel_regressions import (
    PanelEffects,
    fit_slopes,
    remove_effects,
)
from tests.python.estimator_tools import grid, refusal


def panel() -> pd.DataFrame:
    """Return a simulated unbalanced panel of 24 cities over 7 years."""
    rng = np.random.default_rng(7)
    data = grid(range(24), range(2010, 2017))
    data = data.assign(**{name: rng.normal(size=len(data)) for name in ("y", "z", "w")})
    return data.sample(frac=0.85, random_state=1).sort_values(
        ["city_id", "year"], ignore_index=True
    )


CITIES, YEARS, DRAWS = 24, 7, 9
CONTROL_SETS = [(), ("z", "w"), ("near", "z")]
OF_THE_YEAR = np.zeros(CITIES, dtype=int)


@pytest.mark.parametrize(
    ("entity_effects", "blocks"),
    [
        (("constant",), OF_THE_YEAR),
        (("constant",), np.arange(CITIES) // 4),
        (("constant", "trend"), OF_THE_YEAR),
        ((), OF_THE_YEAR),
    ],
    ids=["year", "province-year", "trends", "differences"],
)
def test_slopes_of_permutations_are_regressions_on_all_dummies(
    entity_effects: tuple[str, ...], blocks: Codes
) -> None:
    """Compare each slope with statsmodels' OLS on city, year and trend dummies.

    City effects are nested in the clusters and count once. One control is close to one of the
    draws.
    """
    data = panel()
    rng = np.random.default_rng(5)
    city, year = data["city_id"].to_numpy(), data["year"].to_numpy() - 2010
    regressors = np.log1p(rng.pareto(1.5, (len(data), 1 + DRAWS)))
    near = regressors[:, 3] + 1e-4 * rng.normal(size=len(data))
    periods = blocks[city] * YEARS + year
    of_cities, of_periods = (
        pd.get_dummies(codes, dtype=float).to_numpy() for codes in (city, periods)
    )
    of_name = {"constant": of_cities, "trend": of_cities * (year - 3.0)[:, None]}
    dummies = np.column_stack([*(of_name[name] for name in entity_effects), of_periods])
    raw = np.column_stack([data[["y", "z", "w"]], near, regressors])
    outcome, *within = (raw - dummies @ np.linalg.lstsq(dummies, raw)[0]).T
    controls = dict(zip(("z", "w", "near"), within, strict=False))

    effects = PanelEffects(city, year, blocks, entity_effects)
    np.testing.assert_allclose(effects.remove_from(raw)[:, 0], outcome, atol=1e-12)
    assert effects.period_count == len(np.unique(periods))
    clusters = {"city": np.arange(CITIES), "province": np.arange(CITIES) // 4}
    measures = remove_effects(effects, regressors)
    for names in CONTROL_SETS:
        design = np.reshape([controls[name] for name in names], (len(names), len(data))).T
        found = fit_slopes(city, outcome, design, measures, clusters, effects.period_count)
        for draw, regressor in enumerate(within[3:]):
            terms = np.column_stack([regressor, design])
            ratio = np.linalg.norm(regressor) / np.linalg.norm(outcome)
            for kind, of_city in clusters.items():
                groups = {"groups": of_city[city], "use_correction": False}
                fit = sm.OLS(outcome, terms).fit(cov_type="cluster", cov_kwds=groups)
                count = of_city.max() + 1
                parameters = terms.shape[1] + effects.period_count
                factor = count / (count - 1) * (len(data) - 1) / (len(data) - parameters)
                error = np.sqrt(factor) * fit.bse[0]
                answer = [
                    numbers[draw]
                    for numbers in (
                        found.estimates,
                        found.standardised,
                        found.std_errors[kind],
                        found.p_values(kind),
                    )
                ]
                p_value = 2 * stats.t.sf(abs(fit.params[0]) / error, count - 1)
                expected = (fit.params[0], ratio * fit.params[0], error, p_value)
                assert answer == pytest.approx(expected, rel=1e-6)


def test_a_permutation_that_effects_or_controls_absorb_says_so() -> None:
    data = panel()
    city, year = data["city_id"].to_numpy(), data["year"].to_numpy() - 2010
    effects = PanelEffects(city, year, OF_THE_YEAR, ["constant"])
    for absorbed in (1.0 * year, np.full(len(data), np.nan)):
        columns = np.column_stack([data["z"], absorbed])
        assert "does not vary" in refusal(remove_effects, effects, columns)
    outcome, control, other = effects.remove_from(data[["y", "z", "w"]].to_numpy()).T
    measures, clusters = np.column_stack([other, control]), {"city": np.arange(CITIES)}
    absorbed = (city, outcome, control[:, None], measures, clusters, YEARS)
    assert "does not vary" in refusal(fit_slopes, *absorbed)


def test_a_row_that_the_effects_of_its_city_fit_exactly_is_dropped() -> None:
    """City 0 has one row, city 1 has two, and city 2 has three. Year 3 has a single row."""
    cities, years = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3]), np.array([0, 0, 1, 0, 1, 2, 0, 1, 3])
    for effects, rows in ((0, [0, 1, 2, 3, 4, 6, 7]), (1, [1, 2, 3, 4, 6, 7]), (2, [])):
        np.testing.assert_array_equal(
            fixed_effects.find_rows_without_singletons(cities, years, entity_effects=effects), rows
        )


def test_joint_statistics_are_those_counted_by_hand() -> None:
    """Use three specifications, each with its estimate and four permuted estimates."""
    standardised = np.array(
        [[0.3, 0.1, -0.2, 0.3, 0.0], [0.2, 0.2, -0.1, -0.1, 0.1], [0.4, -0.3, 0.3, 0.5, 0.2]]
    )
    p_values = np.array(
        [[0.01, 0.2, 0.04, 0.01, 0.9], [0.20, 0.04, 0.3, 0.6, 0.04], [0.03, 0.01, 0.02, 0.02, 0.8]]
    )
    tests = joint_test.run_joint_tests(standardised, p_values, [4])
    found = {test.statistic: (test.observed, test.p_value, test.permuted_mean) for test in tests}
    # The observed median is 0.3, and the permuted medians are 0.1, -0.1, 0.3 and 0.1. One of four
    # is at least as far from zero.
    assert found["median_estimate"] == pytest.approx((0.3, 2 / 5, 0.1))
    # All three estimates share the sign of their median, and two of three in every permutation.
    assert found["share_of_sign"] == pytest.approx((1, 1 / 5, 2 / 3))
    # Two of three estimates have this sign and p < 0.05. The permuted shares are 1/3, 1/3, 2/3 and
    # 1/3.
    assert found["share_significant"] == pytest.approx((2 / 3, 2 / 5, 5 / 12))


@pytest.mark.parametrize("shape", [(0, 5), (3, 1)])
def test_nothing_to_test_is_said(shape: tuple[int, int]) -> None:
    nothing = (np.zeros(shape), np.ones(shape), [shape[1] - 1])
    assert "CURVE_PERMUTATIONS" in refusal(joint_test.run_joint_tests, *nothing)


LOOKS = (100, 200, 400, 500)


@pytest.mark.parametrize(
    ("larger", "draws"),
    [(range(80, 100), 100), (range(81, 101), 200), (range(0, 380, 20), 500), (range(0), 500)],
)
def test_a_test_ends_at_the_first_look_with_twenty_as_large(larger: range, draws: int) -> None:
    is_larger = np.isin(np.arange(500), larger)
    assert joint_test.count_draws(is_larger, LOOKS) == draws


@pytest.mark.parametrize("looks", [(10,), (4, 8, 10), (3, 6, 10), tuple(range(2, 11))])
@pytest.mark.parametrize("enough", [1, 2, 4])
def test_a_test_that_ends_early_rejects_a_true_null_no_more_often_than_its_level(
    looks: tuple[int, ...], enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compute the exact rejection rate from all outcomes of ten draws.

    If the sample is one of eleven exchangeable statistics, each number r of larger draws has the
    probability 1/11, and all sets of r draws are equally likely.
    """
    monkeypatch.setattr(joint_test, "ENOUGH", enough)
    chances: dict[Fraction, Fraction] = {}
    for outcome in itertools.product([False, True], repeat=10):
        draws = joint_test.count_draws(np.array(outcome), looks)
        p_value = Fraction(1 + sum(outcome[:draws]), 1 + draws)
        chance = Fraction(1, 11 * math.comb(10, sum(outcome)))
        chances[p_value] = chances.get(p_value, Fraction(0)) + chance
    assert sum(chances.values()) == 1
    for level in chances:
        rejected = sum(chance for p_value, chance in chances.items() if p_value <= level)
        assert rejected <= level


def test_each_statistic_ends_with_its_own_draws() -> None:
    """Only the median is extreme, so the two other statistics stop after the first 100 draws."""
    rng = np.random.default_rng(3)
    standardised = np.append(5.0, rng.normal(size=500))[None]
    p_values = np.append(0.5, rng.uniform(size=500))[None]
    tests = joint_test.run_joint_tests(standardised, p_values, LOOKS)
    found = {test.statistic: (test.draws, test.larger_draws, test.p_value) for test in tests}
    assert found == {
        "median_estimate": (500, 0, pytest.approx(1 / 501)),
        "share_of_sign": (100, 100, 1),
        "share_significant": (100, 100, 1),
    }
