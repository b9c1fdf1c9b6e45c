"""The gate: Great Expectations suites as data, their results as a table with one row per expectation."""

import json
import logging
import os
from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from ai_manufacturing import landing, settings

RESULTS = pa.schema(
    [
        ("extract_set", pa.string()),
        ("suite", pa.string()),
        ("expectation", pa.string()),
        ("description", pa.string()),
        ("description_zh", pa.string()),
        ("arguments", pa.string()),
        ("severity", pa.string()),
        ("success", pa.bool_()),
        ("observed_value", pa.string()),
        ("row_count", pa.int64()),
        ("checked_count", pa.int64()),
        ("failing_row_count", pa.int64()),
        ("failing_rows", pa.string()),
        ("series", pa.string()),
    ]
)
OTHER_YEARS = ("Years that no headline estimate uses: ", "无主要估计使用的年份：")
OTHER_SERIES = ("Series or years that no shown estimate uses: ", "无所列估计使用的序列或年份：")
"""Before the words of a critical expectation, in English and Chinese, where it only warns."""


class GateFailedError(Exception):
    """Estimates were asked of a panel that the gate holds back."""


class SuiteError(Exception):
    """A suite in expectations/ that cannot be read as one."""


def headline_years(specification_series: pd.DataFrame) -> set[int]:
    """Return the years that headline specifications rest on.

    Parameters
    ----------
    specification_series : DataFrame
        marts.dim_specification_series.
    """
    used = specification_series[specification_series["is_headline"].astype(bool)]
    spans = used[["first_year", "last_year"]].dropna().drop_duplicates().astype(int)
    sampled = {year for first, last in spans.itertuples(index=False) for year in range(first, last + 1)}
    return sampled | set(used["fixed_year"].dropna().astype(int))


def validate(
    table: pd.DataFrame,
    suite: str,
    key: list[str],
    judged_years: Collection[int] | None = None,
    judged_rows: str | None = None,
) -> pa.Table:
    """Check a table against the suite expectations/<suite>.json.

    Parameters
    ----------
    table : DataFrame
        The table.
    suite : str
        Name of the suite.
    key : list of str
        Columns that identify a row; failing rows are reported by them, in their order. Rows that are cities and years
        and do not name their series need `series` in each expectation, or no estimate could be warned of them.
    judged_years : collection of int, optional
        Years, of the column `year`, whose failures may be critical. Rows of other years fail a critical expectation
        as a warning, in a row of its own. Unless given, all rows are judged alike.
    judged_rows : str, optional
        Boolean column: rows where it is false are treated as years that are not judged.

    Returns
    -------
    Table
        One row per expectation, and one more where it is critical and some rows are not judged, in the columns of
        RESULTS. `failing_rows` holds them as JSON. An expectation that cannot be evaluated has failed.

    Raises
    ------
    SuiteError
        If the suite is not valid JSON, or an expectation lacks its severity, its description in either
        language or a needed `series`.
    """
    expectations = read_suite(suite)
    if {"city_id", "year"} <= set(key) and "series" not in key:
        _require_series(suite, expectations)
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx  # here, as the import takes three seconds
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    # It logs each temporary folder that it makes, at a level of its own.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    table = table.sort_values(key, ignore_index=True)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = (
        context.data_sources.add_pandas(suite).add_dataframe_asset(suite).add_batch_definition_whole_dataframe(suite)
    )
    extract_set = landing.extract_set(settings.extracts_dir()).name
    is_judged = pd.Series(True, index=table.index)
    if judged_years is not None:
        is_judged &= table["year"].isin(judged_years)
    if judged_rows is not None:
        is_judged &= table[judged_rows].astype(bool)
    prefixes = OTHER_YEARS if judged_rows is None else OTHER_SERIES
    rows = []
    for number, (part, applied) in enumerate(_applied(expectations, table, is_judged, prefixes)):
        # All of a part at once: what one expectation computes, the others need not.
        validated = gx.ExpectationSuite(
            name=f"{suite}_{number}",
            expectations=[
                ExpectationConfiguration(
                    type=declared["type"],
                    kwargs=declared["kwargs"],
                    severity=declared["severity"],
                    description=declared["description"],
                    meta={"place": place},
                ).to_domain_obj()
                for place, declared in enumerate(applied)
            ],
        )
        results = batches.get_batch({"dataframe": part}).validate(
            validated, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": key}
        )
        # In the order in which they could be evaluated, which is not that of the suite.
        found = {
            result.expectation_config.meta["place"]: result
            for result in results.results
            if result.expectation_config is not None and result.expectation_config.meta is not None
        }
        rows += [
            {
                "extract_set": extract_set,
                "suite": suite,
                "expectation": declared["type"],
                "description": declared["description"],
                "description_zh": declared["meta"]["zh"],
                "arguments": json.dumps(declared["kwargs"], ensure_ascii=False),
                "severity": declared["severity"],
                "success": bool(found[place].success),
                "row_count": len(part),
                "series": " ".join(declared.get("series", ())) or None,
                **_findings(found[place]),
            }
            for place, declared in enumerate(applied)
        ]
    return pa.Table.from_pylist(rows, schema=RESULTS)


