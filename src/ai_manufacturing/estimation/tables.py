"""Estimate regression specifications, and tabulate their results with a row per coefficient."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation import rounding
from ai_manufacturing.estimation.inputs import SECOND_MEASURE, Inputs, Sample
from ai_manufacturing.estimation.rows import Row, build_estimates_table
from ai_manufacturing.estimation.specifications import (
    COVARIANCES,
    DynamicPanelOptions,
    EventStudyOptions,
    FixedEffectsOptions,
    InstrumentOptions,
    Specification,
)
from ai_manufacturing.estimators import (
    cluster_errors,
    dynamic_panel,
    event_study,
    fixed_effects,
    heterogeneity,
    two_measurements,
    wild_bootstrap,
)
from ai_manufacturing.estimators.event_study import WaldTest
from ai_manufacturing.estimators.fixed_effects import Covariance
from ai_manufacturing.estimators.inference import Fit, Inference, two_sided_p_values
from ai_manufacturing.estimators.not_estimable import NotEstimable, get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence, sentence

# Statistics that are also reported with clustering by province, as columns `<name>_province`.
PROVINCE_STATISTICS = (
    "std_error",
    "p_value",
    "conf_low",
    "conf_high",
    "degrees_of_freedom",
    "detectable",
)
# Columns set to null if a group has too few cities for a clustered standard error.
NULL_COLUMNS = dict.fromkeys(
    [
        "std_error",
        "statistic",
        "conf_low",
        "conf_high",
        "degrees_of_freedom",
        *(f"{name}_province" for name in PROVINCE_STATISTICS),
    ]
)
# Types of standard errors that event studies report in addition to clustered standard errors.
UNCLUSTERED: tuple[Covariance, ...] = ("iid", "robust")

# Attributes of a specification that are copied to each of its coefficient rows.
SPECIFICATION_COLUMNS = (
    "table_id",
    "column_number",
    "reading",
    "estimator",
    "outcome",
    "regressor",
    "transform",
    "weighting",
    "scope",
    "covariance",
)
# Attributes of a fitted regression that are copied to each of its coefficient rows.
FIT_COLUMNS = (
    "observation_count",
    "city_count",
    "cluster_count",
    "degrees_of_freedom",
    "r2_inclusive",
    "r2_within",
)
# Maps each output column with one value per coefficient to the attribute of the fitted regression.
TERM_COLUMNS = {
    "estimate": "estimates",
    "std_error": "std_errors",
    "statistic": "statistics",
    "p_value": "p_values",
    "conf_low": "conf_low",
    "conf_high": "conf_high",
}
# First-stage F below which an instrument is weak: Staiger and Stock (1997), Econometrica 65(3).
WEAK_F = 10
# Minimum number of cities in a group for reporting clustered standard errors.
FEWEST_CITIES = 10


def estimate_coefficients(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Estimate regression specifications, and return their coefficients as an Arrow table.

    Parameters
    ----------
    specifications : iterable of Specification
        Rows of regression_specifications.csv.
    inputs : Inputs
        Tables that the specifications use.

    Returns
    -------
    Table
        One row per specification and term, with the columns of est_coefficients. A specification
        that cannot be estimated has one row with status not_estimable and the reason. The status is
        mechanical if the regressor is constructed from the outcome. If a reading uses other
        city-years than its column's default reading, and the default is among the specifications,
        the row also reports both coefficients on their common city-years.
    """
    specifications = [*specifications]
    defaults = {
        (one.table_id, one.column_number): one for one in specifications if one.reading == "default"
    }

    def make_common_columns(specification: Specification) -> Row:
        row: Row = {name: getattr(specification, name) for name in SPECIFICATION_COLUMNS}
        return {**row, "substitutions": inputs.describe_substitutions(specification)}

    def make_rows(specification: Specification) -> Iterator[Row]:
        sample = inputs.sample(specification)
        status = {"status": "mechanical"} if inputs.is_mechanical(specification) else {}
        terms = _estimate_terms(specification, sample, inputs)
        default = defaults.get((specification.table_id, specification.column_number), specification)
        overlap = {specification.regressor: _compare_on_overlap(specification, default, inputs)}
        warnings = [
            *_describe_missing_years(specification, sample),
            *rounding.find_remarks(specification, inputs.list_series(specification), sample),
            *inputs.list_warnings(specification, sample),
        ]
        for order, term in enumerate(terms, start=1):
            own_columns = {"warnings": [*warnings, *term.get("warnings", ())]}
            overlap_columns = overlap.get(term["term"], {})
            yield {
                **make_common_columns(specification),
                **status,
                "term_order": order,
                **term,
                **overlap_columns,
                **own_columns,
            }

    def make_reason_columns(specification: Specification) -> Row:
        return {
            **make_common_columns(specification),
            "term_order": 1,
            "term": specification.regressor,
        }

    return build_estimates_table(
        specifications, inputs, "est_coefficients", make_rows, make_reason_columns
    )


