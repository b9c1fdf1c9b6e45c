"""Where the time of `dbt build` goes: the sample, from an empty folder and again without change.

    python benchmarks/build_time.py [--out benchmarks/build_time.md]

Seconds per step are summed over the nodes; two threads run side by side, so the steps sum to more than the whole. A
copy of the project with more rows in regression_specifications.csv gives the cost of one row.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MORE_ROWS = 20
STEPS = ("start-up", "seeds", "landing", "SQL models", "gate", "estimates", "reports", "tests")


def step(unique_id: str, folders: dict[str, str]) -> str:
    kind = unique_id.split(".")[0]
    if kind in ("test", "unit_test"):
        return "tests"
    if kind == "seed":
        return "seeds"
    folder = folders.get(unique_id, "")
    return {"landing": "landing", "gates": "gate", "estimates": "estimates", "reports": "reports"}.get(
        folder, "SQL models"
    )


def build(environment: dict[str, str], target: Path, project: Path = PROJECT) -> dict[str, float]:
    """Run one build, and return its seconds by step and in all."""
    started = time.perf_counter()
    subprocess.run([BIN / "dbt", "--quiet", "build"], cwd=project, env=environment, check=True)
    whole = time.perf_counter() - started
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    folders = {name: node["fqn"][1] for name, node in manifest["nodes"].items()}
    seconds: Counter[str] = Counter()
    for result in results["results"]:
        seconds[step(result["unique_id"], folders)] += result["execution_time"]
    return {**seconds, "start-up": whole - results["elapsed_time"], "whole": whole}


def copy_with_more_rows(folder: Path) -> Path:
    """Copy what git keeps of the project, with MORE_ROWS copies of Table 1 column 1 among its specifications."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    seed = folder / "seeds/regression_specifications.csv"
    with seed.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    with seed.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, first, lineterminator="\n")
        for number in range(MORE_ROWS):
            copy = {
                "specification_id": f"copy_{number}",
                "reading": f"copy {number}",
                "is_headline": "false",
                "options": "",
            }
            writer.writerow({**first, **copy})
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = {
            **os.environ,
            "EXTRACTS_DIR": str(scratch / "sample"),
            "LANDING_DIR": str(scratch / "landing"),
            "WAREHOUSE_PATH": str(scratch / "warehouse.duckdb"),
            "DBT_TARGET_PATH": str(scratch / "target"),
            "DBT_LOG_PATH": str(scratch / "logs"),
        }
        subprocess.run(
            [BIN / "ai-manufacturing", "synthetic", "--out", scratch / "sample"], env=environment, check=True
        )
        first = build(environment, scratch / "target")
        again = [build(environment, scratch / "target") for _ in range(3)]
        longer = copy_with_more_rows(scratch / "project")
        environment |= {"WAREHOUSE_PATH": str(scratch / "longer.duckdb")}
        more = sorted(build(environment, scratch / "target", longer)["whole"] for _ in range(4))
    middle = {name: sorted(run.get(name, 0.0) for run in again)[1] for name in (*STEPS, "whole")}
    lines = ["| step | first build, s | again, s (median of 3) |", "|---|---|---|"]
    lines += [f"| {name} | {first.get(name, 0.0):.1f} | {middle[name]:.1f} |" for name in STEPS]
    lines.append(f"| whole, wall clock | {first['whole']:.1f} | {middle['whole']:.1f} |")
    lines.append(f"| again / first | | {middle['whole'] / first['whole']:.2f} |")
    lines.append(
        f"| one more specification row ({MORE_ROWS} added) | | {(more[1] - middle['whole']) / MORE_ROWS:.2f} |"
    )
    table = "\n".join(lines)
    print(table)
    if arguments.out:
        head = f"{os.cpu_count()} cores, the sample of the default seed; `python benchmarks/build_time.py --out …`.\n\n"
        arguments.out.write_text(head + table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
