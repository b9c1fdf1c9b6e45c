"""Models run in one process, without dbt: what follows from a changed delivery, as far as a test
asks.

SQL is the text that dbt compiled when it built the warehouse; Python models are their files. A
model whose inputs are as they were is not run, and a data test that fails stops what follows it, as
in `dbt build`.
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
"""What the hooks of a run fill; here nothing is older than its inputs."""


@cache
def nodes_of(manifest: Path) -> dict[str, Node]:
    """Return the nodes of a manifest by their ids."""
    nodes: dict[str, Node] = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    return nodes


@dataclass
class Run:
    """A run of models on a warehouse.

    Attributes
    ----------
    failed : dict of str to list
        Rows of each data test that failed, by its name.
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
        """Run the models that have these names, and those above them, where an input changed."""
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
        """Return models and what they are made of, each after its parents."""
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
        """Whether a model reads files, an input of it changed, or it is not there."""
        parents = self.nodes.keys() & node["depends_on"]["nodes"]
        if parents <= {"model.ai_manufacturing.raw_extract_set"} or parents & self._changed:
            return True
        relation = node["relation_name"]
        return relation is not None and not self._columns(relation)

    def _run(self, node: Node) -> None:
        """Make a relation anew; what is as it was has changed nothing."""
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
            rows = self._python(node)  # noqa: F841 - the statement reads it
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
            # emptied, and not made anew, so that it keeps the constraints of its contract
            self.connection.execute(f"delete from {relation}")
            self.connection.execute(f"insert into {relation} from made")
        self._changed.add(name)

    def _repeated_key(self, node: Node) -> list[Any]:
        """Return what the post-hook of every model refuses: a key that two rows have."""
        key = ", ".join(node["config"]["meta"].get("key", []))
        keys = f"select {key} from made group by {key} having count(*) > 1"
        return self.connection.execute(keys).fetchall() if key else []

    def _python(self, node: Node) -> Any:
        """Return what the file of a Python model makes."""
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
        """Return the data tests that stop a build by the last model of their inputs; those of other
        models run not.
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
        """Return names and types of a relation's columns; none where it is not there."""
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
    """The relation that a Python model makes."""

    database: str
    schema: str
    identifier: str

    def __str__(self) -> str:
        return f'"{self.database}"."{self.schema}"."{self.identifier}"'


class Config:
    """The config of a Python model, as far as models read it."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta_get = meta.get

    def __call__(self, **options: Any) -> None:
        """Take what dbt read when it parsed the file."""


def run(warehouse: Path, manifest: Path, targets: Iterable[str], edited: Iterable[str]) -> Run:
    """Run what follows from the delivered files, up to these models.

    Parameters
    ----------
    warehouse : Path
        A copy of a warehouse of the name that the manifest was compiled for, or no file yet.
    manifest : Path
        Of the build that compiled the models.
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
