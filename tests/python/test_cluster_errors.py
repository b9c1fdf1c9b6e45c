"""Errors by clusters against fixest and summclust, and against refits without each cluster."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ai_manufacturing.estimators.cluster_errors import (
    LeftOut,
    crv1,
    crv3,
    crv3_of_difference,
    crv3_of_ratio,
    fewest_to_change,
    leave_out,
    leave_out_jackknifed,
    without,
)
from ai_manufacturing.estimators.fixed_effects import (
    PartialledOut,
    fit,
    partialled_out,
    with_entity_trends,
)
from tests.python.estimator_tools import (
    approx,
    golden,
    golden_data,
    grid,
    refusal,
    without_singletons,
)

CRV3: dict[str, Any] = golden("crv3")
DATA = {"empluk by firm": "abdata", "grunfeld by firm": "grunfeld"}
REGRESSORS = ["x1", "x2", "x3"]
TIMES = pytest.mark.parametrize("time", ["year", "province_year"])

pytestmark = pytest.mark.filterwarnings("error")


def panel(seed: int, *, time: str = "year") -> pd.DataFrame:
    """Sorted, unbalanced, without singletons; cities and provinces differ in size, and share their
    shocks.
    """
    rng = np.random.default_rng(seed)
    data = grid(range(24), range(2012, 2020))
    data = data[rng.random(len(data)) < rng.uniform(0.5, 0.95)]
    provinces = np.repeat([300, 311, 322, 333, 344], [2, 3, 4, 7, 8])
    data["province"] = provinces[data["city_id"]]
    data["province_year"] = data["province"] * 10_000 + data["year"]
    shock = rng.normal(size=(400, 4))[data["province"]].T * (data["year"].to_numpy() - 2015)
    for j, name in enumerate(REGRESSORS):
        data[name] = rng.normal(size=len(data)) + shock[j] / 3
    data["y"] = 0.4 * data["x1"] - 0.2 * data["x2"] + shock[3] / 2
    data["y"] += rng.normal(size=len(data)) * (1 + data["x1"].abs()) + data["city_id"]
    return without_singletons(data, time=time).reset_index(drop=True)


def regression_of(data: pd.DataFrame, time: str = "year") -> PartialledOut:
    return partialled_out(data, "y", REGRESSORS, time=time)


def codes(data: pd.DataFrame, column: str = "province") -> np.ndarray:
    members: np.ndarray = data[column].to_numpy().astype(np.intp)
    return members


def table(answers: Iterable[LeftOut]) -> np.ndarray:
    """Return group, estimate, error and p of each."""
    rows = [(one.group, one.estimate, one.std_error, one.p_value) for one in answers]
    return np.array(rows, dtype=float)


# ---------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("name", DATA)
def test_fixest_and_summclust_are_matched(name: str) -> None:
    """CRV1 and CRV3, their partial leverage, and the range of the delete-one estimates."""
    record = CRV3[name]
    data = golden_data(DATA[name])
    terms = [*record["coef"]]
    outcome = record["formula"].split()[0]
    regression = partialled_out(data, outcome, terms)
    firms = np.sort(data["city_id"].unique())
    for position, term in enumerate(terms):
        plain = crv1(regression, position, regression.entities)
        jackknife = crv3(regression, position, regression.entities)
        assert plain.estimate == approx(record["coef"][term], rel=1e-10)
        assert plain.std_error == approx(record["se_crv1"][term], rel=1e-10)
        assert jackknife.std_error == approx(record["se_crv3_refit"][term], rel=1e-10)
        assert jackknife.statistic == approx(record["t_crv3"][term], rel=1e-10)
        assert jackknife.p_value == approx(record["p_crv3"][term], rel=1e-8)
        assert jackknife.degrees_of_freedom == record["G"] - 1
        assert plain.cluster_count == jackknife.cluster_count == record["G"]
        largest = record["summclust_diag"]["partial_leverage_max"][position]
        assert jackknife.largest_partial_leverage == approx(largest, rel=1e-10)

        left = table(leave_out(regression, position))
        for row, end in ((left[:, 1].argmin(), "min"), (left[:, 1].argmax(), "max")):
            assert left[row, 1] == approx(record[f"delete_one_{end}"][term], rel=1e-10)
            assert str(firms[row]) == record[f"delete_one_cluster_{end}"][term]


# ---------------------------------------------------------------- a second route: refits


def refits(
    data: pd.DataFrame,
    position: int,
    column: str = "city_id",
    time: str = "year",
) -> np.ndarray:
    answers = []
    for label in np.sort(data[column].unique()):
        other = fit(data[data[column] != label], "y", REGRESSORS, time=time)
        numbers = (other.estimates, other.std_errors, other.p_values)
        answers.append([label, *(values[position] for values in numbers)])
    return np.array(answers)


@TIMES
def test_leaving_out_is_refitting(time: str) -> None:
    """With province-years, the other city of a province of two becomes a singleton."""
    data = panel(5, time=time)
    ours, theirs = leave_out(regression_of(data, time), 0), refits(data, 0, time=time)
    assert_allclose(table(ours), theirs, rtol=1e-9)


def test_groups_without_which_an_estimate_moves_most_are_told_apart_before_their_errors() -> None:
    regression = regression_of(panel(5))
    whole = fit(panel(5), "y", REGRESSORS).estimates[1]
    every = leave_out(regression, 1)
    most = np.argsort(-np.abs(table(every)[:, 1] - whole))[:4]
    assert leave_out(regression, 1, most=4) == [every[group] for group in np.sort(most)]


@TIMES
def test_without_a_province_the_jackknife_is_that_of_the_other_rows(time: str) -> None:
    data = panel(5, time=time)
    expected = []
    for province in np.unique(data["province"]):
        rest = without_singletons(data[data["province"] != province], time=time)
        error = crv3(regression_of(rest, time), 2, codes(rest))
        expected.append([province, error.estimate, error.std_error, error.p_value])
    ours = leave_out_jackknifed(regression_of(data, time), 2, codes(data))
    assert_allclose(table(ours), expected, rtol=1e-9)


@pytest.mark.parametrize(("time", "cluster"), [("year", "province"), ("province_year", "city_id")])
def test_the_jackknife_is_made_of_refits_and_crv1_is_the_error_of_a_fit(
    time: str,
    cluster: str,
) -> None:
    data = panel(6, time=time)
    regression = regression_of(data, time)
    whole = fit(data, "y", REGRESSORS, time=time, cluster=cluster)
    plain = crv1(regression, 0, codes(data, cluster))
    for name, value in vars(whole.inference(0)).items():
        assert not value or getattr(plain, name) == approx(value, rel=1e-9), name

    slopes = refits(data, 0, cluster, time)[:, 1]
    count = len(slopes)
    ours = crv3(regression, 0, codes(data, cluster))
    error = np.sqrt((count - 1) / count * np.sum((slopes - whole.estimates[0]) ** 2))
    assert ours.estimate == approx(whole.estimates[0], rel=1e-10)
    assert ours.std_error == approx(error, rel=1e-9)
    ends = stats.t.interval(0.95, count - 1, whole.estimates[0], error)
    assert_allclose([ours.conf_low, ours.conf_high], ends, rtol=1e-9)


def test_more_columns_than_rows_in_a_group_changes_nothing() -> None:
    """Forty years and two controls make more columns than a city has rows: the other system."""
    rng = np.random.default_rng(0)
    data = grid(range(12), range(40))
    for name in ("y", *REGRESSORS):
        data[name] = rng.normal(size=len(data)) * (1 + data["city_id"])
    data = without_singletons(data[rng.random(len(data)) < 0.6])
    assert_allclose(table(leave_out(regression_of(data), 0)), refits(data, 0), rtol=1e-9)


def test_without_some_rows_is_the_regression_of_the_others() -> None:
    """Two cities have 2019: without one the other's row falls too, as city 99's only one has
    before.
    """
    data = panel(2)
    pair = data.loc[data["year"] == 2019, "city_id"].iloc[:2]
    data = without_singletons(data[(data["year"] < 2019) | data["city_id"].isin(pair)])
    rows = data["city_id"].isin([pair.iloc[0], 9]).to_numpy()
    more = pd.concat([data, data.iloc[:1].assign(city_id=99)], ignore_index=True)
    rest, kept = without(regression_of(more), rows)
    theirs = regression_of(more[~np.append(rows, False)])
    provinces = codes(data)[kept]
    for method in (crv1, crv3):
        ours, other = (method(one, 1, provinces) for one in (rest, theirs))
        assert ours.estimate == approx(other.estimate, rel=1e-9)
        assert ours.std_error == approx(other.std_error, rel=1e-9)


def slope(data: pd.DataFrame) -> float:
    """Return the slope of the first regressor, on dummies of cities and years."""
    dummies = [pd.get_dummies(data[name], dtype=float) for name in ("city_id", "year")]
    design = np.column_stack([data[REGRESSORS], *dummies])
    return float(np.linalg.lstsq(design, data["y"])[0][0])


def flagged_rows(data: pd.DataFrame) -> np.ndarray:
    """A tenth of the rows, all of one province, and all but one of a city among them."""
    rows = np.random.default_rng(1).random(len(data)) < 0.1
    city = data.index[data["city_id"] == 20]
    rows[city[1:]], rows[city[0]] = True, False
    return np.asarray(rows | data["province"].eq(311))


def test_the_error_of_a_difference_is_the_jackknife_of_the_difference() -> None:
    """Both slopes are fitted again without each province, by least squares on dummies."""
    data = panel(5)
    rows = flagged_rows(data)
    rest, remaining = without(regression_of(data), rows)
    assert len(remaining) < (~rows).sum()  # city 20 is left as a singleton
    ours = crv3_of_difference(regression_of(data), rest, 0, codes(data), remaining)

    difference = slope(data[~rows]) - slope(data)
    each = []
    for province in np.unique(data["province"]):
        others = data["province"].ne(province)
        each.append(slope(data[others & ~rows]) - slope(data[others]))
    count = len(each)
    error = np.sqrt((count - 1) / count * np.sum((np.array(each) - difference) ** 2))

    assert ours.estimate == approx(difference, rel=1e-9)
    assert ours.std_error == approx(error, rel=1e-9)
    assert ours.statistic == approx(difference / error, rel=1e-9)
    assert ours.p_value == approx(2 * stats.t.sf(abs(difference / error), count - 1), rel=1e-9)
    ends = stats.t.interval(0.95, count - 1, difference, error)
    assert_allclose([ours.conf_low, ours.conf_high], ends, rtol=1e-9)
    # The two estimates share most of their rows, so either's own error is another number.
    assert ours.std_error < crv3(rest, 0, codes(data)[remaining]).std_error / 2


def test_a_difference_of_nothing_has_no_error() -> None:
    data = panel(5)
    regression = regression_of(data)
    ours = crv3_of_difference(regression, regression, 0, codes(data), np.arange(len(data)))
    assert (ours.estimate, ours.std_error, ours.p_value) == (0, None, None)


# ---------------------------------------------------------------- known truth


def test_effective_clusters_are_those_of_the_formula_of_carter_schnepel_and_steigerwald() -> None:
    data = panel(3)
    regression = regression_of(data)
    design, provinces = regression.design, codes(data)
    bread = np.linalg.inv(design.T @ design)[1]
    parts = np.array([np.sum((design[provinces == p] @ bread) ** 2) for p in set(provinces)])
    effective = 5 / (1 + np.mean((parts / parts.mean() - 1) ** 2))
    for method in (crv1, crv3):
        ours = method(regression, 1, provinces)
        assert ours.effective_cluster_count == approx(effective, rel=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_cities_that_carry_a_result_are_found(sign: int) -> None:
    """Slope .6 in 12 of 40 cities and slightly below zero in the others; some of the 12 go."""
    rng = np.random.default_rng(3)
    data = grid(range(40), range(10))
    data["x1"], noise = rng.normal(size=(2, len(data)))
    slopes = np.where(data["city_id"].isin(range(0, 36, 3)), 0.6, -0.05)
    data["y"] = sign * (0.3 * noise + slopes * data["x1"])
    removed = fewest_to_change(partialled_out(data, "y", ["x1"]), 0)
    assert removed
    assert {*removed} <= {*range(0, 36, 3)}
    # The count is where refits pass the mark.
    for size in range(len(removed) + 1):
        left = fit(data[~data["city_id"].isin(removed[:size])], "y", ["x1"])
        assert (left.p_values[0] > 0.05) == (size == len(removed))


def test_a_result_that_all_cities_share_does_not_rest_on_few_and_an_insignificant_one_on_none() -> (
    None
):
    noise = np.random.default_rng(2).normal(size=(2, 500))
    data = panel(0)
    data["y"] = 5 * data["x1"] + 0.1 * noise[0, : len(data)]
    assert fewest_to_change(regression_of(data), 0) is None
    data["y"] = noise[1, : len(data)]
    assert fewest_to_change(regression_of(data), 0) == []


# ---------------------------------------------------------------- what cannot be made


def small(x: list[list[float]], y: list[list[float]]) -> PartialledOut:
    """A row a city, a column a year."""
    data = grid(range(len(x)), range(len(x[0]))).assign(x=np.ravel(x), y=np.ravel(y))
    return partialled_out(data, "y", ["x"])


def test_a_cluster_that_alone_identifies_the_coefficient_has_no_jackknife_error() -> None:
    """x moves in city 2 only: no sum over the other cities may stand for it."""
    regression = small(
        [[0, 0, 0], [1, 1, 1], [0, 1, 3], [2, 2, 2]],
        [[0, 1, 1], [1, 1, 0], [2, 1, 4], [0, 3, 1]],
    )
    reason = refusal(crv3, regression, 0, regression.entities)
    assert reason.startswith("One of the 4 clusters alone identifies the coefficient")
    left = leave_out(regression, 0)
    assert left[2] == LeftOut(2, None, None, None)
    assert [one.estimate is None for one in left] == [False, False, True, False]


def test_a_control_that_only_one_group_identifies_goes_with_it() -> None:
    data = panel(10)
    rows = codes(data, "city_id") == 7
    data["x3"] = np.where(rows, data["x3"], 0.0)
    regression = regression_of(data)
    left = leave_out(regression, 0)[7]
    other = fit(data[~rows], "y", ["x1", "x2"])
    assert left.estimate == approx(other.estimates[0], rel=1e-9)
    assert left.std_error == approx(other.std_errors[0], rel=1e-2)  # one parameter more is counted
    assert refusal(without, regression, rows).startswith(
        f"Without these {rows.sum()} observations the outcome or a regressor does not"
    )


def test_what_clusters_cannot_tell_is_a_reason() -> None:
    data = panel(1)
    regression = regression_of(data)
    exact = regression_of(data.assign(y=2 * data["x1"] + data["city_id"]))
    for method in (crv1, crv3, leave_out_jackknifed):
        assert "fit the outcome exactly" in refusal(method, exact, 0, codes(data))
    assert "fit the outcome exactly" in refusal(leave_out, exact, 0)

    for method in (crv1, crv3):
        reason = refusal(method, regression, 0, np.zeros(len(data), dtype=np.intp))
        assert reason == "Clustered errors need at least two clusters, and the sample has 1."
    halves = leave_out_jackknifed(regression, 0, codes(data, "city_id") // 12)
    assert [(left.std_error, left.p_value) for left in halves] == [(None, None)] * 2

    # Two cities on one set of years: the scores of each sum to zero, whatever the data.
    pair = small([[0, 2, 5, 1], [1, 1, 0, 4]], [[0, 1, 4, 1], [3, 1, 0, 2]])
    assert "by these 2 clusters its variance is zero" in refusal(crv1, pair, 0, pair.entities)

    for rows in (np.ones(len(data), dtype=bool), codes(data, "city_id") != 5):
        reason = refusal(without, regression, rows)
        assert reason.startswith(f"Without these {rows.sum()} observations the outcome or a")


def by_dummies(data: pd.DataFrame, time: str, *, trends: bool) -> float:
    """The slope of x1 by least squares on dummies, and a line through the years of each city."""
    cities, periods = pd.get_dummies(data["city_id"]), pd.get_dummies(data[time])
    parts = [data[REGRESSORS].to_numpy(), cities.to_numpy(float), periods.to_numpy(float)]
    if trends:
        parts.append(cities.to_numpy(float) * (data["year"].to_numpy()[:, None] - 2015))
    slopes = np.linalg.lstsq(np.hstack(parts), data["y"].to_numpy(), rcond=None)[0]
    return float(slopes[0])


@TIMES
def test_an_estimate_with_trends_of_cities_and_its_fall_are_those_of_refits(time: str) -> None:
    data = panel(5, time=time)
    regression = regression_of(data, time)
    rows = data.loc[regression.index]
    provinces = rows["province"].to_numpy()
    detrended = with_entity_trends(regression, rows["year"].to_numpy(float), REGRESSORS)
    left = crv3(detrended, 0, provinces)
    fall = crv3_of_difference(regression, detrended, 0, provinces, np.arange(len(rows)))

    plain, with_lines = (by_dummies(rows, time, trends=trends) for trends in (False, True))
    assert left.estimate == pytest.approx(with_lines)
    assert fall.estimate == pytest.approx(with_lines - plain)
    labels = np.unique(provinces)
    refits = [
        [by_dummies(rows[provinces != label], time, trends=trends) for trends in (True, False)]
        for label in labels
    ]
    share = (len(labels) - 1) / len(labels)
    moves = np.array(
        [[lines - with_lines, lines - other - fall.estimate] for lines, other in refits]
    )
    assert [left.std_error, fall.std_error] == pytest.approx(
        [*np.sqrt(share * (moves**2).sum(axis=0))]
    )


def test_a_trend_of_the_city_makes_an_estimate_and_is_gone_with_it() -> None:
    """The outcome is a trend that the regressor shares, and nothing else but noise."""
    data = panel(6)
    slopes = np.random.default_rng(7).normal(size=24)[data["city_id"]]
    years = data["year"].to_numpy() - 2015
    noise = np.random.default_rng(8).normal(size=len(data))
    data = data.assign(x1=slopes * years + noise, y=slopes * years)
    data["y"] += 0.1 * np.random.default_rng(9).normal(size=len(data))
    regression = partialled_out(data, "y", ["x1"])
    rows = data.loc[regression.index]
    detrended = with_entity_trends(regression, rows["year"].to_numpy(float), ["x1"])
    made, left = (crv3(one, 0, rows["province"].to_numpy()) for one in (regression, detrended))
    assert made.estimate > 0.5
    assert left.conf_low is not None
    assert left.conf_high is not None
    assert left.conf_low < 0 < left.conf_high
    assert abs(left.estimate) < 0.05


def test_a_regressor_that_is_a_trend_of_each_city_leaves_nothing() -> None:
    data = panel(6).assign(x1=lambda rows: rows["city_id"] * rows["year"])
    regression = partialled_out(data, "y", ["x1"])
    years = data.loc[regression.index, "year"].to_numpy(float)
    assert "a trend of each city" in refusal(lambda: with_entity_trends(regression, years, ["x1"]))


@TIMES
def test_the_error_of_an_instrumented_slope_is_that_of_refits_by_iv2sls(time: str) -> None:
    from linearmodels.iv import IV2SLS

    data = panel(8, time=time)
    data["x2"] = data["x1"] + np.random.default_rng(1).normal(size=len(data))
    first, reduced = (
        partialled_out(data, outcome, ["x2", "x3"], time=time) for outcome in ("x1", "y")
    )
    rows = data.loc[first.index]
    provinces = rows["province"].to_numpy()
    found = crv3_of_ratio(reduced, first, 0, provinces)

    def slope(kept: pd.DataFrame) -> float:
        dummies = pd.get_dummies(kept[["city_id", time]].astype(str), dtype=float, drop_first=True)
        others = dummies.assign(x3=kept["x3"], one=1.0)
        rank = np.linalg.qr(others.to_numpy(), mode="r")
        others = others.loc[:, np.abs(np.diag(rank)) > 1e-8]
        return float(IV2SLS(kept["y"], others, kept[["x1"]], kept[["x2"]]).fit().params["x1"])

    labels = np.unique(provinces)
    assert found.estimate == pytest.approx(slope(rows))
    moves = np.array([slope(rows[provinces != label]) - found.estimate for label in labels])
    share = (len(labels) - 1) / len(labels)
    assert found.std_error == pytest.approx(float(np.sqrt(share * moves @ moves)))
