"""Weak instruments against linearmodels, explicit matrices, closed forms, a general optimiser, and truth."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS
from scipy import optimize, special, stats

from ai_manufacturing.estimators import dynamic_panel
from ai_manufacturing.estimators.dynamic_panel import Moments
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.weak_instruments import WEAK, ConditionalF, anderson_rubin, conditional_f
from tests.python.test_dynamic_panel import LIMITS, REGRESSORS, random_panel

pytestmark = pytest.mark.filterwarnings("error")


def found(moments: Moments) -> dict[tuple[str, str], ConditionalF]:
    return {(row.equation, row.term): row for row in conditional_f(moments)}


def rows_of(moments: Moments, equation: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Lagged regressors, those that stand for themselves, instruments and entities of one equation, row by row."""
    t = moments.differenced.shape[1]
    rows = slice(None, t) if equation == "difference" else slice(t, None)
    used = moments.differenced if equation == "difference" else moments.levels
    lags = moments.of_lags & (moments.of_levels if equation == "level" else ~moments.of_levels)
    x = pd.DataFrame(moments.x[:, rows][used], columns=list(moments.terms))
    own = x.drop(columns=list(moments.instrumented))
    z = pd.DataFrame(moments.z[:, rows][used][:, lags]).add_prefix("z")
    return x[list(moments.instrumented)], own.loc[:, (own != 0).any()], z, np.nonzero(used)[0]


# ---------------------------------------------------------------- conditional F


@pytest.mark.parametrize("equation", ["difference", "level"])
def test_with_one_lagged_regressor_it_is_the_first_stage_f_of_linearmodels(equation: str) -> None:
    moments = dynamic_panel.moments(random_panel(3), "y", ["m", "x", "w"], {"m": (2, 4)})
    endogenous, own, z, clusters = rows_of(moments, equation)
    fit = IV2SLS(pd.Series(np.random.default_rng(0).normal(size=len(z))), own, endogenous, z).fit(
        cov_type="clustered", clusters=clusters, debiased=False
    )
    theirs = fit.first_stage.diagnostics.loc["m"]
    ours = found(moments)[equation, "m"]
    assert (ours.df1, ours.df2) == (z.shape[1], 59)
    n, g = len(z), 60
    factor = (g - 1) / g * (n - z.shape[1] - own.shape[1]) / (n - 1)
    assert ours.statistic == pytest.approx(theirs["f.stat"] / z.shape[1] * factor, rel=1e-8)
    assert ours.p_value == pytest.approx(stats.f.sf(ours.statistic, ours.df1, ours.df2), rel=1e-9)


@pytest.mark.parametrize("equation", ["difference", "level"])
@pytest.mark.parametrize("term", ["L.y", "m"])
def test_with_two_it_is_what_two_stages_of_linearmodels_leave(equation: str, term: str) -> None:
    """One regressor on the other by IV2SLS, its residual on the instruments, and the best test that all are zero."""
    moments = dynamic_panel.moments(random_panel(3), "y", REGRESSORS, LIMITS)
    endogenous, own, z, clusters = rows_of(moments, equation)
    other = endogenous.drop(columns=term)
    two_stages = IV2SLS(endogenous[term], own, other, z).fit()
    everything = pd.concat([own, z], axis=1)
    first_stage = IV2SLS(two_stages.resids, everything, None, None).fit(cov_type="unadjusted")
    scores = pd.DataFrame(everything.to_numpy() * first_stage.resids.to_numpy()[:, None]).groupby(clusters).sum()
    weights = np.linalg.inv(scores.T @ scores)
    zx = everything.to_numpy().T @ pd.concat([own, other], axis=1).to_numpy()
    zy = everything.to_numpy().T @ endogenous[term].to_numpy()
    slopes = np.linalg.solve(zx.T @ weights @ zx, zx.T @ weights @ zy)
    distance = (zy - zx @ slopes) @ weights @ (zy - zx @ slopes)
    ours = found(moments)[equation, term]
    n, g, df1 = len(z), 60, z.shape[1] - 1
    factor = (g - 1) / g * (n - everything.shape[1]) / (n - 1)
    assert (ours.df1, ours.df2) == (df1, 59)
    assert ours.statistic == pytest.approx(distance / df1 * factor, rel=1e-6)


