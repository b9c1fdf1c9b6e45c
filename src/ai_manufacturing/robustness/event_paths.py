"""The trend before an event that single years of its path find with a given probability."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, special
from scipy.stats import qmc

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import SINGULAR
from ai_manufacturing.estimators.inference import quantile
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case

FINENESS = 15  # binary logarithm of the points of an integral
SEED = 2020  # of the scrambled Sobol points: the same integral is the same number in every run


def detectable_trend(case: Case, power: str) -> Iterator[Row]:
    """Give the trend before the event that single terms find with a power."""
    study = case.event_study
    case.require_valid_years_before()
    count = len(study.event_times)
    slope = trend_found(
        study.covariance_matrix[:count, :count],
        study.event_times,
        float(power),
        omitted_time=-1,
        degrees_of_freedom=study.degrees_of_freedom,
    )
    yield {"term": "path", "value": slope}


def trend_found(
    covariance: Floats,
    event_times: Sequence[int],
    power: float,
    *,
    omitted_time: int,
    degrees_of_freedom: float = math.inf,
) -> float:
    """Return the linear trend that some term before the event finds with a given probability.

    It is found if any of these terms is significant at 5 %.

    Parameters
    ----------
    covariance : ndarray, shape (k, k)
        Covariance of the estimates, in the order of event_times.
    event_times : sequence of int
        Years since the event; those below zero are tested.
    power : float
        Probability that the trend is found.
    omitted_time : int
        Years since the event of the year that the others are measured against.
    degrees_of_freedom : float
        Those of the t that gives the threshold; the default is the normal distribution.

    Returns
    -------
    float
        Slope above zero: outcome of treated cities less that of the others, per year. Its negative
        is found as often.

    Raises
    ------
    NotEstimable
        If no term is before the event; an error is zero; the covariance of those terms is singular;
        or the test rejects with that probability where there is no trend.

    Notes
    -----
    The covariance is taken as known and the estimates as normal, whatever the threshold. A pooled
    endpoint has the trend of the year it is named after, which understates what the trend puts on
    it.

    References
    ----------
    Roth (2022), "Pretest with caution: event-study estimates after testing for parallel trends",
    AER: Insights 4(3); its R package pretrends has a threshold of 1.96.
    """
    before = [position for position, event_time in enumerate(event_times) if event_time < 0]
    if not before:
        raise NotEstimable("no_pre_trend")
    correlations = correlations_of(covariance[np.ix_(before, before)])
    errors = np.sqrt(np.diag(covariance)[before])
    drift = (np.asarray(event_times, dtype=float)[before] - omitted_time) / errors
    threshold = quantile(degrees_of_freedom)

    def probability(slope: float) -> float:
        means = slope * drift
        return 1 - rectangle(-threshold - means, threshold - means, correlations)

    size = probability(0.0)
    if size >= power:
        raise NotEstimable("found_without_trend", size=size, power=power)
    # Any term is found at least as often as the one that the trend moves most.
    enough = 1.01 * float((threshold + special.ndtri(power)) / np.abs(drift).max())
    return float(
        optimize.brentq(lambda slope: probability(slope) - power, 0.0, enough, xtol=1e-9 * enough)
    )


def rectangle(low: Floats, high: Floats, correlations: Floats) -> float:
    """Return the probability that correlated standard normal variables lie between bounds.

    Parameters
    ----------
    low, high : ndarray, shape (k,)
        Bounds.
    correlations : ndarray, shape (k, k)
        Their correlations, of full rank.

    Returns
    -------
    float
        To 1e-6 with five variables.

    References
    ----------
    Genz (1992), "Numerical computation of multivariate normal probabilities", Journal of
    Computational and Graphical Statistics 1(2), with scrambled Sobol points.
    """
    factor = np.linalg.cholesky(correlations)
    points = _points(len(factor))
    inside, normals = np.ones(points.shape[1]), np.zeros(points.shape)
    for j, uniform in enumerate(points):
        given = factor[j] @ normals
        below, above = (special.ndtr((bound - given) / factor[j, j]) for bound in (low[j], high[j]))
        inside *= above - below
        # Kept off 0 and 1, where the weight is zero and the value would be infinite.
        share = np.clip(below + uniform * (above - below), 1e-300, 1 - 1e-16)
        normals[j] = special.ndtri(share)
    return float(inside.mean())


def correlations_of(covariance: Floats) -> Floats:
    """Return correlations of full rank.

    Raises
    ------
    NotEstimable
        If an error is zero, or the covariance is singular.
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
    """Return points of the unit cube, shape (dimension, 2**FINENESS)."""
    return np.ascontiguousarray(
        qmc.Sobol(dimension, scramble=True, rng=SEED).random_base2(FINENESS).T
    )
