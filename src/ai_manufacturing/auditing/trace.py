"""From an estimate back to the delivered files: its sample, and where each value comes from."""

from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import city_names
from ai_manufacturing.auditing.wording import some_of, spans_in_words
from ai_manufacturing.system import duckdb_client

SHOWN_ROWS = 12
MEASURES = {"event_study": "outcome"}  # where the regressor is not the measure

Row = dict[str, Any]


class TraceError(Exception):
    """A trace that the warehouse cannot answer; the message says why."""


class NoSuchThingError(TraceError):
    """A specification, city or year that there is not; the message says what to ask instead."""


def trace(
    warehouse: Path, specification_id: str, city: str | None = None, year: int | None = None
) -> list[str]:
    """Return the lines that trace a specification, or one of its cells.

    Parameters
    ----------
    warehouse : Path
        The DuckDB file; it is opened read-only.
    specification_id : str
        A row of regression_specifications.csv.
    city : str, optional
        Six-digit code, Chinese or English name of a city; with `year`.
    year : int, optional
        Year of the cell.

    Returns
    -------
    list of str
        For a specification: its coefficients, its city-years and what was lost on the way. For a
        cell: each variable, the series behind it, and the file, SHA-256, row and corrections of
        every value that it is made of.

    Raises
    ------
    NoSuchThingError
        If there is no such specification, city or year.
    TraceError
        If the estimates are not there.
    """
    if (city is None) != (year is None):
        raise NoSuchThingError("A cell needs both --city and --year.")
    with duckdb_client.connect(str(warehouse), read_only=True) as connection:
        reader = _Reader(connection)
        specification = reader.specification(specification_id)
        if city is None or year is None:
            return reader.specification_lines(specification)
        return _Cell(reader, specification, reader.resolve(city), year).lines()


