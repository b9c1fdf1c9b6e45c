"""Report the progress of a dbt build by reading the log file that dbt writes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

LOG_FORMAT = {"DBT_LOG_FORMAT_FILE": "json", "DBT_LOG_LEVEL_FILE": "info"}
INTERVAL_SECONDS = 0.2  # interval between two reads of the log file

OnProgress = Callable[[str | None], None]  # called with None when the run has ended


@dataclass
class Log:
    """Reader of the log file of a running dbt process.

    Attributes
    ----------
    path : Path
        dbt.log, with one JSON object per line.
    """

    path: Path
    _position: int = 0
    _finished_steps: set[str] = field(default_factory=set)
    _earlier_step_count: int = 0
    _step_count: int = 0

    def read_progress(self) -> str:
        """Read new lines of the log, and return the number of completed steps as text."""
        if self.path.exists():
            with self.path.open("rb") as log:
                log.seek(self._position)
                lines = log.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._position += sum(map(len, whole))
            for line in whole:
                self._count_event(json.loads(line))
        return (
            f"{len(self._finished_steps)} of {self._step_count} steps"
            if self._step_count
            else "reading the project"
        )

    def _count_event(self, event: dict[str, Any]) -> None:
        kind = event["info"]["name"]
        if kind == "MainReportVersion":  # another dbt run begins; its steps are added
            self._earlier_step_count = len(self._finished_steps)
        elif kind == "LogStartLine":
            self._step_count = self._earlier_step_count + event["data"]["total"]
        elif kind == "SkippingDetails" or (kind.startswith("Log") and kind.endswith("Result")):
            self._finished_steps.add(event["data"].get("node_info", {}).get("unique_id", ""))


def follow_process(process: Popen[str], log: Log, on_progress: OnProgress) -> int:
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
                return process.wait(INTERVAL_SECONDS)
            except TimeoutExpired:
                on_progress(log.read_progress())
    finally:
        on_progress(None)
