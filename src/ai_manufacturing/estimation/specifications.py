"""Parse and validate regressions declared in regression_specifications.csv."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, ValidationError, model_validator

from ai_manufacturing.estimators.dynamic_panel import Controls
from ai_manufacturing.estimators.event_study import Endpoints
from ai_manufacturing.estimators.fixed_effects import Covariance
from ai_manufacturing.system.declared import Row, describe_errors, require_pattern

# Column of the table fct_ai_measure that contains each transform of the AI measure.
TRANSFORMS = {
    "level": "measure_10k",
    "ln": "ln_measure",
    "ln1p": "ln1p_measure",
    "asinh": "asinh_measure",
}
# Type of standard error and cluster column for each allowed value of the column covariance.
COVARIANCES: dict[str, tuple[Covariance, str]] = {
    "city": ("clustered", "city_id"),
    "province": ("clustered", "province_id"),
    "iid": ("iid", "city_id"),
    "robust": ("robust", "city_id"),
}
WAY_OUT = "Correct the row; seeds/_seeds.yml describes the values of each column."
FIXED_EFFECTS = ("city year", "city group-year", "city province-year")


class SpecificationError(Exception):
    """Raised if the seed files declare a regression or check that is not supported."""


def _require_one_of(names: Iterable[str]) -> AfterValidator:
    def check_name(text: str) -> str:
        if text not in names:
            allowed_values = ", ".join(names)
            raise ValueError(f"the value must be one of {allowed_values}")
        return text

    return AfterValidator(check_name)


def _split_at(mark: str | None) -> BeforeValidator:
    return BeforeValidator(lambda text: tuple(filter(None, text.split(mark))))


def _parse_pair(text: str) -> tuple[str, ...]:
    pair = tuple(text.split("="))
    if len(pair) != 2 or not all(pair):
        raise ValueError("the value must have the form name=value")
    return pair


def _parse_lag_limits(text: str) -> tuple[str, str | None]:
    first, separator, last = text.partition("-")
    if not separator:
        raise ValueError("the value must be a range of lags in the form first-last, such as 2-4")
    return first, last or None


def _parse_step_count(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


Names = Annotated[tuple[str, ...], _split_at(",")]
Words = Annotated[tuple[str, ...], _split_at(None)]
Pair = Annotated[tuple[str, str], BeforeValidator(_parse_pair)]


class FixedEffectsOptions(Row):
    """Options of the fixed effects estimator: additional variables that must be observed.

    Attributes
    ----------
    complete : tuple of str
        Variables that must be observed although they are not regressors, so that specifications
        share one sample.
    shared : tuple of str
        Like `complete`, but variables that were not delivered are ignored instead of leaving the
        sample empty.
    """

    complete: Names = ()
    shared: Names = ()


class EventStudyOptions(Row):
    """Options of the event study estimator: the treatment of years outside the event window."""

    endpoints: Endpoints = "kept"


class DynamicPanelOptions(Row):
    """Options of the dynamic panel (GMM) estimator: the lagged variable and the instruments."""

    lagged: Literal["outcome", "measure"] = "outcome"
    lags: Annotated[tuple[int, int | None], BeforeValidator(_parse_lag_limits)] = (2, 4)
    collapse: bool = True
    steps: Annotated[Literal[1, 2], BeforeValidator(_parse_step_count)] = 2
    equation: Literal["system", "difference"] = "system"
    controls: Controls = "difference"


class InstrumentOptions(Row):
    """Options of the instrumental variables estimator: the instrument, as measure@provider."""

    instrument: Annotated[str, require_pattern(r"\w+@\w+", "measure@provider")]


Options = FixedEffectsOptions | EventStudyOptions | DynamicPanelOptions | InstrumentOptions

ESTIMATORS: dict[str, type[Options]] = {
    "fixed_effects": FixedEffectsOptions,
    "event_study": EventStudyOptions,
    "dynamic_panel": DynamicPanelOptions,
    "iv_fixed_effects": InstrumentOptions,
}


class Specification(Row):
    """A regression as declared in one row of regression_specifications.csv."""

    specification_id: str
    table_id: str
    column_number: int
    reading: str
    estimator: str
    outcome: str
    regressor: str
    transform: Annotated[str, _require_one_of(TRANSFORMS)]
    weighting: str
    scope: str
    controls: Words
    subsample: Pair | None
    grouping: str | None
    first_year: int
    last_year: int
    fixed_effects: Annotated[str, _require_one_of(FIXED_EFFECTS)]
    covariance: Annotated[str, _require_one_of(COVARIANCES)]
    options: Options
    providers: Annotated[tuple[Pair, ...], _split_at(None)]
    substitutions: Annotated[tuple[str, ...], _split_at("; ")]

    @property
    def measure(self) -> str:
        """Name of the AI measure, to which the transform, weighting and scope apply.

        It is the outcome in an event study, and the regressor otherwise.
        """
        return self.outcome if isinstance(self.options, EventStudyOptions) else self.regressor

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the regressors in output order: the measure or treatment, then the controls."""
        return (self.regressor, *self.controls)

    @property
    def groupings(self) -> tuple[str, ...]:
        """Names of the city groupings that define the subsample, interactions and treatment."""
        treatment = self.regressor if isinstance(self.options, EventStudyOptions) else None
        names = (self.subsample[0] if self.subsample else None, self.grouping, treatment)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def period(self) -> str:
        """Name of the sample column that identifies the period effects."""
        return "year" if self.period_group is None else "period"

    @property
    def period_group(self) -> str | None:
        """Column of the city groups with separate year effects; None if all cities share them."""
        groups = {"city group-year": self.grouping, "city province-year": "province_id"}
        return groups.get(self.fixed_effects)

    @model_validator(mode="after")
    def _check_support(self) -> Self:
        estimator, covariance, effects = self.estimator, self.covariance, self.fixed_effects
        has_clusters = COVARIANCES[covariance][0] == "clustered"
        is_panel, is_other = estimator == "dynamic_panel", estimator != "fixed_effects"
        has_years = is_other and estimator != "iv_fixed_effects"
        for column, advice, has_no_effect in (
            ("covariance", "use city", is_panel and covariance != "city"),
            ("covariance", "use city", estimator == "iv_fixed_effects" and not has_clusters),
            ("fixed_effects", "use city year", has_years and effects != "city year"),
            ("grouping", "leave it empty", is_other and self.grouping),
        ):
            if has_no_effect:
                value = getattr(self, column)
                raise ValueError(
                    f"the estimator {estimator} does not support the value {value!r} in the column"
                    f" {column}; {advice}"
                )
        if effects == "city group-year" and not self.grouping:
            raise ValueError(
                "the value 'city group-year' in the column fixed_effects requires a grouping of"
                " cities; name one in the column grouping"
            )
        return self


