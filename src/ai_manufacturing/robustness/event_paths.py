"""Compute the linear pre-trend that an event study would detect with a given power."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, special
from scipy.stats import qmc

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import OMITTED_TIME, SINGULAR
from ai_manufacturing.estimators.inference import critical_value
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case

FINENESS = 15  # base-2 logarithm of the number of integration points
SEED = 2020  # seed of the scrambled Sobol points, fixed so that results are reproducible


def report_detectable_trend(case: Case, power: str) -> Iterator[Row]:
    """Yield a row with the linear pre-trend that an event study detects with a given power."""
    study = case.event_study
    case.require_valid_years_before()
    count = len(study.event_times)
    slope = find_detectable_slope(
        study.covariance_matrix[:count, :count],
        study.event_times,
        float(power),
        omitted_time=OMITTED_TIME,
        degrees_of_freedom=study.degrees_of_freedom,
    )
    yield {"term": "path", "value": slope}


def find_detectable_slope(
    covariance: Floats,
    event_times: Sequence[int],
    power: float,
    *,
    omitted_time: int,
    degrees_of_freedom: float = math.inf,
) -> float:
    """Return the slope of the linear pre-trend that is detected with a given probability.

    The trend is detected if at least one term before the event is significant at 5 %.

    Parameters
    ----------
    covariance : ndarray, shape (k, k)
        Covariance of the estimates, in the order of event_times.
    event_times : sequence of int
        Years since the event; negative ones are tested.
    power : float
        Probability of detecting the trend.
    omitted_time : int
        Event time of the reference year.
    degrees_of_freedom : float
        Degrees of freedom of t for the critical value; the default is the normal distribution.

    Returns
    -------
    float
        Positive slope: yearly change in the outcome of treated cities relative to the others. The
        negative slope is detected with the same probability.

    Raises
    ------
    NotEstimable
        If there is no term before the event; a standard error is zero; the covariance of these
        terms is singular; or the test rejects with at least that probability without a trend.

    Notes
    -----
    The covariance is treated as known and the estimates as normal, for any critical value. A pooled
    endpoint is assigned the trend at the year that names it, which understates the trend's effect
    on it.

    References
    ----------
    Roth (2022), "Pretest with caution: event-study estimates after testing for parallel trends",
    AER: Insights 4(3); its R package pretrends uses a critical value of 1.96.
    """
    before = [position for position, event_time in enumerate(event_times) if event_time < 0]
    if not before:
        raise NotEstimable("no_pre_trend")
    correlations = compute_correlations(covariance[np.ix_(before, before)])
    errors = np.sqrt(np.diag(covariance)[before])
    drift = (np.asarray(event_times, dtype=float)[before] - omitted_time) / errors
    threshold = critical_value(degrees_of_freedom)

    def probability(slope: float) -> float:
        means = slope * drift
        return 1 - normal_rectangle_probability(-threshold - means, threshold - means, correlations)

    size = probability(0.0)
    if size >= power:
        raise NotEstimable("found_without_trend", size=size, power=power)
    # Upper bound of the root, at which the most shifted coefficient alone reaches the power.
    enough = 1.01 * float((threshold + special.ndtri(power)) / np.abs(drift).max())
    return float(
        optimize.brentq(lambda slope: probability(slope) - power, 0.0, enough, xtol=1e-9 * enough)
    )


def normal_rectangle_probability(low: Floats, high: Floats, correlations: Floats) -> float:
    """Return the probability that correlated standard normal variables fall within bounds.

    Parameters
    ----------
    low, high : ndarray, shape (k,)
        Bounds.
    correlations : ndarray, shape (k, k)
        Correlation matrix of full rank.

    Returns
    -------
    float
        Probability, accurate to 1e-6 with five variables.

    References
    ----------
    Genz (1992), "Numerical computation of multivariate normal probabilities", Journal of
    Computational and Graphical Statistics 1(2), with scrambled Sobol points.
    """
    factor = np.linalg.cholesky(correlations)
    points = _points(len(factor))
    inside, normals = np.ones(points.shape[1]), np.zeros(points.shape)
    for j, uniform in enumerate(points):
        mean = factor[j] @ normals
        below, above = (special.ndtr((bound - mean) / factor[j, j]) for bound in (low[j], high[j]))
        inside *= above - below
        # Clip to keep the normal quantiles finite; points at 0 or 1 have zero weight anyway.
        share = np.clip(below + uniform * (above - below), 1e-300, 1 - 1e-16)
        normals[j] = special.ndtri(share)
    return float(inside.mean())


def compute_correlations(covariance: Floats) -> Floats:
    """Convert a covariance matrix to correlations, and check that it has full rank.

    Raises
    ------
    NotEstimable
        If a standard error is zero, or the covariance is singular.
    """
    errors = np.sqrt(np.diag(covariance))
    if (errors == 0).any():
        raise NotEstimable("exact_path")
    correlations: Floats = covariance / np.outer(errors, errors)
    strengths = np.linalg.eigvalsh(correlations)
    rank = int((strengths > SINGULAR * strengths[-1]).sum())
    if rank < len(errors):
        raise NotEstimable("singular_path", rank=rank, count=len(errors))
    return correlations


@lru_cache(maxsize=32)
def _points(dimension: int) -> Floats:
    """Return scrambled Sobol points in the unit cube, shape (dimension, 2**FINENESS)."""
    return np.ascontiguousarray(
        qmc.Sobol(dimension, scramble=True, rng=SEED).random_base2(FINENESS).T
    )