def test_the_f_of_the_system_is_that_of_explicit_matrices() -> None:
    moments = dynamic_panel.moments(random_panel(3), "y", REGRESSORS, LIMITS)
    n, rows, k = moments.x.shape
    x, z = moments.x.reshape(-1, k), moments.z.reshape(n * rows, -1)
    clusters = np.repeat(np.arange(n), rows)
    others = np.arange(k) != moments.terms.index("m")
    y, x = x[:, ~others][:, 0], x[:, others]

    def slopes(weights: np.ndarray) -> np.ndarray:
        return np.linalg.solve(x.T @ z @ weights @ z.T @ x, x.T @ z @ weights @ z.T @ y)

    e = y - x @ slopes(np.linalg.inv(z.T @ z))
    v = e - z @ np.linalg.lstsq(z, e, rcond=None)[0]
    scores = pd.DataFrame(z * v[:, None]).groupby(clusters).sum().to_numpy()
    weights = np.linalg.inv(scores.T @ scores)
    g = z.T @ (y - x @ slopes(weights))
    used = int(moments.differenced.sum() + moments.levels.sum())
    df1 = z.shape[1] - k + 1
    ours = found(moments)["system", "m"]
    factor = (n - 1) / n * (used - z.shape[1]) / (used - 1)
    assert ours.df1 == df1
    assert ours.statistic == pytest.approx(g @ weights @ g / df1 * factor, rel=1e-6)


def test_lags_of_noise_are_weak_and_said_to_be() -> None:
    rng = np.random.default_rng(0)
    data = random_panel(3, cities=300, gaps=0)
    walk = data.assign(m=rng.normal(size=len(data))).sort_values(["city_id", "year"])
    walk["m"] = walk.groupby("city_id")["m"].cumsum()
    ours = found(dynamic_panel.moments(walk, "y", ["m", "x"], {"m": (2, 4)}))["difference", "m"]
    assert ours.statistic is not None
    assert ours.p_value is not None
    assert ours.statistic < WEAK
    assert ours.p_value > 0.01
    assert [warning.en for warning in ours.warnings] == [
        f"Weak instruments of m in the difference equation: F {ours.statistic:.1f}, below 10."
    ]
    strong = found(dynamic_panel.moments(data, "y", ["m", "x"], {"m": (2, 4)}))["difference", "m"]
    assert strong.statistic is not None
    assert strong.statistic > WEAK
    assert strong.warnings == ()


def test_two_regressors_that_lags_cannot_tell_apart_are_weak_one_by_one() -> None:
    """Each has a strong first stage of its own; only the conditional F sees that the two have the same one."""
    data = random_panel(3, cities=300, gaps=0)
    data["twin"] = data["m"] + 0.3 * np.random.default_rng(1).normal(size=len(data))
    both = found(dynamic_panel.moments(data, "y", ["m", "twin"], {"m": (2, 4), "twin": (2, 4)}))
    alone = found(dynamic_panel.moments(data, "y", ["m"], {"m": (2, 4)}))["difference", "m"]
    assert alone.statistic is not None
    assert alone.statistic > WEAK
    for term in ("m", "twin"):
        statistic = both["difference", term].statistic
        assert statistic is not None
        assert statistic < 5


def test_an_equation_without_the_instruments_has_its_reason_and_the_others_their_f() -> None:
    """One level instrument for two regressors: the lag and the measure itself."""
    ours = found(dynamic_panel.moments(random_panel(3), "y", ["L.m", "m", "x"], {"m": (2, 5)}))
    level = ours["level", "m"]
    assert level.statistic is level.df1 is level.p_value is None
    assert [warning.en for warning in level.warnings] == ["There are 9 independent instruments for 10 terms."]
    assert ours["difference", "m"].df1 == 3
    assert ours["system", "m"].df1 == 4


