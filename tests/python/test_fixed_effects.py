"""Tests for the two-way fixed-effects estimator against fixest and explicit dummies."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from linearmodels.datasets import wage_panel
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from ai_manufacturing.estimators.fixed_effects import (
    Covariance,
    FixedEffectsFit,
    cluster_factor,
    fit,
)
from tests.python.estimator_tools import (
    REGRESSORS,
    OnDummies,
    approx,
    changed,
    golden,
    golden_data,
    grid,
    random_panel,
    refusal,
    without_singletons,
)

RECORDS: list[dict[str, Any]] = golden("twfe")
ARRAYS = ("estimates", "std_errors", "statistics", "p_values", "conf_low", "conf_high")


def golden_fit(record: dict[str, Any]) -> FixedEffectsFit:
    name = record["dataset"].removesuffix(".csv")
    data = wage_panel.load() if name == "wage_panel" else golden_data(name)
    outcome, *_, entity, _, _ = record["formula"].split()
    return fit(data.rename(columns={entity: "city_id"}), outcome, [*record["coef"]])


@pytest.mark.parametrize(
    "record", RECORDS, ids=lambda record: f"{record['dataset']} {record['fixef_rm']}"
)
def test_fixest_is_matched(record: dict[str, Any]) -> None:
    """Estimates and standard errors match fixest on balanced and unbalanced data.

    Singletons are dropped repeatedly here (922 rows remain); the records drop none (930) or make
    one pass (923). A singleton's residual is zero, so only the small-sample factor differs.
    """
    ours = golden_fit(record)
    count, slopes = record["N"], len(ours.terms)
    entities, years = record["fixef_sizes"].values()
    if "singletons" in record["dataset"]:
        counts = [922, 133, 9, 8]
    else:
        counts = [count, entities, years, 0]
        assert ours.r2_inclusive == approx(record["r2"]["r2"], abs=1e-12)
        assert ours.degrees_of_freedom == record["df_t"]
    assert counts == [
        ours.observation_count,
        ours.city_count,
        ours.year_count,
        ours.singletons_dropped,
    ]
    theirs = cluster_factor(count, entities, slopes, years)
    own = cluster_factor(counts[0], counts[1], slopes, counts[2])
    assert_allclose(ours.estimates, [*record["coef"].values()], rtol=1e-11)
    errors = ours.std_errors * np.sqrt(theirs / own)
    assert_allclose(errors, [*record["se"].values()], rtol=1e-11)
    assert ours.r2_within == approx(record["r2"]["wr2"], abs=1e-12)


def with_singletons(seed: int) -> pd.DataFrame:
    """Return a random panel with some cities and years that have only one row.

    City 902 becomes a singleton only after year 2030 has been dropped.
    """
    data = random_panel(seed)
    places = {"city_id": [900, 901, 902, 902, 5], "year": [2012, 2013, 2013, 2030, 2031]}
    return pd.concat([data, data.iloc[:5].assign(**places)], ignore_index=True)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["iid", "robust"])
def test_a_regression_on_all_dummies_agrees(kind: Covariance, seed: int) -> None:
    data = with_singletons(seed)
    ours = fit(data, "y", REGRESSORS, covariance=kind)
    rows = without_singletons(data)
    theirs = OnDummies(rows, "y", REGRESSORS)
    covariance, freedom = theirs.covariance(kind), theirs.freedom
    errors = np.sqrt(np.diag(covariance))
    t = theirs.estimates / errors
    low, high = stats.t.interval(0.95, freedom, theirs.estimates, errors)
    unexplained = np.sum(theirs.residuals**2)
    of_effects = OnDummies(rows, "y", []).residuals
    expected = {
        "singletons_dropped": len(data) - len(rows),
        "observation_count": len(rows),
        "degrees_of_freedom": freedom,
        "estimates": theirs.estimates,
        "covariance_matrix": covariance,
        "std_errors": errors,
        "statistics": t,
        "p_values": 2 * stats.t.sf(np.abs(t), freedom),
        "conf_low": low,
        "conf_high": high,
        "r2_inclusive": 1 - unexplained / len(rows) / rows["y"].var(ddof=0),
        "r2_within": 1 - unexplained / np.sum(of_effects**2),
    }
    for name, value in expected.items():
        assert_allclose(getattr(ours, name), value, rtol=1e-7, atol=1e-12, err_msg=name)


def test_neither_order_nor_types_change_a_single_bit_and_the_sample_is_left_as_it_was() -> None:
    data = random_panel(1)
    other = data.sort_values(["year", "city_id"]).assign(x1=lambda d: d["x1"].astype("Float64"))
    other["city_id"] = other["city_id"].map("{:06d}".format).astype("category")
    before = other.copy()
    first, second = (fit(rows, "y", REGRESSORS) for rows in (data, other))
    for name in (*ARRAYS, "covariance_matrix"):
        assert_array_equal(getattr(first, name), getattr(second, name))
    pd.testing.assert_frame_equal(other, before)


def test_linear_maps_of_regressors_only_map_the_slopes() -> None:
    """Linear transformations of the regressors change the coefficients accordingly.

    Cases: regressors of very different scale, values whose squares overflow, and a near copy.

    PanelOLS alone would report the first as absorbed, or the pair as collinear.
    """
    data = random_panel(2)
    plain = fit(data, "y", REGRESSORS)
    near = fit(data.assign(x2=data["x1"] + 1e-3 * data["x2"]), "y", REGRESSORS)
    assert near.estimates[1] == approx(plain.estimates[1] * 1e3, rel=1e-8)
    assert near.std_errors[1] == approx(plain.std_errors[1] * 1e3, rel=1e-6)
    ours = fit(
        data.assign(
            x1=1e9 + 1e2 * data["x1"],
            x2=1e-12 * data["x2"],
            x3=1e200 * data["x3"],
            y=1e6 * data["y"],
        ),
        "y",
        REGRESSORS,
    )
    assert_allclose(ours.estimates * [1e-4, 1e-18, 1e194], plain.estimates, rtol=1e-7)
    assert_allclose(ours.p_values, plain.p_values, rtol=1e-6)
    assert ours.r2_within == approx(plain.r2_within, rel=1e-8)


def test_an_identity_has_slope_one_an_error_of_zero_and_no_test() -> None:
    """A regressor that equals the outcome up to city effects has slope 1 and standard error 0.

    An example is a measure scaled by the outcome's growth.
    """
    data = random_panel(0)
    data["mechanical"] = data["y"] + np.sqrt(data["city_id"])
    ours = fit(data, "y", ["mechanical", "x1"])
    assert_allclose(ours.estimates, [1, 0], atol=1e-10)
    assert_array_equal(ours.std_errors, [0, 0])
    assert np.isnan([ours.statistics, ours.p_values]).all()
    assert_array_equal(ours.conf_low, ours.estimates)


TWO = {"regressors": ["x1", "x2"]}
ABSORBED = "Regressor x2 does not vary once the city_id and year effects are removed."
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("x1 = x1 / (city_id > 1)", TWO, "Column x1 has 5 missing or non-finite values."),
    ("x1 = '1,2O4'", TWO, "Column x1 contains values that are not numbers."),
    ("city_id = missing", TWO, "Column city_id has 15 missing values."),
    ("year < 0", TWO, "The sample has no observations."),
    (
        "province == 1 or (province == 2 and year == 2017 and city_id == 3)",
        {"cluster": "province"},
        "Clustered standard errors need at least two clusters, and the sample has 1.",
    ),
    (
        "year == 2016",
        TWO,
        "No observations are left: every city_id or year of the 6 rows is a singleton.",
    ),
    (
        "city_id < 4 and year < 2017",
        TWO,
        "The model is saturated: 6 observations, 2 slopes and 4 free effects of city_id and"
        " year leave no residual degree of freedom.",
    ),
    (
        "y = year + city_id / 7",
        TWO,
        "The outcome y does not vary once the city_id and year effects are removed.",
    ),
    # The first x2 is a city effect plus a year effect, rounded to five decimals. The second x2
    # varies only by rounding error.
    ("x2 = floor(1e5 * (30 * city_id + 99 * sin(year))) / 1e5", TWO, ABSORBED),
    ("x2 = 0.3 + 1e-16 * (x1 > 0)", TWO, ABSORBED),
    (
        "x2 = 1e9 * x1 + 5",
        TWO,
        "Regressor x2 is a linear combination of x1 once the city_id and year effects are removed.",
    ),
    (
        "x3 = x1 - 2 * x2 + 30 * cos(year) + city_id",
        {"regressors": REGRESSORS},
        "Regressor x3 is a linear combination of x1 and x2 once the city_id and year effects"
        " are removed.",
    ),
    (
        "city_id < 3",
        {},
        "The standard error of x1 cannot be estimated: its scores sum to zero in each of the 2"
        " clusters of city_id.",
    ),
]


@pytest.mark.parametrize(("change", "options", "reason"), CASES, ids=[case[-1] for case in CASES])
def test_what_cannot_be_estimated_says_why(
    change: str, options: dict[str, Any], reason: str
) -> None:
    """The error message states why a regression cannot be estimated.

    The panel has six cities in three provinces, and five years without gaps.
    """
    data = grid(range(1, 7), range(2015, 2020))
    data["province"] = (data["city_id"] + 1) // 2
    data[["y", "x1", "x2"]] = np.random.default_rng(11).normal(size=(len(data), 3))
    data["missing"] = data["city_id"].where(data["x1"].rank() > 15)
    assert refusal(fit, changed(data, change), "y", **{"regressors": ["x1"], **options}) == reason