def _compare_on_overlap(
    specification: Specification, default: Specification, inputs: Inputs
) -> Row:
    """Re-estimate a specification and its default variant on the city-years that both use.

    The result is empty if the samples are identical, or if one of the two regressions does not have
    a single comparable coefficient.
    """
    # With group interactions, there is no single coefficient that applies to all cities.
    has_one_slope = default.grouping is None and isinstance(default.options, FixedEffectsOptions)
    other = get_result_or_reason(partial(inputs.sample, default))
    if (
        not has_one_slope
        or not isinstance(specification.options, FixedEffectsOptions)
        or isinstance(other, Sentence)
    ):
        return {}
    own = inputs.sample(specification)
    if np.array_equal(own.cells, other.cells):
        return {}
    _, own_positions, other_positions = np.intersect1d(own.cells, other.cells, return_indices=True)
    own_rows, other_rows = own.rows.iloc[own_positions], other.rows.iloc[other_positions]
    periods = own_rows[specification.period], other_rows[default.period]
    # Drop rows that are singletons in either specification, so that both use the same rows.
    common_rows = fixed_effects.find_rows_without_singletons(
        *(pd.factorize(column)[0] for column in (own_rows["city_id"], *periods))
    )

    def estimate_slope(reading: Specification, rows: pd.DataFrame) -> Row:
        sample = replace(own, rows=rows.iloc[common_rows])
        fit, _ = fit_fixed_effects(reading, sample, inputs)
        return _make_rows_with_province(fit, sample)[0]

    row: Row = {"overlap_observation_count": len(common_rows)}
    readings = {"overlap": (specification, own_rows), "overlap_default": (default, other_rows)}
    for prefix, reading in readings.items():
        result = get_result_or_reason(partial(estimate_slope, *reading))
        if not isinstance(result, Sentence):
            row[f"{prefix}_estimate"] = result["estimate"]
            row[f"{prefix}_std_error_province"] = result.get("std_error_province")
    return row


def _describe_missing_years(specification: Specification, sample: Sample) -> list[Sentence]:
    """Return a warning if the sample starts later or ends earlier than its specification."""
    first, last = int(sample.rows["year"].min()), int(sample.rows["year"].max())
    if (first, last) == (specification.first_year, specification.last_year):
        return []
    return [
        sentence(
            "years_not_reached",
            first=first,
            last=last,
            declared_first=specification.first_year,
            declared_last=specification.last_year,
        )
    ]


def _estimate_terms(specification: Specification, sample: Sample, inputs: Inputs) -> list[Row]:
    """Run the estimator of a specification, and return one table row per coefficient."""
    match specification.options:
        case FixedEffectsOptions():
            rows = _estimate_fixed_effects(specification, sample, inputs)
        case EventStudyOptions() as options:
            rows = _estimate_event_study(specification, options, sample, inputs)
        case DynamicPanelOptions() as options:
            rows = _estimate_dynamic_panel(specification, options, sample)
        case InstrumentOptions():
            rows = estimate_with_instrument(specification, sample)
    years = sample.rows.loc[sample.is_estimated, "year"]
    sample_columns = {
        "sample_first_year": int(years.min()),
        "sample_last_year": int(years.max()),
        "outcome_mean": float(sample.rows.loc[sample.is_estimated, specification.outcome].mean()),
        "singletons_dropped": sample.singletons_dropped,
    }
    printed_estimates = inputs.find_printed_estimates(specification)
    return [
        {
            **row,
            **sample_columns,
            "p_value_printed": _test_printed_value(row, printed_estimates.get(row["term"])),
        }
        for row in rows
    ]


def _test_printed_value(row: Row, printed_value: float | None) -> float | None:
    """Return the p-value of a test that the coefficient equals the value printed in the paper.

    The test uses standard errors clustered by province.
    """
    error = row.get("std_error_province")
    if printed_value is None or not error:
        return None
    return float(
        two_sided_p_values(
            (row["estimate"] - printed_value) / error, row["degrees_of_freedom_province"]
        )
    )


