"""benchmarks/verdicts.py: what its page counts, and the targets it names."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from benchmarks import verdicts
from tests.python.conftest import PROJECT

COLUMNS = [
    f"table_{table} {column}"
    for table, count in enumerate((3, 3, 6, 4, 3, 2), 1)
    for column in range(1, count + 1)
]


@pytest.mark.soak
def test_the_command_writes_a_row_for_each_claim_of_a_world_and_draws_no_seed_twice(
    tmp_path: Path,
) -> None:
    def command(*options: str) -> subprocess.CompletedProcess[str]:
        words = f"-m benchmarks.verdicts --draws {tmp_path} --processes 1".split()
        return subprocess.run(
            [sys.executable, *words, *options],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )

    world = "no effect, by province"
    run = command("--seeds", "2", "--only", world)
    assert run.returncode == 0, run.stderr
    ((names, *rows),) = map(cells, run.stdout.split("### ")[1:])
    table = pd.DataFrame(rows, columns=names)
    assert [f"{row[0]} {row[1]}" for row in rows] == COLUMNS
    shares = table.loc[:, "holds":"other"].map(lambda cell: float(cell.partition("%")[0] or 0))
    assert_allclose(shares.sum(axis=1), 100)

    again = command("--seeds", "2", "--only", world)
    assert again.stdout == run.stdout
    (path,) = tmp_path.iterdir()
    assert pd.read_parquet(path)["seed"].nunique() == 2


def cells(section: str) -> list[list[str]]:
    lines = re.findall(r"^\|(.*)\|$", section, flags=re.M)
    return [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if not re.fullmatch(r"[ |-]+", line)
    ]


def claim(word: str, draws: int, of: int, **columns: object) -> pd.DataFrame:
    """Draws of one claim, some with a word and the others imprecise."""
    common = {
        "table_id": "table_1",
        "column_number": 1,
        "estimator": "fixed_effects",
        "printed_value": 0.1,
    }
    rows = [
        {
            "word": word if number < draws else "imprecise",
            "moves": number < draws and word == "moves",
        }
        for number in range(of)
    ]
    return pd.DataFrame(rows).assign(
        **common,
        estimate=0.1,
        std_error=0.02,
        **{"failed": None, **columns},
    )


@pytest.mark.parametrize(
    ("truth", "word", "draws", "excludes_zero", "named"),
    [
        ("no effect", "holds", 15, False, ""),  # 7.5 % of 200 are chance at 5 %
        ("no effect", "holds", 20, False, 'reads "holds" in 10.0%, not in 5.0% at most'),
        (
            "no effect",
            "opposite_sign",
            14,
            False,
            'reads "opposite sign" in 7.0%, not in 2.5% at most',
        ),
        ("printed effect", "holds", 140, True, 'reads "holds" in 70%, not in 80% at least'),
        ("printed effect", "fails_check", 110, False, 'power of 0% and reads "fails a check"'),
        ("printed effect", "moves", 24, False, ""),  # 12 % of 200 are chance at 10 %
        ("printed effect", "moves", 34, False, "hangs on doubtful values in 17%"),
    ],
)
def test_a_target_is_missed_by_more_than_its_monte_carlo_error(
    truth: str, word: str, draws: int, excludes_zero: bool, named: str
) -> None:
    found = verdicts.shares(claim(word, draws, of=200, excludes_zero=excludes_zero))
    sentences = verdicts.missed(verdicts.World(truth, "by province"), found)
    assert len(sentences) == bool(named)
    assert named in "".join(sentences)


def test_a_share_has_its_monte_carlo_error_and_the_check_that_fails_most_often() -> None:
    failed = ["next_year family"] * 30 + ["family"] * 10 + [None] * 60
    drawn = claim("holds", 20, of=100, excludes_zero=True).assign(failed=failed)
    (row,) = verdicts.shares(drawn).to_dict("records")
    assert (row["holds"], row["imprecise"], row["other"], row["power"]) == (0.2, 0.8, 0, 1)
    assert (row["estimate"], row["std_error"], row["failed"]) == (
        pytest.approx(1),
        pytest.approx(0.2),
        "family 40%",
    )
    assert "| 20.0% ± 4.0% |" in verdicts.shown(verdicts.shares(drawn))
