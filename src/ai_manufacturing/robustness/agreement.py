"""Measure the agreement and reliability of two data sources for the same series."""

import math
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.not_estimable import get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence, split_sentences
from ai_manufacturing.system import contracts

KEY = [
    "extract_set",
    "series",
    "scope",
    "first_provider",
    "second_provider",
    "grouping",
    "group_name",
]


def correlate_sources(source_pairs: pd.DataFrame) -> pa.Table:
    """Correlate two sources of a series after removing city and year effects from both.

    Parameters
    ----------
    source_pairs : DataFrame
        intermediate.int_source_pairs_grouped.

    Returns
    -------
    Table
        One row per series, scope, pair of providers, transform (ln, ln1p), grouping and group of
        cities, with the columns of est_source_agreement. The row for all cities has `all` as
        grouping and group. If a correlation cannot be estimated, its row contains the reason.

    Notes
    -----
    first_reliability is the covariance divided by the variance of the first source. If the errors
    of the two sources are classical and uncorrelated, it is the share of the first source's
    variation that is not measurement error. If the error variances are also equal, the correlation
    is this share for both sources.
    """
    rows: list[dict[str, Any]] = []
    for names, cells in source_pairs.groupby(KEY, sort=True):
        common = dict(zip(KEY, names, strict=True))
        for transform in ("ln", "ln1p"):
            first, second = f"first_{transform}", f"second_{transform}"
            sample = cells[["city_id", "year", first, second]].dropna()
            rows.append({**common, "transform": transform, **_correlate(sample, first, second)})
    return contracts.build_table("est_source_agreement", rows)


def _correlate(sample: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    fit = get_result_or_reason(partial(fixed_effects.fit, sample, first, [second]))
    if isinstance(fit, Sentence):
        return split_sentences({"reason": fit})
    slope = float(fit.estimates[0])
    return {
        "observation_count": fit.observation_count,
        "city_count": fit.city_count,
        "within_correlation": math.copysign(math.sqrt(max(fit.r2_within, 0.0)), slope),
        "first_reliability": fit.r2_within / slope if slope else None,
        "second_reliability": slope,
    }
