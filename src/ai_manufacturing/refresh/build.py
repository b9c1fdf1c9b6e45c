"""Run dbt for a refresh, and explain its failures."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ai_manufacturing import landing
from ai_manufacturing.gate import result_tables
from ai_manufacturing.refresh import progress
from ai_manufacturing.refresh.progress import OnProgress
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.errors import BuildFailedError
from ai_manufacturing.releases.store import WAREHOUSE, Store
from ai_manufacturing.system import dbt_process, settings
from ai_manufacturing.system.dbt_process import PRINTED_LINES

OUTPUT = "dbt.txt"  # text that dbt prints
# Files of dbt: the result of each step, and the parsed project, which speeds up the next parse.
RESULTS, PARSED = "run_results.json", "partial_parse.msgpack"
CURVE_PERMUTATIONS = "500"  # default for releases; other builds run no permutations
# Free bytes below which a disk is full; a DuckDB block is at least a quarter of this.
FULL = 2**20
# Matches dbt's text before the exception that a Python model raised.
RAISED = re.compile(
    r".*Python model failed:.*^\s*(?=[\w.]+(?:Error|Exception): )", re.MULTILINE | re.DOTALL
)
GATE_TESTS = tuple(f"no_critical_failure_{table}" for table in result_tables.RESULT_TABLES)


def dbt(
    store: Store,
    work: Path,
    *arguments: str,
    accepted: str = "",
    on_progress: OnProgress | None = None,
) -> bool:
    """Run dbt on the warehouse in a work folder, and return whether it failed.

    Parameters
    ----------
    store : Store
        Release folder, which caches dbt's parsed project for the next run.
    work : Path
        Folder of the warehouse and of dbt's other output.
    *arguments : str
        Command-line arguments of dbt.
    accepted : str
        Reason for accepting failures of the gate; empty to stop at them.
    on_progress : callable, optional
        Receives the progress of the run.
    """
    environment = {
        "WAREHOUSE_PATH": str(work / WAREHOUSE),
        "DBT_TARGET_PATH": str(work / "target"),
        "DBT_LOG_PATH": str(work / "logs"),
        "ACCEPTED_GATE_FAILURES": accepted,
        "CURVE_PERMUTATIONS": os.environ.get("CURVE_PERMUTATIONS", CURVE_PERMUTATIONS),
    }
    if on_progress is not None:
        environment |= progress.LOG_FORMAT
    kept, parsed = store.folder / PARSED, work / "target" / PARSED
    if kept.exists():
        parsed.parent.mkdir()
        shutil.copyfile(kept, parsed)
    with (work / OUTPUT).open("w", encoding="utf-8") as output:
        process = dbt_process.start_dbt(arguments, environment, output)
        if on_progress is None:
            exit_code = process.wait()
        else:
            exit_code = progress.followed(
                process, progress.Log(work / "logs" / "dbt.log"), on_progress
            )
    if parsed.exists():
        parsed.replace(kept)
    return exit_code != 0


def require_unchanged(hashes: dict[str, str], code: str) -> None:
    """Raise if deliveries or code changed during the build.

    Parameters
    ----------
    hashes : dict of str to str
        SHA-256 of each delivered file by path, before the build.
    code : str
        Fingerprint of deliveries, code and packages before the build.

    Raises
    ------
    BuildFailedError
        If anything changed; the message names the files.
    """
    now = fingerprint.hash_deliveries(settings.extracts_dir())
    changed = sorted(
        path for path in hashes.keys() | now.keys() if hashes.get(path) != now.get(path)
    )
    if changed or fingerprint.compute_fingerprint(now) != code:
        raise BuildFailedError(
            f"{', '.join(changed) or 'The code'} changed while dbt built; the published release is"
            " unchanged. Refresh again when the delivery or the edit is complete."
        )


def failed_at_the_gate(work: Path) -> bool:
    """Return whether a run failed because of the gate."""
    return any(
        test in result["unique_id"] and result["status"] == "fail"
        for result in _results(work)
        for test in GATE_TESTS
    )


def why_failed(work: Path) -> str:
    """Explain a failure from dbt's results, or from its last printed lines."""
    output = f"dbt's output is in {work / OUTPUT} until the next refresh."
    failed = [node for node in _results(work) if node["status"] in ("error", "fail")]
    if not failed:
        printed = (work / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
        # on a full disk dbt cannot write its reason either
        full = ["No space left on its disk."] if shutil.disk_usage(work).free < FULL else []
        return "\n".join(
            [
                "dbt failed; the published release is unchanged.",
                *full,
                *printed[-PRINTED_LINES:],
                output,
            ]
        )
    reasons = [RAISED.sub("", node["message"] or node["status"]) for node in failed]
    not_landed = f"{landing.LandingError.__module__}.{landing.LandingError.__name__}: "
    if all(reason.startswith(not_landed) for reason in reasons):
        faults = [
            line.strip()
            for reason in reasons
            for line in reason.removeprefix(not_landed).splitlines()
        ]
        return "\n".join(
            ["Files could not be landed; the published release is unchanged.", *faults]
        )
    nodes = [f"{node['unique_id']}: {reason}" for node, reason in zip(failed, reasons, strict=True)]
    lines = "\n".join(nodes).splitlines()
    more = [f"{len(lines) - PRINTED_LINES} more lines."] if len(lines) > PRINTED_LINES else []
    return "\n".join(
        ["dbt failed; the published release is unchanged.", *lines[:PRINTED_LINES], *more, output]
    )


def _results(work: Path) -> list[dict[str, Any]]:
    path = work / "target" / RESULTS
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["results"])
    # dbt ended before it wrote the whole file; its output explains why
    except (FileNotFoundError, json.JSONDecodeError):
        return []
