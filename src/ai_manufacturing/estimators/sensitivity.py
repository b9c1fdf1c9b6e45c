"""How much an omitted confounder, or a lack of power, would take to undo a result.

All R2 are within: shares of the variation that is left when the effects are removed. What the effects absorb says
nothing of selection on the controls, and inclusive R2, near one with city effects, leave no room for a confounder.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import EXACT, PartialledOut, unclustered_degrees_of_freedom
from ai_manufacturing.estimators.inference import LEVEL
from ai_manufacturing.estimators.not_estimable import NotEstimable

R2_MAX_FACTOR = 1.3  # Oster's rule: nine in ten results of randomised trials survive it
POWER = 0.8


@dataclass(frozen=True)
class Oster:
    """Selection on unobservables beside selection on the controls.

    Attributes
    ----------
    beta_uncontrolled, beta_controlled : float
        Slopes without and with the controls, both with the effects; outcome per unit of the regressor.
    r2_uncontrolled, r2_controlled : float
        Within R2 of the two regressions.
    r2_max : float
        Assumed within R2 with the confounder beside the controls.
    delta : float
        How many times as strong as selection on the controls selection on the confounder must be for a slope of zero.
        Above one the result is taken as robust; negative if the controls move the slope away from zero, so that only a
        confounder of the other direction can undo it; infinite if no confounder can.
    beta_star : float
        Slope if selection on the confounder is as strong as on the controls (delta of one).
    """

    beta_uncontrolled: float
    beta_controlled: float
    r2_uncontrolled: float
    r2_controlled: float
    r2_max: float
    delta: float
    beta_star: float


def oster(regression: PartialledOut, position: int, *, r2_max: float | None = None) -> Oster:
    """Compare the movement of a slope, and of R2, when the controls come in, with what a confounder could still do.

    Parameters
    ----------
    regression : PartialledOut
    position : int
        Of the term; the other regressors are the controls.
    r2_max : float, optional
        Within R2 that the confounder brings; 1.3 times that of the controls, at most one, unless given.

    Returns
    -------
    Oster

    Raises
    ------
    NotEstimable
        If there is no control, or the outcome is fitted exactly.
    ValueError
        If r2_max does not lie between the controlled R2 and one.

    Notes
    -----
    Of the two slopes that a delta of one allows, beta_star is the one nearer to the controlled slope, as in psacalc and
    robomit. The confounder is what the controls leave of it, as in the source.

    References
    ----------
    Oster (2019), "Unobservable selection and coefficient stability", Journal of Business and Economic Statistics 37(2):
    proposition 2, and proposition 3 solved for delta; golden numbers in tests/python/golden.
    """
    y, x, controls = _parts(regression, position)
    if not controls.shape[1]:
        raise NotEstimable("no_controls")
    x_left, y_left = _without(controls, x), _without(controls, y)
    short, long = float(x @ y), float(x_left @ y_left / (x_left @ x_left))  # x has unit length
    residuals = y_left - long * x_left
    if np.linalg.norm(residuals) <= EXACT * np.linalg.norm(y):
        raise NotEstimable("no_room_for_a_confounder")
    r2_short, r2_long = short**2 / float(y @ y), 1 - float(residuals @ residuals / (y @ y))
    highest = min(R2_MAX_FACTOR * r2_long, 1.0) if r2_max is None else r2_max
    if not r2_long <= highest <= 1:
        raise ValueError(f"r2_max of {highest} does not lie between the controlled R2, {r2_long}, and one.")

    # The letters of the source, with the variance of x as the unit.
    variance_y, tau_x = float(y @ y), float(x_left @ x_left)
    gained, gainable = (r2_long - r2_short) * variance_y, (highest - r2_long) * variance_y
    moved = short - long
    cubic = long**3 * (tau_x - tau_x**2)
    numerator = long * tau_x * (gained + moved**2) + 2 * long**2 * tau_x * moved + cubic
    denominator = gainable * (moved + long * (1 - tau_x)) + long**2 * tau_x * moved + cubic
    theta = gainable * (1 - tau_x) - gained * tau_x - tau_x * moved**2
    constant = gainable * moved
    # The smaller root of -tau moved v^2 + theta v + constant = 0, v the bias, also where nothing moved.
    divisor = theta + math.copysign(math.sqrt(theta**2 + 4 * tau_x * moved * constant), theta)
    bias = -2 * constant / divisor if divisor else 0.0
    unit = float(regression.units[position])
    return Oster(
        beta_uncontrolled=short * unit,
        beta_controlled=long * unit,
        r2_uncontrolled=r2_short,
        r2_controlled=r2_long,
        r2_max=highest,
        delta=numerator / denominator if denominator else math.copysign(math.inf, numerator),
        beta_star=(long - bias) * unit,
    )


@dataclass(frozen=True)
class RobustnessValue:
    """How strongly a confounder must be related to both regressor and outcome to undo a result.

    Attributes
    ----------
    t_statistic : float
        Of the estimate, by the error asked for.
    dof : int
        Residual degrees of freedom, n-K.
    r2yd_x : float
        Partial R2 of the outcome with the regressor, t2 / (t2 + dof): a confounder that explains all that is left of
        the outcome must explain this share of the regressor for a slope of zero.
    rv_q : float
        Partial R2 that a confounder must have with both for a slope of zero.
    rv_qa : float
        The same for a slope that is not significant at 5 %; zero if it is not without a confounder.
    """

    t_statistic: float
    dof: int
    r2yd_x: float
    rv_q: float
    rv_qa: float


def robustness_value(
    regression: PartialledOut,
    position: int,
    *,
    std_error: float | None = None,
    degrees_of_freedom: float | None = None,
) -> RobustnessValue:
    """Return the partial R2 with regressor and outcome at which a confounder undoes the estimate.

    Parameters
    ----------
    regression : PartialledOut
    position : int
        Of the term.
    std_error, degrees_of_freedom : float, optional
        Of another covariance than the classical: its error in the units of the estimate, and its degrees of freedom
        for the critical value (G-1 of clustered errors).

    Returns
    -------
    RobustnessValue

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly, or there is no residual degree of freedom to spare.
    ValueError
        If only one of error and degrees of freedom is given.

    Notes
    -----
    With the classical error the values are identities: a confounder of rv_q makes the slope zero, and one of rv_qa
    makes its t in the longer regression the critical value of t(n-K-1). With another error they are the values of a
    sample that has independent errors and the same t and n-K. Where clustered errors are the larger ones, these values
    are the smaller ones; they are a convention, and make no statement on a confounder of this sample.

    References
    ----------
    Cinelli and Hazlett (2020), "Making sense of sensitivity", Journal of the Royal Statistical Society B 82(1);
    sensemakr, golden numbers in tests/python/golden.
    """
    if (std_error is None) != (degrees_of_freedom is None):
        raise ValueError("An error and its degrees of freedom belong together: give both or neither.")
    estimate, classical, dof = _classical(regression, position)
    critical_dof = dof - 1 if degrees_of_freedom is None else degrees_of_freedom
    t_statistic = estimate / (classical if std_error is None else float(std_error))
    f = abs(t_statistic) / math.sqrt(dof)
    critical = float(special.stdtrit(critical_dof, 1 - LEVEL / 2)) / math.sqrt(dof - 1)
    spare = f - critical
    if spare <= 0:
        rv_qa = 0.0
    elif f < 1 / critical:
        rv_qa = _equal_strength(spare)
    else:  # the error shrinks faster than the estimate as the confounder takes up the outcome
        rv_qa = (f**2 - critical**2) / (1 + f**2)
    return RobustnessValue(
        t_statistic=t_statistic, dof=dof, r2yd_x=f**2 / (1 + f**2), rv_q=_equal_strength(f), rv_qa=rv_qa
    )


@dataclass(frozen=True)
class ConfounderBound:
    """What a confounder some times as strong as a control would leave of an estimate, at worst.

    Attributes
    ----------
    multiple : float
        Times as strong as the control, with the regressor and with the outcome.
    r2dz_x, r2yz_dx : float
        Its partial R2 with the regressor given the controls, and with the outcome given these and the regressor.
    adjusted_estimate, adjusted_se, adjusted_t : float
        Slope, classical error and t beside the confounder.
    adjusted_conf_low, adjusted_conf_high : float
        Ends of the 95 % interval from t(n-K), as sensemakr prints them.
    """

    multiple: float
    r2dz_x: float
    r2yz_dx: float
    adjusted_estimate: float
    adjusted_se: float
    adjusted_t: float
    adjusted_conf_low: float
    adjusted_conf_high: float


def confounder_bounds(
    regression: PartialledOut, position: int, benchmark: int, *, multiples: Sequence[float] = (1, 2, 3)
) -> list[ConfounderBound]:
    """Bound what confounders as strong as a control, twice and three times as strong, would do to an estimate.

    Parameters
    ----------
    regression : PartialledOut
    position, benchmark : int
        Of the term, and of the control to measure the confounder by.
    multiples : sequence of float

    Returns
    -------
    list of ConfounderBound
        One per multiple, but for those that no confounder can have.

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly, or there is no residual degree of freedom to spare.
    ValueError
        If the control is the term itself.

    References
    ----------
    As of robustness_value.
    """
    if position == benchmark:
        raise ValueError(f"Regressor {position} cannot be its own benchmark: name a control.")
    estimate, error, dof = _classical(regression, position)
    y, x, _ = _parts(regression, position)
    others = np.delete(regression.design, [position, benchmark], axis=1)
    control = regression.design[:, benchmark]
    with_x = _partial_r2(others, control, x)
    with_y = _partial_r2(np.column_stack([others, x]), control, y)
    bounds = []
    for multiple in multiples:
        r2dz = multiple * with_x / (1 - with_x)
        if r2dz >= 1 or multiple * with_x >= 1:
            continue
        shared = multiple * with_x**2 / ((1 - multiple * with_x) * (1 - with_x))
        if shared >= 1:
            continue
        strength = (math.sqrt(multiple) + math.sqrt(shared)) ** 2 / (1 - shared)
        r2yz = min(strength * with_y / (1 - with_y), 1.0)
        bias = math.sqrt(r2yz * r2dz / (1 - r2dz)) * error * math.sqrt(dof)
        adjusted = math.copysign(1, estimate) * (abs(estimate) - bias)
        adjusted_se = math.sqrt((1 - r2yz) / (1 - r2dz) * dof / (dof - 1)) * error
        half_width = float(special.stdtrit(dof, 1 - LEVEL / 2)) * adjusted_se
        bounds.append(
            ConfounderBound(
                multiple=multiple,
                r2dz_x=r2dz,
                r2yz_dx=r2yz,
                adjusted_estimate=adjusted,
                adjusted_se=adjusted_se,
                adjusted_t=adjusted / adjusted_se if adjusted_se else math.copysign(math.inf, adjusted),
                adjusted_conf_low=adjusted - half_width,
                adjusted_conf_high=adjusted + half_width,
            )
        )
    return bounds


def minimum_detectable_effect(std_error: float, degrees_of_freedom: float) -> float:
    """Return the smallest true effect that a test at 5 % finds four times in five: (t.975 + t.8) times the error.

    Parameters
    ----------
    std_error : float
        In the units of the estimate.
    degrees_of_freedom : float
        Of t: G-1 of clustered errors, infinite of normal ones.

    Returns
    -------
    float
        In the units of the estimate.

    References
    ----------
    Bloom (1995), "Minimum detectable effects", Evaluation Review 19(5).
    """
    low, high = special.stdtrit(degrees_of_freedom, [POWER, 1 - LEVEL / 2])
    return float(low + high) * std_error


def _parts(regression: PartialledOut, position: int) -> tuple[Floats, Floats, Floats]:
    """Return outcome, regressor and controls, effects removed."""
    return regression.outcome, regression.design[:, position], np.delete(regression.design, position, axis=1)


def _without(controls: Floats, column: Floats) -> Floats:
    """Project a column, shape (n,), off the controls."""
    basis = np.linalg.qr(controls)[0]
    left: Floats = column - basis @ (basis.T @ column)
    return left


def _partial_r2(controls: Floats, added: Floats, column: Floats) -> float:
    """Share of what the controls leave of a column that an added regressor explains."""
    of_added, of_column = _without(controls, added), _without(controls, column)
    return float((of_added @ of_column) ** 2 / ((of_added @ of_added) * (of_column @ of_column)))


def _classical(regression: PartialledOut, position: int) -> tuple[float, float, int]:
    """Return slope and classical error in the units of the sample, and residual degrees of freedom."""
    y, x, controls = _parts(regression, position)
    x_left, y_left = _without(controls, x), _without(controls, y)
    slope = x_left @ y_left / (x_left @ x_left)
    unexplained = np.linalg.norm(y_left - slope * x_left)
    if unexplained <= EXACT * np.linalg.norm(y):
        raise NotEstimable("no_room_for_a_confounder")
    n, k = regression.design.shape
    dof = unclustered_degrees_of_freedom(n, regression.entity_count, k, regression.time_count)
    if dof < 2:
        raise NotEstimable("no_freedom_for_a_confounder")
    unit = float(regression.units[position])
    return float(slope) * unit, float(unexplained / math.sqrt(dof) / np.linalg.norm(x_left)) * unit, dof


def _equal_strength(f: float) -> float:
    """Return the partial R2, the same with regressor and outcome, that uses up f of Cohen."""
    return (math.sqrt(f**4 + 4 * f**2) - f**2) / 2
