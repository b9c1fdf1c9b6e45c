"""Tests for checks that find faults in the first delivery of a data set.

Each fault is planted in one simulated sample, and the model that should find it is run on it. The
faults only show in cells, in provinces, or against a second source.
"""

import re

import numpy as np
import pandas as pd
import pytest

from tests.lib import first_deliveries, judged_samples

MODELS = judged_samples.CHECKED | judged_samples.CELL_CHECKED
NEW = ("cell_shapes", "province_steps", "source_tilts")
ODD = {
    "cell_shapes": [
        "suppressed_counts",
        "suppressed_provinces",
        "rounded_counts",
        "vanished_provinces",
        "odd_rates",
    ],
    "province_steps": ["odd_factor"],
    "source_tilts": ["odd_tilt"],
}

# Expected report of each fault: suite and column, series, and a pattern that the value matches.
FOUND = {
    "AI firms set to 0 in cells that never exceed 4": (
        "cell_shapes.suppressed_counts",
        "ai_firm_count",
        r"1-4 \(largest of a cell\): 0 of",
    ),
    "AI firms set to 0 in cells that never exceed 4, in 15 provinces": (
        "cell_shapes.suppressed_provinces",
        "ai_firm_count",
        "省",
    ),
    "AI stocks under 5 set to 0": (
        "cell_shapes.suppressed_counts",
        "ai_firm_count",
        r"1-4 \(of the year\): 0 of",
    ),
    "AI patents under 3 set to 0": (
        "cell_shapes.suppressed_counts",
        "ai_invention_application_count",
        r"1-2 \(of the year\): 0 of",
    ),
    "AI firms rounded to fives": ("cell_shapes.rounded_counts", "ai_firm_count", "5: 100 %"),
    "firms rounded to tens in 15 provinces": ("cell_shapes.rounded_counts", "firm_count", "省 5: "),
    "the same, without entries and exits": (
        "cell_shapes.vanished_provinces",
        "ai_firm_count",
        "省",
    ),
    "half of the dissolved AI firms kept in the stock": (
        "cell_shapes.odd_rates",
        "ai_firm_count",
        r"all: 0\.",
    ),
    "R&D in full-time equivalents in one province from 2015": (
        "province_steps.odd_factor",
        "rd_personnel_count",
        r"0\.[67]",
    ),
    "GDP moved in proportion to AI, and a second source of GDP": (
        "source_tilts.odd_tilt",
        "gdp_100m_cny",
        r"0\.",
    ),
}
QUICK = (
    "AI firms set to 0 in cells that never exceed 4",
    "GDP moved in proportion to AI, and a second source of GDP",
)


def odd(delivery: first_deliveries.Delivery, suite: str) -> pd.DataFrame:
    """Run a check model on a delivery, and return the rows in which it reports a fault."""
    found = first_deliveries.checked(delivery, {suite: MODELS[suite]})[suite]
    return found[found[ODD[suite]].notna().any(axis=1)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in FOUND]
)
def test_a_wrong_first_delivery_is_found_by_the_column_that_is_for_it(name: str) -> None:
    column, series, answer = FOUND[name]
    suite, _, column = column.partition(".")
    rows = odd(first_deliveries.faulty(first_deliveries.FAULTS[name]), suite)
    answers = rows.loc[rows["series"] == series, column].dropna().astype(str)
    assert answers.map(lambda text: bool(re.search(answer, text))).any(), rows.to_dict("records")


def test_a_step_of_one_province_is_dated() -> None:
    fault = first_deliveries.FAULTS["R&D in full-time equivalents in one province from 2015"]
    rows = odd(first_deliveries.faulty(fault), "province_steps")
    assert rows[["series", "province_name_en", "year"]].to_numpy().tolist() == [
        ["rd_personnel_count", "Guangdong", 2015]
    ]


def test_a_clean_draw_has_nothing_odd() -> None:
    delivery = first_deliveries.clean(first_deliveries.SEED)
    delivery.second_gdp = delivery.yearbook["gdp_100m_cny"] * np.exp(
        0.02 * np.random.default_rng(1).standard_normal(delivery.drawn.firms.shape)
    )
    for suite in NEW:
        assert odd(delivery, suite).to_dict("records") == []


def test_suppression_stops_and_a_dissolution_rate_warns() -> None:
    delivery = first_deliveries.clean(first_deliveries.SEED)
    rng = np.random.default_rng(1)
    first_deliveries.kept_in_the_stock(0.5)(delivery, rng)
    first_deliveries.cells_never_above_four(delivery, rng)
    failed = first_deliveries.failures(delivery).groupby("severity")["failing_rows"].agg(" ".join)
    assert '"series": "ai_firm_count"' in failed["critical"]
    assert '"odd_rates": "all: 0.' in failed["warning"]
