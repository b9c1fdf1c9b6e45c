"""Plant random faults one at a time, and print the share that the quick tests detect."""

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from dataclasses import fields
from pathlib import Path
from time import monotonic
from typing import Any

from scipy.stats import binomtest

from tests.mutants.places import Mutant, draws
from tests.mutants.trial import Trial
from tests.project_copy import PROJECT

Entry = dict[str, Any]
# Outcomes of mutants. A person decides the last three, and writes the reason to the log file.
OUTCOMES = ("killed", "survived", "soak", "wording", "equivalent")


def run(seed: int, number: int, trial: Trial, log: Path) -> Entry:
    """Run mutants until one is valid code, and append every result to the log file."""
    head = ("git", "rev-parse", "--short=8", "HEAD")
    commit = subprocess.check_output(head, cwd=PROJECT, text=True).strip()
    for mutant in draws(seed, number):
        began = monotonic()
        outcome, finder = trial.outcome(mutant)
        seconds = round(monotonic() - began)
        result = {"outcome": outcome, "killed_by": finder, "seconds": seconds}
        entry = {"seed": seed, "number": number, "commit": commit, **vars(mutant), **result}
        write(entry, log)
        if outcome != "refused":
            break
    return entry


def write(entry: Entry, log: Path) -> None:
    """Append a result to the log file; it replaces earlier results of the same mutant."""
    with log.open("a", encoding="utf-8") as file:
        print(json.dumps(entry, ensure_ascii=False), file=file)


def decide(entries: list[Entry], trial: Trial, log: Path) -> None:
    """Run all quick tests for the undecided mutants, and log whether each survives."""
    names = [field.name for field in fields(Mutant)]
    mutants = {Mutant(*(one[name] for name in names)): one for one in entries}
    for mutant, finder in trial.decide([*mutants]) if mutants else ():
        entry = mutants[mutant]
        entry |= {"outcome": "killed" if finder else "survived", "killed_by": finder}
        write(entry, log)


def show(one: Entry) -> None:
    """Print the location of a mutant, with the lines before and after the change."""
    print(f"{one['path']}:{one['line']}: {one['operator']}\n- {one['before']}\n+ {one['after']}")


def report(entries: list[Entry]) -> None:
    """Print a Markdown table of scores with Wilson intervals, and the mutants not killed.

    The score leaves out faults of wording and mutants that are equivalent to the project.
    """
    print("", f"| part | {' | '.join(OUTCOMES)} | score (95 %) |", "| --- " * 7 + "|", sep="\n")
    scored = {one["stratum"] for one in entries if one["outcome"] in OUTCOMES[:3]}
    for stratum in (*sorted(scored), "all"):
        found = Counter(one["outcome"] for one in entries if stratum in ("all", one["stratum"]))
        score = binomtest(found["killed"], sum(found[name] for name in OUTCOMES[:3]))
        low, high = score.proportion_ci(method="wilson")
        counts = " | ".join(str(found[name]) for name in OUTCOMES)
        print(f"| {stratum} | {counts} | {score.statistic:.0%} ({low:.0%} to {high:.0%}) |")
    print()
    for one in entries:
        if one["outcome"] != "killed":
            place = f"`{one['path']}:{one['line']}`, {one['operator']} ({one['outcome']})"
            print(f"- {place}: {one['killed_by'] or 'No test detects it.'}")


def main() -> None:
    """Run the mutants that are not in the log file yet, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--log", type=Path, default=Path("benchmarks/mutants.jsonl"))
    parser.add_argument("--list", action="store_true", help="print the first draws and run nothing")
    asked = parser.parse_args()
    if asked.list:
        for number in range(asked.count):
            show(vars(next(draws(asked.seed, number))))
        return
    lines = asked.log.read_text(encoding="utf-8").splitlines() if asked.log.exists() else []
    entries = [one for one in map(json.loads, lines) if one["seed"] == asked.seed]
    done = {one["number"]: one for one in entries if one["outcome"] != "refused"}
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        trial = Trial(Path(folder), PROJECT / "build/mutants.coverage")
        for number in sorted({*range(asked.count)} - done.keys()):
            done[number] = run(asked.seed, number, trial, asked.log)
        decide([one for one in done.values() if one["outcome"] == "undecided"], trial, asked.log)
    report([done[number] for number in range(asked.count)])


if __name__ == "__main__":
    main()
