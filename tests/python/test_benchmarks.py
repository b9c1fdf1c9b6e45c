"""Tests for the benchmarks: measurements, targets, and a plain script for comparison.

The script is a third, independent route to the paper's numbers.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from ai_manufacturing.estimation import specifications, tables
from benchmarks import designs, growth, measuring, verdicts
from benchmarks.peers import paper_by_hand
from tests.lib import markdown
from tests.lib.samples import seed_table
from tests.python.conftest import PROJECT, Build

SIZES = [10, 100, 1_000, 10_000]


@pytest.mark.soak
def test_a_plain_script_goes_from_the_same_files_to_the_same_columns(sample_build: Build) -> None:
    by_hand = {
        (column, term.removeprefix("m_").removesuffix("_by_gdp")): (
            line["estimate"],
            line["std_error"],
        )
        for column, found in paper_by_hand.tables(
            paper_by_hand.panel(sample_build.extracts)
        ).items()
        for term, line in found.iterrows()
    }
    ours = sample_build.pairs(
        "select (specification_id, coefficients.term), (estimate, std_error) from"
        " reports.rpt_column_specifications inner join reports.rpt_coefficients as coefficients"
        " using (specification_id) where coefficients.table_id similar to 'table_[1-6]'"
    )
    assert len({column for column, _ in ours}) == 22
    assert by_hand.keys() == ours.keys()
    np.testing.assert_allclose([by_hand[key] for key in ours], [*ours.values()], rtol=0, atol=1e-6)


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() -> None:
    section = measuring.Section("title", "how")
    section.add("work", [1.0, 2.0, 9.0], "peer", [2.0, 8.0, 9.0], "script", "≤ 1")
    (row,) = section.rows
    assert (row.ours, row.theirs, row.ratio) == (2.0, 8.0, 0.5)
    with pytest.raises(ValueError, match="shorter"):
        section.add("work", [1.0, 2.0], "peer", [2.0], "script")


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere nobody waits for what a command leaves"
)
def test_a_command_used_what_the_processes_that_outlive_it_used_and_not_this_process() -> None:
    works = "import time\nwhile time.process_time() < 0.5: kept = b'x' * 100_000_000"
    leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {works!r}])"
    kept = b"x" * 600_000_000
    found = measuring.used([sys.executable, "-c", leaves])
    assert found.exit_code == 0
    assert found.processor > 0.5
    assert 1e8 < found.peak < len(kept) / 2


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
    rows, runs = (markdown.rows(part.split("\n\n")[0]) for part in text.split("| section |")[1:])
    names = [name.replace("_", " ") for name in sections]
    assert {row[0] for row in rows} == {*names}
    quantity = r"[\d.,]+ (s|ms|µs|MB|kB)$"
    for _, work, ours, peer, ratio, _, script, why in rows:
        assert work
        assert re.match(quantity, ours), (work, ours)
        if peer:
            assert re.search(", " + quantity, peer), (work, peer)
            assert (PROJECT / script.strip("`").split(":")[0]).is_file(), (work, script)
            assert float(ratio) >= (1 if why else 0.001), (work, ratio, why)
    assert [row[0] for row in runs] == names


@pytest.mark.parametrize(
    ("kind", "quantity", "size"),
    [
        ("power", lambda size: 0.02 * size**1.5, 1e6),
        ("line", lambda size: 8 + 0.7 * size, 1e6),
        ("neither", lambda size: 8 + 1e-4 * size**2, 1e5),
        ("neither", lambda size: 58 - 2e-3 * min(size, 1e4), 1e9),
    ],
    ids=["power", "line", "ever faster", "falling"],
)
def test_a_known_law_is_recovered(
    kind: str, quantity: Callable[[float], float], size: float
) -> None:
    law = growth.fit(SIZES, [*map(quantity, SIZES)])
    assert law.kind == kind
    assert law.at(size) == pytest.approx(quantity(size), rel=0.1 if kind == "neither" else 1e-6)
    if kind == "power":
        assert growth.size_at(law, quantity(size)) == pytest.approx(size)


def test_two_points_give_no_power_and_no_size_is_reached_by_what_does_not_grow() -> None:
    assert growth.fit([10, 100], [5.0, 6.0]).kind == "line"
    assert growth.size_at(growth.fit(SIZES, [5.0] * 4), 6) is None
    with pytest.raises(ValueError, match="two points above zero"):
        growth.fit([10, 100], [5.0, 0.0])


def axis(script: str) -> growth.Axis:
    """Return a benchmark axis that runs a script once per size, passed as the variable SIZE."""
    return growth.Axis(
        lambda scratch, size: {**scratch.environment, "SIZE": str(size)},
        (sys.executable, "-c", f"import os\nsize = int(os.environ['SIZE'])\n{script}"),
        "things",
        (1, 2, 3),
        (1, 2),
        {},
    )


def test_the_first_size_that_breaks_ends_a_curve_and_says_why() -> None:
    found = growth.points(axis("if size > 1: raise OSError('no room')"), quick=False)
    reason = "exit code 1: OSError: no room"
    assert [(one.size, one.broke, one.is_end) for one in found] == [
        (1, "", False),
        (2, reason, True),
    ]
    rows, laws, _ = growth.add(measuring.Section("title", "how"), axis(""), found)
    assert (rows[-1][-1], laws) == (reason, [])
    late = growth.point(axis("import time\ntime.sleep(60)"), 1, seconds=0.2)
    assert (late.broke, late.is_end) == ("killed after 200 ms", True)
    large = growth.point(axis("kept = b'x' * (size * 100_000_000)"), 3, memory=2e8)
    assert large.broke.endswith("of memory, which exceeds the limit of 200 MB.")
    assert not large.is_end


@pytest.mark.soak
def test_a_copy_of_the_project_has_longer_seeds_and_the_same_code(tmp_path: Path) -> None:
    scratch = measuring.Scratch(tmp_path, tmp_path / "extracts")
    project = Path(growth.cities(scratch, 370)["DBT_PROJECT_DIR"])
    assert pd.read_csv(project / "seeds/cities.csv")["city_id"].nunique() == 370
    assert (project / "models").resolve() == PROJECT / "models"
    survival = (tmp_path / "extracts/firm_survival").iterdir()
    assert "\n900003," in min(survival).read_text(encoding="utf-8")


@pytest.mark.soak
def test_a_section_of_growth_has_time_and_memory() -> None:
    section = growth.measure(1, quick=True, chosen=("files",))
    assert [row.unit for row in section.rows] == ["s", "B"]


@pytest.fixture(scope="module")
def design(sample_build: Build) -> designs.RealDesign:
    return designs.real_design(sample_build.warehouse)


def slopes(inputs: designs.DrawnInputs, reading: str) -> dict[tuple[str, int], float]:
    """Return the coefficient of the AI measure by table column, for one set of specifications."""
    rows = inputs.specifications
    return {
        (one.table_id, one.column_number): float(
            tables.fit_fixed_effects(one, inputs.sample(one), inputs)[0].estimates[0]
        )
        for one in specifications.read_specifications(rows[rows["reading"] == reading])
    }


class Mirrored:
    """Random number generator that returns the draws of a fixed seed with the opposite sign."""

    def choice(self, values: list[float], count: int) -> np.ndarray:
        return -np.asarray(np.random.default_rng([1]).choice(values, count))


@pytest.mark.soak
@pytest.mark.parametrize("truth", [name for name in designs.TRUTHS if name != designs.OF_COUNTS])
def test_a_draw_and_its_mirror_image_have_the_slope_of_the_truth_by_the_printed_design(
    design: designs.RealDesign, truth: str
) -> None:
    drawn, mirrored = (
        slopes(design.drawn(rng, truth, "real residuals"), "default")  # type: ignore[arg-type]
        for rng in (np.random.default_rng([1]), Mirrored())
    )
    assert len(drawn) == 14
    for name, claim in design.claims.items():
        size = designs.TRUTHS[truth].size
        assert (drawn[name] + mirrored[name]) / 2 == pytest.approx(size * claim.printed, abs=1e-9)
        assert drawn[name] != pytest.approx(mirrored[name])


@pytest.mark.soak
def test_all_designs_of_a_claim_have_the_same_outcome(design: designs.RealDesign) -> None:
    inputs = design.drawn(np.random.default_rng([1]), "the printed effect", "redrawn noise")
    # The design with an instrument is missing, because the sample has only one vendor of AI firms.
    printed, *others = (
        inputs.sample(one).rows.set_index(designs.KEY)[one.outcome]
        for one in specifications.read_specifications(inputs.specifications, "fixed_effects")
        if (one.table_id, one.column_number) == designs.HEADLINE
    )
    assert len(others) == 2
    for values in others:
        both = printed.index.intersection(values.index)
        assert len(both) > 0.9 * len(values)
        assert printed[both].to_numpy() == pytest.approx(values[both].to_numpy())


def drawn(word: str, of: int, among: int, **columns: object) -> pd.DataFrame:
    """Return simulated results for one claim, with the given verdict in the first `of` draws."""
    checks = ("next_year", "without_flagged", "city_trends")
    rows = pd.DataFrame(
        [(seed, check) for seed in range(among) for check in checks], columns=["seed", "check_id"]
    )
    is_one = rows["seed"] < of
    common = {
        "table_id": "table_1",
        "column_number": 1,
        "design": "within_provinces",
        "question": "association",
        "estimate": 0.1,
        "printed_value": 0.1,
        "std_error": 0.02,
        "word": np.where(is_one, word, "imprecise"),
        "is_found": is_one & (word != "not_found"),
        "passes": True,
        "association": np.where(is_one, word, "cannot_tell"),
        "ai": "no",
    }
    return rows.assign(**{**common, **columns})


@pytest.mark.parametrize(
    ("truth", "word", "of", "named"),
    [
        ("no effect", "holds", 4, []),
        (
            "no effect",
            "holds",
            20,
            [
                "holds in 10.0% of draws, but the target is at most 2%",
                "is wrong in 10.0% of draws, but the target is at most 5%",
            ],
        ),
        ("the printed effect", "not_found", 30, ["is wrong in 15.0% of draws"]),
        (
            "a trend of each city",
            "holds",
            30,
            ["holds in 100% of the draws that find", "wrong in 15.0%"],
        ),
        ("twice the printed effect", "not_found", 100, []),
    ],
)
def test_designs_miss_a_target_by_more_than_its_monte_carlo_error(
    truth: str, word: str, of: int, named: list[str]
) -> None:
    frame, world = drawn(word, of, 200), designs.World(truth, "real residuals")
    found = designs.missed(world, designs.of_designs(frame), designs.of_claims(frame, truth))
    assert len(found) == len(named)
    for sentence, words in zip(found, named, strict=True):
        assert words in sentence


def test_every_truth_has_a_label_beside_the_checks_that_it_is_measured_for() -> None:
    """Every simulated truth has a label, because the page silently omits truths without one."""
    labels = seed_table("labels").query("kind == 'truth'")["name"]
    assert {*labels} == {*designs.TRUTHS} - {"no effect"}


def test_what_still_holds_is_counted_among_what_held_by_next_year_alone() -> None:
    failing = drawn("fails_check", 40, 200)
    failing["passes"] = ~((failing["check_id"] == "city_trends") & (failing["seed"] < 40))
    holding = drawn("holds", 60, 200).assign(seed=lambda rows: rows["seed"] + 1000)
    (row,) = designs.of_designs(pd.concat([failing, holding])).to_dict("records")
    assert (row["still_held"], row["held"]) == (pytest.approx(0.6), pytest.approx(0.6))
    world = designs.World("the printed effect", "real residuals")
    (trends,) = (
        designs.power_of_checks({world: failing})
        .query("check_id == 'city_trends'")
        .to_dict("records")
    )
    assert (trends["fails_share"], trends["draws"]) == (1.0, 40)


@pytest.mark.soak
def test_the_command_writes_a_row_for_each_claim_of_a_world_and_draws_no_seed_twice(
    tmp_path: Path,
) -> None:
    words = ["-m", "benchmarks.verdicts", "--processes", "1", "--seeds", "2", "--only"]
    command = [sys.executable, *words, "no effect, by province", "--draws", str(tmp_path)]
    first, again = (
        subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert again == first
    names, *rows = markdown.rows(first.split("### ")[1])
    claims = [
        [f"table_{table}", str(column)]
        for table, count in enumerate((3, 3, 6, 4, 3, 2), 1)
        for column in range(1, count + 1)
    ]
    assert [row[:2] for row in rows] == claims
    table = pd.DataFrame(rows, columns=names)
    shares = table.loc[:, "holds":"other"].map(lambda cell: float(cell.partition("%")[0] or 0))
    assert_allclose(shares.sum(axis=1), 100)
    (path,) = tmp_path.iterdir()
    assert pd.read_parquet(path)["seed"].nunique() == 2


def claim(word: str, draws: int, of: int, **columns: object) -> pd.DataFrame:
    """Return simulated results for one claim, with the given verdict in some of the draws."""
    words = [word] * draws + ["imprecise"] * (of - draws)
    common = {
        "table_id": "table_1",
        "column_number": 1,
        "estimator": "fixed_effects",
        "printed_value": 0.1,
        "estimate": 0.1,
        "std_error": 0.02,
        "failed": None,
    }
    rows = pd.DataFrame({"word": words, "moves": [one == "moves" for one in words]})
    return rows.assign(**{**common, **columns})


@pytest.mark.parametrize(
    ("truth", "word", "draws", "excludes_zero", "named"),
    [
        # A share of 7.5 % in 200 draws is compatible with a true rate of 5 %.
        ("no effect", "holds", 15, False, ""),
        (
            "no effect",
            "holds",
            20,
            False,
            '"holds" in 10.0% of draws, but the target is at most 5.0%',
        ),
        (
            "no effect",
            "opposite_sign",
            14,
            False,
            '"opposite sign" in 7.0% of draws, but the target is at most 2.5%',
        ),
        (
            "printed effect",
            "holds",
            140,
            True,
            '"holds" in 70% of draws, but the target is at least 80%',
        ),
        ("printed effect", "fails_check", 110, False, "power of 0%, and fails a check in 55%"),
        # A share of 12 % in 200 draws is compatible with a true rate of 10 %.
        ("printed effect", "moves", 24, False, ""),
        ("printed effect", "moves", 34, False, "depends on doubtful values in 17%"),
    ],
)
def test_verdicts_miss_a_target_by_more_than_its_monte_carlo_error(
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
