"""Regressions as data: what a row of regression_specifications.csv asks for, and the city-years that can answer."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from ai_manufacturing.estimators.event_study import Endpoints
from ai_manufacturing.estimators.fixed_effects import Covariance, rows_without_singletons
from ai_manufacturing.estimators.heterogeneity import group_year
from ai_manufacturing.estimators.not_estimable import NotEstimable

# What the measure of a specification becomes in fct_ai_measure, and why a value of it has none.
TRANSFORMS = {"level": "measure_10k", "ln": "ln_measure", "ln1p": "ln1p_measure", "asinh": "asinh_measure"}
UNDEFINED = {"ln": "log of zero", "ln1p": "log of one plus a value of -1 or less"}
# Kind of the errors, and the column of their clusters.
COVARIANCES: dict[str, tuple[Covariance, str | None]] = {
    "city": ("clustered", "city_id"),
    "province": ("clustered", "province_id"),
    "iid": ("iid", None),
    "robust": ("robust", None),
}
FIXED_EFFECTS = ("city year", "city group-year")
Key = tuple[str, str]  # series and scope
PANEL_SCOPE = "industry"  # of a series that the panel counts by industry
EVENT_YEAR = 2016
EVENT_WINDOW = (-5, 3)


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


Options = FixedEffectsOptions | EventStudyOptions | DynamicPanelOptions


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
}


@dataclass(frozen=True)
class Specification:
    """One regression: a row of regression_specifications.csv."""

    specification_id: str
    table_id: str
    column_number: int
    reading: str
    is_headline: bool
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
    substitutions: str

    @property
    def measure(self) -> str:
        """What transform, weighting and scope are of: the regressor, or the outcome of an event study."""
        return self.outcome if isinstance(self.options, EventStudyOptions) else self.regressor

    @property
    def terms(self) -> tuple[str, ...]:
        """The regressors in the order of the output: the measure or the treatment, then the controls."""
        return (self.regressor, *self.controls)

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns of the panel that are used, each once: the outcome if it is not the measure, the controls."""
        complete = self.options.complete if isinstance(self.options, FixedEffectsOptions) else ()
        used = (
            (*self.controls, *complete) if self.measure == self.outcome else (self.outcome, *self.controls, *complete)
        )
        return tuple(dict.fromkeys(used))

    @property
    def groupings(self) -> tuple[str, ...]:
        """The groupings of cities that are used."""
        treatment = self.regressor if isinstance(self.options, EventStudyOptions) else None
        named = (self.subsample[0] if self.subsample else None, self.grouping, treatment)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def period(self) -> str:
        """The column of the period effects."""
        return "period" if self.fixed_effects == "city group-year" else "year"


@dataclass(frozen=True)
class Loss:
    """City-years that a specification cannot use, and why. Reasons apply in order: each row is lost once."""

    reason: str
    variable: str | None
    observation_count: int


@dataclass(frozen=True)
class Sample:
    """The city-years of a specification.

    Attributes
    ----------
    rows : DataFrame
        city_id, year, province_id, period, the measure with its weight and scaling_value, the outcome, the controls and
        a column per grouping; one row per city and year. In an observation nothing is missing.
    is_estimated : Series of bool
        Whether a row is an observation; the others serve a dynamic panel as lags and instruments.
    losses : tuple of Loss
        What the panel's other rows lack, in the order in which they were dropped.
    singletons_dropped : int
        Rows dropped because their city or their period had no other row left.
    """

    rows: pd.DataFrame
    is_estimated: pd.Series
    losses: tuple[Loss, ...]
    singletons_dropped: int


@dataclass(frozen=True)
class Finding:
    """A failed expectation, by the series and years, or the series, cities and years, that fail it."""

    text: str
    years: set[tuple[str, str, int]]
    city_years: dict[tuple[str, str], set[tuple[str, int]]]


