"""The two-way fixed-effects estimator against fixest's printed numbers, a second route in plain numpy, and truth."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from linearmodels.datasets import wage_panel
from scipy import stats

from ai_manufacturing.estimators.fixed_effects import (
    Covariance,
    FixedEffectsFit,
    cluster_factor,
    fit,
    partialled_out,
    unclustered_degrees_of_freedom,
    unclustered_errors,
)
from ai_manufacturing.estimators.not_estimable import NotEstimable

GOLDEN = Path(__file__).parent / "golden"
RECORDS: list[dict[str, Any]] = json.loads((GOLDEN / "twfe.json").read_text(encoding="utf-8"))
SEEDS = range(8)
ARRAYS = ("estimates", "std_errors", "statistics", "p_values", "conf_low", "conf_high", "covariance_matrix")

pytestmark = pytest.mark.filterwarnings("error")


# ---------------------------------------------------------------- golden numbers


def golden_fit(record: dict[str, Any]) -> FixedEffectsFit:
    outcome, right = (part.strip() for part in record["formula"].split("~"))
    slopes, effects = (part.split("+") for part in right.split("|"))
    entity, time = (name.strip() for name in effects)
    name = record["dataset"]
    data = wage_panel.load() if name == "wage_panel.csv" else pd.read_csv(GOLDEN / name)
    return fit(data, outcome, [slope.strip() for slope in slopes], entity=entity, time=time)


def golden_id(record: dict[str, Any]) -> str:
    return f"{record['dataset'].removesuffix('.csv')}-{record['fixef_rm']}"


@pytest.mark.parametrize("record", [r for r in RECORDS if r["dataset"] != "abdata_singletons.csv"], ids=golden_id)
def test_fixest_is_matched_where_there_are_no_singletons(record: dict[str, Any]) -> None:
    """Balanced and unbalanced data; fixest's singleton rule (none, one pass) cannot matter here."""
    ours = golden_fit(record)
    assert ours.terms == tuple(record["coef"])
    np.testing.assert_allclose(ours.estimates, list(record["coef"].values()), rtol=1e-11)
    np.testing.assert_allclose(ours.std_errors, list(record["se"].values()), rtol=1e-11)
    assert ours.r2_inclusive == pytest.approx(record["r2"]["r2"], abs=1e-12)
    assert ours.r2_within == pytest.approx(record["r2"]["wr2"], abs=1e-12)
    assert ours.degrees_of_freedom == record["df_t"]
    assert (ours.observation_count, ours.singletons_dropped) == (record["N"], 0)
    assert [ours.city_count, ours.year_count] == list(record["fixef_sizes"].values())


@pytest.mark.parametrize("record", [r for r in RECORDS if r["dataset"] == "abdata_singletons.csv"], ids=golden_id)
def test_fixest_is_matched_under_its_own_singleton_rule(record: dict[str, Any]) -> None:
    """We drop to a fixed point (922 rows); the records keep all (930) or make one pass (923).

    A singleton's residual is zero, so coefficients and sandwich are the same, and only the factor differs.
    """
    ours = golden_fit(record)
    np.testing.assert_allclose(ours.estimates, list(record["coef"].values()), rtol=1e-11)
    assert (ours.observation_count, ours.city_count, ours.year_count) == (922, 133, 9)
    assert ours.singletons_dropped == 8

    entities, years = record["fixef_sizes"].values()
    theirs = cluster_factor(record["N"], entities, 3, years)
    sandwich = ours.std_errors / np.sqrt(cluster_factor(922, 133, 3, 9))
    np.testing.assert_allclose(sandwich * np.sqrt(theirs), list(record["se"].values()), rtol=1e-11)
    assert ours.r2_within == pytest.approx(record["r2"]["wr2"], abs=1e-12)
    assert record["df_t"] == entities - 1


