"""Tests for cluster-robust standard errors against fixest, summclust and explicit refits."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ai_manufacturing.estimators.cluster_errors import (
    LeaveOneOutResult,
    crv1,
    crv3,
    crv3_of_difference,
    crv3_of_ratio,
    drop_rows,
    find_fewest_to_change,
    leave_out_entities,
    leave_out_groups,
)
from ai_manufacturing.estimators.fixed_effects import (
    PartialledOut,
    add_entity_trends,
    fit,
    partial_out,
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

CRV3: dict[str, Any] = golden("crv3")
DATA = {"empluk by firm": "abdata", "grunfeld by firm": "grunfeld"}


def panel(seed: int, *, time: str = "year", years: int = 8) -> pd.DataFrame:
    """Return a sorted, unbalanced random panel without singletons."""
    data = without_singletons(random_panel(seed, years=years), time=time)
    return data.sort_values(["city_id", "year"], ignore_index=True)


def codes(data: pd.DataFrame, column: str = "province") -> np.ndarray:
    members: np.ndarray = data[column].to_numpy().astype(np.intp)
    return members


def table(answers: Iterable[LeaveOneOutResult]) -> np.ndarray:
    """Return leave-one-out results as an array of group, estimate, standard error and p-value."""
    rows = [(one.group, one.estimate, one.std_error, one.p_value) for one in answers]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("name", DATA)
def test_fixest_and_summclust_are_matched(name: str) -> None:
    """CRV1 and CRV3 errors and the largest partial leverage match fixest and summclust."""
    record = CRV3[name]
    data = golden_data(DATA[name])
    terms = [*record["coef"]]
    outcome = record["formula"].split()[0]
    regression = partial_out(data, outcome, terms)
    for position, term in enumerate(terms):
        plain = crv1(regression, position, regression.entities)
        jackknife = crv3(regression, position, regression.entities)
        found = [plain.estimate, plain.std_error, jackknife.std_error, jackknife.statistic]
        found += [jackknife.p_value]
        names = ("coef", "se_crv1", "se_crv3_refit", "t_crv3", "p_crv3")
        assert found == approx([record[name][term] for name in names], rel=1e-9)
        assert jackknife.degrees_of_freedom == record["G"] - 1
        assert plain.cluster_count == jackknife.cluster_count == record["G"]
        largest = record["summclust_diag"]["partial_leverage_max"][position]
        assert jackknife.largest_partial_leverage == approx(largest, rel=1e-10)


@pytest.mark.parametrize(("time", "years"), [("year", 8), ("province_year", 8), ("year", 40)])
def test_leaving_out_is_refitting(time: str, years: int) -> None:
    """A regression gives its results without a city; the jackknife, without a province.

    With province-years, omitting one city of a two-city province makes the other a singleton. Forty
    years give more columns than a city has rows.
    """
    data = panel(5, time=time, years=years)
    expected: list[Any] = []
    for city in np.sort(data["city_id"].unique()):
        other = fit(data[data["city_id"] != city], "y", REGRESSORS, time=time)
        numbers = (other.estimates, other.std_errors, other.p_values)
        expected.append([len(expected), *(values[0] for values in numbers)])
    regression, provinces = regression_of(data, time=time), codes(data)
    ours = leave_out_entities(regression, 0)
    assert_allclose(table(ours), expected, rtol=1e-9)

    for answer in leave_out_groups(regression, 2, provinces):
        rest = without_singletons(data[provinces != answer.group], time).reset_index(drop=True)
        error = crv3(regression_of(rest, time=time), 2, codes(rest))
        assert [answer.estimate, answer.std_error, answer.p_value] == approx(
            [error.estimate, error.std_error, error.p_value], rel=1e-9
        )

    whole = crv1(regression, 0, regression.entities).estimate
    moves = np.abs(table(ours)[:, 1] - whole)
    most = np.sort(np.argsort(-moves)[:4])
    assert leave_out_entities(regression, 0, most=4) == [ours[group] for group in most]


@pytest.mark.parametrize("time", ["year", "province_year"])
def test_errors_of_slopes_differences_and_ratios_are_made_of_refits(time: str) -> None:
    """Jackknife errors of slopes, differences and ratios equal refits without each province.

    The statistics are the slope, the slope with city trends, its differences without flagged rows
    and with trends, and an instrumented slope.
    """
    data = panel(6, time=time)
    data["x2"] += data["x1"]
    provinces, regression = codes(data), regression_of(data, time=time)
    # Flag a tenth of the rows, one whole province, and all but one row of city 20.
    flagged = (np.random.default_rng(1).random(len(data)) < 0.1) | (provinces == 3)
    flagged |= codes(data, "city_id") == 20
    flagged[codes(data, "city_id").searchsorted(20)] = False
    rest, remaining = drop_rows(regression, flagged)
    # The only remaining row of city 20 is dropped as a singleton.
    assert len(remaining) < (~flagged).sum()
    detrended = add_entity_trends(regression, data["year"].to_numpy(float), REGRESSORS)
    above, below = (partial_out(data, name, ["x2", "x3"], time=time) for name in ("y", "x1"))
    found = [
        crv3(regression, 0, provinces),
        crv3(detrended, 0, provinces),
        crv3_of_difference(regression, rest, 0, provinces, remaining),
        crv3_of_difference(regression, detrended, 0, provinces, np.arange(len(data))),
        crv3_of_ratio(above, below, 0, provinces),
    ]

    def refitted(rows: pd.DataFrame) -> list[float]:
        whole, lines, unflagged, top, bottom = (
            OnDummies(sample, outcome, regressors, time, trends=trends).estimates[0]
            for sample, outcome, regressors, trends in (
                (rows, "y", REGRESSORS, False),
                (rows, "y", REGRESSORS, True),
                (rows[~flagged[rows.index]], "y", REGRESSORS, False),
                (rows, "y", ["x2", "x3"], False),
                (rows, "x1", ["x2", "x3"], False),
            )
        )
        return [whole, lines, unflagged - whole, lines - whole, top / bottom]

    expected = np.array(refitted(data))
    labels = np.unique(provinces)
    moves = [refitted(data[provinces != label]) - expected for label in labels]
    freedom = len(labels) - 1
    errors = np.sqrt(freedom / len(labels) * np.sum(np.square(moves), axis=0))
    rows: Any = [[one.estimate, one.std_error, one.p_value, one.conf_low] for one in found]
    p_values = 2 * stats.t.sf(np.abs(expected / errors), freedom)
    lows = stats.t.interval(0.95, freedom, expected, errors)[0]
    assert_allclose(np.transpose(rows), [expected, errors, p_values, lows], rtol=1e-6)

    # Without the flagged rows, results equal a regression on the other rows.
    theirs = regression_of(data[~flagged], time=time)
    for method in (crv1, crv3):
        ours, other = (
            method(sample, 1, provinces[rows])
            for sample, rows in ((rest, remaining), (theirs, theirs.index))
        )
        assert [ours.estimate, ours.std_error] == approx([other.estimate, other.std_error], 1e-9)
    whole = fit(data, "y", REGRESSORS, time=time, cluster="province").infer(0)
    for name, value in vars(whole).items():
        assert not value or getattr(crv1(regression, 0, provinces), name) == approx(value), name


def test_effective_clusters_are_those_of_the_formula_of_carter_schnepel_and_steigerwald() -> None:
    data = panel(3)
    regression = regression_of(data)
    design, provinces = regression.design, codes(data)
    bread = np.linalg.inv(design.T @ design)[1]
    parts = np.bincount(provinces, np.square(design @ bread))
    effective = len(parts) / (1 + np.var(parts / parts.mean()))
    ours = crv3(regression, 1, provinces)
    assert ours.effective_cluster_count == approx(effective, rel=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_cities_that_carry_a_result_are_found(sign: int) -> None:
    """The search finds the cities that drive a result, 12 of 40 with a slope of 0.6.

    The slope is slightly negative in the other cities.
    """
    rng = np.random.default_rng(3)
    data = grid(range(40), range(10))
    data["x1"], noise = rng.normal(size=(2, len(data)))
    slopes = np.where(data["city_id"].isin(range(0, 36, 3)), 0.6, -0.05)
    data["y"] = sign * (0.3 * noise + slopes * data["x1"])
    removed = find_fewest_to_change(partial_out(data, "y", ["x1"]), 0)
    assert removed
    assert {*removed} <= {*range(0, 36, 3)}
    # Refits confirm that significance is lost with the last removed city and not before.
    for size in range(len(removed) + 1):
        left = fit(data[~data["city_id"].isin(removed[:size])], "y", ["x1"])
        assert (left.p_values[0] > 0.05) == (size == len(removed))


def test_a_result_of_more_than_half_the_cities_rests_on_no_few() -> None:
    """Of 23 cities, 11 may be removed. A slope of 0.68 becomes insignificant without 12."""
    data = panel(0)
    noise = np.random.default_rng(2).normal(size=len(data))
    for size, count in ((50, None), (0.68, None), (0.64, 11), (0, 0)):
        regression = regression_of(data.assign(y=size * data["x1"] + noise))
        removed = find_fewest_to_change(regression, 0)
        assert (removed if removed is None else len(removed)) == count


def small(x: list[list[float]], y: list[list[float]]) -> PartialledOut:
    """Partial the fixed effects out of a panel given as matrices of cities by years."""
    data = grid(range(len(x)), range(len(x[0]))).assign(x=np.ravel(x), y=np.ravel(y))
    return partial_out(data, "y", ["x"])


def test_a_cluster_that_alone_identifies_the_coefficient_has_no_jackknife_error() -> None:
    """There is no jackknife error if only one cluster identifies the coefficient.

    x varies only in city 2, so no regression without that city may return a slope.
    """
    regression = small(
        [[0, 0, 0], [1, 1, 1], [0, 1, 3], [2, 2, 2]],
        [[0, 1, 1], [1, 1, 0], [2, 1, 4], [0, 3, 1]],
    )
    reason = refusal(crv3, regression, 0, regression.entities)
    assert reason.startswith("A single one of the 4 clusters identifies the coefficient")
    left = leave_out_entities(regression, 0)
    assert left[2] == LeaveOneOutResult(2, None, None, None)
    assert [one.estimate is None for one in left] == [False, False, True, False]


def test_a_control_that_only_one_group_identifies_goes_with_it() -> None:
    data = panel(10)
    rows = codes(data, "city_id") == 7
    data["x3"] = np.where(rows, data["x3"], 0.0)
    regression = regression_of(data)
    left = leave_out_entities(regression, 0)[7]
    other = fit(data[~rows], "y", ["x1", "x2"])
    assert left.estimate == approx(other.estimates[0], rel=1e-9)
    # The results differ slightly, because leave_out_entities counts one more parameter than the
    # refit.
    assert left.std_error == approx(other.std_errors[0], rel=1e-2)
    assert refusal(drop_rows, regression, rows).startswith(
        f"Without these {rows.sum()} observations the outcome or a regressor does not"
    )


def test_what_clusters_cannot_tell_is_a_reason() -> None:
    data = panel(1)
    regression, members = regression_of(data), codes(data)
    exact = regression_of(data.assign(y=2 * data["x1"] + data["city_id"]))
    for method in (crv1, crv3, leave_out_groups):
        assert "fit the outcome exactly" in refusal(method, exact, 0, members)
    assert "fit the outcome exactly" in refusal(leave_out_entities, exact, 0)

    for method in (crv1, crv3):
        reason = refusal(method, regression, 0, np.zeros_like(members))
        assert reason == (
            "Clustered standard errors need at least two clusters, and the sample has 1."
        )
    halves = leave_out_groups(regression, 0, codes(data, "city_id") // 12)
    assert [(left.std_error, left.p_value) for left in halves] == [(None, None)] * 2
    ours = crv3(regression, 0, codes(data, "city_id") // 12)
    moves = table(halves)[:, 1] - ours.estimate
    assert ours.std_error == approx(np.sqrt(moves @ moves / 2))
    same = crv3_of_difference(regression, regression, 0, members, np.arange(len(data)))
    assert (same.estimate, same.std_error, same.p_value) == (0, None, None)

    # With two cities in the same years, each city's scores sum to zero for any data.
    pair = small([[0, 2, 5, 1], [1, 1, 0, 4]], [[0, 1, 4, 1], [3, 1, 0, 2]])
    assert "with these 2 clusters its variance is zero" in refusal(crv1, pair, 0, pair.entities)

    for rows in (members >= 0, codes(data, "city_id") != 5):
        reason = refusal(drop_rows, regression, rows)
        assert reason.startswith(f"Without these {rows.sum()} observations the outcome or a")

    years = data["year"].to_numpy(float)
    trend = regression_of(data.assign(x1=data["city_id"] * data["year"]))
    assert "a trend of each city" in refusal(add_entity_trends, trend, years, REGRESSORS)
