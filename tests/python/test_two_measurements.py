"""Two measurements of one regressor: against dummies and sandwiches by hand, and pyfixest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.two_measurements import instrumented
from tests.lib.in_memory import Tables
from tests.python.conftest import Build
from tests.python.estimator_tools import OnDummies, approx, golden_data, grid, refusal
from tests.python.test_estimates import estimated, read_tables, rows_of

ANOTHER = "AI firms of all industries by a second vendor substitute for sections B-E"


def drawn() -> pd.DataFrame:
    """Draw a panel with two noisy measurements of what moves the outcome, some rows missing."""
    rng = np.random.default_rng(4)
    sample = grid(range(60), range(8))
    truth, first, second, noise, control = rng.normal(size=(5, len(sample)))
    sample = sample.assign(
        x=truth + 0.5 * first,
        z=truth + 0.5 * second,
        y=0.4 * truth - 0.3 * control + 0.5 * noise,
        control=control,
        province_id=sample["city_id"] // 5,
    )
    return sample[rng.random(len(sample)) < 0.9]


def test_the_slope_has_the_errors_of_dummies_by_hand() -> None:
    sample, controls = drawn(), ["control"]
    y, x, z = (OnDummies(sample, name, controls).residuals for name in ("y", "x", "z"))
    own = z @ y / (z @ x)
    parameters = 2 + sample["year"].nunique()
    freedom = (len(sample) - 1) / (len(sample) - parameters)

    def error(scores: np.ndarray, cluster: str) -> float:
        sums = pd.Series(scores).groupby(sample[cluster].to_numpy()).sum() / (z @ x)
        return float(np.sqrt(len(sums) / (len(sums) - 1) * freedom * (sums**2).sum()))

    for cluster, count in (("city_id", 60), ("province_id", 12)):
        fit = instrumented(sample, "y", "x", "z", controls, cluster=cluster)
        assert fit.estimates[0] == approx(own, rel=1e-9)
        assert fit.std_errors[0] == approx(error(z * (y - own * x), cluster), rel=1e-9)
        assert fit.degrees_of_freedom == count - 1


def test_two_stages_are_those_of_pyfixest() -> None:
    """pyfixest 0.60.0: feols("n ~ w + C(year) | firm | k ~ ys", vcov={"CRV1": "firm"})."""
    sample = golden_data("abdata").rename(columns={"firm": "city_id"})
    fit = instrumented(sample, "n", "k", "ys", ["w"])
    assert fit.terms == ("k", "w")
    assert_allclose(fit.estimates, [0.8343182139201489, -0.2950910157711725], rtol=1e-9)
    assert_allclose(fit.std_errors, [0.17246924618525852, 0.1331533035367535], rtol=1e-9)
    assert fit.first_stage_f == approx(13.591003987840896, rel=1e-9)
    first = fixed_effects.fit(sample, "k", ["ys", "w"])
    assert fit.first_stage_estimate == approx(first.estimates[0])


def test_what_two_measurements_cannot_tell_is_a_reason() -> None:
    sample = drawn().assign(z=lambda rows: rows["x"])
    assert "linear combination" in refusal(instrumented, sample, "y", "x", "z", ["control"])


@pytest.fixture(scope="module")
def two_vendors(sample_build: Build) -> Tables:
    """The sample's tables, with AI firms of a second vendor: the first's, some years late."""
    tables = read_tables(sample_build)
    first = tables.measures.query("measure == 'ai_firms'")
    counts = np.ceil(first["measure_count"] * (0.7 + 0.1 * (first["year"] % 4)))
    second = first.assign(
        measure="ai_firms@ciciliujx",
        measure_count=counts,
        ln1p_measure=np.log1p(counts),
        ln_measure=np.log(counts + 1),
    )
    series = tables.series
    rows = series.query("series == 'ai_firm_count' and scope == 'industry'")
    named = rows.assign(
        series="ai_firm_count@ciciliujx",
        provider="ciciliujx",
        substitution=ANOTHER,
    )
    return replace(
        tables,
        measures=pd.concat([tables.measures, second]),
        series=pd.concat([series, named], ignore_index=True),
    )


@pytest.mark.soak
def test_a_named_provider_feeds_the_measure_and_the_default_one_is_the_plain_series(
    two_vendors: Tables,
) -> None:
    rows = rows_of("table_1_col_1_observed")
    # By hand: the same panel with the counts of the second vendor in place of the first's.
    kept = two_vendors.measures.query("measure != 'ai_firms'")
    by_hand = replace(two_vendors, measures=kept.replace({"ai_firms@ciciliujx": "ai_firms"}))
    plain, default, second, swapped = (
        estimated(rows.assign(providers=providers), tables).set_index("term").loc["ai_firms"]
        for providers, tables in (
            (None, two_vendors),
            ("ai_firm_count=vendor", two_vendors),
            ("ai_firm_count=ciciliujx", two_vendors),
            (None, by_hand),
        )
    )
    assert default["estimate"] == plain["estimate"] != second["estimate"]
    assert second["estimate"] == swapped["estimate"]
    for name in ("outcome", "regressor"):
        assert second[name] == plain[name]
    assert ANOTHER in second["substitutions"]
    assert ANOTHER not in plain["substitutions"]


@pytest.mark.soak
def test_a_source_that_was_not_delivered_is_named_with_its_provider(
    two_vendors: Tables,
    sample_build: Build,
) -> None:
    rows = rows_of("table_1_col_1", providers="gdp_100m_cny=koishi0425")
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "Not delivered: gdp_100m_cny@koishi0425."
    rows = rows_of(
        "table_1_col_1_observed",
        estimator="iv_fixed_effects",
        options="instrument=ai_firms@lily_han_ui",
    )
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "Not delivered: ai_firm_count@lily_han_ui (industry)."
    rows = rows.assign(options="instrument=ai_firms@vendor")
    (reason,) = estimated(rows, two_vendors)["reason"].unique()
    assert reason == "The second measurement of ai_firms is the measure itself."
    # The rows of the seed, on a sample of one vendor.
    named = sample_build.rows(
        "select reason from reports.rpt_specifications where providers like '%ciciliujx%'",
    )
    assert named
    assert all("ai_firm_count@ciciliujx (industry)" in reason for (reason,) in named)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"providers": "gdp_100m_cny"}, "providers.0 is 'gdp_100m_cny', not name=value"),
        ({"providers": "fdi_1m_usd=vendor"}, "does not use 'fdi_1m_usd'. It uses gdp_100m_cny"),
        (
            {"estimator": "iv_fixed_effects", "options": "instrument=ai_firms"},
            "instrument is 'ai_firms', not measure@provider",
        ),
        (
            {"estimator": "iv_fixed_effects", "options": ""},
            "instrument is missing",
        ),
        (
            {
                "estimator": "iv_fixed_effects",
                "options": "instrument=ai_firms@ciciliujx",
                "covariance": "robust",
            },
            "covariance 'robust' is not supported",
        ),
    ],
)
def test_a_source_that_cannot_be_read_names_its_row(
    changed: dict[str, str],
    message: str,
    two_vendors: Tables,
) -> None:
    with pytest.raises(SpecificationError, match=message) as raised:
        estimated(rows_of("table_1_col_1_no_controls", **changed), two_vendors)
    assert "table_1_col_1_no_controls" in str(raised.value)
