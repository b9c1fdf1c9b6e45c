"""Two measurements of one regressor: against dummies and sandwiches by hand, and known truths."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation.in_memory import Tables
from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.estimators import fixed_effects, two_measurements
from ai_manufacturing.estimators.not_estimable import NotEstimable
from tests.python.conftest import PROJECT, Build
from tests.python.test_estimates import estimated, read_tables, rows_of

SLOPE = 0.4
ANOTHER = "AI firms of all industries by a second vendor substitute for sections B-E"


def drawn(seed: int, cities: int = 150, years: int = 8, error: float = 0.5) -> pd.DataFrame:
    """Draw a panel with two noisy measurements of what moves the outcome, some rows missing."""
    rng = np.random.default_rng(seed)
    city, year = (column.ravel() for column in np.meshgrid(np.arange(cities), np.arange(years), indexing="ij"))
    count = len(city)
    control = rng.normal(size=count)
    truth = 0.5 * control + rng.normal(size=count) + rng.normal(size=cities)[city] + 0.2 * year
    shock = rng.normal(size=cities)[city] * 0.3 * (year - years / 2) / years
    outcome = SLOPE * truth - 0.3 * control + shock + 0.5 * rng.normal(size=count) + rng.normal(size=cities)[city]
    measured = truth[:, None] + error * rng.normal(size=(count, 2))
    sample = pd.DataFrame(
        {
            "city_id": city,
            "year": year,
            "y": outcome,
            "x": measured[:, 0],
            "z": measured[:, 1],
            "control": control,
            "province_id": city // 5,
        }
    )
    return sample[rng.random(count) < 0.9]


def by_dummies(sample: pd.DataFrame, cluster: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimate 2SLS on all dummies, with the sandwich of the clustered scores and fixest's factor."""
    dummies = [
        pd.get_dummies(sample["city_id"], dtype=float),
        pd.get_dummies(sample["year"], drop_first=True, dtype=float),
    ]
    rest = np.column_stack([sample["control"], *dummies])
    x, z = (np.column_stack([sample[name], rest]) for name in ("x", "z"))
    fitted = z @ np.linalg.lstsq(z, x, rcond=None)[0]
    bread = np.linalg.inv(fitted.T @ fitted)
    estimates = bread @ fitted.T @ sample["y"].to_numpy()
    residuals = sample["y"].to_numpy() - x @ estimates
    scores = pd.DataFrame(fitted * residuals[:, None]).groupby(sample[cluster].to_numpy()).sum().to_numpy()
    groups, count, parameters = len(scores), len(sample), 2 + sample["year"].nunique()
    factor = groups / (groups - 1) * (count - 1) / (count - parameters)
    covariance = factor * bread @ scores.T @ scores @ bread
    return estimates[:2], np.sqrt(np.diag(covariance))[:2]


@pytest.mark.parametrize("cluster", ["city_id", "province_id"])
def test_two_stages_are_those_of_all_dummies_by_hand(cluster: str) -> None:
    sample = drawn(1)
    fit = two_measurements.instrumented(sample, "y", "x", "z", ["control"], cluster=cluster)
    estimates, errors = by_dummies(sample, cluster)
    assert fit.terms == ("x", "control")
    np.testing.assert_allclose(fit.estimates, estimates, rtol=1e-9)
    np.testing.assert_allclose(fit.std_errors, errors, rtol=1e-9)
    assert fit.degrees_of_freedom == sample[cluster].nunique() - 1


def test_two_stages_are_those_of_pyfixest() -> None:
    """pyfixest 0.60.0: feols("n ~ w + C(year) | firm | k ~ ys", abdata, vcov={"CRV1": "firm"}), and its first stage."""
    sample = pd.read_csv(PROJECT / "tests/python/golden/abdata.csv").rename(columns={"firm": "city_id"})
    fit = two_measurements.instrumented(sample, "n", "k", "ys", ["w"])
    np.testing.assert_allclose(fit.estimates, [0.8343182139201489, -0.2950910157711725], rtol=1e-9)
    np.testing.assert_allclose(fit.std_errors, [0.17246924618525852, 0.1331533035367535], rtol=1e-9)
    assert fit.first_stage_f == pytest.approx(13.591003987840896, rel=1e-9)


def test_one_instrument_is_the_reduced_form_over_the_first_stage() -> None:
    sample = drawn(2)
    for controls in ([], ["control"]):
        fit = two_measurements.instrumented(sample, "y", "x", "z", controls)
        reduced = fixed_effects.fit(sample, "y", ["z", *controls])
        first = fixed_effects.fit(sample, "x", ["z", *controls])
        assert fit.estimates[0] == pytest.approx(reduced.estimates[0] / first.estimates[0], rel=1e-10)
        assert fit.first_stage_estimate == pytest.approx(first.estimates[0])
        assert fit.first_stage_f == pytest.approx(first.statistics[0] ** 2)


