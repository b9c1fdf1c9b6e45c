"""Regressions as data: what a row of regression_specifications.csv asks for, and the city-years that can answer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from ai_manufacturing.estimators.fixed_effects import rows_without_singletons
from ai_manufacturing.estimators.not_estimable import NotEstimable

# What the regressor column of a specification becomes in fct_ai_measure.
TRANSFORMS = {"level": "measure_10k", "ln": "ln_measure", "ln1p": "ln1p_measure"}
ESTIMATORS = ("fixed_effects",)
COVARIANCES = {"city": "city_id", "province": "province_id"}


class SpecificationError(Exception):
    """A row of regression_specifications.csv that asks for something the project does not have."""


@dataclass(frozen=True)
class Specification:
    """One regression: a row of regression_specifications.csv."""

    specification_id: str
    table_id: str
    column_number: int
    is_headline: bool
    estimator: str
    outcome: str
    regressor: str
    transform: str
    weighting: str
    scope: str
    controls: tuple[str, ...]
    first_year: int
    last_year: int
    fixed_effects: str
    covariance: str
    substitutions: str

    @property
    def terms(self) -> tuple[str, ...]:
        """The regressors in the order of the output: the measure, then the controls."""
        return (self.regressor, *self.controls)


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
        city_id, year, province_id, the outcome and the terms; one row per city and year, nothing missing, no
        singletons of a city or a year.
    losses : tuple of Loss
        What the panel's other rows lack, in the order in which they were dropped.
    singletons_dropped : int
        Rows dropped because their city or their year had no other row left.
    """

    rows: pd.DataFrame
    losses: tuple[Loss, ...]
    singletons_dropped: int


@dataclass(frozen=True)
class Inputs:
    """The tables that specifications draw on.

    Attributes
    ----------
    panel : DataFrame
        marts.fct_city_year_panel.
    measures : DataFrame
        marts.fct_ai_measure.
    series : DataFrame
        marts.dim_series.
    variables : DataFrame
        seeds.panel_variables.
    weightings : DataFrame
        seeds.measure_weightings.
    """

    panel: pd.DataFrame
    measures: pd.DataFrame
    series: pd.DataFrame
    variables: pd.DataFrame
    weightings: pd.DataFrame
    _cells: dict[tuple[str, str, str], pd.DataFrame] = field(default_factory=dict, repr=False)

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

    def measure(self, measure: str, weighting: str, scope: str) -> pd.DataFrame:
        """Return the rows of one measure, weighting and scope of fct_ai_measure."""
        key = (measure, weighting, scope)
        if key not in self._cells:
            names = ("measure", "weighting", "scope")
            selected = pd.Series(True, index=self.measures.index)
            for name, value in zip(names, key, strict=True):
                selected &= self.measures[name] == value
            self._cells[key] = self.measures[selected]
        return self._cells[key]

    def series_of(self, specification: Specification) -> list[tuple[str, str]]:
        """Return the (series, scope) pairs that a specification draws on, outcome first.

        Raises
        ------
        SpecificationError
            If the row names a variable, measure or weighting that the seeds do not list.
        """
        used: list[tuple[str, str]] = []
        weighting = self.weightings[
            (self.weightings["measure"] == specification.regressor)
            & (self.weightings["weighting"] == specification.weighting)
        ]
        if weighting.empty:
            raise SpecificationError(
                f"regression_specifications.csv, {specification.specification_id}: no weighting "
                f"{specification.weighting!r} of {specification.regressor!r} in measure_weightings.csv."
            )
        series_of_variable = dict(zip(self.variables["variable"], self.variables["series"], strict=True))
        for variable in (specification.outcome, *specification.controls):
            if variable not in series_of_variable:
                raise SpecificationError(
                    f"regression_specifications.csv, {specification.specification_id}: "
                    f"{variable!r} is no variable of panel_variables.csv."
                )
            used.append((series_of_variable[variable], "total"))
        count_scopes = set(zip(self.series["series"], self.series["scope"], strict=True))
        measured = weighting.iloc[0]
        for series in (measured["base_series"], measured["scaling_series"]):
            if pd.notna(series):
                scope = specification.scope if (series, "total") not in count_scopes else "total"
                used.insert(1, (series, scope))
        return used

    def undelivered(self, specification: Specification) -> list[str]:
        """Return the series that a specification needs and the extract set does not hold."""
        return [
            series if scope == "total" else f"{series} ({scope})"
            for series, scope in dict.fromkeys(self.series_of(specification))
            if (series, scope) not in self._delivered
        ]

    def substitutions(self, specification: Specification) -> str:
        """Return what stands in for what in a specification: its own words, then those of the series it uses."""
        used = [self._delivered.get(key) for key in self.series_of(specification)]
        return "; ".join(dict.fromkeys(text for text in (specification.substitutions, *used) if text))


