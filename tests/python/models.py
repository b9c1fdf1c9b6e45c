"""Run dbt models from their compiled SQL in the test process, without starting dbt.

SQL models use the text that dbt compiled when it built the warehouse; Python models run from their
files. As in `dbt build`, a failed data test stops the models downstream. Unlike dbt, a model whose
inputs have not changed is skipped.
"""

import inspect
import json
import runpy
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from ai_manufacturing.system import duckdb_client, settings

Node = dict[str, Any]
BUILT_RELATIONS = (
    "create table if not exists raw.built_relations "
    "(node varchar, relation varchar, built_at timestamp, inputs varchar[])"
)
"""The table that the run hooks fill. It is empty here, so no relation is older than its inputs."""


@cache
def nodes_of(manifest: Path) -> dict[str, Node]:
    """Return the nodes of a dbt manifest as a dictionary from unique ID to node."""
    nodes: dict[str, Node] = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    return nodes


@dataclass
class Run:
    """A run of dbt models on a warehouse in the current process.

    Attributes
    ----------
    failed : dict of str to list
        Failing rows of each data test, by the test's name.
    ran : list of str
        Models that were run, in order.
    """

    nodes: dict[str, Node]
    connection: duckdb.DuckDBPyConnection
    failed: dict[str, list[Any]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    _changed: set[str] = field(default_factory=set)
    _stopped: set[str] = field(default_factory=set)

    def models(self, targets: Iterable[str], edited: Iterable[str]) -> None:
        """Run the target models and their ancestors, skipping models with unchanged inputs."""
        by_name = {node["name"]: name for name, node in self.nodes.items()}
        self._changed.update(by_name[name] for name in edited)
        ids = self._above([by_name[name] for name in targets])
        tests = self._tests_after(ids)
        for name in ids:
            node = self.nodes[name]
            parents = node["depends_on"]["nodes"]
            if self._stopped & {*parents}:
                self._stopped.add(name)
            elif self._is_due(node):
                self._run(node)
                self._test(name, tests[name])

    def _above(self, targets: list[str]) -> list[str]:
        """Return the target models and all their ancestors in topological order."""
        order: dict[str, None] = {}

        def walk(name: str) -> None:
            if name in order or not name.startswith("model."):
                return
            for parent in self.nodes[name]["depends_on"]["nodes"]:
                walk(parent)
            order[name] = None

        for target in targets:
            walk(target)
        return [*order]

    def _is_due(self, node: Node) -> bool:
        """Return whether a model reads files, has a changed input, or has not been built yet."""
        parents = self.nodes.keys() & node["depends_on"]["nodes"]
        if parents <= {"model.ai_manufacturing.raw_extract_set"} or parents & self._changed:
            return True
        relation = node["relation_name"]
        return relation is not None and not self._columns(relation)

    def _run(self, node: Node) -> None:
        """Build the relation of a model, and mark the model as changed if the content differs."""
        name, relation = node["unique_id"], node["relation_name"]
        kind = node["config"]["materialized"]
        if kind == "ephemeral":
            self._changed.add(name)
            return
        self.ran.append(node["name"])
        self.connection.execute(f"create schema if not exists {relation.rpartition('.')[0]}")
        if kind == "view":
            self.connection.execute(f"create or replace view {relation} as {node['compiled_code']}")
            self._changed.add(name)
            return
        query = node["compiled_code"]
        if node["language"] == "python":
            rows = self.python(node)  # noqa: F841 - DuckDB reads it by name
            query = "from rows"
        self.connection.execute(f"create or replace temp table made as {query}")
        if repeated := self._repeated_key(node):
            self.failed[f"key of {node['name']}"] = repeated
            self._stopped.add(name)
            return
        if self._columns(relation) != self._columns("made"):
            self.connection.execute(f"create or replace table {relation} as from made")
        elif self._content(relation) == self._content("made"):
            return
        else:
            # Replace the rows instead of the table, to retain the constraints of the model
            # contract.
            self.connection.execute(f"delete from {relation}")
            self.connection.execute(f"insert into {relation} from made")
        self._changed.add(name)

    def _repeated_key(self, node: Node) -> list[Any]:
        """Return duplicate keys in the new rows of a model, which a post-hook rejects in dbt."""
        key = ", ".join(node["config"]["meta"].get("key", []))
        keys = f"select {key} from made group by {key} having count(*) > 1"
        return self.connection.execute(keys).fetchall() if key else []

    def python(self, node: Node) -> Any:
        """Run the file of a Python model, and return its result."""
        parents = [self.nodes[name] for name in node["depends_on"]["nodes"] if name in self.nodes]
        relations = {parent["name"]: parent["relation_name"] for parent in parents}
        dbt = SimpleNamespace(
            ref=lambda name: self.connection.query(f"from {relations[name]}"),
            config=Config(node["config"]["meta"]),
            this=This(node["database"], node["schema"], node["alias"]),
        )
        path = settings.project_root() / node["original_file_path"]
        model = runpy.run_path(str(path))["model"]
        return inspect.unwrap(model)(dbt, self.connection)

    def _tests_after(self, order: list[str]) -> dict[str, list[Node]]:
        """Group the data tests of severity `error` by the last model that they read.

        Tests that also depend on other models are not run.
        """
        places = {name: place for place, name in enumerate(order)}
        tests: dict[str, list[Node]] = {name: [] for name in order}
        for node in self.nodes.values():
            if node["resource_type"] != "test" or node["config"]["severity"].lower() != "error":
                continue
            inputs = [name for name in node["depends_on"]["nodes"] if name.startswith("model.")]
            if inputs and places.keys() >= {*inputs}:
                tests[max(inputs, key=places.__getitem__)].append(node)
        return tests

    def _test(self, model: str, tests: list[Node]) -> None:
        for test in tests:
            rows = self.connection.execute(test["compiled_code"]).fetchall()
            if rows:
                self.failed[test["name"]] = rows
                self._stopped.add(model)

    def _columns(self, relation: str) -> list[Any]:
        """Return names and types of a relation's columns, or an empty list if it does not exist."""
        try:
            described = self.connection.execute(f"describe {relation}").fetchall()
        except duckdb.CatalogException:
            return []
        return [column[:2] for column in described]

    def _content(self, relation: str) -> Any:
        return self.connection.execute(
            f"select count(*), sum(hash(r)) from {relation} as r"
        ).fetchone()


@dataclass
class This:
    """Stand-in for `dbt.this`, the relation that a Python model builds."""

    database: str
    schema: str
    identifier: str

    def __str__(self) -> str:
        return f'"{self.database}"."{self.schema}"."{self.identifier}"'


class Config:
    """Stand-in for `dbt.config` with the methods that Python models use."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta_get = meta.get

    def __call__(self, **options: Any) -> None:
        """Ignore the configuration options, which only dbt's parser needs."""


def run(warehouse: Path, manifest: Path, targets: Iterable[str], edited: Iterable[str]) -> Run:
    """Run the target models and their ancestors, skipping models with unchanged inputs.

    Parameters
    ----------
    warehouse : Path
        A copy of the warehouse, with the file name that the manifest was compiled for, or a path
        without a file.
    manifest : Path
        Manifest of the build that compiled the models.
    targets : iterable of str
        Names of models.
    edited : iterable of str
        Names of models and seeds whose relations were changed by hand.
    """
    with duckdb_client.connect(str(warehouse), reads_files=True) as connection:
        connection.execute("create schema if not exists raw")
        connection.execute(BUILT_RELATIONS)
        made = Run(nodes_of(manifest), connection)
        made.models(targets, edited)
    return made
