"""Describe failed data-quality expectations, and separate new failures from known ones."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import city_names
from ai_manufacturing.gate import result_tables
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

# Columns that identify a failing row, in output order; other columns describe the failure.
PLACE_COLUMNS = (
    "provider",
    "source_name",
    "file_path",
    "specification_id",
    "series",
    "scope",
    "city_id",
    "year",
)
REMARK_COLUMNS = ("year_of_lost_cities", "hint")  # columns that are omitted if null
MAX_LISTED_RECORDS = 5  # maximum number of lost records listed in a message
MAX_LINE_CHARS = 300  # longer warnings are truncated and refer to a table
MAX_VALUE_CHARS = 120  # longer values of the input files are truncated in messages
MAX_FAILING_ROWS_CHARS = 1200  # limit in Dagster; the warehouse stores all failing rows
RESULTS_TABLE = "gates.gate_results"
LANDING_SUITE = "landed_sources"  # expectation suite that checks rejected input records


class Finding(NamedTuple):
    """A failed expectation.

    Attributes
    ----------
    suite, description, severity : str
        Columns of gates.gate_results.
    observed_value, failing_rows : str or None
        Columns of gates.gate_results, as JSON.
    rows : tuple of str
        Descriptions of the failing rows, sorted by file, series, city and year.
    """

    suite: str
    description: str
    severity: str
    observed_value: str | None
    failing_rows: str | None
    rows: tuple[str, ...]

    def __str__(self) -> str:
        return join_items(
            self.heading, self.rows or (f"observed {self.observed_value}",), RESULTS_TABLE
        )

    @property
    def heading(self) -> str:
        """Suite and description, which identify the same expectation in different releases."""
        return f"{self.suite}: {self.description}"

    def to_record(self) -> dict[str, Any]:
        """Return the failed expectation as a dict for report.json."""
        record = self._asdict()
        del record["rows"]
        return record


def join_items(heading: str, items: Sequence[str], table: str, end: str = "") -> str:
    """Join a heading and as many items as fit within MAX_LINE_CHARS.

    If items are omitted, the line ends with their number and the table that contains them.

    Parameters
    ----------
    heading : str
        Text before the items.
    items : sequence of str
        At least one item. The first is truncated if it is too long for the line.
    table : str
        Table that contains all items.
    end : str
        Sentence to append after the items.
    """
    after = f".{end and f' {end}'}"
    for item_count in range(len(items), 0, -1):
        more = f"; and {len(items) - item_count} more in {table}" if item_count < len(items) else ""
        line = f"{heading} {'; '.join(items[:item_count])}{more}{after}"
        if len(line) <= MAX_LINE_CHARS:
            return line
    rest = f"… The full list is in {table}{after}"
    return f"{heading} {items[0]}"[: MAX_LINE_CHARS - len(rest)].rstrip() + rest


def read_failures(
    database: DuckDBPyConnection,
    severity: str,
    names: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the failed expectations of a given severity, likely root causes first.

    Parameters
    ----------
    database : DuckDBPyConnection
        The open file; a suite whose results were not built has no findings.
    severity : str
        `critical` or `warning`.
    names : mapping of str to str, optional
        City names by city_id, by default from the file. Pass the same names for two files whose
        findings are compared, because findings are matched by their text.
    """
    try:
        results = database.execute(
            f"""
            select suite, description, severity, observed_value, failing_rows
            from {result_tables.select_all_results(database)}
            where not success and severity = ?
            order by suite <> ?, columns(*)
            """,
            [severity, settings.variables()["suite_of_causes"]],
        ).fetchall()
    except duckdb.CatalogException:
        return []
    names = city_names.read_city_names(database) if names is None else names
    return [Finding._make([*result, _describe_rows(result[-1], names)]) for result in results]


def split_new_findings(
    failures: Sequence[Finding], before: Sequence[Finding]
) -> tuple[list[str], list[str]]:
    """Split failed expectations into new failures and failures known from another release.

    Parameters
    ----------
    failures, before : sequence of Finding
        Findings of the build, and of the release that it is compared with.

    Returns
    -------
    tuple of (list of str, list of str)
        New findings, limited to their new rows, and known findings with their number of rows.
    """
    rows_before = {finding.heading: finding.rows for finding in before}
    new_lines, known_lines = [], []
    for finding in failures:
        heading, rows = finding.heading, finding.rows
        new_rows = [row for row in rows if row not in rows_before.get(heading, ())]
        if heading not in rows_before:
            new_lines.append(str(finding))
        elif new_rows:
            same = len(rows) - len(new_rows)
            end = f"{same} other rows were already known." if same else ""
            new_lines.append(join_items(heading, new_rows, RESULTS_TABLE, end))
        else:
            known_lines.append(f"{heading} ({len(rows)} rows)" if rows else heading)
    return new_lines, known_lines


