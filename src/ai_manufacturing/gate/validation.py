"""Validate tables against the Great Expectations suites in expectations/.

The results have one row per expectation.
"""

import json
import logging
import os
from collections.abc import Collection, Mapping
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from ai_manufacturing import landing
from ai_manufacturing.gate import suites
from ai_manufacturing.gate.suites import HEADLINE_YEARS
from ai_manufacturing.system import contracts, settings

OTHER_YEARS = ("Years that no headline estimate uses: ", "无主要估计使用的年份：")
OTHER_SERIES = ("Series or years that no shown estimate uses: ", "无所列估计使用的序列或年份：")
"""Prefixes, in English and Chinese, of critical expectations that only warn."""

Expectation = dict[str, Any]
"""An expectation as declared in its suite."""
Result = dict[str, Any]
"""Result of an expectation, as Great Expectations serialises it to JSON."""


class GateFailedError(Exception):
    """Raised if estimation is attempted on tables that have not passed the data-quality gate."""


def list_headline_years(specification_series: pd.DataFrame) -> set[int]:
    """Return the years of data that the headline regressions use.

    Parameters
    ----------
    specification_series : DataFrame
        Rows of marts.dim_specification_series.
    """
    headline = specification_series[specification_series["is_headline"].astype(bool)]
    spans = headline[["first_year", "last_year"]].dropna().drop_duplicates().astype(int)
    years = {
        year for first, last in spans.itertuples(index=False) for year in range(first, last + 1)
    }
    return years | set(headline["fixed_year"].dropna().astype(int))


def judge(
    tables: Mapping[str, duckdb.DuckDBPyRelation], headline_years: Collection[int] = ()
) -> pa.Table:
    """Validate tables against all suites that are declared for the tables.

    Parameters
    ----------
    tables : mapping of str to DuckDBPyRelation
        Tables by model name.
    headline_years : collection of int
        Result of the function `list_headline_years`.

    Returns
    -------
    Table
        Results of `validate` for each suite in turn.
    """
    return pa.concat_tables(
        validate(
            tables[suite.judges.table].filter(suite.judges.where).df(), suite.name, headline_years
        )
        for suite in suites.select_suites(tables)
    )


def validate(
    table: pd.DataFrame, suite_name: str, headline_years: Collection[int] = ()
) -> pa.Table:
    """Validate the rows of a table against the suite expectations/<suite_name>.json.

    Parameters
    ----------
    table : DataFrame
        Rows to check.
    suite_name : str
        Name of the suite.
    headline_years : collection of int
        Values of the column `year` in which failures may be critical, if the suite restricts
        critical failures to headline years.

    Returns
    -------
    Table
        The columns of gate_results, with one row per expectation. If `critical_where` excludes some
        rows, a critical expectation on single rows has a second result for them, a warning, while
        one on the whole table, such as a mean, is evaluated without them. Expectations on the whole
        table have no row counts. An expectation that raises an error has failed. `success` is null
        if there was nothing to evaluate. `failing_rows` and `validation_result` are JSON.

    Raises
    ------
    SuiteError
        If the suite has a fault.
    """
    suite = suites.read_suite(suite_name)
    key, critical_where = [*suite.judges.key], suite.judges.critical_where
    critical, warnings = (
        [one for one in suite.expectations if (one["severity"] == "critical") == is_critical]
        for is_critical in (True, False)
    )
    gx = suites.import_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # This logger sets its own level, and would log each temporary folder.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = (
        context.data_sources.add_pandas(suite_name)
        .add_dataframe_asset(suite_name)
        .add_batch_definition_whole_dataframe(suite_name)
    )
    result_format = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": key,
        "return_unexpected_index_query": False,  # the query would refer to a temporary DataFrame
    }
    extract_set = landing.read_extract_set(settings.extracts_dir()).name

    def evaluate(
        part: pd.DataFrame, expectations: list[Expectation]
    ) -> list[tuple[Expectation, Result, int]]:
        """Evaluate expectations on `part`; return each with the result and the number of rows."""
        if not expectations:
            return []
        # Evaluate all expectations together, so that they share computed metrics.
        answers = batches.get_batch({"dataframe": part.reset_index(drop=True)}).validate(
            gx.ExpectationSuite(name=suite_name, expectations=expectations),
            result_format=result_format,
        )
        results = [
            json.loads(json.dumps(answer.to_json_dict(), default=_to_plain))
            for answer in answers.results
        ]
        # Great Expectations returns results in order of evaluation, not in the suite's order.
        by_description = {result["expectation_config"]["description"]: result for result in results}
        return [
            (expectation, by_description[expectation["description"]], len(part))
            for expectation in expectations
        ]

    table = table.sort_values(key, ignore_index=True)
    is_critical_row = pd.Series(True, index=table.index)
    for column in critical_where:
        is_critical_row &= (
            table["year"].isin(headline_years)
            if column == HEADLINE_YEARS
            else table[column].astype(bool)
        )
    if is_critical_row.all():
        outcomes = evaluate(table, suite.expectations)
    else:
        outcomes = evaluate(table[is_critical_row], critical)
        prefixes = OTHER_YEARS if {*critical_where} == {HEADLINE_YEARS} else OTHER_SERIES
        row_expectations = [
            expectation
            for expectation, result, _ in outcomes
            if _counts_rows(result) or _find_exception(result)
        ]
        outcomes += evaluate(
            table[~is_critical_row],
            [_as_warning(expectation, prefixes) for expectation in row_expectations],
        )
        outcomes += evaluate(table, warnings)
    rows = [
        {"extract_set": extract_set, "suite": suite_name}
        | _build_row(expectation, result, row_count)
        for expectation, result, row_count in outcomes
    ]
    return pa.Table.from_pylist(rows, schema=contracts.read_schema("gate_results"))


