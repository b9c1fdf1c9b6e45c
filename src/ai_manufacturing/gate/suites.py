"""The suites in expectations/.

JSON of Great Expectations, with what the project adds to it under `meta`.
"""

import csv
import difflib
import inspect
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import yaml

from ai_manufacturing import settings

HEADLINE_YEARS = "headline_years"
"""In `critical_where`: only in years that a headline rests on."""
REQUIRED = {"type": str, "kwargs": dict, "severity": str, "description": str, "meta": dict}
SEVERITIES = ("critical", "warning")
JUDGES = ("table", "key", "where", "critical_where")

Fault = tuple[tuple[str | int, ...], str]
"""Keys and positions that lead to a part of a suite, and what is wrong there."""


class SuiteError(Exception):
    """A suite that Great Expectations cannot read, or that lacks what the gate needs."""


@dataclass(frozen=True)
class Suite:
    """A suite, and what it judges: `meta.judges` of its file.

    Attributes
    ----------
    name : str
        Its file is expectations/<name>.json.
    expectations : list of dict
        Type, kwargs, severity, description and meta of each. `meta.zh` is the description in
        Chinese, `meta.series` the series of series.csv that it is about.
    table : str
        The model that it judges.
    key : list of str
        Columns that identify a row; failing rows are reported by them, in their order.
    where : str or None
        SQL condition: the rows that it is asked of.
    critical_where : list of str
        Boolean columns, or HEADLINE_YEARS: where one is false, a critical expectation only warns.
    """

    name: str
    expectations: list[dict[str, Any]]
    table: str
    key: list[str]
    where: str | None = None
    critical_where: tuple[str, ...] = ()


