"""Romano and Wolf's stepdown against R's wildrwolf, a loop over all sign vectors."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.robustness import romano_wolf
from tests.python.estimator_tools import approx, golden, golden_data, refusal
from tests.python.test_wild_bootstrap import panel, regression_of, textbook

pytestmark = pytest.mark.filterwarnings("error")


def labels_of(data: pd.DataFrame) -> Any:
    """Return the province of each row, in the order of a regression's rows."""
    return data.sort_values(["city_id", "year"])["province"].to_numpy()


def full_t(data: pd.DataFrame, vectors: Floats) -> tuple[float, Floats]:
    """Return |t| of the sample and of each draw by the textbook loop, with the factor."""
    root = np.sqrt(regression_of(data).factor)
    t, drawn = textbook(data, vectors)
    return abs(t) / root, np.abs(drawn) / root


def adjusted(*samples: pd.DataFrame) -> list[Inference]:
    """Adjust the slopes of x in some samples."""
    positions = [0] * len(samples)
    return romano_wolf.adjusted(
        [*map(regression_of, samples)], positions, clusters=[*map(labels_of, samples)]
    )


def test_the_numbers_of_wildrwolf() -> None:
    """Both draw 9,999 sign vectors, of which p has an error of up to .005."""
    data = golden_data("guns")
    regressions = [
        fixed_effects.partialled_out(data, name, ["lawn", "prisoners", "income"])
        for name in ("lviolent", "lmurder", "lrobbery")
    ]
    clusters = [rows.clusters for rows in regressions]
    ours = romano_wolf.adjusted(regressions, [0, 0, 0], clusters=clusters)
    for found, record in zip(ours, golden("rwolf")["guns"]["res"], strict=True):
        assert found.estimate == approx(record["Estimate"], rel=1e-10)
        assert found.std_error == approx(record["Std..Error"], rel=1e-10)
        assert found.statistic == approx(record["t.value"], rel=1e-10)
        assert found.p_value == approx(record["RW.Pr...t.."], abs=0.01)
        assert (found.cluster_count, found.draws, found.is_enumerated) == (51, 9_999, False)


@pytest.mark.parametrize("seed", [20, 21])
def test_two_hypotheses_by_brute_force(seed: int) -> None:
    """Two samples with different provinces; every vector over the seven provinces of both.

    The sample itself is a tie in the largest |t*| of the vectors that are constant in its
    provinces.
    """
    data = panel(seed, provinces=7, slope=0.5)
    first = data[data["province"] != 2]
    second = data[data["province"] > 0].assign(y=data["y"] + data["z"] * data["x"])
    vectors = np.array([*product((1.0, -1.0), repeat=7)])
    t_1, drawn_1 = full_t(first, np.delete(vectors, 2, axis=1))
    t_2, drawn_2 = full_t(second, np.delete(vectors, 0, axis=1))
    (larger, _), (smaller, drawn) = sorted(
        [(t_1, drawn_1), (t_2, drawn_2)],
        key=lambda one: -one[0],
    )
    p_larger = np.mean(np.maximum(drawn_1, drawn_2) >= larger * (1 - 1e-9))
    p_smaller = max(p_larger, np.mean(drawn >= smaller * (1 - 1e-9)))

    ours = adjusted(first, second)
    assert [found.p_value for found in ours] == sorted(
        [p_larger, p_smaller],
        reverse=bool(t_1 < t_2),
    )
    for found in ours:
        assert (found.draws, found.is_enumerated, found.cluster_count) == (64, True, 6)


def test_the_same_hypothesis_twice_costs_nothing() -> None:
    data = panel(31, provinces=14, slope=0.3)
    single = wild_bootstrap.test(regression_of(data), 0, clusters=labels_of(data))
    for count in (1, 2):
        for found in adjusted(*[data] * count):
            assert found.p_value == single.p_value
            assert found.monte_carlo_error == single.monte_carlo_error


def test_a_member_that_cannot_be_tested_is_refused() -> None:
    data = panel(33)
    reason = refusal(adjusted, data, data.assign(y=2 * data["x"]))
    assert reason.startswith("No bootstrap: the outcome is fitted exactly")
