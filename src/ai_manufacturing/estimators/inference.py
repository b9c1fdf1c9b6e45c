"""Containers for estimates with standard errors, tests and confidence intervals."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.sentences import Sentence

# Significance level of tests; confidence intervals have a coverage of 1 - LEVEL.
LEVEL = 0.05
# Relative tolerance within which the statistic of a random draw counts as equal to the sample's.
TIE = 1e-9
POWER = 0.8  # power at which the minimum detectable effect is computed


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Coefficient estimate with the standard error, test and interval of an inference method.

    Attributes that do not apply to the method are None: a permutation test has no standard error,
    for example, and a clustered standard error has no draws.

    Attributes
    ----------
    estimate : float
        In units of the outcome per unit of the regressor.
    std_error : float or None
        In the units of the estimate.
    statistic : float or None
        Test statistic behind the p-value; t unless the method documents another.
    degrees_of_freedom : float or None
        Degrees of freedom of the t distribution.
    p_value : float or None
        Two-sided, for the hypothesis that the coefficient is zero.
    conf_low, conf_high : float or None
        Bounds of the 95 % confidence interval; an unbounded side is infinite.
    cluster_count : int or None
        Number of clusters behind the standard error.
    effective_cluster_count : float or None
        G* of Carter, Schnepel and Steigerwald (2017): the number of clusters of equal size and
        leverage that would be as informative.
    largest_partial_leverage : float or None
        Largest share, 0 to 1, of the regressor's variation within a single cluster.
    draws : int or None
        Number of resamples or permutations.
    is_enumerated : bool or None
        Whether the draws enumerate every possible resample or permutation.
    monte_carlo_error : float or None
        Simulation standard error of the p-value; zero if the draws are enumerated.
    warnings : tuple of Sentence
        Caveats to display with the estimate.
    """

    estimate: float
    std_error: float | None = None
    statistic: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    cluster_count: int | None = None
    effective_cluster_count: float | None = None
    largest_partial_leverage: float | None = None
    draws: int | None = None
    is_enumerated: bool | None = None
    monte_carlo_error: float | None = None
    warnings: tuple[Sentence, ...] = ()

    @property
    def detectable(self) -> float | None:
        """Minimum detectable effect at 80 % power; None if there is no standard error."""
        if self.std_error is None or self.degrees_of_freedom is None:
            return None
        return compute_minimum_detectable_effect(self.std_error, self.degrees_of_freedom)


def infer_by_t(
    estimate: float, std_error: float, degrees_of_freedom: float, **attributes: Any
) -> Inference:
    """Test an estimate against zero and compute its 95 % interval with the t distribution.

    Parameters
    ----------
    estimate, std_error : float
    degrees_of_freedom : float
        Infinite for the normal distribution.
    **attributes
        Further attributes of Inference.

    Returns
    -------
    Inference
        Statistic and p-value are NaN if the standard error is zero.
    """
    statistic = estimate / std_error if std_error > 0 else np.nan
    half_width = critical_value(degrees_of_freedom) * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        degrees_of_freedom=float(degrees_of_freedom),
        p_value=float(two_sided_p_values(statistic, degrees_of_freedom)),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        **attributes,
    )


def two_sided_p_values(statistics: Any, degrees_of_freedom: float) -> Any:
    """Return two-sided p-values of t statistics (z if the degrees of freedom are infinite)."""
    tails = -np.abs(statistics)
    return 2 * (
        special.ndtr(tails)
        if math.isinf(degrees_of_freedom)
        else special.stdtr(degrees_of_freedom, tails)
    )


def critical_value(degrees_of_freedom: float, level: float = LEVEL) -> float:
    """Return the two-sided critical value of t (of z if the degrees of freedom are infinite)."""
    share = 1 - level / 2
    return float(
        special.ndtri(share)
        if math.isinf(degrees_of_freedom)
        else special.stdtrit(degrees_of_freedom, share)
    )


def compute_minimum_detectable_effect(std_error: float, degrees_of_freedom: float) -> float:
    """Return the smallest true effect that a 5 % test detects with 80 % power.

    It is (t.975 + t.8) times the standard error.

    Parameters
    ----------
    std_error : float
        In the units of the estimate.
    degrees_of_freedom : float
        Degrees of freedom of t: G-1 for clustered standard errors, infinite for the normal
        distribution.

    Returns
    -------
    float
        In the units of the estimate.

    References
    ----------
    Bloom (1995), "Minimum detectable effects", Evaluation Review 19(5).
    """
    significance = critical_value(degrees_of_freedom)
    power = critical_value(degrees_of_freedom, level=2 * (1 - POWER))
    return (significance + power) * std_error


def divide_by_errors(estimates: Floats, std_errors: Floats) -> Floats:
    """Divide estimates by their standard errors; NaN if a standard error is zero."""
    statistics = np.full(len(estimates), np.nan)
    np.divide(estimates, std_errors, out=statistics, where=std_errors > 0)
    return statistics


@dataclass(frozen=True, eq=False)  # no __eq__: comparing arrays does not yield a single bool
class Fit:
    """Base class of regression results, whose arrays have one element per term.

    Attributes
    ----------
    terms : tuple of str, length k
        Names of the regressors.
    estimates, std_errors : ndarray, shape (k,)
        Coefficients and their standard errors, in units of the outcome per unit of the regressor.
        A standard error is zero if the regressors and effects fit the outcome exactly (an identity,
        not an estimate).
    observation_count, city_count : int
        Rows and entities in the estimation sample.
    cluster_count : int or None
        Number of clusters; None if the standard errors are not clustered.
    degrees_of_freedom : float
        Degrees of freedom of t; infinite if the normal distribution is used.
    """

    terms: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    observation_count: int
    city_count: int
    cluster_count: int | None
    degrees_of_freedom: float

    @property
    def statistics(self) -> Floats:
        """Student's t statistics, shape (k,); NaN if the standard error is zero."""
        return divide_by_errors(self.estimates, self.std_errors)

    @property
    def p_values(self) -> Floats:
        """Two-sided p-values for the hypothesis that each coefficient is zero, shape (k,)."""
        p_values: Floats = two_sided_p_values(self.statistics, self.degrees_of_freedom)
        return p_values

    @property
    def conf_low(self) -> Floats:
        """Lower bounds of the 95 % confidence intervals, shape (k,)."""
        return self.estimates - critical_value(self.degrees_of_freedom) * self.std_errors

    @property
    def conf_high(self) -> Floats:
        """Upper bounds of the 95 % confidence intervals, shape (k,)."""
        return self.estimates + critical_value(self.degrees_of_freedom) * self.std_errors

    def infer(self, position: int, **attributes: Any) -> Inference:
        """Return the t test and confidence interval of the coefficient at a position in `terms`."""
        estimate, std_error = float(self.estimates[position]), float(self.std_errors[position])
        return infer_by_t(
            estimate,
            std_error,
            self.degrees_of_freedom,
            cluster_count=self.cluster_count,
            **attributes,
        )
