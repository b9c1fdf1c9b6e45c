"""Find the quick tests that run a given line, using coverage data of a build and the tests."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from tests.mutants.places import Mutant
from tests.project_copy import PROJECT, pytest_command, run

SETTINGS = """
[run]
source = {project}/src/ai_manufacturing
parallel = true
patch = _exit, fork
data_file = {data}
context = ${{PYTEST_CURRENT_TEST-shared}}
dynamic_context = test_function
"""
# This test drops its privileges, so coverage cannot write its data file.
UNMEASURED = "test_folders_and_files_that_may_not_be_read_are_named"
TEST = re.compile(r"tests[./]python[./](test_\w+)\.(?:py::\w+.* \(call\)|test_)")


@dataclass(frozen=True)
class Reach:
    """Test files that run a given line, and whether a build or other tests may run the line.

    An import or a fixture runs a line for other tests than the one that coverage names.
    """

    files: set[str]
    is_built: bool = True
    is_shared: bool = True


def measure(project: Path, data: Path) -> CoverageData:
    """Run a build and the quick tests under coverage, unless the coverage file exists.

    Tests that fail without any fault are listed in a file beside the coverage.
    """
    if not data.exists():
        settings = project / "build/coverage.ini"
        settings.write_text(SETTINGS.format(project=project, data=data.resolve()))
        measured = ("env", f"COVERAGE_PROCESS_START={settings}")
        run(project, *measured, "PYTEST_CURRENT_TEST=build", "dbt", "build", "--full-refresh")
        options = ("-k", f"not {UNMEASURED}", "--maxfail=1000", "-rfE")
        ended = run(project, *measured, *pytest_command(*options, workers=2))
        data.with_suffix(".broken").write_text("\n".join(list_failures(ended.stdout)))
        run(project, "coverage", "combine", f"--rcfile={settings}")
    contexts = CoverageData(str(data))
    contexts.read()
    return contexts


def list_failures(output: str) -> list[str]:
    """Return the tests that pytest reports as failed, in the order of its summary."""
    return re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", output, re.MULTILINE)


def reach(contexts: CoverageData, mutant: Mutant) -> Reach:
    """Return the test files that run the statement that a mutant changes.

    A module of the same folder reads a SQL file, so tests that run the folder reach the file.
    """
    source = PROJECT / mutant.path
    is_sql, runs, around = source.suffix == ".sql", set[str](), set[str]()
    for module in contexts.measured_files():
        is_own = module.endswith(f"/{mutant.path}")
        if is_own or (is_sql and Path(module).parent.parts[-2:] == source.parent.parts[-2:]):
            by_line = contexts.contexts_by_lineno(module)
            around.update(*by_line.values())
            lines = by_line if is_sql else _statement(source, mutant.line)
            runs.update(*(by_line.get(line, []) for line in lines))
    is_shared = not all(TEST.search(one) for one in runs)
    tests = map(TEST.search, around if is_shared or not runs else runs)
    files = {f"tests/python/{test[1]}.py" for test in tests if test}
    return Reach(files, any(one.startswith("build") for one in runs), is_shared)


def _statement(path: Path, line: int) -> range:
    """Return the line range of the innermost statement that contains a line."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    statements = [node for node in nodes if isinstance(node, ast.stmt)]
    spans = [range(node.lineno, (node.end_lineno or 0) + 1) for node in statements]
    return min((span for span in spans if line in span), key=len)
