"""Effects of an event study whose trends may differ: Rambachan and Roth's robust intervals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import EventStudyFit, term
from ai_manufacturing.estimators.inference import LEVEL
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case
from ai_manufacturing.robustness.event_paths import correlations_of

Target = Literal["first", "average"]
Restriction = Literal["parallel_trends", "relative_magnitude"]

OMITTED = -1  # year since the event
MAGNITUDES = (0.5, 1.0, 2.0)
# Share of the level that the least favourable test spends; HonestDiD's default.
FIRST_STAGE = LEVEL / 10
SECOND_STAGE = (LEVEL - FIRST_STAGE) / (1 - FIRST_STAGE)
NORMAL_95 = float(special.ndtri(1 - LEVEL / 2))
SAME = 1e-9  # vertices whose slopes on one another differ from one by less are the same
ANGLES = 720  # over which the first stage's probability is a mean
NEWTON_STEPS = 10  # all that the two quantiles need to the last digit
GRID = 257  # values tested between those that the first stage rejects
ZOOM = 33  # values tested between the last accepted one and its neighbour
ZOOMS = 4
DOUBLINGS = 40  # an interval that excludes zero at a bound 2**40 times the first excludes it at any


def bounds_and_breakdowns(case: Case, restriction: str) -> Iterator[Row]:
    """Give the intervals of an event study under a restriction, and its breakdown values."""
    sensitivity = _sensitivity(case)
    for bound in sensitivity.bounds:
        if bound.restriction == restriction:
            yield {
                "term": bound.target,
                "bound": bound.bound,
                "conf_low": bound.conf_low,
                "conf_high": bound.conf_high,
                "is_unbounded": bound.is_empty_or_unbounded,
            }
    for breakdown in sensitivity.breakdowns if restriction == "relative_magnitude" else ():
        unbounded = breakdown.value is not None and np.isinf(breakdown.value)
        yield {"term": breakdown.target, "value": breakdown.value or 0.0, "is_unbounded": unbounded}


@lru_cache(maxsize=1)  # the restrictions of a case follow each other
def _sensitivity(case: Case) -> "Sensitivity":
    study = case.event_study
    case.require_valid_years_before()
    return of_event_study(study, window=case.inputs.event_window)


@dataclass(frozen=True)
class Bound:
    """An interval that covers the effect in 95 % of samples if trends differ within a bound.

    Attributes
    ----------
    target : {"first", "average"}
        The effect in the first period after the omitted one, or the average of all after it.
    restriction : {"parallel_trends", "relative_magnitude"}
        Trends do not differ (the usual interval); or from one period to the next their difference
        changes by no more than `bound` times the largest such change before the event.
    bound : float
        Mbar, without unit; zero for parallel trends.
    conf_low, conf_high : float
        Ends of the 95 % interval, in units of the outcome.
    """

    target: Target
    restriction: Restriction
    bound: float
    conf_low: float
    conf_high: float

    @property
    def is_empty_or_unbounded(self) -> bool:
        """Whether no interval could be given."""
        return not -np.inf < self.conf_low <= self.conf_high < np.inf


@dataclass(frozen=True)
class Breakdown:
    """The largest Mbar at which the robust interval leaves out zero.

    Attributes
    ----------
    target
        As in Bound.
    value : float or None
        Infinite if no Mbar brings zero in; None if zero is in at Mbar of zero.
    """

    target: Target
    value: float | None


@dataclass(frozen=True)
class Sensitivity:
    """All that is said of one event study.

    Attributes
    ----------
    bounds : tuple of Bound
        By target, and in it the usual interval and the magnitudes in the order asked for.
    breakdowns : tuple of Breakdown
        By target.
    """

    bounds: tuple[Bound, ...]
    breakdowns: tuple[Breakdown, ...]


def of_event_study(study: EventStudyFit, *, window: tuple[int, int]) -> Sensitivity:
    """Return the robust intervals of an event study that omits the year before the event.

    Parameters
    ----------
    study : EventStudyFit
    window : tuple of int
        First and last year since the event that the path has; of terms outside nothing is assumed.
        A pooled endpoint is taken for the one year that its term names.

    Returns
    -------
    Sensitivity
        As of_path gives it.

    Raises
    ------
    NotEstimable
        If a year of the path has no term, or for any reason of of_path.
    """
    within = [
        j for j, event_time in enumerate(study.event_times) if window[0] <= event_time <= window[1]
    ]
    event_times = {OMITTED, *(study.event_times[j] for j in within)}
    absent = set(range(min(event_times), max(event_times))) - event_times
    if absent:
        raise NotEstimable("broken_path", terms=[term(event_time) for event_time in sorted(absent)])
    return of_path(
        study.estimates[within],
        study.covariance_matrix[np.ix_(within, within)],
        sum(study.event_times[j] < OMITTED for j in within),
    )


def of_path(
    estimates: Floats,
    covariance: Floats,
    pre_count: int,
    *,
    magnitudes: Sequence[float] = MAGNITUDES,
) -> Sensitivity:
    """Return intervals for the first effect and for the average one if trends differ boundedly.

    Parameters
    ----------
    estimates : ndarray, shape (k,)
        Path of an event study, one period after the other; the omitted period, whose zero is no
        estimate, is left out.
    covariance : ndarray, shape (k, k)
        Covariance of the estimates.
    pre_count : int
        Periods before the omitted one.
    magnitudes : sequence of float
        Mbar, each at least zero: from one period to the next the difference in trends changes by at
        most Mbar times the largest such change before the event.

    Returns
    -------
    Sensitivity
        Bounds and breakdown values of both targets.

    Raises
    ------
    NotEstimable
        If there is no period before or after the omitted one, or the covariance is singular.

    Notes
    -----
    Relative magnitudes: the conditional test with a least favourable first stage (C-LF) of Andrews,
    Roth and Pakes, one for each period before the event and each sign in which the change may be
    largest, the intervals united; R's HonestDiD does the same. The test maximises over the vertices
    of a linear program's dual. They are known in closed form here: with increments D_t, the change
    m that bounds them, q_t the sum of the target's weights from t on, and s+_t, s-_t the errors of
    D_t - Mbar m and -D_t - Mbar m, a vertex either weights the increments by q_t (up, down), or
    takes both signs of one increment. All are linear in the target's estimate and in m, so that the
    least favourable critical value is an integral over the plane and no draw is needed (HonestDiD
    takes 1,000).

    Values accepted between rejected ones are inside: an interval runs from the first accepted value
    to the last, as HonestDiD prints it. With one period after the event HonestDiD does not let the
    second stage know that the first accepted, and its intervals are a little wider.

    All errors are taken as known and estimates as normal, as HonestDiD does: with few clusters the
    intervals are too short.

    References
    ----------
    Rambachan and Roth (2023), Review of Economic Studies 90(5); Andrews, Roth and Pakes (2023),
    Review of Economic Studies 90(6).
    """
    count = len(estimates)
    if pre_count < 1:
        raise NotEstimable("no_pre_period")
    if pre_count >= count:
        raise NotEstimable("no_post_period")
    correlations_of(covariance)  # raises

    post_count = count - pre_count
    targets: dict[Target, Floats] = {
        "first": np.eye(post_count)[0],
        "average": np.full(post_count, 1 / post_count),
    }
    bounds, breakdowns = [], []
    for target, weights in targets.items():
        estimate = float(weights @ estimates[pre_count:])
        half = NORMAL_95 * float(np.sqrt(weights @ covariance[pre_count:, pre_count:] @ weights))
        bounds.append(Bound(target, "parallel_trends", 0.0, estimate - half, estimate + half))
        relative = _RelativeMagnitudes(estimates, covariance, pre_count, weights)
        for bound in magnitudes:
            low, high = relative.interval(bound)
            bounds.append(Bound(target, "relative_magnitude", bound, low, high))
        breakdowns.append(Breakdown(target, _breakdown(relative.interval)))
    return Sensitivity(tuple(bounds), tuple(breakdowns))


def _breakdown(interval: Callable[[float], tuple[float, float]]) -> float | None:
    """Return the bound at which the end of the interval that is nearest to zero reaches it."""

    def distance(bound: float) -> float:
        low, high = interval(bound)
        return max(low, -high)

    if distance(0.0) <= 0:
        return None
    inside, outside = 0.0, 1.0
    for _ in range(DOUBLINGS):
        if distance(outside) <= 0:
            return float(optimize.brentq(distance, inside, outside, xtol=1e-6))
        inside, outside = outside, 2 * outside
    return np.inf


class _RelativeMagnitudes:
    """C-LF tests of one target.

    There is one for each of the s changes (with sign) that may be the largest before the event.
    """

    def __init__(
        self, estimates: Floats, covariance: Floats, pre_count: int, weights: Floats
    ) -> None:
        # Of the path, by period.
        changes = np.diff(np.insert(np.eye(estimates.size), pre_count, 0.0, axis=0), axis=0)
        largest, after = np.vstack([changes[:pre_count], -changes[:pre_count]]), changes[pre_count:]
        self._sums = np.cumsum(weights[::-1])[::-1]
        target = self._sums @ after
        self._estimate, self._largest = float(target @ estimates), largest @ estimates
        self._largest_variance = np.einsum("sk,kl,sl->s", largest, covariance, largest)[:, None]
        self._after_variance = np.einsum("tk,kl,tl->t", after, covariance, after)
        self._covariance = largest @ covariance @ after.T  # (s, t)
        joint = np.empty((len(largest), 2, 2))
        joint[:, 0, 0] = target @ covariance @ target
        joint[:, 0, 1] = joint[:, 1, 0] = largest @ covariance @ target
        joint[:, 1, 1] = self._largest_variance[:, 0]
        # Of the covariance of the target's estimate and the largest change.
        self._root = np.linalg.cholesky(joint).astype(float)

    def interval(self, magnitude: float) -> tuple[float, float]:
        """Return the least and the greatest value of the target that some test accepts."""
        common = self._after_variance + magnitude**2 * self._largest_variance
        crossed = 2 * magnitude * self._covariance
        # Errors of the moments, (s, t).
        up, down = (np.sqrt(common - crossed), np.sqrt(common + crossed))
        both = up + down
        slack = magnitude * self._sums.sum()
        vertices = np.zeros((len(up), 4, 2))
        vertices[:, 0] = np.array([1, -slack]) / (up @ self._sums)[:, None]
        vertices[:, 1] = np.array([-1, -slack]) / (down @ self._sums)[:, None]
        vertices[:, 2, 1] = -2 * magnitude / both.min(axis=1)
        # The periods between are never the maximum.
        vertices[:, 3, 1] = -2 * magnitude / both.max(axis=1)
        least, most = _Tests(vertices, self._root, self._largest).accepted_range()
        return self._estimate - most, self._estimate - least


class _Tests:
    """s tests that the target's estimate exceeds its true value, by u, no more than trends explain.

    Parameters
    ----------
    vertices : ndarray, shape (s, 4, 2)
        What the vertices of the dual make of u and of the largest change m: the statistic is the
        greatest of the four. The first grows with u, the second falls, the others depend on m
        alone.
    root : ndarray, shape (s, 2, 2)
        Roots of the covariance of u and m.
    largest : ndarray, shape (s,)
        Estimates of m.
    """

    def __init__(self, vertices: Floats, root: Floats, largest: Floats) -> None:
        rows = vertices @ root
        self._by_excess = vertices[:, :, 0]
        self._at_zero = vertices[:, :, 1] * largest[:, None]
        self._covariance = rows @ rows.transpose(0, 2, 1)
        self._critical = _least_favourable(rows)

    def accepted_range(self) -> tuple[float, float]:
        """Return the least and the greatest u that some test accepts."""
        # Beyond these the first stage rejects.
        most, least = (
            (self._critical - self._at_zero[:, j]) / self._by_excess[:, j] for j in (0, 1)
        )
        first, last = self._first_accepted(least, most), self._first_accepted(most, least)
        return float(np.fmin.reduce(first, initial=np.inf)), float(
            np.fmax.reduce(last, initial=-np.inf)
        )

    def _first_accepted(self, outer: Floats, inner: Floats) -> Floats:
        """Return, for each test, the accepted u nearest to the outer end; NaN if there is none."""
        tests = np.arange(len(outer))
        has_accepted: NDArray[np.bool_] = np.zeros(len(outer), dtype=bool)
        for size in (GRID, *[ZOOM] * ZOOMS):
            excess = outer[:, None] + (inner - outer)[:, None] * np.linspace(0, 1, size)
            accepted = self._accepted(excess)
            accepted[:, -1] |= has_accepted  # it was, before it was rounded
            has_accepted = np.logical_or.reduce(accepted, axis=1)
            place = accepted.argmax(axis=1)
            inner, outer = excess[tests, place], excess[tests, np.maximum(place - 1, 0)]
        return np.where(has_accepted, inner, np.nan)

    def _accepted(self, excess: Floats) -> NDArray[np.bool_]:
        """Return which values of u, shape (s, n), the tests accept."""
        values = self._by_excess[:, None] * excess[:, :, None] + self._at_zero[:, None]  # (s, n, 4)
        tests, greatest = np.arange(len(excess))[:, None], values.argmax(axis=2)
        statistic = values.max(axis=2)
        covariances = self._covariance[tests, greatest]
        variance = np.take_along_axis(covariances, greatest[:, :, None], axis=2)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slopes = covariances / variance
            # A vertex is the greatest while the statistic, all that is unrelated to it held fixed,
            # is in this range.
            limits = (values - slopes * statistic[:, :, None]) / (1 - slopes)
            low = np.max(limits, axis=2, where=slopes < 1 - SAME, initial=-np.inf)
            high = np.min(limits, axis=2, where=slopes > 1 + SAME, initial=np.inf)
            error = np.sqrt(variance[:, :, 0])
            tails = [
                special.log_ndtr(-z / error)
                for z in (low, statistic, np.minimum(high, self._critical[:, None]))
            ]
            p_value = (
                np.exp(tails[1] - tails[0])
                * np.expm1(tails[2] - tails[1])
                / np.expm1(tails[2] - tails[0])
            )
        # A statistic of zero or less is no evidence, and has no p-value where its vertex has no
        # variance.
        rejected: NDArray[np.bool_] = (statistic > self._critical[:, None]) | (
            (statistic > 0) & (p_value < SECOND_STAGE)
        )
        return ~rejected


def _least_favourable(rows: Floats) -> Floats:
    """Return the critical values of the first stage, shape (s,).

    The greatest of four normal variables of mean zero exceeds them in the first stage's share. They
    are linear in two independent standard normal ones, by rows of shape (s, 4, 2). In polar
    coordinates the greatest is the radius times reach(angle), and exceeds x with probability
    exp(-(x / reach)^2 / 2).
    """
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    reach = np.maximum((rows @ np.array([np.cos(angles), np.sin(angles)])).max(axis=1), 0.0)
    farthest = reach.max(axis=1)
    with np.errstate(divide="ignore"):
        rates = (farthest[:, None] / reach) ** 2
    # The logarithm of the mean is convex and falls: from the value of one variable Newton's steps
    # do not overshoot.
    half_square = np.full(len(rows), special.ndtri(FIRST_STAGE) ** 2 / 2)
    for _ in range(NEWTON_STEPS):
        exceeding = np.exp(-half_square[:, None] * rates)
        share = exceeding.mean(axis=1)
        falling = np.mean(exceeding * np.where(exceeding > 0, rates, 0.0), axis=1)
        half_square += share / falling * np.log(share / FIRST_STAGE)
    critical: Floats = farthest * np.sqrt(2 * half_square)
    return critical
