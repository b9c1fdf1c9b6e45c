"""Errors by clusters against fixest and summclust, and against refits without each cluster."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators.cluster_errors import (
    LeftOut,
    crv1,
    crv3,
    fewest_to_change,
    leave_out,
    leave_out_jackknifed,
    without,
)
from ai_manufacturing.estimators.fixed_effects import PartialledOut, fit, partialled_out
from ai_manufacturing.estimators.not_estimable import NotEstimable

GOLDEN = Path(__file__).parent / "golden"
CRV3: dict[str, Any] = json.loads((GOLDEN / "crv3.json").read_text(encoding="utf-8"))
DATA = {"empluk by firm": "abdata.csv", "grunfeld by firm": "grunfeld.csv"}
REGRESSORS = ["x1", "x2", "x3"]

pytestmark = pytest.mark.filterwarnings("error")


def golden_regression(name: str) -> tuple[PartialledOut, list[str], pd.DataFrame]:
    outcome, right = CRV3[name]["formula"].split(" ~ ")
    terms = right.split(" | ")[0].split(" + ")
    data = pd.read_csv(GOLDEN / DATA[name])
    return partialled_out(data, outcome, terms, entity="firm"), terms, data


def panel(seed: int, *, time: str = "year") -> pd.DataFrame:
    """Sorted, unbalanced, without singletons; cities and provinces differ in size, and share their shocks."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(24), range(2012, 2020)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    data = data[rng.random(len(data)) < rng.uniform(0.5, 0.95)]
    data["province"] = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, *[3] * 7, *[4] * 8])[data["city_id"]] * 11 + 300
    data["province_year"] = data["province"] * 10_000 + data["year"]
    shock = rng.normal(size=(400, 9))
    for j, name in enumerate(REGRESSORS):
        data[name] = rng.normal(size=len(data)) + shock[data["province"], j] * (data["year"] - 2015) / 3
    data["y"] = 0.4 * data["x1"] - 0.2 * data["x2"] + shock[data["province"], 5] * (data["year"] - 2014) / 2
    data["y"] += rng.normal(size=len(data)) * (1 + data["x1"].abs()) + data["city_id"]
    return without_singletons(data, time)


def without_singletons(data: pd.DataFrame, time: str) -> pd.DataFrame:
    while True:
        left = data[
            data.groupby("city_id")["y"].transform("size").gt(1) & data.groupby(time)["y"].transform("size").gt(1)
        ]
        if len(left) == len(data):
            return left.reset_index(drop=True)
        data = left


def codes(data: pd.DataFrame, column: str) -> np.ndarray:
    members: np.ndarray = data[column].to_numpy().astype(np.intp)
    return members


def known(values: Iterable[float | None]) -> list[float]:
    numbers = [value for value in values if value is not None]
    assert numbers
    return numbers


def reason(raised: pytest.ExceptionInfo[NotEstimable]) -> str:
    return raised.value.reason.en


# ---------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("name", DATA)
def test_fixest_and_summclust_are_matched(name: str) -> None:
    """CRV1 and CRV3; t and p of CRV3; the largest partial leverage, which only a true partialling-out gives."""
    golden = CRV3[name]
    regression, terms, _ = golden_regression(name)
    clusters = regression.entities
    for position, term in enumerate(terms):
        plain, jackknife = crv1(regression, position, clusters), crv3(regression, position, clusters)
        assert plain.estimate == pytest.approx(golden["coef"][term], rel=1e-10)
        assert plain.std_error == pytest.approx(golden["se_crv1"][term], rel=1e-10)
        assert jackknife.std_error == pytest.approx(golden["se_crv3_refit"][term], rel=1e-10)
        assert jackknife.statistic == pytest.approx(golden["t_crv3"][term], rel=1e-10)
        assert jackknife.p_value == pytest.approx(golden["p_crv3"][term], rel=1e-8)
        assert jackknife.degrees_of_freedom == golden["G"] - 1
        assert plain.cluster_count == jackknife.cluster_count == golden["G"]
        largest = golden["summclust_diag"]["partial_leverage_max"][position]
        assert jackknife.largest_partial_leverage == pytest.approx(largest, rel=1e-10)