def _as_warning(expectation: Expectation, prefixes: tuple[str, str]) -> Expectation:
    """Return a copy of a critical expectation, downgraded to severity `warning`."""
    english, chinese = prefixes
    meta = expectation["meta"] | {"zh": chinese + expectation["meta"]["zh"]}
    return expectation | {
        "severity": "warning",
        "description": english + expectation["description"],
        "meta": meta,
    }


def _build_row(expectation: Expectation, result: Result, row_count: int) -> dict[str, Any]:
    """Convert the result of an expectation to a row of gates.gate_results."""
    details, counts_rows, exception = (
        result["result"],
        _counts_rows(result),
        _find_exception(result),
    )
    failing = details.get("unexpected_index_list")
    # Missing values are not checked, and element_count excludes rows outside the row condition.
    checked_count = (
        details["element_count"] - details.get("missing_count", 0) if counts_rows else None
    )
    has_rows = bool(row_count if checked_count is None else checked_count)
    return {
        "expectation": expectation["type"],
        "description": expectation["description"],
        "description_zh": expectation["meta"]["zh"],
        "arguments": _to_json(expectation["kwargs"]),
        "severity": expectation["severity"],
        # Great Expectations reports success even if no row was evaluated.
        "success": None if result["success"] and not has_rows else result["success"],
        "observed_value": (
            f"could not be evaluated: {exception}"
            if exception
            else _to_json(_format_observed_value(details))
        ),
        "row_count": row_count,
        "checked_count": checked_count,
        "failing_row_count": details["unexpected_count"] if counts_rows else None,
        "failing_rows": _to_json(failing) if failing else None,
        "series": " ".join(expectation["meta"].get("series", ())) or None,
        "validation_result": _to_json(result),
    }


def _counts_rows(result: Result) -> bool:
    """Return whether an expectation was evaluated row by row.

    An expectation on the whole table, such as a mean, has no row counts.
    """
    return "element_count" in result["result"]


def _find_exception(result: Result) -> str | None:
    """Return the error message of an expectation that could not be evaluated, or None."""
    information = result["exception_info"]
    by_metric = [one for one in information.values() if isinstance(one, dict)] or [information]
    return next((one["exception_message"] for one in by_metric if one["raised_exception"]), None)


