"""Time `dbt build` from delivered files to tables, against dbt's overhead and a plain script."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from ai_manufacturing.refresh.build import RESULTS_FILE
from benchmarks import measuring
from benchmarks.measuring import BY_HAND, PROJECT, Runs, Scratch, Section
from benchmarks.peers import dbt_floor

FLOOR = "benchmarks/peers/dbt_floor.py"
LAYERS = {"landing": "landing", "gates": "gates", "estimates": "estimates", "reports": "reports"}
# Select one seed, one table and one Python model with their tests, to test the benchmark itself.
QUICK = ("--indirect-selection", "cautious", "--select", "+raw_deliveries", "+int_city_identifiers")
NO_CHECKS = "the script runs without dbt, gates, checks and reports"
STATES = ("from nothing", "again")
STEPS = (
    "parse, start and end",
    "seeds",
    "landing",
    "SQL models",
    "gates",
    "estimates",
    "reports",
    "tests",
    "unit tests",
)


def step(unique_id: str, folders: dict[str, str]) -> str:
    """Return the layer of a dbt node, such as seeds, gates or tests."""
    kind = unique_id.split(".")[0]
    kinds = {"test": "tests", "unit_test": "unit tests", "seed": "seeds", "operation": STEPS[0]}
    return kinds.get(kind) or LAYERS.get(folders.get(unique_id, ""), "SQL models")


def by_step(whole: float, run_results: Path, target: Path) -> dict[str, float]:
    """Return the seconds of a dbt build per layer, summed over the nodes of each layer.

    Time outside all nodes belongs to the first layer.
    """
    results, manifest = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (run_results, target / "manifest.json")
    )
    folders = {name: node["fqn"][1] for name, node in manifest["nodes"].items()}
    spent: Counter[str] = Counter()
    for result in results["results"]:
        spent[step(result["unique_id"], folders)] += result["execution_time"]
    spent[STEPS[0]] += whole - results["elapsed_time"]
    return dict(spent)


def where_it_goes(layers: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table with the seconds per layer of each run."""
    rows = [(one, *(f"{layers[run].get(one, 0.0):.1f}" for run in layers)) for one in STEPS]
    rows.append(("sum", *(f"{sum(times.values()):.1f}" for times in layers.values())))
    return (
        "Seconds by layer, in the last run of each. Two threads run in parallel, so the layers add"
        " up to more than the total.\n\n" + measuring.table(("layer", *layers), rows)
    )


def measure(repeats: int, *, quick: bool) -> Section:
    """Time builds from scratch and repeated builds, alternating with the peers' runs."""
    section = Section(
        "The whole paper",
        "A build from nothing starts without a parsed project, landing store and warehouse; a"
        " build again repeats it with all of them. The floor of dbt is a project with as many empty"
        " nodes of the same kinds, with the same parents and threads. The plain script computes the"
        " 22 printed columns from the sample's files, without gate, checks, other readings or"
        " release; a test compares its numbers with the warehouse's.",
    )
    selected = QUICK if quick else ()
    layers: dict[str, dict[str, float]] = {}
    with measuring.scratch() as folder:
        sets = [("sample", measuring.sample(folder / "sample"))]
        if not quick:
            sets += measuring.public(section)
        for name, extracts in sets:
            ours, floor = Scratch(folder / "ours", extracts), Scratch(folder / "floor", extracts)
            empty = folder / f"floor_{name.split()[0]}"
            script = [sys.executable, PROJECT / BY_HAND, extracts, folder / "coefficients.csv"]
            times, in_floor = Runs(), ("build", "--project-dir", empty, "--profiles-dir", empty)
            for _ in range(repeats):
                ours.emptied()
                times.clock("from nothing", ours.dbt, "build", *selected)
                target = ours.folder / "target"
                layers[f"{name}, from nothing"] = by_step(
                    times["from nothing"][-1], target / RESULTS_FILE, target
                )
                if not empty.exists():
                    count = dbt_floor.write(empty, ours.folder / "target")
                floor.emptied()
                times.clock("floor from nothing", floor.dbt, *in_floor)
                if name == "sample":
                    times.clock("script", measuring.run, script)
                if quick:
                    continue
                times.clock("again", ours.dbt, "build", *selected)
                layers[f"{name}, again"] = by_step(
                    times["again"][-1], target / RESULTS_FILE, target
                )
                times.clock("floor again", floor.dbt, *in_floor)
            for state in STATES[: 1 if quick else 2]:
                section.add(
                    f"`dbt build` of the {name}, {state}",
                    times[state],
                    f"floor of dbt, {count} nodes",
                    times[f"floor {state}"],
                    FLOOR,
                    "≤ 20 s, ≤ 2 × the floor" if state == "from nothing" else "",
                    why="empty nodes compute nothing",
                )
            if name == "sample":
                section.add(
                    f"`dbt build` of the {name}, from nothing",
                    times["from nothing"],
                    "pandas and linearmodels",
                    times["script"],
                    BY_HAND,
                    why=NO_CHECKS,
                )
            shutil.rmtree(ours.folder)
    section.details = where_it_goes(layers)
    section.versions = [
        measuring.version(name)
        for name in ("dbt-core", "dbt-duckdb", "duckdb", "pandas", "linearmodels")
    ]
    return section


if __name__ == "__main__":
    measuring.main(measure)
