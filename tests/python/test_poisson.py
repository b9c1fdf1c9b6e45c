"""Poisson with two effects against statsmodels' on all dummies, separation by hand, and truth."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import linalg, stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.poisson import fit

pytestmark = pytest.mark.filterwarnings("error")

ABDATA = Path(__file__).parent / "golden/abdata.csv"
ARRAYS = ("estimates", "std_errors", "statistics", "p_values", "conf_low", "conf_high")


def panel(seed: int = 1, cities: int = 30, *, mean: float = 2.0) -> pd.DataFrame:
    """Return an unbalanced panel of counts, overdispersed, with slopes .5 and -.3."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product(
        [[f"{c:04d}" for c in range(cities)], range(2010, 2018)], names=["city_id", "year"]
    )
    data = grid.to_frame(index=False)
    city = data["city_id"].astype(int)
    data["province"] = city // 3
    data["province_year"] = (city // 10).astype(str) + " " + data["year"].astype(str)
    data["x"] = rng.normal(size=len(data)) + city / 20
    data["z"] = rng.normal(size=len(data)) + (data["year"] - 2010) / 5
    spread = rng.gamma(5, 0.2, size=len(data))
    predictor = 0.5 * data["x"] - 0.3 * data["z"] + np.log(mean) + np.sin(city) / 2 + (data["year"] - 2013) / 10
    data["count"] = rng.poisson(np.exp(predictor) * spread).astype(float)
    return data.sample(frac=0.9, random_state=seed)


def on_dummies(
    data: pd.DataFrame, outcome: str, regressors: Sequence[str], entity: str, time: str, cluster: str
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return slopes, covariance with fixest's factor, and statsmodels' fit of a Poisson regression on all dummies."""
    dummies = np.column_stack([pd.get_dummies(data[name], dtype=float) for name in (entity, time)])
    _, strengths, order = linalg.qr(dummies, mode="economic", pivoting=True)
    independent = order[np.abs(np.diag(strengths)) > 1e-9]
    x = np.column_stack([data[list(regressors)], dummies[:, independent]])
    groups = pd.factorize(data[cluster])[0]
    fitted = sm.GLM(data[outcome].to_numpy(), x, family=sm.families.Poisson()).fit(
        tol=1e-13, maxiter=200, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    k, n, clusters = len(regressors), len(data), groups.max() + 1
    factor = clusters / (clusters - 1) * (n - 1) / (n - k - data[time].nunique())
    return fitted.params[:k], factor * fitted.cov_params()[:k, :k], fitted


def assert_agrees(
    data: pd.DataFrame,
    used: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
) -> None:
    slopes, covariance, theirs = on_dummies(used, outcome, regressors, entity, time, cluster or entity)
    ours = fit(data, outcome, regressors, entity=entity, time=time, cluster=cluster)
    errors = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(ours.estimates, slopes, rtol=1e-8)
    np.testing.assert_allclose(ours.covariance_matrix, covariance, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(ours.p_values, 2 * stats.norm.sf(np.abs(slopes / errors)), rtol=1e-6)
    np.testing.assert_allclose(ours.conf_high, slopes + stats.norm.ppf(0.975) * errors, rtol=1e-7)
    assert ours.observation_count == len(used)
    assert ours.city_count == used[entity].nunique()
    assert ours.year_count == used[time].nunique()
    assert ours.cluster_count == used[cluster or entity].nunique()
    assert ours.r2_inclusive == pytest.approx(1 - theirs.deviance / theirs.null_deviance, abs=1e-9)


def test_arellano_and_bonds_firms_agree_with_a_regression_on_all_dummies() -> None:
    """Unbalanced, and the outcome is not whole: employment in thousands."""
    data = pd.read_csv(ABDATA)
    assert_agrees(data, data, "emp", ["wage", "capital"], entity="firm")


@pytest.mark.parametrize("cluster", [None, "province"])
def test_counts_with_zeros_agree_with_a_regression_on_all_dummies(cluster: str | None) -> None:
    data = panel()
    assert (data["count"] == 0).mean() > 0.1
    assert_agrees(data, data, "count", ["x", "z"], cluster=cluster)


def test_province_year_effects_agree_with_a_regression_on_all_dummies() -> None:
    data = panel(2)
    assert_agrees(data, data, "count", ["x", "z"], time="province_year")


def test_what_effects_alone_leave_is_what_r2_within_is_a_share_of() -> None:
    data = panel()
    _, _, whole = on_dummies(data, "count", ["x", "z"], "city_id", "year", "city_id")
    _, _, effects = on_dummies(data, "count", [], "city_id", "year", "city_id")
    assert fit(data, "count", ["x", "z"]).r2_within == pytest.approx(1 - whole.deviance / effects.deviance, abs=1e-9)


def test_the_slopes_are_found() -> None:
    ours = fit(panel(5, cities=300), "count", ["x", "z"])
    assert (np.abs(ours.estimates - [0.5, -0.3]) < 4 * ours.std_errors).all()
    assert (ours.std_errors < 0.05).all()


def test_the_unit_of_the_counts_changes_nothing_and_that_of_a_regressor_only_its_slope() -> None:
    plain = fit(panel(), "count", ["x", "z"])
    thousands = fit(panel().assign(count=lambda rows: rows["count"] / 1000), "count", ["x", "z"])
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(thousands, name), getattr(plain, name), rtol=1e-7)
    scaled = fit(panel().assign(x=lambda rows: 1e6 * rows["x"]), "count", ["x", "z"])
    assert scaled.estimates[0] == pytest.approx(plain.estimates[0] / 1e6, rel=1e-7)
    assert scaled.p_values[0] == pytest.approx(plain.p_values[0], rel=1e-6)


def test_the_order_of_the_rows_changes_no_digit_and_the_sample_is_left_as_it_was() -> None:
    data = panel()
    before = data.copy()
    plain = fit(data, "count", ["x", "z"])
    pd.testing.assert_frame_equal(data, before)
    np.testing.assert_array_equal(fit(data.iloc[::-1], "count", ["x", "z"]).std_errors, plain.std_errors)


def test_an_exact_fit_has_no_error() -> None:
    data = panel()
    data["count"] = np.exp(0.5 * data["x"] + data["city_id"].astype(int) / 9 + np.cos(data["year"]))
    ours = fit(data, "count", ["x", "z"])
    np.testing.assert_allclose(ours.estimates, [0.5, 0], atol=1e-9)
    np.testing.assert_array_equal(ours.std_errors, [0, 0])
    assert np.isnan(ours.p_values).all()


def test_an_event_study_of_counts_takes_the_terms_of_the_linear_one() -> None:
    data = panel(8).assign(treated=lambda rows: (rows["city_id"].astype(int) % 2).astype(float))
    terms = event_study.interacted(data, "treated", event_year=2014, omitted_year=2013, window=(-4, 3))
    assert terms.terms == ("before4", "before3", "before2", "current", "after1", "after2", "after3")
    assert_agrees(terms.sample, terms.sample, "count", [*terms.terms, "x"])


# ---------------------------------------------------------------- separation


def test_cities_and_years_without_a_count_and_singletons_are_dropped_until_none_is_left() -> None:
    data = panel(3)
    data.loc[data["city_id"].isin(["0001", "0002"]), "count"] = 0.0
    # Without 0001 and 0002, 2017 has counts of 0003 alone: zero there, the year tells nothing.
    data.loc[(data["year"] == 2017), "count"] = 0.0
    data = data[(data["city_id"] != "0004") | data["year"].isin([2010, 2017])]
    data.loc[(data["city_id"] == "0004") & (data["year"] == 2010), "count"] = 3.0
    used = data[~data["city_id"].isin(["0001", "0002", "0004"]) & (data["year"] != 2017)]
    lost = len(data) - len(used)

    ours = fit(data, "count", ["x", "z"])
    assert_agrees(data, used, "count", ["x", "z"])
    assert ours.singletons_dropped == 1  # 0004 in 2010, alone once 2017 is gone
    assert ours.separated_dropped == lost - 1
    assert ours.warnings[0].en.startswith(f"{lost - 1} rows are dropped: Poisson fits them by a count")


def test_a_block_that_only_zeros_link_to_the_rest_is_separated_by_effects() -> None:
    """Cities 0-14 stop counting when the others begin to be observed: their last years fit any small number."""
    data = panel(4, mean=8.0)
    early, late = data["city_id"] < "0015", data["year"] >= 2014
    data = data[early | late]
    early, late = early[data.index], late[data.index]
    data["count"] = (data["count"] + 1).where(~(early & late), 0.0)
    ours = fit(data, "count", ["x", "z"])
    assert ours.separated_dropped == (early & late).sum()
    assert ours.observation_count == len(data) - ours.separated_dropped
    slopes, covariance, _ = on_dummies(data[~(early & late)], "count", ["x", "z"], "city_id", "year", "city_id")
    np.testing.assert_allclose(ours.estimates, slopes, rtol=1e-7)
    np.testing.assert_allclose(ours.covariance_matrix, covariance, rtol=1e-6)


def test_a_regressor_that_only_zeros_identify_is_named() -> None:
    data = panel(6)
    data["only"] = ((data["count"] == 0) & (data["year"] > 2013)).astype(float)
    zeros = int(data["only"].sum())
    with pytest.raises(NotEstimable) as caught:
        fit(data, "count", ["x", "only"])
    assert caught.value.reason.en == (
        f"A slope without end fits {zeros} rows of count, all zero, and they tell nothing of the others. Without them: "
        "Regressor only does not vary once the city_id and year effects are removed."
    )


# ---------------------------------------------------------------- what cannot be estimated


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "below zero": (
        lambda d: d.assign(count=d["count"].where(d["year"] != 2012, -5.0)),
        "Column count holds -5: a count is not below zero.",
    ),
    "no count": (lambda d: d.assign(count=0.0), "Column count has no count above zero."),
    "missing": (lambda d: d.assign(count=d["count"].where(d["year"] != 2012)), "Column count has "),
    "no rows": (lambda d: d.head(0), "The sample has no observations."),
    "one count": (
        lambda d: d.assign(count=(np.arange(len(d)) == 7).astype(float)),
        "No observations are left: every city_id or year of the 216 rows is a singleton.",
    ),
    "absorbed": (lambda d: d.assign(z=d["province"]), "Regressor z does not vary once the city_id and year effects"),
    "collinear": (lambda d: d.assign(z=2 * d["x"]), "Regressor z is a linear combination of x once"),
    "one cluster": (lambda d: d.assign(province=1), "Clustered errors need at least two values"),
    "two rows of a city and year": (lambda d: pd.concat([d, d.head(1)]), "city_id "),
    "missing city": (lambda d: d.assign(city_id=d["city_id"].where(d["city_id"] != "0003")), "Column city_id has "),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "one cluster": {"cluster": "province"},
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_says_why(case: str) -> None:
    change, reason = CASES[case]
    with pytest.raises(NotEstimable) as caught:
        fit(change(panel().sort_index()), "count", ["x", "z"], **OPTIONS.get(case, {}))
    assert caught.value.reason.en.startswith(reason)
    assert caught.value.reason.en.endswith(".")
