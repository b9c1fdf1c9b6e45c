"""Pytest fixtures that build test warehouses, and hooks that sort the tests into tiers."""

import fcntl
import hashlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner

from ai_manufacturing import cli
from tests import long_tests, stamp
from tests.python import dbt_process, models
from tests.python.landing_project import project  # noqa: F401 - a fixture

PROJECT = Path(__file__).resolve().parents[2]
WAREHOUSE = "warehouse.duckdb"
# Skip the browser tests without Playwright, which only the long tests install.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_browser_*.py"]
PUBLIC_EXTRACTS = PROJECT / os.environ.get("PUBLIC_EXTRACTS", "../shared/extracts/public")


@dataclass
class Build:
    """Settings, exit code and output of a dbt run into a separate warehouse."""

    # Whether the running test may start dbt.
    is_door: ClassVar[bool] = True

    extracts: Path
    warehouse: Path
    scratch: Path
    project: Path = PROJECT
    landing: Path | None = None
    excluded: str = ""
    artifacts: bool = True
    manifest: Path | None = None
    shell: dbt_process.Shell | None = None
    exit_code: int = -1
    output: str = field(default="", repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the dbt run, including a target folder that no other run uses.

        A copy of the project has its own target folder, because dbt's partial parse stores the path
        of the seeds.
        """
        target = self.scratch if self.project == PROJECT else self.project
        return {
            **os.environ,
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_PROFILES_DIR": str(self.project),
            "EXTRACTS_DIR": str(self.extracts),
            "WAREHOUSE_PATH": str(self.warehouse),
            "LANDING_DIR": str(self.landing or self.scratch / "landing"),
            "DBT_TARGET_PATH": str(target / "target"),
            "DBT_LOG_PATH": str(self.scratch / "logs"),
            "LC_ALL": "C.UTF-8",
            "DBT_EXCLUDE_RESOURCE_TYPES": self.excluded,
            "OPENBLAS_NUM_THREADS": "1",
            "CURVE_PERMUTATIONS": "0",
        }

    def dbt(self, *arguments: str) -> "Build":
        """Run dbt, and store the exit code and output."""
        assert self.is_door, "a test that starts dbt is a door: mark it so, or call models()"
        flags = ["--no-use-colors", *([] if self.artifacts else ["--no-write-json"])]
        arguments = (*flags, *arguments)
        # The running dbt process has parsed the original project for this warehouse name and
        # without --vars. Any other combination must be parsed in a new process.
        is_parsed = (
            self.project == PROJECT
            and self.warehouse.name == WAREHOUSE
            and "--vars" not in arguments
        )
        if self.shell is not None and is_parsed:
            self.exit_code, self.output = self.shell.dbt(*arguments, environment=self.environment)
        else:
            self.exit_code, self.output = dbt_process.run(
                [*arguments], self.project, self.environment
            )
        return self

    def models(self, *targets: str, edited: Iterable[str] = ()) -> models.Run:
        """Run the given models and their ancestors without dbt, skipping those with unchanged
        inputs.

        Parameters
        ----------
        *targets : str
            Names of models.
        edited : iterable of str
            Models and seeds whose relations a test changed by hand.
        """
        assert self.manifest is not None
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.environment.items():
                environment.setenv(name, value)
            return models.run(self.warehouse, self.manifest, targets, edited)

    def compiled(self, name: str) -> str:
        """Return the compiled SQL of a model or test, without the database name."""
        assert self.manifest is not None
        nodes = models.nodes_of(self.manifest).values()
        ((sql, database),) = [
            (node["compiled_code"], node["database"]) for node in nodes if node["name"] == name
        ]
        return str(sql).replace(f'"{database}".', "")

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the `ai-manufacturing` command, in a subprocess only if the project is a copy."""
        environment = {**self.environment, **environment}
        if self.project == PROJECT:
            run = CliRunner().invoke(cli.main, arguments, env=environment)
            is_crash = run.exception and not isinstance(run.exception, SystemExit)
            crash = traceback.format_exception(run.exception) if is_crash else []
            printed = run.stderr + "".join(crash)
            return subprocess.CompletedProcess(arguments, run.exit_code, run.stdout, printed)
        return subprocess.run(
            [str(Path(sys.executable).parent / "ai-manufacturing"), *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(query, list(values)).fetchall()

    def pairs(self, query: str, *values: Any) -> dict[Any, Any]:
        """Return the rows of a two-column query as a dictionary."""
        return dict(self.rows(query, *values))

    def frame(self, query: str) -> pd.DataFrame:
        """Return the result of a query on the warehouse as a DataFrame."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(query).df()

    def value(self, query: str, *values: Any) -> Any:
        """Return the only value in the result of a query on the warehouse."""
        ((value,),) = self.rows(query, *values)
        return value

    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables and views in a schema."""
        found = self.rows(
            "select table_name from information_schema.tables where table_schema = ?", schema
        )
        return {name for (name,) in found}


def environment_of_its_own(folder: Path, *packages: str) -> Path:
    """Create a virtual environment with the given packages, and return its Python interpreter.

    The test is skipped if they cannot be installed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    # Skip byte-compilation: tests import a small part of a large environment, and Python compiles
    # that part on import.
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-compile", *packages)
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), *install],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(
            f"cannot be installed here, perhaps for want of a network: {installed.stderr[-300:]}"
        )
    return python


LONGEST = (
    "test_a_run_publishes_as_the_command_a_bad_delivery_fails_and_the_web_ui_shows_both",
    "test_a_refresh_takes_dbt_along_when_it_is_killed_and_the_next_publishes_what_a_build_makes",
    "test_a_cluster_that_loses_a_worker_counts_as_duckdb_and_a_new_year_writes_its_partitions",
    "test_a_later_file_gives_what_a_full_build_gives",
    "test_a_new_provider_feeds_its_series",
    "test_a_bad_delivery_is_held_by_dbt_at_the_gate_and_published_by_hand_with_the_reason",
    "test_death_at_forty_points",
    "test_a_set_of_other_years_builds_by_the_period_that_it_names",
)
"""Tests of a minute or more, which the soak starts first. Tests that build shared fixtures come
before the tests that use them.
"""

TIERS = {
    "faults": ("delivery", "fresh", "refreshes"),
    "warehouse": ("sample_build", "public_build"),
}
"""Fixtures that put a test into a tier. The first match counts; the default is `functions`.

Tests marked `door` belong to that tier whatever their fixtures.
"""
DOORS = 8
"""Maximum number of door tests that are not marked soak."""
CASES = 2
"""Number of parameter cases per test that `make test` runs, except in the tier `functions`.

The remaining cases are marked soak. A test can choose its own by marking soak cases itself.
"""


def fixtures_of(item: pytest.Item) -> set[str]:
    """Return the names of the fixtures that a test requests, directly or as a parameter value."""
    case = getattr(item, "callspec", None)
    named = [value for value in case.params.values() if isinstance(value, str)] if case else []
    return {*getattr(item, "fixturenames", ()), *named}


def tier_by(fixtures: set[str]) -> str:
    """Return the tier of a test with these fixtures, unless the test is marked `door`."""
    return next((tier for tier, names in TIERS.items() if fixtures & {*names}), "functions")


def tier_of(item: pytest.Item) -> str:
    """Return the tier of a test: functions, warehouse, faults or door (see CONTRIBUTING.md)."""
    return "door" if item.get_closest_marker("door") else tier_by(fixtures_of(item))


def asks_for_public(item: pytest.Item) -> bool:
    """Return whether a test uses the warehouse that is built from the real public data."""
    return "public_build" in fixtures_of(item)


def rank(item: pytest.Item) -> int:
    """Return the sort key of a test: slow tiers run first, and tests of the public data run last.

    By then a worker has built the warehouse of the public data.
    """
    order = ("door", "faults", "functions", "warehouse")
    return len(order) if asks_for_public(item) else order.index(tier_of(item))


COLLECTED: set[str] = set()
"""Long tests that this session collected, by file and function."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command-line options for running the long tests (see tests/long_tests.py)."""
    parser.addoption("--long", type=float, metavar="MINUTES", help="run so much of the long tests")
    parser.addoption("--shuffle", metavar="SEED", help="run the tests in the order of this seed")
    parser.addoption(
        "--record", action="store_true", help="record in the ledger which long tests passed"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin that records long tests, but only in the controller process of xdist."""
    asked = config.getoption("long") or config.getoption("record")
    if asked and not hasattr(config, "workerinput"):
        config.pluginmanager.register(long_tests.Recorder(writes=config.getoption("record")))


def pytest_report_header() -> str:
    """Return a header line that says how long ago the long tests last passed."""
    return long_tests.age()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and start the slowest tests first to balance the workers."""
    cases: Counter[str] = Counter()
    for item in items:
        item.add_marker(tier_of(item))
        if tier_of(item) != "functions" and not item.get_closest_marker("soak"):
            test, bracket, _ = item.nodeid.partition("[")
            cases[test] += bool(bracket)
            if cases[test] > CASES:
                item.add_marker("soak")
    soak = [item for item in items if item.get_closest_marker("soak")]
    for item in soak:
        # Do not treat warnings as errors: only long tests import libraries such as Dagster, which
        # trigger deprecation warnings.
        if not item.get_closest_marker("filterwarnings"):
            item.add_marker(pytest.mark.filterwarnings("default"))
    doors = [item.nodeid for item in items if tier_of(item) == "door" and item not in soak]
    if len(doors) > DOORS:
        raise pytest.UsageError(
            f"{len(doors)} doors are open in `make test`, at most {DOORS}: {', '.join(doors)}"
        )
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=rank)
    # Start one test of the public data early, so that one worker builds that warehouse meanwhile.
    builder = next(filter(asks_for_public, items), None)
    items.sort(key=lambda item: item is not builder)
    items.sort(key=lambda item: places.get(getattr(item, "originalname", ""), len(places)))
    if seed := config.getoption("shuffle"):
        random.Random(seed).shuffle(items)
    COLLECTED.update(long_tests.function_of(item.nodeid) for item in soak)
    if minutes := config.getoption("long"):
        chosen = long_tests.chosen(soak, minutes)
        left = [item for item in soak if long_tests.function_of(item.nodeid) not in chosen]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)


@pytest.fixture(autouse=True)
def tier_is_right(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test if it requests a fixture of a different tier with `getfixturevalue`."""
    yield
    used = tier_by({*request.fixturenames})
    if tier_of(request.node) not in (used, "door"):
        pytest.fail(
            f"This test counts as {tier_of(request.node)}, but a fixture that it looked up by name"
            f" makes it {used}. Write the fixtures of that tier in its signature."
        )


@pytest.fixture(autouse=True)
def behind_a_door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent tests without the mark `door` from starting dbt."""
    monkeypatch.setattr(Build, "is_door", request.node.get_closest_marker("door") is not None)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary state folder, so that tests do not change the user's records of trusted
    files.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder for the dbt artifacts and warehouses of one test worker."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that all test workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[], object]) -> Path:
    """Create the content of a folder in one test worker, while other workers wait for a lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make()
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def client(shared: Path) -> Callable[[str], Path]:
    """Return a function that installs a DuckDB version and returns the environment's Python."""

    def of_version(version: str) -> Path:
        folder = shared / f"duckdb_{version}"
        made_once(folder, lambda: environment_of_its_own(folder / "venv", f"duckdb=={version}"))
        return folder / "venv/bin/python"

    return of_version


def built_once(build: Build, make: Callable[[Build], Build]) -> Build:
    """Run a build unless another test worker has already run it, and load its output."""
    printed = build.scratch / "printed.txt"

    def built() -> None:
        make(build)
        assert build.exit_code == 0, build.output
        printed.write_text(build.output, encoding="utf-8")

    made_once(build.scratch, built)
    build.exit_code, build.output = 0, printed.read_text(encoding="utf-8")
    return build


MADE = PROJECT / "build"
"""Default output folder of `make build`."""


def stamp_of(extracts: Path) -> str:
    """Return the fingerprint of the current code and seeds together with the given data files."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBT_PROJECT_DIR", str(PROJECT))
        environment.setenv("EXTRACTS_DIR", str(extracts))
        return stamp.now()


def is_of_this_code(made: Path) -> bool:
    """Return whether `make build` created a warehouse from the current code, seeds and sample."""
    extracts = MADE / "extracts/sample"
    if not stamp.of(made) or not extracts.is_dir() or not (MADE / "landing").is_dir():
        return False
    return stamp.of(made) == stamp_of(extracts)


def with_manifest(build: Build) -> Build:
    """Run a full `dbt build`, and save the manifest with the compiled SQL."""
    assert build.manifest is not None
    build.exit_code, build.output = dbt_process.run(
        ["--no-use-colors", "build"], PROJECT, build.environment
    )
    shutil.copyfile(build.scratch / "target/manifest.json", build.manifest)
    return build


@pytest.fixture(scope="session")
def sample_build(shared: Path) -> Build:
    """Return a build of the synthetic sample, copied from `make build` if that is up to date."""
    folder = shared / "sample"
    build = Build(
        folder / "extracts/sample",
        folder / WAREHOUSE,
        folder,
        manifest=folder / "manifest.json",
    )
    made = MADE / WAREHOUSE

    def make(build: Build) -> Build:
        assert build.manifest is not None
        if not is_of_this_code(made):
            drawn = build.command("synthetic", "--out", str(build.extracts))
            assert drawn.returncode == 0, drawn.stderr
            return with_manifest(build)
        shutil.copytree(MADE / "extracts/sample", build.extracts)
        shutil.copytree(MADE / "landing", build.scratch / "landing")
        shutil.copyfile(made, build.warehouse)
        shutil.copyfile(made.with_name(f"{made.name}.manifest.json"), build.manifest)
        build.exit_code = 0
        return build

    return built_once(build, make)


@pytest.fixture(scope="session")
def public_extracts() -> Path:
    """Return the folder of the real public data, or skip the test if the folder does not exist.

    These files may not be redistributed, so most clones of the repository lack them.
    """
    if not PUBLIC_EXTRACTS.is_dir():
        pytest.skip("the real public deliveries are not here; set PUBLIC_EXTRACTS to their folder")
    return PUBLIC_EXTRACTS.resolve()


@pytest.fixture(scope="session")
def public_build(public_extracts: Path, sample_build: Build) -> Build:
    """Return a warehouse of the real public data, built without dbt in this or an earlier session.

    The build stays in one place, because its view of delivered values contains the landing folder's
    path; tests only read it. The two newest builds are retained, so that switching between two
    branches rebuilds neither.
    """
    runner = hashlib.sha256(Path(models.__file__).read_bytes()).hexdigest()
    folder = MADE / "public_set" / f"{stamp_of(public_extracts)[:16]}_{runner[:8]}"
    build = Build(public_extracts, folder / WAREHOUSE, folder, manifest=sample_build.manifest)

    def make(build: Build) -> Build:
        newest_first = sorted(folder.parent.iterdir(), key=lambda path: -path.stat().st_mtime)
        for old in newest_first[2:]:
            shutil.rmtree(old)
        # Delete partial files, which an interrupted session may have left.
        build.warehouse.unlink(missing_ok=True)
        build.warehouse.with_name(f"{WAREHOUSE}.wal").unlink(missing_ok=True)
        shutil.rmtree(folder / "landing", ignore_errors=True)
        seed(build, sample_build)
        assert build.manifest is not None
        nodes = models.nodes_of(build.manifest).values()
        run = build.models(*(node["name"] for node in nodes if node["resource_type"] == "model"))
        assert run.failed == {}
        # The view was compiled for the sample, and reads a register that this set does not have,
        # in a folder that a later session deletes.
        with duckdb.connect(str(build.warehouse)) as connection:
            for statement in (
                "create temp table none as from intermediate.int_register_delivered limit 0",
                "drop view intermediate.int_register_delivered",
                "create table intermediate.int_register_delivered as from none",
            ):
                connection.execute(statement)
        build.exit_code = 0
        return build

    return built_once(build, make)


@pytest.fixture(scope="session")
def shell(scratch: Path) -> Iterator[dbt_process.Shell]:
    """Start a process that parses the dbt project once for all tests of an xdist worker."""
    with dbt_process.shell(
        PROJECT, Build(scratch / "extracts", scratch / WAREHOUSE, scratch).environment
    ) as parsed:
        yield parsed


@pytest.fixture
def fresh(
    scratch: Path, sample_build: Build, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Build]:
    """Return a build whose warehouse contains only seeds, and a path for the test's data files.

    The warehouse has one path in all tests of a worker, because the parsed project contains that
    path. Door tests start without seeds. Unit tests are excluded, since they bring their own rows.
    Writing artifacts takes a quarter of a small run, so they are off by default.
    """
    is_door = request.node.get_closest_marker("door") is not None
    build = Build(
        tmp_path / "extracts",
        scratch / WAREHOUSE,
        scratch,
        landing=tmp_path / "landing",
        excluded="unit_test",
        artifacts=False,
        shell=request.getfixturevalue("shell") if is_door else None,
        manifest=sample_build.manifest,
    )
    if not is_door:
        seed(build, sample_build)
    yield build
    build.warehouse.unlink(missing_ok=True)
    build.warehouse.with_name(build.warehouse.name + ".wal").unlink(missing_ok=True)
    shutil.rmtree(tmp_path, ignore_errors=True)


def seed(build: Build, sample_build: Build) -> None:
    """Copy the seed tables from the sample's warehouse to a new warehouse."""
    with duckdb.connect(str(build.warehouse)) as connection:
        connection.execute(f"attach '{sample_build.warehouse}' as sample (read_only)")
        connection.execute("create schema seeds")
        for name in sorted(sample_build.tables("seeds")):
            connection.execute(f'create table seeds."{name}" as from sample.seeds."{name}"')


@pytest.fixture
def seeded(fresh: Build, sample_build: Build) -> None:
    """Load the seed tables into the empty warehouse of a test that starts dbt."""
    seed(fresh, sample_build)


@pytest.fixture
def delivery(fresh: Build, sample_build: Build, tmp_path: Path) -> Build:
    """Return copies of the sample's data files and warehouse that a test may modify."""
    fresh.extracts = Path(shutil.copytree(sample_build.extracts, tmp_path / "sample"))
    shutil.copyfile(sample_build.warehouse, fresh.warehouse)
    # Copy the landing store too, so that its log contains no deliveries of other tests.
    fresh.landing = Path(shutil.copytree(sample_build.scratch / "landing", tmp_path / "landing"))
    return fresh


# Import these modules last, because they use the definitions above.
from tests.python.release_store import (  # noqa: E402, F401 - fixtures
    audited_build,
    light_build,
    refreshes,
    sample_refreshes,
    small_build,
    store,
)
from tests.python.site_reader import (  # noqa: E402, F401 - fixtures
    browser,
    few,
    given_away,
    one_page,
    public_page,
    public_release,
    public_site,
    reader,
    restricted_sample,
    sample_page,
    sample_release,
    sample_site,
)