class _Reader:
    """Questions to one warehouse."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def where(self, relation: str, order: str = "", **values: Any) -> list[Row]:
        """Return the rows of a relation whose columns have these values.

        Parameters
        ----------
        relation : str
            Schema and name.
        order : str, optional
            Columns.
        **values
            By column.
        """
        condition = " and ".join(f"{name} = ${name}" for name in values)
        return self.rows(
            f"from {relation} where {condition}{order and f' order by {order}'}", **values
        )

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return the rows of a query with its values bound by name."""
        try:
            return duckdb_client.rows(self.connection, query, values)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise TraceError(
                "The file lacks a table or a column that the trace needs"
                f" ({str(error).splitlines()[0]}). If the gate failed, no estimate exists: see"
                " gates.gate_results. A copy to give away cannot be traced."
            ) from error

    def specification(self, specification_id: str) -> Row:
        rows = self.where(
            "intermediate.int_specifications_resolved", specification_id=specification_id
        )
        if not rows:
            known = self.rows("select specification_id from seeds.regression_specifications")
            close = get_close_matches(
                specification_id, [row["specification_id"] for row in known], n=5, cutoff=0
            )
            raise NoSuchThingError(
                f"No specification {specification_id!r}. Close to it: {', '.join(close)}; "
                "all are in seeds.regression_specifications."
            )
        return rows[0]

    def resolve(self, city: str) -> str:
        try:
            return city_names.resolve(self.connection, city)
        except city_names.NoSuchCityError as error:
            raise NoSuchThingError(str(error)) from error
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise TraceError(
                f"marts.dim_city has no names: {str(error).splitlines()[0]}. Run `dbt build`."
            ) from error

    def specification_lines(self, specification: Row) -> list[str]:
        name = specification["specification_id"]
        coefficients = self.where("reports.rpt_coefficients", "term_order", specification_id=name)
        if not coefficients:
            raise TraceError(f"reports.rpt_coefficients has no row of {name}. Run `dbt build`.")
        head = coefficients[0]
        measure = specification[MEASURES.get(specification["estimator"], "regressor")]
        lines = [
            f"{name}: {specification['description']}",
            "{estimator}: {outcome} on {regressor} and {controls}; {measure} is {transform},"
            " {weighting}, {scope}; {first_year}-{last_year}, errors by {covariance}".format_map(
                {
                    **specification,
                    "controls": specification["controls"] or "no controls",
                    "measure": measure,
                }
            ),
        ]
        for option in ("subsample", "grouping", "options", "providers"):
            if specification[option]:
                lines.append(f"{option}: {specification[option]}")
        if head["substitutions"]:
            lines.append(f"substitutions: {head['substitutions']}")
        if head["status"] == "not_estimable":
            return [*lines, f"not_estimable: {head['reason']}", *self._estimated_instead(head)]
        if head["status"] == "mechanical":
            lines.append("mechanical: the regressor is made from the outcome")
        if head["warnings"]:
            lines.append(f"warning: {head['warnings']}")
        for row in coefficients:
            error = "(no standard error)"
            if row["std_error"] is not None:
                error = "({std_error:.6f})  95 % [{conf_low:.6f}, {conf_high:.6f}]".format_map(row)
            lines.append(f"  {row['term']:<28} {row['estimate']:>12.6f}  {error}")
        sample = f"observations {head['observation_count']}, cities {head['city_count']}"
        lines += [f"{sample}, {_diagnostics(head)}", "lost from the panel, in this order:"]
        for row in self.where("estimates.observation_losses", "step", specification_id=name):
            of = f": {row['variable']}" if row["variable"] else ""
            lines.append(f"  {row['observation_count']:>6}  {row['reason']}{of}")
        lines.append("city-years by year (all in estimates.estimation_samples):")
        counts = """
            select year, count(*) as cities
            from estimates.estimation_samples
            where specification_id = $name
            group by year
            order by year
        """
        return lines + [f"  {row['year']}  {row['cities']}" for row in self.rows(counts, name=name)]

    def _estimated_instead(self, head: Row) -> list[str]:
        """Return what can be estimated of the same printed column, or what is close to it."""
        table, column = head["table_id"], head["column_number"]
        rows = self.rows(
            """
            with this as (
                from reports.rpt_specifications
                where specification_id = $name
            )

            select
                other.specification_id,
                case
                    when
                        other.table_id = this.table_id
                        and other.column_number = this.column_number
                        and other.regressor = this.regressor
                        then 0
                    when other.table_id = this.table_id and other.outcome = this.outcome then 1
                    when other.reading = 'default' and other.estimator = this.estimator then 2
                end as distance
            from reports.rpt_specifications as other
            cross join this
            where other.status = 'estimated'
            qualify distance = min(distance) over ()
            order by other.specification_order
            """,
            name=head["specification_id"],
        )
        if not rows:
            return ["can be estimated: nothing (reports.rpt_specifications, status)"]
        among = (
            f"readings of {table} column {column}",
            f"no reading of column {column}; of {table}",
            f"nothing like it in {table}; elsewhere",
        )[rows[0]["distance"]]
        names = [row["specification_id"] for row in rows]
        return [
            f"can be estimated: {among}: {some_of(names, SHOWN_ROWS)}",
            f"to trace one: {_asked(names[0])}",
        ]


