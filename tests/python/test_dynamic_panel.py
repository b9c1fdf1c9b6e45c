"""Tests for the dynamic-panel GMM estimator against xtabond2, plm and explicit matrices."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import signal, stats

from ai_manufacturing.estimators import dynamic_panel
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.dynamic_panel import (
    Controls,
    DynamicPanelFit,
    build_moments,
    run_gmm_step,
)
from tests.python.estimator_tools import (
    approx,
    changed,
    golden,
    golden_data,
    grid,
    refusal,
)

RECORDS: dict[str, dict[str, Any]] = {record["id"]: record for record in golden("gmm")}
PLM = [name for name in RECORDS if name.startswith("plm")]
# Half a unit of the seventh decimal place, to which Stata rounds its output.
LAST_DIGIT = 5.1e-8
TESTS = (
    "hansen_statistic",
    "sargan_statistic",
    "level_hansen_statistic",
    "ar1_statistic",
    "ar2_statistic",
)


def golden_fit(record: dict[str, Any], data: pd.DataFrame) -> DynamicPanelFit:
    options = {name: record[name] for name in ("equation", "steps", "collapse")}
    limits = record["lag_limits"]
    return dynamic_panel.fit(
        data,
        record["outcome"],
        record["regressors"],
        limits,
        **options,
    )


def single_precision() -> pd.DataFrame:
    """Return Stata's data set abdata with its logarithms in single precision."""
    data = golden_data("abdata")
    logs = np.log(data[["emp", "wage", "capital", "output"]].astype("float32").astype(float))
    return data.assign(**dict(zip(("n", "w", "k", "ys"), logs.to_numpy("float32").T, strict=True)))


@pytest.mark.parametrize("name", PLM)
def test_plm_is_matched_to_ten_digits(name: str) -> None:
    record = RECORDS[name]
    ours = golden_fit(record, golden_data("abdata"))
    place = [ours.terms.index(term) for term in record["coef"]]
    assert sorted(place) == [*range(len(ours.terms))]
    assert_allclose(ours.estimates[place], [*record["coef"].values()], rtol=0, atol=1e-10)
    assert_allclose(ours.std_errors[place], [*record["se"].values()], rtol=0, atol=1e-10)
    assert ours.instrument_count == record["instruments"]
    assert ours.tests["hansen_df"] == record["sargan"]["df"]
    # For one-step estimates, plm reports a different statistic, based on one-step residuals and the
    # two-step matrix.
    if record["steps"] == 2:
        assert ours.tests["hansen_statistic"] == approx(record["sargan"]["stat"], rel=1e-9)
        assert ours.tests["hansen_p_value"] == approx(record["sargan"]["p"], rel=1e-8)
    # plm defines the AR tests of system GMM differently; the next test compares them with xtabond2.
    if record["equation"] == "difference":
        for order in ("ar1", "ar2"):
            assert ours.tests[f"{order}_statistic"] == approx(record[order]["z"], rel=1e-8)
            assert ours.tests[f"{order}_p_value"] == approx(record[order]["p"], rel=1e-7)


def test_xtabond2_is_matched_to_the_printed_digits() -> None:
    """Estimates and tests equal the xtabond2 output that Roodman published.

    Roodman's table uses 1984 as base year and a small-sample factor; both are applied here.
    """
    record = RECORDS["roodman-system"]
    ours = golden_fit(record, single_precision())
    rows = [{term: 1.0} for term in record["regressors"]]
    rows += [{f"year {t}": 1.0, "year 1984": -1.0} for t in range(1977, 1984)]
    rows += [{"constant": 1.0, "year 1984": 1.0}]
    matrix = np.array([[row.get(term, 0.0) for term in ours.terms] for row in rows])
    n, k, g = record["N"], len(ours.terms), record["groups"]
    factor = np.sqrt(n / (n - k + 1) * g / (g - 1))
    errors = factor * np.sqrt(np.diag(matrix @ ours.covariance_matrix @ matrix.T))
    assert_allclose(matrix @ ours.estimates, [*record["coef"].values()], rtol=0, atol=LAST_DIGIT)
    assert_allclose(errors, [*record["se"].values()], rtol=0, atol=LAST_DIGIT)

    counts = (ours.observation_count, ours.city_count, ours.instrument_count)
    assert counts == (n, g, record["instruments"])

    def rounded(test: str) -> list[float]:
        names = (f"{test}_{part}" for part in ("statistic", "df", "p_value"))
        return [
            round(ours.tests[name], digits) for name, digits in zip(names, (2, 0, 3), strict=True)
        ]

    assert rounded("hansen") == record["hansen"]
    assert rounded("level_hansen") == record["diff_hansen_levels"]
    # The xtabond2 version of 2009 divided the error variance by the number of level rows. Later
    # versions use the number of difference rows, one fewer per firm.
    sargan = round(ours.tests["sargan_statistic"] * n / (n - g), 1)
    assert [sargan, ours.tests["sargan_df"]] == record["sargan"]
    for order in ("ar1", "ar2"):
        assert round(ours.tests[f"{order}_statistic"], 2) == record[order]


