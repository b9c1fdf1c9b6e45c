"""The benchmarks of speed, and the plain script that is their peer: a third route to the paper's
numbers.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import measuring
from benchmarks.peers import paper_by_hand
from tests.python.conftest import PROJECT, Build

AGREES = 1e-6


@pytest.mark.soak
def test_a_plain_script_goes_from_the_same_files_to_the_same_columns(sample_build: Build) -> None:
    panel = paper_by_hand.panel(sample_build.extracts)
    by_hand = {
        (column, term.removeprefix("m_").removesuffix("_by_gdp")): (
            line["estimate"],
            line["std_error"],
        )
        for column, found in paper_by_hand.tables(panel).items()
        for term, line in found.iterrows()
    }
    ours = {
        (column, term): (estimate, error)
        for column, term, estimate, error in sample_build.rows(
            "select specification_id, coefficients.term, estimate, std_error from"
            " reports.rpt_column_specifications inner join reports.rpt_coefficients as coefficients"
            " using (specification_id) where coefficients.table_id similar to 'table_[1-6]'"
        )
    }
    assert len({column for column, _ in ours}) == 22
    assert by_hand.keys() == ours.keys()
    np.testing.assert_allclose(
        [by_hand[key] for key in ours], [*ours.values()], rtol=0, atol=AGREES
    )
    # One cell that either route alone reads otherwise, by a tenth, is seen.
    panel.loc[(440300, 2015), "ln_gdp"] += 0.1
    moved = paper_by_hand.two_way(panel, "ln_gdp", ["m_ai_firms", *paper_by_hand.CONTROLS])
    assert abs(moved.loc["m_ai_firms", "estimate"] - ours["table_1_col_1", "ai_firms"][0]) > AGREES


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() -> None:
    section = measuring.Section("title", "how")
    section.add("work", [1.0, 2.0, 9.0], "peer", [2.0, 8.0, 9.0], "script", "≤ 1")
    (row,) = section.rows
    assert (row.ours, row.theirs, row.ratio) == (2.0, 8.0, 0.5)
    assert row.cells == ("work", "2 s", "peer, 8 s", "0.5", "≤ 1", "`script`", "")
    with pytest.raises(ValueError, match="shorter"):
        section.add("work", [1.0, 2.0], "peer", [2.0], "script")


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere nobody waits for what a command leaves"
)
def test_a_command_used_what_the_processes_that_outlive_it_used() -> None:
    works = "import time\nwhile time.process_time() < 0.5: kept = b'x' * 100_000_000"
    leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {works!r}])"
    found = measuring.used([sys.executable, "-c", leaves])
    assert found.exit_code == 0
    assert found.processor > 0.5
    assert found.peak > 1e8


def cells(table: str) -> list[list[str]]:
    """Return the rows of a table that a text begins with."""
    lines = table.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_row_of_the_page_that_takes_more_than_its_peer_says_why() -> None:
    page = (PROJECT / "benchmarks/README.md").read_text(encoding="utf-8")
    rows = cells(page.split("| section |")[1])
    assert len(rows) > 40
    behind = [(row[1], row[-1]) for row in rows if row[4] and float(row[4]) > 1]
    assert behind
    assert [work for work, why in behind if not why] == []


@pytest.mark.door
@pytest.mark.soak
def test_one_command_measures_and_writes_a_table_whose_rows_are_complete(tmp_path: Path) -> None:
    out = tmp_path / "README.md"
    sections = ("whole_paper", "registers", "landing", "estimation")
    options = ("--quick", "--repeats", "1", "--only", *sections, "--out", str(out))
    command = [sys.executable, "-m", "benchmarks", *options]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    text = out.read_text(encoding="utf-8")
    rows, runs = map(cells, text.split("| section |")[1:])
    names = [name.replace("_", " ") for name in sections]
    assert {row[0] for row in rows} == {*names}
    quantity = r"[\d.,]+ (s|ms|µs|MB|kB)$"
    for _, work, ours, peer, ratio, _, script, why in rows:
        assert work
        assert re.match(quantity, ours), (work, ours)
        if peer:
            assert re.search(", " + quantity, peer), (work, peer)
            assert float(ratio) > 0
            assert (PROJECT / script.strip("`").split(":")[0]).is_file(), (work, script)
            assert not why or float(ratio) >= 1, (work, ratio, why)
    assert [row[0] for row in runs] == names
