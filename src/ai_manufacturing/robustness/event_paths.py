"""Reading the path of an event study: a band for all its years at once, and the trend that early years can miss."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special
from scipy.interpolate import CubicSpline
from scipy.stats import qmc

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import SINGULAR
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.inference import quantile, two_sided
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case

LEVEL = 0.95  # of bands; the size of the test of one term is one less it
COARSE, MIDDLE, FINE = 10, 13, 17  # binary logarithms of the points of an integral
BLOCK = 2**14  # points that fit the cache of a core
SEED = 2020  # of the scrambled Sobol points: the same integral is the same number in every run


def band(case: Case, cluster: str) -> Iterator[Row]:
    """Give the terms of an event study their simultaneous band, by the errors of the study."""
    study, terms = case.event_study, [*case.terms]
    simultaneous = simultaneous_band(study, terms)
    for j, term in enumerate(terms):
        yield {
            "term": term,
            "estimate": study.estimates[j],
            "std_error": study.std_errors[j],
            "statistic": simultaneous.critical_value,
            "conf_low": simultaneous.conf_low[j],
            "conf_high": simultaneous.conf_high[j],
            "cluster_count": study.cluster_count,
        }


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


@dataclass(frozen=True, eq=False)
class SimultaneousBand:
    """Intervals that hold all coefficients of a path together in 95 % of samples.

    Attributes
    ----------
    terms : tuple of str, length k
    critical_value : float
        What the errors are multiplied by, where an interval of one coefficient has a quantile of t.
    conf_low, conf_high : ndarray, shape (k,)
    """

    terms: tuple[str, ...]
    critical_value: float
    conf_low: Floats
    conf_high: Floats


def sup_t(covariance: Floats, *, level: float = LEVEL, degrees_of_freedom: float = math.inf) -> float:
    """Return the critical value of a simultaneous band: the quantile of the largest |t| among estimates.

    Parameters
    ----------
    covariance : ndarray, shape (k, k)
        Covariance of the estimates.
    level : float
        Coverage of the band.
    degrees_of_freedom : float
        Those of a multivariate t, whose terms share one draw of the variance; the default is the normal distribution.

    Returns
    -------
    float
        To 1e-5; the same in every run.

    Raises
    ------
    NotEstimable
        If an error is zero, or the covariance singular (fewer clusters than terms).

    References
    ----------
    Montiel Olea and Plagborg-Møller (2019), "Simultaneous confidence bands: theory, implementation, and an
    application to SVARs", Journal of Applied Econometrics 34(1).
    """
    correlations = _correlations(covariance)

    def excess(critical_value: float, fineness: int) -> float:
        return 1 - level - _exceeded(critical_value, correlations, degrees_of_freedom, fineness)

    # Between the value for one term and Bonferroni's, with a margin for the error of a coarse integral.
    one, all_ = (quantile(degrees_of_freedom, (1 - level) / terms) for terms in (1, len(correlations)))
    return _root(excess, 0.99 * one, 1.01 * all_, MIDDLE)


def simultaneous_band(fit: FixedEffectsFit, terms: Sequence[str]) -> SimultaneousBand:
    """Return the 95 % band of some coefficients of a fit, which holds all of them together.

    t has the fit's degrees of freedom, so that the band of one term is its interval in the fit, and no band is
    narrower than the intervals.

    Parameters
    ----------
    fit : FixedEffectsFit
    terms : sequence of str
        Some of fit.terms.

    Raises
    ------
    NotEstimable
        For any reason of sup_t, or if there are no terms.
    """
    positions = [fit.terms.index(name) for name in terms]
    if not positions:
        raise NotEstimable("nothing_to_test")
    critical_value = sup_t(
        fit.covariance_matrix[np.ix_(positions, positions)], degrees_of_freedom=fit.degrees_of_freedom
    )
    half_width = critical_value * fit.std_errors[positions]
    return SimultaneousBand(
        terms=tuple(terms),
        critical_value=critical_value,
        conf_low=fit.estimates[positions] - half_width,
        conf_high=fit.estimates[positions] + half_width,
    )


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
        Slope above zero: outcome of treated cities less that of the others, per year. Its negative is found as often.

    Raises
    ------
    NotEstimable
        If no term is before the event; an error is zero; the covariance of those terms is singular; or the test rejects
        with that probability where there is no trend.

    Notes
    -----
    The covariance is taken as known and the estimates as normal, whatever the threshold. A pooled endpoint has the
    trend of the year it is named after, which understates what the trend puts on it.

    References
    ----------
    Roth (2022), "Pretest with caution: event-study estimates after testing for parallel trends", AER: Insights 4(3);
    its R package pretrends has a threshold of 1.96.
    """
    before = [position for position, event_time in enumerate(event_times) if event_time < 0]
    if not before:
        raise NotEstimable("no_pre_trend")
    correlations = _correlations(covariance[np.ix_(before, before)])
    drift = (np.asarray(event_times, dtype=float)[before] - omitted_time) / np.sqrt(np.diag(covariance)[before])
    threshold = quantile(degrees_of_freedom)

    def excess(slope: float, fineness: int) -> float:
        means = slope * drift
        return 1 - power - rectangle(-threshold - means, threshold - means, correlations, fineness=fineness)

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
    Genz (1992), "Numerical computation of multivariate normal probabilities", Journal of Computational and Graphical
    Statistics 1(2), with scrambled Sobol points.
    """
    order, factor = _ordered_cholesky(correlations)
    points = _points(len(order) - 1, fineness)
    return _inside(low[order, None], high[order, None], factor, points)


def _exceeded(critical_value: float, correlations: Floats, degrees_of_freedom: float, fineness: int) -> float:
    """Return the probability that any of correlated normal (or t) variables is beyond a value in size.

    It is the sum over the variables of the probability that this one is beyond and none of those before it. Each
    integral has the small probability of one variable as a factor, and so has its error: a hundredth of rectangle's.
    """
    order = _ordered_cholesky(correlations)[0][::-1]
    tail = two_sided(critical_value, degrees_of_freedom) / 2
    total = 1.0
    for position in range(1, len(order)):
        beyond, earlier = order[position], order[:position]
        points = _points(position + 1, fineness)
        value, scale = -special.ndtri(points[0].clip(1e-12) * tail), np.ones(points.shape[1])
        if not math.isinf(degrees_of_freedom):
            # Given t, chi-squared of one degree more divides by what makes a normal value of it.
            t = np.exp(_log_t_quantiles(degrees_of_freedom)(value))
            chi = _chi_quantiles(degrees_of_freedom + 1)(special.ndtri(points[-1]).clip(-8, 8))
            scale = chi * np.sqrt((degrees_of_freedom + 1) / (degrees_of_freedom + t**2))
            value = t * scale
        loadings = correlations[earlier, beyond]
        inner, factor = _ordered_cholesky(correlations[np.ix_(earlier, earlier)] - np.outer(loadings, loadings))
        centres = loadings[inner, None] * value
        bounds = critical_value * scale
        total += _inside(-bounds - centres, bounds - centres, factor, points[1:])
    return 2 * float(tail) * total  # beyond below is as likely as beyond above


def _inside(low: Floats, high: Floats, factor: Floats, points: Floats) -> float:
    """Return the probability that variables lie between bounds, or its mean over bounds that differ by point.

    Parameters
    ----------
    low, high : ndarray, shape (k, n) or (k, 1)
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
            below, above = (special.ndtr((bounds[j, columns] - given) / factor[j, j]) for bounds in (low, high))
            inside *= above - below
            if j < count - 1:
                # Kept off 0 and 1, where the weight is zero and the value would be infinite.
                normals[j] = special.ndtri(np.clip(below + points[j, columns] * (above - below), 1e-300, 1 - 1e-16))
        total += float(inside.sum())
    return total / int(points.shape[1])


