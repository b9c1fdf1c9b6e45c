"""Sensitivity to omitted confounders, and negative weights in two-way fixed effects.

All R2 are within R2, computed after the effects are removed. Inclusive R2 are near one with city
effects and would leave no room for a confounder.
"""

import math

import numpy as np

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case, infer_by_city_or_province
from ai_manufacturing.robustness.panel_regressions import remove_controls


def compute_clustered_robustness_value(case: Case, position: int, cluster: str) -> float:
    """Return the robustness value of a coefficient, based on its clustered t statistic."""
    error = infer_by_city_or_province(case.regression, position, case.codes(cluster), cluster)
    if error.statistic is None:
        raise NotEstimable("no_error_of_exact_fit")
    return compute_robustness_value(case.regression, error.statistic)


def sum_negative_weights(case: Case, position: int, figure: str) -> float:
    """Return the share of city-years with negative weights in a slope, or the sum of these weights.

    Parameters
    ----------
    case : Case
    position : int
        Index of the measure.
    figure : {"share", "sum"}

    Raises
    ------
    NotEstimable
        If the measure is in logs, because the weights require a meaningful zero.
    """
    specification = case.specification
    if specification.transform == "ln":
        raise NotEstimable("log_has_no_zero")
    measure = case.rows[specification.regressor].to_numpy(dtype=float)
    weights = compute_effect_weights(case.regression, position, measure)
    negative = weights[weights < 0]
    return {"share": len(negative) / len(weights), "sum": float(negative.sum())}[figure]


def compute_effect_weights(regression: PartialledOut, position: int, measure: Floats) -> Floats:
    """Return the weight of each row's treatment effect in a slope; the weights sum to one.

    Parameters
    ----------
    regression : PartialledOut
    position : int
        Index of the measure among the regressors.
    measure : ndarray, shape (n,)
        Values of the measure before the effects are removed.

    Returns
    -------
    ndarray, shape (n,)

    Notes
    -----
    If trends are parallel and each row has its own slope, the expected estimate is the sum of
    weights times slopes. A row's weight is its measure times its residual on effects and controls,
    divided by the sum of these products.

    References
    ----------
    de Chaisemartin and D'Haultfoeuille (2020), "Two-way fixed effects estimators with heterogeneous
    treatment effects", American Economic Review 110(9), and its web appendix on treatments that are
    not binary.
    """
    controls = np.delete(regression.design, position, axis=1)
    products = remove_controls(controls, regression.design[:, position]) * measure
    weights: Floats = products / products.sum()
    return weights


def compute_robustness_value(regression: PartialledOut, t_statistic: float) -> float:
    """Return the partial R2 that a confounder needs to reduce the slope to zero.

    It is the partial R2 of the confounder with both the regressor and the outcome.

    Parameters
    ----------
    regression : PartialledOut
    t_statistic : float
        t statistic of the estimate, for any choice of standard error.

    Returns
    -------
    float
        Share, 0 to 1.

    Raises
    ------
    NotEstimable
        If there are too few residual degrees of freedom to add a confounder.

    Notes
    -----
    With the classical t the value is an algebraic identity: a confounder of that strength reduces
    the slope to zero. With another t, it is the value for a sample with independent errors and the
    same t and n-K. If clustered standard errors are larger than classical ones, the value is
    smaller. It is then a convention and not a statement about confounders of this sample.

    References
    ----------
    Cinelli and Hazlett (2020), "Making sense of sensitivity", Journal of the Royal Statistical
    Society B 82(1); sensemakr, golden numbers in tests/python/golden.
    """
    n, k = regression.design.shape
    dof: int = n - k - regression.effects.rank
    if dof < 2:
        raise NotEstimable("no_freedom_for_a_confounder")
    f2 = t_statistic**2 / dof  # Cohen's f squared
    return (math.sqrt(f2**2 + 4 * f2) - f2) / 2
