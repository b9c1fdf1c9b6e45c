"""Romano and Wolf's stepdown against R's wildrwolf, a loop over all sign vectors, and the bounds of single tests."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import romano_wolf
from tests.python.test_wild_bootstrap import panel, regression_of, textbook

GOLDEN = Path(__file__).parent / "golden"

pytestmark = pytest.mark.filterwarnings("error")


def labels_of(data: pd.DataFrame) -> Any:
    """Return the province of each row, in the order of a regression's rows."""
    return data.sort_values(["city_id", "year"])["province"].to_numpy()


def full_t(data: pd.DataFrame, vectors: Floats) -> tuple[float, Floats]:
    """Return |t| of the sample and of each draw by the textbook loop, small-sample factor included."""
    root = np.sqrt(regression_of(data).factor)
    t, drawn = textbook(data, vectors)
    return abs(t) / root, np.abs(drawn) / root


def test_the_numbers_of_wildrwolf() -> None:
    """Both draw 9,999 sign vectors, of which p has an error of up to .005."""
    golden = json.loads((GOLDEN / "rwolf.json").read_text(encoding="utf-8"))["guns"]["res"]
    data = pd.read_csv(GOLDEN / "guns.csv")
    regressions: list[PartialledOut] = [
        fixed_effects.partialled_out(data, outcome, ["lawn", "prisoners", "income"], entity="state")
        for outcome in ("lviolent", "lmurder", "lrobbery")
    ]
    ours = romano_wolf.adjusted(regressions, [0, 0, 0], clusters=[rows.clusters for rows in regressions])
    for found, record in zip(ours, golden, strict=True):
        assert found.estimate == pytest.approx(record["Estimate"], rel=1e-10)
        assert found.std_error == pytest.approx(record["Std..Error"], rel=1e-10)
        assert found.statistic == pytest.approx(record["t.value"], rel=1e-10)
        assert found.p_value == pytest.approx(record["RW.Pr...t.."], abs=0.01)
        assert (found.cluster_count, found.draws, found.is_enumerated) == (51, 9_999, False)


@pytest.mark.parametrize("seed", range(4))
def test_two_hypotheses_by_brute_force(seed: int) -> None:
    """Two samples with different provinces; every vector over the seven provinces of both, and regressions on dummies.

    The sample itself is a tie in the largest |t*| of the vectors that are constant in its provinces.
    """
    data = panel(20 + seed, provinces=7, slope=0.5)
    first = data[data["province"] != 2]
    second = data[data["province"] > 0].assign(y=data["y"] + data["z"] * data["x"])
    vectors = np.array(list(product((1.0, -1.0), repeat=7)))
    t_1, drawn_1 = full_t(first, np.delete(vectors, 2, axis=1))
    t_2, drawn_2 = full_t(second, np.delete(vectors, 0, axis=1))
    larger, smaller = (t_1, t_2) if t_1 >= t_2 else (t_2, t_1)
    p_larger = np.mean(np.maximum(drawn_1, drawn_2) >= larger * (1 - 1e-9))
    p_smaller = max(p_larger, np.mean((drawn_2 if t_1 >= t_2 else drawn_1) >= smaller * (1 - 1e-9)))

    ours = romano_wolf.adjusted(
        [regression_of(first), regression_of(second)], [0, 0], clusters=[labels_of(first), labels_of(second)]
    )
    assert [found.p_value for found in ours] == ([p_larger, p_smaller] if t_1 >= t_2 else [p_smaller, p_larger])
    assert [(found.draws, found.is_enumerated, found.cluster_count) for found in ours] == [(64, True, 6), (64, True, 6)]


def test_one_hypothesis_has_the_p_of_the_bootstrap() -> None:
    data = panel(30, provinces=14, slope=0.3)
    regression = regression_of(data)
    (ours,) = romano_wolf.adjusted([regression], [0], clusters=[regression.clusters])
    single = wild_bootstrap.test(regression, 0, clusters=regression.clusters)
    assert (ours.p_value, ours.monte_carlo_error) == (single.p_value, single.monte_carlo_error)


def test_the_same_hypothesis_twice_costs_nothing_and_others_do() -> None:
    """An adjusted p lies between the single one and Bonferroni's, and keeps the order of |t|."""
    data = panel(31, provinces=14, slope=0.3)
    rng = np.random.default_rng(1)
    family = [regression_of(data)] + [
        regression_of(data.assign(y=data["y"] + rng.normal(size=len(data)))) for _ in range(4)
    ]
    single = [wild_bootstrap.test(rows, 0, clusters=rows.clusters) for rows in family]
    twice = romano_wolf.adjusted(family[:1] * 2, [0, 0], clusters=[family[0].clusters] * 2)
    assert [found.p_value for found in twice] == [single[0].p_value] * 2

    ours = romano_wolf.adjusted(family, [0] * 5, clusters=[rows.clusters for rows in family])
    for found, alone in zip(ours, single, strict=True):
        assert alone.p_value is not None
        assert found.p_value is not None
        assert alone.p_value <= found.p_value <= min(1.0, 5 * alone.p_value + 0.01)
    by_size = sorted(ours, key=lambda found: -abs(found.statistic or 0))
    p_values = [found.p_value or 0 for found in by_size]
    assert p_values == sorted(p_values)
    assert p_values[0] > min(alone.p_value or 0 for alone in single)


def test_labels_say_which_cluster_is_the_same() -> None:
    """A sample without the first province uses the vectors of the others, so that renamed provinces change p."""
    data = panel(32, provinces=14, slope=0.2)
    regression = regression_of(data)
    fewer = regression_of(data[data["province"] > 0])
    own = labels_of(data[data["province"] > 0])
    aligned = romano_wolf.adjusted([regression, fewer], [0, 0], clusters=[labels_of(data), own])
    shifted = romano_wolf.adjusted([regression, fewer], [0, 0], clusters=[labels_of(data), own - 1])
    named = romano_wolf.adjusted(
        [regression, fewer],
        [0, 0],
        clusters=[np.char.mod("province %02d", labels_of(data)), np.char.mod("province %02d", own)],
    )
    assert [found.p_value for found in aligned] == [found.p_value for found in named]
    assert [found.p_value for found in aligned] != [found.p_value for found in shifted]


def test_a_member_that_cannot_be_tested_is_refused() -> None:
    data = panel(33)
    exact = regression_of(data.assign(y=2 * data["x"]))
    with pytest.raises(NotEstimable, match="the outcome is fitted exactly"):
        romano_wolf.adjusted([regression_of(data), exact], [0, 0], clusters=[labels_of(data)] * 2)
