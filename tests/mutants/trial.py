"""Run linters, dbt and the relevant quick tests on a mutant of the project."""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import project_copy
from tests.mutants.places import Mutant
from tests.mutants.reach import Reach, list_failures, measure, reach
from tests.project_copy import PROJECT, SAMPLE, WAREHOUSE, pytest_command, run

# Operators whose mutants are also checked with mypy, which takes a minute.
TYPED = {"arguments swapped", "default dropped", "guard removed", "filter dropped", "+ to -"}
INVALID = re.compile(r"(?:Parser|Binder|Catalog|Compilation|Syntax|Conversion) Error")
# Excludes tests that any edit may break, and browser tests, which need their own environment.
LEFT_OUT = re.compile(r"test_(planted_faults|mutants|browser_.*)\.py")
# A trial runs the dbt unit tests of the changed models, so the test that runs all unit tests is
# excluded.
DBT_HABITS = "tests/python/test_dbt_habits.py"
UNIT_TESTS = f"{DBT_HABITS}::test_every_unit_test_of_a_model_passes_and_makes_no_relation"
LONGEST = 1200  # Timeout in seconds, because a fault may cause an infinite loop.
GENERATE = f"from ai_manufacturing.cli import main; main(['synthetic', '--out', '{SAMPLE}'])"


