"""Report the progress of a dbt build from the log that dbt writes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

LOG_FORMAT = {"DBT_LOG_FORMAT_FILE": "json", "DBT_LOG_LEVEL_FILE": "info"}
SECONDS = 0.2  # interval between two reads of the log

OnProgress = Callable[[str | None], None]  # receives None when the run has ended


@dataclass
class Log:
    """The log of a running dbt process.

    Attributes
    ----------
    path : Path
        dbt.log, with one JSON object per line.
    """

    path: Path
    _read: int = 0
    _done: set[str] = field(default_factory=set)
    _ended: int = 0
    _total: int = 0

    def progress(self) -> str:
        """Read the new lines of the log, and describe how many steps are done."""
        if self.path.exists():
            with self.path.open("rb") as log:
                log.seek(self._read)
                lines = log.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._read += sum(map(len, whole))
            for line in whole:
                self._take(json.loads(line))
        return f"{len(self._done)} of {self._total} steps" if self._total else "reading the project"

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["info"]["name"]
        if kind == "MainReportVersion":  # a partial run begins; the steps so far are complete
            self._ended = len(self._done)
        elif kind == "LogStartLine":
            self._total = self._ended + event["data"]["total"]
        elif kind == "SkippingDetails" or (kind.startswith("Log") and kind.endswith("Result")):
            self._done.add(event["data"].get("node_info", {}).get("unique_id", ""))


def followed(process: Popen[str], log: Log, on_progress: OnProgress) -> int:
    """Report the progress of a dbt process until it ends, and return its exit code.

    Parameters
    ----------
    process : Popen
        Process started with LOG_FORMAT in its environment.
    log : Log
        Log of the process.
    on_progress : callable
        Receives a text several times a second, and None at the end.
    """
    try:
        while True:
            try:
                return process.wait(SECONDS)
            except TimeoutExpired:
                on_progress(log.progress())
    finally:
        on_progress(None)
