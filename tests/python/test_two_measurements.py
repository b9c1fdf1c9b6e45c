"""Test the two-measurement IV estimator against dummy-variable regressions and pyfixest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.estimators import fixed_effects, two_measurements
from tests.lib.in_memory import Tables
from tests.python.conftest import Build
from tests.python.estimator_tools import approx, golden_data, refusal
from tests.python.test_estimates import estimated, read_tables, rows_of

INSTRUMENTED = {"estimator": "iv_fixed_effects", "options": "instrument=ai_firms@ciciliujx"}
ANOTHER = "AI firms of all industries by a second vendor substitute for sections B-E"


def test_two_stages_are_those_of_pyfixest() -> None:
    """Compare estimates and standard errors with the output of pyfixest 0.60.0.

    The call was feols("n ~ w + C(year) | firm | k ~ ys", vcov={"CRV1": "firm"}).
    """
    sample = golden_data("abdata").rename(columns={"firm": "city_id"})
    fit = two_measurements.fit(sample, "n", "k", "ys", ["w"])
    assert fit.terms == ("k", "w")
    assert_allclose(fit.estimates, [0.8343182139201489, -0.2950910157711725], rtol=1e-9)
    assert_allclose(fit.std_errors, [0.17246924618525852, 0.1331533035367535], rtol=1e-9)
    assert fit.first_stage_f == approx(13.591003987840896, rel=1e-9)
    first = fixed_effects.fit(sample, "k", ["ys", "w"])
    assert fit.first_stage_estimate == approx(first.estimates[0])
    grouped = sample.assign(province_id=sample["city_id"] % 9)
    by_province = two_measurements.fit(grouped, "n", "k", "ys", ["w"], cluster="province_id")
    assert (fit.degrees_of_freedom, by_province.degrees_of_freedom) == (139, 8)
    assert "linear combination" in refusal(two_measurements.fit, sample, "n", "k", "k", ["w"])


@pytest.fixture(scope="module")
def two_vendors(sample_build: Build) -> Tables:
    """Return the sample's tables with a second vendor, whose counts are scaled by year."""
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
    # In the expected tables, the second vendor's counts replace the first vendor's.
    kept = two_vendors.measures.query("measure != 'ai_firms'")
    by_hand = replace(two_vendors, measures=kept.replace({"ai_firms@ciciliujx": "ai_firms"}))
    plain, default, second, swapped = (
        estimated(rows_of("table_1_col_1_observed", providers=providers), tables).iloc[0]
        for providers, tables in (
            (None, two_vendors),
            ("ai_firm_count=vendor", two_vendors),
            ("ai_firm_count=ciciliujx", two_vendors),
            (None, by_hand),
        )
    )
    assert default["estimate"] == plain["estimate"] != second["estimate"] == swapped["estimate"]
    for name in ("outcome", "regressor", "term"):
        assert second[name] == plain[name]
    assert [ANOTHER in one["substitutions"] for one in (plain, second)] == [False, True]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"providers": "gdp_100m_cny=koishi0425"}, "Not delivered: gdp_100m_cny@koishi0425."),
        (
            INSTRUMENTED | {"options": "instrument=ai_firms@lily_han_ui"},
            "Not delivered: ai_firm_count@lily_han_ui (industry).",
        ),
        (
            INSTRUMENTED | {"options": "instrument=ai_firms@vendor"},
            "The second measurement of ai_firms is the measure itself.",
        ),
    ],
)
def test_a_source_that_was_not_delivered_is_named_with_its_provider(
    changed: dict[str, str], reason: str, two_vendors: Tables
) -> None:
    found = estimated(rows_of("table_1_col_1_observed", **changed), two_vendors)
    assert {*found["reason"]} == {reason}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"providers": "gdp_100m_cny"},
            "providers.0 is 'gdp_100m_cny', but the value must have the form name=value",
        ),
        (
            {"providers": "fdi_1m_usd=vendor"},
            "does not use the series 'fdi_1m_usd'. Name one of the series gdp_100m_cny",
        ),
        (
            INSTRUMENTED | {"options": "instrument=ai_firms"},
            "'ai_firms', but the value must be measure@provider",
        ),
        (INSTRUMENTED | {"options": ""}, "instrument is missing"),
        (
            INSTRUMENTED | {"covariance": "robust"},
            "does not support the value 'robust' in the column covariance",
        ),
    ],
)
def test_a_source_that_cannot_be_read_names_its_row(
    changed: dict[str, str],
    message: str,
    two_vendors: Tables,
) -> None:
    with pytest.raises(SpecificationError, match=f"table_1_col_1_no_controls.*{message}"):
        estimated(rows_of("table_1_col_1_no_controls", **changed), two_vendors)