@pytest.mark.parametrize("name", DATA)
def test_the_range_of_delete_one_estimates_is_that_of_fixest_refits(name: str) -> None:
    golden = CRV3[name]
    regression, terms, data = golden_regression(name)
    firms = np.sort(data["firm"].unique())
    for position, term in enumerate(terms):
        left = sorted(leave_out(regression, position), key=lambda one: one.estimate or 0.0)
        for one, end in ((left[0], "min"), (left[-1], "max")):
            assert one.estimate == pytest.approx(golden[f"delete_one_{end}"][term], rel=1e-10)
            assert str(firms[one.group]) == golden[f"delete_one_cluster_{end}"][term]


# ---------------------------------------------------------------- a second route: refits


def refits(data: pd.DataFrame, column: str, time: str, cluster: str, position: int) -> list[LeftOut]:
    answers = []
    for label in np.sort(data[column].unique()):
        other = fit(data[data[column] != label], "y", REGRESSORS, time=time, cluster=cluster)
        numbers = (float(values[position]) for values in (other.estimates, other.std_errors, other.p_values))
        answers.append(LeftOut(int(label), *numbers))
    return answers


@pytest.mark.parametrize("time", ["year", "province_year"])
def test_leaving_out_is_refitting(time: str) -> None:
    """With province-years, the other city of a province of two becomes a singleton and must not count."""
    data = panel(5, time=time)
    regression = partialled_out(data, "y", REGRESSORS, time=time)
    if time == "province_year":
        assert data.groupby("province")["city_id"].nunique().min() == 2
    for position in (0, 2):
        ours, theirs = leave_out(regression, position), refits(data, "city_id", time, "city_id", position)
        assert [one.group for one in ours] == [one.group for one in theirs]
        for name in ("estimate", "std_error", "p_value"):
            np.testing.assert_allclose(
                [getattr(one, name) for one in ours], [getattr(one, name) for one in theirs], rtol=1e-9
            )


@pytest.mark.parametrize("time", ["year", "province_year"])
def test_without_a_province_the_jackknife_is_that_of_the_other_rows(time: str) -> None:
    data = panel(5, time=time)
    regression = partialled_out(data, "y", REGRESSORS, time=time)
    for position in (0, 2):
        ours = leave_out_jackknifed(regression, position, codes(data, "province"))
        assert [one.group for one in ours] == [300, 311, 322, 333, 344]
        for one in ours:
            rest = without_singletons(data[data["province"] != one.group], time)
            error = crv3(partialled_out(rest, "y", REGRESSORS, time=time), position, codes(rest, "province"))
            expected = (error.estimate, error.std_error, error.p_value)
            assert (one.estimate, one.std_error, one.p_value) == pytest.approx(expected, rel=1e-9)


def test_the_groups_without_which_an_estimate_moves_most_are_told_apart_before_their_errors_are_made() -> None:
    regression = partialled_out(panel(5), "y", REGRESSORS)
    whole = fit(panel(5), "y", REGRESSORS).estimates[1]
    every = leave_out(regression, 1)
    most = sorted(every, key=lambda one: -abs((one.estimate or 0.0) - whole))[:4]
    assert leave_out(regression, 1, most=4) == sorted(most, key=lambda one: one.group)


@pytest.mark.parametrize("time", ["year", "province_year"])
@pytest.mark.parametrize("cluster", ["city_id", "province"])
def test_the_jackknife_is_made_of_refits(time: str, cluster: str) -> None:
    data = panel(6, time=time)
    regression = partialled_out(data, "y", REGRESSORS, time=time)
    whole = fit(data, "y", REGRESSORS, time=time, cluster=cluster)
    for position in range(3):
        slopes = np.array([one.estimate for one in refits(data, cluster, time, "city_id", position)])
        count = len(slopes)
        ours = crv3(regression, position, codes(data, cluster))
        error = np.sqrt((count - 1) / count * np.sum((slopes - whole.estimates[position]) ** 2))
        assert ours.estimate == pytest.approx(whole.estimates[position], rel=1e-10)
        assert ours.std_error == pytest.approx(error, rel=1e-9)
        low, high = stats.t.interval(0.95, count - 1, whole.estimates[position], error)
        np.testing.assert_allclose(known([ours.conf_low, ours.conf_high]), [low, high], rtol=1e-9)


