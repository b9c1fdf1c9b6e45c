"""How strong an omitted confounder must be to undo a result, and which weights are negative.

All R2 are within: shares of the variation that is left when the effects are removed. Inclusive R2,
near one with city effects, would leave no room for a confounder.
"""

import math

import numpy as np

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case, clustered
from ai_manufacturing.robustness.panel_regressions import without_controls


def clustered_robustness_value(case: Case, position: int, cluster: str) -> float:
    """Return robustness_value of a case, by the t of its clustered error."""
    error = clustered(case.regression, position, case.codes(cluster), cluster)
    if error.statistic is None:
        raise NotEstimable("no_error_of_exact_fit")
    return robustness_value(case.regression, error.statistic)


def negative_weights(case: Case, position: int, figure: str) -> float:
    """Return the share of the city-years whose weight in a slope is negative, or their sum.

    Parameters
    ----------
    case : Case
    position : int
        Index of the measure.
    figure : {"share", "sum"}

    Raises
    ------
    NotEstimable
        If the measure is a log, which has no zero to count an effect from.
    """
    specification = case.specification
    if specification.transform == "ln":
        raise NotEstimable("log_has_no_zero")
    measure = case.rows[specification.regressor].to_numpy(dtype=float)
    weights = effect_weights(case.regression, position, measure)
    negative = weights[weights < 0]
    return {"share": len(negative) / len(weights), "sum": float(negative.sum())}[figure]


def effect_weights(regression: PartialledOut, position: int, measure: Floats) -> Floats:
    """Return the weights with which the effects of single rows make up a slope; their sum is one.

    Parameters
    ----------
    regression : PartialledOut
    position : int
        Index of the measure among the regressors.
    measure : ndarray, shape (n,)
        Its values, with the effects.

    Returns
    -------
    ndarray, shape (n,)

    Notes
    -----
    Where trends are parallel and each row has a slope of its own, the estimate expects the sum of
    weights times slopes. A weight is the measure times what effects and controls leave of it, over
    the sum of these products.

    References
    ----------
    de Chaisemartin and D'Haultfoeuille (2020), "Two-way fixed effects estimators with heterogeneous
    treatment effects", American Economic Review 110(9), and its web appendix on treatments that are
    not binary.
    """
    controls = np.delete(regression.design, position, axis=1)
    products = without_controls(controls, regression.design[:, position]) * measure
    weights: Floats = products / products.sum()
    return weights


def robustness_value(regression: PartialledOut, t_statistic: float) -> float:
    """Return the partial R2 with regressor and outcome that a confounder needs for a zero slope.

    Parameters
    ----------
    regression : PartialledOut
    t_statistic : float
        t of the estimate, by the error of choice.

    Returns
    -------
    float
        Share, 0 to 1.

    Raises
    ------
    NotEstimable
        If there is no residual degree of freedom to spare.

    Notes
    -----
    With the t of the classical error the value is an identity: a confounder of that strength makes
    the slope zero. With another t it is the value of a sample that has independent errors and the
    same t and n-K. Where clustered errors are the larger ones, this value is the smaller one; it is
    a convention, and makes no statement on a confounder of this sample.

    References
    ----------
    Cinelli and Hazlett (2020), "Making sense of sensitivity", Journal of the Royal Statistical
    Society B 82(1); sensemakr, golden numbers in tests/python/golden.
    """
    n, k = regression.design.shape
    dof: int = n - k - regression.effects.rank
    if dof < 2:
        raise NotEstimable("no_freedom_for_a_confounder")
    f2 = t_statistic**2 / dof  # of Cohen
    return (math.sqrt(f2**2 + 4 * f2) - f2) / 2