@dataclass(frozen=True)
class Inputs:
    """The tables that specifications draw on.

    Attributes
    ----------
    panel : DataFrame
        intermediate.int_city_year_variables.
    measures : DataFrame
        marts.fct_ai_measure.
    groups : DataFrame
        marts.dim_city_groups.
    series : DataFrame
        marts.dim_series.
    variables : DataFrame
        marts.panel_variables.
    weightings : DataFrame
        seeds.measure_weightings.
    groupings : DataFrame
        seeds.city_groupings.
    gate_results : DataFrame or None
        gates.gate_results; None while the gate itself asks.
    published : DataFrame or None
        seeds.published_estimates; None where no printed path is to be tested.
    """

    panel: pd.DataFrame
    measures: pd.DataFrame
    groups: pd.DataFrame
    series: pd.DataFrame
    variables: pd.DataFrame
    weightings: pd.DataFrame
    groupings: pd.DataFrame
    gate_results: pd.DataFrame | None = None
    published: pd.DataFrame | None = None

    @property
    def extract_set(self) -> str | None:
        """Name of the extract set that the panel was built from; None for an empty panel."""
        return None if self.panel.empty else str(self.panel["extract_set"].iloc[0])

    @cached_property
    def _delivered(self) -> dict[tuple[str, str], str | None]:
        """Series and scope delivered, and what they stand in for."""
        delivered = self.series[self.series["is_delivered"]]
        return {
            (row.series, row.scope): None if pd.isna(row.substitution) else row.substitution
            for row in delivered.itertuples()
        }

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        return dict(iter(self.measures.groupby(["measure", "weighting", "scope"])))

    @cached_property
    def _groups(self) -> dict[str, pd.DataFrame]:
        return dict(iter(self.groups.groupby("grouping")))

    @cached_property
    def _findings(self) -> list[Finding]:
        """What the gate found wrong with a series in a year or in a city and year, and let pass."""
        if self.gate_results is None:
            return []
        failed = self.gate_results[~self.gate_results["success"].astype(bool)]
        found = [self._finding(row) for row in failed.itertuples()]
        return [finding for finding in found if finding.years or finding.city_years]

    def _finding(self, failed: Any) -> Finding:
        declared = failed.series.split() if isinstance(failed.series, str) else []
        years: set[tuple[str, str, int]] = set()
        city_years: dict[tuple[str, str], set[tuple[str, int]]] = {}
        for row in json.loads(failed.failing_rows) if isinstance(failed.failing_rows, str) else ():
            for series in (row["series"],) if "series" in row else declared:
                scope = row.get("scope") or self._scope(series, PANEL_SCOPE)
                if {"city_id", "year"} <= row.keys():
                    city_years.setdefault((series, scope), set()).add((row["city_id"], row["year"]))
                elif "year" in row:
                    years.add((series, scope, row["year"]))
        return Finding(failed.description, years, city_years)

    def measure(self, measure: str, weighting: str, scope: str) -> pd.DataFrame:
        """Return the rows of one measure, weighting and scope of fct_ai_measure."""
        return self._cells.get((measure, weighting, scope), self.measures.iloc[:0])

    def group_of_city(self, grouping: str) -> pd.DataFrame:
        """Return city_id, group_name and is_reference of the cities that a grouping places."""
        return self._groups.get(grouping, self.groups.iloc[:0])[["city_id", "group_name", "is_reference"]]

    def reference_group(self, grouping: str) -> str | None:
        """Return the group that the others are measured against; None if no city is in it."""
        groups = self.group_of_city(grouping)
        reference = groups.loc[groups["is_reference"].astype(bool), "group_name"]
        return None if reference.empty else str(reference.iloc[0])

    def _weighting(self, specification: Specification) -> Any:
        weighting = self.weightings[
            (self.weightings["measure"] == specification.measure)
            & (self.weightings["weighting"] == specification.weighting)
        ]
        if weighting.empty:
            raise SpecificationError(
                f"regression_specifications.csv, {specification.specification_id}: no weighting "
                f"{specification.weighting!r} of {specification.measure!r} in measure_weightings.csv."
            )
        return weighting.iloc[0]

    def printed(self, specification: Specification) -> dict[str, float]:
        """Return the coefficients that the paper prints in the column of a specification, by term."""
        if self.published is None:
            return {}
        column = self.published[
            (self.published["table_id"] == specification.table_id)
            & (self.published["column_number"] == specification.column_number)
        ]
        return {row.term: float(row.estimate) for row in column.itertuples()}

    def is_mechanical(self, specification: Specification) -> bool:
        """Return whether the measure is scaled by an outcome."""
        return bool(self._weighting(specification)["is_mechanical"])

    def series_of(self, specification: Specification) -> list[tuple[str, str]]:
        """Return the (series, scope) pairs that a specification draws on: the measure's, then the panel's variables.

        Raises
        ------
        SpecificationError
            If the row names a variable, measure, weighting or grouping that the seeds do not list.
        """
        used = [
            key
            for variable in specification.variables
            for key in self._series_of_variable(variable, specification.specification_id)
        ]
        weighting = self._weighting(specification)
        for series in (weighting["base_series"], weighting["minus_series"], weighting["scaling_series"]):
            if pd.notna(series):
                used.insert(1, (series, self._scope(series, specification.scope)))
        for grouping in specification.groupings:
            row = self.groupings[self.groupings["grouping"] == grouping]
            if row.empty:
                raise SpecificationError(
                    f"regression_specifications.csv, {specification.specification_id}: no grouping {grouping!r} in "
                    "city_groupings.csv."
                )
            series_names = row["series"].iloc[0]
            used += [
                (series, self._scope(series, PANEL_SCOPE))
                for series in (series_names.split() if isinstance(series_names, str) else ())
            ]
        return list(dict.fromkeys(used))

    @cached_property
    def _variables(self) -> dict[str, list[tuple[str, str]]]:
        return {
            row.variable: [(series, row.scope) for series in row.series.split()] for row in self.variables.itertuples()
        }

    def _series_of_variable(self, variable: str, specification_id: str) -> list[tuple[str, str]]:
        """Return the (series, scope) pairs that a variable of the panel is made of."""
        if variable not in self._variables:
            raise SpecificationError(
                f"regression_specifications.csv, {specification_id}: {variable!r} is no variable: no row of "
                "series.csv has it in column series or log_variable, nor has derived_variables.csv."
            )
        return self._variables[variable]

    def shared(self, specification: Specification) -> list[str]:
        """Return the variables that a specification shares its sample with, as far as they were delivered."""
        options = specification.options
        named = options.shared if isinstance(options, FixedEffectsOptions) else ()
        return [
            variable
            for variable in named
            if variable not in specification.variables
            and self._delivered.keys() >= set(self._series_of_variable(variable, specification.specification_id))
        ]

    def _scope(self, series: str, scope: str) -> str:
        """Return the scope in which a series is counted: total for a series without industries."""
        return "total" if (series, "total") in self._scopes else scope

    @cached_property
    def _scopes(self) -> set[tuple[str, str]]:
        return set(zip(self.series["series"], self.series["scope"], strict=True))

    def undelivered(self, specification: Specification) -> list[str]:
        """Return the series that a specification needs and the extract set does not hold."""
        return [
            series if scope == "total" else f"{series} ({scope})"
            for series, scope in self.series_of(specification)
            if (series, scope) not in self._delivered
        ]

    def substitutions(self, specification: Specification) -> str:
        """Return what stands in for what in a specification: its own words, then those of the series it uses."""
        used = [self._delivered.get(key) for key in self.series_of(specification)]
        return "; ".join(dict.fromkeys(text for text in (specification.substitutions, *used) if text))

    def warnings(self, specification: Specification, used: Sample) -> list[str]:
        """Return what the gate found wrong with the series, years and cities that an estimate rests on.

        Parameters
        ----------
        specification : Specification
        used : Sample
            Its city-years.

        Returns
        -------
        list of str
            One sentence per series and failed expectation about years; one per failed expectation about cities and
            years, with how many of these the estimate rests on. A break between two years is that of the later one.

        Notes
        -----
        Variables and measure rest on the years of the sample; a share held fixed on the base year, and a grouping on
        its own year, of the same cities. A dynamic panel rests on the rows that lend its outcome and measure lags and
        instruments too.
        """
        if not self._findings:
            return []
        estimated = used.rows.loc[used.is_estimated, ["city_id", "year"]]
        cities = set(estimated["city_id"])
        lending = used.rows.loc[used.rows["city_id"].isin(cities), ["city_id", "year"]]
        controls = {key for name in specification.controls for key in self._variables[name]}
        lent, varying, fixed = self._uses(specification)
        pairs_of: dict[Key, set[tuple[str, int]]] = {}
        for keys, rows in ((varying & controls, estimated), (varying - controls | lent, lending)):
            pairs = set(zip(rows["city_id"], rows["year"], strict=True))
            pairs_of |= dict.fromkeys(keys, pairs)
        years_of = {key: {year for _, year in found} for key, found in pairs_of.items()}

        found = []
        for finding in self._findings:
            broken: dict[str, set[int]] = {}
            for series, scope, year in finding.years:
                key = (series, scope)
                if year in years_of.get(key, ()) or year in fixed.get(key, ()):
                    broken.setdefault(series, set()).add(year)
            found += [
                f"{series} {', '.join(str(year) for year in sorted(years))} breaks: {finding.text}"
                for series, years in sorted(broken.items())
            ]
            inside = {
                (city_id, year)
                for key, failing in finding.city_years.items()
                for city_id, year in failing
                if (city_id, year) in pairs_of.get(key, ()) or (city_id in cities and year in fixed.get(key, ()))
            }
            if inside:
                everywhere = set().union(*finding.city_years.values())
                found.append(
                    f"The estimate rests on {len(inside)} of the {len(everywhere)} city-years "
                    f"(cities: {len({city_id for city_id, _ in inside})}) that break: {finding.text}"
                )
        return found

    def _uses(self, specification: Specification) -> tuple[set[Key], set[Key], dict[Key, set[int]]]:
        """Return the series of outcome and measure, those used in each year of the sample, and those of fixed years."""
        weighting = self._weighting(specification)
        is_scaled = pd.notna(weighting["scaling_series"])
        measured = ["scaling_series"] if is_scaled else ["base_series", "minus_series"]
        lent = {
            (weighting[name], self._scope(weighting[name], specification.scope))
            for name in measured
            if pd.notna(weighting[name])
        }
        lent |= set(self._variables.get(specification.outcome, ()))
        varying = lent | {key for name in specification.variables for key in self._variables[name]}
        fixed: dict[Key, set[int]] = {}
        if is_scaled:
            for series in (weighting["base_series"], weighting["scaling_series"]):
                key = (series, self._scope(series, specification.scope))
                fixed.setdefault(key, set()).update(self.measures["base_year"].unique())
        of_groupings = self.groupings[self.groupings["grouping"].isin(specification.groupings)].dropna(subset=["year"])
        for row in of_groupings.itertuples():
            for series in str(row.series).split():
                fixed.setdefault((series, self._scope(series, PANEL_SCOPE)), set()).add(int(row.year))
        return lent, varying, fixed


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