def test_no_lag_instrument_or_too_few_cities_say_so() -> None:
    with pytest.raises(NotEstimable, match="No regressor is instrumented by lags"):
        conditional_f(dynamic_panel.moments(random_panel(3), "y", ["x"], {}))
    few = dynamic_panel.moments(
        random_panel(3, cities=25), "y", REGRESSORS, {"y": (2, None), "m": (2, None)}, collapse=False
    )
    assert found(few)["system", "m"].warnings[0].en.endswith("moments is singular; there are 25 values of city_id.")
    with pytest.raises(NotEstimable, match="moments is singular; there are 25 values of city_id"):
        anderson_rubin(few, 1)


# ---------------------------------------------------------------- Anderson-Rubin


def test_with_one_moment_and_one_slope_it_is_fiellers_set() -> None:
    """(sum of a - b c)^2 <= 3.84 sum of (a - b c)^2 over cities is a quadratic inequality in b."""
    data = random_panel(3)
    moments = dynamic_panel.moments(data, "y", ["m"], {"m": (2, 2)}, equation="difference", time_dummies=False)
    ours = anderson_rubin(moments, 0)
    a, c = moments.zy[:, 0], moments.zx[:, 0, 0]
    critical = special.chdtri(1, 0.05)
    roots = np.roots(
        [
            c.sum() ** 2 - critical * c @ c,
            -2 * (a.sum() * c.sum() - critical * a @ c),
            a.sum() ** 2 - critical * a @ a,
        ]
    )
    np.testing.assert_allclose([ours.conf_low, ours.conf_high], sorted(roots.real * moments.units[0]), rtol=1e-6)
    assert ours.statistic == pytest.approx(a.sum() ** 2 / (a @ a), rel=1e-9)
    assert ours.degrees_of_freedom == 1
    assert ours.p_value == pytest.approx(stats.chi2.sf(ours.statistic, 1), rel=1e-9)
    assert ours.estimate == pytest.approx(a.sum() / c.sum() * moments.units[0], rel=1e-9)


def objective(moments: Moments, position: int, value: float) -> float:
    """Minimise over the other slopes by a general optimiser, with every matrix written out."""
    others = np.arange(len(moments.terms)) != position
    zy = moments.zy - moments.zx[..., position] * value / moments.units[position]
    zx = moments.zx[..., others]

    def s(slopes: np.ndarray) -> float:
        g = zy - zx @ slopes
        return float(g.sum(axis=0) @ np.linalg.solve(g.T @ g, g.sum(axis=0)))

    start = np.linalg.lstsq(zx.sum(axis=0), zy.sum(axis=0), rcond=None)[0]
    return min(optimize.minimize(s, start * factor, method="BFGS", tol=1e-9).fun for factor in (0.0, 1.0))


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("equation", ["system", "difference"])
def test_the_set_ends_where_a_general_optimiser_finds_the_critical_value(
    equation: Literal["system", "difference"],
) -> None:
    data = random_panel(4, cities=80, years=6)
    moments = dynamic_panel.moments(data, "y", ["L.y", "m", "x"], {"y": (2, 3), "m": (2, 3)}, equation=equation)
    ours = anderson_rubin(moments, 1)
    instruments = moments.z.shape[2]
    assert ours.degrees_of_freedom == instruments - (len(moments.terms) - 2)
    assert ours.statistic == pytest.approx(objective(moments, 1, 0.0), rel=1e-4)
    critical = stats.chi2.isf(0.05, ours.degrees_of_freedom)
    assert ours.conf_low is not None
    assert ours.conf_high is not None
    for end in (ours.conf_low, ours.conf_high):
        assert objective(moments, 1, end) == pytest.approx(critical, rel=1e-4)
    assert ours.conf_low < ours.estimate < ours.conf_high


