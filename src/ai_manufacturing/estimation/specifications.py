"""Regressions as data: what a row of regression_specifications.csv asks for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

import pandas as pd

from ai_manufacturing.estimators.event_study import Endpoints
from ai_manufacturing.estimators.fixed_effects import Covariance

# What the measure of a specification becomes in fct_ai_measure.
TRANSFORMS = {"level": "measure_10k", "ln": "ln_measure", "ln1p": "ln1p_measure", "asinh": "asinh_measure"}
# Kind of the errors, and the column of their clusters.
COVARIANCES: dict[str, tuple[Covariance, str | None]] = {
    "city": ("clustered", "city_id"),
    "province": ("clustered", "province_id"),
    "iid": ("iid", None),
    "robust": ("robust", None),
}
FIXED_EFFECTS = ("city year", "city group-year", "city province-year")


class SpecificationError(Exception):
    """A row of regression_specifications.csv that asks for something the project does not have."""


@dataclass(frozen=True)
class FixedEffectsOptions:
    """Options of estimator fixed_effects.

    Attributes
    ----------
    placebo : int
        Draws of the placebo that permutes the weights over cities; none if 0.
    complete : tuple of str
        Variables that must be there though they are no regressors, so that samples are the same.
    shared : tuple of str
        The same for those of these variables that were delivered; the others empty no sample.
    """

    placebo: int = 0
    complete: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventStudyOptions:
    """Options of estimator event_study: what becomes of the years outside the window."""

    endpoints: Endpoints = "kept"


@dataclass(frozen=True)
class DynamicPanelOptions:
    """Options of estimator dynamic_panel: whose lag is a regressor, and the instruments of outcome and measure."""

    lagged: Literal["outcome", "measure"] = "outcome"
    lags: tuple[int, int | None] = (2, 4)
    collapse: bool = True
    steps: Literal[1, 2] = 2
    equation: Literal["system", "difference"] = "system"


@dataclass(frozen=True)
class InstrumentOptions:
    """Options of estimator iv_fixed_effects: the second measurement that is the instrument, measure@provider."""

    instrument: str


Options = FixedEffectsOptions | EventStudyOptions | DynamicPanelOptions | InstrumentOptions


def _lag_limits(text: str) -> tuple[int, int | None]:
    first, separator, last = text.partition("-")
    if not separator:
        raise ValueError(text)
    return int(first), int(last) if last else None


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _measure_of_provider(text: str) -> str:
    if not re.fullmatch(r"\w+@\w+", text):
        raise ValueError(text)
    return text


def _one_of(values: Mapping[str, Any]) -> Callable[[str], Any]:
    return values.__getitem__


# Per estimator its options, and how the value of each is read.
ESTIMATORS: dict[str, tuple[type[Options], dict[str, Callable[[str], Any]]]] = {
    "fixed_effects": (FixedEffectsOptions, {"placebo": _count, "complete": _names, "shared": _names}),
    "event_study": (
        EventStudyOptions,
        {"endpoints": _one_of({name: name for name in ("kept", "binned", "dropped")})},
    ),
    "dynamic_panel": (
        DynamicPanelOptions,
        {
            "lagged": _one_of({name: name for name in ("outcome", "measure")}),
            "lags": _lag_limits,
            "collapse": _one_of({"yes": True, "no": False}),
            "steps": _one_of({"1": 1, "2": 2}),
            "equation": _one_of({name: name for name in ("system", "difference")}),
        },
    ),
    "iv_fixed_effects": (InstrumentOptions, {"instrument": _measure_of_provider}),
}


@dataclass(frozen=True)
class Specification:
    """One regression: a row of regression_specifications.csv."""

    specification_id: str
    table_id: str
    column_number: int
    reading: str
    estimator: str
    outcome: str
    regressor: str
    transform: str
    weighting: str
    scope: str
    controls: tuple[str, ...]
    subsample: tuple[str, str] | None
    grouping: str | None
    first_year: int
    last_year: int
    fixed_effects: str
    covariance: str
    options: Options
    providers: tuple[tuple[str, str], ...]
    substitutions: tuple[str, ...]

    @property
    def measure(self) -> str:
        """What transform, weighting and scope are of: the regressor, or the outcome of an event study."""
        return self.outcome if isinstance(self.options, EventStudyOptions) else self.regressor

    @property
    def terms(self) -> tuple[str, ...]:
        """The regressors in the order of the output: the measure or the treatment, then the controls."""
        return (self.regressor, *self.controls)

    @property
    def groupings(self) -> tuple[str, ...]:
        """The groupings of cities that are used."""
        treatment = self.regressor if isinstance(self.options, EventStudyOptions) else None
        names = (self.subsample[0] if self.subsample else None, self.grouping, treatment)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def period(self) -> str:
        """The column of the period effects."""
        return "year" if self.fixed_effects == "city year" else "period"


def read(table: pd.DataFrame, estimator: str | None = None) -> list[Specification]:
    """Return the specifications of a seed table, those of one estimator if it is named.

    Raises
    ------
    SpecificationError
        If a row names an estimator, transform, fixed effects, covariance or option that the package does not have.
    """
    return [
        _specification(row) for row in table.to_dict("records") if estimator is None or row["estimator"] == estimator
    ]


# Columns that a specification takes as they are.
AS_WRITTEN = (
    *("specification_id", "table_id", "reading", "estimator", "outcome", "regressor", "transform", "weighting"),
    *("scope", "fixed_effects", "covariance"),
)


def _specification(row: dict[str, Any]) -> Specification:
    def refusal(column: str, what: str) -> SpecificationError:
        return SpecificationError(f"regression_specifications.csv, {row['specification_id']}, column {column}: {what}.")

    for column, allowed in (
        ("estimator", ESTIMATORS),
        ("transform", TRANSFORMS),
        ("fixed_effects", FIXED_EFFECTS),
        ("covariance", COVARIANCES),
    ):
        if row[column] not in allowed:
            raise refusal(column, f"{row[column]!r} is not one of {', '.join(allowed)}")
    text = {name: value if isinstance(value, str) else "" for name, value in row.items()}
    estimator, covariance, effects = (row[name] for name in ("estimator", "covariance", "fixed_effects"))
    unlike_placebo = text["grouping"] or covariance != "city" or effects == "city province-year"
    for column, way_out, is_ignored in (
        ("covariance", "give city", estimator == "dynamic_panel" and covariance != "city"),
        ("covariance", "give city", estimator == "iv_fixed_effects" and not COVARIANCES[covariance][1]),
        ("fixed_effects", "give city year", estimator != "fixed_effects" and effects != "city year"),
        ("grouping", "delete it", estimator != "fixed_effects" and text["grouping"]),
        ("options", "delete it", "placebo" in text["options"] and unlike_placebo),
    ):
        if is_ignored:
            raise refusal(column, f"{row[column]!r} is not supported for this row (estimator {estimator}); {way_out}")
    if effects == "city group-year" and not text["grouping"]:
        raise SpecificationError(
            f"regression_specifications.csv, {row['specification_id']}: year effects by group need a grouping."
        )
    subsample, equals, group = text["subsample"].partition("=")
    if subsample and not equals:
        raise refusal("subsample", f"{subsample!r} is not grouping=group")
    providers = tuple(pair.split("=") for pair in text["providers"].split())
    for pair in providers:
        if len(pair) != 2 or not all(pair):
            raise refusal("providers", f"{'='.join(pair)!r} is not series=provider")
    return Specification(
        **{name: row[name] for name in AS_WRITTEN},
        column_number=int(row["column_number"]),
        controls=tuple(text["controls"].split()),
        subsample=(subsample, group) if subsample else None,
        grouping=text["grouping"] or None,
        first_year=int(row["first_year"]),
        last_year=int(row["last_year"]),
        options=_options(estimator, text["options"], refusal),
        providers=tuple((series, provider) for series, provider in providers),
        substitutions=tuple(filter(None, text["substitutions"].split("; "))),
    )


def _options(estimator: str, text: str, refusal: Callable[[str, str], SpecificationError]) -> Options:
    kind, readers = ESTIMATORS[estimator]
    chosen = {}
    for pair in text.split():
        name, _, value = pair.partition("=")
        try:
            chosen[name] = readers[name](value)
        except (KeyError, ValueError) as error:
            what = f"{pair!r} is not an option of {estimator}. Options: {', '.join(readers)}"
            raise refusal("options", what) from error
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in chosen]
    if missing:
        raise refusal("options", f"{estimator} needs {', '.join(missing)}=measure@provider")
    return kind(**chosen)