def _specification(row: dict[str, Any]) -> Specification:
    for column, allowed in (
        ("estimator", ESTIMATORS),
        ("transform", TRANSFORMS),
        ("fixed_effects", FIXED_EFFECTS),
        ("covariance", COVARIANCES),
    ):
        if row[column] not in allowed:
            raise SpecificationError(
                f"regression_specifications.csv, {row['specification_id']}, column {column}: {row[column]!r} is "
                f"none of {', '.join(allowed)}."
            )
    text = {name: value if isinstance(value, str) else "" for name, value in row.items()}
    for column, ignored in (
        ("covariance", row["estimator"] == "dynamic_panel" and row["covariance"] != "city"),
        ("fixed_effects", row["estimator"] != "fixed_effects" and row["fixed_effects"] != "city year"),
        ("grouping", row["estimator"] != "fixed_effects" and text["grouping"]),
        ("options", "placebo" in text["options"] and (text["grouping"] or row["covariance"] != "city")),
    ):
        if ignored:
            raise SpecificationError(
                f"regression_specifications.csv, {row['specification_id']}, column {column}: {row[column]!r} is not "
                f"implemented for this row (estimator {row['estimator']}), and would be ignored."
            )
    if row["fixed_effects"] == "city group-year" and not text["grouping"]:
        raise SpecificationError(
            f"regression_specifications.csv, {row['specification_id']}: year effects by group need a grouping."
        )
    subsample, equals, group = text["subsample"].partition("=")
    if subsample and not equals:
        raise SpecificationError(
            f"regression_specifications.csv, {row['specification_id']}, column subsample: {subsample!r} is not "
            "grouping=group."
        )
    return Specification(
        specification_id=row["specification_id"],
        table_id=row["table_id"],
        column_number=int(row["column_number"]),
        reading=row["reading"],
        is_headline=bool(row["is_headline"]),
        estimator=row["estimator"],
        outcome=row["outcome"],
        regressor=row["regressor"],
        transform=row["transform"],
        weighting=row["weighting"],
        scope=row["scope"],
        controls=tuple(text["controls"].split()),
        subsample=(subsample, group) if subsample else None,
        grouping=text["grouping"] or None,
        first_year=int(row["first_year"]),
        last_year=int(row["last_year"]),
        fixed_effects=row["fixed_effects"],
        covariance=row["covariance"],
        options=_options(row["specification_id"], row["estimator"], text["options"]),
        substitutions=text["substitutions"],
    )


