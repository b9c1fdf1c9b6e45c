"""Load the tables used for estimation, and select each regression's sample and warnings."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing.estimation.findings import CityYear, Finding, Key, UsedCityYears
from ai_manufacturing.estimation.specifications import (
    TRANSFORMS,
    DynamicPanelOptions,
    Specification,
    SpecificationError,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.heterogeneity import label_group_years
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, join_sentences, sentence
from ai_manufacturing.gate import result_tables, validation
from ai_manufacturing.system import settings

Value = TypeVar("Value")
# Roles of the variables that are columns of the city-year panel.
PANEL_ROLES = ("outcome", "control", "completeness")
# Role and column name of the AI measure from a second data provider, used as an instrument.
SECOND_MEASURE = "second_measure"
# Numeric columns that estimation reads from the table fct_ai_measure.
VALUE_COLUMNS = ["weight", "scaling_value", *TRANSFORMS.values()]
MEASURE_COLUMNS = [
    "city_id",
    "year",
    "measure",
    "weighting",
    "scope",
    "is_mechanical",
    *VALUE_COLUMNS,
]


@dataclass(frozen=True)
class Sample:
    """City-year rows that a regression specification is estimated on.

    Attributes
    ----------
    rows : DataFrame
        city_id, year, province_id, period, the measure with its weight and scaling_value, its
        second measurement if the specification has one, the outcome, the controls and a column per
        grouping; one row per city and year. Observations have no missing values.
    is_estimated : ndarray of bool
        Whether a row is an observation; the other rows only provide lags and instruments to a
        dynamic panel.
    singletons_dropped : int
        Rows dropped because their city or period had no other row.
    cells : ndarray of int
        Row positions in the panel.
    """

    rows: pd.DataFrame
    is_estimated: np.ndarray[Any, np.dtype[np.bool_]]
    singletons_dropped: int
    cells: Codes

    @cached_property
    def city_years(self) -> set[CityYear]:
        """Set of the (city_id, year) pairs of all observations."""
        rows = self.rows[self.is_estimated]
        return {*zip(rows["city_id"], rows["year"], strict=True)}

    @cached_property
    def cities(self) -> set[str]:
        """Ids of the cities with at least one observation."""
        return {city_id for city_id, _ in self.city_years}

    @cached_property
    def city_years_with_lags(self) -> set[CityYear]:
        """Set of (city_id, year) pairs, including rows that only provide lags or instruments.

        Cities without an observation are excluded.
        """
        rows = self.rows[self.rows["city_id"].isin(self.cities)]
        return {*zip(rows["city_id"], rows["year"], strict=True)}


@dataclass(frozen=True)
class Inputs:
    """Warehouse tables used for estimation, as DataFrames, with cached look-ups.

    Attributes
    ----------
    specifications : DataFrame
        intermediate.int_specifications_sampled.
    panel : DataFrame
        intermediate.int_city_year_variables.
    measures : DataFrame
        marts.fct_ai_measure with at least the columns MEASURE_COLUMNS.
    groups : DataFrame
        marts.dim_city_groups.
    series : DataFrame
        marts.dim_specification_series.
    samples : DataFrame
        intermediate.int_specification_samples.
    losses : DataFrame
        intermediate.int_specification_losses.
    gate_results : DataFrame
        gates.gate_results with at least the rows that result_tables.AFFECTS_ESTIMATES selects.
    published_estimates : DataFrame
        seeds.published_estimates.
    substitution_labels : DataFrame
        seeds.substitutions.
    event_year : int
        Year of the event studies.
    event_window : tuple of int
        First and last year of the event studies, relative to event_year.
    """

    specifications: pd.DataFrame
    panel: pd.DataFrame
    measures: pd.DataFrame
    groups: pd.DataFrame
    series: pd.DataFrame
    samples: pd.DataFrame
    losses: pd.DataFrame
    gate_results: pd.DataFrame
    published_estimates: pd.DataFrame
    substitution_labels: pd.DataFrame
    event_year: int
    event_window: tuple[int, int]

    def __getstate__(self) -> dict[str, Any]:
        """Return the tables and settings to pickle, without cached results.

        A worker process recomputes the few results that it needs.
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def extract_set(self) -> str | None:
        """Name of the set of data extracts behind the panel; None if the panel is empty."""
        return None if self.panel.empty else str(self.panel["extract_set"].iloc[0])

    def sample(self, specification: Specification) -> Sample:
        """Select the city-year rows that a specification can be estimated on.

        The sample is cached and shared between callers, so do not modify it.

        Raises
        ------
        NotEstimable
            If a required series was not delivered, or no city-year has all required variables.
        SpecificationError
            If the specification names something that the seeds do not list.
        """
        return self.get_or_compute(
            ("sample", specification), partial(self._select_sample, specification)
        )

    def _select_sample(self, specification: Specification) -> Sample:
        name, options = specification.specification_id, specification.options
        series = self.list_series(specification)
        absent = [
            row.series if row.scope == "total" else f"{row.series} ({row.scope})"
            for row in series
            if row.role != "shared" and row.series is not None and not row.is_delivered
        ]
        if absent:
            because = dict.fromkeys(
                Sentence(row.absence_reason, row.absence_reason_zh)
                for row in series
                if row.role != "shared" and row.absence_reason is not None
            )
            names = [*dict.fromkeys(absent)]
            if because:
                raise NotEstimable(
                    "not_delivered_because", series=names, because=join_sentences(because)
                )
            raise NotEstimable("not_delivered", series=names)
        variables = [specification.outcome, *specification.terms]
        repeats = [
            variable for variable in dict.fromkeys(variables) if variables.count(variable) > 1
        ]
        if repeats:
            raise NotEstimable("listed_twice", names=repeats)

        measure, second = (
            self._measure_key(specification, role) for role in ("measure", SECOND_MEASURE)
        )
        if second[0] is not None and measure == second:
            raise NotEstimable("second_is_measure", name=specification.measure)

        losses = self._losses_by_reason.get(name, {})
        first, last = specification.first_year, specification.last_year
        years = self.panel["year"]
        if first > years.max() or last < years.min():
            raise NotEstimable(
                "beyond_the_period",
                first=first,
                last=last,
                period_first=int(years.min()),
                period_last=int(years.max()),
            )
        singletons = losses.get("singleton of a city or a year", 0)
        nothing = (np.empty(0, int), np.empty(0, bool))
        positions, is_observation = self._positions.get(self._sample_ids.get(name, ""), nothing)
        if not is_observation.any():
            if isinstance(options, DynamicPanelOptions) and "no value a year before" in losses:
                lag_column = (
                    specification.outcome
                    if options.lagged == "outcome"
                    else specification.regressor
                )
                raise NotEstimable("no_two_years", name=lag_column)
            if singletons:
                raise NotEstimable("all_singletons", count=singletons)
            raise NotEstimable("no_city_year", names=variables, first=first, last=last)
        panel = self.panel.iloc[positions].reset_index(drop=True)
        column, values = TRANSFORMS[specification.transform], self.read_measure(measure)
        columns = {name: panel[name] for name in ("city_id", "year", "province_id")}
        columns |= {
            row.variable: panel[row.variable_used] for row in series if row.role in PANEL_ROLES
        }
        columns |= {name: values[name].array[positions] for name in ("weight", "scaling_value")}
        columns[specification.measure] = values[column].array[positions]
        if second[0] is not None:
            columns[SECOND_MEASURE] = self.read_measure(second)[column].array[positions]
        columns |= {
            name: self.look_up_groups(name, panel["city_id"]) for name in specification.groupings
        }
        rows = pd.DataFrame(columns)
        if specification.period_group is not None:
            rows["period"] = label_group_years(rows, specification.period_group)
        return Sample(rows, is_observation, singletons, positions)

    def list_series(self, specification: Specification) -> list[Any]:
        """Return a specification's rows of marts.dim_specification_series, sorted by position.

        Raises
        ------
        SpecificationError
            If the specification names a variable, weighting or grouping that the seeds do not list.
        """
        if self.series.empty:  # true after `dbt build --empty`, which loads no rows
            return []
        where = f"regression_specifications.csv, {specification.specification_id}"
        rows = self._series.get(specification.specification_id, [])
        if not any(row.role == "measure" for row in rows):
            raise SpecificationError(
                f"{where}: measure_weightings.csv has no row for measure"
                f" {specification.measure} and weighting {specification.weighting}. Add the"
                " row, or correct the specification."
            )
        quantities = dict.fromkeys(row.quantity for row in rows if row.role != "grouping")
        for series, _ in specification.providers:
            if series not in quantities:
                names = ", ".join(str(name) for name in quantities)
                raise SpecificationError(
                    f"{where}, column providers: the specification does not use the series"
                    f" {series!r}. Name one of the series {names}."
                )
        for row in rows:
            if row.series is None and row.role != "grouping":
                raise SpecificationError(
                    f"{where}: {row.variable!r} is not a variable that series.csv (column series or"
                    " log_variable) or derived_variables.csv declares. Add the variable to one of"
                    " these files, or correct the specification."
                )
        groupings = {row.variable for row in rows if row.role == "grouping"}
        for grouping in specification.groupings:
            if grouping not in groupings:
                raise SpecificationError(
                    f"{where}: city_groupings.csv has no grouping {grouping!r}. Add the"
                    " grouping, or correct the specification."
                )
        return rows

    def reference_group(self, grouping: str) -> str | None:
        """Return the name of a grouping's reference group; None if no city belongs to it."""
        return self._reference_groups.get(grouping)

    def find_printed_estimates(self, specification: Specification) -> dict[str, float]:
        """Return the coefficients printed in the paper for a specification, keyed by term."""
        estimates = self.published_estimates
        rows = estimates[
            (estimates["table_id"] == specification.table_id)
            & (estimates["column_number"] == specification.column_number)
        ]
        return dict(zip(rows["term"], rows["estimate"].astype(float), strict=True))

    def is_mechanical(self, specification: Specification) -> bool:
        """Return whether the AI measure is scaled by a series that is itself an outcome."""
        rows = self._select_measure_rows(self._measure_key(specification))
        return bool(rows["is_mechanical"].any())

    def describe_substitutions(self, specification: Specification) -> Sentence:
        """Describe the data that a specification uses in place of the paper's data.

        Lists the specification's own substitutions first, then the substitutions of its series, and
        finally the years replaced because the period of the extract set does not include them.

        Raises
        ------
        SpecificationError
            If substitutions.csv does not list a substitution.
        """
        of_series = [
            row.substitution for row in self.list_series(specification) if row.role != "shared"
        ]
        texts = dict.fromkeys(text for text in (*specification.substitutions, *of_series) if text)
        for text in texts.keys() - self._substitutions.keys():
            raise SpecificationError(
                f"regression_specifications.csv, {specification.specification_id}:"
                f" substitutions.csv has no row for {text!r}. Add the row, with its Chinese"
                " translation."
            )
        words = [self._substitutions[text] for text in texts]
        return join_sentences([*words, *self._describe_replaced_years(specification)])

    def _describe_replaced_years(self, specification: Specification) -> Iterator[Sentence]:
        years = specification.first_year, specification.last_year
        requested_years = self._requested_years.get(specification.specification_id, years)
        if years != requested_years:
            yield sentence(
                "part_of_years",
                first=years[0],
                last=years[1],
                asked_first=requested_years[0],
                asked_last=requested_years[1],
            )
        names: defaultdict[tuple[int, int], dict[str, None]] = defaultdict(dict)
        for row in self.list_series(specification):
            if row.asked_year is not None:
                names[int(row.fixed_year), int(row.asked_year)][row.variable] = None
        for (year, asked_year), variables in names.items():
            yield sentence("nearest_year", year=year, asked=asked_year, names=[*variables])

    def list_warnings(self, specification: Specification, sample: Sample) -> list[Sentence]:
        """Return the data quality warnings that apply to the data behind an estimate.

        Parameters
        ----------
        specification : Specification
        sample : Sample
            City-years of the specification.

        Returns
        -------
        list of Sentence
            One sentence on series that the gate does not judge; one per failed expectation about
            whole series; one per series and failed expectation about years; and one per failed
            expectation about city-years. The last counts the failing city-years inside the sample,
            which a check can remove, and outside it. A break between two years is attributed to the
            later year.

        Notes
        -----
        An estimate uses its variables and measure in the years of the sample, a fixed share in its
        base year, and a grouping in its own year, all for the same cities. A dynamic panel also
        uses the rows that provide lags and instruments of its outcome and measure.
        """
        unjudged_series = dict.fromkeys(
            row.series
            for row in self.list_series(specification)
            if row.role != "shared"
            and row.series != row.quantity
            and (row.series, row.scope) not in self._headline_series
        )
        warnings = [sentence("not_judged", series=[*unjudged_series])] if unjudged_series else []
        used_city_years = self._find_used_city_years(specification, sample)
        for finding in self._findings:
            expectation = finding.clause
            if broken := finding.find_broken_series(used_city_years):
                warnings.append(
                    sentence("series_fails_as_a_whole", series=broken, expectation=expectation)
                )
            for series, years in sorted(finding.find_broken_years(used_city_years).items()):
                year_names = [*map(str, sorted(years))]
                warnings.append(
                    sentence(
                        "series_fails", series=series, years=year_names, expectation=expectation
                    )
                )
            if failing := finding.find_broken_city_years(used_city_years):
                inside = failing & sample.city_years
                outside = len(failing - sample.city_years)
                warnings.append(
                    sentence(
                        "city_years_fail_outside" if outside else "city_years_fail",
                        count=len(inside),
                        observations=len(sample.city_years),
                        cities=len({city_id for city_id, _ in inside}),
                        expectation=expectation,
                        **({"outside": outside} if outside else {}),
                    )
                )
        return warnings

    def find_flagged_city_years(
        self, specification: Specification, sample: Sample
    ) -> set[CityYear]:
        """Return the city-years used by an estimate that fail a data quality expectation.

        Notes on `list_warnings` define the data that an estimate uses.
        """
        used_city_years = self._find_used_city_years(specification, sample)
        none: set[CityYear] = set()
        return none.union(
            *(finding.find_broken_city_years(used_city_years) for finding in self._findings)
        )

    def find_broken_years(self, specification: Specification, sample: Sample) -> set[int]:
        """Return the years in which a series used by the estimate fails a check in all cities."""
        used_city_years = self._find_used_city_years(specification, sample)
        broken: set[int] = set()
        for finding in self._findings:
            broken = broken.union(*finding.find_broken_years(used_city_years).values())
        return broken

    def find_broken_series(self, specification: Specification, sample: Sample) -> list[str]:
        """Return the series used by the estimate that fail as a whole, not only in single rows."""
        used_city_years = self._find_used_city_years(specification, sample)
        return sorted(
            {
                name
                for finding in self._findings
                for name in finding.find_broken_series(used_city_years)
            }
        )

    def _find_used_city_years(self, specification: Specification, sample: Sample) -> UsedCityYears:
        used_city_years: defaultdict[Key, set[CityYear]] = defaultdict(set)
        for row in self.list_series(specification):
            if row.role == "shared":
                continue
            key = (row.series, row.scope)
            if row.first_year is not None:
                used_city_years[key] |= (
                    sample.city_years if row.role == "control" else sample.city_years_with_lags
                )
            if row.fixed_year is not None:
                used_city_years[key] |= {
                    (city_id, int(row.fixed_year)) for city_id in sample.cities
                }
        return used_city_years

    def get_or_compute(self, key: tuple[Any, ...], compute: Callable[[], Value]) -> Value:
        """Return the cached result for a key, computing and caching it on the first call.

        The cache is shared by all models of a run. The key must identify the computation and all
        its other inputs.
        """
        if key not in self._cache:
            self._cache[key] = compute()
        value: Value = self._cache[key]
        return value

    @cached_property
    def _cache(self) -> dict[tuple[Any, ...], Any]:
        return {}

    @cached_property
    def _series(self) -> dict[str, list[Any]]:
        rows_in_order = (
            self.series.astype(object)
            .where(self.series.notna(), None)
            .sort_values(["position", "series"])
        )
        return {
            str(name): [*rows.itertuples()]
            for name, rows in rows_in_order.groupby("specification_id", sort=False)
        }

    @cached_property
    def _substitutions(self) -> dict[str, Sentence]:
        labels = self.substitution_labels.itertuples()
        return {row.substitution: Sentence(row.substitution, row.substitution_zh) for row in labels}

    @cached_property
    def _requested_years(self) -> dict[str, tuple[int, int]]:
        """First and last year that each specification requests, keyed by specification_id."""
        columns = ["specification_id", "asked_first_year", "asked_last_year"]
        rows = self.specifications[columns].itertuples(index=False, name=None)
        return {name: (first, last) for name, first, last in rows}

    @cached_property
    def _headline_series(self) -> set[Key]:
        """(series, scope) pairs of headline specifications, always checked by the quality gate."""
        keys = self.series.loc[self.series["is_headline"].astype(bool), ["series", "scope"]]
        return set(keys.itertuples(index=False, name=None))

    @cached_property
    def _groups(self) -> dict[Any, pd.Series]:
        """For each grouping, a Series that maps city_id to the name of the city's group."""
        groups = self.groups.set_index("city_id").groupby("grouping")["group_name"]
        return dict(iter(groups))

    @cached_property
    def _reference_groups(self) -> dict[str, str]:
        rows = self.groups[self.groups["is_reference"].astype(bool)]
        return dict(zip(rows["grouping"], rows["group_name"], strict=True))

    @cached_property
    def _losses_by_reason(self) -> dict[str, dict[str, int]]:
        return {
            str(name): dict(zip(rows["reason"], rows["observation_count"], strict=True))
            for name, rows in self.losses.groupby("specification_id")
        }

    @cached_property
    def _cells(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.panel[["city_id", "year"]])

    @cached_property
    def _sample_ids(self) -> dict[str, Any]:
        """Sample id of each specification; None if one of its series is missing."""
        return dict(
            self.specifications[["specification_id", "sample_id"]].itertuples(
                index=False, name=None
            )
        )

    @cached_property
    def _positions(self) -> dict[str, tuple[Any, Any]]:
        """Panel row positions of each sample, with a flag for rows that are observations."""
        positions = self._cells.get_indexer(
            pd.MultiIndex.from_frame(self.samples[["city_id", "year"]])
        )
        is_observation = self.samples["is_observation"].to_numpy(dtype=bool)
        by_sample = {}
        for name, rows in self.samples.groupby("sample_id").indices.items():
            order = rows[np.argsort(positions[rows])]
            by_sample[str(name)] = (positions[order], is_observation[order])
        return by_sample

    @cached_property
    def _measure_rows(self) -> dict[Any, Any]:
        return dict(self.measures.groupby(["measure", "weighting", "scope"]).indices)

    def _select_measure_rows(self, key: tuple[Any, str, str]) -> pd.DataFrame:
        return self.measures.iloc[self._measure_rows.get(key, [])]

    def read_measure(self, key: tuple[str, str, str]) -> pd.DataFrame:
        """Return a measure's values for one weighting and scope, reindexed to the panel's rows.

        Values are missing for city-years without the measure.
        """

        def align_with_panel() -> pd.DataFrame:
            rows = self._select_measure_rows(key)
            return rows.set_index(["city_id", "year"])[VALUE_COLUMNS].reindex(self._cells)

        return self.get_or_compute(("measure", *key), align_with_panel)

    def select_measure(self, specification: Specification) -> "pd.Series[Any]":
        """Return a specification's transformed AI measure, reindexed to the panel's rows."""
        return self.read_measure(self._measure_key(specification))[
            TRANSFORMS[specification.transform]
        ]

    def shift_measure(self, specification: Specification, sample: Sample, by: int) -> Floats:
        """Return, for each row, the AI measure of the same city `by` years later.

        The value is NaN if the panel does not contain that year.
        """
        measure = self.select_measure(specification)
        cells = pd.MultiIndex.from_arrays(
            [sample.rows["city_id"], sample.rows["year"] + by], names=measure.index.names
        )
        values: Floats = measure.reindex(cells).to_numpy(dtype=float, na_value=np.nan)
        return values

    def _measure_key(
        self, specification: Specification, role: str = "measure"
    ) -> tuple[Any, str, str]:
        """Return a specification's (measure, weighting, scope) key in the table fct_ai_measure.

        The measure is None if the specification has no variable with the role.
        """
        measures = (
            row.variable_used
            for row in self._series.get(specification.specification_id, [])
            if row.role == role
        )
        return next(measures, None), specification.weighting, specification.scope

    def look_up_groups(self, grouping: str, cities: pd.Series) -> pd.Series:
        """Map city ids to the names of their groups; missing for cities without a group."""
        return cities.map(self._groups.get(grouping, {}))

    def number_strata(self, cities: pd.Series) -> Codes:
        """Return the stratum code of each city, 0, 1, ..., for permutations within strata.

        A stratum is a combination of groups in all stratifying groupings (region and size). Cities
        without a group form strata of their own.
        """
        rows = self.groups[self.groups["is_stratum"].astype(bool)]
        # Sort the groupings so that the strata codes, and hence the random draws, are reproducible.
        names = sorted(rows["grouping"].unique(), reverse=True)
        labels = [self.look_up_groups(name, cities).fillna("none") for name in names]
        everyone = pd.Series(0, cities.index)
        codes: Codes = cities.groupby([everyone, *labels]).ngroup().to_numpy()
        return codes

    @cached_property
    def _findings(self) -> list[Finding]:
        """Failed data quality expectations that only warn and do not withhold the estimates."""
        failures = self.gate_results[self.gate_results["success"].eq(False)]
        cities = self.panel.groupby("province_id")["city_id"].unique().to_dict()
        return [Finding.parse_row(row, self._find_scope, cities) for row in failures.itertuples()]

    def _find_scope(self, series: str) -> str:
        industry_scope: str = settings.variables()["default_measure"]["scope"]
        return "total" if series in self._total_series else industry_scope

    @cached_property
    def _total_series(self) -> set[str]:
        return set(self.series.loc[self.series["scope"] == "total", "series"])


