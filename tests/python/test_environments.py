"""Tests that the project builds in its Docker image and with the newest supported Python."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ai_manufacturing.auditing.compare import compare_databases
from ai_manufacturing.releases import databases
from tests.planted_faults import copy_of_the_project
from tests.python.conftest import MADE, PROJECT, WAREHOUSE, Build, is_of_this_code
from tests.python.release_store import output_of

NEWEST = "python3.13"


def test_the_image_runs_the_two_commands_of_the_readme_and_the_devcontainer_opens_it() -> None:
    _, _, readme = (PROJECT / "README.md").read_text("utf-8").partition("## Two commands")
    _, _, steps = (PROJECT / "Dockerfile").read_text("utf-8").partition("AS development")
    commands = re.findall(r"^    (make \w+) ", readme.partition("\n## ")[0], flags=re.MULTILINE)
    assert (
        commands
        == re.findall(r"^RUN (make .*)$", steps, flags=re.MULTILINE)
        == ["make build", "make test"]
    )

    opened = json.loads((PROJECT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    image = {"dockerfile": "../Dockerfile", "target": "development"}
    assert opened["build"].items() >= image.items()


@pytest.mark.soak
@pytest.mark.door
def test_the_image_is_built() -> None:
    if shutil.which("docker") is None:
        pytest.skip("Docker is not here")
    build = ["docker", "build", str(PROJECT)]
    output_of(subprocess.run(build, capture_output=True, text=True, check=False))


@pytest.mark.soak
@pytest.mark.door
def test_the_newest_python_gives_the_tables_of_this_one(
    sample_build: Build, tmp_path: Path
) -> None:
    if shutil.which(NEWEST) is None:
        pytest.skip(f"{NEWEST} is not here")
    project = copy_of_the_project(tmp_path / "project")
    places = ("EXTRACTS_DIR", "WAREHOUSE_PATH", "LANDING_DIR", "DBT_TARGET_PATH", "DBT_PROJECT_DIR")
    outside = {name: value for name, value in os.environ.items() if name not in places}
    made = subprocess.run(
        ["make", "build", f"PYTHON={NEWEST}"],
        cwd=project,
        env={**outside, "VIRTUAL_ENV": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    output_of(made)
    old, new = map(
        databases.read_database, (sample_build.warehouse, project / "build/warehouse.duckdb")
    )
    # Views in a copied warehouse still read the landing folder of the original warehouse.
    landing = MADE if is_of_this_code(MADE / WAREHOUSE) else sample_build.scratch
    assert compare_databases(old, new, landing / "landing", project / "build/landing") == []
