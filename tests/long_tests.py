"""Choose the long tests to run in CI, and record when each last passed.

`pytest -m soak --long=12` runs twelve minutes of long tests. Tests that a change since their last
pass can break come first, then the tests that passed longest ago. The ledger
tests/fixtures/long_tests.csv records when each last passed; `make soak` updates it.
"""

import ast
import csv
import hashlib
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LEDGER = PROJECT / "tests/fixtures/long_tests.csv"
MANIFEST = PROJECT / "build/warehouse.duckdb.manifest.json"
UNKNOWN_SECONDS = 40.0
OVERDUE = timedelta(days=7)
BUILT = ("models", "python_models", "seeds", "macros", "expectations")
TABLE = re.compile(
    r"\bseeds\.\"?(\w+)|ref\(['\"](\w+)|\b((?:dim|est|fct|gate|int|raw|rpt|stg)_\w+)"
)


def git(*arguments: str) -> str:
    """Return the output of a git command, or an empty string if the command fails."""
    run = subprocess.run(
        ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return "" if run.returncode else run.stdout.strip()


@cache
def changed_since(commit: str) -> frozenset[str]:
    """Return the files that differ from a commit.

    Every file counts as changed if the commit is empty or unknown, as in a shallow clone.
    """
    known = commit and git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    base = known or git("hash-object", "-t", "tree", os.devnull)
    return frozenset(git("diff", "--name-only", base).splitlines())


@cache
def files() -> dict[str, Path]:
    """Return the project's files, keyed by their paths relative to the project root."""
    roots = ("src", "tests", "docs", *BUILT)
    found = (path for root in roots for path in (PROJECT / root).rglob("*") if path.is_file())
    return {path.relative_to(PROJECT).as_posix(): path for path in found if path.suffix != ".pyc"}


@cache
def tables() -> dict[str, str]:
    """Map each table name to the file of its model or seed."""
    return {
        path.stem: name
        for name, path in files().items()
        if name.startswith(("models/", "python_models/", "seeds/"))
        and path.suffix in (".sql", ".py", ".csv")
    }


@cache
def commands() -> dict[str, str]:
    """Map each command-line command to the module that defines the command."""
    return {
        node.name.replace("_", "-"): name
        for name in files()
        if name.startswith("src/ai_manufacturing/cli/") and name.endswith(".py")
        for node in ast.parse(files()[name].read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    }


@cache
def fixture_files() -> dict[str, str]:
    """Map each pytest fixture to the helper module that defines the fixture."""
    return {
        node.name: name
        for name in files()
        if re.fullmatch(r"tests/python/(?!test_|conftest)\w+\.py", name)
        for node in ast.parse(files()[name].read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


@cache
def parents() -> dict[str, set[str]]:
    """Map each dbt file to the files of its parent nodes and macros, from dbt's manifest.

    The manifest includes references that macros write. Without a build, only the references in a
    file's own text are known.
    """
    if not MANIFEST.exists():
        return {}
    manifest = json.loads(MANIFEST.read_text("utf-8"))
    place = {
        name: node["original_file_path"]
        for kind in ("nodes", "macros")
        for name, node in manifest[kind].items()
    }
    of: dict[str, set[str]] = {}
    for node in manifest["nodes"].values():
        above = (*node["depends_on"].get("nodes", ()), *node["depends_on"]["macros"])
        of.setdefault(node["original_file_path"], set()).update(
            place[name] for name in above if name in place
        )
    return of


def imported(tree: ast.AST) -> Iterable[str]:
    """Yield the possible file paths of the modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            path = name.replace(".", "/")
            root = "" if name.startswith("tests") else "src/"
            yield from (f"{root}{path}.py", f"{root}{path}/__init__.py")


@cache
def seen_from(name: str) -> frozenset[str]:
    """Return the project files that a file imports, reads or names."""
    path = files()[name]
    if path.suffix not in (".py", ".sql"):
        return frozenset()
    text = path.read_text("utf-8")
    named = {word for match in TABLE.findall(text) for word in match}
    seen = {tables()[word] for word in named & tables().keys()} | parents().get(name, set())
    if path.suffix == ".py":
        tree = ast.parse(text)
        seen.update(imported(tree))
        package = path.parent if path.name == "__init__.py" else None
        if name.startswith("src/") and name != "src/ai_manufacturing/__init__.py":
            # A package's data files, such as templates, belong to its __init__.py. A file next to a
            # module belongs to the module if both have the same stem, like contents.sql.
            beside = package.rglob("*") if package else path.parent.glob(f"{path.stem}.*")
            others = {one.relative_to(PROJECT).as_posix() for one in beside}
            seen.update(one for one in others if not one.endswith(".py"))
        if name.startswith("tests/"):
            texts = {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            seen.update(commands()[text] for text in texts & commands().keys())
            seen.update(texts & files().keys())
    # Exclude conftest.py, because it would connect every test to the whole package.
    return frozenset(seen & files().keys() - {name, "tests/python/conftest.py"})


def reach(file: str, fixtures: Iterable[str] = (), *, is_door: bool = False) -> dict[str, int]:
    """Return the files that can affect a test, with the length of the dependency chain to each.

    Parameters
    ----------
    file : str
        The test's file.
    fixtures : iterable of str
        Fixtures that the test uses.
    is_door : bool
        Whether the test runs a whole build, which puts every model and seed two steps away.
    """
    start = {file, *(fixture_files()[name] for name in fixtures if name in fixture_files())}
    steps = dict.fromkeys(start, 0)
    level = start
    while level:
        distance = steps[next(iter(level))] + 1
        level = {seen for name in level for seen in seen_from(name)} - steps.keys()
        if is_door and distance == 2:
            level |= {name for name in files() if name.startswith(BUILT)} - steps.keys()
        steps.update(dict.fromkeys(level, distance))
    return steps


@dataclass(frozen=True)
class Passed:
    """Last pass of a long test; commit and date are empty if the test has never passed."""

    commit: str = ""
    date: str = ""
    seconds: float = UNKNOWN_SECONDS


def ledger() -> dict[str, Passed]:
    """Read the last pass of each long test from long_tests.csv, keyed by test ID."""
    with LEDGER.open(encoding="utf-8", newline="") as lines:
        return {
            row["test"]: Passed(
                row["commit"], row["date"], float(row["seconds"] or UNKNOWN_SECONDS)
            )
            for row in csv.DictReader(lines)
        }


def in_order(
    reaches: dict[str, dict[str, int]],
    passed: dict[str, Passed],
    commit: str,
    changed: Callable[[str], frozenset[str]] = changed_since,
) -> list[str]:
    """Return the long tests in the order in which CI should run them.

    Tests that can see a file that changed since they last passed come first, starting with the
    nearest and most specific. Then come the tests that passed longest ago. A hash with the commit
    breaks ties, so that every test gets its turn.
    """

    def place(test: str) -> tuple[Any, ...]:
        last = passed.get(test, Passed())
        steps = [reaches[test][name] for name in changed(last.commit) & reaches[test].keys()]
        specific = (0, min(steps), len(reaches[test])) if steps else (1,)
        lot = hashlib.sha256(f"{commit} {test}".encode()).hexdigest()
        return (*specific, last.date, lot)

    return sorted(reaches, key=place)


def that_fit(tests: list[str], passed: dict[str, Passed], seconds: float) -> list[str]:
    """Return the first tests that fit into the given number of seconds, but at least one."""
    fitting, total = [], 0.0
    for test in tests:
        total += passed.get(test, Passed()).seconds
        if fitting and total > seconds:
            break
        fitting.append(test)
    return fitting


def function_of(nodeid: str) -> str:
    """Return a pytest node ID without the parameters in brackets."""
    return nodeid.partition("[")[0]


def chosen(soak: list[pytest.Item], minutes: float) -> set[str]:
    """Return the IDs of the long tests that fit into this CI run."""
    fixtures: dict[str, set[str]] = {}
    doors = set()
    for item in soak:
        test = function_of(item.nodeid)
        fixtures.setdefault(test, set()).update(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("door"):
            doors.add(test)
    reaches = {
        test: reach(test.partition("::")[0], names, is_door=test in doors)
        for test, names in fixtures.items()
    }
    passed = ledger()
    tests = in_order(reaches, passed, git("rev-parse", "HEAD"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return {*that_fit(tests, passed, minutes * 60 * workers)}


def overdue(passed: dict[str, Passed], now: str) -> list[str]:
    """Return the tests whose last pass is more than a week older than the commit date `now`."""
    if not now:
        return []
    limit = datetime.fromisoformat(now) - OVERDUE
    dated = {test: run.date for test, run in passed.items() if run.date}
    return [test for test, date in dated.items() if datetime.fromisoformat(date) < limit]


def age() -> str:
    """Return a one-line summary of how long ago the long tests passed."""
    passed = ledger()
    dates = [run.date for run in passed.values() if run.date]
    never = len(passed) - len(dates)
    late = len(overdue(passed, git("log", "-1", "--format=%cI")))
    oldest = f"the oldest pass is of {min(dates)[:10]}" if dates else "none has passed"
    return (
        f"long tests: {len(passed)}, {never} never recorded, {late} more than"
        f" {OVERDUE.days} days of commits ago; {oldest}"
    )


class Recorder:
    """Pytest plugin that records which long tests pass, and optionally updates long_tests.csv.

    CI discards its clone, so there the rows are printed instead, and the session fails if a test is
    overdue and did not run now.
    """

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes
        self.seconds: Counter[str] = Counter()
        self.passed: set[str] = set()
        self.failed: set[str] = set()
        self.overdue: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the duration of a long test's setup, call or teardown to the test's total."""
        if "soak" not in report.keywords:
            return
        test = function_of(report.nodeid)
        self.seconds[test] += report.duration  # type: ignore[assignment]
        if report.failed:
            self.failed.add(test)
        elif report.when == "call" and report.passed:
            self.passed.add(test)

    def new_rows(self) -> dict[str, Passed]:
        """Return new rows of long_tests.csv for the long tests that passed in this session."""
        commit, _, date = git("log", "-1", "--format=%h %cI").partition(" ")
        return {
            test: Passed(commit, date, round(self.seconds[test], 1))
            for test in sorted(self.passed - self.failed)
        }

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Update long_tests.csv, or fail the session if an overdue long test did not run."""
        if self.writes:
            write(ledger() | self.new_rows())
            return
        late = overdue(ledger(), git("log", "-1", "--format=%cI"))
        self.overdue = [test for test in late if test not in self.seconds]
        if self.overdue:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the long tests that passed, and the long tests that are overdue."""
        terminalreporter.section("long tests that passed")
        for test, run in self.new_rows().items():
            terminalreporter.write_line(f"{test},{run.commit},{run.date},{run.seconds}")
        for test in self.overdue:
            terminalreporter.write_line(
                f"{test} last passed more than {OVERDUE.days} days of commits ago. Run `make soak`"
                " and commit tests/fixtures/long_tests.csv."
            )


def write(passed: dict[str, Passed]) -> None:
    """Write the last pass of each long test to long_tests.csv, sorted by test ID."""
    with LEDGER.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["test", "commit", "date", "seconds"])
        for test, run in sorted(passed.items()):
            writer.writerow([test, run.commit, run.date, run.seconds if run.commit else ""])