def _root(excess: Callable[[float, int], float], low: float, high: float, fineness: int) -> float:
    """Return where an integral less its target is zero: found with few points, then one Newton step with many."""
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
    factor: Floats = np.linalg.cholesky(correlations[np.ix_(order, order)]).astype(np.float64, copy=False)
    return order, factor


@lru_cache(maxsize=32)  # a path of ten years has two sets per term
def _points(dimension: int, fineness: int) -> Floats:
    """Return points of the unit cube, shape (dimension, n); a single one of no dimension."""
    if dimension == 0:
        return np.empty((0, 1))
    return np.ascontiguousarray(qmc.Sobol(dimension, scramble=True, rng=SEED).random_base2(fineness).T)


@lru_cache(maxsize=8)
def _chi_quantiles(degrees_of_freedom: float) -> CubicSpline:
    """Return the quantile of chi over the root of its degrees of freedom, as a function of the normal quantile.

    The inverse of chi-squared is slow; a spline through 513 of its values is exact to 1e-8.
    """
    normal = np.linspace(-8, 8, 513)
    squares = 2 * special.gammaincinv(degrees_of_freedom / 2, special.ndtr(normal))
    return CubicSpline(normal, np.sqrt(squares / degrees_of_freedom))


@lru_cache(maxsize=8)
def _log_t_quantiles(degrees_of_freedom: float) -> CubicSpline:
    """Return the log of the quantile of t as a function of the normal quantile, both in the upper tail."""
    normal = np.linspace(0.5, 12, 513)
    return CubicSpline(normal, np.log(-special.stdtrit(degrees_of_freedom, special.ndtr(-normal))))
