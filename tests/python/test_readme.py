"""Test the results table in README.md, and the output of its interactive Python example."""

import code
import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT, Build

README = (PROJECT / "README.md").read_text(encoding="utf-8")
PROMPT = "    >>> "


def test_it_has_the_results_of_the_sample(sample_build: Build) -> None:
    assert shown("synthetic sample") == result(sample_build, "as_printed")


def test_it_has_the_results_of_delivered_files(public_build: Build) -> None:
    for design, row in (
        ("as_printed", "delivered files"),
        ("within_provinces", "delivered files, within provinces"),
        ("ai_beside_all", "delivered files, AI counts beside all counts"),
    ):
        assert shown(row) == result(public_build, design)


def shown(row: str) -> list[str]:
    """Return the cells of one row in the README's table of results."""
    (line,) = re.findall(rf"^\| {row}, ([0-9].*) \|$", README, flags=re.MULTILINE)
    return [cell.strip() for cell in line.replace(" city-years", "").split("|")]


def result(build: Build, design: str) -> list[str]:
    """Return a build's headline estimate for one design, formatted like the README's table."""
    (found,) = build.rows(
        """
        select
            format('{:,}', c.observation_count),
            format('{:.3f}', v.estimate),
            format('{:.3f}', c.std_error),  -- CRV1 by city, the regression's own error
            format('{:.3f}', v.std_error),  -- CRV3 by province, which the verdict uses
            v.verdict_en
        from reports.rpt_verdicts as v
        inner join reports.rpt_coefficients as c using (specification_id)
        where v.table_id = 'table_1' and v.column_number = 1 and v.design = ? and c.term_order = 1
        """,
        design,
    )
    return [*found]


def test_its_lines_print_what_it_shows(
    public_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ai_manufacturing.duckdb").symlink_to(public_release)
    monkeypatch.chdir(tmp_path)
    lines = README.splitlines()
    typed = [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
    printed = [line.strip() for line in lines if line.startswith(tuple("    " + c for c in "┌│├└"))]
    console, output = code.InteractiveConsole(), io.StringIO()
    with contextlib.redirect_stdout(output):
        for line in typed:
            assert not console.push(line)
    assert [line.strip() for line in output.getvalue().splitlines() if line.strip()] == printed
