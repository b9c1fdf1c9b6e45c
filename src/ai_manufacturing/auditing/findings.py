"""Gate findings in words: failing rows by city, and findings that are new since a release."""

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

# Columns that locate a failing row, in printing order; the other columns describe the failure.
PLACE = (
    "provider",
    "source_name",
    "file_path",
    "specification_id",
    "series",
    "scope",
    "city_id",
    "year",
)
REMARKS = ("year_of_lost_cities", "hint")  # columns that are printed only if they have a value
LISTED_ROWS = 10  # estimates named in a message
LISTED_RECORDS = 5  # lost records named in a message
LINE = 300  # maximum characters of a warning; the full list is in the table that it names
VALUE = 120  # maximum characters of a delivered value
PRINTED = 1200  # maximum characters of failing rows in Dagster; the warehouse has all of them
RESULTS = "gates.gate_results"
LANDED = "landed_sources"  # suite that checks the records set aside by landing


class Finding(NamedTuple):
    """A failed expectation.

    Attributes
    ----------
    suite, description, severity : str
        Columns of gates.gate_results.
    observed_value, failing_rows : str or None
        Columns of gates.gate_results, as JSON.
    rows : tuple of str
        The failing rows in words, sorted by place.
    """

    suite: str
    description: str
    severity: str
    observed_value: str | None
    failing_rows: str | None
    rows: tuple[str, ...]

    def __str__(self) -> str:
        return listed(self.heading, self.rows or (f"observed {self.observed_value}",), RESULTS)

    @property
    def heading(self) -> str:
        """The suite and description, which identify the expectation across releases."""
        return f"{self.suite}: {self.description}"

    def record(self) -> dict[str, Any]:
        """Return the finding as a dict for the report of a held build."""
        record = self._asdict()
        del record["rows"]
        return record


def listed(heading: str, items: Sequence[str], table: str, end: str = "") -> str:
    """Return a line with a heading and as many whole items as fit.

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
    for shown in range(len(items), 0, -1):
        more = f"; and {len(items) - shown} more in {table}" if shown < len(items) else ""
        line = f"{heading} {'; '.join(items[:shown])}{more}{after}"
        if len(line) <= LINE:
            return line
    rest = f"… The whole is in {table}{after}"
    return f"{heading} {items[0]}"[: LINE - len(rest)].rstrip() + rest


def failed(
    database: DuckDBPyConnection,
    severity: str,
    names: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the failed expectations of a severity in a stable order, root causes first.

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
    return [Finding._make([*result, _in_words(result[-1], names)]) for result in results]


def since(failures: Sequence[Finding], before: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Split failures into findings that are new and findings known from another release.

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
    new, known = [], []
    for finding in failures:
        heading, rows = finding.heading, finding.rows
        new_rows = [row for row in rows if row not in rows_before.get(heading, ())]
        if heading not in rows_before:
            new.append(str(finding))
        elif new_rows:
            same = len(rows) - len(new_rows)
            end = f"{same} more rows are known." if same else ""
            new.append(listed(heading, new_rows, RESULTS, end))
        else:
            known.append(f"{heading} ({len(rows)} rows)" if rows else heading)
    return new, known


def warnings(
    warehouse: DuckDBPyConnection,
    release: DuckDBPyConnection | None,
    published: Manifest | None,
) -> Iterator[dict[str, Any]]:
    """Yield gate warnings and undeclared files, new ones first.

    Parameters
    ----------
    warehouse : DuckDBPyConnection
        The built warehouse.
    release : DuckDBPyConnection or None
        The published release; a warning that it has on the same rows is known. None if it belongs
        to another extract set.
    published : Manifest or None
        Manifest of the published release, whichever set it belongs to.
    """
    names = city_names.read_city_names(warehouse)
    before = failed(release, "warning", names) if release else []
    new, known = since(failed(warehouse, "warning", names), before)
    files = warehouse.execute(SQL["unread_files"]).fetchall()
    unread = _unread_before(release, published) if release and published else set()
    undeclared = [words for path, words in files if path not in unread]
    if undeclared:
        heading = f"{len(undeclared)} delivered files match no declaration:"
        way_out = "Declare, rename or remove them."
        new.append(listed(heading, undeclared, "marts.fct_deliveries", way_out))
    for message in new:
        yield {"state": "new", "message": message}
    if len(files) > len(undeclared):
        known.append(f"delivered files that match no declaration ({len(files) - len(undeclared)})")
    if published is not None and known:
        heading = f"{len(known)} known warnings, as in release {published.release_id}, with their"
        message = listed(f"{heading} rows in {RESULTS}:", known, RESULTS)
        yield {"state": "known", "count": len(known), "message": message}


def _unread_before(release: DuckDBPyConnection, published: Manifest) -> set[str]:
    """Return the delivered files without any row in the published release."""
    read = release.execute("select file_path from marts.fct_row_accounting").fetchall()
    return published.delivery_hashes.keys() - {path for (path,) in read}


def lost_records(warehouse: DuckDBPyConnection, failures: Sequence[Finding]) -> list[str]:
    """Return the records that failing sources lost, with place and reason, rarest reason first."""
    sources = set()
    for finding in failures:
        if finding.suite == LANDED:
            rows = json.loads(finding.failing_rows or "[]")
            sources |= {f"{row['provider']}.{row['source_name']}" for row in rows}
    if not sources:
        return []
    records = warehouse.execute(
        SQL["lost_records"],
        {"sources": sorted(sources), "listed": LISTED_RECORDS + 1},
    ).fetchall()
    lines = []
    for path, sheet, row, column, value, reason in records[:LISTED_RECORDS]:
        place = f"{path}{f', sheet {sheet}' if sheet else ''}, row {row}"
        if column:
            place += f", column {column}"
        shown = f"{value[:VALUE]}…" if value and len(value) > VALUE else value
        lines.append(f"{place}: {json.dumps(shown, ensure_ascii=False)} is set aside ({reason}).")
    if len(records) > LISTED_RECORDS:
        tables = "raw.rejected_rows, marts.fct_rows_set_aside and marts.fct_register_rows_set_aside"
        lines.append(f"More are in {tables}.")
    return lines


def _in_words(failing_rows: str | None, names: Mapping[str, str]) -> tuple[str, ...]:
    """Describe failing rows, sorted by place."""

    def place(row: Mapping[str, Any]) -> list[str]:
        return [*(str(row.get(name, "")) for name in PLACE), json.dumps(row, sort_keys=True)]

    rows = sorted(json.loads(failing_rows or "[]"), key=place)
    return tuple(_row_in_words(row, names) for row in rows)


def _row_in_words(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Describe a failing row, such as Changsha (430100) 2016: gdp_growth_factor 11.0967."""
    place = {name: str(row[name]) for name in PLACE if row.get(name) is not None}
    if city := names.get(place.get("city_id", "")):
        place["city_id"] = f"{city} ({place['city_id']})"
    values = [
        f"{name} {_number(value)}"
        for name, value in row.items()
        if name not in PLACE and (value is not None or name not in REMARKS)
    ]
    return f"{' '.join(place.values())}: {', '.join(values)}"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return "missing" if value is None else str(value)
