"""The register benchmark, run small."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT


@pytest.mark.soak
def test_the_register_benchmark_runs_on_any_size(tmp_path: Path) -> None:
    sizes = ["--firms", "20000", "--patents", "8000", "--scopes", "2000", "--repeats", "1"]
    command = [sys.executable, "benchmarks/registers.py", *sizes, "--out", str(tmp_path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    with (tmp_path / "registers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} >= {"1.5; 300 MB", "2", "3.5", "6", "0.33", "11", "1.2"}
    assert all(float(row["ratio"]) > 0 for row in rows)
