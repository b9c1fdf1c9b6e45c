"""Trace an estimate to its sample, and each input value to its source file and row."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.auditing import city_names
from ai_manufacturing.auditing.wording import format_spans, join_first
from ai_manufacturing.disclosure import published_numbers
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

MAX_ROWS = 12  # maximum number of rows or names in a list

Row = dict[str, Any]


class TraceError(Exception):
    """Raised if an estimate or value cannot be traced; the message explains why."""


class NoSuchThingError(TraceError):
    """Raised for an unknown specification, city or year; the message suggests alternatives."""


def trace(
    warehouse: Path,
    specification_id: str,
    city: str | None = None,
    year: int | None = None,
    *,
    copy: Path | None = None,
) -> list[str]:
    """Trace a regression or one of its city-years to the source data, as lines of text.

    Parameters
    ----------
    warehouse : Path
        The DuckDB file, opened read-only.
    specification_id : str
        A row of regression_specifications.csv.
    city : str, optional
        Six-digit code, or Chinese or English name, of a city; requires `year`.
    year : int, optional
        Year of the cell; requires `city`.
    copy : Path, optional
        The public copy of the warehouse. If given, its coefficients are shown instead.

    Returns
    -------
    list of str
        For a specification: its coefficients, its city-years and the observations it lost. For a
        cell: each variable with its series, and the file, SHA-256, row and corrections of every
        underlying value.

    Raises
    ------
    NoSuchThingError
        If the specification, city or year does not exist.
    TraceError
        If the file lacks the estimates.
    """
    if (city is None) != (year is None):
        raise NoSuchThingError("Give both --city and --year to trace a cell.")
    with duckdb_client.open_read_only(warehouse) as connection:
        reader = _Reader(connection)
        specification = reader.find_specification(specification_id)
        if city is not None and year is not None:
            return reader.describe_cell(specification, reader.resolve_city(city), year)
        if copy is None:
            return reader.describe_specification(specification, reader)
        with duckdb_client.open_read_only(copy) as copy_connection:
            return reader.describe_specification(specification, _Reader(copy_connection))


class _Reader:
    """Read the tables of one warehouse and format them as lines of text."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        # Trailing zeros would overstate the precision of a rounded number.
        self._format = "g" if published_numbers.has_rounded_numbers(connection) else ".6f"

    def select_rows(self, relation: str, order: str = "", **values: Any) -> list[Row]:
        """Return the rows of a table or view in which columns equal the given values.

        Parameters
        ----------
        relation : str
            Schema and name.
        order : str, optional
            Columns to sort by.
        **values
            Required value by column.
        """
        condition = " and ".join(f"{name} = ${name}" for name in values)
        return self.read_rows(
            f"from {relation} where {condition}{order and f' order by {order}'}", **values
        )

    def read_rows(self, query: str, **values: Any) -> list[Row]:
        """Run a query with named parameters, and return each row as a dict."""
        try:
            return duckdb_client.fetch_rows(self._connection, query, **values)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            reason = str(error).splitlines()[0]
            raise TraceError(
                f"The file lacks a table or a column that `trace` needs ({reason}). If the quality"
                " gate failed, no estimates were computed; the table gates.gate_results lists the"
                " failed checks. If the file is a public copy, use --database to name the private"
                " release."
            ) from error

    def find_specification(self, specification_id: str) -> Row:
        rows = self.select_rows(
            "intermediate.int_specifications_resolved", specification_id=specification_id
        )
        if not rows:
            specifications = self.read_rows(
                "select specification_id from seeds.regression_specifications"
            )
            close = get_close_matches(
                specification_id, [row["specification_id"] for row in specifications], n=5, cutoff=0
            )
            similar_names = ", ".join(close)
            raise NoSuchThingError(
                f"There is no specification {specification_id!r}. Similar names: {similar_names}."
                " The table seeds.regression_specifications lists all specifications."
            )
        return rows[0]

    def resolve_city(self, city: str) -> str:
        try:
            return city_names.resolve_city(self._connection, city)
        except city_names.NoSuchCityError as error:
            raise NoSuchThingError(str(error)) from error
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            reason = str(error).splitlines()[0]
            raise TraceError(
                f"The city names cannot be read from the table marts.dim_city ({reason}). Run"
                " `dbt build`."
            ) from error

    def read_coefficients(self, specification_id: str) -> tuple[list[Row], list[str]]:
        """Return the coefficients of a specification, and a formatted line for each estimate."""
        rows = self.select_rows(
            "reports.rpt_coefficients", "term_order", specification_id=specification_id
        )
        [error_names] = self.select_rows(
            "reports.rpt_specifications", specification_id=specification_id
        )
        # List province-clustered errors first, because the conclusions are based on them.
        names = {"_province": error_names["error_province_en"], "": error_names["error_en"]}
        lines = []
        for row in rows:
            if row["estimate"] is None:
                continue
            errors = [
                self._format_error(row, suffix, name)
                for suffix, name in names.items()
                if row[f"std_error{suffix}"] is not None
            ]
            error = "; ".join(errors) or "(no standard error)"
            estimate = format(row["estimate"], self._format)
            lines.append(f"  {row['term']:<28} {estimate:>12}  {error}")
        return rows, lines

    def _format_error(self, row: Row, suffix: str, name: str) -> str:
        """Format a standard error with its type and the 95 % confidence interval."""
        error, low, high = (
            format(row[f"{part}{suffix}"], self._format)
            for part in ("std_error", "conf_low", "conf_high")
        )
        return f"({error}, {name})  95 % [{low}, {high}]"

    def describe_specification(self, specification: Row, shown_reader: "_Reader") -> list[str]:
        """Return report lines on a specification, with coefficients from `shown_reader`."""
        name = specification["specification_id"]
        coefficients, term_lines = shown_reader.read_coefficients(name)
        if not coefficients:
            raise TraceError(
                f"The table reports.rpt_coefficients has no row for the specification {name}. Run"
                " `dbt build`."
            )
        head = coefficients[0]
        lines = [
            f"{name}: {specification['description']}",
            (
                f"{specification['estimator']}: outcome {specification['outcome']}, regressor"
                f" {specification['regressor']}, controls {specification['controls'] or 'none'};"
                f" measure {_select_measure(specification)} with transform"
                f" {specification['transform']}, weighting {specification['weighting']}, scope"
                f" {specification['scope']}; years {specification['first_year']} to"
                f" {specification['last_year']}, covariance {specification['covariance']}"
            ),
        ]
        lines += [
            f"{name}: {specification[name]}"
            for name in ("subsample", "grouping", "options", "providers")
            if specification[name]
        ]
        if head["substitutions"]:
            lines.append(f"substitutions: {head['substitutions']}")
        if head["status"] == "not_estimable":
            return [*lines, f"not_estimable: {head['reason']}", *self._suggest_estimable(head)]
        if head["status"] == "mechanical":
            lines.append("mechanical: the regressor is computed from the outcome")
        if head["warnings"]:
            lines.append(f"warning: {head['warnings']}")
        lines += term_lines
        sample = f"observations {head['observation_count']}, cities {head['city_count']}"
        lines += [
            f"{sample}, {_describe_diagnostics(head)}",
            "city-years dropped from the panel, in this order:",
        ]
        for row in self.select_rows("estimates.observation_losses", "step", specification_id=name):
            variable = f": {row['variable']}" if row["variable"] else ""
            lines.append(f"  {row['observation_count']:>6}  {row['reason']}{variable}")
        lines.append("city-years in the sample, by year (estimates.estimation_samples lists them):")
        lines += [
            f"  {row['year']}  {row['cities']}"
            for row in self.read_rows(
                """
                select year, count(*) as cities
                from estimates.estimation_samples
                where specification_id = $specification_id
                group by year
                order by year
                """,
                specification_id=name,
            )
        ]
        return lines

    def _suggest_estimable(self, head: Row) -> list[str]:
        """Suggest estimable specifications, preferably for the same column of the paper's table."""
        table, column = head["table_id"], head["column_number"]
        rows = self.read_rows(
            SQL["other_specifications"],
            specification_id=head["specification_id"],
        )
        if not rows:
            return [
                "No similar specification can be estimated (reports.rpt_specifications, status)."
            ]
        relation = (
            f"These readings of {table} column {column} can be estimated",
            f"No reading of column {column} can be estimated, but these readings of {table} can",
            f"No similar specification of {table} can be estimated, but these others can",
        )[rows[0]["distance"]]
        names = [row["specification_id"] for row in rows]
        return [
            f"{relation}: {join_first(names, MAX_ROWS)}",
            f"To trace the first: {_format_command(names[0])}",
        ]

    def _suggest_city_years(self, specification: Row, cell: Row, inputs: list[Row]) -> list[str]:
        """Explain why a city-year is missing from the regression sample, and suggest others."""
        name, first, last = (
            specification[part] for part in ("specification_id", "first_year", "last_year")
        )
        city_id, year = cell["city_id"], cell["year"]
        head = self.select_rows("reports.rpt_coefficients", "term_order", specification_id=name)[0]
        if head["status"] == "not_estimable":
            return [f"not_estimable: {head['reason']}", *self._suggest_estimable(head)]
        variables = [row for row in inputs if row["role"] in ("outcome", "control")]
        missing = dict.fromkeys(
            row["variable"] for row in variables if cell.get(row["variable_used"]) is None
        )
        for measure_row in [row for row in inputs if row["role"] == "measure"][:1]:
            measure = self._read_measure(specification, measure_row["variable_used"], city_id, year)
            if measure is None or measure["measure_count"] is None:
                missing[measure_row["variable"]] = None
        if not first <= year <= last:
            why = f"the specification covers only the years {first} to {last}"
        elif missing:
            why = f"these variables are missing: {', '.join(missing)}"
        else:
            why = (
                "the subsample, a lag or the removal of singletons excludes it"
                " (estimates.observation_losses)"
            )
        lines = [f"Reason: {why}."]
        years = self.select_rows(
            "estimates.estimation_samples", "year", specification_id=name, city_id=city_id
        )
        if years:
            sample_years = [row["year"] for row in years]
            nearest = min(sample_years, key=lambda other: (abs(other - year), other))
            command = _format_command(name, city_id, nearest)
            return [
                *lines,
                f"The sample contains the city in {format_spans(sample_years)}. To trace the"
                f" nearest year: {command}",
            ]
        others = self.read_rows(
            SQL["samples_with_cell"],
            table_id=specification["table_id"],
            city_id=city_id,
            year=year,
        )
        if others:
            names = [row["specification_id"] for row in others]
            command = _format_command(names[0], city_id, year)
            return [
                *lines,
                f"These samples contain it: {join_first(names, MAX_ROWS)}. To trace the first:"
                f" {command}",
            ]
        nowhere = (
            f"This sample does not contain the city in any year, and in {year} no sample of"
            f" {specification['table_id']} contains it"
        )
        return [*lines, f"{nowhere}. To list the sample's years: {_format_command(name)}"]

    def describe_cell(self, specification: Row, city_id: str, year: int) -> list[str]:
        name, cell = specification["specification_id"], Row(city_id=city_id, year=year)
        panel = self.select_rows("marts.fct_city_year_panel", **cell)
        if not panel:
            (years,) = self.read_rows(
                "select min(year) as first, max(year) as last from marts.fct_city_year_panel"
            )
            first_year, last_year = years["first"], years["last"]
            raise NoSuchThingError(
                f"The panel has no row for city {city_id} in {year}; it covers the years"
                f" {first_year} to {last_year}."
            )
        panel[0] |= {
            row["variable"]: row["value"]
            for row in self.select_rows("marts.fct_city_year_values", **cell)
        }
        sample_rows = self.select_rows(
            "estimates.estimation_samples", specification_id=name, **cell
        )
        city = city_names.read_city_names(self._connection)[city_id]
        lines = [
            f"{name}, {city} ({city_id}), {year}: {'in' if sample_rows else 'not in'} the sample"
        ]
        inputs = self.select_rows(
            "marts.dim_specification_series", "position, series", specification_id=name
        )
        if not sample_rows:
            lines += self._suggest_city_years(specification, panel[0], inputs)
        for grouping in dict.fromkeys(
            row["variable"] for row in inputs if row["role"] == "grouping"
        ):
            group = "no group"
            for row in self.select_rows(
                "marts.dim_city_groups", grouping=grouping, city_id=city_id
            ):
                group = f"{row['group_name']}, with the value {_format_number(row['value'])}"
            lines.append(f"{grouping}: {group} (city_groupings.csv)")
        for role in ("outcome", "control"):
            role_rows = [row for row in inputs if row["role"] == role]
            for variable in dict.fromkeys(row["variable"] for row in role_rows):
                series = [row for row in role_rows if row["variable"] == variable]
                names = " ".join(row["series"] for row in series)
                lines.append(
                    f"{variable} = {_format_number(panel[0].get(series[0]['variable_used']))}, from"
                    f" {names}"
                )
                for row in series:
                    lines += self._describe_series(row["series"], row["scope"], city_id, year)
        counts, scaling, second = (
            [row for row in inputs if row["role"] == role]
            for role in ("measure", "scaling", "second_measure")
        )
        lines += self._describe_measure(specification, counts, scaling, city_id, year)
        if second:
            counts = [
                row for row in second if row["series"] not in {other["series"] for other in scaling}
            ]
            lines += [
                "second measurement:",
                *self._describe_measure(specification, counts, scaling, city_id, year),
            ]
        return lines

    def _read_measure(
        self, specification: Row, measure: str, city_id: str, year: int
    ) -> Row | None:
        """Return a city's value of an AI measure, as a row of marts.fct_ai_measure.

        Return None if a series that the measure needs was not delivered.
        """
        options = {"weighting": specification["weighting"], "scope": specification["scope"]}
        rows = self.select_rows(
            "marts.fct_ai_measure", measure=measure, **options, city_id=city_id, year=year
        )
        return rows[0] if rows else None

    def _describe_measure(
        self, specification: Row, counts: list[Row], scaling: list[Row], city_id: str, year: int
    ) -> list[str]:
        weighting = specification["weighting"]
        measure = self._read_measure(specification, counts[0]["variable_used"], city_id, year)
        if measure is None:
            absent = dict.fromkeys(
                row["series"] for row in (*counts, *scaling) if not row["is_delivered"]
            )
            return [f"{counts[0]['variable_used']} = missing; not delivered: {', '.join(absent)}"]
        heading = f"{counts[0]['variable_used']} = {_format_number(measure['measure_count'])}"
        if measure["missing_reason"]:
            heading += f" ({measure['missing_reason']})"
        if not scaling:
            lines = [f"{heading}: {' minus '.join(row['series'] for row in counts)}"]
            for row in counts:
                lines += self._describe_series(row["series"], row["scope"], city_id, year)
            return lines
        [scale] = scaling
        areas = self.select_rows(
            "seeds.measure_weightings", measure=counts[0]["variable"], weighting=weighting
        )
        area = areas[0]["scaling_area"]
        name = (
            scale["series"] if area == "city" else f"{scale['series']} of the rest of the province"
        )
        base_year = counts[0]["fixed_year"]
        base = " minus ".join(f"{row['series']} {base_year}" for row in counts)
        base = base if len(counts) == 1 else f"({base})"
        lines = [f"{heading}: {base} / {name} {base_year} x {name} {year}"]
        for row in counts:
            lines += self._describe_series(row["series"], row["scope"], city_id, base_year)
        if area != "city":
            lines.append(
                f"  {name} {year} = {_format_number(measure['scaling_value'])}: the sum over the"
                " province's other units that have a value in every year"
                " (marts.fct_city_year_panel)"
            )
            return lines
        for scaling_year in dict.fromkeys((base_year, year)):
            lines += self._describe_series(scale["series"], scale["scope"], city_id, scaling_year)
        return lines

    def _describe_series(self, series: str, scope: str, city_id: str, year: int) -> list[str]:
        """Return report lines on a series value, with its corrections and source rows."""
        rows = self.select_rows(
            "intermediate.int_series_conformed",
            series=series,
            scope=scope,
            city_id=city_id,
            year=year,
        )
        if not rows:
            return [f"  {series} {year}: not delivered"]
        provider, quantity, value = (rows[0][name] for name in ("provider", "quantity", "value"))
        lines = [f"  {series} {year} = {_format_number(value)}, provider {provider}"]
        cell = {"city_id": city_id, "year": year, "series": quantity, "provider": provider}
        lines += [
            f"    correction {row['correction_id']}: {row['action']}, {row['reason']}"
            for row in self.read_rows(SQL["corrections"], **cell)
        ]
        lines += [
            f"    boundary change {change['change_id']}: {change['note']}"
            for change in self.read_rows(SQL["boundary_changes"], **cell)
        ]
        rows = self.read_rows(SQL["delivered_rows"], **cell, scope=scope)
        if not rows:
            lines.append(f"    {self._describe_origin(quantity, provider, value)}")
        for row in rows[:MAX_ROWS]:
            sheet = f", sheet {row['sheet_name']}" if row["sheet_name"] else ""
            industry = f", industry {row['industry_code']}" if row["industry_code"] else ""
            place = f"{row['file_path']}{sheet}, row {row['row_number']}"
            delivered_value = f"{_format_number(row['delivered_value'])}{industry}"
            lines.append(f"    {place}: {delivered_value}, sha256 {row['delivery_id']}")
        if len(rows) > MAX_ROWS:
            total = _format_number(sum(row["delivered_value"] for row in rows))
            more = f"and {len(rows) - MAX_ROWS} more rows, {total} in all"
            lines.append(f"    {more} (marts.fct_delivered_values)")
        return lines

    def _describe_origin(self, series: str, provider: str, value: float | None) -> str:
        """Describe the origin of a value that has no source row, such as a count of records."""
        file_rows = self.read_rows(SQL["counted_files"], series=series, provider=provider)
        if file_rows:
            files = join_first([row["file"] for row in file_rows], MAX_ROWS)
            has_tags = any(row["has_tags"] for row in file_rows)
            why = " (marts.fct_ai_tags explains why a record counts as AI)" if has_tags else ""
            return f"counted from {len(file_rows)} files: {files}{why}"
        if value is None:
            return "no number was delivered"
        return (
            "no row was delivered; this source counts an absent city as zero (series_sources.csv)"
        )


def _format_command(specification_id: str, city_id: str = "", year: int | None = None) -> str:
    """Return the shell command that traces a specification or one of its city-years."""
    cell = f" --city {city_id} --year {year}" if city_id else ""
    return f"ai-manufacturing trace --specification {specification_id}{cell}"


def _describe_diagnostics(head: Row) -> str:
    """Format the regression diagnostics: AR(2) and Hansen tests, first-stage F, or R2."""
    if head["instrument_count"]:
        return (
            f"instruments {head['instrument_count']}, "
            f"Hansen p {_format_number(head['hansen_p_value'])}, "
            f"AR(2) p {_format_number(head['ar2_p_value'])}"
        )
    if head["first_stage_f"] is not None:
        return f"first-stage F {head['first_stage_f']:.4g}"
    return f"R2 {head['r2_inclusive']:.4f} (within {head['r2_within']:.4f})"


def _select_measure(specification: Row) -> str:
    """Return a specification's AI measure: the regressor, or the outcome in an event study."""
    return str(
        specification["outcome" if specification["estimator"] == "event_study" else "regressor"]
    )


def _format_number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.10g}"
