"""benchmarks/designs.py: outcomes of known truth, what is counted, and the targets it names."""

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation import specifications, tables
from benchmarks import designs
from tests.lib.samples import seed_table
from tests.python.conftest import Build


@pytest.fixture(scope="module")
def design(sample_build: Build) -> designs.RealDesign:
    return designs.real_design(sample_build.warehouse)


def slopes(inputs: designs.DrawnInputs, reading: str) -> dict[tuple[str, int], float]:
    """Return the slope of the measure in each claim under one design."""
    rows = inputs.specifications
    return {
        (one.table_id, one.column_number): float(
            tables.fit_fixed_effects(one, inputs.sample(one), inputs)[0].estimates[0]
        )
        for one in specifications.read(rows[rows["reading"] == reading])
    }


@pytest.mark.soak
@pytest.mark.parametrize("truth", [name for name in designs.TRUTHS if name != designs.OF_COUNTS])
def test_a_draw_and_its_mirror_image_have_the_slope_of_the_truth_by_the_printed_design(
    design: designs.RealDesign, truth: str
) -> None:
    class Mirrored:
        """Draws every sign as the opposite."""

        def choice(self, values: list[float], count: int) -> np.ndarray:
            drawn = np.random.default_rng([1]).choice(values, count)
            return -np.asarray(drawn)

    plus = design.drawn(np.random.default_rng([1]), truth, "real residuals")
    minus = design.drawn(Mirrored(), truth, "real residuals")  # type: ignore[arg-type]
    drawn, mirrored = slopes(plus, "default"), slopes(minus, "default")
    assert len(drawn) == 14
    for name, claim in design.claims.items():
        size = designs.TRUTHS[truth].size
        assert (drawn[name] + mirrored[name]) / 2 == pytest.approx(size * claim.printed, abs=1e-9)
        assert drawn[name] != pytest.approx(mirrored[name])


@pytest.mark.soak
def test_all_designs_of_a_claim_have_the_same_outcome(design: designs.RealDesign) -> None:
    inputs = design.drawn(np.random.default_rng([1]), "the printed effect", "redrawn noise")
    outcomes: dict[str, pd.Series] = {}
    # The sample has one vendor of AI firms, so no instrument.
    for one in specifications.read(inputs.specifications, "fixed_effects"):
        if (one.table_id, one.column_number) == designs.HEADLINE:
            rows = inputs.sample(one).rows
            outcomes[one.reading] = rows.set_index(designs.KEY)[one.outcome]
    printed = outcomes.pop("default")
    assert len(outcomes) == 2
    for values in outcomes.values():
        both = printed.index.intersection(values.index)
        assert len(both) > 0.9 * len(values)
        assert printed[both].to_numpy() == pytest.approx(values[both].to_numpy())


def drawn(word: str, of: int, among: int, **columns: object) -> pd.DataFrame:
    """Return draws of one claim in one design: some with a word, the others imprecise."""
    rows = pd.DataFrame(
        [
            {"seed": seed, "check_id": check, "word": word if seed < of else "imprecise"}
            for seed in range(among)
            for check in ("next_year", "without_flagged", "city_trends")
        ]
    )
    return rows.assign(
        **{
            "table_id": "table_1",
            "column_number": 1,
            "design": "within_provinces",
            "question": "association",
            "estimate": 0.1,
            "printed_value": 0.1,
            "std_error": 0.02,
            "is_found": (rows["seed"] < of) & (word != "not_found"),
            "passes": True,
            "association": np.where(rows["seed"] < of, word, "cannot_tell"),
            "ai": "no",
            **columns,
        }
    )


@pytest.mark.parametrize(
    ("truth", "word", "of", "named"),
    [
        ("no effect", "holds", 4, []),
        ("no effect", "holds", 20, ["holds in 10.0%, not in 2%", "is wrong in 10.0%, not in 5%"]),
        ("the printed effect", "not_found", 14, []),
        ("the printed effect", "not_found", 30, ["is wrong in 15.0%"]),
        ("a trend of each city", "holds", 30, ["holds in 100% of what is found", "wrong in 15.0%"]),
        ("firms three years after growth", "holds", 30, ["holds in 100% of what is found"]),
        ("twice the printed effect", "not_found", 100, []),
    ],
)
def test_a_target_is_missed_by_more_than_its_monte_carlo_error(
    truth: str, word: str, of: int, named: list[str]
) -> None:
    frame, world = drawn(word, of, 200), designs.World(truth, "real residuals")
    found = designs.missed(world, designs.of_designs(frame), designs.of_claims(frame, truth))
    assert len(found) == len(named)
    for sentence, words in zip(found, named, strict=True):
        assert words in sentence


def test_every_truth_has_a_label_beside_the_checks_that_it_is_measured_for() -> None:
    """One without a label would be missing from the page, and no join would say so."""
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
