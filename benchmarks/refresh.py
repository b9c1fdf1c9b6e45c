"""Time a refresh without dbt (hashing, release file, changes, move, pruning), and one with nothing new.

    python benchmarks/refresh.py [--repeats 5] [--out benchmarks]

Runs `ai-manufacturing refresh` on a fresh sample of the default seed, each time in a new process. The first run calls
dbt. Each later run finds one new file in the extracts folder and copies the warehouse of the first; the copy counts as
dbt's time. The fastest run counts, because other load only adds. Prints the table, and writes
refresh.csv and refresh.md.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def refresh_once(kept: Path, spent: Path) -> None:
    """Run the command, and write how many seconds of it were dbt's."""
    from ai_manufacturing import cli
    from ai_manufacturing.releases import build

    dbt = build.dbt

    def timed(work: Path, warehouse: Path, *arguments: str, accepted: str = "") -> bool:
        started = time.perf_counter()
        if kept.exists():
            shutil.copyfile(kept, warehouse)
            failed = False
        else:
            failed = dbt(work, warehouse, *arguments, accepted=accepted)
            shutil.copyfile(warehouse, kept)
        spent.write_text(str(time.perf_counter() - started))
        return failed

    build.dbt = timed
    cli.main(["refresh"])


def measure(scratch: Path, expected: int) -> tuple[float, float]:
    """Return the seconds of a refresh that are dbt's, and the others."""
    spent = scratch / "spent"
    spent.write_text("0")
    command = [sys.executable, __file__, "--kept", str(scratch / "warehouse.duckdb"), "--spent", str(spent)]
    environment = {
        **os.environ,
        "DBT_PROJECT_DIR": str(PROJECT),
        "EXTRACTS_DIR": str(scratch / "sample"),
        "LANDING_DIR": str(scratch / "landing"),
        "RELEASE_DIR": str(scratch / "releases"),
        "RELEASE_PATH": "",
    }
    started = time.perf_counter()
    run = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if run.returncode != expected:
        raise SystemExit(run.stdout + run.stderr)
    of_dbt = float(spent.read_text())
    return of_dbt, seconds - of_dbt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--spent", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kept:
        refresh_once(arguments.kept, arguments.spent)
        return
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        draw = [str(Path(sys.executable).parent / "ai-manufacturing"), "synthetic", "--out", str(scratch / "sample")]
        subprocess.run(draw, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
        of_dbt, first = measure(scratch, 0)
        published = []
        for number in range(arguments.repeats):
            (scratch / f"sample/README_{number}").write_text("new")
            published.append(measure(scratch, 0)[1])
        nothing_new = [measure(scratch, 3)[1] for _ in range(arguments.repeats)]
    measured = [
        ("dbt in the first refresh", of_dbt, ""),
        ("all else in the first refresh", first, "< 2 s"),
        (f"all else in a later refresh, fastest of {arguments.repeats}", min(published), "< 2 s"),
        (f"a refresh with nothing new, fastest of {arguments.repeats}", min(nothing_new), "< 5 s"),
    ]
    lines = ["| work | seconds | target |", "|---|---|---|"]
    lines += [f"| {work} | {seconds:.2f} | {target} |" for work, seconds, target in measured]
    print("\n".join(lines))
    if arguments.out:
        head = f"{os.cpu_count()} cores, the default sample; `python benchmarks/refresh.py --out benchmarks`.\n\n"
        (arguments.out / "refresh.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        with (arguments.out / "refresh.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("work", "seconds", "target"))
            writer.writerows((work, f"{seconds:.3f}", target) for work, seconds, target in measured)


if __name__ == "__main__":
    main()