class _Cell(_Reader):
    """A city and year of a specification."""

    def __init__(self, reader: _Reader, specification: Row, city_id: str, year: int) -> None:
        super().__init__(reader.connection)
        self.regression, self.name = specification, specification["specification_id"]
        self.city_id, self.year = city_id, year
        self.place: Row = {"city_id": city_id, "year": year}
        self.inputs = self.where(
            "marts.dim_specification_series", "position, series", specification_id=self.name
        )
        panel = self.where("marts.fct_city_year_panel", **self.place)
        if not panel:
            query = "select min(year) as first, max(year) as last from marts.fct_city_year_panel"
            (years,) = self.rows(query)
            raise NoSuchThingError(
                f"No row of the panel for {city_id} in {year}; its years are {years['first']} to"
                f" {years['last']}."
            )
        values = self.where("marts.fct_city_year_values", **self.place)
        self.values = panel[0] | {row["variable"]: row["value"] for row in values}

    def lines(self) -> list[str]:
        samples = "estimates.estimation_samples"
        sampled = self.where(samples, specification_id=self.name, **self.place)
        city = f"{city_names.by_id(self.connection)[self.city_id]} ({self.city_id})"
        lines = [f"{self.name}, {city}, {self.year}: {'in' if sampled else 'not in'} the sample"]
        if not sampled:
            lines += self._sampled_instead()
        for grouping in dict.fromkeys(row["variable"] for row in self._of("grouping")):
            group = "no group"
            for row in self.where("marts.dim_city_groups", grouping=grouping, city_id=self.city_id):
                group = f"{row['group_name']}, by {_number(row['value'])}"
            lines.append(f"{grouping}: {group} (city_groupings.csv)")
        for variable, of_variable in groupby(
            self._of("outcome") + self._of("control"), key=lambda row: row["variable"]
        ):
            series = [*of_variable]
            value = _number(self.values.get(series[0]["variable_used"]))
            names = " ".join(row["series"] for row in series)
            lines.append(f"{variable} = {value}, from {names}")
            lines += self._series_lines(series, self.year)
        scaling, second = self._of("scaling"), self._of("second_measure")
        lines += self._measure_lines(self._of("measure"), scaling)
        if second:
            scaled_by = {row["series"] for row in scaling}
            counts = [row for row in second if row["series"] not in scaled_by]
            lines += ["second measurement:", *self._measure_lines(counts, scaling)]
        return lines

    def _of(self, role: str) -> list[Row]:
        return [row for row in self.inputs if row["role"] == role]

    def _sampled_instead(self) -> list[str]:
        """Return why a city-year is not in a sample, and which city-years or samples are near."""
        head = self.where("reports.rpt_coefficients", specification_id=self.name)[0]
        if head["status"] == "not_estimable":
            return [f"not_estimable: {head['reason']}", *self._estimated_instead(head)]
        lines = [f"why not: {self._why_not()}"]
        samples = self.where(
            "estimates.estimation_samples",
            "year",
            specification_id=self.name,
            city_id=self.city_id,
        )
        if samples:
            years = [row["year"] for row in samples]
            nearest = min(years, key=lambda other: (abs(other - self.year), other))
            near = _asked(self.name, self.city_id, nearest)
            return [*lines, f"in the sample: {spans_in_words(years)}; {near}"]
        table = self.regression["table_id"]
        others = self.rows(
            """
            select shown.specification_id
            from reports.rpt_specifications as shown
            inner join estimates.estimation_samples as sampled using (specification_id)
            where
                shown.table_id = $table and sampled.city_id = $city_id and sampled.year = $year
            order by shown.specification_order
            """,
            table=table,
            **self.place,
        )
        if others:
            names = [row["specification_id"] for row in others]
            near = _asked(names[0], self.city_id, self.year)
            return [*lines, f"in the sample of: {some_of(names, SHOWN_ROWS)}; {near}"]
        nowhere = f"in no year in this sample, and in {self.year} in none of {table}"
        return [*lines, f"{nowhere}; {_asked(self.name)} has its years"]

    def _why_not(self) -> str:
        first, last = self.regression["first_year"], self.regression["last_year"]
        if not first <= self.year <= last:
            return f"the specification runs from {first} to {last}"
        missing = [
            row["variable"]
            for row in self._of("outcome") + self._of("control")
            if self.values.get(row["variable_used"]) is None
        ]
        for counted in self._of("measure")[:1]:
            measure = self._measure(counted["variable_used"])
            if measure is None or measure["measure_count"] is None:
                missing.append(counted["variable"])
        if missing:
            return f"missing {', '.join(dict.fromkeys(missing))}"
        return (
            "its subsample, lags or single city-years leave it out (estimates.observation_losses)"
        )

    def _measure(self, measure: str) -> Row | None:
        """Return the row of a measure as the specification weights it.

        None if a series that it needs is absent.
        """
        weighted = {name: self.regression[name] for name in ("weighting", "scope")}
        rows = self.where("marts.fct_ai_measure", measure=measure, **weighted, **self.place)
        return rows[0] if rows else None

    def _measure_lines(self, counts: list[Row], scaling: list[Row]) -> list[str]:
        used = counts[0]["variable_used"]
        measure = self._measure(used)
        if measure is None:
            absent = [row["series"] for row in counts + scaling if not row["is_delivered"]]
            return [f"{used} = missing: not delivered: {', '.join(dict.fromkeys(absent))}"]
        described = f"{used} = {_number(measure['measure_count'])}"
        if measure["missing_reason"]:
            described += f" ({measure['missing_reason']})"
        if not scaling:
            names = " less ".join(row["series"] for row in counts)
            return [f"{described}: {names}", *self._series_lines(counts, self.year)]
        weighting = self.regression["weighting"]
        (area,) = self.where(
            "seeds.measure_weightings", measure=counts[0]["variable"], weighting=weighting
        )
        name, base_year = scaling[0]["series"], counts[0]["fixed_year"]
        if area["scaling_area"] != "city":
            name += " of the rest of the province"
        base = " less ".join(f"{row['series']} {base_year}" for row in counts)
        if len(counts) > 1:
            base = f"({base})"
        lines = [f"{described}: {base} / {name} {base_year} x {name} {self.year}"]
        lines += self._series_lines(counts, base_year)
        if area["scaling_area"] != "city":
            return [
                *lines,
                f"  {name} {self.year} = {_number(measure['scaling_value'])}: the sum over its"
                " other units that have a value in every year (marts.fct_city_year_panel)",
            ]
        for year in dict.fromkeys((base_year, self.year)):
            lines += self._series_lines(scaling, year)
        return lines

    def _series_lines(self, inputs: list[Row], year: int) -> list[str]:
        """Return values of series, their corrections and the delivered rows they are made of."""
        lines = []
        for row in inputs:
            cell = {**self.place, "year": year, "series": row["series"], "scope": row["scope"]}
            values = self.where("intermediate.int_series_conformed", **cell)
            if not values:
                lines.append(f"  {row['series']} {year}: not delivered")
                continue
            value, provider = _number(values[0]["value"]), values[0]["provider"]
            lines.append(f"  {row['series']} {year} = {value}, provider {provider}")
            lines += [origin["line"] for origin in self.rows(_CORRECTIONS, **cell)]
            rows = self.rows(_DELIVERED, **cell)
            lines += map(_row_in_words, rows[:SHOWN_ROWS])
            if not rows:
                lines.append(f"    {self._without_rows(values[0])}")
            elif len(rows) > SHOWN_ROWS:
                total = _number(sum(row["delivered_value"] for row in rows))
                more = f"and {len(rows) - SHOWN_ROWS} more rows, {total} in all"
                lines.append(f"    {more} (marts.fct_delivered_values)")
        return lines

    def _without_rows(self, value: Row) -> str:
        """Return where a value comes from that has no row in marts.fct_delivered_values."""
        provider, what = value["provider"], "firm" if "firm" in value["quantity"] else "patent"
        counted_from = {
            "register": [f"{what}_register"],
            "spark": [f"{what}_counts"],
            "fraunhofer": ["patent_register", "industry_concordance"],
        }
        if provider in counted_from:
            files = self.rows(_COUNTED, entities=counted_from[provider])
            why = "" if provider == "spark" else " (why a row counts as AI: marts.fct_ai_tags)"
            of = "register and the concordance" if provider == "fraunhofer" else provider
            named = ", ".join(row["file"] for row in files[:SHOWN_ROWS])
            return f"counted from {len(files)} files of the {of}{why}: {named}"
        if value["value"] is None:
            return "no number was delivered"
        return "no delivered row: an absent city counts zero in this source (series_sources.csv)"


