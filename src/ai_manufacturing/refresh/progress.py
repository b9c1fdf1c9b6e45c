"""How far dbt has come in a build, by layer: read from the log and the manifest that it writes while it runs."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

LOG_FORMAT = {"DBT_LOG_FORMAT_FILE": "json", "DBT_LOG_LEVEL_FILE": "info"}
SECONDS = 0.2  # between two looks at the log


@dataclass(frozen=True)
class Progress:
    """Where a build stands.

    Attributes
    ----------
    layers : dict of str to (int, int)
        Models done and models in all by folder of `models` and `python_models`, in the order in which they began.
    done, total : int
        Steps of any kind, also seeds and tests; the total is 0 while dbt reads the project.
    """

    layers: dict[str, tuple[int, int]]
    done: int
    total: int

    def __str__(self) -> str:
        if not self.total:
            return "reading the project"
        at_work = {layer: count for layer, count in self.layers.items() if count[0] < count[1]}
        layers = ", ".join(f"{layer} {done}/{total}" for layer, (done, total) in at_work.items())
        return f"{self.done} of {self.total} steps, {layers or 'seeds and tests'}"


OnProgress = Callable[[Progress | None], None]  # None: it has ended


@dataclass
class Log:
    """The log of a dbt run that is still written to.

    Attributes
    ----------
    path : Path
        dbt.log, a JSON object a line.
    manifest : Path
        manifest.json of the same run, which dbt writes before its first step.
    """

    path: Path
    manifest: Path
    _read: int = 0
    _models: dict[str, str] = field(default_factory=dict)
    _begun: dict[str, None] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _skipped: set[str] = field(default_factory=set)
    _total: int = 0
    _ended: int = 0

    def progress(self) -> Progress:
        """Read what was added since the last call."""
        if self.path.exists():
            with self.path.open("rb") as log:
                log.seek(self._read)
                lines = log.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            self._read += sum(map(len, whole))
            for line in whole:
                self._take(json.loads(line))
        totals = Counter(self._models.values())
        made = Counter(self._models[name] for name in self._made if name in self._models)
        layers = {layer: (made[layer], totals[layer]) for layer in self._begun}
        return Progress(layers, len(self._made | self._skipped), self._total)

    def _take(self, event: dict[str, Any]) -> None:
        kind, name = event["info"]["name"], event["data"].get("node_info", {}).get("unique_id", "")
        if kind == "MainReportVersion":  # a run of a part begins; those before it have ended
            self._ended = len(self._made | self._skipped)
        elif kind == "LogStartLine":
            self._total = self._ended + event["data"]["total"]
            if not self._models:
                nodes = json.loads(self.manifest.read_text(encoding="utf-8"))["nodes"]
                self._models = {
                    key: node["fqn"][1]
                    for key, node in nodes.items()
                    if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
                }
            if name in self._models:
                self._begun.setdefault(self._models[name])
        elif kind == "SkippingDetails":
            self._skipped.add(name)
        elif kind.startswith("Log") and kind.endswith("Result"):
            self._made.add(name)


def followed(process: Popen[str], log: Log, on_progress: OnProgress) -> int:
    """Tell how far a dbt run has come until it ends, and return its exit code.

    Parameters
    ----------
    process : Popen
        Started with LOG_FORMAT in its environment.
    log : Log
        What it writes.
    on_progress : callable
        Takes a Progress several times a second, and None at the end.
    """
    try:
        while True:
            try:
                return process.wait(SECONDS)
            except TimeoutExpired:
                on_progress(log.progress())
    finally:
        on_progress(None)
