"""Estimates with their errors, tests and intervals, whatever the method."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.sentences import Sentence

LEVEL = 0.05  # of tests, and of the intervals that invert them
POWER = 0.8  # with which a detectable effect is found


@dataclass(frozen=True, kw_only=True)
class Inference:
    """An estimate with the error, the test and the interval that one method gives it.

    What a method does not have is None: a permutation test has no error, an error no draws.

    Attributes
    ----------
    estimate : float
        In units of the outcome per unit of the regressor.
    std_error : float or None
        In the units of the estimate.
    statistic : float or None
        What the p-value is the tail of; t unless the method says otherwise.
    degrees_of_freedom : float or None
        Degrees of freedom of t.
    p_value : float or None
        Two-sided, of the hypothesis that the coefficient is zero.
    conf_low, conf_high : float or None
        Ends of the 95 % interval, infinite where it has none.
    cluster_count : int or None
        Clusters of the error.
    effective_cluster_count : float or None
        G* of Carter, Schnepel and Steigerwald (2017): how many clusters of one size and leverage
        carry as much.
    largest_partial_leverage : float or None
        Share, 0 to 1, of the regressor's variation that the cluster with most of it has.
    draws : int or None
        Resamples or permutations.
    is_enumerated : bool or None
        Whether the draws are all there are.
    monte_carlo_error : float or None
        Standard error that the p-value owes to the draws; zero if enumerated.
    warnings : tuple of Sentence
        What a reader of the row must know.
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
        """The smallest true effect that the test finds four times in five, by its error."""
        if self.std_error is None or self.degrees_of_freedom is None:
            return None
        return minimum_detectable_effect(self.std_error, self.degrees_of_freedom)


def by_t(estimate: float, std_error: float, degrees_of_freedom: float, **rest: Any) -> Inference:
    """Return the test of zero and the 95 % interval by the t distribution.

    Parameters
    ----------
    estimate, std_error : float
    degrees_of_freedom : float
        Infinite for the normal distribution.
    degrees_of_freedom : int
    **rest
        Further attributes of Inference.

    Returns
    -------
    Inference
        Statistic and p-value are NaN if the error is zero.
    """
    statistic = estimate / std_error if std_error > 0 else np.nan
    half_width = quantile(degrees_of_freedom) * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        degrees_of_freedom=float(degrees_of_freedom),
        p_value=float(two_sided(statistic, degrees_of_freedom)),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        **rest,
    )


def two_sided(statistics: Any, degrees_of_freedom: float) -> Any:
    """Return the two-sided p-values of t statistics, or of z if degrees of freedom are infinite."""
    tails = -np.abs(statistics)
    return 2 * (
        special.ndtr(tails)
        if math.isinf(degrees_of_freedom)
        else special.stdtr(degrees_of_freedom, tails)
    )


def quantile(degrees_of_freedom: float, level: float = LEVEL) -> float:
    """Return what |t| exceeds with the probability of a level, or |z| if degrees are infinite."""
    share = 1 - level / 2
    return float(
        special.ndtri(share)
        if math.isinf(degrees_of_freedom)
        else special.stdtrit(degrees_of_freedom, share)
    )


def minimum_detectable_effect(std_error: float, degrees_of_freedom: float) -> float:
    """Return the smallest true effect that a test at 5 % finds four times in five.

    It is (t.975 + t.8) times the error.

    Parameters
    ----------
    std_error : float
        In the units of the estimate.
    degrees_of_freedom : float
        Those of t: G-1 of clustered errors, infinite of normal ones.

    Returns
    -------
    float
        In the units of the estimate.

    References
    ----------
    Bloom (1995), "Minimum detectable effects", Evaluation Review 19(5).
    """
    both = quantile(degrees_of_freedom) + quantile(degrees_of_freedom, level=2 * (1 - POWER))
    return both * std_error


def ratios(estimates: Floats, std_errors: Floats) -> Floats:
    """Return estimates over their errors; NaN where the error is zero."""
    statistics = np.full(len(estimates), np.nan)
    np.divide(estimates, std_errors, out=statistics, where=std_errors > 0)
    return statistics


@dataclass(frozen=True, eq=False)  # eq: comparing arrays has no single truth value
class Fit:
    """Estimates of one regression; arrays run over the terms.

    Attributes
    ----------
    terms : tuple of str, length k
        Names of the regressors.
    estimates, std_errors : ndarray, shape (k,)
        Coefficients and their errors, in units of the outcome per unit of the regressor. An error
        is zero if the regressors and effects fit the outcome exactly (an identity, not an
        estimate).
    observation_count, city_count : int
        Rows and entities that the estimates rest on.
    cluster_count : int or None
        Clusters of the errors; None if they are not clustered.
    degrees_of_freedom : float
        Those of t; infinite where statistics are taken as normal.
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
        """T statistics, shape (k,); NaN where the error is zero."""
        return ratios(self.estimates, self.std_errors)

    @property
    def p_values(self) -> Floats:
        """Two-sided p-values of the hypotheses that a coefficient is zero, shape (k,)."""
        p_values: Floats = two_sided(self.statistics, self.degrees_of_freedom)
        return p_values

    @property
    def conf_low(self) -> Floats:
        """Lower ends of the 95 % intervals, shape (k,)."""
        return self.estimates - quantile(self.degrees_of_freedom) * self.std_errors

    @property
    def conf_high(self) -> Floats:
        """Upper ends of the 95 % intervals, shape (k,)."""
        return self.estimates + quantile(self.degrees_of_freedom) * self.std_errors

    def inference(self, position: int, **rest: Any) -> Inference:
        """Return the test and interval of one coefficient, by the position of its term."""
        estimate, std_error = float(self.estimates[position]), float(self.std_errors[position])
        return by_t(
            estimate, std_error, self.degrees_of_freedom, cluster_count=self.cluster_count, **rest
        )