def test_dropping_to_a_fixed_point_is_what_fixest_prints_for_the_rows_that_are_left() -> None:
    """Fitting the 922 rows again drops nothing and changes nothing."""
    data = pd.read_csv(GOLDEN / "abdata_singletons.csv")
    rows = keep_without_singletons(data, "firm", "year")
    whole = fit(data, "n", ["w", "k", "ys"], entity="firm")
    left = fit(rows, "n", ["w", "k", "ys"], entity="firm")
    assert (len(rows), left.singletons_dropped) == (922, 0)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(whole, name), getattr(left, name))


def test_plm_is_matched_where_errors_are_iid() -> None:
    """R's plm, Grunfeld data, effect = "twoways", as its summary is printed: K counts all effects, p from t(n-K)."""
    ours = fit(
        pd.read_csv(GOLDEN / "grunfeld.csv"), "inv", ["value", "capital"], entity="firm", time="year", covariance="iid"
    )
    np.testing.assert_allclose(ours.estimates, [0.117716, 0.357916], atol=5e-7)
    np.testing.assert_allclose(ours.std_errors, [0.013751, 0.022719], atol=5e-7)
    np.testing.assert_allclose(ours.statistics, [8.5604, 15.7540], atol=5e-5)
    assert ours.p_values[0] == pytest.approx(6.653e-15, rel=1e-3)
    assert ours.degrees_of_freedom == 200 - (2 + 10 + 20 - 1)


# ---------------------------------------------------------------- a second route


@dataclass
class SecondRoute:
    estimates: np.ndarray
    covariance: np.ndarray
    rows: int
    entities: int
    years: int
    clusters: int
    r2_inclusive: float
    r2_within: float


def keep_without_singletons(data: pd.DataFrame, entity: str, time: str) -> pd.DataFrame:
    while True:
        kept = data.groupby(entity).filter(lambda group: len(group) > 1)
        kept = kept.groupby(time).filter(lambda group: len(group) > 1)
        if len(kept) == len(data):
            return kept
        data = kept


def dummy_regression(data: pd.DataFrame, outcome: str, regressors: list[str], cluster: str) -> SecondRoute:
    """Projection on explicit dummies by least squares, and the sandwich summed cluster by cluster."""
    data = keep_without_singletons(data, "city_id", "year")
    y, x = data[outcome].to_numpy(), data[regressors].to_numpy()
    entities, years, clusters = (data[name].unique() for name in ("city_id", "year", cluster))
    dummies = np.column_stack(
        [data["city_id"].to_numpy() == e for e in entities] + [data["year"].to_numpy() == t for t in years]
    ).astype(float)

    def off_dummies(block: np.ndarray) -> np.ndarray:
        return block - dummies @ np.linalg.lstsq(dummies, block, rcond=None)[0]

    x_within, y_within = off_dummies(x), off_dummies(y)
    estimates = np.linalg.lstsq(x_within, y_within, rcond=None)[0]
    residuals = y_within - x_within @ estimates
    meat = np.zeros((len(regressors), len(regressors)))
    for label in clusters:
        rows = data[cluster].to_numpy() == label
        score = x_within[rows].T @ residuals[rows]
        meat += np.outer(score, score)
    bread = np.linalg.inv(x_within.T @ x_within)
    n, k, g = len(data), len(regressors), len(clusters)
    factor = g / (g - 1) * (n - 1) / (n - k - len(years))

    everything = np.column_stack([x, dummies])
    rss = np.sum((y - everything @ np.linalg.lstsq(everything, y, rcond=None)[0]) ** 2)
    return SecondRoute(
        estimates=estimates,
        covariance=factor * bread @ meat @ bread,
        rows=n,
        entities=len(entities),
        years=len(years),
        clusters=g,
        r2_inclusive=1 - rss / np.sum((y - y.mean()) ** 2),
        r2_within=1 - rss / np.sum(y_within**2),
    )


