"""Run the checks in inference_checks.csv for est_inference, est_influence and est_sensitivity."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import (
    Row,
    build_estimates_table,
    get_rows_or_reason,
    make_reason_row,
)
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    InstrumentOptions,
    Specification,
    SpecificationError,
)
from ai_manufacturing.estimators import cluster_errors, wild_bootstrap
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable, get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.robustness import (
    event_paths,
    honest_did,
    influence,
    poisson,
    randomisation,
    romano_wolf,
    scaled_series,
    sensitivity,
    spatial_errors,
    spillover,
    strict_exogeneity,
)
from ai_manufacturing.robustness.case import (
    AVERAGE,
    BEFORE,
    Case,
    Check,
    case_of,
    each_term,
    first_term,
)


def _crv3(case: Case, position: int, cluster: str) -> Inference:
    return cluster_errors.crv3(case.regression, position, case.codes(cluster))


def _wild_restricted(case: Case, position: int, cluster: str) -> Inference:
    return wild_bootstrap.bootstrap_coefficient(
        case.regression, position, clusters=case.codes(cluster)
    )


def _pre_trend(case: Case, cluster: str) -> Iterator[Row]:
    """Test the years before the event jointly, with a Bonferroni-adjusted smallest p-value."""
    case.require_valid_years_before()
    tests = [
        _crv3(case, position, cluster).p_value
        for position, time in enumerate(case.event_study.event_times)
        if time < 0
    ]
    p_values = [value for value in tests if value is not None]
    if not tests:
        raise NotEstimable("no_pre_trend")
    # Without a test of every year, the smallest p-value is inconclusive.
    if len(p_values) < len(tests):
        raise NotEstimable("no_error_of_exact_fit")
    yield {"term": BEFORE, "p_value": min(1.0, len(p_values) * min(p_values))}


def _average(case: Case, cluster: str) -> Iterator[Row]:
    regression, position = case.averaged()
    yield {"term": AVERAGE, **vars(cluster_errors.crv3(regression, position, case.codes(cluster)))}


# Checks by result table, and by method in inference_checks.csv.
CHECKS: dict[str, dict[str, Check]] = {
    "inference": {
        "crv3": each_term(_crv3),
        "wild_restricted": each_term(_wild_restricted),
        "scpc": each_term(spatial_errors.by_correlation),
        "next_year": strict_exogeneity.next_year,
        "later": strict_exogeneity.later,
        "later_instead": strict_exogeneity.later_instead,
        "neighbours": spillover.neighbours,
        "average": _average,
        "pre_trend": _pre_trend,
        "randomisation": randomisation.permuted_weights_test,
        "poisson": poisson.event_study_of_counts,
    },
    "influence": {
        "leave_out": influence.leave_out,
        "leave_out_flagged": influence.leave_out_flagged,
        "with_city_trends": influence.with_city_trends,
    },
    "sensitivity": {
        "fewest_cities": first_term(influence.fewest_cities),
        "robustness_value": first_term(sensitivity.clustered_robustness_value),
        "negative_weights": first_term(sensitivity.negative_weights),
        "share_of_variation": first_term(scaled_series.share_of_variation),
        "honest_did": honest_did.bounds_and_breakdowns,
        "pre_test_power": event_paths.detectable_trend,
    },
}
# Joint checks of several columns, for est_inference. Each takes the cases of the columns and yields
# rows with the case that they belong to.
FAMILIES: dict[str, Callable[[list[Case]], Iterator[tuple[Case, Row]]]] = {
    "romano_wolf": romano_wolf.adjust_claims
}
# Term of the row that reports why a check could not run, if it is not the first term.
REASON_TERMS = {
    "average": AVERAGE,
    "pre_trend": BEFORE,
    "honest_did": AVERAGE,
    "pre_test_power": "path",
}


def checked(
    table: str,
    specifications: Iterable[Specification],
    asked: pd.DataFrame,
    inputs: Inputs,
    cities: pd.DataFrame,
) -> pa.Table:
    """Run the checks of one table.

    Parameters
    ----------
    table : {"inference", "influence", "sensitivity"}
    specifications : iterable of Specification
    asked : DataFrame
        intermediate.int_specification_checks: specification_id, method and setting.
    inputs : Inputs
    cities : DataFrame
        marts.dim_city.

    Returns
    -------
    Table
        One row per specification, term, method and setting, and per omitted unit or bound. A check
        that cannot be run has a row with status not_estimable and the reason.

    Raises
    ------
    SpecificationError
        If inference_checks.csv names an unknown method or option.
    """
    checks = CHECKS[table]
    table_of = {method: name for name, methods in CHECKS.items() for method in methods}
    table_of |= dict.fromkeys(FAMILIES, "inference")
    settings: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in asked.itertuples():
        if row.method not in table_of:
            raise SpecificationError(
                f"inference_checks.csv, column method: {row.method!r} is not one of"
                f" {', '.join(table_of)}."
            )
        if table_of[row.method] == table:
            settings[str(row.specification_id)].append((row.method, row.setting))

    cities = cities.set_index("city_id")
    cases = {
        specification: get_result_or_reason(partial(case_of, specification, inputs, cities))
        for specification in specifications
        if specification.specification_id in settings
    }

    @cache
    def family(method: str, setting: str, reading: str) -> dict[Case, list[Row]]:
        """Return the rows of a joint check of all claims in one reading, by case."""
        members = [
            member
            for specification, member in cases.items()
            if isinstance(member, Case)
            and (method, setting) in settings[specification.specification_id]
            and specification.reading == reading
            and _in_family(setting, specification)
        ]
        rows: defaultdict[Case, list[Row]] = defaultdict(list)
        for member, row in FAMILIES[method](members):
            rows[member].append(row)
        return rows

    def make_rows(specification: Specification) -> Iterator[Row]:
        own = cases[specification]
        for method, setting in settings[specification.specification_id]:
            if method in FAMILIES and not _in_family(setting, specification):
                continue
            options = _options(method, setting, checks[method]) if method in checks else {}
            if isinstance(own, Sentence):
                results = [make_reason_row(own, term=specification.regressor)]
            elif method in FAMILIES:
                results = family(method, setting, specification.reading)[own]
            else:
                term = REASON_TERMS.get(method) or own.first_term
                results = get_rows_or_reason(partial(checks[method], own, **options), term=term)
            common = {"method": method, "setting": setting, "cluster": options.get("cluster")}
            yield from ({**common, **result} for result in results)

    return build_estimates_table(cases, inputs, f"est_{table}", make_rows)


def _in_family(setting: str, specification: Specification) -> bool:
    """Return whether a regression belongs to the tables of a setting such as tables=1-4."""
    if isinstance(specification.options, (DynamicPanelOptions, InstrumentOptions)):
        return False
    first, _, last = setting.removeprefix("tables=").partition("-")
    return first <= specification.table_id.removeprefix("table_") <= last


def _options(method: str, setting: str, check: Check) -> dict[str, str]:
    """Parse a setting into keyword arguments, and validate them against the check's parameters."""
    options = dict(pair.split("=", 1) for pair in setting.split())
    parameters = [
        name for name in inspect.signature(check).parameters if name not in ("case", "position")
    ]
    if sorted(parameters) != sorted(options):
        raise SpecificationError(
            f"inference_checks.csv, method {method}, column setting: {setting!r}; it takes "
            f"{' '.join(f'{name}=…' for name in parameters) or 'nothing'}."
        )
    return options
