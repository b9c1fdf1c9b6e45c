"""Tools of the MCP server, which return JSON answers about a release."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

from ai_manufacturing.auditing import trace as tracing
from ai_manufacturing.disclosure import terms, withholding
from ai_manufacturing.question_door import answer, caveats, search
from ai_manufacturing.releases.origin import read_origin
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

# Strings that identify an out-of-memory error in the output of a process.
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Out of Memory")
WAIT = 300  # timeout in seconds of wall-clock time, long enough for a busy machine


def _explain_failure(process: subprocess.CompletedProcess[bytes]) -> str:
    """Return a message that explains why a query process ended without an answer."""
    lines = process.stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else f"the process ended with exit code {process.returncode}"
    if process.returncode == -signal.SIGXCPU:
        return (
            f"The query was stopped after {answer.PROCESSOR_LIMIT} s of processor time. Ask for"
            " less data."
        )
    # A process that runs out of memory is killed, unless Python raises MemoryError first.
    if process.returncode < 0 or any(word in last for word in OUT_OF_MEMORY):
        return "The query was stopped at the memory limit. Ask for less data."
    return f"The query failed because of an error in this program: {last}. Report it as a bug."


class Door:
    """MCP tools that answer questions about a release.

    The tools read a copy at `copy_path`, which lacks restricted values by default; only
    `trace` also reads the release.
    """

    def __init__(self, release: Path, copy_path: Path, *, with_restricted: bool = False) -> None:
        write_copy = shutil.copyfile if with_restricted else terms.write_public_copy
        write_copy(release, copy_path)
        self._release, self._copy_path = release, copy_path.resolve()
        self._query_lock = threading.Lock()
        with duckdb_client.open_read_only(copy_path) as connection:
            origin = read_origin(connection)
            ((number,),) = connection.execute("select release_id from release.manifest").fetchall()
            providers = ", ".join(
                row["provider"] for row in terms.read_restricted_providers(connection)
            )
            self._withheld_rows = withholding.read_withheld_rows(connection)
        self._withheld_providers = "" if with_restricted else providers
        rule = "not to be passed on" if with_restricted else "withheld (release.withheld)"
        self._release_facts = {
            "release": number,
            "extract_set": str(origin),
            "is_synthetic": origin is not None and origin.is_synthetic,
            "restriction": f"values of {providers}: {rule}"
            if providers
            else "none (see marts.fct_deliveries)",
        }

    def _format_answer(self, **facts: Any) -> str:
        """Return an answer as JSON, preceded by general facts about the release."""
        return json.dumps(self._release_facts | facts, ensure_ascii=False, default=str)

    def _fetch_rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Run a query, and return each row as a dict without null values."""
        with duckdb_client.open_read_only(self._copy_path) as connection:
            rows = duckdb_client.fetch_rows(connection, sql, **values)
        return [{name: value for name, value in row.items() if value is not None} for row in rows]

    def _describe_extents(self) -> dict[str, str]:
        """Return a note on each table or column with withheld values, by name."""
        return {
            withholding.format_name(row): f"withheld, {withholding.describe_extent(row)[0]}"
            for row in self._withheld_rows
        }

    def list_tables(self) -> str:
        """List all tables, with the number of rows and the meaning of a row.

        For a table with withheld values, a note replaces the number of rows.
        """
        rows = self._fetch_rows(SQL["tables"])
        extents = self._describe_extents()
        return self._format_answer(
            rows_one_per={
                row["name"]: f"{extents.get(row['name'], row['row_count'])}: {row.get('what', '')}"
                for row in rows
            }
        )

    def describe(self, table: str) -> str:
        """Describe the columns of a table such as marts.dim_city: units, sources and caveats."""
        rows = [row for row in self._withheld_rows if row["table_name"] == table]
        left_out = [{"column": withholding.format_name(row)} for row in rows if row["is_left_out"]]
        every = [*self._fetch_rows(caveats.SQL["described"], estimate=caveats.ESTIMATE), *left_out]
        if columns := [row for row in every if row["column"].startswith(f"{table}.")]:
            extents = self._describe_extents()
            for row in columns:
                if extent := extents.get(row["column"]):
                    row["withheld"] = extent
            withheld = {"withheld": withholding.describe_withheld_rows(rows)} if rows else {}
            return self._format_answer(**withheld, columns=columns)
        return self._format_answer(
            error=f"There is no table {table!r}. list_tables lists all tables."
        )

    def search(self, words: str) -> str:
        """Search verdicts, example questions, tables and columns by English or Chinese keywords.

        Each result is one line. Verdicts come first. A question includes the call that answers it.
        """
        with duckdb_client.open_read_only(self._copy_path) as connection:
            matches = search.find_best_lines(connection, words, self._describe_extents())
        more = (
            f"{matches.more} more results. Add words, describe a table, or query release.questions"
            " and marts.data_dictionary."
        )
        return self._format_answer(found=matches.lines, **({"more": more} if matches.more else {}))

    def query(self, sql: str) -> str:
        """Run one SELECT in DuckDB, limited to 200 rows, 20,000 characters and ten seconds.

        The answer lists the release columns on which each result column depends, with their
        caveats, and the verdicts if it contains estimates.
        """
        question = {"path": str(self._copy_path), "sql": sql, "seconds": answer.PROCESSOR_LIMIT}
        extra_environment = {
            "TMPDIR": str(self._copy_path.parent),
            "WAREHOUSE_MEMORY_LIMIT": answer.MEMORY,
            "WAREHOUSE_THREADS": "1",
        }
        with self._query_lock:
            try:
                process = subprocess.run(
                    [sys.executable, "-m", answer.__name__],
                    input=json.dumps(question).encode(),
                    capture_output=True,
                    check=False,
                    timeout=WAIT,
                    env=os.environ | extra_environment,
                )
            except subprocess.TimeoutExpired:
                return self._format_answer(
                    error=f"No answer within {WAIT} s; the machine is busy. Ask again later."
                )
        if process.returncode:
            return self._format_answer(error=_explain_failure(process))
        # Replace NaN and infinity by null, because they are not valid JSON.
        return self._format_answer(**json.loads(process.stdout, parse_constant=lambda _: None))

    def findings(self, language: Literal["en", "zh"] = "en") -> str:
        """Return findings on the paper's main claim, and a verdict per table column and design.

        Standard errors and confidence intervals are CRV3 by province.
        """
        zh = "_zh" if language == "zh" else ""
        findings = self._fetch_rows(
            f"select finding, state, question_{language}, sentence{zh}, substitutions{zh}"
            " from reports.rpt_findings order by finding_order"
        )
        verdicts = self._fetch_rows(
            f"select v.specification_id, design_{language}, printed_value, estimate,"
            f" s.error_province_{language} as error, std_error, conf_low, conf_high, p_value,"
            f" detectable, verdict_{language}, meaning{zh}, failed{zh}, not_made{zh},"
            f" substitutions{zh} from reports.rpt_verdicts as v"
            " inner join reports.rpt_specifications as s on v.specification_id = s.specification_id"
            " where cause is distinct from 'no_data'"
            " order by v.table_id, v.column_number, design_order"
        )
        claims = self._fetch_rows(
            f"select specification_id, association_{language}, cause, ai_{language}"
            " from reports.rpt_claims order by table_id, column_number"
        )
        return self._format_answer(findings=findings, claims=claims, verdicts=verdicts)

    def trace(self, specification: str, city: str | None = None, year: int | None = None) -> str:
        """Trace an estimate to its sample or, for a city and year, to source files and rows.

        A city is a six-digit code, or a Chinese or English name.
        """
        if (city or year) and self._withheld_providers:
            return self._format_answer(
                error=f"A cell shows values of {self._withheld_providers}, which are withheld here."
                " Trace the specification alone, or start the server with --with-restricted."
            )
        try:
            lines = tracing.trace(self._release, specification, city, year, copy=self._copy_path)
        except tracing.TraceError as error:
            return self._format_answer(error=str(error))
        with duckdb_client.open_read_only(self._copy_path) as connection:
            verdicts = answer.read_verdicts(connection, {specification})
        return self._format_answer(lines=lines, verdicts=verdicts)