def read_specifications(table: pd.DataFrame, estimator: str | None = None) -> list[Specification]:
    """Parse regression specifications from a seed table, optionally for one estimator only.

    Raises
    ------
    SpecificationError
        If a row names an unsupported estimator, transform, fixed effects, covariance or option.
    """
    return [
        _parse_specification(row)
        for row in table.to_dict("records")
        if estimator is None or row["estimator"] == estimator
    ]


def read_main_specification(table: pd.DataFrame) -> list[Specification]:
    """Return a list with the first specification in seed order; empty if the seed has no rows.

    Raises
    ------
    SpecificationError
        For the same reasons as read_specifications.
    """
    return read_specifications(table.nsmallest(1, "specification_order"))


def _parse_specification(row: dict[str, Any]) -> Specification:
    where = f"regression_specifications.csv, {row['specification_id']}"
    if row["estimator"] not in ESTIMATORS:
        names = ", ".join(ESTIMATORS)
        raise SpecificationError(
            f"{where}: the estimator {row['estimator']!r} is unknown. Choose one of {names}."
        )
    values = {name: "" if pd.isna(row[name]) else row[name] for name in Specification.model_fields}
    values |= {name: values[name] or None for name in ("subsample", "grouping")}
    pairs = dict(pair.partition("=")[::2] for pair in values["options"].split())
    try:
        options = ESTIMATORS[row["estimator"]].model_validate(pairs)
        return Specification.model_validate(values | {"options": options})
    except ValidationError as error:
        raise SpecificationError(*describe_errors(error, values, where, WAY_OUT)) from error
