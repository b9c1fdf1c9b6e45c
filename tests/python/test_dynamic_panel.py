"""The dynamic-panel estimator against xtabond2, xtabond and plm, a second route by explicit matrices, and truth."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators.dynamic_panel import DynamicPanelFit, fit, gmm_step, moments
from ai_manufacturing.estimators.not_estimable import NotEstimable

GOLDEN = Path(__file__).parent / "golden"
RECORDS: dict[str, dict[str, Any]] = {
    record["id"]: record for record in json.loads((GOLDEN / "gmm.json").read_text(encoding="utf-8"))
}
PLM = [name for name in RECORDS if name.startswith("plm")]
LAST_DIGIT = 5.1e-8  # half of the seventh decimal, which Stata prints
ARRAYS = ("estimates", "std_errors", "statistics", "p_values", "conf_low", "conf_high", "covariance_matrix")
TESTS = ("hansen_statistic", "sargan_statistic", "level_hansen_statistic", "ar1_statistic", "ar2_statistic")

pytestmark = pytest.mark.filterwarnings("error")


# ---------------------------------------------------------------- golden numbers


def golden_fit(record: dict[str, Any], data: pd.DataFrame) -> DynamicPanelFit:
    return fit(
        data,
        record["outcome"],
        record["regressors"],
        {name: tuple(limits) for name, limits in record["lag_limits"].items()},
        equation=record["equation"],
        steps=record["steps"],
        collapse=record["collapse"],
        entity="firm",
    )


def single_precision() -> pd.DataFrame:
    """Stata's abdata, whose logs are floats."""
    data = pd.read_csv(GOLDEN / "abdata.csv")
    logs = {"n": "emp", "w": "wage", "k": "capital", "ys": "output"}
    for log, level in logs.items():
        data[log] = np.log(data[level].astype("float32").astype(float)).astype("float32").astype(float)
    return data