def random_panel(seed: int, cities: int = 30, years: int = 9) -> pd.DataFrame:
    """Unbalanced, serially correlated, with singleton cities, a singleton year, and a chain of the two."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(cities), range(2010, 2010 + years)], names=["city", "year"])
    data = grid.to_frame(index=False)
    data = data[rng.random(len(data)) < rng.uniform(0.45, 0.95)]
    extra = pd.DataFrame(
        {
            "city": [900, 901, 902, 902, *rng.integers(0, cities, 1)],
            "year": [2010, 2012, 2013, 2030, 2031],  # city 902 falls only after year 2030 has fallen
        }
    )
    data = pd.concat([data, extra], ignore_index=True)
    n = len(data)
    shock = pd.Series(rng.normal(size=1000), name="shock")
    for name in ("x1", "x2", "x3"):
        city_part = data["city"].map(shock.sample(frac=1, random_state=seed).reset_index(drop=True))
        data[name] = rng.normal(size=n) + city_part + 0.1 * (data["year"] - 2010)
    noise = rng.normal(size=n) * (1 + np.abs(data["x1"])) + data["city"].map(shock) * (data["year"] - 2015) / 3
    data["y"] = 10 + 0.5 * data["x1"] - 0.2 * data["x2"] + data["city"] / 10 + noise
    data["city_id"] = data["city"].map("{:06d}".format)
    data["province"] = data["city"] // 4
    return data.sample(frac=1, random_state=seed)


@pytest.mark.parametrize("cluster", [None, "city_id", "province"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_route_in_plain_numpy_agrees(seed: int, cluster: str | None) -> None:
    data = random_panel(seed)
    regressors = ["x1", "x2", "x3"]
    ours = fit(data, "y", regressors, cluster=cluster)
    theirs = dummy_regression(data, "y", regressors, cluster or "city_id")
    errors = np.sqrt(np.diag(theirs.covariance))
    t = theirs.estimates / errors

    assert ours.singletons_dropped >= 5
    assert ours.observation_count == theirs.rows == len(data) - ours.singletons_dropped
    assert (ours.city_count, ours.year_count) == (theirs.entities, theirs.years)
    assert ours.degrees_of_freedom == theirs.clusters - 1
    np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-8)
    np.testing.assert_allclose(ours.covariance_matrix, theirs.covariance, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.std_errors, errors, rtol=1e-8)
    np.testing.assert_allclose(ours.statistics, t, rtol=1e-8)
    np.testing.assert_allclose(ours.p_values, 2 * stats.t.sf(np.abs(t), theirs.clusters - 1), rtol=1e-7)
    low, high = stats.t.interval(0.95, theirs.clusters - 1, theirs.estimates, errors)
    np.testing.assert_allclose(ours.conf_low, low, rtol=1e-8)
    np.testing.assert_allclose(ours.conf_high, high, rtol=1e-8)
    assert ours.r2_inclusive == pytest.approx(theirs.r2_inclusive, rel=1e-8)
    assert ours.r2_within == pytest.approx(theirs.r2_within, rel=1e-8)


@pytest.mark.parametrize("covariance", ["iid", "robust"])
@pytest.mark.parametrize("seed", SEEDS)
def test_unclustered_errors_are_those_of_a_regression_on_all_dummies(seed: int, covariance: Covariance) -> None:
    """Classical and HC1 covariance of least squares with every dummy a regressor, n-K from its rank."""
    whole = random_panel(seed)
    regressors = ["x1", "x2", "x3"]
    ours = fit(whole, "y", regressors, covariance=covariance)
    data = keep_without_singletons(whole, "city_id", "year")
    entities, years = data["city_id"].unique(), data["year"].unique()
    x = np.column_stack(
        [data[regressors]] + [data["city_id"] == e for e in entities] + [data["year"] == t for t in years[1:]]
    ).astype(float)
    y, (n, k) = data["y"].to_numpy(), x.shape
    assert np.linalg.matrix_rank(x) == k
    bread = np.linalg.inv(x.T @ x)
    estimates = bread @ (x.T @ y)
    residuals = y - x @ estimates
    if covariance == "iid":
        theirs = residuals @ residuals / (n - k) * bread
    else:
        theirs = n / (n - k) * bread @ (x * residuals[:, None] ** 2).T @ x @ bread
    errors = np.sqrt(np.diag(theirs))[:3]
    t = estimates[:3] / errors

    assert ours.degrees_of_freedom == n - k
    np.testing.assert_allclose(ours.estimates, estimates[:3], rtol=1e-10)
    np.testing.assert_allclose(ours.covariance_matrix, theirs[:3, :3], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(ours.std_errors, errors, rtol=1e-10)
    np.testing.assert_allclose(ours.p_values, 2 * stats.t.sf(np.abs(t), n - k), rtol=1e-7)
    low, high = stats.t.interval(0.95, n - k, estimates[:3], errors)
    np.testing.assert_allclose((ours.conf_low, ours.conf_high), (low, high), rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_both_unclustered_errors_at_once_are_those_of_the_two_fits(seed: int) -> None:
    data = random_panel(seed).assign(x1=lambda d: 1e4 * d["x1"])
    both = unclustered_errors(partialled_out(data, "y", ["x1", "x2"]))
    for kind, errors, p_values in (
        ("iid", both.iid, both.iid_p_values),
        ("robust", both.robust, both.robust_p_values),
    ):
        ours = fit(data, "y", ["x1", "x2"], covariance=kind)
        np.testing.assert_allclose(errors, ours.std_errors, rtol=1e-10)
        np.testing.assert_allclose(p_values, ours.p_values, rtol=1e-8)


def test_both_unclustered_errors_are_zero_where_the_fit_is_exact() -> None:
    data = small_panel().assign(y=lambda d: 2 * d["x1"])
    both = unclustered_errors(partialled_out(data, "y", ["x1"]))
    assert both.iid == both.robust == 0
    assert np.isnan(both.iid_p_values).all()


def test_the_kind_of_covariance_changes_nothing_but_the_errors() -> None:
    data = random_panel(0)
    fits = [fit(data, "y", ["x1", "x2"], covariance=kind) for kind in ("clustered", "iid", "robust")]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.estimates, fits[0].estimates)
        assert other.r2_within == fits[0].r2_within
        assert other.singletons_dropped == fits[0].singletons_dropped


@pytest.mark.parametrize("t", [0.0, 0.3, 2.5, 40.0])
def test_p_values_are_those_of_t_with_clusters_less_one_degrees_of_freedom(t: float) -> None:
    """Shift the outcome by a multiple of the regressor, so that the statistic is t."""
    data = random_panel(3)
    first = fit(data, "y", ["x1"], cluster="province")
    data["y"] += (t * first.std_errors[0] - first.estimates[0]) * data["x1"]
    ours = fit(data, "y", ["x1"], cluster="province")
    assert ours.statistics[0] == pytest.approx(t, abs=1e-9)
    assert ours.p_values[0] == pytest.approx(2 * stats.t.sf(t, ours.degrees_of_freedom), rel=1e-6)


# ---------------------------------------------------------------- properties


def test_the_order_of_the_rows_does_not_change_a_single_bit() -> None:
    data = random_panel(1)
    first = fit(data, "y", ["x1", "x2"])
    second = fit(data.sort_values(["year", "city_id"]), "y", ["x1", "x2"])
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_units_and_offsets_of_a_regressor_only_rescale_its_slope() -> None:
    """Population in persons beside a share: PanelOLS alone would call the first absorbed or the pair collinear."""
    data = random_panel(2)
    plain = fit(data, "y", ["x1", "x2"])
    data["x1"] = 1e9 + 1e2 * data["x1"]
    data["x2"] *= 1e-12
    data["y"] *= 1e6
    ours = fit(data, "y", ["x1", "x2"])
    np.testing.assert_allclose(ours.estimates * [1e-4, 1e-18], plain.estimates, rtol=1e-7)
    np.testing.assert_allclose(ours.p_values, plain.p_values, rtol=1e-6)
    assert ours.r2_within == pytest.approx(plain.r2_within, rel=1e-8)


def test_values_whose_squares_overflow_are_estimated() -> None:
    data = random_panel(2)
    plain = fit(data, "y", ["x1"])
    data["x1"] *= 1e200
    np.testing.assert_allclose(fit(data, "y", ["x1"]).statistics, plain.statistics, rtol=1e-10)


def test_a_city_constant_in_logs_is_absorbed() -> None:
    """Equation 2 in logs: the weight drops out and the slope is that on the log count of firms."""
    data = random_panel(4)
    data["weighted"] = data["x1"] + np.log1p(data["city"])
    firms, weighted = fit(data, "y", ["x1", "x2"]), fit(data, "y", ["weighted", "x2"])
    np.testing.assert_allclose(weighted.estimates, firms.estimates, rtol=1e-10)
    np.testing.assert_allclose(weighted.std_errors, firms.std_errors, rtol=1e-10)


def test_labels_of_any_type_and_nullable_numbers_give_the_same_fit() -> None:
    data = random_panel(5)
    plain = fit(data, "y", ["x1"])
    other = data.assign(city_id=data["city"].astype("category"), x1=data["x1"].astype("Float64"))
    np.testing.assert_array_equal(fit(other, "y", ["x1"]).std_errors, plain.std_errors)


def test_the_sample_is_left_as_it_was() -> None:
    data = random_panel(6)
    before = data.copy()
    fit(data, "y", ["x1", "x2"], cluster="province")
    pd.testing.assert_frame_equal(data, before)


def test_unconnected_pieces_of_a_panel_are_estimated_with_years_counted_in_full() -> None:
    """Two sets of cities that share no year; K is k + years, as fixest counts."""
    data = random_panel(7)
    data = data[(data["city"] < 900) & (data["year"] < 2019)]
    early = data["city"] < 15
    data = data[early == (data["year"] < 2014)]
    ours = fit(data, "y", ["x1", "x2"])
    theirs = dummy_regression(data, "y", ["x1", "x2"], "city_id")
    np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-8)
    np.testing.assert_allclose(ours.covariance_matrix, theirs.covariance, rtol=1e-8)


def test_an_identity_has_slope_one_an_error_of_zero_and_no_test() -> None:
    """Weights scaled by growth of the outcome itself: the regressor contains the outcome."""
    data = random_panel(0)
    data["mechanical"] = data["y"] + np.sqrt(data["city"])
    ours = fit(data, "y", ["mechanical", "x1"])
    np.testing.assert_allclose(ours.estimates, [1, 0], atol=1e-10)
    np.testing.assert_array_equal(ours.std_errors, [0, 0])
    assert np.isnan(ours.statistics).all()
    assert np.isnan(ours.p_values).all()
    np.testing.assert_array_equal(ours.conf_low, ours.estimates)
    assert ours.r2_within == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_clustered_intervals_cover_the_truth_and_unclustered_ones_do_not(seed: int) -> None:
    """60 draws a seed of a panel with AR(1) regressor and errors: 95 % means 95 %, up to its sampling error."""
    rng = np.random.default_rng([seed, 2024])
    cities, years, draws, slope = 50, 8, 60, 0.3
    covered = naive = 0
    for _ in range(draws):
        x, e = rng.normal(size=(2, cities, years))
        for t in range(1, years):
            x[:, t] += 0.9 * x[:, t - 1]
            e[:, t] += 0.9 * e[:, t - 1]
        y = slope * x + e + rng.normal(size=(cities, 1)) + rng.normal(size=years)
        data = pd.DataFrame(
            {
                "city_id": np.repeat(np.arange(cities), years),
                "year": np.tile(np.arange(years), cities),
                "x": x.ravel(),
                "y": y.ravel(),
            }
        )
        ours = fit(data, "y", ["x"])
        covered += bool(ours.conf_low[0] <= slope <= ours.conf_high[0])
        x_within = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
        y_within = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
        s2 = np.sum((y_within - ours.estimates[0] * x_within) ** 2) / (cities * years - cities - years)
        naive += bool(abs(ours.estimates[0] - slope) <= 1.96 * np.sqrt(s2 / np.sum(x_within**2)))
    three_errors = 3 * np.sqrt(0.95 * 0.05 / draws)
    assert covered / draws > 0.95 - three_errors
    assert naive < covered


# ---------------------------------------------------------------- what cannot be estimated


def small_panel() -> pd.DataFrame:
    """Six cities in three provinces, five years, no gaps."""
    rng = np.random.default_rng(11)
    grid = pd.MultiIndex.from_product([list("abcdef"), range(2015, 2020)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    data["province"] = data["city_id"].map(dict(zip("abcdef", "xxyyzz", strict=True)))
    return data.assign(**dict(zip(("y", "x1", "x2", "x3"), rng.normal(size=(4, len(data))), strict=True)))


def rows(data: pd.DataFrame, query: str) -> pd.DataFrame:
    return data.query(query)


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing regressor": (
        lambda d: d.assign(x2=d["x2"].where(d.index != 3)),
        "Column x2 has 1 missing or non-finite values.",
    ),
    "infinite outcome": (
        lambda d: d.assign(y=d["y"].where(d.index > 1, -np.inf)),
        "Column y has 2 missing or non-finite values.",
    ),
    "missing in a nullable column": (
        lambda d: d.assign(x1=pd.Series([1, None] * 15, dtype="Int64")),
        "Column x1 has 15 missing or non-finite values.",
    ),
    "text": (lambda d: d.assign(x1="1,2O4"), "Column x1 holds values that are not numbers."),
    "missing city": (
        lambda d: d.assign(city_id=d["city_id"].where(d.index != 3)),
        "Column city_id has 1 missing values.",
    ),
    "missing cluster": (
        lambda d: d.assign(province=d["province"].where(d["province"] != "x")),
        "Column province has 10 missing values.",
    ),
    "no regressor": (lambda d: d, "The specification names no regressor."),
    "no rows": (lambda d: d.head(0), "The sample has no observations."),
    "only singletons": (
        lambda d: rows(d, "city_id == 'a' or (city_id == 'b' and year == 2015)"),
        "No observations are left: every city_id or year of the 6 rows is a singleton.",
    ),
    "one city": (
        lambda d: rows(d, "city_id == 'd'"),
        "Clustered errors need at least two values of city_id, and the sample has one.",
    ),
    "one province": (
        lambda d: d.assign(province="x"),
        "Clustered errors need at least two values of province, and the sample has one.",
    ),
    "one province once singletons are dropped": (
        lambda d: rows(d, "province == 'x' or (province == 'y' and year == 2017 and city_id == 'c')"),
        "Clustered errors need at least two clusters, and the sample has 1.",
    ),
    "city in two provinces": (
        lambda d: d.assign(province=d["province"].where((d["city_id"] != "c") | (d["year"] < 2018), "z")),
        "city_id c lies in more than one province: errors clustered by province need every city_id inside one.",
    ),
    "clusters across cities": (
        lambda d: d,
        "city_id a lies in more than one year: errors clustered by year need every city_id inside one.",
    ),
    "city twice in a year": (
        lambda d: pd.concat([d, d[(d["city_id"] == "b") & (d["year"] == 2016)]]),
        "city_id b has more than one row in year 2016.",
    ),
    "one year": (
        lambda d: rows(d, "year == 2016"),
        "Period effects need at least two values of year, and the sample has one.",
    ),
    "no more rows than parameters": (
        lambda d: rows(d, "city_id in ['a', 'b'] and year < 2017"),
        "The sample has 4 observations for 4 parameters (2 slopes and 2 years, cities nested in the clusters).",
    ),
    "saturated": (
        lambda d: rows(d, "city_id in ['a', 'b', 'c'] and year < 2017"),
        "The model is saturated: 6 observations, 2 slopes and 4 free effects of city_id and year leave no residual "
        "degree of freedom.",
    ),
    "outcome without within variation": (
        lambda d: d.assign(y=d["year"] + d["city_id"].map(ord) / 7),
        "The outcome y does not vary once the city_id and year effects are removed.",
    ),
    "outcome of zeros": (
        lambda d: d.assign(y=0),
        "The outcome y does not vary once the city_id and year effects are removed.",
    ),
    "regressor constant over time": (
        lambda d: d.assign(x2=d["city_id"].map(ord) / 3),
        "Regressor x2 does not vary once the city_id and year effects are removed.",
    ),
    "regressor the sum of a city and a year part": (
        lambda d: d.assign(x2=1e6 * d["city_id"].map(ord) / 3 + 1e-3 * np.sin(d["year"])),
        "Regressor x2 does not vary once the city_id and year effects are removed.",
    ),
    "the same sum written to a file with eight digits": (
        lambda d: d.assign(x2=(100 * d["city_id"].map(ord) / 3 + 100 * np.sin(d["year"])).round(5)),
        "Regressor x2 does not vary once the city_id and year effects are removed.",
    ),
    "regressor constant but for rounding": (
        lambda d: d.assign(x2=np.where(d["x1"] > 0, 0.1 + 0.2, 0.3)),
        "Regressor x2 does not vary once the city_id and year effects are removed.",
    ),
    "the same regressor in other units": (
        lambda d: d.assign(x3=1e9 * d["x1"] + 5),
        "Regressor x3 is a linear combination of x1 once the city_id and year effects are removed.",
    ),
    "linear combination up to the effects": (
        lambda d: d.assign(x3=d["x1"] - 2 * d["x2"] + 30 * np.cos(d["year"]) + d["city_id"].map(ord)),
        "Regressor x3 is a linear combination of x1 and x2 once the city_id and year effects are removed.",
    ),
    "two cities as clusters": (
        lambda d: rows(d, "city_id in ['a', 'b']"),
        "The error of x1 cannot be estimated: its scores sum to zero in each of the 2 clusters of city_id.",
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "missing regressor": {"regressors": ["x1", "x2"]},
    "missing cluster": {"cluster": "province"},
    "no regressor": {"regressors": []},
    "one province": {"cluster": "province"},
    "one province once singletons are dropped": {"cluster": "province"},
    "city in two provinces": {"cluster": "province"},
    "clusters across cities": {"cluster": "year"},
    "no more rows than parameters": {"regressors": ["x1", "x2"]},
    "saturated": {"regressors": ["x1", "x2"]},
    "regressor constant over time": {"regressors": ["x1", "x2"]},
    "regressor the sum of a city and a year part": {"regressors": ["x1", "x2"]},
    "the same sum written to a file with eight digits": {"regressors": ["x1", "x2"]},
    "regressor constant but for rounding": {"regressors": ["x1", "x2"]},
    "the same regressor in other units": {"regressors": ["x1", "x2", "x3"]},
    "linear combination up to the effects": {"regressors": ["x1", "x2", "x3"]},
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_says_why(case: str) -> None:
    change, reason = CASES[case]
    with pytest.raises(NotEstimable) as caught:
        fit(change(small_panel()), "y", **{"regressors": ["x1"], **OPTIONS.get(case, {})})
    assert caught.value.reason.en == reason
    assert str(caught.value) == reason


@pytest.mark.parametrize("covariance", ["iid", "robust"])
def test_errors_without_clusters_need_residual_degrees_of_freedom(covariance: Covariance) -> None:
    with pytest.raises(NotEstimable) as caught:
        fit(small_panel().query("city_id < 'd' and year < 2017"), "y", ["x1", "x2"], covariance=covariance)
    assert (
        caught.value.reason.en
        == "The sample has 6 observations for 6 parameters (2 slopes, 3 cities and 2 years less one)."
    )


@pytest.mark.parametrize("covariance", ["iid", "robust"])
def test_one_city_without_clusters_is_all_singletons(covariance: Covariance) -> None:
    with pytest.raises(NotEstimable, match="No observations are left"):
        fit(small_panel().query("city_id == 'd'"), "y", ["x1"], covariance=covariance)


def test_an_identity_has_an_error_of_zero_under_every_covariance() -> None:
    data = small_panel().assign(y=lambda d: 2 * d["x1"] + d["year"])
    for covariance in ("iid", "robust"):
        ours = fit(data, "y", ["x1"], covariance=covariance)
        np.testing.assert_array_equal(ours.std_errors, [0])
        assert np.isnan(ours.p_values).all()


def test_rows_fitted_exactly_have_no_robust_error() -> None:
    """Two more cities in two years of their own: one slope and three effects for their four rows."""
    apart = pd.DataFrame({"city_id": list("sstt"), "year": [2030, 2031] * 2, "y": [1, 5, 2, 3], "x2": [0, 1, 0, 0]})
    pieces = pd.concat([small_panel().assign(x2=0), apart])
    with pytest.raises(NotEstimable) as caught:
        fit(pieces, "y", ["x2"], covariance="robust")
    assert (
        caught.value.reason.en == "The error of x2 cannot be estimated: the rows that identify it are fitted exactly."
    )


def test_a_cluster_named_for_errors_without_clusters_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="iid errors use no clusters; remove cluster=province"):
        fit(small_panel(), "y", ["x1"], cluster="province", covariance="iid")


def test_near_collinearity_short_of_the_tolerance_is_estimated_right() -> None:
    data = random_panel(1)
    data["near"] = data["x1"] + 1e-3 * data["x2"]
    ours = fit(data, "y", ["x1", "near"])
    theirs = fit(data, "y", ["x1", "x2"])
    assert ours.estimates[1] == pytest.approx(theirs.estimates[1] * 1e3, rel=1e-8)
    assert ours.std_errors[1] == pytest.approx(theirs.std_errors[1] * 1e3, rel=1e-6)


@pytest.mark.parametrize("covariance", ["clustered", "iid", "robust"])
def test_whatever_the_sample_the_answer_is_a_fit_or_a_reason(covariance: Covariance) -> None:
    """Tiny random samples with few distinct values: nothing but NotEstimable escapes, and no number is infinite."""
    fits = 0
    # The last four: variances that rounding leaves below zero.
    seeds = (*range(120), 612, 706, 1263, 1387) if covariance == "clustered" else (*range(40), 612, 706, 1263, 1387)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        grid = pd.MultiIndex.from_product([range(rng.integers(2, 6)), range(rng.integers(2, 5))])
        data = grid.to_frame(index=False, name=["city_id", "year"])
        data = data[rng.random(len(data)) < 0.9]
        for name in ("y", "x1", "x2"):
            data[name] = rng.integers(0, 3, len(data))
        try:
            ours = fit(data, "y", ["x1", "x2"], covariance=covariance)
        except NotEstimable:
            continue
        fits += 1
        assert np.isfinite(ours.std_errors).all()
        assert np.isfinite(ours.statistics[ours.std_errors > 0]).all()
    assert len(seeds) / 3 < fits < len(seeds) * 0.9


def test_cluster_factor_is_the_product_of_its_two_parts() -> None:
    assert cluster_factor(3190, 290, 4, 11) == pytest.approx(290 / 289 * 3189 / 3175)


def test_unclustered_degrees_of_freedom_count_every_effect_but_one() -> None:
    assert unclustered_degrees_of_freedom(3190, 290, 4, 11) == 3190 - 4 - 290 - 10