# A value on 2020 boundaries is made of values of the city, of those that merged into it, or of its
# province.
_PARTS = """
    with

    cell as (
        from intermediate.int_series_conformed
        where series = $series and scope = $scope and city_id = $city_id and year = $year
    ),

    boundaries as (
        select sources.boundaries
        from intermediate.int_series_sources as sources
        inner join cell on sources.series = cell.quantity and sources.provider = cell.provider
    ),

    parts as (
        select distinct
            coalesce(members.city_id, used.delivered_city_id) as city_id,
            used.correction_id
        from intermediate.int_series_corrected as used
        inner join cell
            on
                used.series = cell.quantity
                and used.provider = cell.provider
                and used.year = cell.year
        left join seeds.city_changes as mergers
            on
                mergers.kind = 'merger'
                and used.city_id = mergers.from_city_id
                and used.year < mergers.first_year
        left join seeds.cities as members
            on
                used.city_id = members.province_id
                and members.city_id = cell.city_id
                and 'province' in (from boundaries)
        where cell.city_id in (used.city_id, mergers.to_city_id, members.city_id)
    )
"""

_CORRECTIONS = f"""
    {_PARTS}

    select format('    correction {{}}: {{}}, {{}}', correction_id, action, reason) as line
    from (select distinct correction_id from parts)
    inner join seeds.corrections using (correction_id)
    union all
    select format('    boundary change {{}}: {{}}', changes.change_id, changes.note)
    from seeds.city_changes as changes
    inner join cell
        on
            cell.city_id in (changes.from_city_id, changes.to_city_id)
            and cell.year < changes.first_year
    where 'as_of_year' in (from boundaries)
"""

