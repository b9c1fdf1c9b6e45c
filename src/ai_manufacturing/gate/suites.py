"""Read and validate the Great Expectations suites in the folder expectations/.

Fields that only this project uses are stored under `meta`.
"""

import csv
import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from ai_manufacturing.system import settings
from ai_manufacturing.system.declared import Declared, Many, Names, Text, describe_error

HEADLINE_YEARS = "headline_years"
"""Value in `critical_where` for the years that headline specifications use."""

Place = tuple[str | int, ...]
"""Keys and positions that locate a part of a suite."""
Fault = tuple[Place, str]
"""Location of a fault in a suite, and its description."""


class SuiteError(Exception):
    """Raised if Great Expectations cannot read a suite, or the suite lacks a required field."""


class Judges(Declared):
    """Table and rows that a suite validates, as declared under `meta.judges`.

    Attributes
    ----------
    table : str
        Name of the dbt model to validate.
    key : tuple of str
        Columns that identify a row. Failing rows are identified and sorted by them.
    where : str, optional
        SQL condition that selects the rows to validate.
    critical_where : tuple of str
        Boolean columns, or HEADLINE_YEARS. In rows where one of them is false, a critical
        expectation only warns.
    """

    table: Text
    key: Names
    where: Text = "true"
    critical_where: Many[Text] = ()


class SuiteMeta(Declared):
    """Schema of a suite's `meta` object."""

    judges: Judges


class Meta(Declared):
    """Schema of an expectation's `meta`: Chinese description, and series from series.csv."""

    zh: Text
    series: Many[Text] = ()


class Expectation(Declared):
    """Schema of one expectation in a suite's JSON file."""

    type: Text
    kwargs: dict[str, Any]
    severity: Literal["critical", "warning"]
    description: Text
    meta: Meta


class Content(Declared):
    """Schema of a suite's JSON file in the folder expectations/."""

    name: Text
    expectations: Annotated[tuple[Expectation, ...], Field(strict=False)]
    meta: SuiteMeta


@dataclass(frozen=True)
class Suite:
    """A validated suite: the table to check, and the expectations as JSON objects."""

    name: str
    judges: Judges
    expectations: list[dict[str, Any]]


def import_great_expectations() -> ModuleType:
    """Import Great Expectations on first use, because importing it takes three seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations

    return great_expectations


def select_suites(tables: Collection[str]) -> list[Suite]:
    """Return the suites that validate any of the given dbt models, sorted by name.

    Raises
    ------
    SuiteError
        If one of these suites, or a suite whose table cannot be read, has a fault; see
        `read_suite`.
    """
    suites = [
        read_suite(name)
        for name, path in list_files().items()
        if _find_table(path.read_text(encoding="utf-8")) in {None, *tables}
    ]
    return [suite for suite in suites if suite.judges.table in tables]


def list_files() -> dict[str, Path]:
    """Return the file paths of all suites, by suite name."""
    folders = settings.project_folders()
    paths = [path for root in folders for path in (root / "expectations").glob("*.json")]
    # The study's folder comes last, so that the study's suites override the default suites.
    return dict(sorted({path.stem: path for path in paths}.items()))


def _find_table(text: str) -> Any:
    """Return the dbt model that a suite validates, or None if the JSON text is invalid."""
    try:
        return json.loads(text)["meta"]["judges"]["table"]
    except (KeyError, TypeError, ValueError):
        return None


def read_suite(suite: str) -> Suite:
    """Read and validate the suite in expectations/<suite>.json.

    Raises
    ------
    SuiteError
        With each fault by file and line: invalid JSON, an unknown field or value, a type or
        argument that Great Expectations does not have (with the closest match), a type that queries
        a database, a minimum above its maximum, a repeated description, series that are missing or
        not in series.csv, or a table that no gate reads.
    """
    path = list_files()[suite]
    text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
        content = Content.model_validate(document)
        faults = [*_find_faults(suite, content)]
    except json.JSONDecodeError as error:
        raise SuiteError(
            f"expectations/{path.name}, line {error.lineno}: the text is not valid JSON"
            f" ({error.msg})."
        ) from error
    except ValidationError as error:
        faults = [
            (one["loc"], f"{describe_error('.'.join(map(str, one['loc'])), one)}.")
            for one in error.errors()
        ]
    if faults:
        lines = [
            f"expectations/{path.name}, line {_find_line(text, place)}: {message}"
            for place, message in faults
        ]
        raise SuiteError("\n".join(lines))
    return Suite(suite, content.meta.judges, document["expectations"])


def _find_faults(suite: str, content: Content) -> Iterator[Fault]:
    judges = content.meta.judges
    if content.name != suite:
        yield ("name",), f"the suite is named {content.name!r}, but its file is named {suite!r}."
    if judges.table not in (gate_tables := _list_gate_tables()):
        near = _suggest(judges.table, gate_tables)
        way_out = "Add it with dbt.ref to a gate model in python_models/gates"
        yield ("meta",), f"no gate reads the table {judges.table!r}. {way_out}.{near}"
    # With a city-year key, failing rows do not identify the series that they affect.
    needs_series = {"city_id", "year"} <= {*judges.key} and "series" not in judges.key
    series_names = _read_series_names()
    for number, expectation in enumerate(content.expectations):
        series = expectation.meta.series
        if needs_series and not series:
            yield (
                ("expectations", number, "meta"),
                "`meta.series` is missing. The failing rows name only a city and a year, so list"
                " the series of series.csv that the expectation checks. Estimates that use these"
                " series then carry its warning.",
            )
        for name in series:
            if name not in series_names:
                message = f"series.csv has no series {name!r}.{_suggest(name, series_names)}"
                yield ("expectations", number, "meta", "series"), message
        for part, message in _find_type_faults(expectation.type, expectation.kwargs):
            yield ("expectations", number, *part), message
    for description, count in Counter(one.description for one in content.expectations).items():
        if count > 1:
            message = (
                f"{count} expectations share the description {description!r}, which must be unique."
            )
            yield ("expectations",), message


def _list_gate_tables() -> list[str]:
    """Return the names of the dbt models that the gate's Python models reference."""
    models = (settings.engine_root() / "python_models").glob("*/gate_*.py")
    return [
        name
        for path in models
        for name in re.findall(r'dbt\.ref\("(\w+)"\)', path.read_text(encoding="utf-8"))
    ]


