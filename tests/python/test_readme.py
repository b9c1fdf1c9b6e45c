"""The README: its numbers, and its five lines."""

import code
import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT, Build

README = (PROJECT / "README.md").read_text(encoding="utf-8")
PROMPT = "    >>> "


@pytest.mark.parametrize(
    ("build", "design", "row"),
    [
        ("sample_build", "as_printed", "synthetic sample"),
        ("public_build", "as_printed", "delivered files"),
        ("public_build", "within_provinces", "delivered files, within provinces"),
        ("public_build", "ai_beside_all", "delivered files, AI counts beside all counts"),
    ],
)
def test_it_has_the_results_of_the_sample_and_of_delivered_files(
    build: str, design: str, row: str, request: pytest.FixtureRequest
) -> None:
    built: Build = request.getfixturevalue(build)
    (found,) = built.rows(
        """
        select
            format('{:,}', c.observation_count), format('{:.3f}', v.estimate),
            format('{:.3f}', c.std_error), format('{:.3f}', v.std_error), v.verdict_en
        from reports.rpt_verdicts as v
        inner join reports.rpt_coefficients as c using (specification_id)
        where v.table_id = 'table_1' and v.column_number = 1 and v.design = ? and c.term_order = 1
        """,
        design,
    )
    (line,) = re.findall(rf"^\| {row}, ([0-9].*) \|$", README, flags=re.MULTILINE)
    cells = [cell.strip() for cell in line.replace(" city-years", "").split("|")]
    assert cells == [*found]


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