def random_panel(seed: int, cities: int = 60, years: int = 8, gaps: float = 0.1) -> pd.DataFrame:
    """Return a panel of autocorrelated variables with city effects and randomly missing rows."""
    rng = np.random.default_rng(seed)
    data = grid(range(cities), range(2010, 2010 + years))
    shocks = rng.normal(size=(4, cities, 1)) + rng.normal(size=(4, cities, years))
    y, m, x, w = signal.lfilter([1.0], [1.0, -0.5], shocks).reshape(4, -1)
    data = data.assign(y=y + 0.3 * m + 0.2 * x - 0.1 * w, m=m + 0.4 * shocks[0].ravel(), x=x, w=w)
    return data[rng.random(len(data)) >= gaps].sample(frac=1, random_state=seed)


REGRESSORS = ["L.y", "m", "x", "w"]
LIMITS: dict[str, tuple[int, int | None]] = {"y": (2, 4), "m": (2, 4)}
fit = partial(dynamic_panel.fit, outcome="y", regressors=REGRESSORS, lag_limits=LIMITS)


@pytest.mark.parametrize("controls", ["difference", "both"])
def test_gmm_written_out_agrees_where_rows_are_missing(controls: Controls) -> None:
    """Estimates on a panel with gaps equal GMM computed from explicit matrices.

    Rows of the difference equation precede rows of the level equation.

    Z has a column for each instrument, and B = [D; I]. With independent errors, the moments have
    covariance (B'Z)'(B'Z).
    """
    data = random_panel(3, cities=110, years=6)
    data["x"] = data["x"].where(np.random.default_rng(1).random(len(data)) < 0.97)
    wide = [data.pivot_table(name, "city_id", "year").to_numpy() for name in "ymxw"]

    def lag(values: Floats, distance: int = 1) -> Floats:
        before = np.full_like(values, np.nan)
        before[:, distance:] = values[:, :-distance]
        return before

    y, m, x, w = wide
    # A row without x still provides the lagged outcome of the next year.
    is_level = np.isfinite(y + lag(y) + x)
    is_change = np.isfinite(y + lag(y) + x + lag(y, 2) + lag(x))

    def rows_of(of_changes: Floats, of_levels: Floats) -> Floats:
        stacked: Floats = np.nan_to_num(
            np.concatenate([of_changes[is_change], of_levels[is_level]])
        )
        return stacked

    def both(values: Floats) -> Floats:
        return rows_of(values - lag(values), values)

    zero = np.zeros_like(y)
    years = [rows_of(zero, zero + column) for column in np.eye(6)[2:]]
    years.append(rows_of(zero, zero + 1))
    # Year effects are regressors in both equations, but instruments only in the level equation.
    effects = [both(zero + column) for column in np.eye(6)[2:]] + years[-1:]
    own = [both(values) for values in (x, w)]
    if controls == "difference":
        own = [rows_of(values - lag(values), zero) for values in (x, w)]
    lags = [rows_of(lag(values, back), zero) for values in (y, m) for back in (2, 3, 4)]
    levels = [rows_of(zero, lag(values) - lag(values, 2)) for values in (y, m)]
    outcome = both(y)
    design = np.column_stack([both(lag(y)), *map(both, (m, x, w)), *effects])
    z = np.column_stack([*years, *own, *lags, *levels])

    count = is_change.sum()
    half = np.zeros((*y.shape, z.shape[1]))
    half[is_level] += z[count:]
    half[is_change] += z[:count]
    half[:, :-1][is_change[:, 1:]] -= z[:count]
    half = half.reshape(-1, z.shape[1])
    cities = np.concatenate([np.nonzero(is_change)[0], np.nonzero(is_level)[0]])
    by_city = (cities == np.unique(cities)[:, None]).astype(float)

    def step(moments: Floats) -> tuple[Floats, Floats]:
        weights = np.linalg.inv(moments)
        zx = z.T @ design
        projection = np.linalg.inv(zx.T @ weights @ zx) @ zx.T @ weights
        return projection, outcome - design @ (projection @ z.T @ outcome)

    scores = by_city @ (z * step(half.T @ half)[1][:, None])
    projection, residuals = step(scores.T @ scores)
    ours = fit(data, controls=controls)
    assert_allclose(ours.estimates, projection @ z.T @ outcome, rtol=1e-8, atol=1e-9)
    assert (ours.observation_count, ours.city_count) == (is_level.sum(), len(by_city))
    assert ours.instrument_count == z.shape[1]
    assert fit(data, equation="difference").observation_count == count

    changes = np.full_like(y, np.nan)
    changes[is_change] = residuals[:count]
    for order in (1, 2):
        before = np.nan_to_num(lag(changes, order)[is_change])
        products = by_city[:, :count] @ (before * residuals[:count])
        slope = before @ design[:count]
        cross = (by_city @ (z * residuals[:, None])).T @ products
        variance = products @ products - 2 * slope @ projection @ cross
        variance += slope @ ours.covariance_matrix @ slope
        expected = products.sum() / np.sqrt(variance)
        assert ours.tests[f"ar{order}_statistic"] == approx(expected, rel=1e-6)
    z_values = np.abs(ours.estimates / ours.std_errors)
    assert_allclose(ours.p_values, 2 * stats.norm.sf(z_values), rtol=1e-9)
    margin = stats.norm.ppf(0.975) * ours.std_errors
    assert_allclose(ours.conf_high, ours.estimates + margin, rtol=1e-9)


