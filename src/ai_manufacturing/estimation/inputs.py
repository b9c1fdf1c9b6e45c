"""The tables behind the estimates, and what one specification takes from them."""

import json
import threading
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing import settings
from ai_manufacturing.estimation.specifications import (
    TRANSFORMS,
    DynamicPanelOptions,
    Specification,
    SpecificationError,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.heterogeneity import group_year
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, joined, said
from ai_manufacturing.gate import result_tables, validation

Key = tuple[str, str]  # series and scope
PANEL_SCOPE = "industry"  # of a series that the panel counts by industry
PANEL_ROLES = ("outcome", "control", "completeness")
SECOND = "second_measure"  # role and column of another provider's measurement of the measure
# Groupings within which weights are permuted over cities.
STRATA = {"none": (), "region_size": ("region", "large_gdp")}
MEASURED = ["weight", "scaling_value", *TRANSFORMS.values()]
OF_MEASURES = ["city_id", "year", "measure", "weighting", "scope", "is_mechanical", *MEASURED]


@dataclass(frozen=True)
class Sample:
    """The city-years of a specification.

    Attributes
    ----------
    rows : DataFrame
        city_id, year, province_id, period, the measure with its weight and scaling_value, its second measurement if the
        specification has one, the outcome, the controls and a column per grouping; one row per city and year. In an
        observation nothing is missing.
    is_estimated : ndarray of bool
        Whether a row is an observation; the others serve a dynamic panel as lags and instruments.
    singletons_dropped : int
        Rows dropped because their city or their period had no other row left.
    cells : ndarray of int
        Positions of the rows among those of the panel.
    """

    rows: pd.DataFrame
    is_estimated: np.ndarray[Any, np.dtype[np.bool_]]
    singletons_dropped: int
    cells: Codes


@dataclass(frozen=True)
class Finding:
    """A failed expectation, by what fails it: series in a year, series in a city and year, or series as a whole."""

    expectation: Sentence
    years: set[tuple[str, str, int]]
    city_years: dict[Key, set[tuple[str, int]]]
    series: set[Key]


@dataclass(frozen=True)
class _RestsOn:
    """The cities and years of each series that an estimate rests on, and the years whose values it holds fixed."""

    cities: set[str]
    pairs_of: dict[Key, set[tuple[str, int]]]
    fixed: dict[Key, set[int]]

    def broken_years(self, finding: Finding) -> dict[str, set[int]]:
        broken: dict[str, set[int]] = {}
        for series, scope, year in finding.years:
            key = (series, scope)
            of_sample = any(year == other for _, other in self.pairs_of.get(key, ()))
            if of_sample or year in self.fixed.get(key, ()):
                broken.setdefault(series, set()).add(year)
        return broken

    def broken_series(self, finding: Finding) -> list[str]:
        return sorted(series for series, scope in finding.series & (self.pairs_of.keys() | self.fixed.keys()))

    def inside(self, finding: Finding) -> set[tuple[str, int]]:
        return {
            (city_id, year)
            for key, failing in finding.city_years.items()
            for city_id, year in failing
            if (city_id, year) in self.pairs_of.get(key, ())
            or (city_id in self.cities and year in self.fixed.get(key, ()))
        }


@dataclass(frozen=True)
class Inputs:
    """The tables that specifications draw on.

    Attributes
    ----------
    specifications : DataFrame
        intermediate.int_specifications_sampled.
    panel : DataFrame
        intermediate.int_city_year_variables.
    measures : DataFrame
        marts.fct_ai_measure, at least the columns OF_MEASURES.
    groups : DataFrame
        marts.dim_city_groups.
    series : DataFrame
        marts.dim_specification_series.
    samples : DataFrame
        intermediate.int_specification_samples.
    losses : DataFrame
        intermediate.int_specification_losses.
    gate_results : DataFrame
        gates.gate_results, at least the rows of result_tables.READ_BY_ESTIMATES.
    published : DataFrame
        seeds.published_estimates.
    substitution_labels : DataFrame
        seeds.substitutions.
    event_year : int
        Year of the event studies.
    event_window : tuple of int
        First and last year of their paths, from the year of the event.
    """

    specifications: pd.DataFrame
    panel: pd.DataFrame
    measures: pd.DataFrame
    groups: pd.DataFrame
    series: pd.DataFrame
    samples: pd.DataFrame
    losses: pd.DataFrame
    gate_results: pd.DataFrame
    published: pd.DataFrame
    substitution_labels: pd.DataFrame
    event_year: int
    event_window: tuple[int, int]

    def __getstate__(self) -> dict[str, Any]:
        """Return the tables, without what was computed of them: another process computes what it needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def extract_set(self) -> str | None:
        """Name of the extract set that the panel was built from; None for an empty panel."""
        return None if self.panel.empty else str(self.panel["extract_set"].iloc[0])

    def sample(self, specification: Specification) -> Sample:
        """Return the city-years that a specification can use: the same object, not to be written to, each time.

        Raises
        ------
        NotEstimable
            If a series that the specification needs was not delivered, or no city-year has all of its variables.
        SpecificationError
            If the specification names something that the seeds do not list.
        """
        if specification not in self._samples:
            self._samples[specification] = self._sample(specification)
        return self._samples[specification]

    def _sample(self, specification: Specification) -> Sample:
        name, options = specification.specification_id, specification.options
        drawn = self.series_of(specification)
        absent = [
            row.series if row.scope == "total" else f"{row.series} ({row.scope})"
            for row in drawn
            if row.role != "shared" and row.series is not None and not row.is_delivered
        ]
        if absent:
            because = dict.fromkeys(
                Sentence(row.absence_reason, row.absence_reason_zh)
                for row in drawn
                if row.role != "shared" and row.absence_reason is not None
            )
            series = [*dict.fromkeys(absent)]
            if because:
                raise NotEstimable("not_delivered_because", series=series, because=joined(because))
            raise NotEstimable("not_delivered", series=series)
        named = [specification.outcome, *specification.terms]
        repeated = [variable for variable in dict.fromkeys(named) if named.count(variable) > 1]
        if repeated:
            raise NotEstimable("listed_twice", names=repeated)

        measure, second = (self._measure_key(specification, role) for role in ("measure", SECOND))
        if second[0] is not None and measure == second:
            raise NotEstimable("second_is_measure", name=specification.measure)

        lost = self._lost.get(name, {})
        if "specification beyond the period" in lost:
            years = self.panel["year"]
            raise NotEstimable(
                "beyond_the_period",
                first=specification.first_year,
                last=specification.last_year,
                period_first=int(years.min()),
                period_last=int(years.max()),
            )
        singletons = lost.get("singleton of a city or a year", 0)
        nothing = (np.empty(0, int), np.empty(0, bool))
        positions, is_observation = self._positions.get(self._sample_ids.get(name, ""), nothing)
        if not is_observation.any():
            if isinstance(options, DynamicPanelOptions) and "no value a year before" in lost:
                lagged = specification.outcome if options.lagged == "outcome" else specification.regressor
                raise NotEstimable("no_two_years", name=lagged)
            if singletons:
                raise NotEstimable("all_singletons", count=singletons)
            first, last = specification.first_year, specification.last_year
            raise NotEstimable("no_city_year", names=named, first=first, last=last)
        columns = {name: self.panel[name] for name in ("city_id", "year", "province_id")}
        columns |= {row.variable: self.panel[row.variable_used] for row in drawn if row.role in PANEL_ROLES}
        measured = self.measured(measure)
        columns |= {name: measured[name] for name in ("weight", "scaling_value")}
        columns[specification.measure] = measured[TRANSFORMS[specification.transform]]
        if second[0] is not None:
            columns[SECOND] = self.measured(second)[TRANSFORMS[specification.transform]]
        columns |= {name: self._group_of_row(name) for name in specification.groupings}
        rows = pd.DataFrame({name: column.array.take(positions) for name, column in columns.items()})
        if specification.fixed_effects == "city group-year" and specification.grouping is not None:
            rows = rows.assign(period=group_year(rows, specification.grouping))
        elif specification.fixed_effects == "city province-year":
            rows = rows.assign(period=group_year(rows, "province_id"))
        return Sample(rows, is_observation, singletons, positions)

    def series_of(self, specification: Specification) -> list[Any]:
        """Return the rows of marts.dim_specification_series of a specification, by position.

        Raises
        ------
        SpecificationError
            If the row names a variable, weighting or grouping that the seeds do not list.
        """
        if self.series.empty:  # dbt build --empty
            return []
        where = f"regression_specifications.csv, {specification.specification_id}"
        drawn = self._series.get(specification.specification_id, [])
        if not any(row.role == "measure" for row in drawn):
            raise SpecificationError(
                f"{where}: measure_weightings.csv has no row {specification.measure}, {specification.weighting}. Add "
                "it, or correct the specification."
            )
        used = dict.fromkeys(row.quantity for row in drawn if row.role != "grouping")
        for series, _ in specification.providers:
            if series not in used:
                raise SpecificationError(
                    f"{where}, column providers: the specification does not use {series!r}. It uses "
                    f"{', '.join(str(name) for name in used)}."
                )
        for row in drawn:
            if row.series is None and row.role != "grouping":
                raise SpecificationError(
                    f"{where}: {row.variable!r} is not a variable: no row of series.csv has it in column series or "
                    "log_variable, nor has derived_variables.csv."
                )
        used_controls = {row.variable for row in drawn if row.role == "control"}
        if used_controls != set(specification.controls):
            raise SpecificationError(
                f"{where}: read as the seed has it, with controls {' '.join(specification.controls)}; here they are "
                f"{' '.join(sorted(used_controls))}. Read it from int_specifications_sampled (Inputs.specifications)."
            )
        known = {row.variable for row in drawn if row.role == "grouping"}
        for grouping in specification.groupings:
            if grouping not in known:
                raise SpecificationError(f"{where}: no grouping {grouping!r} in city_groupings.csv.")
        return drawn

    def reference_group(self, grouping: str) -> str | None:
        """Return the group that the others are measured against; None if no city is in it."""
        groups = self._groups.get(grouping, self.groups.iloc[:0])
        reference = groups.loc[groups["is_reference"].astype(bool), "group_name"]
        return None if reference.empty else str(reference.iloc[0])

    def printed(self, specification: Specification) -> dict[str, float]:
        """Return the coefficients that the paper prints in the column of a specification, by term."""
        return self._printed.get((specification.table_id, specification.column_number), {})

    def is_mechanical(self, specification: Specification) -> bool:
        """Return whether the measure is scaled by an outcome."""
        return self._measure_key(specification) in self._mechanical

    def substitutions(self, specification: Specification) -> Sentence:
        """Return what substitutes for what in a specification: its own words, then those of the series it uses.

        Raises
        ------
        SpecificationError
            If substitutions.csv does not have the words.
        """
        used = [row.substitution for row in self.series_of(specification) if row.role != "shared"]
        named = dict.fromkeys(text for text in (*specification.substitutions, *used) if text)
        for text in named.keys() - self._substitutions.keys():
            raise SpecificationError(
                f"regression_specifications.csv, {specification.specification_id}: substitutions.csv has no row "
                f"{text!r}. Add it, with its Chinese."
            )
        return joined(self._substitutions[text] for text in named)

    def warnings(self, specification: Specification, used: Sample) -> list[Sentence]:
        """Return what the gate found wrong with the series, years and cities that an estimate rests on.

        Parameters
        ----------
        specification : Specification
        used : Sample
            Its city-years.

        Returns
        -------
        list of Sentence
            One sentence on series that the gate does not judge; one per failed expectation about series as a whole; one
            per series and failed expectation about years; one per failed expectation about cities and years, with how
            many of these the estimate rests on. A break between two years is that of the later one.

        Notes
        -----
        Variables and measure rest on the years of the sample; a share held fixed on the base year, and a grouping on
        its own year, of the same cities. A dynamic panel rests on the rows that lend its outcome and measure lags and
        instruments too.
        """
        unjudged = dict.fromkeys(
            row.series
            for row in self.series_of(specification)
            if row.role != "shared" and row.series != row.quantity and (row.series, row.scope) not in self._of_headlines
        )
        found = [said("not_judged", series=[*unjudged])] if unjudged else []
        if not self._findings:
            return found
        rests = self._rests_on(specification, used)
        for finding in self._findings:
            if broken := rests.broken_series(finding):
                found.append(said("series_break_as_a_whole", series=broken, expectation=finding.expectation))
            found += [
                said("series_breaks", series=series, years=[*map(str, sorted(years))], expectation=finding.expectation)
                for series, years in sorted(rests.broken_years(finding).items())
            ]
            if inside := rests.inside(finding):
                everywhere = set().union(*finding.city_years.values())
                found.append(
                    said(
                        "city_years_break",
                        count=len(inside),
                        all=len(everywhere),
                        cities=len({city_id for city_id, _ in inside}),
                        expectation=finding.expectation,
                    )
                )
        return found

    def flagged(self, specification: Specification, used: Sample) -> dict[Sentence, set[str]]:
        """Return the cities of a sample that fail an expectation in a year that the estimate rests on, by expectation.

        Notes
        -----
        What a specification rests on is told in warnings.
        """
        rests = self._rests_on(specification, used)
        found: dict[Sentence, set[str]] = {}
        for finding in self._findings:
            found.setdefault(finding.expectation, set()).update(city_id for city_id, _ in rests.inside(finding))
        return {expectation: cities for expectation, cities in found.items() if cities}

    def broken_years(self, specification: Specification, used: Sample) -> set[int]:
        """Return the years of a sample in which a series that the estimate rests on fails an expectation as a whole."""
        rests = self._rests_on(specification, used)
        return {year for finding in self._findings for years in rests.broken_years(finding).values() for year in years}

    def _rests_on(self, specification: Specification, used: Sample) -> "_RestsOn":
        cities, pairs, lending = self._city_years(used)
        pairs_of: dict[Key, set[tuple[str, int]]] = {}
        fixed: dict[Key, set[int]] = {}
        for row in self.series_of(specification):
            key = (row.series, row.scope)
            if row.role == "shared":
                continue
            if row.first_year is not None and (row.role != "control" or key not in pairs_of):
                pairs_of[key] = pairs if row.role == "control" else lending
            if row.fixed_year is not None:
                fixed.setdefault(key, set()).add(int(row.fixed_year))
        return _RestsOn(cities, pairs_of, fixed)

    def _city_years(self, used: Sample) -> tuple[set[str], set[tuple[str, int]], set[tuple[str, int]]]:
        """Return the cities of a sample, its city-years, and with these the rows that lend to its cities."""
        key = used.cells.tobytes(), used.is_estimated.tobytes()
        if key not in self._rested_on:
            pairs = {self._pairs[cell] for cell in used.cells[used.is_estimated]}
            cities = {city_id for city_id, _ in pairs}
            lending = pairs | {pair for pair in (self._pairs[cell] for cell in used.cells) if pair[0] in cities}
            self._rested_on[key] = cities, pairs, lending
        return self._rested_on[key]

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What is made of these tables once for all models of a run, by everything else that it is made of."""
        return {}

    @cached_property
    def _printed(self) -> dict[tuple[str, int], dict[str, float]]:
        found: dict[tuple[str, int], dict[str, float]] = {}
        for row in self.published.itertuples():
            found.setdefault((str(row.table_id), int(row.column_number)), {})[str(row.term)] = float(row.estimate)
        return found

    @cached_property
    def _pairs(self) -> list[tuple[str, int]]:
        return [*zip(self.panel["city_id"].tolist(), self.panel["year"].tolist(), strict=True)]

    @cached_property
    def _rested_on(self) -> dict[tuple[bytes, bytes], tuple[set[str], set[tuple[str, int]], set[tuple[str, int]]]]:
        return {}

    @cached_property
    def _samples(self) -> dict[Specification, Sample]:
        return {}

    @cached_property
    def _series(self) -> dict[str, list[Any]]:
        ordered = self.series.astype(object).where(self.series.notna(), None).sort_values(["position", "series"])
        found: dict[str, list[Any]] = {}
        for row in ordered.itertuples():
            found.setdefault(str(row.specification_id), []).append(row)
        return found

    @cached_property
    def _substitutions(self) -> dict[str, Sentence]:
        labels = self.substitution_labels.itertuples()
        return {row.substitution: Sentence(row.substitution, row.substitution_zh) for row in labels}

    @cached_property
    def _of_headlines(self) -> set[Key]:
        """The series that headline specifications use, which the gate judges whoever delivers them."""
        used = self.series.loc[self.series["is_headline"].astype(bool), ["series", "scope"]]
        return set(used.itertuples(index=False, name=None))

    @cached_property
    def _groups(self) -> dict[str, pd.DataFrame]:
        return dict(iter(self.groups.groupby("grouping")))

    @cached_property
    def _by_city(self) -> dict[str, pd.DataFrame]:
        return {}

    @cached_property
    def _lost(self) -> dict[str, dict[str, int]]:
        return {
            str(name): dict(zip(rows["reason"], rows["observation_count"], strict=True))
            for name, rows in self.losses.groupby("specification_id")
        }

    @cached_property
    def _cells(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.panel[["city_id", "year"]])

    @cached_property
    def _sample_ids(self) -> dict[str, Any]:
        """The sample of each specification; none without one of its series."""
        return dict(self.specifications[["specification_id", "sample_id"]].itertuples(index=False, name=None))

    @cached_property
    def _positions(self) -> dict[str, tuple[Any, Any]]:
        """Per sample the rows of the panel that it uses, and which of them are observations."""
        positions = self._cells.get_indexer(pd.MultiIndex.from_frame(self.samples[["city_id", "year"]]))
        is_observation = self.samples["is_observation"].to_numpy(dtype=bool)
        found = {}
        for name, rows in self.samples.groupby("sample_id").indices.items():
            order = rows[np.argsort(positions[rows])]
            found[str(name)] = (positions[order], is_observation[order])
        return found

    @cached_property
    def _measure_rows(self) -> dict[Any, Any]:
        return dict(self.measures.groupby(["measure", "weighting", "scope"]).indices)

    @cached_property
    def _mechanical(self) -> set[tuple[str, str, str]]:
        keys = self.measures.loc[self.measures["is_mechanical"].astype(bool), ["measure", "weighting", "scope"]]
        return set(keys.drop_duplicates().itertuples(index=False, name=None))

    @cached_property
    def _aligned(self) -> dict[Any, Any]:
        """What was taken from measures and groups already, in the rows of the panel."""
        return {}

    def measured(self, key: tuple[str, str, str]) -> pd.DataFrame:
        """Return a measure by measure, weighting and scope, in the rows of the panel; missing if nobody has it."""
        if key not in self._aligned:
            rows = self.measures.iloc[self._measure_rows.get(key, [])]
            self._aligned[key] = rows.set_index(["city_id", "year"])[MEASURED].reindex(self._cells)
        return self._aligned[key]

    def measure_of_another_year(self, specification: Specification, used: Sample, by: int) -> Floats:
        """Return the measure of each row's city `by` years later; missing where the panel has no such year."""
        measured = self.measured(self._measure_key(specification))[TRANSFORMS[specification.transform]]
        cells = pd.MultiIndex.from_arrays([used.rows["city_id"], used.rows["year"] + by], names=measured.index.names)
        values: Floats = measured.reindex(cells).to_numpy(dtype=float, na_value=np.nan)
        return values

    def _measure_key(self, specification: Specification, role: str = "measure") -> tuple[Any, str, str]:
        """Return measure, weighting and scope of fct_ai_measure; the first is None if nothing has the role."""
        named = (row.variable_used for row in self._series.get(specification.specification_id, []) if row.role == role)
        return next(named, None), specification.weighting, specification.scope

    def group_of(self, grouping: str, cities: pd.Series) -> pd.Series:
        """Return the group of each city; missing where it is in none."""
        return cities.map(self._of_grouping(grouping)["group_name"])

    def value_of(self, grouping: str, cities: pd.Series) -> pd.Series:
        """Return the value by which each city is grouped; missing where it is in no group."""
        return cities.map(self._of_grouping(grouping)["value"])

    def strata_of(self, strata: str, cities: pd.Series) -> Codes:
        """Return the stratum of each city, a row of STRATA, as 0, 1, ...; a city in no group is in a stratum too."""
        labels = [self.group_of(name, cities).fillna("none") for name in STRATA[strata]]
        codes: Codes = pd.factorize(pd.Series([*zip(*labels, strict=True)] or 0, index=cities.index), sort=True)[0]
        return codes

    def _of_grouping(self, grouping: str) -> pd.DataFrame:
        if grouping not in self._by_city:
            self._by_city[grouping] = self._groups.get(grouping, self.groups.iloc[:0]).set_index("city_id")
        return self._by_city[grouping]

    def _group_of_row(self, grouping: str) -> pd.Series:
        """Return the group of the city of each row of the panel."""
        if grouping not in self._aligned:
            self._aligned[grouping] = self.group_of(grouping, self.panel["city_id"])
        return self._aligned[grouping]

    @cached_property
    def _findings(self) -> list[Finding]:
        """What the gate found wrong with a series, in a year, in a city and year or as a whole, and let pass."""
        failed = self.gate_results[~self.gate_results["success"].astype(bool)]
        found = [self._finding(row) for row in failed.itertuples()]
        return [finding for finding in found if finding.years or finding.city_years or finding.series]

    def _finding(self, failed: Any) -> Finding:
        declared = failed.series.split() if isinstance(failed.series, str) else []
        years: set[tuple[str, str, int]] = set()
        city_years: dict[Key, set[tuple[str, int]]] = {}
        rows = json.loads(failed.failing_rows) if isinstance(failed.failing_rows, str) else []
        whole = set() if rows else {(series, self._scope_of(series)) for series in declared}
        for row in rows:
            for series in (row["series"],) if "series" in row else declared:
                scope = row.get("scope") or self._scope_of(series)
                if {"city_id", "year"} <= row.keys():
                    city_years.setdefault((series, scope), set()).add((row["city_id"], row["year"]))
                elif "year" in row:
                    years.add((series, scope, row["year"]))
        # an estimate that carries the warning uses the series or year that shown estimates do not
        words = (validation.declared_description(text) for text in (failed.description, failed.description_zh))
        return Finding(Sentence(*words), years, city_years, whole)

    def _scope_of(self, series: str) -> str:
        return "total" if series in self._total_series else PANEL_SCOPE

    @cached_property
    def _total_series(self) -> set[str]:
        return set(self.series.loc[self.series["scope"] == "total", "series"])


# Where the tables of Inputs stand in a built warehouse, by its attributes.
RELATIONS = {
    "specifications": "intermediate.int_specifications_sampled",
    "panel": "intermediate.int_city_year_variables",
    "measures": "marts.fct_ai_measure",
    "groups": "marts.dim_city_groups",
    "series": "marts.dim_specification_series",
    "samples": "intermediate.int_specification_samples",
    "losses": "intermediate.int_specification_losses",
    "gate_results": "gates.gate_results",
    "published": "seeds.published_estimates",
    "substitution_labels": "seeds.substitutions",
}


def of_warehouse(connection: duckdb.DuckDBPyConnection, **given: pd.DataFrame) -> Inputs:
    """Return what the estimates of a built warehouse rest on; a table that is given takes the place of its own."""
    declared = settings.variables()
    first, last = declared["event_window"]
    frames = {name: connection.table(relation).df() for name, relation in RELATIONS.items() if name not in given}
    return Inputs(**frames, **given, event_year=declared["break_year"], event_window=(first, last))


_LAST_READ: dict[tuple[Any, ...], Inputs] = {}  # one at most: each estimate model of a run asks for the same tables
_READING = threading.Lock()


def read(event_year: int, event_window: list[int], **tables: duckdb.DuckDBPyRelation) -> Inputs:
    """Read the tables of Inputs, by the names of its attributes; once, while their content is the same.

    Raises
    ------
    GateFailedError
        If the gate holds the panel back.
    """
    first, last = event_window
    tables["measures"] = tables["measures"].select(*OF_MEASURES)
    tables["specifications"] = tables["specifications"].project("* exclude (design)")
    tables["gate_results"] = tables["gate_results"].filter(result_tables.READ_BY_ESTIMATES)
    with _READING:
        content = (event_year, first, last, *((name, *_content(relation)) for name, relation in tables.items()))
        if content not in _LAST_READ:
            frames = {name: relation.df() for name, relation in tables.items()}
            validation.require(frames["gate_results"])
            _LAST_READ.clear()
            _LAST_READ[content] = Inputs(event_year=event_year, event_window=(first, last), **frames)
        return _LAST_READ[content]


def _content(relation: duckdb.DuckDBPyRelation) -> tuple[Any, ...]:
    """Return what tells a table from another: its columns, how many rows it has, and the sum of their hashes."""
    (counted,) = relation.set_alias("counted").aggregate("count(*), sum(hash(counted))").fetchall()
    return (*relation.columns, *counted)
