"""Event study intervals robust to violations of parallel trends (Rambachan and Roth 2023)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import OMITTED_TIME, EventStudyFit, name_term
from ai_manufacturing.estimators.inference import LEVEL
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case
from ai_manufacturing.robustness.event_paths import compute_correlations

Target = Literal["first", "average"]
Restriction = Literal["parallel_trends", "relative_magnitude"]

# Bounds Mbar on trend violations, as multiples of the largest violation before the event.
MAGNITUDES = (0.5, 1.0, 2.0)
# Significance level of the least favourable first stage: a tenth of the total, as in HonestDiD.
FIRST_STAGE = LEVEL / 10
# Significance level of the conditional second stage.
SECOND_STAGE = (LEVEL - FIRST_STAGE) / (1 - FIRST_STAGE)
NORMAL_95 = float(special.ndtri(1 - LEVEL / 2))
# Two dual vertices are equal if the regression slope of one on the other is this close to one.
SAME = 1e-9
# Number of grid points for the integral over angles in the first stage.
ANGLES = 720
# Number of Newton steps, enough for the critical values to converge to full precision.
NEWTON_STEPS = 10
# Number of grid values tested in the range that the first stage does not reject.
GRID = 257
# Number of values tested between the outermost accepted value and its rejected neighbour.
ZOOM = 33
# Number of refinements of an interval's end, each with ZOOM values.
ZOOMS = 4
# The breakdown value is infinite if zero is still excluded after this many doublings of Mbar.
DOUBLINGS = 40


def report_bounds_and_breakdowns(case: Case, restriction: str) -> Iterator[Row]:
    """Yield rows with an event study's robust intervals and breakdown values."""
    sensitivity = _compute_sensitivity(case)
    for bound in sensitivity.bounds:
        if bound.restriction == restriction:
            yield {
                "term": bound.target,
                "bound": bound.bound,
                "conf_low": bound.conf_low,
                "conf_high": bound.conf_high,
                "is_unbounded": bound.has_no_finite_interval,
            }
    for breakdown in sensitivity.breakdowns if restriction == "relative_magnitude" else ():
        is_infinite = breakdown.value is not None and np.isinf(breakdown.value)
        yield {
            "term": breakdown.target,
            "value": breakdown.value or 0.0,
            "is_unbounded": is_infinite,
        }


@lru_cache(maxsize=1)  # called once per restriction for the same event study
def _compute_sensitivity(case: Case) -> "Sensitivity":
    study = case.event_study
    case.require_valid_years_before()
    return bound_event_study(study, window=case.inputs.event_window)


@dataclass(frozen=True)
class Bound:
    """A 95 % confidence interval that is valid if differences in trends are bounded.

    Attributes
    ----------
    target : {"first", "average"}
        Effect in the first period after the omitted one, or the average over all later periods.
    restriction : {"parallel_trends", "relative_magnitude"}
        Trends do not differ (the usual interval); or the difference in trends changes between
        consecutive periods by at most `bound` times the largest such change before the event.
    bound : float
        Mbar, without unit; zero for parallel trends.
    conf_low, conf_high : float
        Bounds of the interval, in units of the outcome.
    """

    target: Target
    restriction: Restriction
    bound: float
    conf_low: float
    conf_high: float

    @property
    def has_no_finite_interval(self) -> bool:
        """Whether the confidence interval is empty or has an infinite bound."""
        return not -np.inf < self.conf_low <= self.conf_high < np.inf


@dataclass(frozen=True)
class Breakdown:
    """Largest bound Mbar on trend violations at which the robust interval excludes zero.

    Attributes
    ----------
    target
        As in Bound.
    value : float or None
        Infinite if the interval excludes zero for every Mbar; None if it includes zero already at
        an Mbar of zero.
    """

    target: Target
    value: float | None


@dataclass(frozen=True)
class Sensitivity:
    """Robust intervals and breakdown values of one event study.

    Attributes
    ----------
    bounds : tuple of Bound
        Ordered by target; within each, the usual interval comes before the requested magnitudes.
    breakdowns : tuple of Breakdown
        One per target.
    """

    bounds: tuple[Bound, ...]
    breakdowns: tuple[Breakdown, ...]