def list_warnings(
    warehouse: DuckDBPyConnection,
    release: DuckDBPyConnection | None,
    published_manifest: Manifest | None,
) -> Iterator[dict[str, Any]]:
    """Yield warnings about failed expectations and undeclared files, new warnings first.

    Parameters
    ----------
    warehouse : DuckDBPyConnection
        The built warehouse.
    release : DuckDBPyConnection or None
        The published release; a warning that it has on the same rows is known. None if it belongs
        to another extract set.
    published_manifest : Manifest or None
        Manifest of the published release, whichever set it belongs to.
    """
    names = city_names.read_city_names(warehouse)
    before = read_failures(release, "warning", names) if release else []
    new_lines, known_lines = split_new_findings(read_failures(warehouse, "warning", names), before)
    files = warehouse.execute(SQL["unread_files"]).fetchall()
    unread_paths = (
        _find_unread_files(release, published_manifest) if release and published_manifest else set()
    )
    undeclared_files = [words for path, words in files if path not in unread_paths]
    if undeclared_files:
        heading = f"{len(undeclared_files)} delivered files match no declaration:"
        way_out = "Declare, rename or remove these files."
        new_lines.append(join_items(heading, undeclared_files, "marts.fct_deliveries", way_out))
    for message in new_lines:
        yield {"state": "new", "message": message}
    if len(files) > len(undeclared_files):
        known_count = len(files) - len(undeclared_files)
        known_lines.append(f"delivered files that match no declaration ({known_count})")
    if published_manifest is not None and known_lines:
        heading = (
            f"{len(known_lines)} warnings are known from release"
            f" {published_manifest.release_id}; their rows are in {RESULTS_TABLE}:"
        )
        message = join_items(heading, known_lines, RESULTS_TABLE)
        yield {"state": "known", "count": len(known_lines), "message": message}


def _find_unread_files(release: DuckDBPyConnection, published_manifest: Manifest) -> set[str]:
    """Return the input files from which the published release read no rows."""
    rows = release.execute("select file_path from marts.fct_row_accounting").fetchall()
    return published_manifest.delivery_hashes.keys() - {path for (path,) in rows}


def describe_lost_records(warehouse: DuckDBPyConnection, failures: Sequence[Finding]) -> list[str]:
    """List rejected records of failing sources by file, row and reason, rarest reason first."""
    sources = set()
    for finding in failures:
        if finding.suite == LANDING_SUITE:
            rows = json.loads(finding.failing_rows or "[]")
            sources |= {f"{row['provider']}.{row['source_name']}" for row in rows}
    if not sources:
        return []
    records = warehouse.execute(
        SQL["lost_records"],
        {"sources": sorted(sources), "listed": MAX_LISTED_RECORDS + 1},
    ).fetchall()
    lines = []
    for path, sheet, row, column, value, reason in records[:MAX_LISTED_RECORDS]:
        place = f"{path}{f', sheet {sheet}' if sheet else ''}, row {row}"
        if column:
            place += f", column {column}"
        text = f"{value[:MAX_VALUE_CHARS]}…" if value and len(value) > MAX_VALUE_CHARS else value
        lines.append(f"{place}: {json.dumps(text, ensure_ascii=False)} was set aside ({reason}).")
    if len(records) > MAX_LISTED_RECORDS:
        tables = "raw.rejected_rows, marts.fct_rows_set_aside and marts.fct_register_rows_set_aside"
        lines.append(f"More are in {tables}.")
    return lines


def _describe_rows(failing_rows: str | None, names: Mapping[str, str]) -> tuple[str, ...]:
    """Describe the failing rows of an expectation, sorted by the columns in PLACE_COLUMNS."""

    def build_sort_key(row: Mapping[str, Any]) -> list[str]:
        return [
            *(str(row.get(name, "")) for name in PLACE_COLUMNS),
            json.dumps(row, sort_keys=True),
        ]

    rows = sorted(json.loads(failing_rows or "[]"), key=build_sort_key)
    return tuple(_describe_row(row, names) for row in rows)


def _describe_row(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Format a failing row, for example `Changsha (430100) 2016: gdp_growth_factor 11.0967`."""
    place = {name: str(row[name]) for name in PLACE_COLUMNS if row.get(name) is not None}
    if city := names.get(place.get("city_id", "")):
        place["city_id"] = f"{city} ({place['city_id']})"
    values = [
        f"{name} {_format_value(value)}"
        for name, value in row.items()
        if name not in PLACE_COLUMNS and (value is not None or name not in REMARK_COLUMNS)
    ]
    return f"{' '.join(place.values())}: {', '.join(values)}"


def _format_value(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return "missing" if value is None else str(value)
