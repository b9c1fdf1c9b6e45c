"""Draw a small fault at a random place of the project."""

import random
import re
import subprocess
from dataclasses import dataclass
from functools import cache

from tests.mutants import python_faults, text_faults
from tests.mutants.edits import Edit
from tests.project_copy import PROJECT

CYCLE = ("python", "sql", "python", "data", "python", "sql", "python", "glue")
"""Strata of successive mutants, which are the shares; glue is Python models and macros."""
STRATA = {
    "python": r"src/.*\.py",
    "sql": r"(models|python_models|src)/.*\.sql",
    "data": r"(seeds/.*\.csv|expectations/.*\.json)",
    "glue": r"(python_models/.*\.py|macros/.*\.sql)",
}
FAULTS = {
    "py": python_faults.faults,
    "sql": text_faults.sql_faults,
    "csv": text_faults.seed_faults,
    "json": text_faults.expectation_faults,
}


@dataclass(frozen=True)
class Mutant:
    """A fault of one file of the project, and the lines that it changes."""

    stratum: str
    path: str
    edit: Edit
    line: int
    before: str
    after: str


@cache
def weights(stratum: str) -> dict[str, int]:
    """Return lines of code by file; data files weigh the same, templates are left out."""
    names = subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines()
    files = [one for one in names if re.fullmatch(STRATA[stratum], one) and "template" not in one]
    texts = {name: (PROJECT / name).read_text(encoding="utf-8") for name in files}
    lines = {name: len(re.findall(r"^\s*[^#\-\s]", text, re.M)) for name, text in texts.items()}
    return dict.fromkeys(files, 1) if stratum == "data" else lines


def draw(stratum: str, chance: random.Random) -> Mutant:
    """Draw a file by its code lines, then a line with possible faults, an operator and a fault."""
    files, edits = weights(stratum), list[Edit]()
    while not edits:
        (path,) = chance.choices([*files], weights=[*files.values()])
        text = (PROJECT / path).read_text(encoding="utf-8")
        edits = FAULTS[path.rpartition(".")[2]](text)
    lines: dict[int, list[Edit]] = {}
    for edit in edits:
        lines.setdefault(text.count("\n", 0, edit.start), []).append(edit)
    on_line = lines[chance.choice(sorted(lines))]
    operator = chance.choice(sorted({edit.operator for edit in on_line}))
    edit = chance.choice([edit for edit in on_line if edit.operator == operator])
    start = text.rfind("\n", 0, edit.start) + 1
    end = text.find("\n", max(edit.start, edit.end - 1))
    after = edit.applied(text)[start : end + len(edit.new) - (edit.end - edit.start)]
    return Mutant(stratum, path, edit, text.count("\n", 0, start) + 1, text[start:end], after)