def bound_event_study(study: EventStudyFit, *, window: tuple[int, int]) -> Sensitivity:
    """Compute robust intervals for the effects in an event study with one omitted year.

    Parameters
    ----------
    study : EventStudyFit
    window : tuple of int
        First and last event time of the path. Terms outside it are ignored. A pooled endpoint
        counts as the single year that its term names.

    Returns
    -------
    Sensitivity
        Result of bound_path.

    Raises
    ------
    NotEstimable
        If a year of the path has no term, or for any reason that bound_path raises it.
    """
    within = [
        j for j, event_time in enumerate(study.event_times) if window[0] <= event_time <= window[1]
    ]
    event_times = {OMITTED_TIME, *(study.event_times[j] for j in within)}
    absent = set(range(min(event_times), max(event_times))) - event_times
    if absent:
        raise NotEstimable(
            "broken_path", terms=[name_term(event_time) for event_time in sorted(absent)]
        )
    return bound_path(
        study.estimates[within],
        study.covariance_matrix[np.ix_(within, within)],
        sum(study.event_times[j] < OMITTED_TIME for j in within),
    )


def bound_path(
    estimates: Floats,
    covariance: Floats,
    pre_count: int,
    *,
    magnitudes: Sequence[float] = MAGNITUDES,
) -> Sensitivity:
    """Compute robust intervals from the estimates and the covariance of an event study.

    Parameters
    ----------
    estimates : ndarray, shape (k,)
        Path of an event study in consecutive periods, without the omitted period.
    covariance : ndarray, shape (k, k)
        Covariance of the estimates.
    pre_count : int
        Number of periods before the omitted one.
    magnitudes : sequence of float
        Nonnegative values of Mbar. The difference in trends changes between consecutive periods by
        at most Mbar times the largest such change before the event.

    Returns
    -------
    Sensitivity
        Bounds and breakdown values of both targets.

    Raises
    ------
    NotEstimable
        If there are no periods before or after the omitted one, or the covariance is singular.

    Notes
    -----
    The relative-magnitude intervals invert the conditional test with a least favourable first stage
    (C-LF) of Andrews, Roth and Pakes. There is one test for each period before the event in which
    the change may be largest, and each sign of it. The interval is the union over these tests, as
    in R's HonestDiD.

    The test maximises over the vertices of a linear program's dual, which have a closed form here.
    Let D_t be the increments, m the change that bounds them, q_t the sum of the target's weights
    from t on, and s+_t and s-_t the standard errors of D_t - Mbar m and -D_t - Mbar m. A vertex
    either weights the increments by q_t (up or down) or combines both signs of one increment. All
    vertices are linear in the target's estimate and in m. The least favourable critical value is
    therefore an integral over the plane and needs no simulation (HonestDiD uses 1,000 draws).

    An interval extends from the first to the last accepted value, including rejected values between
    them, as in HonestDiD. With one period after the event, HonestDiD's second stage does not
    condition on acceptance in the first, so its intervals are slightly wider.

    The covariance is treated as known and the estimates as normal, as in HonestDiD; with few
    clusters the intervals are too short.

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
    compute_correlations(covariance)  # raises NotEstimable if the covariance is singular

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
            low, high = relative.find_interval(bound)
            bounds.append(Bound(target, "relative_magnitude", bound, low, high))
        breakdowns.append(Breakdown(target, _find_breakdown(relative.find_interval)))
    return Sensitivity(tuple(bounds), tuple(breakdowns))


def _find_breakdown(find_interval: Callable[[float], tuple[float, float]]) -> float | None:
    """Return the bound at which the interval starts to include zero; None if it always does."""

    def distance(bound: float) -> float:
        low, high = find_interval(bound)
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
    """Conditional (C-LF) tests of one effect under the relative magnitudes restriction.

    There is one test for each of the s changes that may be the largest before the event; the two
    signs of a change count separately.
    """

    def __init__(
        self, estimates: Floats, covariance: Floats, pre_count: int, weights: Floats
    ) -> None:
        # Matrix of first differences between consecutive periods; the omitted period is zero.
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
        # Cholesky factors of the joint covariance of the target's estimate and the largest change.
        self._root = np.linalg.cholesky(joint).astype(float)

    def find_interval(self, magnitude: float) -> tuple[float, float]:
        """Return the smallest and largest effect that at least one test does not reject."""
        common = self._after_variance + magnitude**2 * self._largest_variance
        cross_terms = 2 * magnitude * self._covariance
        # Standard errors s+_t and s-_t of the moments (see bound_path), each of shape (s, t).
        up, down = (np.sqrt(common - cross_terms), np.sqrt(common + cross_terms))
        both = up + down
        slack = magnitude * self._sums.sum()
        vertices = np.zeros((len(up), 4, 2))
        vertices[:, 0] = np.array([1, -slack]) / (up @ self._sums)[:, None]
        vertices[:, 1] = np.array([-1, -slack]) / (down @ self._sums)[:, None]
        vertices[:, 2, 1] = -2 * magnitude / both.min(axis=1)
        # Only the periods with the smallest and the largest sum can attain the maximum.
        vertices[:, 3, 1] = -2 * magnitude / both.max(axis=1)
        least, most = _Tests(vertices, self._root, self._largest).find_accepted_range()
        return self._estimate - most, self._estimate - least


class _Tests:
    """Tests of the hypothesis that the estimate exceeds the true effect by an amount u.

    There is one test for each of the s candidates for the largest change m.

    Parameters
    ----------
    vertices : ndarray, shape (s, 4, 2)
        Coefficients of each dual vertex on u and m. The statistic is the largest of the four. The
        first vertex increases in u, the second decreases, and the others depend on m only.
    root : ndarray, shape (s, 2, 2)
        Cholesky factors of the covariance of u and m.
    largest : ndarray, shape (s,)
        Estimates of m.
    """

    def __init__(self, vertices: Floats, root: Floats, largest: Floats) -> None:
        rows = vertices @ root
        self._by_excess = vertices[:, :, 0]
        self._at_zero = vertices[:, :, 1] * largest[:, None]
        self._covariance = rows @ rows.transpose(0, 2, 1)
        self._critical = _compute_critical_values(rows)

    def find_accepted_range(self) -> tuple[float, float]:
        """Return the smallest and largest u that at least one test does not reject."""
        # The first stage rejects every u below `least` or above `most`.
        most, least = (
            (self._critical - self._at_zero[:, j]) / self._by_excess[:, j] for j in (0, 1)
        )
        first, last = self._find_outermost(least, most), self._find_outermost(most, least)
        return float(np.fmin.reduce(first, initial=np.inf)), float(
            np.fmax.reduce(last, initial=-np.inf)
        )

    def _find_outermost(self, outer: Floats, inner: Floats) -> Floats:
        """Return each test's non-rejected value of u closest to `outer`; NaN if it rejects all."""
        tests = np.arange(len(outer))
        has_inside: NDArray[np.bool_] = np.zeros(len(outer), dtype=bool)
        for size in (GRID, *[ZOOM] * ZOOMS):
            excess = outer[:, None] + (inner - outer)[:, None] * np.linspace(0, 1, size)
            is_inside = self._accepts(excess)
            # Rounding must not reject the value that was accepted on the previous grid.
            is_inside[:, -1] |= has_inside
            has_inside = np.logical_or.reduce(is_inside, axis=1)
            place = is_inside.argmax(axis=1)
            inner, outer = excess[tests, place], excess[tests, np.maximum(place - 1, 0)]
        return np.where(has_inside, inner, np.nan)

    def _accepts(self, excess: Floats) -> NDArray[np.bool_]:
        """Flag the values of u, shape (s, n), that the tests do not reject."""
        values = self._by_excess[:, None] * excess[:, :, None] + self._at_zero[:, None]  # (s, n, 4)
        tests, greatest = np.arange(len(excess))[:, None], values.argmax(axis=2)
        statistic = values.max(axis=2)
        covariances = self._covariance[tests, greatest]
        variance = np.take_along_axis(covariances, greatest[:, :, None], axis=2)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slopes = covariances / variance
            # Truncation bounds of the statistic: the range within which its vertex remains the
            # maximum, given the parts of the other vertices that are uncorrelated with it.
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
        # A statistic of zero or less is not evidence against the null. Its p-value may be
        # undefined, because its vertex may have zero variance.
        rejects: NDArray[np.bool_] = (statistic > self._critical[:, None]) | (
            (statistic > 0) & (p_value < SECOND_STAGE)
        )
        return ~rejects