def test_the_truth_is_in_the_set_as_often_as_it_should_be() -> None:
    """At least 95 of 100; more than three misses of 25 have a probability below .04."""
    misses = 0
    for seed in range(25):
        moments = dynamic_panel.moments(random_panel(2000 + seed, cities=120, years=6), "y", REGRESSORS, LIMITS)
        ours = anderson_rubin(moments, 1)
        assert ours.conf_low is not None
        assert ours.conf_high is not None
        misses += not ours.conf_low <= 0.3 <= ours.conf_high
    assert misses <= 3


def said(moments: Moments, position: int) -> list[str]:
    return [warning.en for warning in anderson_rubin(moments, position).warnings]


def test_instruments_that_say_nothing_leave_the_slope_unbounded() -> None:
    rng = np.random.default_rng(2)
    data = random_panel(3, gaps=0)
    data["m"] = rng.normal(size=len(data))
    data = data.sort_values(["city_id", "year"])
    data["m"] = data.groupby("city_id")["m"].cumsum()
    moments = dynamic_panel.moments(data, "y", ["m", "x"], {"m": (2, 3)}, equation="difference")
    ours = anderson_rubin(moments, 0)
    assert (ours.conf_low, ours.conf_high) == (-np.inf, np.inf)
    assert said(moments, 0) == ["The moments do not bound m: its instruments are too weak."]


def test_instruments_that_are_not_valid_leave_no_value() -> None:
    """m is endogenous: its first lag is no instrument of the difference equation."""
    moments = dynamic_panel.moments(random_panel(1, cities=600), "y", REGRESSORS, {"y": (2, 4), "m": (1, 4)})
    ours = anderson_rubin(moments, 1)
    assert ours.conf_low is ours.conf_high is None
    assert said(moments, 1) == ["No value of m is compatible with the moments: they are rejected whatever it is."]


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_units_only_rescale_the_set(scale: float) -> None:
    data = random_panel(5)
    options: dict[str, Any] = {"regressors": ["L.y", "m"], "lag_limits": {"y": (2, 3), "m": (2, 3)}}
    plain = anderson_rubin(dynamic_panel.moments(data, "y", **options), 1)
    ours = anderson_rubin(dynamic_panel.moments(data.assign(m=data["m"] * scale), "y", **options), 1)
    assert plain.conf_low is not None
    assert ours.conf_low is not None
    assert ours.conf_low * scale == pytest.approx(plain.conf_low, rel=1e-6)
    assert ours.p_value == pytest.approx(plain.p_value, rel=1e-6)


def test_whatever_the_sample_the_answer_is_a_test_or_a_reason() -> None:
    """Small random samples with few distinct values; the later seeds drive slopes to infinity."""
    tests, reasons = 0, 0
    for seed in (*range(1, 30, 2), 190, 320, 321):
        rng = np.random.default_rng(seed)
        grid = pd.MultiIndex.from_product([range(rng.integers(2, 60)), range(rng.integers(3, 9))])
        data = grid.to_frame(index=False, name=["city_id", "year"])
        data = data[rng.random(len(data)) < rng.uniform(0.5, 1)]
        for name in ("y", "m", "x"):
            data[name] = rng.integers(0, 3, len(data)) if seed % 2 else rng.normal(size=len(data))
        equation = rng.choice(["system", "difference"])
        try:
            moments = dynamic_panel.moments(
                data, "y", ["L.y", "m", "x"], {"y": (2, None), "m": (1, 2)}, equation=equation
            )
            assert all(row.statistic is not None or row.warnings for row in conditional_f(moments))
            ours = anderson_rubin(moments, 1)
        except NotEstimable:
            reasons += 1
            continue
        tests += 1
        assert np.isfinite([ours.estimate, ours.statistic, ours.p_value]).all()
        assert (ours.conf_low is None) == (ours.conf_high is None)
    assert tests >= 5
    assert reasons >= 3
