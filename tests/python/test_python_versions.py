"""The newest Python that the locks install on gives the same tables."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ai_manufacturing.auditing.compare import compare
from ai_manufacturing.releases import databases
from tests.planted_faults import copy_of_the_project
from tests.python.conftest import MADE, WAREHOUSE, Build, is_of_this_code

NEWEST = "python3.13"


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
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    old, new = map(databases.read, (sample_build.warehouse, project / "build/warehouse.duckdb"))
    # the views of a copied warehouse show the files of the one that was copied
    landing = MADE if is_of_this_code(MADE / WAREHOUSE) else sample_build.scratch
    assert compare(old, new, landing / "landing", project / "build/landing") == []