def great_expectations() -> ModuleType:
    """Return the package, imported when a suite is read or a table judged, as that takes three seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations

    return great_expectations


def judging(tables: Collection[str]) -> list[Suite]:
    """Return the suites that judge some of these models, by name.

    Raises
    ------
    SuiteError
        As `read`, of these suites and of those whose file cannot be understood.
    """
    paths = sorted((settings.project_root() / "expectations").glob("*.json"))
    suites = [
        read(path.stem)
        for path in paths
        if _table(path.read_text(encoding="utf-8")) in {None, *tables}
    ]
    return [suite for suite in suites if suite.table in tables]


def _table(text: str) -> Any:
    """Return the model that the text of a suite says it judges, or None."""
    try:
        return json.loads(text)["meta"]["judges"]["table"]
    except (KeyError, TypeError, ValueError):
        return None


def read(suite: str) -> Suite:
    """Return the suite expectations/<suite>.json.

    Raises
    ------
    SuiteError
        With each fault of the suite by file and line: no JSON, a type or an argument that Great
        Expectations does not have (with the nearest that it has), a type that asks a database, a
        minimum above its maximum, a field or a severity that there is not, a description that is
        missing in one of the languages or occurs twice, series that are missing or that series.csv
        does not have, nothing that it judges, or a table that no gate reads.
    """
    path = settings.project_root() / "expectations" / f"{suite}.json"
    text = path.read_text(encoding="utf-8")
    try:
        declared = json.loads(text)
    except json.JSONDecodeError as error:
        raise SuiteError(
            f"expectations/{path.name}, line {error.lineno}: no JSON: {error.msg}."
        ) from error
    faults = [
        f"expectations/{path.name}, line {_line(text, place)}: {message}"
        for place, message in _faults(suite, declared)
    ]
    if faults:
        raise SuiteError("\n".join(faults))
    return Suite(suite, declared["expectations"], **declared["meta"]["judges"])


def _faults(suite: str, declared: Any) -> Iterator[Fault]:
    expectations = declared.get("expectations") if isinstance(declared, dict) else None
    if not isinstance(expectations, list) or not all(isinstance(one, dict) for one in expectations):
        yield (
            (),
            (
                f'a suite is {{"name": "{suite}", "expectations": [...]}}, with an object for each'
                " expectation."
            ),
        )
        return
    if declared.get("name") != suite:
        yield ("name",), f"the suite is named {declared.get('name')!r}, its file {suite!r}."
    yield from _unknown(declared, great_expectations().ExpectationSuite)
    judges = (declared.get("meta") or {}).get("judges")
    if (
        not isinstance(judges, dict)
        or not judges.keys() >= {"table", "key"}
        or judges.keys() - JUDGES
    ):
        yield (
            ("meta",),
            f"`meta.judges` must be an object with `table` and `key`, at most {', '.join(JUDGES)}.",
        )
        judges = {"key": []}
    elif judges["table"] not in (read_by_gates := _read_by_gates()):
        yield (
            ("meta",),
            (
                f"no gate reads the table {judges['table']!r}: name it in a model of"
                f" python_models/gates.{_nearest(judges['table'], read_by_gates)}"
            ),
        )
    # the failing rows do not name their series
    needs_series = {"city_id", "year"} <= {*judges["key"]} and "series" not in judges["key"]
    for number, expectation in enumerate(expectations):
        for place, message in _faults_of(expectation, needs_series):
            yield ("expectations", number, *place), message
    for description, count in Counter(one.get("description") for one in expectations).items():
        if count > 1:
            yield (
                ("expectations",),
                f"{count} expectations have the description {description!r}, which names one.",
            )


def _faults_of(expectation: dict[str, Any], needs_series: bool) -> Iterator[Fault]:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    yield from _unknown(expectation, ExpectationConfiguration)
    missing = [
        name for name, kind in REQUIRED.items() if not isinstance(expectation.get(name), kind)
    ]
    for name in missing:
        yield (name,), f"`{name}` must be {'an object' if REQUIRED[name] is dict else 'a text'}."
    if missing:
        return
    if expectation["severity"] not in SEVERITIES:
        yield (
            ("severity",),
            f"severity {expectation['severity']!r} is neither {' nor '.join(SEVERITIES)}.",
        )
    meta = expectation["meta"]
    if not meta.get("zh"):
        yield ("meta",), "`meta.zh`, the description in Chinese, is missing."
    if not isinstance(meta.get("series", []), list) or (needs_series and not meta.get("series")):
        yield (
            ("meta",),
            (
                "`meta.series` is missing. Failing rows are cities and years: list the series of"
                " series.csv that the expectation is about, so that the estimates that use them"
                " carry its warning."
            ),
        )
    else:
        known = _series()
        for series in meta.get("series", []):
            if series not in known:
                yield (
                    ("meta", "series"),
                    f"series.csv has no series {series!r}.{_nearest(series, known)}",
                )
    yield from _faults_of_type(expectation["type"], expectation["kwargs"])


def _read_by_gates() -> list[str]:
    """Return the models that the Python models of the gates read."""
    models = (settings.project_root() / "python_models").glob("*/gate_*.py")
    return [
        name
        for path in models
        for name in re.findall(r'dbt\.ref\("(\w+)"\)', path.read_text(encoding="utf-8"))
    ]


def _series() -> list[str]:
    with (settings.project_root() / "seeds/series.csv").open(encoding="utf-8", newline="") as file:
        return [row["series"] for row in csv.DictReader(file)]


def _faults_of_type(name: str, arguments: dict[str, Any]) -> Iterator[Fault]:
    import great_expectations.expectations as gxe
    from great_expectations.compatibility.pydantic import ValidationError

    known = [one for one in vars(gxe).values() if getattr(one, "expectation_type", "")]
    classes = {one.expectation_type: one for one in known}
    if name not in classes:
        yield ("type",), f"Great Expectations has no expectation {name!r}.{_nearest(name, classes)}"
        return
    if any(field.endswith("query") for field in classes[name].__fields__):
        yield (
            ("type",),
            (
                f"{name} asks a database, and the gate judges data frames: write the check as a"
                " data test."
            ),
        )
        return
    low, high = (arguments.get(f"{end}_value") for end in ("min", "max"))
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield (
            ("kwargs", "min_value"),
            f"{name}: min_value {low} is above max_value {high}, so that nothing passes.",
        )
    try:
        classes[name](**arguments)
    except ValidationError as error:
        # A value that may be of several types has a fault for each; the first does.
        for argument, fault in {
            str(fault["loc"][0]): fault for fault in reversed(error.errors())
        }.items():
            if argument not in arguments:
                message = f"{name} needs the argument {argument!r}."
            elif fault["type"] == "value_error.extra":
                message = (
                    f"{name} has no argument"
                    f" {argument!r}.{_nearest(argument, classes[name].__fields__)}"
                )
            else:
                message = f"{name}, argument {argument!r}: {arguments[argument]!r}: {fault['msg']}."
            yield ("kwargs", argument), message


def _unknown(declared: dict[str, Any], of_library: Any) -> Iterator[Fault]:
    for name in declared.keys() - inspect.signature(of_library).parameters.keys():
        yield (
            (name,),
            (
                f"Great Expectations does not know {name!r}; what the project adds stands under"
                " `meta`."
            ),
        )


def _nearest(name: Any, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(str(name), known, n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def _line(text: str, place: tuple[str | int, ...]) -> int:
    """Return the line of a part of a suite, or of what it is missing in.

    YAML, which JSON is, knows lines.
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