def read(table: pd.DataFrame, estimator: str | None = None) -> list[Specification]:
    """Return the specifications of a seed table, those of one estimator if it is named.

    Raises
    ------
    SpecificationError
        If a row names an estimator, transform, fixed effects or covariance that the package does not have.
    """
    return list(_read(table, estimator))


def _read(table: pd.DataFrame, estimator: str | None) -> Iterator[Specification]:
    for row in table.to_dict("records"):
        for column, allowed in (
            ("estimator", ESTIMATORS),
            ("transform", tuple(TRANSFORMS)),
            ("fixed_effects", ("city year",)),
            ("covariance", tuple(COVARIANCES)),
        ):
            if row[column] not in allowed:
                raise SpecificationError(
                    f"regression_specifications.csv, {row['specification_id']}, column {column}: {row[column]!r} is "
                    f"none of {', '.join(allowed)}."
                )
        if estimator is not None and row["estimator"] != estimator:
            continue
        yield Specification(
            specification_id=row["specification_id"],
            table_id=row["table_id"],
            column_number=int(row["column_number"]),
            is_headline=bool(row["is_headline"]),
            estimator=row["estimator"],
            outcome=row["outcome"],
            regressor=row["regressor"],
            transform=row["transform"],
            weighting=row["weighting"],
            scope=row["scope"],
            controls=tuple(row["controls"].split()) if isinstance(row["controls"], str) else (),
            first_year=int(row["first_year"]),
            last_year=int(row["last_year"]),
            fixed_effects=row["fixed_effects"],
            covariance=row["covariance"],
            substitutions=row["substitutions"] if isinstance(row["substitutions"], str) else "",
        )


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
    measure = inputs.measure(specification.regressor, specification.weighting, specification.scope)
    measure = measure[["city_id", "year", TRANSFORMS[specification.transform], "missing_reason"]].rename(
        columns={TRANSFORMS[specification.transform]: specification.regressor}
    )
    columns = ["city_id", "year", "province_id", specification.outcome, *specification.controls]
    rows = inputs.panel[columns].merge(measure, on=["city_id", "year"], how="left", validate="one_to_one")

    losses: list[Loss] = []

    def drop(lost: pd.Series, reason: str, variable: str | None = None) -> None:
        nonlocal rows
        if lost.any():
            losses.append(Loss(reason, variable, int(lost.sum())))
            rows = rows[~lost]

    inside = rows["year"].between(specification.first_year, specification.last_year)
    drop(~inside, "outside the years of the specification")
    drop(rows[specification.outcome].isna(), "outcome missing", specification.outcome)
    for reason in sorted(rows["missing_reason"].dropna().unique()):
        drop(rows["missing_reason"] == reason, reason, specification.regressor)
    drop(rows[specification.regressor].isna(), "log of zero", specification.regressor)
    for control in specification.controls:
        drop(rows[control].isna(), "control missing", control)
    if rows.empty:
        raise NotEstimable(
            f"No city-year has all of {', '.join((specification.outcome, *specification.terms))} in "
            f"{specification.first_year}-{specification.last_year}."
        )
    kept = rows.iloc[rows_without_singletons(*(pd.factorize(rows[name])[0] for name in ("city_id", "year")))]
    singletons = len(rows) - len(kept)
    if singletons:
        losses.append(Loss("singleton of a city or a year", None, singletons))
    return Sample(kept.drop(columns="missing_reason"), tuple(losses), singletons)