class Trial:
    """Two copies of the project: one that contains one mutant at a time, and a clean one.

    A test that fails in the clean copy finds nothing, and is noted beside the coverage. That copy
    contains an added comment, because a test may fail whenever the code differs from the build.
    """

    def __init__(self, folder: Path, coverage: Path) -> None:
        self.clean, self.copy = folder / "clean", folder / "copy"
        self.broken = coverage.with_suffix(".broken")
        for project in (self.clean, self.copy):
            project_copy.copy_of_the_project(project)
            project_copy.commit(project)
            shutil.copytree(PROJECT / "build", project / "build")
        self.contexts = measure(self.clean, coverage)
        with (self.clean / "src/ai_manufacturing/__init__.py").open("a") as module:
            module.write("\n# A change.\n")
        project_copy.stamp(self.clean)

    def outcome(self, mutant: Mutant) -> tuple[str, str]:
        """Return whether a mutant was killed, survived or was refused, and by which check.

        The mutant is undecided if tests that were not run may also run the changed line.
        """
        in_source = mutant.path.startswith("src/")
        seen = reach(self.contexts, mutant) if in_source else Reach(set())
        with self._planted([mutant]):
            if refusal := self._refusal(mutant):
                return "refused", refusal
            found = self._found(mutant, seen)
        if found.startswith("dbt") and INVALID.search(found):
            return "refused", found
        return ("killed" if found else "undecided" if seen.is_shared else "survived"), found

    def decide(
        self, mutants: list[Mutant], tests: Sequence[str] = ()
    ) -> Iterator[tuple[Mutant, str]]:
        """Yield each mutant and the first of the given, or of all quick, tests that finds it.

        All tests run for many mutants at once, because they take minutes and find few of the
        mutants that the nearest tests missed. If a test fails, it runs for either half of them.
        """
        with self._planted(mutants):
            failure = self._build([mutant.path for mutant in mutants], [])
            failures = [failure] if failure else self._failures(tests)
        if not failures or len(mutants) == 1:
            yield from ((mutant, failures[0] if failures else "") for mutant in mutants)
            return
        tests, half = (tests if failure else failures), len(mutants) // 2
        yield from self.decide(mutants[:half], tests)
        yield from self.decide(mutants[half:], tests)

    @contextmanager
    def _planted(self, mutants: list[Mutant]) -> Iterator[None]:
        """Plant mutants in the copy, and restore its files and its build afterwards."""
        texts: dict[Path, str] = {}
        # Later places first, because a change moves the places after it.
        for mutant in sorted(mutants, key=lambda one: one.start, reverse=True):
            path = self.copy / mutant.path
            text = path.read_text(encoding="utf-8")
            texts.setdefault(path, text)
            path.write_text(mutant.applied(text), encoding="utf-8")
        try:
            yield
        finally:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8")
            shutil.rmtree(self.copy / "build")
            shutil.copytree(PROJECT / "build", self.copy / "build")

    def _refusal(self, mutant: Mutant) -> str:
        """Return the static check that rejects a mutant, or an empty string if all checks pass."""
        lint = f"ruff check {mutant.path}" if mutant.path.endswith(".py") else "dbt parse"
        checks = [lint, "mypy"] if mutant.operator in TYPED else [lint]
        return next((check for check in checks if run(self.copy, *check.split()).returncode), "")

    def _found(self, mutant: Mutant, seen: Reach) -> str:
        """Return the build or test near a mutant that fails because of it; cheap ones run first."""
        relations, in_source = _relations(mutant.path), mutant.path.startswith("src/")
        folder = [Path(mutant.path).parts[0]] if mutant.stratum == "data" else []
        names = re.compile(rf"\b(?:{'|'.join([*relations, *folder])})\b")
        texts = {
            f"tests/python/{file.name}": file.read_text()
            for file in (self.copy / "tests/python").glob("test_*.py")
            if not LEFT_OUT.fullmatch(file.name)
        }
        named = {name for name, text in texts.items() if names.search(text)}
        near = seen.files & {*texts} or named
        is_seen = in_source or mutant.stratum == "data"
        found = self._tests(near, "functions and not soak") if is_seen else ""
        if not found and seen.is_built:
            found = self._build([mutant.path], [] if in_source else relations)
        project_copy.stamp(self.copy)
        return found or self._tests(near, "not soak")

    def _build(self, paths: list[str], relations: list[str]) -> str:
        """Run unit tests of some models and a build, and return the failure, if any."""
        units = [f"{name},test_type:unit" for name in relations]
        stages = [["dbt", "test", "--select", *units]] if units else []
        is_generated = re.search(r"/synthetic/|seeds/(cities|industries)", " ".join(paths))
        stages += [[sys.executable, "-c", GENERATE]] if is_generated else []
        # A first build has no tables to fall back on. Unit tests need tables, so they run before.
        for stage in (*stages, ["rm", WAREHOUSE], ["dbt", "build", "--full-refresh"]):
            ended = run(self.copy, *stage, seconds=LONGEST)
            if ended.returncode:
                failed = re.findall(r"(?:Failure|Error) in .*\n.*", ended.stdout + ended.stderr)
                return f"{' '.join(stage[:2])}: {'; '.join(failed[:2]) or ended.stdout[-300:]}"
        shutil.copy(self.copy / "target/manifest.json", self.copy / f"{WAREHOUSE}.manifest.json")
        return ""

    def _tests(self, files: set[str], marks: str) -> str:
        """Return the first test that fails because of the mutant, or an empty string."""
        while files:
            named = sorted(files)
            broken = self.broken.read_text().splitlines()
            left_out = (f"--deselect={test}" for test in (UNIT_TESTS, *broken))
            command = pytest_command("-rfE", "-m", marks, *left_out, *named, workers=2)
            ended = run(self.copy, *command, seconds=LONGEST)
            if ended.returncode in (0, 5):  # pytest exits with 5 if no test matches.
                return ""
            failures = list_failures(ended.stdout)
            test = failures[0] if failures else f"pytest ended with {ended.returncode}"
            control = pytest_command("-m", "soak or not soak", test)
            if not failures or run(self.clean, *control).returncode == 0:
                return test
            self.broken.write_text("\n".join([*broken, test]))
        return ""

    def _failures(self, tests: Sequence[str]) -> list[str]:
        """Return the given tests, or quick tests if none are given, that fail only in the copy."""
        project_copy.stamp(self.copy)
        broken = self.broken.read_text(encoding="utf-8").splitlines()
        left_out = [f"--deselect={test}" for test in (UNIT_TESTS, *broken)]
        files = (self.copy / "tests/python").glob("test_*.py")
        left_out += [f"--ignore={file}" for file in files if LEFT_OUT.fullmatch(file.name)]
        options = ("-rfE", "--maxfail=1000", "-m", "not soak", *left_out)
        ended = run(self.copy, *pytest_command(*options, *tests, workers=2))
        failures = list_failures(ended.stdout)
        if not failures:
            return []
        control = run(self.clean, *pytest_command("-rfE", "--maxfail=1000", *failures))
        return [test for test in failures if test not in list_failures(control.stdout)]


def _relations(path: str) -> list[str]:
    """Return the stem of a project file, and the tables that depend on the file."""
    if path.startswith("expectations/"):
        judged = json.loads((PROJECT / path).read_text(encoding="utf-8"))["meta"]["judges"]
        return [Path(path).stem, judged["table"]]
    if not path.startswith("macros/"):
        return [Path(path).stem]
    macros = re.findall(r"macro (\w+)\(", (PROJECT / path).read_text(encoding="utf-8"))
    call = re.compile(rf"\b(?:{'|'.join(macros)})\(")
    models = (PROJECT / "models").rglob("*.sql")
    return [Path(path).stem, *(file.stem for file in models if call.search(file.read_text()))]
