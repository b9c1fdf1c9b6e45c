"""Romano and Wolf's stepdown against R's wildrwolf, a loop over all sign vectors."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects, wild_bootstrap
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.robustness import romano_wolf
from tests.python.estimator_tools import approx, golden, golden_data, refusal
from tests.python.test_wild_bootstrap import panel, regression_of, textbook

pytestmark = pytest.mark.filterwarnings("error")


def adjusted(*samples: pd.DataFrame) -> list[Inference]:
    """Adjust the slopes of the first regressor in some samples."""
    return romano_wolf.adjusted(
        [*map(regression_of, samples)],
        [0] * len(samples),
        clusters=[data["province"].to_numpy() for data in samples],
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
    samples = [
        data[data["province"] != 2],
        data[data["province"] > 0].assign(y=data["y"] + data["x2"] * data["x1"]),
    ]
    vectors = np.array([*product((1.0, -1.0), repeat=7)])
    found = []
    for sample, missing in zip(samples, (2, 0), strict=True):
        t, drawn = textbook(sample, np.delete(vectors, missing, axis=1))
        root = np.sqrt(regression_of(sample).factor)
        found.append((t / root, drawn / root))
    both = np.maximum(found[0][1], found[1][1])
    (larger, _), (smaller, drawn) = sorted(found, key=lambda one: -one[0])
    p_larger = np.mean(both >= larger * (1 - 1e-9))
    p_smaller = max(p_larger, np.mean(drawn >= smaller * (1 - 1e-9)))

    ours = adjusted(*samples)
    assert {found[0][0]: ours[0].p_value, found[1][0]: ours[1].p_value} == {
        larger: p_larger,
        smaller: p_smaller,
    }
    for one in ours:
        assert (one.draws, one.is_enumerated, one.cluster_count) == (64, True, 6)


def test_the_same_hypothesis_twice_costs_nothing() -> None:
    data = panel(31, provinces=14, slope=0.3)
    single = wild_bootstrap.test(regression_of(data), 0, clusters=data["province"].to_numpy())
    for count in (1, 2):
        for found in adjusted(*[data] * count):
            assert found.p_value == single.p_value
            assert found.monte_carlo_error == single.monte_carlo_error


def test_a_member_that_cannot_be_tested_is_refused() -> None:
    data = panel(33)
    reason = refusal(adjusted, data, data.assign(y=2 * data["x1"]))
    assert reason.startswith("No bootstrap: the outcome is fitted exactly")