def _applied(
    expectations: list[dict[str, Any]], table: pd.DataFrame, is_judged: pd.Series, prefixes: tuple[str, str]
) -> Iterator[tuple[pd.DataFrame, list[dict[str, Any]]]]:
    """Yield rows with the expectations that apply to them; on rows that are not judged, a critical one only warns."""
    if is_judged.all():
        yield table, expectations
        return
    critical = [declared for declared in expectations if declared["severity"] == "critical"]
    english, chinese = prefixes
    warned = [
        declared
        | {
            "severity": "warning",
            "description": english + declared["description"],
            "meta": {"zh": chinese + declared["meta"]["zh"]},
        }
        for declared in critical
    ]
    judged, others = (table[rows].reset_index(drop=True) for rows in (is_judged, ~is_judged))
    warnings = [declared for declared in expectations if declared["severity"] != "critical"]
    yield from (
        (part, applied) for part, applied in ((judged, critical), (others, warned), (table, warnings)) if applied
    )


def require(results: pd.DataFrame) -> None:
    """Let estimates through only if no critical expectation failed, however dbt was called.

    Publishing a held build by hand sets ACCEPTED_GATE_FAILURES to the reason, which its release keeps.

    Parameters
    ----------
    results : DataFrame
        gates.gate_results.

    Raises
    ------
    GateFailedError
        Naming the critical expectations that failed.
    """
    failed = results[(results["severity"] == "critical") & ~results["success"].astype(bool)]
    if len(failed) and not os.environ.get("ACCEPTED_GATE_FAILURES"):
        named = "\n".join(f"{row.suite}: {row.description}" for row in failed.itertuples())
        raise GateFailedError(f"The gate holds these estimates back; see gates.gate_results.\n{named}")


def declared_description(description: str) -> str:
    """Return the words of an expectation in either language as its suite has them, without those of one that warns."""
    for prefix in (*OTHER_YEARS, *OTHER_SERIES):
        description = description.removeprefix(prefix)
    return description


def read_suite(suite: str) -> list[dict[str, Any]]:
    """Return the expectations of a suite: type, kwargs, severity, description and meta of each, and the series of some.

    Raises
    ------
    SuiteError
        If the suite is not valid JSON, or an expectation lacks one of these.
    """
    path = settings.project_root() / "expectations" / f"{suite}.json"
    try:
        expectations: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise SuiteError(f"{path.name}: not a suite, an object with a list `expectations`: {error}") from error
    for number, declared in enumerate(expectations, start=1):
        for name in ("type", "kwargs", "severity", "description"):
            if name not in declared:
                raise SuiteError(f"{path.name}, expectation {number}: `{name}` is missing.")
        if not declared.get("meta", {}).get("zh"):
            raise SuiteError(f"{path.name}, expectation {number}: `meta.zh`, the description in Chinese, is missing.")
    return expectations


def _require_series(suite: str, expectations: list[dict[str, Any]]) -> None:
    for number, declared in enumerate(expectations, start=1):
        if not declared.get("series"):
            raise SuiteError(
                f"{suite}.json, expectation {number}: `series` is missing. Its rows are cities and years: list the "
                "series of series.csv that it is about, so that the estimates that use them carry its warning."
            )


def _findings(result: Any) -> dict[str, Any]:
    """Return what an expectation observed, on how many rows with something to check, and the rows that fail it."""
    raised = [info for info in result.exception_info.values() if isinstance(info, dict)]
    if raised or result.exception_info.get("raised_exception"):
        message = (raised or [result.exception_info])[0]["exception_message"]
        return {
            "observed_value": f"could not be evaluated: {message}",
            "checked_count": None,
            "failing_row_count": None,
            "failing_rows": None,
        }
    details = result.result
    failing = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in details.get("unexpected_index_list") or []
    ]
    if "observed_value" in details:
        observed: Any = details["observed_value"]
        if details.get("partial_missing_list"):
            observed = {"missing": details["partial_missing_list"]}
    else:
        observed = {
            "failing": details.get("unexpected_count"),
            "missing": details.get("missing_count", 0),
            "of": details.get("element_count"),
        }
    return {
        "observed_value": json.dumps(observed, ensure_ascii=False, default=_plain),
        # A missing value gives nothing to check, nor does a row that the condition of the expectation leaves out.
        "checked_count": details["element_count"] - details.get("missing_count", 0),
        "failing_row_count": details.get("unexpected_count"),
        "failing_rows": json.dumps(failing, ensure_ascii=False, default=_plain) if failing else None,
    }


def _plain(value: Any) -> Any:
    """Turn numpy scalars into what JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)