@pytest.mark.parametrize("time", ["year", "province_year"])
def test_crv1_is_the_error_of_a_fit_with_these_clusters(time: str) -> None:
    data = panel(1, time=time)
    regression = partialled_out(data, "y", REGRESSORS, time=time)
    theirs = fit(data, "y", REGRESSORS, time=time, cluster="province")
    for position in range(3):
        ours = crv1(regression, position, codes(data, "province"))
        for name, many in (
            ("estimate", "estimates"),
            ("std_error", "std_errors"),
            ("statistic", "statistics"),
            ("p_value", "p_values"),
            ("conf_low", "conf_low"),
            ("conf_high", "conf_high"),
        ):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, many)[position], rel=1e-9)
        assert ours.cluster_count == theirs.cluster_count == 5


def test_more_columns_than_rows_in_a_group_changes_nothing() -> None:
    """Forty years and two controls make more columns than a city has rows: the other of the two equal systems."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"city_id": np.repeat(np.arange(12), 40), "year": np.tile(np.arange(40), 12)})
    for name in ("y", *REGRESSORS):
        data[name] = rng.normal(size=len(data)) * (1 + data["city_id"])
    data = without_singletons(data[rng.random(len(data)) < 0.6], "year")
    ours = leave_out(partialled_out(data, "y", REGRESSORS), 0)
    theirs = refits(data, "city_id", "year", "city_id", 0)
    assert len(ours) == len(theirs) == 12
    for name in ("estimate", "std_error"):
        np.testing.assert_allclose(
            known(getattr(one, name) for one in ours), known(getattr(one, name) for one in theirs), rtol=1e-9
        )


def test_without_some_rows_is_the_regression_of_the_others() -> None:
    """Two cities have 2019: without one the other's row falls too, as city 99's only one has before."""
    data = panel(2)
    pair = data.loc[data["year"] == 2019, "city_id"].iloc[:2]
    data = without_singletons(data[(data["year"] < 2019) | data["city_id"].isin(pair)], "year")
    rows = data["city_id"].isin([pair.iloc[0], 9]).to_numpy()
    more = pd.concat([data, data.iloc[:1].assign(city_id=99)], ignore_index=True)
    regression = partialled_out(more, "y", REGRESSORS)
    rest, kept = without(regression, rows)
    theirs = partialled_out(more[~np.append(rows, False)], "y", REGRESSORS)
    assert rest.singletons_dropped == theirs.singletons_dropped == 2
    assert (rest.factor, rest.degrees_of_freedom) == (theirs.factor, theirs.degrees_of_freedom)
    provinces = codes(data, "province")[kept]
    np.testing.assert_array_equal(rest.entities, theirs.entities)
    np.testing.assert_array_equal(data.loc[kept, "year"], data.loc[kept, "year"].min() + rest.times)
    refit = fit(data[~rows], "y", REGRESSORS, cluster="province")
    for position in range(3):
        for method in (crv1, crv3):
            ours = method(rest, position, provinces)
            assert ours.estimate == pytest.approx(refit.estimates[position], rel=1e-9)
            assert ours.std_error == pytest.approx(method(theirs, position, provinces).std_error, rel=1e-9)
        assert crv1(rest, position, provinces).std_error == pytest.approx(refit.std_errors[position], rel=1e-9)


# ---------------------------------------------------------------- known truth


def test_effective_clusters_are_those_of_the_formula_of_carter_schnepel_and_steigerwald() -> None:
    data = panel(3)
    regression = partialled_out(data, "y", REGRESSORS)
    provinces = codes(data, "province")
    design = regression.design
    bread = np.linalg.inv(design.T @ design)
    for position in range(3):
        parts = np.array(
            [
                bread[position] @ design[provinces == p].T @ design[provinces == p] @ bread[position]
                for p in set(provinces)
            ]
        )
        effective = len(parts) / (1 + np.mean((parts / parts.mean() - 1) ** 2))
        for method in (crv1, crv3):
            ours = method(regression, position, provinces)
            assert ours.effective_cluster_count == pytest.approx(effective, rel=1e-10)
            assert 1 <= effective < ours.cluster_count == 5


def small(x: list[list[float]], y: list[list[float]]) -> PartialledOut:
    """A row a city, a column a year."""
    cities, years = np.indices(np.shape(x))
    data = pd.DataFrame({"city_id": cities.ravel(), "year": years.ravel(), "x": np.ravel(x), "y": np.ravel(y)})
    return partialled_out(data, "y", ["x"])


def test_clusters_of_equal_leverage_are_all_effective() -> None:
    regression = small([[0, 1], [1, 0], [0, 1], [1, 0]], [[0, 1], [1, 1], [2, 1], [0, 3]])
    inference = crv1(regression, 0, regression.entities)
    assert inference.effective_cluster_count == pytest.approx(4)
    assert inference.largest_partial_leverage == pytest.approx(0.25)


CARRIERS = range(0, 36, 3)


def carried() -> pd.DataFrame:
    """Slope .6 in 12 of 40 cities and slightly below zero in the others."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"city_id": np.repeat(np.arange(40), 10), "year": np.tile(np.arange(10), 40)})
    data["x1"] = rng.normal(size=len(data))
    data["y"] = 0.3 * rng.normal(size=len(data)) + np.where(data["city_id"].isin(CARRIERS), 0.6, -0.05) * data["x1"]
    return data


