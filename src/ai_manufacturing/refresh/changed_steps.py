"""`dbt build` in a copy of the last build's warehouse, of those steps alone whose inputs have changed.

    FROM_LAST_BUILD=<folder> python -m ai_manufacturing.refresh.changed_steps build …

The code is that of the last build, which last_build.start_from has made sure of. dbt builds in stages; after each, the
tables that it made are compared with what they were, and where one came out the same, what rests on it stands. The
project is parsed once, and each stage runs in a fork of this process, because dbtRunner keeps the lock of the file.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner

from ai_manufacturing import settings
from ai_manufacturing.gate import result_tables
from ai_manufacturing.refresh import whole_build
from ai_manufacturing.releases import last_build
from ai_manufacturing.system import duckdb_client, workers

STAGES = (
    ("seeds", "landing"),
    ("staging", "intermediate"),
    ("specifications", "marts", "gate", "gates"),
    ("estimates", "reports"),
)
"""Folders of models whose steps one run of dbt builds."""
STANDS = "as in the last build"  # dbt's message on a step that was not run
GATE = "gates.gate_results"
GATE_OF_ESTIMATES = f"{GATE}, as estimates read it"


class Steps:
    """The steps of the project, and which of them must run.

    Parameters
    ----------
    manifest : dict
        dbt's manifest.json.
    results : list of dict
        What became of each step in the last build, as run_results.json has it.
    changed_seeds : set of str
        Names of the seeds whose files differ from the last build's.
    """

    def __init__(self, manifest: dict[str, Any], results: Iterable[dict[str, Any]], changed_seeds: set[str]) -> None:
        self.nodes = {
            name: node for name, node in manifest["nodes"].items() if node["resource_type"] in ("model", "seed", "test")
        }
        parents = {name: set(manifest["parent_map"][name]) & self.nodes.keys() for name in self.nodes}
        self.parents = {name: parents[name] for name in TopologicalSorter(parents).static_order()}
        self.results = {result["unique_id"]: {**result, "message": STANDS} for result in results}
        self._passed = {name for name, result in self.results.items() if result["status"] == "pass"}
        self._changed = {
            name
            for name, node in self.nodes.items()
            if (node["resource_type"] == "seed" and node["name"] in changed_seeds) or _reads_files(node)
        }
        self._stages: dict[str, int] = {}
        for name, above in self.parents.items():  # that of its folder, or the last one of what it reads
            folder = "seeds" if self.nodes[name]["resource_type"] == "seed" else self.nodes[name]["fqn"][1]
            own = [number for number, folders in enumerate(STAGES) if folder in folders]
            is_test = self.nodes[name]["resource_type"] == "test"
            self._stages[name] = max(
                [*(() if is_test else own), *(self._stages[parent] for parent in above)], default=0
            )

    def of_stage(self, stage: int) -> list[str]:
        """Return the steps of a stage that must run, after those of the stages before were."""
        stale: list[str] = []
        for name in self.parents:
            if self._stages[name] == stage and self._is_stale(name):
                stale.append(name)
                self._changed.add(name)  # within a stage, what is built anew counts as changed
        return stale

    def compare(self, built: Iterable[str], before: dict[str, str], now: dict[str, str]) -> None:
        """Let what rests on tables stand that came out as they were."""
        for name in built:
            node = self.nodes[name]
            relation = f"{node['schema']}.{node['alias']}"
            if relation in before and before[relation] == now.get(relation):
                self._changed.discard(name)
        if before.get(GATE_OF_ESTIMATES) != now.get(GATE_OF_ESTIMATES):
            self._changed.add(GATE_OF_ESTIMATES)

    def _is_stale(self, name: str) -> bool:
        node, parents = self.nodes[name], self.parents[name]
        if node["resource_type"] == "test":
            return name not in self._passed or bool(parents & self._changed)
        if node["resource_type"] == "model" and node["fqn"][1] == "estimates":
            gates = {parent for parent in parents if parent.endswith(".gate_results")}
            parents = parents - gates | ({GATE_OF_ESTIMATES} if gates else set())
        return name in self._changed or bool(parents & self._changed)


def _reads_files(node: dict[str, Any]) -> bool:
    """Whether a model lands files, which dbt does not know."""
    return bool(node["resource_type"] == "model" and node["language"] == "python" and node["fqn"][1] == "landing")


def build(last: Path, arguments: Sequence[str]) -> int:
    """Build what has changed since the build in a folder, and return dbt's exit code.

    run_results.json then has all steps, those that stand with the message STANDS.

    Parameters
    ----------
    last : Path
        What last_build has kept.
    arguments : sequence of str
        Of dbt's command line, which builds everything.
    """
    runner = dbtRunner()
    parsed = runner.invoke(["--quiet", "parse"])
    if not parsed.success:
        return 2
    target = settings.target_dir()
    written = target / last_build.RESULTS
    described = json.loads((last / last_build.DESCRIBED).read_text(encoding="utf-8"))
    seeds = last_build.seeds()
    steps = Steps(
        json.loads((target / "manifest.json").read_text(encoding="utf-8")),
        json.loads((last / last_build.RESULTS).read_text(encoding="utf-8"))["results"],
        {name for name, sha256 in seeds.items() if described["seeds"].get(name) != sha256},
    )
    if pool := workers.pool():  # before the forks, which share it
        pool.start()
    before = _content()
    code = 0
    for stage in range(len(STAGES)):
        stale = steps.of_stage(stage)
        if not stale:
            continue
        names = [steps.nodes[name]["name"] for name in stale]
        written.unlink(missing_ok=True)  # a run that ends before its first step writes none
        code = _in_a_fork(parsed.result, [*arguments, "--indirect-selection", "empty", "--select", *names])
        ran = json.loads(written.read_text(encoding="utf-8"))["results"] if written.exists() else []
        steps.results |= {result["unique_id"]: result for result in ran}
        steps.compare(stale, before, _content())
        if code:
            break
    written.write_text(json.dumps({"results": [*steps.results.values()]}), encoding="utf-8")
    return code


def _in_a_fork(manifest: Any, arguments: list[str]) -> int:
    """Run dbt on a parsed project, and return its exit code."""
    sys.stdout.flush()
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    result = dbtRunner(manifest=manifest).invoke(arguments)
    sys.stdout.flush()
    os._exit(0 if result.success else 2 if result.exception else 1)


def _content() -> dict[str, str]:
    """Return the fingerprint of each table of the warehouse; closing it, DuckDB writes what a fork left in the log."""
    with duckdb_client.connect(str(settings.warehouse_path())) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
        ).fetchall()
        names = [name for (name,) in tables]
        found = dict(connection.execute(whole_build.content_query(names)).fetchall())
        if GATE in names:
            rows = f"{GATE} as r where {result_tables.READ_BY_ESTIMATES}"
            query = f"select concat_ws(' ', count(*), sum(hash(r))) from {rows}"
            ((found[GATE_OF_ESTIMATES],),) = connection.execute(query).fetchall()
        return found


if __name__ == "__main__":
    sys.exit(build(Path(os.environ["FROM_LAST_BUILD"]), sys.argv[1:]))