def test_units_of_the_measurements_change_nothing_but_the_units() -> None:
    sample = drawn(3)
    fit = two_measurements.instrumented(sample, "y", "x", "z", ["control"])
    scaled = sample.assign(x=1e6 * sample["x"], z=1e-3 * sample["z"] + 7)
    again = two_measurements.instrumented(scaled, "y", "x", "z", ["control"])
    np.testing.assert_allclose(again.estimates * [1e6, 1], fit.estimates, rtol=1e-8)
    np.testing.assert_allclose(again.std_errors * [1e6, 1], fit.std_errors, rtol=1e-8)


def test_the_slope_that_errors_hide_is_found() -> None:
    """With errors of variance 1/4 against 1 of the truth within, reliability is 4/5: the plain slope is .32."""
    plain, instrumented = [], []
    for seed in range(40):
        sample = drawn(seed)
        plain.append(fixed_effects.fit(sample, "y", ["x", "control"]).estimates[0])
        instrumented.append(two_measurements.instrumented(sample, "y", "x", "z", ["control"]).estimates[0])
    assert np.mean(plain) == pytest.approx(0.8 * SLOPE, abs=0.01)
    assert np.mean(instrumented) == pytest.approx(SLOPE, abs=0.01)


def test_what_two_measurements_cannot_tell_is_a_reason() -> None:
    sample = drawn(6)
    with pytest.raises(NotEstimable, match="linear combination"):
        two_measurements.instrumented(sample.assign(z=sample["x"]), "y", "x", "z", ["control"])


@pytest.mark.parametrize("controls", [[], ["control"]])
def test_the_difference_of_the_slopes_has_the_errors_of_both_stages_by_hand(controls: list[str]) -> None:
    """By city the stacked scores of both; by province both estimated again without each."""
    sample = drawn(4, cities=60)

    def slopes(rows: pd.DataFrame) -> tuple[float, float]:
        return tuple(
            two_measurements.instrumented(rows, "y", one, other, controls).estimates[0]
            for one, other in (("x", "z"), ("z", "x"))
        )

    own, other = slopes(sample)
    by_city = two_measurements.equality(sample, "y", "x", "z", controls, cluster="city")
    assert by_city.estimate == pytest.approx(own - other, rel=1e-9)
    dummies = [pd.get_dummies(sample[name], dtype=float) for name in ("city_id", "year")]
    rest = np.column_stack([*dummies, sample[controls]])
    raw = sample[["y", "x", "z"]].to_numpy()
    y, x, z = (raw - rest @ np.linalg.lstsq(rest, raw)[0]).T
    scores = (z * (y - own * x) - x * (y - other * z)) / (z @ x)
    sums = pd.Series(scores).groupby(sample["city_id"].to_numpy()).sum()
    factor = 60 / 59 * (len(sample) - 1) / (len(sample) - (1 + len(controls)) - sample["year"].nunique())
    assert by_city.std_error == pytest.approx(np.sqrt(factor * (sums**2).sum()), rel=1e-9)
    assert (by_city.degrees_of_freedom, by_city.warnings) == (59, ())

    by_province = two_measurements.equality(sample, "y", "x", "z", controls, cluster="province")
    without = [
        np.subtract(*slopes(sample[sample["province_id"] != province])) for province in sample["province_id"].unique()
    ]
    squares = sum((difference - (own - other)) ** 2 for difference in without)
    assert by_province.std_error == pytest.approx(np.sqrt(11 / 12 * squares), rel=1e-9)
    assert by_province.degrees_of_freedom == 11


def test_classical_errors_are_rarely_rejected_and_an_error_that_moves_with_the_truth_always() -> None:
    """An error that takes half of the truth off doubles the slope on that measurement."""
    rejected = []
    for seed in range(40):
        sample = drawn(seed, cities=60)
        found = two_measurements.equality(sample, "y", "x", "z", ["control"], cluster="province")
        rejected.append(found.p_value < 0.05)
        assert ("equality is rejected" in found.warnings[0].en) == rejected[-1]
        shrunk = two_measurements.equality(
            sample.assign(z=0.5 * sample["z"]), "y", "x", "z", ["control"], cluster="province"
        )
        assert shrunk.p_value < 0.05
        assert "equality is rejected" in shrunk.warnings[0].en
        assert "拒绝两者相等" in shrunk.warnings[0].zh
    assert np.mean(rejected) <= 0.15


