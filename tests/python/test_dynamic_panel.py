"""The dynamic panel against xtabond2, plm, matrices written out and truth."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ai_manufacturing.estimators import dynamic_panel
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.dynamic_panel import (
    Controls,
    DynamicPanelFit,
    gmm_step,
    moments,
    parsed,
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
LAST_DIGIT = 5.1e-8  # half of the seventh decimal, which Stata prints
TESTS = (
    "hansen_statistic",
    "sargan_statistic",
    "level_hansen_statistic",
    "ar1_statistic",
    "ar2_statistic",
)

pytestmark = pytest.mark.filterwarnings("error")


# ---------------------------------------------------------------- golden numbers


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
    """Stata's abdata, whose logs are floats."""
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
    # At one step plm weights one-step residuals by the two-step matrix: another statistic.
    if record["steps"] == 2:
        assert ours.tests["hansen_statistic"] == approx(record["sargan"]["stat"], rel=1e-9)
        assert ours.tests["hansen_p_value"] == approx(record["sargan"]["p"], rel=1e-8)
    # Of a system plm's AR follows another convention; xtabond2's is below.
    if record["equation"] == "difference":
        for order in ("ar1", "ar2"):
            assert ours.tests[f"{order}_statistic"] == approx(record[order]["z"], rel=1e-8)
            assert ours.tests[f"{order}_p_value"] == approx(record[order]["p"], rel=1e-7)


def test_xtabond2_is_matched_to_the_printed_digits() -> None:
    """Roodman's table: base year 1984 and the factor small, both undone here."""
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
    serial = [round(ours.tests["ar1_statistic"], 2), round(ours.tests["ar2_statistic"], 2)]
    assert serial == [record["ar1"], record["ar2"]]
    hansen = [
        round(ours.tests["hansen_statistic"], 2),
        ours.tests["hansen_df"],
        round(ours.tests["hansen_p_value"], 3),
    ]
    assert hansen == record["hansen"]
    levels = [
        round(ours.tests["level_hansen_statistic"], 2),
        ours.tests["level_hansen_df"],
        round(ours.tests["level_hansen_p_value"], 3),
    ]
    assert levels == record["diff_hansen_levels"]
    # In 2009 the error variance was divided by the level rows; since then by the difference rows,
    # one less per firm.
    assert [
        round(ours.tests["sargan_statistic"] * n / (n - g), 1),
        ours.tests["sargan_df"],
    ] == record["sargan"]


# ---------------------------------------------------------------- matrices written out


def random_panel(seed: int, cities: int = 60, years: int = 8, gaps: float = 0.1) -> pd.DataFrame:
    """An endogenous m, an exogenous x whose mean is the city effect, a noise w; rows missing."""
    rng = np.random.default_rng(seed)
    burn = 15
    effect = rng.normal(size=cities)
    shocks, noise, w, x = rng.normal(size=(4, cities, burn + years))
    shocks *= rng.uniform(0.5, 1.5, size=(cities, 1))
    x += effect[:, None]
    y, m = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, burn + years):
        m[:, t] = 0.5 * m[:, t - 1] + 0.5 * effect + 0.4 * shocks[:, t] + noise[:, t]
        systematic = 0.5 * y[:, t - 1] + 0.3 * m[:, t] + 0.2 * x[:, t] - 0.1 * w[:, t]
        y[:, t] = systematic + effect + shocks[:, t]
    y += 0.3 * np.sin(np.arange(burn + years))
    data = grid(range(cities), range(2010, 2010 + years))
    for name, values in {"y": y, "m": m, "x": x, "w": w}.items():
        data[name] = values[:, burn:].ravel()
    return data[rng.random(len(data)) >= gaps].sample(frac=1, random_state=seed)


REGRESSORS = ["L.y", "m", "x", "w"]
LIMITS: dict[str, tuple[int, int | None]] = {"y": (2, 4), "m": (2, 4)}
fit = partial(dynamic_panel.fit, outcome="y", regressors=REGRESSORS, lag_limits=LIMITS)


