"""`dbt build` in a copy of the last build's warehouse: what would come out the same is not built again.

    FROM_LAST_BUILD=<folder> python -m ai_manufacturing.refresh.dbt_from_last_build build …

The code is that of the last build, which last_build.start_from has made sure of. So a model stands if all that it reads
has the content that it had. What was built is compared with the last build, row by row: where it came out the same,
what rests on it stands too.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from dbt.adapters.factory import get_adapter
from dbt.artifacts.resources.types import NodeType
from dbt.artifacts.schemas.results import RunStatus, TestStatus
from dbt.cli.main import cli
from dbt.task import build

from ai_manufacturing.gate import result_tables
from ai_manufacturing.releases import last_build
from ai_manufacturing.system.sql_text import identifier, literal

GATE = "model.ai_manufacturing.gate_results"
MADE = (NodeType.Model, NodeType.Seed)
SAME_COLUMNS = """
select count(distinct columns) = 1 from (
    select list(column_name || ' ' || data_type order by column_index) as columns from duckdb_columns()
    where database_name in ({database}, 'last_build') and schema_name = {schema} and table_name = {name}
    group by database_name
)
"""
SAME_ROWS = """
select
    (select count(*) from {new} where {of_interest}) = (select count(*) from {old} where {of_interest})
    and not exists (from (from {new} where {of_interest}) except all from (from {old} where {of_interest}))
"""


class FromLastBuild(build.BuildTask):
    """A build that leaves what stands."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folder = Path(os.environ["FROM_LAST_BUILD"])
        described = json.loads((self._folder / last_build.DESCRIBED).read_text(encoding="utf-8"))
        seeds = last_build.seeds()
        self._same_seeds = {name for name, sha256 in described["seeds"].items() if seeds.get(name) == sha256}
        self._passed = last_build.passed(self._folder)
        self._same: set[str] = set()  # models and seeds with the content of the last build
        self._are_same_failures = False  # of the gate, which is all that estimates read of it
        self._attaching = threading.Lock()
        self._is_attached = False

    def call_runner(self, runner: Any) -> Any:
        """Run a node, or let it stand. dbt calls this when all that the node reads is there."""
        node = runner.node
        if not runner.skip and self._stands(node):
            self._same.add(node.unique_id)
            self._are_same_failures |= node.unique_id == GATE
            status = TestStatus.Pass if node.resource_type == NodeType.Test else RunStatus.Success
            result = runner._build_run_result(node, time.time(), status, [], "as in the last build")
            runner.print_result_line(result)  # whoever counts the steps in dbt's log counts this one
            return result
        result = super().call_runner(runner)
        if node.resource_type in MADE and result.status == RunStatus.Success:
            self._compare(node)
        return result

    def _stands(self, node: Any) -> bool:
        if node.resource_type == NodeType.Seed:
            return node.name in self._same_seeds
        if node.resource_type not in (NodeType.Model, NodeType.Test):
            return False
        # what Python lands, it reads from files
        if node.resource_type == NodeType.Model and node.language == "python" and node.fqn[1] == "landing":
            return False
        if node.resource_type == NodeType.Test and node.unique_id not in self._passed:
            return False
        read = {name for name in node.depends_on.nodes if name.split(".")[0] in MADE}
        if self._are_same_failures and node.resource_type == NodeType.Model and node.fqn[1] == "estimates":
            read.discard(GATE)
        return bool(node.depends_on.nodes) and read <= self._same

    def _compare(self, node: Any) -> None:
        """Note what came out as it was. A view is what it reads, and that has changed."""
        if node.config.materialized == "view":
            return
        if self._is_same(node):
            self._same.add(node.unique_id)
        if node.unique_id == GATE:
            self._are_same_failures = self._is_same(node, result_tables.READ_BY_ESTIMATES)

    def _is_same(self, node: Any, of_interest: str = "true") -> bool:
        names = {"database": literal(node.database), "schema": literal(node.schema), "name": literal(node.alias)}
        path = f"{identifier(node.schema)}.{identifier(node.alias)}"
        tables = {"new": f"{identifier(node.database)}.{path}", "old": f"last_build.{path}"}
        adapter = get_adapter(self.config)
        with adapter.connection_named(f"compare {node.unique_id}"):
            with self._attaching:
                if not self._is_attached:
                    kept = literal(str(self._folder / last_build.WAREHOUSE))
                    adapter.execute(f"attach {kept} as last_build (read_only)")
                    self._is_attached = True
            for query in (SAME_COLUMNS.format(**names), SAME_ROWS.format(of_interest=of_interest, **tables)):
                _, found = adapter.execute(query, fetch=True)
                if not found.rows[0][0]:
                    return False
        return True


if __name__ == "__main__":
    build.BuildTask = FromLastBuild  # type: ignore[misc, assignment]  # which dbt's command line imports when it builds
    cli()
