"""The trend before an event that single years of its path find with a given probability."""

import math
from collections.abc import Callable, Iterator, Sequence
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

COARSE, MIDDLE, FINE = 10, 13, 17  # binary logarithms of the points of an integral
BLOCK = 2**14  # points that fit the cache of a core
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
    """Return the linear trend with which any term before the event is significant at 5 % with a given probability.

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
    correlations = _correlations(covariance[np.ix_(before, before)])
    drift = (np.asarray(event_times, dtype=float)[before] - omitted_time) / np.sqrt(
        np.diag(covariance)[before]
    )
    threshold = quantile(degrees_of_freedom)

    def excess(slope: float, fineness: int) -> float:
        means = slope * drift
        return (
            1
            - power
            - rectangle(-threshold - means, threshold - means, correlations, fineness=fineness)
        )

    size = excess(0.0, MIDDLE) + power
    if size >= power:
        raise NotEstimable("found_without_trend", size=size, power=power)
    # Any term is found at least as often as the one that the trend moves most.
    enough = (threshold + special.ndtri(power)) / np.abs(drift).max()
    return _root(excess, 0.0, 1.01 * float(enough), MIDDLE)


def rectangle(low: Floats, high: Floats, correlations: Floats, *, fineness: int = FINE) -> float:
    """Return the probability that correlated normal variables of mean zero and variance one lie between bounds.

    Parameters
    ----------
    low, high : ndarray, shape (k,)
        Bounds.
    correlations : ndarray, shape (k, k)
        Their correlations, of full rank.
    fineness : int
        Binary logarithm of the number of points.

    Returns
    -------
    float
        To 1e-6 with the default and five variables.

    References
    ----------
    Genz (1992), "Numerical computation of multivariate normal probabilities", Journal of
    Computational and Graphical Statistics 1(2), with scrambled Sobol points.
    """
    order, factor = _ordered_cholesky(correlations)
    points = _points(len(order) - 1, fineness)
    return _inside(low[order, None], high[order, None], factor, points)


def _inside(low: Floats, high: Floats, factor: Floats, points: Floats) -> float:
    """Return the probability that variables lie between bounds.

    Parameters
    ----------
    low, high : ndarray, shape (k, 1)
        Bounds.
    factor : ndarray, shape (k, k)
        Lower Cholesky factor of the covariance of the variables.
    points : ndarray, shape (k - 1 or more, n)
        Points of the unit cube.
    """
    count, total = len(factor), 0.0
    low, high = (np.broadcast_to(bounds, (count, points.shape[1])) for bounds in (low, high))
    for start in range(0, points.shape[1], BLOCK):
        columns = slice(start, start + BLOCK)
        inside = np.ones(low[0, columns].shape)
        normals = np.empty((count, len(inside)))
        for j in range(count):
            given = factor[j, :j] @ normals[:j]
            below, above = (
                special.ndtr((bounds[j, columns] - given) / factor[j, j]) for bounds in (low, high)
            )
            inside *= above - below
            if j < count - 1:
                # Kept off 0 and 1, where the weight is zero and the value would be infinite.
                normals[j] = special.ndtri(
                    np.clip(below + points[j, columns] * (above - below), 1e-300, 1 - 1e-16)
                )
        total += float(inside.sum())
    return total / int(points.shape[1])


def _root(excess: Callable[[float, int], float], low: float, high: float, fineness: int) -> float:
    """Return where an integral less its target is zero.

    Found with few points, then one Newton step with many.
    """
    coarse = float(optimize.brentq(excess, low, high, args=(COARSE,), xtol=1e-6 * high))
    step = 0.01 * coarse
    slope = (excess(coarse + step, COARSE) - excess(coarse - step, COARSE)) / (2 * step)
    return float(coarse - excess(coarse, fineness) / slope)


def _correlations(covariance: Floats) -> Floats:
    """Return correlations of full rank, or raise NotEstimable."""
    errors = np.sqrt(np.diag(covariance))
    if (errors == 0).any():
        raise NotEstimable("exact_path")
    correlations: Floats = covariance / np.outer(errors, errors)
    strengths = np.linalg.eigvalsh(correlations)
    rank = int((strengths > SINGULAR * strengths[-1]).sum())
    if rank < len(errors):
        raise NotEstimable("singular_path", rank=rank, count=len(errors))
    return correlations


def _ordered_cholesky(correlations: Floats) -> tuple[list[int], Floats]:
    """Return an order of the variables, the one that explains most of the rest next, and its lower factor.

    The order does not change the integral, but a good one makes it several times more exact.
    """
    return _ordered(correlations.tobytes(), len(correlations))


@lru_cache(maxsize=32)  # one root asks for the same again and again
def _ordered(values: bytes, count: int) -> tuple[list[int], Floats]:
    correlations = np.frombuffer(values).reshape(count, count)
    residual = correlations.copy()
    order: list[int] = []
    rest = list(range(len(residual)))
    while rest:
        explained = [float(np.sum(residual[rest, j] ** 2) / residual[j, j]) for j in rest]
        pivot = rest.pop(int(np.argmax(explained)))
        order.append(pivot)
        residual = residual - np.outer(residual[:, pivot], residual[pivot]) / residual[pivot, pivot]
    factor: Floats = np.linalg.cholesky(correlations[np.ix_(order, order)]).astype(
        np.float64, copy=False
    )
    return order, factor


@lru_cache(maxsize=32)  # a path of ten years has two sets per term
def _points(dimension: int, fineness: int) -> Floats:
    """Return points of the unit cube, shape (dimension, n); a single one of no dimension."""
    if dimension == 0:
        return np.empty((0, 1))
    return np.ascontiguousarray(
        qmc.Sobol(dimension, scramble=True, rng=SEED).random_base2(fineness).T
    )
