"""The placebo of permuted weights: against a loop of regressions."""

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import placebo
from tests.python.test_randomisation import panel

pytestmark = pytest.mark.filterwarnings("error")


def test_the_slopes_are_those_of_one_regression_per_permutation() -> None:
    data = panel(60, effect=0.3, share=0.95)
    found = placebo.fit(data, "y", "m", ["x"], transform="ln1p", draws=19, seed=5)

    rng = np.random.default_rng(5)
    weights = data.groupby("city_id")["weight"].first().sort_index()
    slopes = []
    for _ in range(19):
        drawn = pd.Series(rng.permutation(weights.to_numpy()), index=weights.index)
        frame = data.assign(m=np.log1p(data["city_id"].map(drawn) * data["scaling_value"]))
        slopes.append(fixed_effects.fit(frame, "y", ["m", "x"]).estimates[0])
    own = fixed_effects.fit(data, "y", ["m", "x"]).estimates[0]
    assert found.estimate == pytest.approx(own, rel=1e-9)
    assert found.placebo_mean == pytest.approx(np.mean(slopes), rel=1e-9)
    assert found.placebo_sd == pytest.approx(np.std(slopes, ddof=1), rel=1e-9)
    assert (found.placebo_low, found.placebo_high) == pytest.approx(
        tuple(np.quantile(slopes, [0.025, 0.975]))
    )
    farther = np.sum(np.abs(np.array(slopes) - np.mean(slopes)) >= abs(own - np.mean(slopes)))
    assert found.p_value == (1 + farther) / 20


def test_a_city_without_a_weight_has_no_placebo() -> None:
    with pytest.raises(NotEstimable, match="no weight that could be permuted"):
        placebo.fit(panel(9).assign(weight=np.nan), "y", "m", ["x"], transform="ln1p", draws=9)