def stacked(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    controls: Controls,
) -> tuple[Floats, Floats, Floats, Codes, Floats]:
    """Return outcome, design, instruments, cities and B'Z; difference rows above level rows.

    B = [D; I]: where errors are independent, B'Z squared is the covariance of the moments.
    """
    lags = [parsed(regressor) for regressor in regressors]
    years = range(int(sample["year"].min()), int(sample["year"].max()) + 1)
    names = dict.fromkeys((outcome, *(name for name, _ in lags), *lag_limits))
    of_years = sample.set_index(["city_id", "year"])
    wide = {}
    for name in names:
        grid = of_years[name].unstack("year")  # noqa: PD010  one row a cell
        wide[name] = grid.reindex(columns=years)
    design = {
        regressor: wide[name].shift(lag, axis=1)
        for regressor, (name, lag) in zip(regressors, lags, strict=True)
    }
    is_level = np.all([grid.notna() for grid in (wide[outcome], *design.values())], axis=0)
    is_change = is_level & np.pad(is_level, ((0, 0), (1, 0)))[:, :-1]

    def rows_of(of_changes: pd.DataFrame, of_levels: pd.DataFrame) -> Floats:
        rows: Floats = np.concatenate(
            (of_changes.to_numpy()[is_change], of_levels.to_numpy()[is_level])
        )
        return np.nan_to_num(rows)

    def change(grid: pd.DataFrame) -> pd.DataFrame:
        return grid - grid.shift(1, axis=1)

    zero = 0 * wide[outcome]
    effects = [zero + (zero.columns == year) for year in zero.columns[is_level.any(axis=0)][1:]] + [
        zero + 1
    ]
    y, *x = (rows_of(change(grid), grid) for grid in (wide[outcome], *design.values(), *effects))
    z = [rows_of(zero, effect) for effect in effects]
    z += [
        rows_of(change(grid), grid if controls == "both" else zero)
        for grid, (name, _) in zip(design.values(), lags, strict=True)
        if name not in lag_limits
    ]
    for name, (nearest, farthest) in lag_limits.items():
        distances = range(nearest, min(farthest or len(years), len(years) - 1) + 1)
        z += [rows_of(wide[name].shift(distance, axis=1), zero) for distance in distances]
        z.append(rows_of(zero, change(wide[name]).shift(nearest - 1, axis=1)))
    instruments = np.column_stack([column / np.linalg.norm(column) for column in z if column.any()])

    changes, levels = np.nonzero(is_change), np.nonzero(is_level)
    # A level row holds the error of its year, a difference row that less the error of the year
    # before.
    half = np.zeros((*is_level.shape, instruments.shape[1]))
    half[levels] += instruments[len(changes[0]) :]
    half[changes] += instruments[: len(changes[0])]
    half[changes[0], changes[1] - 1] -= instruments[: len(changes[0])]
    cities = np.concatenate([changes[0], levels[0]])
    return y, np.column_stack(x), instruments, cities, half.reshape(-1, instruments.shape[1])