def test_units_and_cities_without_a_usable_row_change_nothing() -> None:
    data = random_panel(2)
    lonely = pd.DataFrame({"city_id": [900, 901, 901], "year": [2012, 2011, 2015]})
    more = pd.concat([data, lonely.assign(y=1, m=2, x=3, w=4)])
    plain, ours = fit(data), fit(more.assign(m=more["m"] * 1e-9, y=more["y"] * 1e6))
    assert ours.city_count == plain.city_count == 60
    assert_allclose(ours.estimates[:2], plain.estimates[:2] * [1, 1e15], rtol=1e-8)
    assert_allclose(ours.statistics, plain.statistics, rtol=1e-8)
    for name in TESTS:
        assert ours.tests[name] == approx(plain.tests[name], rel=1e-8)


def test_collinear_instruments_do_no_harm_and_are_no_degrees_of_freedom() -> None:
    """Redundant instruments raise the instrument count, but change neither estimates nor tests."""
    data = random_panel(6)
    plain = fit(data)
    ours = fit(data.assign(again=2 * data["m"]), lag_limits={**LIMITS, "again": (2, 4)})
    assert_allclose(ours.estimates, plain.estimates, rtol=1e-8)
    assert_allclose(ours.std_errors, plain.std_errors, rtol=1e-6)
    assert (ours.instrument_count, ours.tests["hansen_df"]) == (
        plain.instrument_count + 4,
        plain.tests["hansen_df"],
    )
    assert ours.tests["level_hansen_df"] == plain.tests["level_hansen_df"]


def warnings_of(ours: DynamicPanelFit) -> tuple[str, ...]:
    return tuple(warning.en for warning in ours.warnings)


def test_more_instruments_than_cities_and_a_hansen_test_that_cannot_reject_are_named() -> None:
    every: dict[str, tuple[int, int | None]] = {"y": (2, None), "m": (2, None)}
    ours = fit(random_panel(1, cities=25), lag_limits=every, collapse=False)
    assert ours.tests["hansen_p_value"] >= 0.995
    assert warnings_of(ours) == (
        f"More instruments ({ours.instrument_count}) than values of city_id (25): the two-step "
        "weights are singular, and the Hansen test is void.",
        f"AR(1) does not reject at 5 % (p = {ours.tests['ar1_p_value']:.3f}): differenced errors "
        "are correlated wherever the model holds, and these are not.",
        "The Hansen p-value is 1.00, because there are so many instruments that the test cannot"
        " reject.",
    )


def test_residuals_too_close_for_the_second_test_are_named() -> None:
    data = random_panel(1, cities=100, gaps=0).query("year < 2014")
    limits = {"y": (2, None)}
    ours = fit(data, regressors=["L.y", "x"], lag_limits=limits, equation="difference")
    assert np.isnan([ours.tests["ar2_statistic"], ours.tests["ar2_p_value"]]).all()
    assert ours.tests["level_hansen_df"] == 0
    first, second = warnings_of(ours)
    assert first.startswith("AR(1) does not reject at 5 %")
    assert second == "AR(2) cannot be tested: no differenced residuals are two periods apart."


