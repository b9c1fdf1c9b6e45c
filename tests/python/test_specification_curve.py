"""Slopes of a regressor and its permutations, and what all specifications say together."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import joint_test
from ai_manufacturing.robustness.permutation_sums import DonorMeasure, PanelSums


def panel() -> pd.DataFrame:
    """Return an unbalanced panel: 24 cities in 6 provinces, 7 years."""
    rng = np.random.default_rng(7)
    city, year = (
        grid.ravel() for grid in np.meshgrid(np.arange(24), np.arange(2010, 2017), indexing="ij")
    )
    data = pd.DataFrame({"city_id": city, "year": year, "province_id": city // 4})
    data = data.assign(**{name: rng.normal(size=len(data)) for name in ("y", "z", "w")})
    return data.sample(frac=0.85, random_state=1).sort_values(
        ["city_id", "year"], ignore_index=True
    )


CITIES, YEARS, DRAWS = 24, 7, 9
CONTROL_SETS = [(), ("z",), ("z", "w"), ("w",), ("near", "z"), ("measure",)]


def panel_sums(
    data: pd.DataFrame, blocks: Codes, entity_effects: Sequence[str]
) -> tuple[PanelSums, DonorMeasure, Codes, Floats]:
    """Return the panel by city and year, a measure with every city as donor, draws, and the same
    measures by row.
    """
    rng = np.random.default_rng(5)
    city, year = data["city_id"].to_numpy(), data["year"].to_numpy() - 2010
    scaling, weights = np.exp(rng.normal(5, 1, (CITIES, YEARS))), rng.pareto(1.5, CITIES)
    drawn = np.array([rng.permutation(CITIES) for _ in range(DRAWS)])
    of_donors = np.log1p(scaling[:, None, :] * weights[:, None]).reshape(-1, YEARS)
    measures = np.log1p(
        scaling[city, year][:, None] * weights[np.vstack([np.arange(CITIES), drawn]).T[city]]
    )
    noise = rng.normal(size=len(data))
    controls = {"z": data["z"].to_numpy(), "w": data["w"].to_numpy(), "measure": measures[:, 0]}
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
    np.testing.assert_array_equal(
        made.by_row(DonorMeasure(measures[:, 0], of_donors), donors), measures
    )
    columns = np.column_stack([*controls.values()])
    return (
        made,
        DonorMeasure(measures[:, 0], of_donors),
        donors,
        np.column_stack([columns, measures]),
    )


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
def test_sums_by_city_are_regressions_on_all_dummies(
    entity_effects: tuple[str, ...], blocks: Codes
) -> None:
    """statsmodels on dummies and on each city's years; effects of a city lie in its cluster and
    count as one.

    One control is nearly one of the draws, and leaves of it what differences of sums cannot tell.
    """
    data = panel()
    made, measure, donors, columns = panel_sums(data, blocks, entity_effects)
    periods = blocks[data["city_id"]] * YEARS + data["year"]
    of_cities, of_periods = (
        pd.get_dummies(codes, dtype=float).to_numpy() for codes in (data["city_id"], periods)
    )
    of_name = {
        "constant": of_cities,
        "trend": of_cities * (data["year"].to_numpy() - 2013.0)[:, None],
    }
    effects = np.column_stack([*(of_name[name] for name in entity_effects), of_periods])
    raw = np.column_stack([data["y"], columns])
    outcome, *within = (raw - effects @ np.linalg.lstsq(effects, raw)[0]).T
    controls = dict(zip(("z", "w", "measure", "near"), within, strict=False))
    moments = made.moments(measure, donors)
    for names in CONTROL_SETS[:-1]:
        found = made.slopes(moments, names, lambda: made.by_row(measure, donors))
        for draw, regressor in enumerate(within[4:]):
            terms = np.column_stack([regressor, *(controls[name] for name in names)])
            ratio = np.linalg.norm(regressor) / np.linalg.norm(outcome)
            for kind, groups in (("city", data["city_id"]), ("province", data["province_id"])):
                fit = sm.OLS(outcome, terms).fit(
                    cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
                )
                count, parameters = groups.nunique(), terms.shape[1] + periods.nunique()
                error = (
                    np.sqrt(count / (count - 1) * (len(data) - 1) / (len(data) - parameters))
                    * fit.bse[0]
                )
                assert found.estimates[draw] == pytest.approx(fit.params[0], rel=1e-7)
                assert found.standardised[draw] == pytest.approx(ratio * fit.params[0], rel=1e-7)
                assert found.std_errors[kind][draw] == pytest.approx(error, rel=1e-7)
                p_value = 2 * stats.t.sf(abs(fit.params[0]) / error, count - 1)
                assert found.p_values(kind)[draw] == pytest.approx(p_value, rel=1e-6)
        alone = made.slopes(made.moments(measure, None), names, lambda: made.by_row(measure, None))
        np.testing.assert_allclose(
            alone.std_errors["city"], found.std_errors["city"][:1], rtol=1e-12
        )
    with pytest.raises(NotEstimable, match="does not vary"):
        made.slopes(moments, ("measure",), lambda: made.by_row(measure, donors))


def test_a_row_that_the_effects_of_its_city_fit_exactly_is_dropped() -> None:
    """City 0 has one row, city 1 two and city 2 three; year 3 has one row."""
    cities, years = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3]), np.array([0, 0, 1, 0, 1, 2, 0, 1, 3])
    for effects, rows in ((0, [0, 1, 2, 3, 4, 6, 7]), (1, [1, 2, 3, 4, 6, 7]), (2, [])):
        np.testing.assert_array_equal(
            fixed_effects.rows_without_singletons(cities, years, entity_effects=effects), rows
        )


def test_joint_statistics_are_those_counted_by_hand() -> None:
    """Three specifications, the sample and four permutations."""
    standardised = np.array(
        [[0.3, 0.1, -0.2, 0.3, 0.0], [0.2, 0.2, -0.1, -0.1, 0.1], [0.4, -0.3, 0.3, 0.5, 0.2]]
    )
    p_values = np.array(
        [[0.01, 0.2, 0.04, 0.01, 0.9], [0.20, 0.04, 0.3, 0.6, 0.04], [0.03, 0.01, 0.02, 0.02, 0.8]]
    )
    found = {test.statistic: test for test in joint_test.joint_tests(standardised, p_values, [4])}
    # medians: .3, and .1, -.1, .3, .1 permuted: one of four is as far from zero
    assert (found["median_estimate"].observed, found["median_estimate"].p_value) == (
        0.3,
        pytest.approx(2 / 5),
    )
    # with the sign of the own median: 3 of 3, and 2, 2, 2, 2 of 3
    assert (found["share_of_sign"].observed, found["share_of_sign"].p_value) == (
        1.0,
        pytest.approx(1 / 5),
    )
    # of this sign with p below .05: 2 of 3, and 1, 1, 2, 1 of 3
    assert found["share_significant"].observed == pytest.approx(2 / 3)
    assert found["share_significant"].p_value == pytest.approx(2 / 5)
    assert found["share_significant"].permuted_mean == pytest.approx(5 / 12)


@pytest.mark.parametrize("shape", [(0, 5), (3, 1)])
def test_nothing_to_test_is_said(shape: tuple[int, int]) -> None:
    with pytest.raises(NotEstimable, match="CURVE_PERMUTATIONS"):
        joint_test.joint_tests(np.zeros(shape), np.ones(shape), [shape[1] - 1])


# ---------------------------------------------------------------- how many permutations a test
# needs

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