# Warehouse relation that each table attribute of Inputs is read from.
RELATIONS = {
    "specifications": "intermediate.int_specifications_sampled",
    "panel": "intermediate.int_city_year_variables",
    "measures": "marts.fct_ai_measure",
    "groups": "marts.dim_city_groups",
    "series": "marts.dim_specification_series",
    "samples": "intermediate.int_specification_samples",
    "losses": "intermediate.int_specification_losses",
    "gate_results": "gates.gate_results",
    "published_estimates": "seeds.published_estimates",
    "substitution_labels": "seeds.substitutions",
}


def read_warehouse_inputs(connection: duckdb.DuckDBPyConnection, **others: pd.DataFrame) -> Inputs:
    """Load the estimation tables of a built warehouse without checking its data quality gate.

    Keyword arguments, named as in RELATIONS, override tables of the warehouse.
    """
    variables = settings.variables()
    first, last = variables["event_window"]
    frames = {
        name: connection.table(relation).df()
        for name, relation in RELATIONS.items()
        if name not in others
    }
    return Inputs(
        **frames, **others, event_year=variables["break_year"], event_window=(first, last)
    )


# Cache with at most one entry, because all estimation models of a dbt run read the same tables.
_CACHED_INPUTS: dict[tuple[Any, ...], Inputs] = {}
_CACHE_LOCK = threading.Lock()


