"""What the gate found, in words: failing rows by city, and what is new since a release."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import city_names
from ai_manufacturing.gate import result_tables
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import beside

SQL = beside(__file__)

# What says where a failing row is, in this order; the other columns say what is wrong there.
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
REMARKS = ("year_of_lost_cities", "hint")  # said of a row only where there is something to say
LISTED_ROWS = 10
LISTED_RECORDS = 5
LINE = 300  # characters of a warning; what it leaves out is in the table that it names
VALUE = 120  # characters of a delivered value
PRINTED = 1200  # characters of a list; all of it is in the warehouse
RESULTS = "gates.gate_results"
LANDED = "landed_sources"  # the suite on what landing set aside


class Finding(NamedTuple):
    """An expectation that failed.

    Attributes
    ----------
    suite, description, severity : str
        As in gates.gate_results.
    observed_value, failing_rows : str or None
        As in gates.gate_results, JSON.
    rows : tuple of str
        The failing rows in words, by place.
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
        """The expectation in words, which are the same in another release."""
        return f"{self.suite}: {self.description}"

    def record(self) -> dict[str, Any]:
        """Return what the report of a held build keeps."""
        record = self._asdict()
        del record["rows"]
        return record


def listed(heading: str, items: Sequence[str], table: str, end: str = "") -> str:
    """Return a heading and as many items as a line holds, whole, and the table that has the others.

    Parameters
    ----------
    heading : str
        What they have in common.
    items : sequence of str
        At least one. If the first is too long for the line, it is cut.
    table : str
        Where all of them are.
    end : str
        A sentence after them.
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
    """Return the failed expectations of a severity in a stable order, causes first.

    Parameters
    ----------
    database : DuckDBPyConnection
        The open file; what was not built of it has no findings.
    severity : str
        critical or warning.
    names : mapping of str to str, optional
        Names of the cities by city_id. Default: those of the file. Findings are compared by their
        words.
    """
    try:
        results = database.execute(
            f"""
            select suite, description, severity, observed_value, failing_rows
            from {result_tables.all_results(database)}
            where not success and severity = ?
            order by suite <> ?, columns(*)
            """,
            [severity, settings.variables()["suite_of_causes"]],
        ).fetchall()
    except duckdb.CatalogException:
        return []
    names = city_names.by_id(database) if names is None else names
    return [Finding._make([*result, _in_words(result[-1], names)]) for result in results]


def since(failures: Sequence[Finding], before: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Return what is new since another release, and what failed on the same rows there.

    Parameters
    ----------
    failures, before : sequence of Finding
        Of the build, and of the release that it is compared with.

    Returns
    -------
    tuple of (list of str, list of str)
        New findings, with their new rows only; and the known ones, with how many rows each has.
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
    """Yield warnings of the gate and files that nobody reads, the new ones first.

    Parameters
    ----------
    warehouse : DuckDBPyConnection
        What was built.
    release : DuckDBPyConnection or None
        The published release; what it has too, on the same rows, is known. None if it is of
        another extract set.
    published : Manifest or None
        Of the published release, of whatever set.
    """
    names = city_names.by_id(warehouse)
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
    """Return the delivered files that the published release has no row of."""
    read = release.execute("select file_path from marts.fct_row_accounting").fetchall()
    return published.delivery_hashes.keys() - {path for (path,) in read}


def lost_records(warehouse: DuckDBPyConnection, failures: Sequence[Finding]) -> list[str]:
    """Return records that the failing sources lost, with place and reason, the rarest first."""
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
    """Return failing rows in the order of their places."""

    def place(row: Mapping[str, Any]) -> list[str]:
        return [*(str(row.get(name, "")) for name in PLACE), json.dumps(row, sort_keys=True)]

    rows = sorted(json.loads(failing_rows or "[]"), key=place)
    return tuple(_row_in_words(row, names) for row in rows)


def _row_in_words(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return for example: Changsha (430100) 2016: gdp_growth_factor 11.0967."""
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