@pytest.fixture(scope="module")
def two_vendors(sample_build: Build) -> Tables:
    """The sample's tables, with AI firms of a second vendor: those of the first, some years late."""
    tables = read_tables(sample_build)
    first = tables.measures[tables.measures["measure"] == "ai_firms"]
    counts = np.ceil(first["measure_count"] * (0.7 + 0.1 * (first["year"] % 4)))
    second = first.assign(
        measure="ai_firms@ciciliujx", measure_count=counts, ln1p_measure=np.log1p(counts), ln_measure=np.log(counts + 1)
    )
    series = tables.series
    rows = series[(series["series"] == "ai_firm_count") & (series["scope"] == "industry")]
    named = rows.assign(series="ai_firm_count@ciciliujx", provider="ciciliujx", substitution=ANOTHER)
    return replace(
        tables, measures=pd.concat([tables.measures, second]), series=pd.concat([series, named], ignore_index=True)
    )


def test_a_named_provider_feeds_the_measure_and_the_default_one_is_the_plain_series(two_vendors: Tables) -> None:
    rows = rows_of("table_1_col_1_observed")
    plain, default, second = (
        estimated(rows.assign(providers=providers), two_vendors).set_index("term").loc["ai_firms"]
        for providers in (None, "ai_firm_count=vendor", "ai_firm_count=ciciliujx")
    )
    assert default["estimate"] == plain["estimate"]
    assert second["estimate"] != plain["estimate"]
    assert (second["outcome"], second["regressor"]) == (plain["outcome"], plain["regressor"])
    assert ANOTHER in second["substitutions"]
    assert ANOTHER not in plain["substitutions"]
    # By hand: the same panel with the counts of the second vendor in place of the first's.
    measures = two_vendors.measures
    kept = measures[measures["measure"] != "ai_firms"].replace({"measure": {"ai_firms@ciciliujx": "ai_firms"}})
    swapped = estimated(rows, replace(two_vendors, measures=kept)).set_index("term").loc["ai_firms"]
    assert second["estimate"] == swapped["estimate"]


def test_two_vendors_are_instruments_for_each_other(two_vendors: Tables) -> None:
    rows = rows_of("table_1_col_1_observed", estimator="iv_fixed_effects")
    by_second = estimated(rows.assign(options="instrument=ai_firms@ciciliujx"), two_vendors)
    by_first = estimated(
        rows.assign(options="instrument=ai_firms@vendor", providers="ai_firm_count=ciciliujx"), two_vendors
    )
    found = pd.concat([by_second, by_first]).query("term == 'ai_firms'")
    assert set(found["status"]) == {"estimated"}
    assert (found["first_stage_f"] > 10).all()
    assert found["warnings"].str.contains("Consistent only if the errors of the two measurements are unrelated").all()


def test_a_source_that_was_not_delivered_is_named_with_its_provider(two_vendors: Tables, sample_build: Build) -> None:
    rows = rows_of("table_1_col_1", providers="gdp_100m_cny=koishi0425")
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "Not delivered: gdp_100m_cny@koishi0425."
    rows = rows_of("table_1_col_1_observed", estimator="iv_fixed_effects", options="instrument=ai_firms@lily_han_ui")
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "Not delivered: ai_firm_count@lily_han_ui (industry)."
    rows = rows.assign(options="instrument=ai_firms@vendor")
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "The second measurement of ai_firms is the measure itself."
    # The rows of the seed, on a sample of one vendor.
    named = sample_build.rows("select reason from reports.rpt_specifications where providers like '%ciciliujx%'")
    assert named
    assert all("ai_firm_count@ciciliujx (industry)" in reason for (reason,) in named)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"providers": "gdp_100m_cny"}, "column providers: 'gdp_100m_cny' is not series=provider"),
        ({"providers": "fdi_1m_usd=vendor"}, "does not use 'fdi_1m_usd'. It uses gdp_100m_cny"),
        ({"estimator": "iv_fixed_effects", "options": "instrument=ai_firms"}, "'instrument=ai_firms' is not an option"),
        ({"estimator": "iv_fixed_effects", "options": ""}, "iv_fixed_effects needs instrument=measure@provider"),
        (
            {"estimator": "iv_fixed_effects", "options": "instrument=ai_firms@ciciliujx", "covariance": "robust"},
            "column covariance: 'robust' is not supported",
        ),
    ],
)
def test_a_source_that_cannot_be_read_names_its_row(changed: dict[str, str], message: str, two_vendors: Tables) -> None:
    with pytest.raises(SpecificationError, match=message) as raised:
        estimated(rows_of("table_1_col_1_no_controls", **changed), two_vendors)
    assert "table_1_col_1_no_controls" in str(raised.value)
