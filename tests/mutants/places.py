"""Draw random mutants: small faults at random places in the project."""

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from tests.mutants.python_faults import python_faults
from tests.mutants.text_faults import Edit, expectation_faults, seed_faults, sql_faults
from tests.project_copy import PROJECT

# Strata of successive mutants, in the intended proportions. Glue means Python models and macros.
CYCLE = ("python", "sql", "python", "data", "python", "sql", "python", "glue")
STRATA = {
    "python": r"src/.*\.py",
    "sql": r"(models|python_models|src)/.*\.sql",
    "data": r"(seeds/.*\.csv|expectations/.*\.json)",
    "glue": r"(python_models/.*\.py|macros/.*\.sql)",
}
FAULTS = {"py": python_faults, "sql": sql_faults, "csv": seed_faults, "json": expectation_faults}


@dataclass(frozen=True)
class Mutant(Edit):
    """Faulty edit of one project file, with the text before and after the change."""

    stratum: str
    path: str
    line: int
    before: str
    after: str


def weights(stratum: str) -> dict[str, int]:
    """Return the sampling weight of each file: its number of code lines, or 1 for data files.

    Templates are excluded.
    """
    names = subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines()
    files = [one for one in names if re.fullmatch(STRATA[stratum], one) and "template" not in one]
    texts = {name: (PROJECT / name).read_text(encoding="utf-8") for name in files}
    lines = {name: len(re.findall(r"^\s*[^#\-\s]", text, re.M)) for name, text in texts.items()}
    return dict.fromkeys(files, 1) if stratum == "data" else lines


def draws(seed: int, number: int) -> Iterator[Mutant]:
    """Yield random mutants: draw a file by its weight, then a line, an operator and a fault."""
    chance, stratum = random.Random(f"{seed} {number}"), CYCLE[number % len(CYCLE)]
    files = weights(stratum)
    while True:
        (path,) = chance.choices([*files], [*files.values()])
        text = (PROJECT / path).read_text(encoding="utf-8")
        lines: dict[int, dict[str, list[Edit]]] = {}
        for edit in FAULTS[path.rpartition(".")[2]](text):
            operators = lines.setdefault(text.count("\n", 0, edit.start) + 1, {})
            operators.setdefault(edit.operator, []).append(edit)
        if lines:
            line = chance.choice(sorted(lines))
            edit = chance.choice(lines[line][chance.choice(sorted(lines[line]))])
            start = text.rfind("\n", 0, edit.start) + 1
            end = text.find("\n", max(edit.start, edit.end - 1))
            after = edit.applied(text)[start : end + len(edit.new) - (edit.end - edit.start)]
            yield Mutant(*astuple(edit), stratum, path, line, text[start:end], after)
