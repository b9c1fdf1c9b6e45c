"""Time `dbt build`, and compare it with a dbt project of empty nodes and with a plain script."""

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
NO_CHECKS = "The script does not run dbt, gates, checks or reports."
STATES = ("first", "repeated")
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
        "The following table shows the seconds that each layer took in the last run of each build."
        " Two threads run in parallel, so the seconds add up to more than the duration of the"
        " build.\n\n" + measuring.table(("layer", *layers), rows)
    )


def measure(repeats: int, *, quick: bool) -> Section:
    """Time first and repeated builds, alternating with the peers' runs."""
    section = Section(
        "The whole paper",
        "The first build starts without a parsed project, landing store or warehouse, and the"
        " repeated build starts with all three. The empty dbt project measures dbt's own"
        " overhead: it has as many nodes of the same kinds, with the same parents and threads,"
        " but the nodes compute nothing. The script with pandas and linearmodels computes the"
        " paper's 22 table columns from the sample's files, without the gate, the checks,"
        " alternative readings of the paper, or a release. An automated test compares the"
        " script's results with the warehouse.",
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
                times.clock("first", ours.dbt, "build", *selected)
                target = ours.folder / "target"
                layers[f"{name}, first build"] = by_step(
                    times["first"][-1], target / RESULTS_FILE, target
                )
                if not empty.exists():
                    count = dbt_floor.write(empty, ours.folder / "target")
                floor.emptied()
                times.clock("floor first", floor.dbt, *in_floor)
                if name == "sample":
                    times.clock("script", measuring.run, script)
                if quick:
                    continue
                times.clock("repeated", ours.dbt, "build", *selected)
                layers[f"{name}, repeated build"] = by_step(
                    times["repeated"][-1], target / RESULTS_FILE, target
                )
                times.clock("floor repeated", floor.dbt, *in_floor)
            for state in STATES[: 1 if quick else 2]:
                section.add(
                    f"{state} `dbt build` of the {name}",
                    times[state],
                    f"empty dbt project, {count} nodes",
                    times[f"floor {state}"],
                    FLOOR,
                    "≤ 20 s, ≤ 2 ×" if state == "first" else "",
                    why="Empty nodes compute nothing.",
                )
            if name == "sample":
                section.add(
                    f"first `dbt build` of the {name}",
                    times["first"],
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