def reparametrized(ours: DynamicPanelFit, rows: dict[str, dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and errors of linear combinations of the terms."""
    matrix = np.array([[row.get(term, 0.0) for term in ours.terms] for row in rows.values()])
    return matrix @ ours.estimates, np.sqrt(np.diag(matrix @ ours.covariance_matrix @ matrix.T))


@pytest.mark.parametrize("name", PLM)
def test_plm_is_matched_to_ten_digits(name: str) -> None:
    record = RECORDS[name]
    ours = golden_fit(record, pd.read_csv(GOLDEN / "abdata.csv"))
    place = [ours.terms.index(term) for term in record["coef"]]
    assert sorted(place) == list(range(len(ours.terms)))
    np.testing.assert_allclose(ours.estimates[place], list(record["coef"].values()), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.std_errors[place], list(record["se"].values()), rtol=0, atol=1e-10)
    assert ours.instrument_count == record["instruments"]
    assert ours.hansen_df == record["sargan"]["df"]
    if record["steps"] == 2:  # at one step plm weights one-step residuals by the two-step matrix: another statistic
        assert ours.hansen_statistic == pytest.approx(record["sargan"]["stat"], rel=1e-9)
        assert ours.hansen_p == pytest.approx(record["sargan"]["p"], rel=1e-8)
    if record["equation"] == "difference":  # of a system plm's AR follows another convention; xtabond2's is below
        for order in ("ar1", "ar2"):
            assert getattr(ours, f"{order}_statistic") == pytest.approx(record[order]["z"], rel=1e-8)
            assert getattr(ours, f"{order}_p") == pytest.approx(record[order]["p"], rel=1e-7)


def test_xtabond2_is_matched_to_the_printed_digits() -> None:
    """Roodman's table: base year 1984 and the factor small, both undone here."""
    record = RECORDS["roodman-system"]
    ours = golden_fit(record, single_precision())
    slopes = {term: {term: 1.0} for term in record["regressors"]}
    years = {f"yr{year}": {f"year {year}": 1.0, "year 1984": -1.0} for year in range(1977, 1984)}
    estimates, errors = reparametrized(ours, slopes | years | {"_cons": {"constant": 1.0, "year 1984": 1.0}})
    n, k, g = record["N"], len(ours.terms), record["groups"]
    small = np.sqrt(n / (n - k + 1) * g / (g - 1))
    np.testing.assert_allclose(estimates, list(record["coef"].values()), rtol=0, atol=LAST_DIGIT)
    np.testing.assert_allclose(errors * small, list(record["se"].values()), rtol=0, atol=LAST_DIGIT)
    np.testing.assert_allclose(errors[:5], list(record["se_without_small"].values()), rtol=0, atol=LAST_DIGIT)

    assert (ours.observation_count, ours.city_count, ours.instrument_count) == (n, g, record["instruments"])
    assert [round(ours.ar1_statistic, 2), round(ours.ar2_statistic, 2)] == [record["ar1"], record["ar2"]]
    assert [round(ours.hansen_statistic, 2), ours.hansen_df, round(ours.hansen_p, 3)] == record["hansen"]
    levels = [round(ours.level_hansen_statistic, 2), ours.level_hansen_df, round(ours.level_hansen_p, 3)]
    assert levels == record["diff_hansen_levels"]
    # In 2009 the error variance was divided by the level rows; since then by the difference rows, one less per firm.
    assert [round(ours.sargan_statistic * n / (n - g), 1), ours.sargan_df] == record["sargan"]


def manual_rows(record: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The manual's terms: its time effects are a trend and dummies from 1980."""
    slopes = {term: {term: 1.0} for term in record["regressors"]}
    years = {f"yr{t}": {f"year {t}": 1.0, "year 1979": 1978.0 - t} for t in range(1980, 1985)}
    return slopes | years | {"year": {"year 1979": 1.0}}


def test_the_moments_give_the_homoskedastic_errors_that_xtabond_prints() -> None:
    """No fit has these errors; they follow from the weights and the design that all fits and checks share."""
    record = RECORDS["xtabond-onestep"]
    limits = {name: tuple(limits) for name, limits in record["lag_limits"].items()}
    plain = moments(
        single_precision(),
        record["outcome"],
        record["regressors"],
        limits,
        equation="difference",
        collapse=record["collapse"],
        entity="firm",
        time="year",
    )
    step = gmm_step(plain.zx, plain.zy, plain.independent, plain.terms, "instruments")
    residuals = plain.y - plain.x @ step.estimates
    n, k = record["N"], len(plain.terms)
    covariance = step.bread * np.outer(plain.units, plain.units) * np.sum(residuals**2) / (n - k) / 2
    matrix = np.array([[row.get(term, 0.0) for term in plain.terms] for row in manual_rows(record).values()])
    errors = np.sqrt(np.diag(matrix @ covariance @ matrix.T))
    np.testing.assert_allclose(errors, list(record["se_homoskedastic"].values()), rtol=0, atol=LAST_DIGIT)


@pytest.mark.parametrize("name", ["xtabond-onestep", "xtabond-twostep"])
def test_xtabond_is_matched_to_the_printed_digits(name: str) -> None:
    record = RECORDS[name]
    ours = golden_fit(record, single_precision())
    estimates, errors = reparametrized(ours, manual_rows(record))
    np.testing.assert_allclose(estimates, list(record["coef"].values()), rtol=0, atol=LAST_DIGIT)
    np.testing.assert_allclose(errors, list(record["se"].values()), rtol=0, atol=LAST_DIGIT)
    counts = (ours.observation_count, ours.city_count, ours.instrument_count)
    assert counts == (record["N"], record["groups"], record["instruments"])
    if "sargan_with_n_less_k" in record:
        less_k = (ours.observation_count - len(ours.terms)) / ours.observation_count
        assert [round(ours.sargan_statistic * less_k, 5), ours.sargan_df] == record["sargan_with_n_less_k"]


# ---------------------------------------------------------------- a second route


def random_panel(seed: int, cities: int = 60, years: int = 8, gaps: float = 0.1) -> pd.DataFrame:
    """An endogenous m, an exogenous x whose mean is the city effect, a pure noise w; year effects; rows missing."""
    rng = np.random.default_rng(seed)
    burn = 15
    effect = rng.normal(size=cities)
    shocks, noise, w, x = rng.normal(size=(4, cities, burn + years))
    shocks *= rng.uniform(0.5, 1.5, size=(cities, 1))
    x += effect[:, None]
    y, m = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, burn + years):
        m[:, t] = 0.5 * m[:, t - 1] + 0.5 * effect + 0.4 * shocks[:, t] + noise[:, t]
        y[:, t] = 0.5 * y[:, t - 1] + 0.3 * m[:, t] + 0.2 * x[:, t] - 0.1 * w[:, t] + effect + shocks[:, t]
    y += 0.3 * np.sin(np.arange(burn + years))
    columns = {name: values[:, burn:].ravel() for name, values in {"y": y, "m": m, "x": x, "w": w}.items()}
    cells = {"city_id": np.repeat(np.arange(cities), years), "year": np.tile(np.arange(2010, 2010 + years), cities)}
    data = pd.DataFrame(cells | columns)
    return data[rng.random(len(data)) >= gaps].sample(frac=1, random_state=seed)


REGRESSORS = ["L.y", "m", "x", "w"]
LIMITS: dict[str, tuple[int, int | None]] = {"y": (2, 4), "m": (2, 4)}


def explicit_matrices(
    data: pd.DataFrame, limits: dict[str, tuple[int, int | None]], system: bool, collapse: bool
) -> dict[str, Any]:
    """Two-step estimates with every matrix written out city by city, from dictionaries of cells."""
    cells = {
        name: {(c, t): v for c, t, v in zip(data["city_id"], data["year"], data[name], strict=True)} for name in "ymxw"
    }
    first, last = data["year"].min(), data["year"].max()
    span = range(first, last + 1)
    regressors = [("y", 1), ("m", 0), ("x", 0), ("w", 0)]

    def value(name: str, c: Any, t: int) -> float:
        return cells[name].get((c, t), np.nan)

    def change(name: str, c: Any, t: int) -> float:
        return value(name, c, t) - value(name, c, t - 1)

    def complete(c: Any, t: int) -> bool:
        return np.isfinite([value("y", c, t), *(value(name, c, t - lag) for name, lag in regressors)]).all()

    level_rows = [(c, t) for c in sorted(set(data["city_id"])) for t in span if complete(c, t)]
    change_rows = [(c, t) for c, t in level_rows if complete(c, t - 1)]
    years = sorted({t for _, t in (level_rows if system else change_rows)})[system:]

    def design(c: Any, t: int) -> list[float]:
        return [
            *(value(name, c, t - lag) for name, lag in regressors),
            *(float(t == s) for s in years),
            *[1.0] * system,
        ]

    labels = [
        ("gmm", name, lag, None if collapse else t)
        for name, (a, b) in limits.items()
        for lag in range(a, min(b or 99, last - first) + 1)
        for t in ([None] if collapse else span)
    ]
    if system:
        labels += [
            ("level", name, a - 1, None if collapse else t)
            for name, (a, _) in limits.items()
            for t in ([None] if collapse else span)
        ]
    width = len(labels)

    def instrument_row(c: Any, t: int, kind: str) -> list[float]:
        row = [0.0] * width
        for j, (which, name, lag, only) in enumerate(labels):
            if which == kind and only in (None, t):
                found = value(name, c, t - lag) if kind == "gmm" else change(name, c, t - lag)
                row[j] = 0.0 if np.isnan(found) else found
        here, before = design(c, t), design(c, t - 1)
        own = [j for j, (name, _) in enumerate(regressors) if name not in limits]
        if kind == "gmm":
            row += [here[j] - before[j] for j in own]
            row += [0.0] * len(here[4:]) if system else [a - b for a, b in zip(here[4:], before[4:], strict=True)]
        else:
            row += [0.0] * len(own) + here[4:]
        return row

    blocks = []
    for c in sorted({c for c, _ in (level_rows if system else change_rows)}):
        changes, levels = [t for k, t in change_rows if k == c], [t for k, t in level_rows if k == c] if system else []
        b = np.zeros((len(changes) + len(levels), len(span)))
        for i, t in enumerate(changes):
            b[i, t - first], b[i, t - 1 - first] = 1, -1
        for i, t in enumerate(levels):
            b[len(changes) + i, t - first] = 1
        y = [change("y", c, t) for t in changes] + [value("y", c, t) for t in levels]
        x = [np.subtract(design(c, t), design(c, t - 1)) for t in changes] + [design(c, t) for t in levels]
        z = [instrument_row(c, t, "gmm") for t in changes] + [instrument_row(c, t, "level") for t in levels]
        blocks.append((np.array(y), np.array(x), np.array(z), b @ b.T, changes))
    present = np.any([np.any(z != 0, axis=0) for _, _, z, _, _ in blocks], axis=0)
    blocks = [(y, x, z[:, present], h, changes) for y, x, z, h, changes in blocks]
    zx, zy = sum(z.T @ x for _, x, z, _, _ in blocks), sum(z.T @ y for y, _, z, _, _ in blocks)

    def solve(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bread = np.linalg.inv(zx.T @ a @ zx)
        b = bread @ zx.T @ a @ zy
        return b, bread, zy - zx @ b

    def outer(b: np.ndarray) -> np.ndarray:
        return sum(np.outer(z.T @ (y - x @ b), z.T @ (y - x @ b)) for y, x, z, _, _ in blocks)

    a1 = np.linalg.inv(sum(z.T @ h @ z for _, _, z, h, _ in blocks))
    b1, bread1, g1 = solve(a1)
    v1 = bread1 @ zx.T @ a1 @ outer(b1) @ a1 @ zx @ bread1
    a2 = np.linalg.inv(outer(b1))
    b2, bread2, g2 = solve(a2)
    d = np.zeros((len(b2), len(b2)))
    for j in range(len(b2)):
        slope = -sum(
            np.outer(z.T @ x[:, j], z.T @ (y - x @ b1)) + np.outer(z.T @ (y - x @ b1), z.T @ x[:, j])
            for y, x, z, _, _ in blocks
        )
        d[:, j] = -bread2 @ zx.T @ a2 @ slope @ a2 @ g2
    v2 = bread2 + d @ bread2 + bread2 @ d.T + d @ v1 @ d.T

    def serial_correlation(order: int) -> float:
        total, squares, slope, cross = 0.0, 0.0, np.zeros(len(b2)), np.zeros(len(g2))
        for y, x, z, _, changes in blocks:
            e = y - x @ b2
            w = np.array([e[changes.index(t - order)] if t - order in changes else 0.0 for t in changes])
            product = w @ e[: len(changes)]
            total, squares = total + product, squares + product**2
            slope, cross = slope + w @ x[: len(changes)], cross + z.T @ e * product
        variance = squares - 2 * slope @ bread2 @ zx.T @ a2 @ cross + slope @ v2 @ slope
        return total / np.sqrt(variance)

    e1 = np.concatenate([(y - x @ b1)[: len(changes)] for y, x, _, _, changes in blocks])
    rest = np.array([label[0] != "level" for label in labels] + [True] * (sum(present) + sum(~present) - width))[
        present
    ]
    level_hansen = np.nan
    if system:
        a_rest = np.linalg.inv(outer(b1)[np.ix_(rest, rest)])
        b_rest = np.linalg.solve(zx[rest].T @ a_rest @ zx[rest], zx[rest].T @ a_rest @ zy[rest])
        g_rest = zy[rest] - zx[rest] @ b_rest
        level_hansen = g2 @ a2 @ g2 - g_rest @ a_rest @ g_rest
    return {
        "one_step": (b1, np.sqrt(np.diag(v1))),
        "two_step": (b2, np.sqrt(np.diag(v2))),
        "tests": [g2 @ a2 @ g2, g1 @ a1 @ g1 * 2 * len(e1) / (e1 @ e1), level_hansen, *map(serial_correlation, (1, 2))],
        "counts": (len(level_rows) if system else len(change_rows), len(blocks), int(present.sum())),
    }


@pytest.mark.parametrize("limits", [LIMITS, {"y": (2, None), "m": (1, 2)}, {"y": (3, 3), "m": (2, 2)}], ids=str)
@pytest.mark.parametrize("collapse", [True, False])
@pytest.mark.parametrize("equation", ["system", "difference"])
def test_a_second_route_by_explicit_matrices_agrees(
    equation: Any, collapse: bool, limits: dict[str, tuple[int, int | None]]
) -> None:
    data = random_panel(3, cities=110, years=6)
    theirs = explicit_matrices(data, limits, equation == "system", collapse)
    options: dict[str, Any] = {"equation": equation, "collapse": collapse}
    fits = {
        "one_step": fit(data, "y", REGRESSORS, limits, steps=1, **options),
        "two_step": fit(data, "y", REGRESSORS, limits, **options),
    }
    for name, ours in fits.items():
        np.testing.assert_allclose(ours.estimates, theirs[name][0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ours.std_errors, theirs[name][1], rtol=1e-6)
    ours = fits["two_step"]
    assert (ours.observation_count, ours.city_count, ours.instrument_count) == theirs["counts"]
    np.testing.assert_allclose([getattr(ours, name) for name in TESTS], theirs["tests"], rtol=1e-6, atol=1e-8)
    z = ours.estimates / ours.std_errors
    np.testing.assert_allclose(ours.p_values, 2 * stats.norm.sf(np.abs(z)), rtol=1e-9)
    np.testing.assert_allclose(ours.conf_high, ours.estimates + stats.norm.ppf(0.975) * ours.std_errors, rtol=1e-9)
    if ours.hansen_df:
        assert ours.hansen_p == pytest.approx(stats.chi2.sf(ours.hansen_statistic, ours.hansen_df), rel=1e-9)
        assert fits["one_step"].hansen_statistic == ours.hansen_statistic


# ---------------------------------------------------------------- truth


def test_the_truth_is_recovered_and_corrected_errors_are_the_right_size() -> None:
    """60 draws of 200 cities with gaps: least squares within is far off, both GMM estimators are not."""
    truth = np.array([0.5, 0.3, 0.2, -0.1])
    draws: dict[str, list[np.ndarray]] = {name: [] for name in ("system", "difference", "within")}
    corrected = []
    for seed in range(60):
        data = random_panel(1000 + seed, cities=200)
        ours = fit(data, "y", REGRESSORS, LIMITS)
        draws["system"].append(ours.estimates[:4])
        draws["difference"].append(fit(data, "y", REGRESSORS, LIMITS, equation="difference").estimates[:4])
        corrected.append(ours.std_errors[:4])
        wide = data.sort_values(["city_id", "year"])
        before = wide.assign(year=wide["year"] + 1)[["city_id", "year", "y"]]
        wide = wide.merge(before, on=["city_id", "year"], suffixes=("", "_lag"))
        columns = wide[["y", "y_lag", "m", "x", "w"]]
        columns = columns - columns.groupby(wide["city_id"]).transform("mean")
        columns -= columns.groupby(wide["year"]).transform("mean")
        draws["within"].append(np.linalg.lstsq(columns.iloc[:, 1:], columns["y"], rcond=None)[0])
    means = {name: np.mean(values, axis=0) for name, values in draws.items()}
    errors = {name: np.std(values, axis=0) / np.sqrt(60) for name, values in draws.items()}
    for name in ("system", "difference"):
        assert (np.abs(means[name] - truth) < 4 * errors[name]).all()
    assert means["within"][0] < 0.4
    spread = np.std(draws["system"], axis=0)
    assert (np.abs(np.mean(corrected, axis=0) / spread - 1) < 0.3).all()


def test_a_control_related_to_the_city_effect_is_no_instrument_of_the_levels() -> None:
    """x's mean is the effect: its slope is the truth."""
    ours = fit(random_panel(5, cities=1500, gaps=0), "y", REGRESSORS, LIMITS)
    assert abs(ours.estimates[2] - 0.2) < 3 * ours.std_errors[2]


# ---------------------------------------------------------------- properties


def assert_same(ours: DynamicPanelFit, theirs: DynamicPanelFit) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in TESTS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_the_order_of_the_rows_does_not_change_a_single_bit() -> None:
    data = random_panel(1)
    assert_same(fit(data, "y", REGRESSORS, LIMITS), fit(data.sort_values(["year", "city_id"]), "y", REGRESSORS, LIMITS))


def test_labels_of_any_type_nullable_numbers_and_other_columns_do_not_matter() -> None:
    data = random_panel(2)
    other = data.assign(
        city_id=data["city_id"].map("{:06d}".format).astype("category"), m=data["m"].astype("Float64"), empty=np.nan
    )
    before = other.copy()
    assert_same(fit(other, "y", REGRESSORS, LIMITS), fit(data, "y", REGRESSORS, LIMITS))
    pd.testing.assert_frame_equal(other, before)


@pytest.mark.parametrize("scale", [1e-9, 1e200])
def test_units_only_rescale_the_slopes(scale: float) -> None:
    data = random_panel(2)
    plain = fit(data, "y", REGRESSORS, LIMITS)
    ours = fit(data.assign(m=data["m"] * scale, y=data["y"] * 1e6), "y", REGRESSORS, LIMITS)
    np.testing.assert_allclose(ours.estimates[:2], plain.estimates[:2] * [1, 1e6 / scale], rtol=1e-8)
    np.testing.assert_allclose(ours.statistics, plain.statistics, rtol=1e-8)
    np.testing.assert_allclose(
        [getattr(ours, name) for name in TESTS], [getattr(plain, name) for name in TESTS], rtol=1e-8
    )


def test_a_gap_costs_the_rows_that_span_it_and_no_lag_reaches_across() -> None:
    """A city-year missing at t takes the level rows t and t+1, and the difference rows t to t+2."""
    data = random_panel(4, gaps=0).sort_values(["city_id", "year"])
    holed = data[(data["city_id"] != 7) | (data["year"] != 2013)]
    for equation, lost in (("system", 2), ("difference", 3)):
        whole, ours = (fit(rows, "y", REGRESSORS, LIMITS, equation=equation) for rows in (data, holed))
        assert whole.observation_count - ours.observation_count == lost
    moved = holed.assign(city_id=holed["city_id"].where((holed["city_id"] != 7) | (holed["year"] < 2013), 777))
    np.testing.assert_allclose(
        fit(holed, "y", ["m", "x"], {"m": (1, 1)}, equation="difference", steps=1).estimates,
        fit(moved, "y", ["m", "x"], {"m": (1, 1)}, equation="difference", steps=1).estimates,
        rtol=1e-10,
    )


def test_a_row_without_a_regressor_still_lends_its_outcome_to_the_next() -> None:
    """As in xtabond2: the level row of that year is lost, the one after it keeps its lag."""
    data = random_panel(4, gaps=0).sort_values(["city_id", "year"])
    hole = (data["city_id"] == 7) & (data["year"] == 2013)
    whole = fit(data, "y", REGRESSORS, LIMITS)
    without_control = fit(data.assign(x=data["x"].where(~hole)), "y", REGRESSORS, LIMITS)
    without_row = fit(data[~hole], "y", REGRESSORS, LIMITS)
    assert whole.observation_count - without_control.observation_count == 1
    assert whole.observation_count - without_row.observation_count == 2


def test_cities_without_a_usable_row_change_nothing() -> None:
    data = random_panel(4)
    lonely = pd.DataFrame(
        {"city_id": [900, 901, 901], "year": [2012, 2011, 2015], "y": 1.0, "m": 2.0, "x": 3.0, "w": 4}
    )
    ours, theirs = (fit(rows, "y", REGRESSORS, LIMITS) for rows in (pd.concat([data, lonely]), data))
    assert ours.city_count == theirs.city_count == 60
    np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-9)


@pytest.mark.parametrize("equation", ["system", "difference"])
@pytest.mark.parametrize(("nearest", "farthest"), [(2, None), (2, 4), (3, 3)])
def test_instruments_are_as_many_as_the_formula_says(equation: Any, nearest: int, farthest: int | None) -> None:
    years = 9
    data = random_panel(0, cities=200, years=years, gaps=0)
    full, collapsed = (
        fit(data, "y", REGRESSORS, {"y": (nearest, farthest), "m": (nearest, farthest)}, equation=equation, collapse=c)
        for c in (False, True)
    )
    last = min(farthest or years, years - 1)
    lags = last - nearest + 1
    per_period = sum(max(min(t, last) - nearest + 1, 0) for t in range(2, years))
    system = equation == "system"
    effects = years - 1 if system else years - 2  # with the constant
    own = 2
    in_levels = years - nearest if system else 0  # periods with a difference lagged one less than the first limit
    assert full.instrument_count == 2 * (per_period + in_levels) + own + effects
    assert collapsed.instrument_count == 2 * (lags + system) + own + effects
    assert full.hansen_df == full.instrument_count - len(full.terms)
    assert full.level_hansen_df == 2 * in_levels


def test_collinear_instruments_do_no_harm_and_are_no_degrees_of_freedom() -> None:
    """A column that instruments twice, under two names: the same fit, counted in the instruments only."""
    data = random_panel(6)
    data["again"] = 2 * data["m"]
    plain = fit(data, "y", REGRESSORS, LIMITS)
    ours = fit(data, "y", REGRESSORS, {**LIMITS, "again": (2, 4)})
    np.testing.assert_allclose(ours.estimates, plain.estimates, rtol=1e-8)
    np.testing.assert_allclose(ours.std_errors, plain.std_errors, rtol=1e-6)
    assert (ours.instrument_count, ours.hansen_df) == (plain.instrument_count + 4, plain.hansen_df)
    assert ours.level_hansen_df == plain.level_hansen_df


def test_the_terms_are_the_regressors_the_periods_and_in_a_system_a_constant() -> None:
    data = random_panel(6)
    years = tuple(f"year {year}" for year in range(2012, 2018))
    assert fit(data, "y", REGRESSORS, LIMITS).terms == (*REGRESSORS, *years, "constant")
    assert fit(data, "y", REGRESSORS, LIMITS, equation="difference").terms == (*REGRESSORS, *years)


# ---------------------------------------------------------------- warnings


def said(ours: DynamicPanelFit) -> tuple[str, ...]:
    return tuple(warning.en for warning in ours.warnings)


def test_a_sound_fit_carries_no_warning() -> None:
    ours = fit(random_panel(1, cities=300), "y", REGRESSORS, LIMITS)
    assert ours.warnings == ()
    assert ours.ar1_p < 0.001


def test_more_instruments_than_cities_and_a_hansen_test_that_cannot_reject_are_said() -> None:
    data = random_panel(1, cities=25)
    ours = fit(data, "y", REGRESSORS, {"y": (2, None), "m": (2, None)}, collapse=False)
    assert ours.hansen_p >= 0.995
    assert said(ours) == (
        f"More instruments ({ours.instrument_count}) than values of city_id (25): the two-step weights are singular, "
        "and the Hansen test is void.",
        f"AR(1) does not reject at 5 % (p = {ours.ar1_p:.3f}): differenced errors are correlated wherever the model "
        "holds, and these are not.",
        "Hansen p of 1.00: so many instruments that the test cannot reject.",
    )


@pytest.mark.parametrize("cities", [50, 62, 63, 64])
def test_the_instrument_warning_starts_at_one_more_than_the_cities(cities: int) -> None:
    ours = fit(random_panel(1, cities=cities), "y", REGRESSORS, {"y": (2, None), "m": (2, None)}, collapse=False)
    warned = any(warning.startswith("More instruments") for warning in said(ours))
    assert warned == (ours.instrument_count > ours.city_count)


def test_serially_correlated_errors_are_said() -> None:
    data = random_panel(1, cities=400, gaps=0).sort_values(["city_id", "year"])
    noise = np.random.default_rng(0).normal(size=len(data) + 1)
    data["y"] += 2 * (noise[1:] + 0.9 * noise[:-1])
    ours = fit(data, "y", ["x", "w"], {}, equation="difference")
    assert ours.ar2_p < 0.05
    assert said(ours) == (
        f"AR(2) rejects at 5 % (p = {ours.ar2_p:.3f}): the errors are serially correlated, and second lags are no "
        "instruments.",
    )


def test_a_hansen_rejection_is_said() -> None:
    """m is endogenous: its first lag is no instrument of the difference equation."""
    ours = fit(random_panel(1, cities=600), "y", REGRESSORS, {"y": (2, 4), "m": (1, 4)})
    assert said(ours)[0].startswith("Hansen rejects at 5 % (p = 0.000)")


def test_residuals_too_close_for_the_second_test_are_said() -> None:
    data = random_panel(1, cities=100, gaps=0)
    ours = fit(data[data["year"] < 2014], "y", ["L.y", "x"], {"y": (2, None)}, equation="difference")
    assert np.isnan([ours.ar2_statistic, ours.ar2_p]).all()
    assert ours.ar1_p > 0.05
    assert said(ours)[0].startswith("AR(1) does not reject at 5 %")
    assert said(ours)[1:] == ("AR(2) cannot be tested: no differenced residuals lie two periods apart.",)


def test_a_rejected_level_equation_is_said() -> None:
    """Cities start below their mean by their effect, the mean of x: changes then know it, and the levels hold it."""
    data = random_panel(1, cities=600, gaps=0)
    below = data.groupby("city_id")["x"].transform("mean") * 0.5 ** (data["year"] - 2010)
    ours = fit(data.assign(y=data["y"] - 2 * below), "y", REGRESSORS, LIMITS)
    assert ours.level_hansen_p < 0.05
    assert f"Difference-in-Hansen rejects at 5 % (p = {ours.level_hansen_p:.3f})" in "; ".join(said(ours))


def test_regressors_that_the_instruments_cannot_tell_apart_are_said() -> None:
    """m and its twin: the slopes are large, of opposite sign, and sum to the slope of m alone."""
    data = random_panel(1, cities=300)
    data["twin"] = data["m"] + 0.05 * np.random.default_rng(0).normal(size=len(data))
    limits = {**LIMITS, "twin": (2, 4)}
    ours = fit(data, "y", ["L.y", "m", "twin", "x", "w"], limits)
    [warning] = [text for text in said(ours) if "hardly tell" in text]
    assert warning.startswith("The instruments hardly tell m and twin apart: the others inflate")
    # Second route: the R2 of the weighted moments of m on those of the others.
    layout = moments(
        data,
        "y",
        ["L.y", "m", "twin", "x", "w"],
        limits,
        equation="system",
        collapse=True,
        entity="city_id",
        time="year",
    )
    one_step = gmm_step(layout.zx, layout.zy, layout.independent, layout.terms, "instruments")
    values, vectors = np.linalg.eigh(one_step.scores.T @ one_step.scores)
    seen = (vectors / np.sqrt(values)).T @ layout.zx.sum(axis=0)

    def left(j: int, others: list[int]) -> float:
        column = seen[:, j]
        return float(np.sum((column - seen[:, others] @ np.linalg.lstsq(seen[:, others], column)[0]) ** 2))

    effects = list(range(5, len(layout.terms)))
    inflation = max(left(j, effects) / left(j, [i for i in range(len(layout.terms)) if i != j]) for j in range(5))
    assert f" {inflation:.0f}-fold," in warning
    assert inflation > 10


def test_it_is_told_what_lags_instrument_and_what_stands_for_itself() -> None:
    ours = fit(random_panel(1), "y", ["L.y", "x", "m", "L.w"], LIMITS)
    assert ours.not_instrumented == ("x", "L.w")


# ---------------------------------------------------------------- what cannot be estimated


def change(**columns: Callable[[pd.DataFrame], Any] | Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda data: data.assign(**columns)


DIFFERENCE = {"equation": "difference"}
CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "regressor never there": (change(x=np.nan), "Column x has no value."),
    "infinite outcome": (
        change(y=lambda d: d["y"].where(d.index != d.index[3], np.inf)),
        "Column y has 1 missing or non-finite values.",
    ),
    "text": (change(w="1,2O4"), "Column w holds values that are not numbers."),
    "missing city": (
        change(city_id=lambda d: d["city_id"].where(d["city_id"] != 3)),
        "Column city_id has 8 missing values.",
    ),
    "missing year": (
        change(year=lambda d: d["year"].where(d["year"] != 2011)),
        "Column year has 40 missing or non-finite values.",
    ),
    "half years": (change(year=lambda d: d["year"] / 2), "Column year holds values that are not whole numbers."),
    "dates for years": (
        change(year=lambda d: d["year"] * 10000 + 1231),
        "year runs from 20101231 to 20171231, which is too long to be a panel's periods.",
    ),
    "no rows": (lambda d: d.head(0), "The sample has no observations."),
    "no regressor": (change(), "The specification names no regressor."),
    "outcome on itself": (change(), "The outcome y is also a regressor."),
    "lagged outcome as its own instrument": (
        change(),
        "Lagged y is related to the differenced errors: y needs lag limits.",
    ),
    "outcome predetermined": (
        change(),
        "Lag limits of y are 1 and 3: the first must be at least 2, and the second None or no less than the first.",
    ),
    "limits the wrong way round": (
        change(),
        "Lag limits of m are 4 and 2: the first must be at least 1, and the second None or no less than the first.",
    ),
    "city twice in a year": (
        lambda d: pd.concat([d, d[(d["city_id"] == 7) & (d["year"] == 2016)]]),
        "city_id 7 has more than one row in year 2016.",
    ),
    "two years": (
        lambda d: d[d["year"] < 2012],
        "No city_id has two consecutive values of year with the outcome, the regressors and their lags.",
    ),
    "every other year": (
        lambda d: d[d["year"] % 2 == 0],
        "No city_id has two consecutive values of year with the outcome, the regressors and their lags.",
    ),
    "one city": (
        lambda d: d[d["city_id"] == 7],
        "Robust errors need more values of city_id than terms; there are 1 for 11 terms.",
    ),
    "no more cities than terms": (
        lambda d: d[d["city_id"] < 10],
        "Robust errors need more values of city_id than terms; there are 10 for 10 terms.",
    ),
    "fewer instruments than terms": (change(), "There are 7 independent instruments for 8 terms."),
    "no lag that far back": (change(), "There are 7 independent instruments for 8 terms."),
    "constant in time": (
        change(x=lambda d: d["city_id"] / 3),
        "Regressor x does not change from one year to the next once the year effects are removed.",
    ),
    "national series": (
        change(w=lambda d: np.sin(d["year"])),
        "Regressor w does not vary once the year effects are removed.",
    ),
    "all zero": (change(w=0), "Regressor w does not vary once the year effects are removed."),
    "collinear": (
        change(w=lambda d: d["m"] - 2 * d["x"] + d["year"]),
        "Regressor w is a linear combination of m and x once the year effects are removed.",
    ),
    "named twice": (change(), "Regressor L1.y is a linear combination of L.y once the year effects are removed."),
    "outcome without change": (
        change(y=lambda d: d["city_id"] + 5),
        "The outcome y does not change from one year to the next.",
    ),
    "an identity": (
        change(y=lambda d: d["m"] + d["city_id"]),
        "The regressors fit the changes of y exactly: an identity, not an estimate.",
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "no regressor": {"regressors": [], "lag_limits": {}},
    "outcome on itself": {"regressors": ["y", "x"]},
    "lagged outcome as its own instrument": {"regressors": ["L.y", "x"], "lag_limits": {}},
    "outcome predetermined": {"lag_limits": {"y": (1, 3)}},
    "limits the wrong way round": {"lag_limits": {"y": (2, 4), "m": (4, 2)}},
    "every other year": {"regressors": ["x"], "lag_limits": {}},
    "no more cities than terms": {**DIFFERENCE},
    "fewer instruments than terms": {
        "regressors": ["L.y", "L2.y", "m"],
        "lag_limits": {"y": (4, 4), "m": (4, 4)},
        **DIFFERENCE,
    },
    "no lag that far back": {"regressors": ["L.y", "x"], "lag_limits": {"y": (9, 12)}, **DIFFERENCE},
    "constant in time": {**DIFFERENCE},
    "named twice": {"regressors": ["L.y", "m", "L1.y"]},
    "an identity": {"regressors": ["m", "x"], "lag_limits": {"m": (2, 4)}, **DIFFERENCE},
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_says_why(case: str) -> None:
    prepare, reason = CASES[case]
    data = prepare(random_panel(8, cities=40, gaps=0).sort_values(["city_id", "year"]))
    with pytest.raises(NotEstimable) as caught:
        fit(data, "y", **{"regressors": REGRESSORS, "lag_limits": LIMITS, **OPTIONS.get(case, {})})
    assert caught.value.reason.en == reason


@pytest.mark.parametrize("option", [{"equation": "level"}, {"steps": 3}], ids=str)
def test_an_unknown_option_is_an_error_of_the_program(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Unknown estimator"):
        fit(random_panel(0), "y", REGRESSORS, LIMITS, **option)


def test_whatever_the_sample_the_answer_is_a_fit_or_a_reason() -> None:
    """Small random samples with few distinct values: nothing but NotEstimable escapes, and no number is infinite."""
    fits, reasons = 0, set()
    for seed in (*range(150), 266, 333, 433, 526, 962, 1795, 2692, 4123):  # the last eight: rare reasons
        rng = np.random.default_rng(seed)
        grid = pd.MultiIndex.from_product([range(rng.integers(2, 40)), range(rng.integers(2, 7))])
        data = grid.to_frame(index=False, name=["city_id", "year"])
        data = data[rng.random(len(data)) < rng.uniform(0.5, 1)]
        for name in ("y", "m", "x"):
            data[name] = rng.integers(0, 3, len(data))
        try:
            ours = fit(
                data,
                "y",
                ["L.y", "m", "x"],
                {"y": (2, None), "m": (1, 2)},
                steps=rng.choice([1, 2]),
                equation=rng.choice(["system", "difference"]),
                collapse=rng.random() < 0.5,
            )
        except NotEstimable as finding:
            reasons.add(" ".join(finding.reason.en.split()[:2]))
            continue
        fits += 1
        assert all(np.isfinite(getattr(ours, name)).all() for name in ARRAYS)
        assert np.isfinite(ours.hansen_statistic)
    assert 50 < fits < 120
    assert len(reasons) >= 6
