"""Tests for the Dagster code location, run in a separate virtual environment."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.python.conftest import PROJECT, Build, environment_of_its_own, made_once
from tests.python.release_store import check
from tests.python.test_gate import unit_slip_of_a_year
from tests.python.waiting import LAST_RESORT, wait_for

pytestmark = [pytest.mark.door, pytest.mark.soak]

LOCATION = ("-m", "ai_manufacturing.refresh.dagster_location")


@dataclass
class Dagster:
    """A Dagster installation, and the release folder to which its runs publish."""

    binaries: Path
    releases: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.binaries / "dagster"), *arguments],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def published(self) -> Path:
        return self.releases / "ai_manufacturing.duckdb"


@pytest.fixture(scope="session")
def installed(shared: Path) -> Path:
    """Install Dagster and this package, and return the folder of their executables."""
    folder = shared / "dagster"

    def install() -> None:
        python = environment_of_its_own(
            folder / "venv", "--require-hashes", "-r", str(PROJECT / "requirements/dagster.txt")
        )
        package = ("install", "--quiet", "--no-deps", "--no-build-isolation", "-e", str(PROJECT))
        subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *package], check=True)

    made_once(folder, install)
    return folder / "venv/bin"


@pytest.fixture
def dagster(installed: Path, sample_build: Build, tmp_path: Path) -> Dagster:
    folder = tmp_path / "dagster"
    extracts = Path(shutil.copytree(sample_build.extracts, folder / "sample"))
    (folder / "home").mkdir()
    environment = {
        **os.environ,
        "PATH": f"{installed}:{os.environ['PATH']}",
        "DAGSTER_HOME": str(folder / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DBT_PROJECT_DIR": str(PROJECT),
        "EXTRACTS_DIR": str(extracts),
        "LANDING_DIR": str(folder / "landing"),
        "RELEASE_DIR": str(folder / "releases"),
        "CURVE_PERMUTATIONS": "0",
    }
    return Dagster(installed, folder / "releases", environment)


@dataclass
class WebServer:
    url: str

    def query(self, text: str) -> Any:
        """Run a GraphQL query and return its data."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=LAST_RESORT) as answer:
            return json.load(answer)["data"]

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.query("{ version }"))
        return False

    def assets(self) -> dict[str, Any]:
        """Return the assets that the web server lists, as a dictionary by asset key."""
        nodes = self.query(
            "{ assetNodes { assetKey { path } dependencyKeys { path } "
            "assetMaterializations(limit: 1) { runId } "
            "assetChecksOrError { ... on AssetChecks { checks { "
            "executionForLatestMaterialization { status } } } } } }"
        )["assetNodes"]
        return {"/".join(node["assetKey"]["path"]): node for node in nodes}


@pytest.fixture
def web_server(dagster: Dagster) -> Iterator[WebServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(dagster.binaries / "dagster-webserver"),
            *LOCATION,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        cwd=PROJECT,
        env=dagster.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = WebServer(f"http://127.0.0.1:{port}")
    try:
        wait_for(server.answers, lambda: process.poll() is not None)
        yield server
    finally:
        process.terminate()
        process.wait()


def test_a_run_publishes_as_the_command_a_bad_delivery_fails_and_the_web_ui_shows_both(
    dagster: Dagster, web_server: WebServer
) -> None:
    valid = dagster.run("definitions", "validate")
    assert valid.returncode == 0, valid.stderr

    def refresh() -> subprocess.CompletedProcess[str]:
        return dagster.run("job", "execute", *LOCATION, "-j", "refresh_job")

    def statuses() -> list[str]:
        checks = web_server.assets()["gates/gate_results"]["assetChecksOrError"]["checks"]
        return [one["executionForLatestMaterialization"]["status"] for one in checks]

    first = refresh()
    assert first.returncode == 0, first.stderr[-3000:]
    before = check(dagster.published)
    assert before.published_by == "refresh"
    assets = web_server.assets()
    shown = {
        "raw/raw_deliveries",
        "marts/fct_city_year_panel",
        "reports/rpt_table_1",
        "seeds/cities",
    }
    assert shown <= assets.keys()
    # Only providers, the sources of the asset graph, are never materialised by a refresh.
    not_made = {key for key, node in assets.items() if not node["assetMaterializations"]}
    assert not_made == {key for key in assets if key.startswith("delivered/")}
    assert "delivered/vendor" in not_made
    parents = [key["path"] for key in assets["gates/gate_results"]["dependencyKeys"]]
    assert ["marts", "fct_city_year_panel"] in parents
    # One check fails with a warning, because the sample contains a few doubtful values.
    assert statuses().count("FAILED") == 1
    (instigators,) = web_server.query(
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { schedules { name } sensors {"
        " name } } } } }"
    )["repositoriesOrError"]["nodes"]
    assert instigators["schedules"] == [{"name": "nightly"}]
    assert {"name": "new_deliveries"} in instigators["sensors"]

    again = refresh()
    assert again.returncode == 0, again.stderr[-3000:]
    assert check(dagster.published) == before, "nothing was new"

    unit_slip_of_a_year(SimpleNamespace(extracts=Path(dagster.environment["EXTRACTS_DIR"])))
    run = refresh()
    assert run.returncode != 0
    assert "Release 000002 is held, because the gate failed" in run.stdout + run.stderr
    assert check(dagster.published) == before
    assert statuses().count("FAILED") > 1


def test_the_sensor_asks_once_for_a_delivery_that_is_at_rest(dagster: Dagster) -> None:
    looks = (
        "import pathlib, dagster as dg; from ai_manufacturing.system import settings;"
        " from ai_manufacturing.refresh import dagster_location as location"
        "\ncursor = None\nfor number in range(6):\n    if number == 3:"
        " (settings.extracts_dir() / 'README_late').write_text('x')\n    context ="
        " dg.build_sensor_context(cursor=cursor)\n    found = location.new_deliveries(context)\n   "
        " asked = isinstance(found, dg.SensorResult)\n    cursor = found.cursor if asked else"
        " context.cursor\n    print('asks' if asked else found.skip_message.split(': ')[-1])\n"
    )
    run = subprocess.run(
        [str(dagster.binaries / "python"), "-c", looks],
        cwd=PROJECT,
        env=dagster.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    under_way = "a delivery is arriving or has just arrived; the sensor waits."
    assert run.stdout.splitlines()[-6:] == [under_way, "asks", "no new delivery."] * 2