def fit_fixed_effects(
    specification: Specification, sample: Sample, inputs: Inputs
) -> tuple[fixed_effects.FixedEffectsFit, tuple[str, ...]]:
    """Fit a two-way fixed effects regression, with group interactions if there is a grouping.

    Returns
    -------
    fit : FixedEffectsFit
    interactions : tuple of str
        Interactions of the regressor with the groups; empty without a grouping.

    Raises
    ------
    NotEstimable
        If no city is in the reference group, or for any reason that fixed_effects.fit raises it.
    """
    covariance, cluster = COVARIANCES[specification.covariance]
    rows = sample.rows
    interactions: tuple[str, ...] = ()
    if specification.grouping is not None:
        reference = inputs.reference_group(specification.grouping)
        if reference is None:
            raise NotEstimable("no_reference_city", grouping=specification.grouping)
        rows, interactions = heterogeneity.add_interactions(
            rows, specification.regressor, specification.grouping, reference
        )
    terms = (specification.regressor, *interactions, *specification.controls)
    fit = fixed_effects.fit(
        rows,
        specification.outcome,
        terms,
        time=specification.period,
        cluster=cluster,
        covariance=covariance,
    )
    return fit, interactions


def fit_event_study(
    specification: Specification, options: EventStudyOptions, sample: Sample, inputs: Inputs
) -> event_study.EventStudyFit:
    """Fit an event study regression to a sample of city-years.

    Raises
    ------
    NotEstimable
        If the treatment has more than two groups, or for any reason that event_study.fit raises it.
    """
    covariance, cluster = COVARIANCES[specification.covariance]
    return event_study.fit(
        add_treatment(specification, sample, inputs),
        specification.outcome,
        event_year=inputs.event_year,
        controls=specification.controls,
        endpoints=options.endpoints,
        window=inputs.event_window,
        cluster=cluster,
        covariance=covariance,
    )


def add_treatment(specification: Specification, sample: Sample, inputs: Inputs) -> pd.DataFrame:
    """Add a dummy `treated` to an event study sample: 0 in the reference group, 1 otherwise."""
    groups = sample.rows[specification.regressor].unique()
    if len(groups) > 2:
        raise NotEstimable("too_many_groups", grouping=specification.regressor, count=len(groups))
    reference = inputs.reference_group(specification.regressor)
    return sample.rows.assign(
        treated=(sample.rows[specification.regressor] != reference).astype(float)
    )


def _estimate_fixed_effects(
    specification: Specification, sample: Sample, inputs: Inputs
) -> list[Row]:
    fit, interactions = fit_fixed_effects(specification, sample, inputs)
    rows = _make_rows_with_province(fit, sample)
    if specification.covariance == "province":
        test = wild_bootstrap.bootstrap_coefficient(
            fit.regression, 0, clusters=fit.regression.clusters
        )
        for name in ("p_value", "conf_low", "conf_high", "draws"):
            rows[0][f"bootstrap_{name}"] = getattr(test, name)
    grouping = specification.grouping
    if grouping is None:
        return rows
    few = _find_small_groups(sample.rows, grouping)
    if not few:
        joint = _make_joint_columns(sentence("same_effect"), event_study.wald(fit, interactions))
        return [row | joint for row in rows]
    p_values = heterogeneity.compute_permutation_p_values(
        sample.rows,
        specification.outcome,
        specification.regressor,
        specification.controls,
        grouping,
        str(inputs.reference_group(grouping)),
        time=specification.period,
    )
    warning = sentence("few_cities_permuted", groups=few, grouping=grouping)
    for row in rows:
        if row["term"] in p_values:
            row |= {**NULL_COLUMNS, "p_value": p_values[row["term"]], "warnings": [warning]}
    return rows


def _make_rows_with_province(fit: fixed_effects.FixedEffectsFit, sample: Sample) -> list[Row]:
    """Return one row per coefficient, with jackknife (CRV3) standard errors by province."""
    provinces = pd.factorize(sample.rows["province_id"].loc[fit.regression.index], sort=True)[0]
    rows = _make_estimate_rows(fit)
    for position, row in enumerate(rows):
        row |= _make_province_columns(
            partial(cluster_errors.crv3, fit.regression, position, provinces)
        )
    return rows


def _make_province_columns(method: Callable[[], Inference]) -> Row:
    """Return the columns `<statistic>_province` from an inference method; empty if it fails."""
    inference = get_result_or_reason(method)
    if isinstance(inference, Sentence):
        return {}
    return {f"{name}_province": getattr(inference, name) for name in PROVINCE_STATISTICS}


def _find_small_groups(rows: pd.DataFrame, grouping: str) -> list[str]:
    """Return "name count" for each group with too few cities for clustered standard errors."""
    cities = rows.groupby(grouping)["city_id"].nunique()
    return [f"{name} {count}" for name, count in cities.items() if count < FEWEST_CITIES]