def test_the_cities_that_carry_a_result_are_found() -> None:
    """Only some of the 12 go."""
    data = carried()
    removed = fewest_to_change(partialled_out(data, "y", ["x1"]), 0)
    assert removed is not None
    assert set(removed) <= set(CARRIERS)
    # The count is where refits pass the mark.
    for size in range(len(removed) + 1):
        left = fit(data[~data["city_id"].isin(removed[:size])], "y", ["x1"])
        assert (left.p_values[0] > 0.05) == (size == len(removed))


def test_a_negative_result_is_taken_apart_from_its_own_side() -> None:
    data = carried()
    up, down = (partialled_out(data.assign(y=sign * data["y"]), "y", ["x1"]) for sign in (1, -1))
    assert fewest_to_change(up, 0)
    assert fewest_to_change(up, 0) == fewest_to_change(down, 0)


def test_a_result_that_all_cities_share_does_not_rest_on_few_and_an_insignificant_one_on_none() -> None:
    rng = np.random.default_rng(2)
    data = panel(0)
    data["y"] = 5 * data["x1"] + 0.1 * rng.normal(size=len(data))
    assert fewest_to_change(partialled_out(data, "y", REGRESSORS), 0) is None
    data["y"] = rng.normal(size=len(data))
    assert fewest_to_change(partialled_out(data, "y", REGRESSORS), 0) == []


# ---------------------------------------------------------------- properties


def test_labels_and_units_only_rename_and_rescale() -> None:
    data = panel(7)
    scaled = data.assign(x1=1e6 * data["x1"], y=1e-3 * data["y"])
    first, second = (partialled_out(d, "y", REGRESSORS) for d in (data, scaled))
    provinces = codes(data, "province")
    renamed = 340_000 - 7 * provinces
    for method in (crv1, crv3):
        one, other = method(first, 0, provinces), method(second, 0, renamed)
        assert other.std_error == pytest.approx(1e-9 * known([one.std_error])[0], rel=1e-8)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-7)
    left = leave_out_jackknifed(first, 0, provinces), leave_out_jackknifed(second, 0, renamed)[::-1]
    first_p, second_p = (known(one.p_value for one in side) for side in left)
    np.testing.assert_allclose(first_p, second_p, rtol=1e-7)