@pytest.mark.parametrize("controls", ["difference", "both"])
def test_gmm_written_out_agrees_where_rows_are_missing(controls: Controls) -> None:
    """Errors are Windmeijer's (2005): the two-step weights depend on the one-step estimates."""
    data = random_panel(3, cities=110, years=6)
    y, x, z, cities, half = stacked(data, "y", REGRESSORS, LIMITS, controls)
    of_levels = [z.shape[1] - 5, z.shape[1] - 1]  # last among the instruments of y, and of m
    by_city = (cities == np.unique(cities)[:, None]).astype(float)

    def step(weights: np.ndarray, columns: slice | np.ndarray = slice(None)) -> tuple[Any, ...]:
        zx, zy = z[:, columns].T @ x, z[:, columns].T @ y
        projection = np.linalg.inv(zx.T @ weights @ zx) @ zx.T @ weights
        b = projection @ zy
        g = zy - zx @ b
        return b, y - x @ b, projection, g @ weights @ g

    def clustered(e: np.ndarray) -> np.ndarray:
        sums = by_city @ (z * e[:, None])
        return sums.T @ sums

    _, e1, projection1, distance1 = step(np.linalg.inv(half.T @ half))
    meat = clustered(e1)
    weights = np.linalg.inv(meat)
    b2, e2, projection2, hansen = step(weights)
    rest = np.delete(np.arange(z.shape[1]), of_levels)
    without_levels = step(np.linalg.inv(meat[np.ix_(rest, rest)]), rest)[-1]

    ours = fit(data, controls=controls)
    assert_allclose(ours.estimates, b2, rtol=1e-8, atol=1e-9)
    scores = by_city @ (z * e1[:, None])
    products = [(by_city @ (z * column[:, None])).T @ scores for column in x.T]
    d = projection2 @ np.column_stack([(p + p.T) @ weights @ z.T @ e2 for p in products])
    bread = np.linalg.inv(x.T @ z @ weights @ z.T @ x)
    one_step = projection1 @ meat @ projection1.T
    covariance = bread + d @ bread + bread @ d.T + d @ one_step @ d.T
    assert_allclose(ours.std_errors, np.sqrt(np.diag(covariance)), rtol=1e-8)

    # Cells of the level rows, and those whose year before is one too.
    known = {*zip(data["city_id"], data["year"], strict=True)}
    levels = {(city, year) for city, year in known if (city, year - 1) in known}
    changes = sorted((city, year) for city, year in levels if (city, year - 1) in levels)
    count = len(changes)
    serial = []
    for order in (1, 2):
        residual_of = dict(zip(changes, e2[:count], strict=True))
        before = np.array([residual_of.get((city, year - order), 0.0) for city, year in changes])
        products = by_city[:, :count] @ (before * e2[:count])
        slope = before @ x[:count]
        cross = (by_city @ (z * e2[:, None])).T @ products
        variance = products @ products - 2 * slope @ projection2 @ cross
        variance += slope @ ours.covariance_matrix @ slope
        serial.append(products.sum() / np.sqrt(variance))
    sargan = distance1 * 2 * count / (e1[:count] @ e1[:count])
    expected = [hansen, sargan, hansen - without_levels, *serial]
    assert_allclose([ours.tests[name] for name in TESTS], expected, rtol=1e-6)
    assert (ours.observation_count, ours.city_count) == (len(levels), len(by_city))
    assert (ours.instrument_count, ours.tests["level_hansen_df"]) == (z.shape[1], 2)
    z_values = np.abs(ours.estimates / ours.std_errors)
    assert_allclose(ours.p_values, 2 * stats.norm.sf(z_values), rtol=1e-9)
    margin = stats.norm.ppf(0.975) * ours.std_errors
    assert_allclose(ours.conf_high, ours.estimates + margin, rtol=1e-9)


# ---------------------------------------------------------------- properties


def test_units_only_rescale_the_slopes() -> None:
    data = random_panel(2)
    plain = fit(data)
    ours = fit(data.assign(m=data["m"] * 1e-9, y=data["y"] * 1e6))
    assert_allclose(ours.estimates[:2], plain.estimates[:2] * [1, 1e15], rtol=1e-8)
    assert_allclose(ours.statistics, plain.statistics, rtol=1e-8)
    for name in TESTS:
        assert ours.tests[name] == approx(plain.tests[name], rel=1e-8)


def test_a_gap_costs_the_rows_that_span_it_and_no_lag_reaches_across() -> None:
    """A city-year missing at t takes the level rows t and t+1, and the difference rows t to t+2.

    As in xtabond2, a row without a regressor alone still lends its outcome to the next.
    """
    data = random_panel(4, gaps=0).sort_values(["city_id", "year"])
    hole = (data["city_id"] == 7) & (data["year"] == 2013)
    holed = data[~hole]
    for rows, equation, count in (
        (holed, "system", 60 * 7 - 2),
        (holed, "difference", 60 * 6 - 3),
        (data.assign(x=data["x"].where(~hole)), "system", 60 * 7 - 1),
    ):
        assert fit(rows, equation=equation).observation_count == count
    late = (holed["city_id"] == 7) & (holed["year"] > 2013)
    estimates = [
        fit(
            rows,
            regressors=["m", "x"],
            lag_limits={"m": (1, 1)},
            equation="difference",
            steps=1,
        ).estimates
        for rows in (holed, holed.assign(city_id=holed["city_id"].where(~late, 777)))
    ]
    assert_allclose(*estimates, rtol=1e-10)


def test_cities_without_a_usable_row_change_nothing() -> None:
    data = random_panel(4)
    lonely = pd.DataFrame({"city_id": [900, 901, 901], "year": [2012, 2011, 2015]})
    ours, theirs = fit(pd.concat([data, lonely.assign(y=1, m=2, x=3, w=4)])), fit(data)
    assert ours.city_count == theirs.city_count == 60
    assert_allclose(ours.estimates, theirs.estimates, rtol=1e-9)


def test_collinear_instruments_do_no_harm_and_are_no_degrees_of_freedom() -> None:
    """A column that instruments twice, under two names, counts in the instruments alone."""
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


# ---------------------------------------------------------------- warnings


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
        "Hansen p of 1.00: so many instruments that the test cannot reject.",
    )