def read_inputs(
    event_year: int, event_window: list[int], **tables: duckdb.DuckDBPyRelation
) -> Inputs:
    """Load the estimation tables after checking that the data quality gate passed.

    Keyword arguments are the table attributes of Inputs and judged_relations. The inputs are cached
    until a table changes.

    Raises
    ------
    GateFailedError
        If the gate withholds the estimates, or judged an earlier state of the tables.
    """
    first, last = event_window
    judged_tables = {
        relation.partition(".")[2]: tables[name]
        for name, relation in RELATIONS.items()
        if relation.startswith(("intermediate.", "marts."))
    }
    validation.check_gate(
        tables["gate_results"].df(), tables.pop("judged_relations").df(), **judged_tables
    )
    tables["measures"] = tables["measures"].select(*MEASURE_COLUMNS)
    tables["specifications"] = tables["specifications"].project("* exclude (design)")
    tables["gate_results"] = tables["gate_results"].filter(result_tables.AFFECTS_ESTIMATES)
    with _CACHE_LOCK:
        fingerprints = (
            (name, *validation.compute_fingerprint(relation)) for name, relation in tables.items()
        )
        content = (event_year, first, last, *fingerprints)
        if content not in _CACHED_INPUTS:
            frames = {name: relation.df() for name, relation in tables.items()}
            # Store city ids as Python objects: estimation builds many sets of them, and iterating
            # over an Arrow-backed column creates a new string for every element.
            frames["panel"] = frames["panel"].astype({"city_id": object})
            _CACHED_INPUTS.clear()
            _CACHED_INPUTS[content] = Inputs(
                event_year=event_year, event_window=(first, last), **frames
            )
        return _CACHED_INPUTS[content]