def _estimate_event_study(
    specification: Specification, options: EventStudyOptions, sample: Sample, inputs: Inputs
) -> list[Row]:
    fit = fit_event_study(specification, options, sample, inputs)
    few = _find_small_groups(sample.rows, specification.regressor)
    null_columns: Row = {}
    joint: Row = {"joint_test": fit.pre_trend}
    if few:
        warning = sentence("few_cities", groups=few)
        null_columns = {**NULL_COLUMNS, "p_value": None, "warnings": [warning]}
        joint = {"joint_test": warning}
    elif isinstance(fit.pre_trend, WaldTest):
        joint = _make_joint_columns(sentence("no_early_effect"), fit.pre_trend)
    rows = _make_rows_with_province(fit, sample)
    for row, event_time in zip(rows, fit.event_times, strict=False):
        row["event_time"] = event_time
    for row in rows:
        row |= {**joint, **null_columns, "treated_city_count": fit.treated_count}
    if few:
        return rows
    for kind in UNCLUSTERED:
        errors = fixed_effects.fit_partialled_out(fit.regression, fit.terms, kind)
        for row, std_error, p_value in zip(rows, errors.std_errors, errors.p_values, strict=True):
            row |= {f"std_error_{kind}": std_error, f"p_value_{kind}": p_value}
    return rows


def list_dynamic_regressors(
    specification: Specification, options: DynamicPanelOptions
) -> tuple[list[str], tuple[str, ...]]:
    """Return the regressors of a dynamic panel, the lag first, and the columns to instrument."""
    outcome, measure = specification.outcome, specification.regressor
    is_outcome_lag = options.lagged == "outcome"
    regressors = [f"L.{outcome if is_outcome_lag else measure}", measure, *specification.controls]
    return regressors, (outcome, measure) if is_outcome_lag else (measure,)


def _estimate_dynamic_panel(
    specification: Specification, options: DynamicPanelOptions, sample: Sample
) -> list[Row]:
    regressors, instrument_columns = list_dynamic_regressors(specification, options)
    fit = dynamic_panel.fit(
        sample.rows,
        specification.outcome,
        regressors,
        dict.fromkeys(instrument_columns, options.lags),
        equation=options.equation,
        steps=options.steps,
        collapse=options.collapse,
        controls=options.controls,
    )
    remarks = []
    if names := fit.not_instrumented:
        in_levels = options.controls == "both"
        remarks.append(
            sentence("not_instrumented_in_levels", names=names)
            if in_levels
            else sentence("not_instrumented", names=names)
        )
    tests = {
        **fit.tests,
        "instrument_count": fit.instrument_count,
        "is_sound": not fit.warnings,
        "warnings": [*fit.warnings, *remarks],
    }
    provinces = sample.rows.drop_duplicates("city_id").set_index("city_id")["province_id"]
    clusters = pd.factorize(provinces.loc[fit.entities], sort=True)[0]
    # Report only the regressors, which precede the period effects and the constant.
    rows = _make_estimate_rows(fit)[: len(regressors)]
    for position, row in enumerate(rows):
        row |= (
            _make_province_columns(partial(dynamic_panel.infer_by_cluster, fit, position, clusters))
            | tests
        )
    return rows


def estimate_with_instrument(specification: Specification, sample: Sample) -> list[Row]:
    """Estimate a specification by two-stage least squares, and return one row per coefficient.

    The row of the measure also contains CRV3 standard errors by province.
    """
    fit = two_measurements.fit(
        sample.rows,
        specification.outcome,
        specification.regressor,
        SECOND_MEASURE,
        specification.controls,
        time=specification.period,
        cluster=COVARIANCES[specification.covariance][1],
    )
    warnings = [sentence("unrelated_errors")]
    if fit.first_stage_f < WEAK_F:
        warnings.append(sentence("weak_instrument", least=WEAK_F))
    common = {
        "first_stage_estimate": fit.first_stage_estimate,
        "first_stage_f": fit.first_stage_f,
        "is_sound": fit.first_stage_f >= WEAK_F,
        "warnings": warnings,
    }
    rows = [{**row, **common} for row in _make_estimate_rows(fit)]
    provinces = sample.rows["province_id"].loc[fit.first_stage.index]
    codes = pd.factorize(provinces, sort=True)[0]
    rows[0] |= _make_province_columns(
        partial(cluster_errors.crv3_of_ratio, fit.reduced_form, fit.first_stage, 0, codes)
    )
    return rows


def _make_estimate_rows(fit: Fit) -> list[Row]:
    """Return one row per coefficient of a fit, with the columns common to all estimators."""
    common = {name: getattr(fit, name, None) for name in FIT_COLUMNS}
    columns = {column: getattr(fit, name) for column, name in TERM_COLUMNS.items()}
    frame = pd.DataFrame(columns, index=pd.Index(fit.terms, name="term")).reset_index()
    return [{**row, **common} for row in frame.to_dict("records")]


def _make_joint_columns(hypothesis: Sentence, test: WaldTest) -> Row:
    return {"joint_test": hypothesis} | {
        f"joint_{name}": value for name, value in vars(test).items()
    }