# ---------------------------------------------------------------- what cannot be made


def test_a_cluster_that_alone_identifies_the_coefficient_has_no_jackknife_error() -> None:
    """x moves in city 2 only: without it no slope is left, and no sum over the other cities may stand for it."""
    regression = small([[0, 0, 0], [1, 1, 1], [0, 1, 3], [2, 2, 2]], [[0, 1, 1], [1, 1, 0], [2, 1, 4], [0, 3, 1]])
    with pytest.raises(NotEstimable) as raised:
        crv3(regression, 0, regression.entities)
    assert reason(raised).startswith("One of the 4 clusters alone identifies the coefficient")
    left = leave_out(regression, 0)
    assert left[2] == LeftOut(2, None, None, None)
    assert [one.estimate is None for one in left] == [False, False, True, False]


def test_a_control_that_only_one_group_identifies_goes_with_it() -> None:
    data = panel(10)
    data["x3"] = np.where(data["city_id"] == 7, data["x3"], 0.0)
    regression = partialled_out(data, "y", REGRESSORS)
    left = leave_out(regression, 0)[7]
    other = fit(data[data["city_id"] != 7], "y", ["x1", "x2"])
    assert left.estimate == pytest.approx(other.estimates[0], rel=1e-9)
    assert left.std_error == pytest.approx(other.std_errors[0], rel=1e-2)  # one parameter more is counted
    rows = codes(data, "city_id") == 7
    with pytest.raises(
        NotEstimable, match=f"Without these {rows.sum()} observations the outcome or a regressor does not"
    ):
        without(regression, rows)


def test_cities_that_move_between_provinces_are_refused() -> None:
    data = panel(1)
    regression = partialled_out(data, "y", REGRESSORS)
    moved = codes(data, "province")
    moved[[0, -1]] = 999
    for method in (crv1, crv3, leave_out_jackknifed):
        with pytest.raises(NotEstimable) as raised:
            method(regression, 0, moved)
        assert reason(raised).startswith("2 entities lie in more than one cluster")


def test_one_cluster_has_no_error() -> None:
    data = panel(1)
    regression = partialled_out(data, "y", REGRESSORS)
    one = np.zeros(len(data), dtype=np.intp)
    for method in (crv1, crv3):
        with pytest.raises(NotEstimable, match="at least two clusters, and the sample has 1"):
            method(regression, 0, one)
    halves = codes(data, "city_id") // 12
    assert [(left.std_error, left.p_value) for left in leave_out_jackknifed(regression, 0, halves)] == [
        (None, None),
        (None, None),
    ]


def test_an_exact_fit_has_no_error() -> None:
    data = panel(1).assign(y=lambda d: 2 * d["x1"] + d["city_id"])
    regression = partialled_out(data, "y", REGRESSORS)
    for method in (crv1, crv3, leave_out_jackknifed, lambda *arguments: leave_out(*arguments[:2])):
        with pytest.raises(NotEstimable, match="fit the outcome exactly: there is no error to estimate"):
            method(regression, 0, codes(data, "city_id"))


def test_scores_that_cancel_in_every_cluster_leave_no_variance() -> None:
    """Two cities on one set of years: the scores of each sum to zero, whatever the data."""
    regression = small([[0, 2, 5, 1], [1, 1, 0, 4]], [[0, 1, 4, 1], [3, 1, 0, 2]])
    with pytest.raises(NotEstimable, match="by these 2 clusters its variance is zero"):
        crv1(regression, 0, regression.entities)


def test_nothing_is_left_without_all_but_one_city() -> None:
    data = panel(1)
    regression = partialled_out(data, "y", REGRESSORS)
    for rows in (np.ones(len(data), dtype=bool), codes(data, "city_id") != 5):
        with pytest.raises(NotEstimable, match=f"No observations are left without these {rows.sum()}"):
            without(regression, rows)
