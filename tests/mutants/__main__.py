"""Draw mutants, run each once, and print the share that was killed."""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from tests.mutants.places import CYCLE, draw
from tests.mutants.trial import Trial

Entry = dict[str, Any]


def judged(seed: int, number: int, trial: Trial) -> Iterator[Entry]:
    """Draw and run mutants until one is not refused."""
    chance, outcome = random.Random(f"{seed} {number}"), "refused"
    while outcome == "refused":
        mutant = draw(CYCLE[number % len(CYCLE)], chance)
        began = time.monotonic()
        outcome, finder = trial.outcome(mutant)
        yield {
            "seed": seed,
            "number": number,
            **{**vars(mutant), "edit": mutant.edit.operator},
            "outcome": outcome,
            "killed_by": finder,
            "seconds": round(time.monotonic() - began),
        }


def report(entries: list[Entry]) -> None:
    """Print the scores with Wilson intervals, and the mutants that survived."""
    for stratum in (*dict.fromkeys(CYCLE), "all"):
        outcomes = [one["outcome"] for one in entries if stratum in ("all", one["stratum"])]
        if outcomes:
            score = binomtest(outcomes.count("killed"), len(outcomes))
            low, high = score.proportion_ci(method="wilson")
            share = f"{score.statistic:.0%} ({low:.0%} to {high:.0%})"
            print(f"{stratum}: {score.k} of {score.n} killed, {share}")
    for one in entries:
        if one["outcome"] == "survived":
            print(show(one))


def show(mutant: Entry) -> str:
    """Return the place of a mutant and the lines that it changes."""
    place = f"{mutant['path']}:{mutant['line']}: {mutant['edit']}"
    return f"{place}\n- {mutant['before']}\n+ {mutant['after']}"


def main() -> None:
    """Run the mutants that the log does not contain yet, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--log", type=Path, default=Path("build/mutants.jsonl"))
    parser.add_argument("--list", action="store_true", help="print the first draws and run nothing")
    asked = parser.parse_args()
    if asked.list:
        for number in range(asked.count):
            one = draw(CYCLE[number % len(CYCLE)], random.Random(f"{asked.seed} {number}"))
            print(show({**vars(one), "edit": one.edit.operator}))
        return
    lines = asked.log.read_text(encoding="utf-8").splitlines() if asked.log.exists() else []
    earlier = [one for one in map(json.loads, lines) if one["seed"] == asked.seed]
    entries = {one["number"]: one for one in earlier if one["outcome"] != "refused"}
    with tempfile.TemporaryDirectory(prefix="mutants") as folder, asked.log.open("a") as log:
        trial = Trial(Path(folder))
        for number in sorted({*range(asked.count)} - entries.keys()):
            for entry in judged(asked.seed, number, trial):
                print(json.dumps(entry, ensure_ascii=False), file=log, flush=True)
                entries[number] = entry
    report([entries[number] for number in range(asked.count)])


if __name__ == "__main__":
    main()