def _options(specification_id: str, estimator: str, text: str) -> Options:
    kind, readers = ESTIMATORS[estimator]
    chosen = {}
    for pair in text.split():
        name, _, value = pair.partition("=")
        try:
            chosen[name] = readers[name](value)
        except (KeyError, ValueError) as error:
            raise SpecificationError(
                f"regression_specifications.csv, {specification_id}, column options: {pair!r} is no option of "
                f"{estimator}; there are: {', '.join(readers)}."
            ) from error
    return kind(**chosen)


def sample(specification: Specification, inputs: Inputs) -> Sample:
    """Return the city-years that a specification can use, and what became of the others.

    Raises
    ------
    NotEstimable
        If a series that the specification needs was not delivered, or no city-year has all of its variables.
    SpecificationError
        If the specification names something that the seeds do not list.
    """
    missing_series = inputs.undelivered(specification)
    if missing_series:
        raise NotEstimable(f"Not delivered: {', '.join(missing_series)}.")
    named = [specification.outcome, *specification.terms]
    repeated = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    if repeated:
        raise NotEstimable(f"{', '.join(repeated)} stands twice among outcome, regressor and controls.")
    transformed = TRANSFORMS[specification.transform]
    measure = inputs.measure(specification.measure, specification.weighting, specification.scope)
    measure = measure[["city_id", "year", "weight", "scaling_value", transformed, "missing_reason"]]
    measure = measure.rename(columns={transformed: specification.measure})
    shared = inputs.shared(specification)
    rows = inputs.panel[["city_id", "year", "province_id", *specification.variables, *shared]]
    rows = rows.merge(measure, on=["city_id", "year"], how="left", validate="one_to_one")
    for grouping in specification.groupings:
        groups = inputs.group_of_city(grouping).set_index("city_id")["group_name"]
        rows[grouping] = rows["city_id"].map(groups)

    losses: list[Loss] = []

    def drop(lost: pd.Series, reason: str, variable: str | None = None) -> None:
        nonlocal rows
        if lost.any():
            losses.append(Loss(reason, variable, int(lost.sum())))
            rows = rows[~lost]

    drop(~rows["year"].between(specification.first_year, specification.last_year), "outside the years")
    if isinstance(specification.options, EventStudyOptions) and specification.options.endpoints == "dropped":
        # The estimator would drop them too; here they are counted as lost.
        window = [EVENT_YEAR + end for end in EVENT_WINDOW]
        drop(~rows["year"].between(*window), "outside the window of the event study")
    for grouping in specification.groupings:
        drop(rows[grouping].isna(), "no group", grouping)
    if specification.subsample:
        grouping, group = specification.subsample
        drop(rows[grouping] != group, "outside the subsample", f"{grouping}={group}")
    if isinstance(specification.options, DynamicPanelOptions):
        return _dynamic_sample(specification, specification.options, rows, losses)
    for lost, reason, variable in _incomplete(rows, specification):
        drop(lost.loc[rows.index], reason, variable)
    for variable in shared:
        drop(rows[variable].isna(), "another outcome missing", variable)
    _check_not_empty(rows, specification)
    if specification.fixed_effects == "city group-year" and specification.grouping is not None:
        rows = rows.assign(period=group_year(rows, specification.grouping))
    labels = (pd.factorize(rows[name])[0] for name in ("city_id", specification.period))
    kept = rows.iloc[rows_without_singletons(*labels)]
    singletons = len(rows) - len(kept)
    if kept.empty:
        raise NotEstimable(f"All {singletons} city-years are alone in their city or year: no effect can be removed.")
    if singletons:
        losses.append(Loss("singleton of a city or a year", None, singletons))
    return Sample(kept, pd.Series(True, index=kept.index), tuple(losses), singletons)


