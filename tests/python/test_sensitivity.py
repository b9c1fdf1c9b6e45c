"""What undoes a result: against robomit and sensemakr, and against confounders that are made and put in."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.sensitivity import minimum_detectable_effect, oster, robustness_value

GOLDEN = Path(__file__).parent / "golden"
RECORDS: dict[str, Any] = json.loads((GOLDEN / "ovb.json").read_text(encoding="utf-8"))
PRINTED = 5.1e-7  # robomit prints six decimals

pytestmark = pytest.mark.filterwarnings("error")


def panel(cities: int = 40, years: int = 6, seed: int = 4) -> pd.DataFrame:
    """Return a panel with a regressor that two controls confound."""
    rng = np.random.default_rng(seed)
    data = pd.MultiIndex.from_product([range(cities), range(years)], names=["city_id", "year"]).to_frame(index=False)
    n = len(data)
    data["a"], data["b"] = rng.normal(size=n), rng.normal(size=n)
    data["x"] = 0.5 * data["a"] - 0.3 * data["b"] + rng.normal(size=n)
    data["y"] = 0.4 * data["x"] + 0.6 * data["a"] - 0.5 * data["b"] + rng.normal(size=n)
    return data


def partialled_out(data: pd.DataFrame) -> PartialledOut:
    return fixed_effects.partialled_out(data, "y", ["x", "a", "b"])


class Left:
    """What the effects and the controls leave of y and x, and a column that is unrelated to all of them."""

    def __init__(self, data: pd.DataFrame) -> None:
        dummies = [pd.get_dummies(data[name]).to_numpy(dtype=float) for name in ("city_id", "year")]
        self._fixed = np.column_stack([*dummies, data[["a", "b"]]])
        self.y, self.x = (self._off(data[name].to_numpy(), self._fixed) for name in ("y", "x"))
        self.slope = float(self.x @ self.y / (self.x @ self.x))
        self.residual = self.y - self.slope * self.x
        noise = np.random.default_rng(99).normal(size=len(data))
        self.unrelated = self._off(noise, np.column_stack([self._fixed, self.x, self.y]))

    @staticmethod
    def _off(column: Floats, others: Floats) -> Floats:
        left: Floats = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
        return left

    def confounder(self, with_x: float, with_y: float) -> Floats:
        """A column with these partial R2 with x, and with y given x, that draws the slope to zero."""
        x, residual, unrelated = (column / np.linalg.norm(column) for column in (self.x, self.residual, self.unrelated))
        beside_x = math.sqrt(with_y) * residual + math.sqrt(1 - with_y) * unrelated
        return math.copysign(math.sqrt(with_x), self.slope) * x + math.sqrt(1 - with_x) * beside_x


# ---------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("assumed", ["R2max_0.595368", "R2max_1"])
def test_robomit_is_matched_to_its_printed_digits(assumed: str) -> None:
    record = RECORDS["empluk n w"]
    printed = {row["Name"]: row["Value"] for rows in record[assumed].values() for row in rows}
    data = pd.read_csv(GOLDEN / "abdata.csv")
    regression = fixed_effects.partialled_out(data, "n", ["k", "w", "ys"], entity="firm")
    found = oster(regression, 1, r2_max=1.0) if assumed == "R2max_1" else oster(regression, 1)
    assert found.delta == pytest.approx(printed["delta*"], abs=PRINTED)
    assert found.beta_star == pytest.approx(printed["beta*"], abs=PRINTED)
    assert found.r2_max == pytest.approx(printed["Max R-square"], rel=1e-12)
    assert (found.beta_uncontrolled, found.beta_controlled) == pytest.approx(
        (record["beta_short"], record["beta_full"]), rel=1e-10
    )
    assert (found.r2_uncontrolled, found.r2_controlled) == pytest.approx(
        (record["r2_short"], record["r2_full"]), rel=1e-10
    )


@pytest.fixture(scope="module")
def darfur() -> PartialledOut:
    """The regression of sensemakr's example: effects of the village alone, so built here and not by partialled_out."""
    data = pd.read_csv(GOLDEN / "darfur.csv")
    names = ["directlyharmed", "age", "farmer_dar", "herder_dar", "pastvoted", "hhsize_darfur", "female"]
    columns = data[["peacefactor", *names]].astype(float)
    within = (columns - columns.groupby(data["village"]).transform("mean")).to_numpy()
    norms = np.linalg.norm(within[:, 1:], axis=0)
    village = pd.factorize(data["village"], sort=True)[0].astype(np.intp)
    return replace(
        partialled_out(panel()),
        outcome=within[:, 0],
        design=within[:, 1:] / norms,
        units=1 / norms,
        entities=village,
        times=np.zeros_like(village),
        clusters=village,
    )


def classical_t(regression: PartialledOut, free: int) -> float:
    """t of the first regressor by the error of independent observations."""
    bread = np.linalg.inv(regression.design.T @ regression.design)
    slopes = bread @ regression.design.T @ regression.outcome
    residuals = regression.outcome - regression.design @ slopes
    return float(slopes[0] / np.sqrt(bread[0, 0] * (residuals @ residuals) / free))


