"""Influence checks: estimates without provinces, cities or flagged rows, and with city trends."""

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
from ai_manufacturing.robustness.case import Case, clustered

# Values of unit_kind and unit_id in rows that do not leave out a single unit.
FLAGGED = "flagged city-years"
TRENDS = "city trends"
MOST_MOVING = 10  # number of most influential cities to report


def leave_out(case: Case, unit: str) -> Iterator[Row]:
    """Leave out each province in turn, or each of the most influential cities."""
    codes = case.codes(unit)
    labels = dict(zip(codes, case.rows[f"{unit}_id"].to_numpy(), strict=True))
    inside = np.unique(np.column_stack([codes, case.regression.entities]), axis=0)[:, 0]
    city_counts = np.bincount(inside)

    def without_each(term: str, position: int) -> Iterator[Row]:
        estimate = case.fit.estimates[position]
        answers = (
            cluster_errors.leave_out_entities(case.regression, position, most=MOST_MOVING)
            if unit == "city"
            else cluster_errors.leave_out_groups(case.regression, position, codes)
        )
        moves = [abs((answer.estimate or np.nan) - estimate) for answer in answers]
        ranks = pd.Series(moves).rank(ascending=False, method="first")
        for answer, rank in zip(answers, ranks, strict=True):
            yield {
                "term": term,
                "unit_kind": unit,
                "unit_id": labels[answer.group],
                "city_count": int(city_counts[answer.group]),
                "rank": None if np.isnan(rank) else int(rank),
                **_estimates(estimate, answer),
            }

    for term, position in case.terms.items():
        yield from get_rows_or_reason(
            partial(without_each, term, position), term=term, unit_kind=unit
        )


def leave_out_flagged(case: Case, cluster: str) -> Iterator[Row]:
    """Leave out all city-years that fail an expectation of the gate at once.

    Raises
    ------
    NotEstimable
        If a series or year fails as a whole, because no valid city-years remain for comparison.
    """
    case.require_flags_by_city_year()
    flagged = pd.MultiIndex.from_frame(case.rows[["city_id", "year"]]).isin([*case.flagged])
    rest, codes, remaining = case.regression, case.codes(cluster), np.arange(len(flagged))
    if flagged.any():
        rest, remaining = cluster_errors.drop_rows(rest, flagged)
    for term, position in case.terms.items():
        without = clustered(rest, position, codes[remaining], cluster)
        yield {
            "term": term,
            "unit_kind": FLAGGED,
            "unit_id": FLAGGED,
            "city_count": int(case.rows["city_id"][flagged].nunique()),
            **_estimates(case.fit.estimates[position], without),
            **(_difference(case, rest, position, remaining) if cluster == "province" else {}),
        }


def with_city_trends(case: Case, cluster: str) -> Iterator[Row]:
    """Add a linear trend for each city, and compare the estimate with the original one.

    City trends eliminate a slope that is due only to trends shared by outcome and measure; a real
    effect remains. The jackknife is applied to the difference itself, because both estimates use
    the same rows.
    """
    detrended = fixed_effects.add_entity_trends(
        case.regression, case.rows["year"].to_numpy(dtype=float), [*case.fit.terms]
    )
    codes = case.codes(cluster)
    for term, position in case.terms.items():
        yield {
            "term": term,
            "unit_kind": TRENDS,
            "unit_id": TRENDS,
            "city_count": case.regression.entity_count,
            **_estimates(
                case.fit.estimates[position], clustered(detrended, position, codes, cluster)
            ),
            **_difference(case, detrended, position, np.arange(len(codes))),
        }


def fewest_cities(case: Case, position: int) -> float | None:
    """Return how many cities must be removed to lose significance at 5 %; None if over half."""
    cities = cluster_errors.find_fewest_to_change(case.regression, position)
    return None if cities is None else len(cities)


def _difference(case: Case, rest: PartialledOut, position: int, remaining: Codes) -> Row:
    """Return the change in the estimate, with its CRV3 test by province."""
    if rest is case.regression:
        return {"difference": 0.0}
    found = cluster_errors.crv3_of_difference(
        case.regression, rest, position, case.codes("province"), remaining
    )
    return {
        "difference": found.estimate,
        "std_error_difference": found.std_error,
        "statistic_difference": found.statistic,
        "p_value_difference": found.p_value,
        "conf_low_difference": found.conf_low,
        "conf_high_difference": found.conf_high,
    }


def _estimates(estimate: float, without: LeaveOneOutResult | Inference) -> Row:
    return {
        "estimate": estimate,
        "estimate_without": without.estimate,
        "std_error_without": without.std_error,
        "p_value_without": without.p_value,
    }