def _incomplete(rows: pd.DataFrame, specification: Specification) -> list[tuple[pd.Series, str, str]]:
    """Return, in order, which rows lack what: the outcome, the measure and why, the controls."""
    measure = specification.measure
    found = []
    if specification.outcome != measure:
        found.append((rows[specification.outcome].isna(), "outcome missing", specification.outcome))
    found += [
        (rows["missing_reason"] == reason, reason, measure)
        for reason in sorted(rows["missing_reason"].dropna().unique())
    ]
    found.append((rows[measure].isna(), UNDEFINED.get(specification.transform, "measure missing"), measure))
    others = [name for name in specification.variables if name != specification.outcome]
    found += [(rows[name].isna(), "control missing", name) for name in others]
    return found


def _dynamic_sample(
    specification: Specification, options: DynamicPanelOptions, rows: pd.DataFrame, losses: list[Loss]
) -> Sample:
    """Tell observations of a dynamic panel from the rows that only lend them lags and instruments."""
    estimated = pd.Series(True, index=rows.index)

    def lose(lost: pd.Series, reason: str, variable: str) -> None:
        nonlocal estimated
        count = int((estimated & lost).sum())
        if count:
            losses.append(Loss(reason, variable, count))
            estimated = estimated & ~lost

    for lost, reason, variable in _incomplete(rows, specification):
        lose(lost, reason, variable)
    _check_not_empty(rows[estimated], specification)
    lagged = specification.outcome if options.lagged == "outcome" else specification.regressor
    lose(~_has_year_before(rows, rows[rows[lagged].notna()]), "no value a year before", lagged)
    if options.equation == "difference":
        lose(~_has_year_before(rows, rows[estimated]), "no observation a year before", lagged)
    if not estimated.any():
        raise NotEstimable(f"No city has {lagged} in two consecutive years.")
    return Sample(rows, estimated, tuple(losses), 0)


def _has_year_before(rows: pd.DataFrame, present: pd.DataFrame) -> pd.Series:
    """Return for each row whether its city has a row of the year before among those present."""
    before = pd.MultiIndex.from_arrays([rows["city_id"], rows["year"] - 1])
    there = before.isin(pd.MultiIndex.from_arrays([present["city_id"], present["year"]]))
    return pd.Series(np.asarray(there), index=rows.index)


def _check_not_empty(rows: pd.DataFrame, specification: Specification) -> None:
    if rows.empty:
        named = ", ".join((specification.outcome, *specification.terms))
        raise NotEstimable(f"No city-year has all of {named} in {specification.first_year}-{specification.last_year}.")
