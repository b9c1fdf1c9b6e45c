"""Run dbt during a refresh, and explain a failed run to the user."""

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
from ai_manufacturing.releases.store import RESULTS_FILE, WAREHOUSE, Store
from ai_manufacturing.system import dbt_process, settings
from ai_manufacturing.system.dbt_process import PRINTED_LINES

OUTPUT_FILE = "dbt.txt"  # file with dbt's console output

PARSE_FILE = "partial_parse.msgpack"  # dbt's parsed project, which speeds up the next parse
CURVE_PERMUTATIONS = "500"  # default for releases; other builds run no permutations

# Free disk space, in bytes, below which the disk counts as full. A DuckDB block is at least a
# quarter of this size.
MIN_FREE_BYTES = 2**20
# Matches the text that dbt prints before the exception of a failed Python model.
PYTHON_MODEL_ERROR = re.compile(
    r".*Python model failed:.*^\s*(?=[\w.]+(?:Error|Exception): )", re.MULTILINE | re.DOTALL
)
GATE_TESTS = tuple(f"no_critical_failure_{table}" for table in result_tables.RESULT_TABLES)


def run_dbt(
    store: Store,
    work: Path,
    *arguments: str,
    accepted_reason: str = "",
    on_progress: OnProgress | None = None,
) -> bool:
    """Run dbt with its warehouse and logs in a work folder, and return whether dbt failed.

    Parameters
    ----------
    store : Store
        Release folder, which caches dbt's parsed project for the next run.
    work : Path
        Folder of the warehouse and of dbt's other output.
    *arguments : str
        Command-line arguments of dbt.
    accepted_reason : str
        Reason for accepting failures of the gate; empty to stop at them.
    on_progress : callable, optional
        Receives the progress of the run.
    """
    environment = {
        "WAREHOUSE_PATH": str(work / WAREHOUSE),
        "DBT_TARGET_PATH": str(work / "target"),
        "DBT_LOG_PATH": str(work / "logs"),
        "ACCEPTED_GATE_FAILURES": accepted_reason,
        "CURVE_PERMUTATIONS": os.environ.get("CURVE_PERMUTATIONS", CURVE_PERMUTATIONS),
    }
    if on_progress is not None:
        environment |= progress.LOG_FORMAT
    cache_path, parse_path = store.folder / PARSE_FILE, work / "target" / PARSE_FILE
    if cache_path.exists():
        parse_path.parent.mkdir()
        shutil.copyfile(cache_path, parse_path)
    with (work / OUTPUT_FILE).open("w", encoding="utf-8") as file:
        process = dbt_process.start_dbt(arguments, environment, file)
        if on_progress is None:
            exit_code = process.wait()
        else:
            exit_code = progress.follow_process(
                process, progress.Log(work / "logs" / "dbt.log"), on_progress
            )
    if parse_path.exists():
        parse_path.replace(cache_path)
    return exit_code != 0


def require_same_inputs(hashes: dict[str, str], code: str) -> None:
    """Raise BuildFailedError if the deliveries or the code changed while dbt was running.

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
    current_hashes = fingerprint.hash_deliveries(settings.extracts_dir())
    changed_paths = sorted(
        path
        for path in hashes.keys() | current_hashes.keys()
        if hashes.get(path) != current_hashes.get(path)
    )
    if changed_paths or fingerprint.compute_fingerprint(current_hashes) != code:
        changed = ", ".join(changed_paths) or "The code"
        raise BuildFailedError(
            f"{changed} changed while dbt was running. The published release is unchanged. Refresh"
            " again when the delivery or the edit of the code is complete."
        )


def has_failed_gate(work: Path) -> bool:
    """Return whether a dbt run failed because a data-quality gate test failed."""
    return any(
        test in result["unique_id"] and result["status"] == "fail"
        for result in _read_results(work)
        for test in GATE_TESTS
    )


def explain_failure(work: Path) -> str:
    """Explain a failed dbt run from its run_results.json, or from the end of its output."""
    hint = f"dbt's output is in {work / OUTPUT_FILE} until the next refresh."
    failures = [node for node in _read_results(work) if node["status"] in ("error", "fail")]
    if not failures:
        text = (work / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace")
        # dbt cannot report a full disk, because writing the report needs disk space
        is_full = shutil.disk_usage(work).free < MIN_FREE_BYTES
        disk_note = ["The disk is full."] if is_full else []
        return "\n".join(
            [
                "dbt failed; the published release is unchanged.",
                *disk_note,
                *text.splitlines()[-PRINTED_LINES:],
                hint,
            ]
        )
    reasons = [PYTHON_MODEL_ERROR.sub("", node["message"] or node["status"]) for node in failures]
    landing_prefix = f"{landing.LandingError.__module__}.{landing.LandingError.__name__}: "
    if all(reason.startswith(landing_prefix) for reason in reasons):
        faults = [
            line.strip()
            for reason in reasons
            for line in reason.removeprefix(landing_prefix).splitlines()
        ]
        return "\n".join(
            ["Files could not be landed; the published release is unchanged.", *faults]
        )
    descriptions = [
        f"{node['unique_id']}: {reason}" for node, reason in zip(failures, reasons, strict=True)
    ]
    lines = "\n".join(descriptions).splitlines()
    more = (
        [f"{len(lines) - PRINTED_LINES} more lines were omitted."]
        if len(lines) > PRINTED_LINES
        else []
    )
    return "\n".join(
        ["dbt failed; the published release is unchanged.", *lines[:PRINTED_LINES], *more, hint]
    )


def _read_results(work: Path) -> list[dict[str, Any]]:
    path = work / "target" / RESULTS_FILE
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["results"])
    # dbt stopped before it wrote the complete file; its console output gives the reason
    except (FileNotFoundError, json.JSONDecodeError):
        return []
