"""benchmarks/verdicts.py: draws of known truth on a real design, what its page counts, and the
targets it names.
"""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimation import tables
from benchmarks import verdicts
from tests.python.conftest import PROJECT, Build

COLUMNS = [
    f"table_{table} {column}"
    for table, count in enumerate((3, 3, 6, 4, 3, 2), 1)
    for column in range(1, count + 1)
]


def of_measure(inputs: verdicts.FlippedInputs) -> pd.DataFrame:
    found = tables.coefficients([*inputs.columns], inputs).to_pandas()
    return found[found["term"] == found["regressor"]].set_index("specification_id").sort_index()


@pytest.mark.soak
@pytest.mark.parametrize("size", [2.0, 0.0])
def test_on_a_real_design_the_mean_of_a_draw_and_its_mirror_image_is_the_effect(
    sample_build: Build, size: float
) -> None:
    design = verdicts.real_design(sample_build.warehouse)
    printed = sample_build.pairs(
        "select specification_id, published.estimate from reports.rpt_coefficients as ours "
        "inner join seeds.published_estimates as published using (table_id, column_number, term) "
        "where ours.term = regressor and estimator = 'fixed_effects' and reading = 'default' "
        "and status = 'estimated'"
    )
    delivered = sample_build.pairs(
        "select specification_id, std_error_province from reports.rpt_coefficients where term ="
        " regressor"
    )
    truth = size * pd.Series(printed, dtype=float).sort_index()
    assert len(truth) == 14
    drawn = design.flipped(np.random.default_rng([1]), size)
    assert {*drawn.signs.values()} == {-1.0, 1.0}
    mirrored = {province: -sign for province, sign in drawn.signs.items()}
    # With all signs turned the residuals are the real ones but for the sign.
    signs = (drawn.signs, mirrored, dict.fromkeys(drawn.signs, -1.0))
    plus, minus, turned = (of_measure(replace(drawn, signs=one)) for one in signs)
    means = (plus["estimate"] + minus["estimate"]) / 2
    for estimates in (means, turned["estimate"]):
        assert_allclose(estimates, truth, rtol=0, atol=1e-9)
    assert (np.abs(plus["estimate"] - truth) > 1e-4).all()
    errors = [delivered[name] for name in turned.index]
    assert_allclose(turned["std_error_province"].astype(float), errors, rtol=1e-9)


@pytest.mark.soak
def test_the_command_writes_a_row_for_each_claim_of_each_world_and_draws_no_seed_twice(
    sample_build: Build, tmp_path: Path
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

    worlds = ["no effect, by province", "printed effect, real design"]
    run = command("--seeds", "2", "--only", *worlds, "--warehouse", str(sample_build.warehouse))
    assert run.returncode == 0, run.stderr
    (names, *rows), (_, *real) = map(cells, run.stdout.split("### ")[1:])
    table = pd.DataFrame(rows, columns=names)
    assert [f"{row[0]} {row[1]}" for row in rows] == COLUMNS
    shares = table.loc[:, "holds":"other"].map(lambda cell: float(cell.partition("%")[0] or 0))
    assert_allclose(shares.sum(axis=1), 100)
    expected = [column for column in COLUMNS[:15] if column != "table_4 3"]
    assert [f"{row[0]} {row[1]}" for row in real] == expected

    again = command("--seeds", "2", "--only", worlds[0])
    assert again.stdout == run.stdout
    seeds = [pd.read_parquet(path)["seed"].nunique() for path in tmp_path.iterdir()]
    assert seeds == [2, 2]


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
