"""Bounds for the lagged outcome, against printed numbers, a second route, and truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from ai_manufacturing.estimators import dynamic_panel, fixed_effects
from ai_manufacturing.estimators.lag_bounds import bounds
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import second_route
from tests.python.test_dynamic_panel import LIMITS, REGRESSORS, random_panel

GOLDEN = Path(__file__).parent / "golden"
EMPLOYMENT = ["L.n", "L2.n", "w", "L.w", "k", "L.k", "L2.k", "ys", "L.ys", "L2.ys"]

pytestmark = pytest.mark.filterwarnings("error")


def test_the_bounds_of_the_employment_data_are_those_that_roodman_prints() -> None:
    """Roodman (2009), section 2: 1.045 by OLS, .733 by least squares with firm dummies."""
    found = bounds(pd.read_csv(GOLDEN / "abdata.csv").rename(columns={"firm": "city_id"}), "n", EMPLOYMENT)
    assert found.term == "L.n"
    assert round(found.pooled_ols.estimate, 3) == 1.045
    assert round(found.within.estimate, 3) == 0.733


def test_both_estimates_and_their_errors_agree_with_a_second_route() -> None:
    data = random_panel(2).assign(y=lambda d: 1e3 * d["y"])
    ours = bounds(data, "y", REGRESSORS)
    rows = data.merge(
        data.assign(year=data["year"] + 1)[["city_id", "year", "y"]].rename(columns={"y": "L.y"}),
        on=["city_id", "year"],
    ).sort_values(["city_id", "year"])
    years = pd.get_dummies(rows["year"], dtype=float)
    least_squares = sm.OLS(rows["y"], pd.concat([rows[REGRESSORS], years], axis=1)).fit(
        cov_type="cluster", cov_kwds={"groups": rows["city_id"]}
    )
    low, high = least_squares.conf_int().loc["L.y"]
    assert ours.pooled_ols.estimate == pytest.approx(least_squares.params["L.y"], rel=1e-9)
    assert ours.pooled_ols.std_error == pytest.approx(least_squares.bse["L.y"], rel=1e-9)
    assert ours.pooled_ols.degrees_of_freedom == rows["city_id"].nunique() - 1 == 59
    # statsmodels takes the interval from the normal distribution.
    assert low > (ours.pooled_ols.conf_low or np.inf) > low - 0.1 * ours.pooled_ols.std_error
    assert high < (ours.pooled_ols.conf_high or -np.inf) < high + 0.1 * ours.pooled_ols.std_error
    codes = [pd.factorize(rows[name])[0] for name in ("city_id", "year")]
    within = second_route.by_panel_ols(rows.iloc[fixed_effects.rows_without_singletons(*codes)], "y", REGRESSORS)
    assert ours.within.estimate == pytest.approx(within[0][0], rel=1e-9)
    assert ours.within.std_error == pytest.approx(within[1][0], rel=1e-9)


def test_the_truth_lies_between_the_bounds_and_a_sound_estimate_is_not_warned_of() -> None:
    data = random_panel(1, cities=300)
    found = bounds(data, "y", REGRESSORS)
    assert found.within.conf_high is not None
    assert found.pooled_ols.conf_low is not None
    assert found.within.conf_high < 0.5 < found.pooled_ols.conf_low
    assert found.warnings(dynamic_panel.fit(data, "y", REGRESSORS, LIMITS)) == ()


def test_an_estimate_outside_the_bounds_is_told_with_its_bounds() -> None:
    """m is made from y itself and instruments itself: it takes the slope from the lag."""
    data = random_panel(1, cities=300).assign(m=lambda d: d["m"] + 0.9 * d["y"])
    found = bounds(data, "y", ["L.y", "m"])
    biased = dynamic_panel.fit(data, "y", ["L.y", "m"], {"y": (2, 4)})
    estimate = biased.estimates[0]
    assert estimate < found.within.estimate
    assert [warning.en for warning in found.warnings(biased)] == [
        f"L.y is {estimate:.3f}, outside {found.within.estimate:.3f} (within) to {found.pooled_ols.estimate:.3f} "
        "(pooled OLS), where a consistent estimate lies, up to chance."
    ]


def test_a_panel_without_the_lag_has_no_bounds() -> None:
    with pytest.raises(NotEstimable, match="No lag of the outcome y is a regressor"):
        bounds(random_panel(1), "y", ["L2.y", "m"])
    with pytest.raises(NotEstimable, match="linear combination"):
        bounds(random_panel(1).assign(w=lambda d: 2 * d["m"]), "y", REGRESSORS)
