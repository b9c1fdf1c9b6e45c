"""Run one SQL query in a separate process with limited CPU time and memory.

The operating system enforces the limits, because DuckDB cannot interrupt a function that runs for a
long time on one row. The process cannot write files.
"""

import json
import math
import os
import resource
import sys
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.disclosure import withholding
from ai_manufacturing.question_door import caveats
from ai_manufacturing.system import duckdb_client, lineage
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

ROW_LIMIT, COLUMN_LIMIT, CHARACTER_LIMIT = 200, 200, 20_000  # limits on the size of a query result
SOURCE_COLUMNS_LIMIT = 12  # maximum number of source columns listed per result column
ADDRESS_SPACE = 3 * 2**30  # bytes of address space per process; MEMORY is DuckDB's own limit
MEMORY = "1GB"
PROCESSOR_LIMIT = 10  # seconds of CPU time per query, excluding process startup


def main() -> None:
    """Read a query from stdin and write the answer to stdout, both as JSON.

    If DuckDB raises an error, the answer contains its message.
    """
    question = json.load(sys.stdin)
    os.environ["HOME"] = "/"  # hide the real path, which DuckDB prints in settings and errors
    with duckdb_client.open_read_only(Path(question["path"])) as release:
        seconds = math.ceil(time.process_time()) + question["seconds"]
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        # At the soft limit, SIGXCPU ends the process, so the server can report a timeout.
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        try:
            answer = run_query(release, question["sql"])
        except (duckdb.Error, MemoryError) as error:
            answer = {
                "error": str(error)[:500] or "The query ran out of memory. Ask for less data."
            }
    text = json.dumps(answer, default=str, ensure_ascii=False)
    # Remove the folder name, because DuckDB's error messages contain the full file path.
    folder = json.dumps(f"{Path(question['path']).parent}/", ensure_ascii=False)[1:-1]
    sys.stdout.buffer.write(text.replace(folder, "").encode())


def run_query(release: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """Run one SELECT statement, and return the rows with the caveats of each column."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        character = f"U+{ord(sql[error.start]):04X}"
        return {
            "error": (
                f"Character {error.start + 1} is {character}, half of a surrogate pair, which"
                " is not valid text. Remove it."
            )
        }
    statements = release.extract_statements(sql)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        return {
            "error": "Send a single SELECT statement. The server is read-only, and runs one"
            " statement at a time."
        }
    withheld = withholding.read_withheld_rows(release)
    try:
        cursor = release.execute(statements[0])
    except duckdb.BinderException as error:
        if missing := withholding.find_omitted_columns(withheld, error):
            return {"error": withholding.describe_withheld_rows(missing)}
        raise
    names = [column[0] for column in cursor.description or []]
    if len(names) > COLUMN_LIMIT:
        return {"error": f"The query returns {len(names)} columns. Select at most {COLUMN_LIMIT}."}
    fetched_rows = cursor.fetchmany(ROW_LIMIT + 1)
    texts = (json.dumps(row, default=str, ensure_ascii=False) for row in fetched_rows[:ROW_LIMIT])
    rows = fetched_rows[: sum(length <= CHARACTER_LIMIT for length in accumulate(map(len, texts)))]
    answer = {"columns": names, "rows": rows, "is_cut": len(rows) < len(fetched_rows)}
    columns_of_release = duckdb_client.fetch_rows(
        release, caveats.SQL["described"], estimate=caveats.ESTIMATE
    )
    caveats_by_column = {row["column"]: row["caveats"] for row in columns_of_release}
    withheld_inputs = withheld
    try:
        with lineage.open_planner(release) as planner:
            reads = lineage.find_dependencies(planner, sql)
    except lineage.UnknownDependenciesError as error:
        source_columns = [set(caveats_by_column)] * len(names)
        answer["cannot_tell"] = (
            "cannot tell which columns this result depends on:"
            f" {error}. The caveats of all columns are listed."
        )
    else:
        withheld_inputs, source_columns = (
            withholding.find_withheld_inputs(withheld, reads),
            reads.columns,
        )
        if withholding.is_misleading(withheld_inputs, reads, fetched_rows):
            return {"error": withholding.describe_withheld_rows(withheld_inputs)}
        answer["rests_on"] = [sorted(columns)[:SOURCE_COLUMNS_LIMIT] for columns in source_columns]
        if empty := reads.tables & withholding.find_empty_tables(release):
            answer["tables_without_rows"] = sorted(empty)
    if withheld_inputs:
        answer["withheld"] = withholding.describe_withheld_rows(withheld_inputs)
    columns_by_caveat: dict[str, list[str]] = {}
    for name, columns in zip(names, source_columns, strict=True):
        for text in sorted({text for column in columns for text in caveats_by_column[column]}):
            columns_by_caveat.setdefault(text, []).append(name)
    answer["caveats"] = columns_by_caveat
    if caveats.ESTIMATE in columns_by_caveat:
        key = "specification_id"
        specification_ids = {str(row[names.index(key)]) for row in rows} if key in names else None
        answer["verdicts"] = read_verdicts(release, specification_ids)
    return answer


def read_verdicts(
    release: duckdb.DuckDBPyConnection, specification_ids: set[str] | None = None
) -> dict[str, str]:
    """Return verdicts by specification; by default, for all columns of the paper's tables."""
    rows = release.execute(SQL["verdicts"]).fetchall()
    if specification_ids is None:
        return {name: text for name, is_printed, text in rows if is_printed}
    verdict_by_id = {name: text for name, _, text in rows}
    return {
        name: verdict_by_id.get(name, "no verdict, because this is not a printed column")
        for name in sorted(specification_ids)
    }


if __name__ == "__main__":
    main()