def _compute_critical_values(rows: Floats) -> Floats:
    """Return the critical values of the least favourable first stage, shape (s,).

    Each is the value that the largest of four mean-zero normal variables exceeds with probability
    FIRST_STAGE. The variables are linear in two independent standard normals, with coefficients
    `rows` of shape (s, 4, 2). In polar coordinates the largest is the radius times reach(angle),
    which exceeds x with probability exp(-(x / reach)^2 / 2).
    """
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    reach = np.maximum((rows @ np.array([np.cos(angles), np.sin(angles)])).max(axis=1), 0.0)
    farthest = reach.max(axis=1)
    with np.errstate(divide="ignore"):
        rates = (farthest[:, None] / reach) ** 2
    # The log of the mean is convex and decreasing, so Newton's method does not overshoot when it
    # starts at the critical value of a single variable.
    half_square = np.full(len(rows), special.ndtri(FIRST_STAGE) ** 2 / 2)
    for _ in range(NEWTON_STEPS):
        exceeding = np.exp(-half_square[:, None] * rates)
        share = exceeding.mean(axis=1)
        falling = np.mean(exceeding * np.where(exceeding > 0, rates, 0.0), axis=1)
        half_square += share / falling * np.log(share / FIRST_STAGE)
    critical: Floats = farthest * np.sqrt(2 * half_square)
    return critical