def _format_observed_value(details: dict[str, Any]) -> Any:
    """Return the row counts of a result or, for a table-level expectation, the observed value."""
    if "element_count" in details:
        counts = {"failing": "unexpected_count", "missing": "missing_count", "of": "element_count"}
        return {name: details.get(count, 0) for name, count in counts.items()}
    values = {name: value for name, value in details.items() if value not in (None, [], {})}
    return values if values.keys() - {"observed_value"} else details.get("observed_value")


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _to_plain(value: Any) -> Any:
    """Convert numpy scalars, which some results contain, to types that JSON supports."""
    return value.item() if hasattr(value, "item") else str(value)


def compute_fingerprint(relation: duckdb.DuckDBPyRelation) -> tuple[int, str]:
    """Return a table's fingerprint: the number of rows, and the sum of the row hashes."""
    (totals,) = (
        relation.set_alias("counted")
        .aggregate("count(*), coalesce(sum(hash(counted)), 0)")
        .fetchall()
    )
    return int(totals[0]), str(totals[1])


def fingerprint_relations(**relations: duckdb.DuckDBPyRelation) -> pa.Table:
    """Return the row count and content hash of each table, as rows of judged_relations."""
    rows = [
        dict(
            zip(
                ("relation", "row_count", "content"),
                (name, *compute_fingerprint(relation)),
                strict=True,
            )
        )
        for name, relation in relations.items()
    ]
    return pa.Table.from_pylist(rows, schema=contracts.read_schema("judged_relations"))


def check_order(stale: pd.DataFrame) -> None:
    """Raise GateFailedError if a validated table is older than the tables it depends on.

    Parameters
    ----------
    stale : DataFrame
        Rows of intermediate.int_stale_relations about judged relations.

    Raises
    ------
    GateFailedError
        If there is such a relation; the message names it, and the command that rebuilds it.
    """
    if stale.empty:
        return
    lines = [f"{row.relation} is older than {row.input_relation}." for row in stale.itertuples()]
    command = " ".join(f"{name}+" for name in sorted({*stale["input_node"]}))
    raise GateFailedError(
        "\n".join([*lines, f"Run `dbt build`, or `dbt build --select {command}`."])
    )


def check_gate(
    results: pd.DataFrame, judged_relations: pd.DataFrame, /, **relations: duckdb.DuckDBPyRelation
) -> None:
    """Raise GateFailedError unless the tables passed validation and are unchanged since.

    This protects estimates however dbt is called. When a held build is published by hand,
    ACCEPTED_GATE_FAILURES contains the reason, which the release records, and failures are
    accepted.

    Parameters
    ----------
    results : DataFrame
        Rows of gates.gate_results.
    judged_relations : DataFrame
        Rows of gates.judged_relations.
    **relations : DuckDBPyRelation
        Relations that the estimates read, by name.

    Raises
    ------
    GateFailedError
        If critical expectations failed, or relations have changed since they were judged; the
        message names them.
    """
    fingerprints = {
        row.relation: (row.row_count, row.content) for row in judged_relations.itertuples()
    }
    changed_names = [
        name
        for name, relation in relations.items()
        if compute_fingerprint(relation) != fingerprints.get(name)
    ]
    if changed_names:
        tables, selection = ", ".join(changed_names), " ".join(f"{name}+" for name in changed_names)
        raise GateFailedError(
            "These tables changed or were rebuilt after the quality gate had checked them:"
            f" {tables}. No estimates are computed from unchecked tables. Run `dbt build`, or"
            f" `dbt build --select {selection}`."
        )
    failures = results[(results["severity"] == "critical") & results["success"].eq(False)]
    if len(failures) and not os.environ.get("ACCEPTED_GATE_FAILURES"):
        failed_checks = "\n".join(
            f"{row.suite}: {row.description}" for row in failures.itertuples()
        )
        raise GateFailedError(
            "The estimates are withheld, because these critical expectations failed (see"
            f" gates.gate_results):\n{failed_checks}"
        )


def remove_warning_prefix(description: str) -> str:
    """Remove the prefix that marks an expectation as downgraded to a warning.

    Both English and Chinese descriptions are supported.
    """
    for prefix in (*OTHER_YEARS, *OTHER_SERIES):
        description = description.removeprefix(prefix)
    return description