_DELIVERED = f"""
    {_PARTS}

    select delivered.*
    from marts.fct_delivered_values as delivered
    inner join cell
        on
            delivered.series = cell.quantity
            and delivered.provider = cell.provider
            and delivered.year = cell.year
    where
        delivered.valid_until_delivery is null
        and delivered.city_id in (select city_id from parts)
        and (
            delivered.section is null
            or delivered.section in (
                select section from seeds.industry_scopes where scope = cell.scope
            )
        )
    order by delivered_value desc, file_path, sheet_name, row_number
"""

_COUNTED = """
    select file_path || ', sha256 ' || delivery_id as file
    from raw.deliveries
    where
        valid_until_delivery is null
        and copy_of_delivery is null
        and list_contains($entities, entity)
    order by file_path
"""


def _row_in_words(row: Row) -> str:
    sheet = f", sheet {row['sheet_name']}" if row["sheet_name"] else ""
    industry = f", industry {row['industry_code']}" if row["industry_code"] else ""
    place = f"{row['file_path']}{sheet}, row {row['row_number']}"
    value = _number(row["delivered_value"])
    return f"    {place}: {value}{industry}, sha256 {row['delivery_id']}"


def _asked(specification_id: str, city_id: str = "", year: int | None = None) -> str:
    """Return the command that traces a specification, or a cell of it."""
    cell = f" --city {city_id} --year {year}" if city_id else ""
    return f"ai-manufacturing trace --specification {specification_id}{cell}"


def _diagnostics(head: Row) -> str:
    """Return what the estimator tells of its fit."""
    if head["instrument_count"]:
        return (
            f"instruments {head['instrument_count']}, Hansen p {_number(head['hansen_p_value'])}, "
            f"AR(2) p {_number(head['ar2_p_value'])}"
        )
    if head["first_stage_f"] is not None:
        return f"first-stage F {head['first_stage_f']:.4g}"
    return f"R2 {head['r2_inclusive']:.4f} (within {head['r2_within']:.4f})"


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.10g}"