def _read_series_names() -> list[str]:
    with (settings.project_root() / "seeds/series.csv").open(encoding="utf-8", newline="") as file:
        return [row["series"] for row in csv.DictReader(file)]


def _find_type_faults(name: str, arguments: dict[str, Any]) -> Iterator[Fault]:
    import great_expectations.expectations as gxe
    from great_expectations.compatibility import pydantic

    expectations = [one for one in vars(gxe).values() if getattr(one, "expectation_type", "")]
    classes = {one.expectation_type: one for one in expectations}
    if name not in classes:
        yield ("type",), f"Great Expectations has no expectation {name!r}.{_suggest(name, classes)}"
        return
    fields = classes[name].__fields__
    if any(field.endswith("query") for field in fields):
        way_out = "Write the check as a dbt data test"
        yield ("type",), f"{name} queries a database, but the gate checks data frames. {way_out}."
        return
    if _is_code(arguments.get("row_condition")):
        yield ("kwargs", "row_condition"), _describe_refused_condition(name, arguments)
        return
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        comparison = f"min_value {low} is above max_value {high}"
        yield ("kwargs", "min_value"), f"{name}: {comparison}, so no value can pass."
    try:
        classes[name](**arguments)
    except pydantic.ValidationError as error:
        # An argument that allows several types causes one error per type; report the first only.
        error_by_argument = {str(fault["loc"][0]): fault for fault in reversed(error.errors())}
        for argument, fault in error_by_argument.items():
            if argument not in arguments:
                message = f"{name} requires the argument {argument!r}."
            elif fault["type"] == "value_error.extra":
                message = f"{name} has no argument {argument!r}.{_suggest(argument, fields)}"
            elif argument == "row_condition":
                message = _describe_refused_condition(name, arguments)
            else:
                value = f"{arguments[argument]!r} is invalid ({fault['msg']})"
                message = f"{name}, argument {argument!r}: {value}."
            yield ("kwargs", argument), message


def _is_code(condition: Any) -> bool:
    """Return whether a row condition contains text that pandas would evaluate as Python."""
    if isinstance(condition, dict):
        parts = condition.get("conditions") or ()
        return "pass_through_filter" in condition or any(map(_is_code, parts))
    return condition is not None


def _describe_refused_condition(name: str, arguments: dict[str, Any]) -> str:
    return (
        f"{name}, argument 'row_condition': {arguments['row_condition']!r} is not a condition"
        " object of type `comparison`, `nullity`, `and` or `or`. A text is not allowed, because"
        " pandas would run it as code."
    )


def _suggest(name: Any, names: Iterable[str]) -> str:
    matches = difflib.get_close_matches(str(name), names, n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _find_line(text: str, place: Place) -> int:
    """Return the line number of a suite element, or of its parent if the element is missing.

    The JSON is parsed as YAML, because the YAML parser records line numbers.
    """
    node = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    line = node.start_mark.line
    for step in place:
        if isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line
        else:
            name, node = next(
                ((key, value) for key, value in node.value if key.value == step), (node, node)
            )
            line = name.start_mark.line
    return int(line) + 1
