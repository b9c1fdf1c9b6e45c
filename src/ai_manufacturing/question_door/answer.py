"""Answer one query in a separate process with limited processor time and memory.

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

ROWS, COLUMNS, CHARACTERS = 200, 200, 20_000  # maximum size of a result
SHOWN = 12  # maximum number of source columns listed per column of the result
ADDRESSES = 3 * 2**30  # bytes of address space; DuckDB's own limit is MEMORY
MEMORY = "1GB"
PROCESSOR_LIMIT = 10  # seconds per query, without the start of its process


def main() -> None:
    """Read a question from stdin and write its answer to stdout, both as JSON.

    If DuckDB raises an error, the answer contains its message.
    """
    question = json.load(sys.stdin)
    os.environ["HOME"] = "/"  # DuckDB shows this path in its settings and errors
    with duckdb_client.reading(Path(question["path"])) as release:
        seconds = math.ceil(time.process_time()) + question["seconds"]
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        # At the soft limit, SIGXCPU ends the process, so the server knows that time ran out.
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        try:
            answer = of_query(release, question["sql"])
        except (duckdb.Error, MemoryError) as error:
            answer = {"error": str(error)[:500] or "Out of memory. Ask for less."}
    text = json.dumps(answer, default=str, ensure_ascii=False)
    # Remove the folder, because DuckDB's messages contain the full path of the file.
    folder = json.dumps(f"{Path(question['path']).parent}/", ensure_ascii=False)[1:-1]
    sys.stdout.buffer.write(text.replace(folder, "").encode())


def of_query(release: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """Return the rows of one SELECT, with the caveats that apply to each column."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        character = f"U+{ord(sql[error.start]):04X}"
        return {
            "error": f"Character {error.start + 1} is {character}, half of a surrogate pair, which"
            " is no text. Leave it out."
        }
    statements = release.extract_statements(sql)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        return {"error": "Ask one SELECT: this door reads, one statement at a time."}
    withheld = withholding.read_withheld_rows(release)
    try:
        cursor = release.execute(statements[0])
    except duckdb.BinderException as error:
        if missing := withholding.find_omitted_columns(withheld, error):
            return {"error": withholding.describe_withheld_rows(missing)}
        raise
    names = [column[0] for column in cursor.description or []]
    if len(names) > COLUMNS:
        return {"error": f"{len(names)} columns: name at most {COLUMNS}."}
    fetched = cursor.fetchmany(ROWS + 1)
    texts = (json.dumps(row, default=str, ensure_ascii=False) for row in fetched[:ROWS])
    rows = fetched[: sum(length <= CHARACTERS for length in accumulate(map(len, texts)))]
    answer = {"columns": names, "rows": rows, "is_cut": len(rows) < len(fetched)}
    described = duckdb_client.rows(release, caveats.SQL["described"], estimate=caveats.ESTIMATE)
    known = {row["column"]: row["caveats"] for row in described}
    touched = withheld
    try:
        with lineage.planner(release) as planner:
            reads = lineage.reads(planner, sql)
    except lineage.CannotTellError as error:
        resting = [set(known)] * len(names)
        answer["cannot_tell"] = (
            f"cannot tell which columns this rests on: {error}. The caveats are those of all."
        )
    else:
        touched, resting = withholding.find_withheld_inputs(withheld, reads), reads.columns
        if withholding.is_misleading(touched, reads, fetched):
            return {"error": withholding.describe_withheld_rows(touched)}
        answer["rests_on"] = [sorted(columns)[:SHOWN] for columns in resting]
        if empty := reads.tables & withholding.find_empty_tables(release):
            answer["tables_without_rows"] = sorted(empty)
    if touched:
        answer["withheld"] = withholding.describe_withheld_rows(touched)
    said: dict[str, list[str]] = {}
    for name, columns in zip(names, resting, strict=True):
        for text in sorted({text for column in columns for text in known[column]}):
            said.setdefault(text, []).append(name)
    answer["caveats"] = said
    if caveats.ESTIMATE in said:
        key = "specification_id"
        asked = {str(row[names.index(key)]) for row in rows} if key in names else None
        answer["verdicts"] = verdicts(release, asked)
    return answer


def verdicts(release: duckdb.DuckDBPyConnection, asked: set[str] | None = None) -> dict[str, str]:
    """Return the verdicts on these specifications, or on all printed columns by default."""
    rows = release.execute(SQL["verdicts"]).fetchall()
    if asked is None:
        return {name: text for name, is_printed, text in rows if is_printed}
    known = {name: text for name, _, text in rows}
    return {name: known.get(name, "no verdict: of no printed column") for name in sorted(asked)}


if __name__ == "__main__":
    main()
