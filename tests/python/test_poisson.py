"""Poisson with two effects against statsmodels' on all dummies, separation by hand, and truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, stats

from ai_manufacturing.robustness.poisson import fit
from tests.python.estimator_tools import changed, golden_data, grid, refusal

pytestmark = pytest.mark.filterwarnings("error")


def panel(seed: int = 1, *, mean: float = 2.0) -> pd.DataFrame:
    """Return an unbalanced panel of counts, overdispersed, with slopes .5 and -.3."""
    rng = np.random.default_rng(seed)
    data = grid((f"{c:04d}" for c in range(30)), range(2010, 2018))
    city, since = data["city_id"].astype(int), data["year"] - 2010
    data["province"] = city // 3
    data["province_year"] = (city // 10).astype(str) + data["year"].astype(str)
    data["x"] = rng.normal(size=len(data)) + city / 20
    data["z"] = rng.normal(size=len(data)) + since / 5
    spread = rng.gamma(5, 0.2, size=len(data))
    predictor = 0.5 * data["x"] - 0.3 * data["z"] + np.log(mean) + np.sin(city) / 2 + since / 10
    data["count"] = rng.poisson(np.exp(predictor - 0.3) * spread).astype(float)
    return data.sample(frac=0.9, random_state=seed)


def on_dummies(
    data: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    time: str,
    cluster: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and errors, with fixest's factor, of statsmodels' Poisson on all dummies."""
    effects = ("city_id", time)
    dummies = np.column_stack([pd.get_dummies(data[name], dtype=float) for name in effects])
    _, strengths, order = linalg.qr(dummies, mode="economic", pivoting=True)
    independent = order[np.abs(np.diag(strengths)) > 1e-9]
    x = np.column_stack([data[list(regressors)], dummies[:, independent]])
    groups = pd.factorize(data[cluster])[0]
    fitted = sm.GLM(data[outcome].to_numpy(), x, family=sm.families.Poisson()).fit(
        tol=1e-13,
        maxiter=200,
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": False},
    )
    k, n, clusters = len(regressors), len(data), groups.max() + 1
    factor = clusters / (clusters - 1) * (n - 1) / (n - k - data[time].nunique())
    return fitted.params[:k], np.sqrt(factor) * fitted.bse[:k]


def assert_agrees(
    data: pd.DataFrame,
    used: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> None:
    slopes, errors = on_dummies(used, outcome, regressors, time, cluster)
    ours = fit(data, outcome, regressors, time=time, cluster=cluster)
    assert_allclose(ours.estimates, slopes, rtol=1e-8)
    assert_allclose(ours.std_errors, errors, rtol=1e-8)
    assert_allclose(ours.p_values, 2 * stats.norm.sf(np.abs(slopes / errors)), rtol=1e-6)
    assert_allclose(ours.conf_high, slopes + stats.norm.ppf(0.975) * errors, rtol=1e-7)
    assert ours.observation_count == len(used)
    assert ours.city_count == used["city_id"].nunique()
    assert ours.cluster_count == used[cluster].nunique()


def test_arellano_and_bonds_firms_agree_with_a_regression_on_all_dummies() -> None:
    """Unbalanced, and the outcome is not whole: employment in thousands."""
    data = golden_data("abdata")
    assert_agrees(data, data, "emp", ["wage", "capital"])


@pytest.mark.parametrize("options", [{"cluster": "province"}, {"time": "province_year"}], ids=str)
def test_counts_with_zeros_agree_with_a_regression_on_all_dummies(options: dict[str, str]) -> None:
    data = panel()
    assert (data["count"] == 0).mean() > 0.1
    assert_agrees(data, data, "count", ["x", "z"], **options)


def test_an_exact_fit_has_no_error() -> None:
    data = panel()
    data["count"] = np.exp(0.5 * data["x"] + data["city_id"].astype(int) / 9 + np.cos(data["year"]))
    ours = fit(data, "count", ["x", "z"])
    assert_allclose(ours.estimates, [0.5, 0], atol=1e-9)
    assert_array_equal(ours.std_errors, [0, 0])
    assert np.isnan(ours.p_values).all()


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
    # 0004 in 2010 is a singleton once 2017 is gone.
    assert ours.separated_dropped == lost - 1
    assert ours.warnings[0].en.startswith(
        f"{lost - 1} rows are dropped: Poisson fits them by a count",
    )


def test_a_block_that_only_zeros_link_to_the_rest_is_separated_by_effects() -> None:
    """Cities 0-14 stop counting when the others begin: their last years fit any small number."""
    data = panel(4, mean=8.0)
    early, late = data["city_id"] < "0015", data["year"] >= 2014
    data = data[early | late]
    early, late = early[data.index], late[data.index]
    data["count"] = (data["count"] + 1).where(~(early & late), 0.0)
    assert fit(data, "count", ["x", "z"]).separated_dropped == (early & late).sum()
    assert_agrees(data, data[~(early & late)], "count", ["x", "z"])


def test_a_regressor_that_only_zeros_identify_is_named() -> None:
    data = panel(6)
    data["only"] = ((data["count"] == 0) & (data["year"] > 2013)).astype(float)
    assert refusal(fit, data, "count", ["x", "only"]) == (
        f"A slope without end fits {data['only'].sum():.0f} rows of count, all zero, and they tell "
        "nothing of the others. Without them: Regressor only does not vary once the city_id and "
        "year effects are removed."
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"count": lambda d: d["count"].where(d["year"] != 2012, -5.0)},
            "Column count holds -5: a count is not below zero.",
        ),
        ({"count": 0.0}, "Column count has no count above zero."),
        (
            {"count": lambda d: np.arange(len(d)) == 7},
            "A slope without end fits 209 rows of count, all zero, and they tell nothing of the"
            " others. Without them: No observations are left: every city_id or year of the 7 rows"
            " is a singleton.",
        ),
        (
            {"z": lambda d: d["province"]},
            "Regressor z does not vary once the city_id and year effects are removed.",
        ),
    ],
)
def test_what_cannot_be_estimated_says_why(change: str | dict[str, Any], reason: str) -> None:
    assert refusal(fit, changed(panel(), change), "count", ["x", "z"]) == reason
