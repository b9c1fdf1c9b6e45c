"""Test Poisson regression with two-way fixed effects against statsmodels with dummy variables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, stats

from ai_manufacturing.robustness.poisson import fit
from tests.python.estimator_tools import (
    changed,
    golden_data,
    random_panel,
    refusal,
    without_singletons,
)


def panel(seed: int = 1, *, mean: float = 2.0) -> pd.DataFrame:
    """Return a simulated unbalanced panel of overdispersed counts."""
    rng = np.random.default_rng(seed)
    data = random_panel(seed, provinces=10).sort_index()
    errors = rng.gamma(5, 0.2, size=len(data))
    predictor = 0.5 * data["x1"] - 0.3 * data["x2"] + np.sin(data["city_id"]) / 2
    data["count"] = rng.poisson(mean * np.exp(predictor.clip(-2, 2)) * errors).astype(float)
    return data


def assert_agrees(
    data: pd.DataFrame,
    used: pd.DataFrame,
    outcome: str = "count",
    regressors: Sequence[str] = ("x1", "x2"),
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> None:
    """Compare with a Poisson GLM on all dummies, using fixest's small-sample correction."""
    dummies = np.column_stack(
        [pd.get_dummies(used[name], dtype=float) for name in ("city_id", time)]
    )
    _, strengths, order = linalg.qr(dummies, mode="economic", pivoting=True)
    independent = order[np.abs(np.diag(strengths)) > 1e-9]
    groups = pd.factorize(used[cluster])[0]
    x = np.column_stack([used[[*regressors]], dummies[:, independent]])
    fitted = sm.GLM(used[outcome].to_numpy(), x, family=sm.families.Poisson()).fit(
        tol=1e-13,
        maxiter=200,
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": False},
    )
    k, n, clusters = len(regressors), len(used), groups.max() + 1
    factor = clusters / (clusters - 1) * (n - 1) / (n - k - used[time].nunique())
    slopes, errors = fitted.params[:k], np.sqrt(factor) * fitted.bse[:k]
    expected = {
        "estimates": slopes,
        "std_errors": errors,
        "p_values": 2 * stats.norm.sf(np.abs(slopes / errors)),
        "conf_high": slopes + stats.norm.ppf(0.975) * errors,
        "observation_count": n,
        "city_count": used["city_id"].nunique(),
        "cluster_count": clusters,
    }
    ours = fit(data, outcome, regressors, time=time, cluster=cluster)
    for name, value in expected.items():
        assert_allclose(getattr(ours, name), value, rtol=1e-7, err_msg=name)


def test_arellano_and_bonds_firms_agree_with_a_regression_on_all_dummies() -> None:
    """The Arellano-Bond panel is unbalanced, and its outcome (employment) is not an integer."""
    data = golden_data("abdata")
    assert_agrees(data, data, "emp", ["wage", "capital"])


@pytest.mark.parametrize("options", [{"cluster": "province"}, {"time": "province_year"}], ids=str)
def test_counts_with_zeros_agree_with_a_regression_on_all_dummies(options: dict[str, str]) -> None:
    data = panel()
    positive = data.groupby(options.get("time", "year"))["count"].transform("sum") > 0
    used = without_singletons(data[positive], time=options.get("time", "year"))
    assert (used["count"] == 0).mean() > 0.1
    assert_agrees(data, used, **options)


def test_an_exact_fit_has_no_error() -> None:
    data = panel()
    data["count"] = np.exp(0.5 * data["x1"] + data["city_id"] / 9 + np.cos(data["year"]))
    ours = fit(data, "count", ["x1", "x2"])
    assert_allclose(ours.estimates, [0.5, 0], atol=1e-9)
    assert_array_equal(ours.std_errors, [0, 0])
    assert np.isnan(ours.p_values).all()


def test_cities_and_years_without_a_count_and_singletons_are_dropped_until_none_is_left() -> None:
    """Cities 1 and 2 and the year 2019 have only zeros, which leaves city 4 with a single row."""
    data = panel(3, mean=8.0)
    data["count"] = (data["count"] + 1).where(~data["city_id"].isin([1, 2]), 0.0)
    data = data[(data["city_id"] != 4) | data["year"].isin([2012, 2019])]
    alone = data.iloc[:2].assign(city_id=4, year=[2012, 2019], count=3.0)
    data = pd.concat([data[data["city_id"] != 4], alone], ignore_index=True)
    data.loc[data["year"] == 2019, "count"] = 0.0
    used = data[~data["city_id"].isin([1, 2, 4]) & (data["year"] != 2019)]

    assert_agrees(data, used)
    ours = fit(data, "count", ["x1", "x2"])
    # The remaining row of city 4 is a singleton and does not count as separated.
    dropped = len(data) - len(used) - 1
    assert ours.separated_dropped == dropped
    (warning,) = ours.warnings
    assert warning.en.startswith(f"{dropped} rows are dropped: Poisson fits them with a count")


def test_a_block_that_only_zeros_link_to_the_rest_is_separated_by_effects() -> None:
    """Cities 0-14 have only zeros from 2016 on, so fixed effects fit these rows perfectly."""
    data = panel(4, mean=8.0)
    early, late = data["city_id"] < 15, data["year"] >= 2016
    data["count"] = (data["count"] + 1).where(~(early & late), 0.0)
    data = data[early | late]
    block = early & late
    assert fit(data, "count", ["x1", "x2"]).separated_dropped == block.sum()
    assert_agrees(data, data[~block[data.index]])


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (
            "x2 = 1 * (count == 0 and year > 2015)",
            ("rows of count, all of them zero, so these rows contain no", "Regressor x2 does"),
        ),
        ("count = -5", ("Column count contains -5, but a count cannot be negative.",)),
        ("count = 0", ("Column count has no count above zero.",)),
        (
            "count = 1 * (city_id == 7 and year == 2012)",
            ("An infinite slope fits ", "Without them: No observations are left"),
        ),
    ],
)
def test_what_cannot_be_estimated_says_why(change: str, reasons: tuple[str, ...]) -> None:
    reason = refusal(fit, changed(panel(6), change), "count", ["x1", "x2"])
    assert [part for part in reasons if part not in reason] == []
