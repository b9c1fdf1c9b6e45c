"""What undoes a result: against robomit and sensemakr, and against confounders that are made and put in."""

import json
import math
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sensitivity import (
    confounder_bounds,
    minimum_detectable_effect,
    oster,
    robustness_value,
)

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


def test_the_robustness_values_of_sensemakr_are_matched(darfur: PartialledOut) -> None:
    printed = RECORDS["darfur"]["stats"]
    found = robustness_value(darfur, 0)
    assert found.dof == printed["dof"]
    assert (found.t_statistic, found.r2yd_x, found.rv_q, found.rv_qa) == pytest.approx(
        (printed["t_statistic"], printed["r2yd.x"], printed["rv_q"], printed["rv_qa"]), rel=1e-10
    )


def test_the_bounds_of_sensemakr_are_matched(darfur: PartialledOut) -> None:
    for found, printed in zip(confounder_bounds(darfur, 0, 6), RECORDS["darfur"]["bounds"], strict=True):
        assert printed["bound_label"] == f"{found.multiple}x female"
        names = ["r2dz.x", "r2yz.dx", "adjusted_estimate", "adjusted_se", "adjusted_t"]
        expected = [printed[name] for name in (*names, "adjusted_lower_CI", "adjusted_upper_CI")]
        assert astuple(found)[1:] == pytest.approx(expected, rel=1e-9)


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
    found = robustness_value(partialled_out(data), 0)
    left = Left(data)

    def beside(strength: float) -> fixed_effects.FixedEffectsFit:
        column = left.confounder(strength, strength)
        return fixed_effects.fit(data.assign(z=column), "y", ["x", "a", "b", "z"], covariance="iid")

    assert beside(found.rv_q).estimates[0] == pytest.approx(0, abs=1e-10)
    assert beside(found.rv_qa).p_values[0] == pytest.approx(0.05, rel=1e-8)
    assert beside(found.rv_qa * 0.99).p_values[0] < 0.05
    # All that is left of the outcome, and this share of the regressor.
    whole = fixed_effects.fit(data.assign(z=left.confounder(found.r2yd_x, 1 - 1e-9)), "y", ["x", "a", "b", "z"])
    assert whole.estimates[0] == pytest.approx(0, abs=1e-8)


def test_the_worst_confounder_is_found_where_it_need_not_take_up_the_outcome() -> None:
    """Few degrees of freedom, a strong estimate: r2 with the outcome below the value undoes significance first."""
    data = panel(4, 3, seed=2).assign(a=lambda rows: rows["a"] * 1e-3, b=lambda rows: rows["b"] * 1e-3)
    data["y"] = 20 * data["x"] + np.random.default_rng(1).normal(size=len(data)) * 2
    found = robustness_value(partialled_out(data), 0)
    f = found.t_statistic / math.sqrt(found.dof)
    critical = stats.t.ppf(0.975, found.dof - 1)
    assert f > math.sqrt(found.dof - 1) / critical

    def worst(strength: float) -> float:
        with_y = np.linspace(0, strength, 20_001)
        bias = np.sqrt(with_y * strength / (1 - strength)) * math.sqrt(found.dof)
        error = np.sqrt((1 - with_y) / (1 - strength) * found.dof / (found.dof - 1))
        return float(np.min((found.t_statistic - bias) / error) - critical)

    assert found.rv_qa == pytest.approx(optimize.brentq(worst, 1e-6, 1 - 1e-6), rel=1e-6)


def test_a_bound_is_the_estimate_beside_a_confounder_of_that_strength() -> None:
    data = panel()
    left = Left(data)
    for bound in confounder_bounds(partialled_out(data), 0, 2, multiples=(0.5, 1)):
        column = left.confounder(bound.r2dz_x, bound.r2yz_dx)
        fit = fixed_effects.fit(data.assign(z=column), "y", ["x", "a", "b", "z"], covariance="iid")
        assert (bound.adjusted_estimate, bound.adjusted_se, bound.adjusted_t) == pytest.approx(
            (fit.estimates[0], fit.std_errors[0], fit.statistics[0]), rel=1e-8
        )
    # A confounder a thousand times as strong as a would explain more of x than there is.
    assert confounder_bounds(partialled_out(data), 0, 1, multiples=(1000,)) == []


# ---------------------------------------------------------------- another error, and power


def test_another_error_enters_by_its_t_and_degrees_of_freedom() -> None:
    data = panel()
    regression = partialled_out(data)
    fit = fixed_effects.fit(data, "y", ["x", "a", "b"])
    error = 2 * float(fit.std_errors[0])
    found = robustness_value(regression, 0, std_error=error, degrees_of_freedom=39)
    dof = 240 - 3 - 40 - 6 + 1
    t = float(fit.estimates[0]) / error
    assert found.t_statistic == pytest.approx(t)
    assert found.dof == dof
    # The value r solves r^2 / (1 - r) = f^2.
    assert found.rv_q**2 / (1 - found.rv_q) == pytest.approx(t**2 / dof)
    spare = t / math.sqrt(dof) - stats.t.ppf(0.975, 39) / math.sqrt(dof - 1)
    assert found.rv_qa**2 / (1 - found.rv_qa) == pytest.approx(spare**2)
    assert robustness_value(regression, 0, std_error=10.0, degrees_of_freedom=39).rv_qa == 0
    with pytest.raises(ValueError, match="give both or neither"):
        robustness_value(regression, 0, std_error=error)


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
    assert robustness_value(turned, 0).rv_qa == pytest.approx(robustness_value(plain, 0).rv_qa)
    for bound, other in zip(confounder_bounds(plain, 0, 2), confounder_bounds(turned, 0, 2), strict=True):
        assert other.adjusted_estimate == pytest.approx(-1000 * bound.adjusted_estimate)


def test_without_room_there_is_no_confounder() -> None:
    data = panel()
    alone = fixed_effects.partialled_out(data, "y", ["x"])
    with pytest.raises(NotEstimable, match="no control to judge selection by"):
        oster(alone, 0)
    exact = partialled_out(data.assign(y=data["x"] + data["a"] - data["b"]))
    for method in (oster, robustness_value):
        with pytest.raises(NotEstimable, match="fitted exactly"):
            method(exact, 0)
    with pytest.raises(NotEstimable, match="fitted exactly"):
        confounder_bounds(exact, 0, 1)
    few = partialled_out(panel(3, 4).iloc[:-2])
    assert few.degrees_of_freedom == 2
    with pytest.raises(NotEstimable, match="no degree of freedom to spare"):
        robustness_value(few, 0)


def test_a_strength_that_cannot_be_is_an_error_of_the_program() -> None:
    regression = partialled_out(panel())
    with pytest.raises(ValueError, match="does not lie between the controlled R2"):
        oster(regression, 0, r2_max=0.1)
    with pytest.raises(ValueError, match="cannot be its own benchmark"):
        confounder_bounds(regression, 1, 1)