def test_regressors_that_the_instruments_cannot_tell_apart_are_named() -> None:
    """A warning names the regressors that the instruments can hardly distinguish.

    The regressors are m and a near copy. Variance inflation is computed from its definition.
    """
    data = random_panel(1, cities=300)
    data["twin"] = data["m"] + 0.05 * np.random.default_rng(0).normal(size=len(data))
    model: dict[str, Any] = {
        "regressors": ["L.y", "m", "twin", "x", "w"],
        "lag_limits": {**LIMITS, "twin": (2, 4)},
    }
    [warning] = [text for text in warnings_of(fit(data, **model)) if "hardly distinguish" in text]
    assert warning.startswith("The instruments hardly distinguish m and twin: the other regressors")
    layout = build_moments(
        data, "y", **model, equation="system", collapse=True, controls="difference"
    )
    scores = run_gmm_step(layout.zx, layout.zy, layout.iid_covariance, layout.terms, "").scores
    zx = layout.zx.sum(axis=0)
    slopes = np.linalg.inv(zx.T @ np.linalg.solve(scores.T @ scores, zx))[:5, :5]
    inflation = np.diag(slopes) * np.diag(np.linalg.inv(slopes))
    assert f" {inflation.max():.0f}-fold," in warning
    assert inflation.max() > 10


DIFFERENCE = {"equation": "difference"}
OF_LIMITS = "the first must be at least {}, and the second None or no less than the first."
NO_PAIR = (
    "No city_id has two consecutive values of year with the outcome, the regressors and their lags."
)
TOO_FEW = "Robust standard errors need more values of city_id than terms; there are "
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("y = y / (city_id > 0)", {}, "Column y has 8 missing or non-finite values."),
    ("", {"lag_limits": {"y": (1, 3)}}, "The lag limits of y are 1 and 3: " + OF_LIMITS.format(2)),
    (
        "",
        {"lag_limits": {"y": (2, 4), "m": (4, 2)}},
        "The lag limits of m are 4 and 2: " + OF_LIMITS.format(1),
    ),
    ("year < 2012", {}, NO_PAIR),
    ("city_id < 10", DIFFERENCE, TOO_FEW + "10 for 10 terms."),
    (
        "",
        DIFFERENCE | {"regressors": ["L.y", "x"], "lag_limits": {"y": (9, 12)}},
        "There are 7 independent instruments for 8 terms.",
    ),
    (
        "x = city_id / 3",
        DIFFERENCE,
        "Regressor x does not change from one year to the next once the year effects are removed.",
    ),
    ("w = sin(year)", {}, "Regressor w does not vary once the year effects are removed."),
    (
        "w = m - 2 * x + year",
        {},
        "Regressor w is a linear combination of m and x once the year effects are removed.",
    ),
    ("y = city_id + 5", {}, "The outcome y does not change from one year to the next."),
    (
        "y = m + city_id",
        DIFFERENCE | {"regressors": ["m", "x"], "lag_limits": {"m": (2, 4)}},
        "The regressors fit the changes of y exactly, so the result is an identity and not an"
        " estimate.",
    ),
]


@pytest.mark.parametrize(("change", "options", "reason"), CASES, ids=[case[-1] for case in CASES])
def test_what_cannot_be_estimated_says_why(
    change: str, options: dict[str, Any], reason: str
) -> None:
    data = changed(random_panel(8, cities=40, gaps=0), change)
    assert refusal(fit, data, **options) == reason


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (37, "The corrected variance of year 4 is not positive."),
        (266, "There are 1 independent moments of the one-step residuals for 4 terms."),
        (962, "The instruments do not identify L.y."),
    ],
)
def test_a_small_random_sample_says_why(seed: int, reason: str) -> None:
    rng = np.random.default_rng(seed)
    data = grid(range(rng.integers(2, 40)), range(rng.integers(2, 7)))
    data = data[rng.random(len(data)) < rng.uniform(0.5, 1)]
    for name in ("y", "m", "x"):
        data[name] = rng.integers(0, 3, len(data))
    model: dict[str, Any] = {
        "regressors": ["L.y", "m", "x"],
        "lag_limits": {"y": (2, None), "m": (1, 2)},
        "steps": rng.choice([1, 2]),
        "equation": rng.choice(["system", "difference"]),
        "collapse": rng.random() < 0.5,
    }
    assert refusal(fit, data, **model) == reason
