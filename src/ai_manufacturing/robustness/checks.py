"""Run the robustness checks requested in inference_checks.csv.

The results are the tables est_inference, est_influence and est_sensitivity.
"""

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
    check_each_term,
    check_first_term,
    get_case,
)


def _jackknife(case: Case, position: int, cluster: str) -> Inference:
    return cluster_errors.crv3(case.regression, position, case.codes(cluster))


def _bootstrap_by_cluster(case: Case, position: int, cluster: str) -> Inference:
    return wild_bootstrap.bootstrap_coefficient(
        case.regression, position, clusters=case.codes(cluster)
    )


def _check_pre_trend(case: Case, cluster: str) -> Iterator[Row]:
    """Test the years before the event jointly, by the Bonferroni-adjusted smallest p-value."""
    case.require_valid_years_before()
    tests = [
        _jackknife(case, position, cluster).p_value
        for position, time in enumerate(case.event_study.event_times)
        if time < 0
    ]
    p_values = [value for value in tests if value is not None]
    if not tests:
        raise NotEstimable("no_pre_trend")
    # The smallest p-value is a valid joint test only if every year could be tested.
    if len(p_values) < len(tests):
        raise NotEstimable("no_error_of_exact_fit")
    yield {"term": BEFORE, "p_value": min(1.0, len(p_values) * min(p_values))}


def _check_average(case: Case, cluster: str) -> Iterator[Row]:
    regression, position = case.average_effects()
    yield {"term": AVERAGE, **vars(cluster_errors.crv3(regression, position, case.codes(cluster)))}


# Check functions by output table, and by the name of the method in inference_checks.csv.
CHECKS: dict[str, dict[str, Check]] = {
    "inference": {
        "crv3": check_each_term(_jackknife),
        "wild_restricted": check_each_term(_bootstrap_by_cluster),
        "scpc": check_each_term(spatial_errors.infer_by_correlation),
        "next_year": strict_exogeneity.add_next_year,
        "later": strict_exogeneity.add_later,
        "later_instead": strict_exogeneity.replace_by_later,
        "neighbours": spillover.add_neighbours,
        "average": _check_average,
        "pre_trend": _check_pre_trend,
        "randomisation": randomisation.check_permuted_weights,
        "poisson": poisson.fit_event_study_of_counts,
    },
    "influence": {
        "leave_out": influence.leave_out_units,
        "leave_out_flagged": influence.leave_out_flagged_rows,
        "with_city_trends": influence.add_city_trends,
    },
    "sensitivity": {
        "fewest_cities": check_first_term(influence.count_fewest_cities),
        "robustness_value": check_first_term(sensitivity.compute_clustered_robustness_value),
        "negative_weights": check_first_term(sensitivity.sum_negative_weights),
        "share_of_variation": check_first_term(scaled_series.compute_share_of_variation),
        "honest_did": honest_did.report_bounds_and_breakdowns,
        "pre_test_power": event_paths.report_detectable_trend,
    },
}
# Checks that test several specifications jointly, for the table est_inference. Each takes a list of
# cases, and yields pairs of a case and a row for it.
FAMILIES: dict[str, Callable[[list[Case]], Iterator[tuple[Case, Row]]]] = {
    "romano_wolf": romano_wolf.adjust_claims
}
# Term name in the row that reports why a check could not be run; the default is the first term.
REASON_TERMS = {
    "average": AVERAGE,
    "pre_trend": BEFORE,
    "honest_did": AVERAGE,
    "pre_test_power": "path",
}


def run_checks(
    table: str,
    specifications: Iterable[Specification],
    requested_checks: pd.DataFrame,
    inputs: Inputs,
    cities: pd.DataFrame,
) -> pa.Table:
    """Run all requested robustness checks that belong to one output table.

    Parameters
    ----------
    table : {"inference", "influence", "sensitivity"}
    specifications : iterable of Specification
    requested_checks : DataFrame
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
    for row in requested_checks.itertuples():
        if row.method not in table_of:
            methods = ", ".join(table_of)
            raise SpecificationError(
                f"inference_checks.csv, column method: the method {row.method!r} is unknown."
                f" Choose one of the methods {methods}."
            )
        if table_of[row.method] == table:
            settings[str(row.specification_id)].append((row.method, row.setting))

    cities = cities.set_index("city_id")
    cases = {
        specification: get_result_or_reason(partial(get_case, specification, inputs, cities))
        for specification in specifications
        if specification.specification_id in settings
    }

    @cache
    def run_family(method: str, setting: str, reading: str) -> dict[Case, list[Row]]:
        """Run a check that tests several specifications jointly, and group its rows by case."""
        members = [
            member
            for specification, member in cases.items()
            if isinstance(member, Case)
            and (method, setting) in settings[specification.specification_id]
            and specification.reading == reading
            and _is_in_family(setting, specification)
        ]
        rows: defaultdict[Case, list[Row]] = defaultdict(list)
        for member, row in FAMILIES[method](members):
            rows[member].append(row)
        return rows

    def make_rows(specification: Specification) -> Iterator[Row]:
        case = cases[specification]
        for method, setting in settings[specification.specification_id]:
            if method in FAMILIES and not _is_in_family(setting, specification):
                continue
            options = _parse_options(method, setting, checks[method]) if method in checks else {}
            if isinstance(case, Sentence):
                results = [make_reason_row(case, term=specification.regressor)]
            elif method in FAMILIES:
                results = run_family(method, setting, specification.reading)[case]
            else:
                term = REASON_TERMS.get(method) or case.first_term
                results = get_rows_or_reason(partial(checks[method], case, **options), term=term)
            common = {"method": method, "setting": setting, "cluster": options.get("cluster")}
            yield from ({**common, **result} for result in results)

    return build_estimates_table(cases, inputs, f"est_{table}", make_rows)


def _is_in_family(setting: str, specification: Specification) -> bool:
    """Return whether a setting such as tables=1-4 includes the table of a specification."""
    if isinstance(specification.options, (DynamicPanelOptions, InstrumentOptions)):
        return False
    first, _, last = setting.removeprefix("tables=").partition("-")
    return first <= specification.table_id.removeprefix("table_") <= last


def _parse_options(method: str, setting: str, check: Check) -> dict[str, str]:
    """Parse a setting such as cluster=city into keyword arguments, and check their names."""
    options = dict(pair.split("=", 1) for pair in setting.split())
    parameters = [
        name for name in inspect.signature(check).parameters if name not in ("case", "position")
    ]
    if sorted(parameters) != sorted(options):
        form = " ".join(f"{name}=…" for name in parameters)
        required_setting = f"a setting of the form {form}" if form else "an empty setting"
        raise SpecificationError(
            f"inference_checks.csv, method {method}: the setting is {setting!r}, but the method"
            f" requires {required_setting}."
        )
    return options