def test_the_robustness_value_of_sensemakr_is_matched(darfur: PartialledOut) -> None:
    printed = RECORDS["darfur"]["stats"]
    t = classical_t(darfur, printed["dof"])
    assert t == pytest.approx(printed["t_statistic"], rel=1e-10)
    assert robustness_value(darfur, t) == pytest.approx(printed["rv_q"], rel=1e-10)


# ---------------------------------------------------------------- confounders that are made and put in


@pytest.mark.parametrize(("rule", "r2_max"), [("1.3 times", None), ("all", 1.0), ("a little", 0.7)])
def test_a_confounder_of_delta_gives_the_slope_that_oster_says(rule: str, r2_max: float | None) -> None:
    data = panel()
    found = oster(partialled_out(data), 0, r2_max=r2_max)
    left = Left(data)
    for slope, delta in ((0.0, found.delta), (found.beta_star, 1.0)):
        # y less slope times x is, beside the controls, the confounder's index and an error that is unrelated to it.
        share = 1 - (1 - found.r2_max) / (1 - found.r2_controlled)  # of the residual that the index explains
        spread = math.sqrt(share * (1 - share)) * np.linalg.norm(left.residual) / np.linalg.norm(left.unrelated)
        index = (left.slope - slope) * left.x + share * left.residual + spread * left.unrelated
        fit = fixed_effects.fit(data.assign(z=index), "y", ["x", "a", "b", "z"])
        assert fit.estimates[0] == pytest.approx(slope, abs=1e-10), rule
        assert fit.estimates[3] == pytest.approx(1)
        assert fit.r2_within == pytest.approx(found.r2_max, rel=1e-10)
        # Delta by its definition: selection on the confounder over selection on the index of the controls.
        regression = partialled_out(data.assign(y=data[["a", "b"]] @ fit.estimates[1:3]))
        x = partialled_out(data.assign(y=data["x"])).outcome * data["x"].abs().max()
        observed = regression.outcome * (data[["a", "b"]] @ fit.estimates[1:3]).abs().max()
        selections = [float(x @ part / (part @ part)) for part in (index, observed)]
        assert selections[0] / selections[1] == pytest.approx(delta, rel=1e-8), rule


def test_a_confounder_of_the_robustness_value_takes_the_estimate_away() -> None:
    data = panel()
    t = fixed_effects.fit(data, "y", ["x", "a", "b"], covariance="iid").statistics[0]
    strength = robustness_value(partialled_out(data), float(t))
    column = Left(data).confounder(strength, strength)
    beside = fixed_effects.fit(data.assign(z=column), "y", ["x", "a", "b", "z"])
    assert beside.estimates[0] == pytest.approx(0, abs=1e-10)


# ---------------------------------------------------------------- another error, and power


def test_another_error_enters_by_its_t() -> None:
    """The value r solves r^2 / (1 - r) = f^2, whatever the sign of t."""
    regression = partialled_out(panel())
    found = robustness_value(regression, 2.5)
    assert found**2 / (1 - found) == pytest.approx(2.5**2 / (240 - 3 - 40 - 6 + 1))
    assert robustness_value(regression, -2.5) == found


@pytest.mark.parametrize("degrees_of_freedom", [3, 30, 281, math.inf])
def test_the_minimum_detectable_effect_is_found_four_times_in_five(degrees_of_freedom: float) -> None:
    effect = minimum_detectable_effect(0.5, degrees_of_freedom)
    t = stats.t(degrees_of_freedom) if degrees_of_freedom < math.inf else stats.norm
    assert t.sf(t.ppf(0.975) - effect / 0.5) == pytest.approx(0.8)
    # Bloom's multiplier of large samples.
    if degrees_of_freedom == math.inf:
        assert effect / 0.5 == pytest.approx(2.80, abs=0.005)


# ---------------------------------------------------------------- what cannot be judged


def test_the_sign_of_the_outcome_turns_slopes_and_no_strength() -> None:
    data = panel()
    plain, turned = (partialled_out(rows) for rows in (data, data.assign(y=-1000 * data["y"])))
    first, second = oster(plain, 0), oster(turned, 0)
    assert second.delta == pytest.approx(first.delta)
    assert second.beta_star == pytest.approx(-1000 * first.beta_star)


def test_without_room_there_is_no_confounder() -> None:
    data = panel()
    alone = fixed_effects.partialled_out(data, "y", ["x"])
    with pytest.raises(NotEstimable, match="no control to judge selection by"):
        oster(alone, 0)
    exact = partialled_out(data.assign(y=data["x"] + data["a"] - data["b"]))
    with pytest.raises(NotEstimable, match="fitted exactly"):
        oster(exact, 0)
    few = partialled_out(panel(3, 4).iloc[:-2])
    assert few.degrees_of_freedom == 2
    with pytest.raises(NotEstimable, match="no degree of freedom to spare"):
        robustness_value(few, 2.0)


def test_a_strength_that_cannot_be_is_an_error_of_the_program() -> None:
    regression = partialled_out(panel())
    with pytest.raises(ValueError, match="does not lie between the controlled R2"):
        oster(regression, 0, r2_max=0.1)