def test_residuals_too_close_for_the_second_test_are_named() -> None:
    data = random_panel(1, cities=100, gaps=0).query("year < 2014")
    limits = {"y": (2, None)}
    ours = fit(data, regressors=["L.y", "x"], lag_limits=limits, equation="difference")
    assert np.isnan([ours.tests["ar2_statistic"], ours.tests["ar2_p_value"]]).all()
    first, second = warnings_of(ours)
    assert first.startswith("AR(1) does not reject at 5 %")
    assert second == "AR(2) cannot be tested: no differenced residuals lie two periods apart."


def test_regressors_that_the_instruments_cannot_tell_apart_are_named() -> None:
    """m and its twin. Variance inflation by its definition, from the two-step weights."""
    data = random_panel(1, cities=300)
    data["twin"] = data["m"] + 0.05 * np.random.default_rng(0).normal(size=len(data))
    model: dict[str, Any] = {
        "regressors": ["L.y", "m", "twin", "x", "w"],
        "lag_limits": {**LIMITS, "twin": (2, 4)},
    }
    [warning] = [text for text in warnings_of(fit(data, **model)) if "hardly tell" in text]
    assert warning.startswith("The instruments hardly tell m and twin apart: the others inflate")
    layout = moments(data, "y", **model, equation="system", collapse=True, controls="difference")
    scores = gmm_step(layout.zx, layout.zy, layout.independent, layout.terms, "").scores
    zx = layout.zx.sum(axis=0)
    slopes = np.linalg.inv(zx.T @ np.linalg.solve(scores.T @ scores, zx))[:5, :5]
    inflation = np.diag(slopes) * np.diag(np.linalg.inv(slopes))
    assert f" {inflation.max():.0f}-fold," in warning
    assert inflation.max() > 10


# ---------------------------------------------------------------- what cannot be estimated


DIFFERENCE = {"equation": "difference"}
OF_LIMITS = "the first must be at least {}, and the second None or no less than the first."
NO_PAIR = (
    "No city_id has two consecutive values of year with the outcome, the regressors and their lags."
)
TOO_FEW = "Robust errors need more values of city_id than terms; there are "
CASES: list[tuple[str | dict[str, Any], dict[str, Any], str]] = [
    (
        {"y": lambda d: d["y"].where(d.index != d.index[3], np.inf)},
        {},
        "Column y has 1 missing or non-finite values.",
    ),
    (
        "",
        {"lag_limits": {"y": (1, 3)}},
        "Lag limits of y are 1 and 3: " + OF_LIMITS.format(2),
    ),
    (
        "",
        {"lag_limits": {"y": (2, 4), "m": (4, 2)}},
        "Lag limits of m are 4 and 2: " + OF_LIMITS.format(1),
    ),
    ("year < 2012", {}, NO_PAIR),
    ("city_id < 10", DIFFERENCE, TOO_FEW + "10 for 10 terms."),
    (
        "",
        DIFFERENCE | {"regressors": ["L.y", "x"], "lag_limits": {"y": (9, 12)}},
        "There are 7 independent instruments for 8 terms.",
    ),
    (
        {"x": lambda d: d["city_id"] / 3},
        DIFFERENCE,
        "Regressor x does not change from one year to the next once the year effects are removed.",
    ),
    (
        {"w": lambda d: np.sin(d["year"])},
        {},
        "Regressor w does not vary once the year effects are removed.",
    ),
    (
        {"w": lambda d: d["m"] - 2 * d["x"] + d["year"]},
        {},
        "Regressor w is a linear combination of m and x once the year effects are removed.",
    ),
    (
        {"y": lambda d: d["city_id"] + 5},
        {},
        "The outcome y does not change from one year to the next.",
    ),
    (
        {"y": lambda d: d["m"] + d["city_id"]},
        DIFFERENCE | {"regressors": ["m", "x"], "lag_limits": {"m": (2, 4)}},
        "The regressors fit the changes of y exactly: an identity, not an estimate.",
    ),
]


@pytest.mark.parametrize(("change", "options", "reason"), CASES, ids=[case[-1] for case in CASES])
def test_what_cannot_be_estimated_says_why(
    change: str | dict[str, Any],
    options: dict[str, Any],
    reason: str,
) -> None:
    data = random_panel(8, cities=40, gaps=0).sort_values(["city_id", "year"])
    assert refusal(fit, changed(data, change) if change else data, **options) == reason


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
