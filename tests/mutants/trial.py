"""Run a mutant against what may find it: lint, dbt, and the quick tests."""

import json
import re
import shutil
import sys
from pathlib import Path

from tests.mutants.places import Mutant
from tests.project_copy import (
    PROJECT,
    SAMPLE,
    WAREHOUSE,
    copy_of_the_project,
    pytest_command,
    run,
    stamp,
)

TYPED = {"arguments swapped", "default dropped", "guard removed", "filter dropped"}
"""Faults that mypy may find; it takes a minute."""
INVALID = re.compile(r"(?:Parser|Binder|Catalog|Compilation|Syntax|Conversion) Error")
SYNTHETIC = re.compile(r"src/.*/synthetic/.*|seeds/(cities|industries)\.csv")
BUILT = re.compile(
    r"(?!src/).*|src/ai_manufacturing/"
    r"(?:landing|system|estimation|estimators|robustness|gate|disclosure|paper)/.*"
)
"""Files that a build of the sample reads or imports."""
READ_CODE = {"test_planted_faults.py", "test_mutants.py"}
"""Tests of the list of faults, which any edit of its lines breaks."""
LONGEST = 1800  # seconds of a command: a fault may make code run forever
GENERATE = "from ai_manufacturing.cli import main; main()"
GENERATED = [sys.executable, "-c", GENERATE, "synthetic", "--out", SAMPLE]


class Trial:
    """A copy of the project that contains one mutant at a time, and a clean one.

    A test that fails in the clean copy finds nothing. That copy contains an added comment, because
    a test may fail whenever the code differs from what was built.
    """

    def __init__(self, folder: Path) -> None:
        self.clean, self.copy, self.broken = folder / "clean", folder / "copy", set[str]()
        for project in (self.clean, self.copy):
            copy_of_the_project(project)
            shutil.copytree(PROJECT / "build", project / "build")
        with (self.clean / "src/ai_manufacturing/__init__.py").open("a") as module:
            module.write("\n# A change.\n")
        stamp(self.clean)

    def outcome(self, mutant: Mutant) -> tuple[str, str]:
        """Return killed, survived or refused, and what found the mutant."""
        path = self.copy / mutant.path
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.edit.applied(text), encoding="utf-8")
        try:
            if refusal := self._refusal(mutant):
                return "refused", refusal
            found = self._found(mutant)
            is_invalid = found.startswith("dbt") and INVALID.search(found)
            return ("refused" if is_invalid else "killed" if found else "survived"), found
        finally:
            path.write_text(text, encoding="utf-8")
            shutil.rmtree(self.copy / "build")
            shutil.copytree(PROJECT / "build", self.copy / "build")

    def _refusal(self, mutant: Mutant) -> str:
        """Return the check that finds a mutant before any test; empty if none does."""
        is_python = mutant.path.endswith(".py")
        checks = [f"ruff check {mutant.path}" if is_python else "dbt parse --quiet"]
        checks += ["mypy"] if is_python and mutant.edit.operator in TYPED else []
        return next((check for check in checks if run(self.copy, *check.split()).returncode), "")

    def _found(self, mutant: Mutant) -> str:
        """Return what finds the mutant: the cheapest finders come first, and one is enough."""
        relations = _relations(mutant.path)
        tests = {
            str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
            for path in (PROJECT / "tests/python").glob("test_*.py")
            if path.name not in READ_CODE
        }
        names = re.compile(rf"\b({'|'.join(relations)})\b")
        near = sorted(name for name, text in tests.items() if names.search(text))
        found = self._tests(near, "functions and not soak") if mutant.path[:4] == "src/" else ""
        if not found and BUILT.fullmatch(mutant.path):
            found = self._build(mutant.path, relations)
        stamp(self.copy)
        found = found or self._tests(near, "not soak")
        return found or self._tests(sorted({*tests} - {*near}), "not soak")

    def _build(self, path: str, relations: list[str]) -> str:
        """Run the unit tests of what changed and build the sample; return what failed, if any."""
        units = [f"{name},test_type:unit" for name in relations]
        stages = [] if path.startswith("src/") else [["dbt", "test", "--select", *units]]
        stages += [GENERATED] if SYNTHETIC.fullmatch(path) else []
        for stage in (*stages, ["dbt", "build", "--full-refresh"]):
            ended = run(self.copy, *stage, seconds=LONGEST)
            printed = ended.stdout + ended.stderr
            if ended.returncode:
                failed = re.findall(r"(?:Failure|Error) in .*\n.*|.*" + INVALID.pattern, printed)
                return f"{' '.join(stage[:2])}: {'; '.join(failed[:2]) or printed[-300:]}"
        shutil.copy(self.copy / "target/manifest.json", self.copy / f"{WAREHOUSE}.manifest.json")
        return ""

    def _tests(self, files: list[str], marks: str) -> str:
        """Return the first test that fails because of the mutant; empty if none does."""
        while files:
            known = [f"--deselect={name}" for name in sorted(self.broken)]
            command = pytest_command("-rfE", "-m", marks, *known, *files, workers=2)
            ended = run(self.copy, *command, seconds=LONGEST)
            if ended.returncode in (0, 5):  # 5: no test has these marks
                return ""
            failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", ended.stdout, re.MULTILINE)
            if failed is None:
                return f"pytest ended with {ended.returncode}: {ended.stdout[-300:]}"
            control = run(self.clean, *pytest_command("-m", "soak or not soak", failed[1]))
            if control.returncode == 0:
                return failed[1]
            self.broken.add(failed[1])
        return ""


def _relations(path: str) -> list[str]:
    """Return the name of a file, and the models that a suite or a macro determines."""
    names = [Path(path.removesuffix("/__init__.py")).stem]
    if path.startswith("expectations/"):
        names.append(json.loads((PROJECT / path).read_text())["meta"]["judges"]["table"])
    manifest = json.loads((PROJECT / f"{WAREHOUSE}.manifest.json").read_text(encoding="utf-8"))
    macros = {key for key, one in manifest["macros"].items() if one["original_file_path"] == path}
    nodes = manifest["nodes"].values()
    return names + [one["name"] for one in nodes if macros & {*one["depends_on"].get("macros", ())}]
