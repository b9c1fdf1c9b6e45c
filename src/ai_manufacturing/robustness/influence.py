"""Re-estimate without provinces, cities or flagged city-years, or with city trends."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.rows import Row, get_rows_or_reason
from ai_manufacturing.estimators import cluster_errors, fixed_effects
from ai_manufacturing.estimators.cluster_errors import LeaveOneOutResult
from ai_manufacturing.estimators.columns import Codes
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.robustness.case import Case, infer_by_city_or_province

# Labels in unit_kind and unit_id for checks that do not leave out a single city or province.
FLAGGED = "flagged city-years"
TRENDS = "city trends"
MAX_CITIES = 10  # number of the most influential cities to report


def leave_out_units(case: Case, unit: str) -> Iterator[Row]:
    """Re-estimate without each province in turn, or without each of the most influential cities."""
    codes = case.codes(unit)
    labels = dict(zip(codes, case.rows[f"{unit}_id"].to_numpy(), strict=True))
    inside = np.unique(np.column_stack([codes, case.regression.entities]), axis=0)[:, 0]
    city_counts = np.bincount(inside)

    def make_rows(term: str, position: int) -> Iterator[Row]:
        estimate = case.fit.estimates[position]
        results = (
            cluster_errors.leave_out_entities(case.regression, position, most=MAX_CITIES)
            if unit == "city"
            else cluster_errors.leave_out_groups(case.regression, position, codes)
        )
        changes = [abs((result.estimate or np.nan) - estimate) for result in results]
        ranks = pd.Series(changes).rank(ascending=False, method="first")
        for result, rank in zip(results, ranks, strict=True):
            yield {
                "term": term,
                "unit_kind": unit,
                "unit_id": labels[result.group],
                "city_count": int(city_counts[result.group]),
                "rank": None if np.isnan(rank) else int(rank),
                **_make_estimate_columns(estimate, result),
            }

    for term, position in case.terms.items():
        yield from get_rows_or_reason(partial(make_rows, term, position), term=term, unit_kind=unit)


def leave_out_flagged_rows(case: Case, cluster: str) -> Iterator[Row]:
    """Re-estimate without any of the city-years that fail a data quality expectation.

    Raises
    ------
    NotEstimable
        If a series or year fails as a whole, because no valid city-years remain for comparison.
    """
    case.require_flags_by_city_year()
    is_flagged = pd.MultiIndex.from_frame(case.rows[["city_id", "year"]]).isin(
        [*case.flagged_city_years]
    )
    other, codes, other_rows = case.regression, case.codes(cluster), np.arange(len(is_flagged))
    if is_flagged.any():
        other, other_rows = cluster_errors.drop_rows(other, is_flagged)
    for term, position in case.terms.items():
        result = infer_by_city_or_province(other, position, codes[other_rows], cluster)
        yield {
            "term": term,
            "unit_kind": FLAGGED,
            "unit_id": FLAGGED,
            "city_count": int(case.rows["city_id"][is_flagged].nunique()),
            **_make_estimate_columns(case.fit.estimates[position], result),
            **(
                _make_difference_columns(case, other, position, other_rows)
                if cluster == "province"
                else {}
            ),
        }


def add_city_trends(case: Case, cluster: str) -> Iterator[Row]:
    """Re-estimate with a linear trend for each city, and compare with the original estimate.

    City trends eliminate a slope that is due only to trends shared by outcome and measure; a real
    effect remains. The jackknife is applied to the difference itself, because both estimates use
    the same rows.
    """
    with_trends = fixed_effects.add_entity_trends(
        case.regression, case.rows["year"].to_numpy(dtype=float), [*case.fit.terms]
    )
    codes = case.codes(cluster)
    for term, position in case.terms.items():
        yield {
            "term": term,
            "unit_kind": TRENDS,
            "unit_id": TRENDS,
            "city_count": case.regression.entity_count,
            **_make_estimate_columns(
                case.fit.estimates[position],
                infer_by_city_or_province(with_trends, position, codes, cluster),
            ),
            **_make_difference_columns(case, with_trends, position, np.arange(len(codes))),
        }


def count_fewest_cities(case: Case, position: int) -> float | None:
    """Return how many cities must be removed to lose significance at 5 %; None if over half."""
    cities = cluster_errors.find_fewest_to_change(case.regression, position)
    return None if cities is None else len(cities)


def _make_difference_columns(
    case: Case, other: PartialledOut, position: int, other_rows: Codes
) -> Row:
    """Return columns with the change in the estimate and its CRV3 test, clustered by province."""
    if other is case.regression:
        return {"difference": 0.0}
    difference = cluster_errors.crv3_of_difference(
        case.regression, other, position, case.codes("province"), other_rows
    )
    return {
        "difference": difference.estimate,
        "std_error_difference": difference.std_error,
        "statistic_difference": difference.statistic,
        "p_value_difference": difference.p_value,
        "conf_low_difference": difference.conf_low,
        "conf_high_difference": difference.conf_high,
    }


def _make_estimate_columns(estimate: float, result: LeaveOneOutResult | Inference) -> Row:
    return {
        "estimate": estimate,
        "estimate_without": result.estimate,
        "std_error_without": result.std_error,
        "p_value_without": result.p_value,
    }
