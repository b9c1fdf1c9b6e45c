"""Slopes of a regressor and its permutations, and what all specifications say together."""

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, specification_curve
from ai_manufacturing.estimators.not_estimable import NotEstimable


def panel() -> pd.DataFrame:
    """Return an unbalanced panel: 24 cities in 6 provinces, 7 years, a regressor in three versions."""
    rng = np.random.default_rng(7)
    city, year = (grid.ravel() for grid in np.meshgrid(np.arange(24), np.arange(2010, 2017), indexing="ij"))
    data = pd.DataFrame({"city_id": city, "year": year, "province_id": city // 4})
    data = data.assign(**{name: rng.normal(size=len(data)) for name in ("y", "x0", "x1", "x2", "z")})
    return data.sample(frac=0.85, random_state=1).sort_values(["city_id", "year"], ignore_index=True)


def test_each_column_is_a_regression_with_errors_by_city_and_by_province() -> None:
    data, versions = panel(), ["x0", "x1", "x2"]
    codes = {name: pd.factorize(data[name], sort=True)[0] for name in ("city_id", "year")}
    effects = fixed_effects.Effects(codes["city_id"], codes["year"])
    y, z, x = (effects.removed_from(data[names].to_numpy()) for names in (["y"], ["z"], versions))
    clusters = {"city": np.arange(24), "province": np.arange(24) // 4}
    found = specification_curve.slopes(effects, y[:, 0], z, x, clusters, data["year"].nunique())
    for j, name in enumerate(versions):
        for cluster, column in (("city", "city_id"), ("province", "province_id")):
            fit = fixed_effects.fit(data, "y", [name, "z"], cluster=column)
            assert found.estimates[j] == pytest.approx(fit.estimates[0], rel=1e-9)
            assert found.std_errors[cluster][j] == pytest.approx(fit.std_errors[0], rel=1e-9)
            assert found.p_values(cluster)[j] == pytest.approx(fit.p_values[0], rel=1e-8)
    doubled = specification_curve.slopes(effects, 5 * y[:, 0], z, 2 * x, clusters, data["year"].nunique())
    np.testing.assert_allclose(doubled.standardised, found.standardised)


def test_joint_statistics_are_those_counted_by_hand() -> None:
    """Three specifications, the sample and four permutations."""
    standardised = np.array([[0.3, 0.1, -0.2, 0.3, 0.0], [0.2, 0.2, -0.1, -0.1, 0.1], [0.4, -0.3, 0.3, 0.5, 0.2]])
    p_values = np.array([[0.01, 0.2, 0.04, 0.01, 0.9], [0.20, 0.04, 0.3, 0.6, 0.04], [0.03, 0.01, 0.02, 0.02, 0.8]])
    found = {test.statistic: test for test in specification_curve.joint_tests(standardised, p_values)}
    # medians: .3, and .1, -.1, .3, .1 permuted: one of four is as far from zero
    assert (found["median_estimate"].observed, found["median_estimate"].p_value) == (0.3, pytest.approx(2 / 5))
    # with the sign of the own median: 3 of 3, and 2, 2, 2, 2 of 3
    assert (found["share_of_sign"].observed, found["share_of_sign"].p_value) == (1.0, pytest.approx(1 / 5))
    # of this sign with p below .05: 2 of 3, and 1, 1, 2, 1 of 3
    assert found["share_significant"].observed == pytest.approx(2 / 3)
    assert found["share_significant"].p_value == pytest.approx(2 / 5)
    assert found["share_significant"].permuted_mean == pytest.approx(5 / 12)


@pytest.mark.parametrize("shape", [(0, 5), (3, 1)])
def test_nothing_to_test_is_said(shape: tuple[int, int]) -> None:
    with pytest.raises(NotEstimable, match="CURVE_PERMUTATIONS"):
        specification_curve.joint_tests(np.zeros(shape), np.ones(shape))
