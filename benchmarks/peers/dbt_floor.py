"""Write a dbt project of empty nodes that mirrors a real run, to measure dbt's own overhead."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PROJECT = """\
name: floor
version: "1.0"
profile: floor
flags: {send_anonymous_usage_stats: false, log_level_file: info}
"""
PROFILE = """\
floor:
  target: floor
  outputs:
    floor:
      type: duckdb
      path: "{{ env_var('WAREHOUSE_PATH') }}"
      threads: "{{ env_var('WAREHOUSE_THREADS', '2') | as_number }}"
"""


def write(folder: Path, target: Path) -> int:
    """Write the project.

    Parameters
    ----------
    folder : Path
        Folder of the new project, which must not exist.
    target : Path
        Folder with the manifest.json and run_results.json of the run to imitate.

    Returns
    -------
    int
        Number of nodes in the project.
    """
    manifest, results = (
        json.loads((target / name).read_text(encoding="utf-8"))
        for name in ("manifest.json", "run_results.json")
    )
    known: dict[str, dict[str, Any]] = {**manifest["nodes"], **manifest["unit_tests"]}
    ran = [result["unique_id"] for result in results["results"]]
    # Skip hooks, which are not nodes of the dbt graph.
    nodes = {
        name: known[name] for name in ran if name in known and not name.startswith("operation.")
    }
    unit_tests = []
    for name in ("models", "seeds", "tests"):
        (folder / name).mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT, encoding="utf-8")
    (folder / "profiles.yml").write_text(PROFILE, encoding="utf-8")
    for number, (unique_id, node) in enumerate(nodes.items()):
        parents = [
            nodes[parent]["name"]
            for parent in node["depends_on"].get("nodes", ())
            if parent in nodes
        ]
        match node["resource_type"], node.get("language"):
            case "seed", _:
                (folder / f"seeds/{node['name']}.csv").write_text("a\n1\n", encoding="utf-8")
            case "model", "python":
                (folder / f"models/{node['name']}.py").write_text(python(parents), encoding="utf-8")
            case "model", _:
                kind = node["config"]["materialized"]
                kind = kind if kind in ("view", "table") else "table"
                (folder / f"models/{node['name']}.sql").write_text(
                    sql(parents, kind=kind), encoding="utf-8"
                )
            case "test", _:
                (folder / f"tests/test_{number}.sql").write_text(
                    sql(parents, where=" where false"), encoding="utf-8"
                )
            case "unit_test", _:
                (model,) = parents
                read = nodes[node["depends_on"]["nodes"][0]]["depends_on"]["nodes"]
                given = [
                    {"input": f"ref('{nodes[one]['name']}')", "rows": [{"a": 1}]} for one in read
                ]
                unit_tests.append(
                    {
                        "name": f"unit_{number}",
                        "model": model,
                        "given": given,
                        "expect": {"rows": [{"a": 1}]},
                    }
                )
            case kind, _:
                raise ValueError(
                    f"{unique_id} is a {kind}: the floor has no empty node of this kind."
                )
    (folder / "models/_unit_tests.yml").write_text(
        json.dumps({"unit_tests": unit_tests}), encoding="utf-8"
    )
    return len(nodes)


def sql(parents: Iterable[str], *, kind: str = "", where: str = "") -> str:
    """Return the SQL of a model or test that depends on its parents without reading them."""
    config = f"{{{{ config(materialized='{kind}') }}}}\n" if kind else ""
    return (
        config
        + "".join(f"-- depends_on: {{{{ ref('{name}') }}}}\n" for name in parents)
        + f"select 1 as a{where}\n"
    )


def python(parents: Iterable[str]) -> str:
    """Return the code of a Python model that depends on its parents without reading them."""
    refs = "".join(f'    dbt.ref("{name}")\n' for name in parents)
    return f'def model(dbt, session):\n{refs}    return session.sql("select 1 as a")\n'
