"""Whether the lags of a dynamic panel identify its slopes, and what is left to say where they hardly do."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special
from scipy.linalg import lapack

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.dynamic_panel import Moments, gmm_step, root_of_inverse
from ai_manufacturing.estimators.inference import LEVEL, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, said

Equation = Literal["difference", "level", "system"]
EQUATIONS = {"difference": "difference equation", "level": "level equation", "system": "system"}

WEAK = 10  # first-stage F below which an instrument is weak: Staiger and Stock (1997), Econometrica 65(3)
DIRECTIONS = 16  # hypotheses tried on either side of the estimate before the ends of a set are searched
PRECISION = 1e-7  # of those ends, in units of twice the error
CONVERGED = 1e-9  # a step that lowers the objective by less than this share of it is the last
MOST_STEPS = 100
MOST_HALVINGS = 30
FARTHEST = 1e10  # a slope this large, of scaled regressors, is as good as infinite


@dataclass(frozen=True)
class ConditionalF:
    """How strongly lags identify the slope of one regressor, given that they identify the slopes of the others.

    Attributes
    ----------
    term : str
        The regressor.
    equation : {"difference", "level", "system"}
        The rows and instruments: of one equation alone, or of both together.
    statistic, df1, df2, p_value : float, int, int, float
        F of the hypothesis that the slope is not identified, its degrees of freedom, and its p-value. None where the
        equation lacks the instruments.
    warnings : tuple of Sentence
        What a reader must know, and why there is no F.
    """

    term: str
    equation: Equation
    statistic: float | None = None
    df1: int | None = None
    df2: int | None = None
    p_value: float | None = None
    warnings: tuple[Sentence, ...] = ()


def conditional_f(moments: Moments) -> tuple[ConditionalF, ...]:
    """Test, regressor by regressor, whether lags are weak instruments: Sanderson and Windmeijer's conditional F.

    Parameters
    ----------
    moments : Moments
        Of a dynamic panel, from dynamic_panel.moments.

    Returns
    -------
    tuple of ConditionalF
        Per instrumented regressor: of the difference equation, and in a system of the level equation and of both.

    Raises
    ------
    NotEstimable
        If no regressor is instrumented by lags.

    Notes
    -----
    A slope is not identified if its regressor, less some combination of the others, is unrelated to the instruments.
    So the regressor is regressed on the others by GMM with the same instruments, and F is the test of the restrictions
    that are left over, divided by their number: instruments less the other terms. With one instrumented regressor it
    is the first-stage F. Weights come from the first-stage residuals, as in that F, and allow any dependence within
    an entity; the small-sample factor is that of ivreg2. ivreg2 minimises with weights for independent errors, which
    makes its robust F too large; these are the two-step weights of Windmeijer.

    In one equation alone the regressors that are not instrumented, and the period effects, stand for themselves. In a
    system they do so as in the estimate: by default in one equation, so the F of both together has no first stage in
    the usual sense, and is the test of rank. The rule of ten, made for independent errors, is a guide.

    References
    ----------
    Sanderson and Windmeijer (2016), "A weak instrument F-test in linear IV models with multiple endogenous variables",
    Journal of Econometrics 190(2); Windmeijer (2021), "Testing underidentification in linear models, with applications
    to dynamic panel and asset pricing models", Journal of Econometrics; on the two equations apart, Bazzi and Clemens
    (2013), "Blunt instruments", American Economic Journal: Macroeconomics 5(2).
    """
    if not moments.instrumented:
        raise NotEstimable("no_lag_instruments")
    t = moments.differenced.shape[1]
    exogenous = np.array([name not in moments.instrumented for name in moments.terms])
    equations: list[tuple[Equation, Floats, Floats, int]] = []
    alone: list[tuple[Equation, slice, NDArray[np.bool_], int]] = [
        ("difference", slice(None, t), moments.of_lags & ~moments.of_levels, int(moments.differenced.sum())),
        ("level", slice(t, None), moments.of_levels, int(moments.levels.sum())),
    ]
    for equation, rows, lags, count in alone:
        if count:
            x = moments.x[:, rows]
            z = np.concatenate([x[..., exogenous], moments.z[:, rows][..., lags]], axis=2)
            equations.append((equation, x, z, count))
    if len(equations) > 1:
        equations.append(("system", moments.x, moments.z, sum(count for *_, count in equations)))
    return tuple(
        _conditional_f(term, moments, equation, x, z, count)
        for equation, x, z, count in equations
        for term in moments.instrumented
    )


def _conditional_f(term: str, moments: Moments, equation: Equation, x: Floats, z: Floats, rows: int) -> ConditionalF:
    """Return the F of one regressor, x, shape (n, r, k), and instruments z, shape (n, r, l), being those of a model."""
    entities = len(x)
    there = np.flatnonzero(x.any(axis=(0, 1)))  # the constant is not in the difference equation
    others = [j for j, name in enumerate(moments.terms) if j in there and name != term]
    names = [moments.terms[j] for j in others]
    z = z[..., z.any(axis=(0, 1))]
    z = z / np.linalg.norm(z, axis=(0, 1))
    transposed = z.transpose(0, 2, 1)
    regressor = x[..., moments.terms.index(term)]
    zx, zy = transposed @ x[..., others], (transposed @ regressor[..., None])[..., 0]
    flat = z.reshape(-1, z.shape[2])
    root = root_of_inverse(flat.T @ flat)
    rank, df1, df2 = root.shape[1], root.shape[1] - len(others), entities - 1
    if rank >= entities:
        reason = said("singular_moments", count=rank, entity=moments.entity, entities=entities)
        return ConditionalF(term, equation, warnings=(reason,))
    if df1 < 1:
        reason = said("too_few_instruments", count=rank, weights="instruments", terms=len(others) + 1)
        return ConditionalF(term, equation, warnings=(reason,))
    try:
        by_two_stages = gmm_step(zx, zy, flat.T @ flat, names, "instruments")
        error = regressor - x[..., others] @ by_two_stages.estimates
        unexplained = error - z @ (root @ (root.T @ by_two_stages.scores.sum(axis=0)))
        scores = (transposed @ unexplained[..., None])[..., 0]
        rank_test = gmm_step(zx, zy, scores.T @ scores, names, "moments of the first-stage residuals")
    except NotEstimable as finding:
        return ConditionalF(term, equation, warnings=(finding.reason,))
    statistic = rank_test.distance / df1 * df2 / entities * (rows - rank) / (rows - 1)
    weak = said("weak_lags", name=term, equation=EQUATIONS[equation], f=statistic, least=WEAK)
    return ConditionalF(
        term=term,
        equation=equation,
        statistic=statistic,
        df1=df1,
        df2=df2,
        p_value=float(special.fdtrc(df1, df2, statistic)),
        warnings=(weak,) if statistic < WEAK else (),
    )


def anderson_rubin(moments: Moments, position: int) -> Inference:
    """Test a slope, and bound it, whatever the strength of the instruments.

    Parameters
    ----------
    moments : Moments
        Of a dynamic panel, from dynamic_panel.moments.
    position : int
        Of the regressor among the terms.

    Returns
    -------
    Inference
        The estimate is that of two steps, and has no error; statistic and p-value are of the hypothesis that the slope
        is zero, chi-squared with degrees_of_freedom. The interval is from the smallest to the largest value that is
        not rejected at 5 %, which need not hold the estimate. It is infinite if the instruments are too weak, and
        None, with a warning, if every value is rejected, as it is where the instruments are not valid.

    Raises
    ------
    NotEstimable
        If the covariance of the moments is singular, as with as many moments as entities; or for the reasons of
        dynamic_panel.estimate that concern identification.

    Notes
    -----
    Stock and Wright's S, the GMM version of Anderson and Rubin's test: the objective of continuously updated GMM with
    a covariance that allows any dependence within an entity, at the hypothesis, minimised over the other terms.
    Degrees of freedom are the independent moments less the terms that stand for themselves. The other instrumented
    regressors are minimised out without being counted (projection): valid however weak their instruments are, and with
    a handful of collapsed instruments at the price of one degree of freedom. To count them is known to be right only
    where the covariance is that of homoskedastic errors (Guggenberger, Kleibergen, Mavroeidis and Chen 2012).
    Kleibergen's K has one degree of freedom, but needs the others to be strongly identified, and the lagged outcome is
    what lags identify worst.

    The test is joint: it also rejects where the moments are not valid at any value. So a narrow set is no sign of
    precision where Hansen nearly rejects.

    References
    ----------
    Anderson and Rubin (1949), Annals of Mathematical Statistics 20(1); Stock and Wright (2000), "GMM with weak
    identification", Econometrica 68(5); Kleibergen (2005), Econometrica 73(4); Dufour (1997), Econometrica 65(6);
    Guggenberger, Kleibergen, Mavroeidis and Chen (2012), Econometrica 80(6).
    """
    entities, name = len(moments.zy), moments.terms[position]
    root = root_of_inverse(moments.independent)
    count = root.shape[1]
    if count >= entities:
        raise NotEstimable("singular_moments", count=count, entity=moments.entity, entities=entities)
    zx, zy = root.T @ moments.zx, moments.zy @ root
    first = gmm_step(zx, zy, np.eye(count), moments.terms, "instruments")
    clustered = first.scores.T @ first.scores
    second = gmm_step(zx, zy, clustered, moments.terms, "moments of the one-step residuals")
    estimate, spread = float(second.estimates[position]), 2 * float(np.sqrt(second.bread[position, position]))
    others = np.arange(len(moments.terms)) != position
    names = list(itertools.compress(moments.terms, others))
    rest = np.ascontiguousarray(zx[..., others])
    at_estimate, along = zy - zx[..., position] * estimate, zx[..., position] * spread
    linear = gmm_step(rest, at_estimate, clustered, names, "moments of the one-step residuals")
    profile = _Profile(at_estimate, along, rest, linear.projection, moments.entity)

    df = count - sum(term not in moments.instrumented for term in names)
    ends = _ends(profile, float(special.chdtri(df, LEVEL)))
    at_zero = profile.thorough(float(np.arctan(-estimate / spread)))
    warnings: tuple[Sentence, ...] = ()
    if ends is None:
        warnings = (said("empty_set", name=name),)
    elif np.isinf(ends).any():
        warnings = (said("unbounded_set", name=name),)
    unit = moments.units[position]
    low, high = (None, None) if ends is None else ((estimate + spread * ends) * unit).tolist()
    return Inference(
        estimate=float(estimate * unit),
        statistic=at_zero,
        degrees_of_freedom=df,
        p_value=float(special.chdtrc(df, at_zero)),
        conf_low=low,
        conf_high=high,
        cluster_count=entities,
        warnings=warnings,
    )


class _Profile:
    """The objective of continuously updated GMM at values of one slope, minimised over the others.

    A value of the slope is a direction: estimate + spread * tan(angle). The objective has no scale, and at a right
    angle the value is infinite, so that one finite circle holds all of them.

    Takes the moments at the estimate and along the spread, shape (n, l), those of the other terms, shape (n, l, m), and
    the linear map, shape (m, l), from moments to a first guess of the other slopes.
    """

    def __init__(self, at_estimate: Floats, along: Floats, rest: Floats, linear: Floats, entity: str) -> None:
        self.at_estimate, self.along, self.rest, self.linear, self.entity = at_estimate, along, rest, linear, entity
        self.found: dict[float, tuple[float, Floats]] = {}
        outward = np.linspace(0, np.pi / 2, DIRECTIONS + 1)
        for angle in (*outward.tolist(), *(-outward[1:]).tolist()):
            self(angle)
        # With weak instruments there are several minima, one of them perhaps infinitely far: each angle is tried again
        # from where its neighbours found theirs, once around the circle either way.
        self.angles = sorted(self.found)
        around = [*self.angles, *self.angles]
        for path in (around, around[::-1]):
            for angle, neighbour in itertools.pairwise(path):
                slopes = self.found[angle][1]
                if abs(angle) == abs(neighbour):  # the same infinity, approached from the other side
                    slopes = -slopes
                self._try(neighbour, slopes)

    def __call__(self, angle: float) -> float:
        """Return the objective, starting from the linear guess and from the nearest angles found."""
        if angle not in self.found:
            nearest = sorted(self.found, key=lambda tried: abs(tried - angle))[:2]
            scores = self._scores(angle)
            starts = [self.linear @ scores.sum(axis=0), *(self.found[tried][1] for tried in nearest)]
            self.found[angle] = _minimum(self.rest, scores, starts, self.entity)
        return self.found[angle][0]

    def thorough(self, angle: float) -> float:
        """Return the objective, starting from every minimum around the circle: far from the set there are several."""
        scores = self._scores(angle)
        starts = [self.linear @ scores.sum(axis=0), *(self.found[tried][1] for tried in self.angles)]
        return min(_minimum(self.rest, scores, [start], self.entity)[0] for start in starts)

    def _scores(self, angle: float) -> Floats:
        scores: Floats = np.cos(angle) * self.at_estimate - np.sin(angle) * self.along
        return scores

    def _try(self, angle: float, slopes: Floats) -> None:
        """Minimise again from other slopes, if the minimum found is above the objective there."""
        value, kept = self.found[angle]
        self.found[angle] = _minimum(self.rest, self._scores(angle), [kept, slopes], self.entity, above=value)


def _ends(profile: _Profile, critical: float) -> Floats | None:
    """Return the tangents of the outermost angles where an objective is not above a critical value; None if nowhere."""
    angles = profile.angles
    step = angles[-1] - angles[-2]
    best = min(angles, key=profile)
    if profile(best) > critical:
        found = optimize.minimize_scalar(profile, bounds=(best - step, best + step), method="bounded")
        angles = sorted([*angles, float(found.x)])
    inside = [i for i, angle in enumerate(angles) if profile(angle) <= critical]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    if first == 0 or last == len(angles) - 1:
        return np.array([-np.inf, np.inf])
    return np.tan(
        [
            optimize.brentq(lambda angle: profile(angle) - critical, angles[low], angles[low + 1], xtol=PRECISION)
            for low in (first - 1, last)
        ]
    )


def _minimum(
    zx: Floats, zy: Floats, starts: Sequence[Floats], entity: str, above: float = np.inf
) -> tuple[float, Floats]:
    """Minimise the objective of continuously updated GMM, g'S^-1 g with g and S of the same slopes.

    Takes Z_i'X_i, shape (n, l, m), Z_i'y_i, shape (n, l), and slopes to start from: the best of them is improved, if it
    is not the first with the value above. Each step solves the linear GMM problem in Kleibergen's Jacobian, which
    corrects for the slope of S, and is halved until the objective falls.
    """
    n, count, m = zx.shape
    by_moment, by_entity = zx.reshape(n * count, m), zx.reshape(n, count * m)

    def weighted(slopes: Floats) -> tuple[float, Floats, Floats, Floats, Floats]:
        scores = zy - (by_moment @ slopes).reshape(n, count)
        try:
            root = np.linalg.cholesky(scores.T @ scores).astype(np.float64, copy=False)
        except np.linalg.LinAlgError as error:
            raise NotEstimable("singular_moments", count=count, entity=entity, entities=n) from error
        total = _solve(root, scores.sum(axis=0))
        return float(total @ total), slopes, scores, root, total

    value, slopes, scores, root, total = min(map(weighted, starts), key=lambda tried: tried[0])
    if value >= above or m == 0:
        return value, slopes
    for _ in range(MOST_STEPS):
        if np.abs(slopes).max() > FARTHEST:
            break
        counted = 1 - scores @ _solve(root, total, transposed=True)
        jacobian = _solve(root, (counted @ by_entity).reshape(count, m))
        step = linalg.lstsq(jacobian, total, lapack_driver="gelsy", check_finite=False)[0]
        step *= min(1.0, FARTHEST / float(np.abs(step).max() or 1.0))
        tried = weighted(slopes + step)
        for _ in range(MOST_HALVINGS):
            if tried[0] <= value:
                break
            step = step / 2
            tried = weighted(slopes + step)
        gain = value - tried[0]
        if gain <= 0:
            break
        value, slopes, scores, root, total = tried
        if gain <= CONVERGED * value:
            break
    return value, slopes


def _solve(root: Floats, columns: Floats, transposed: bool = False) -> Floats:
    """Solve a lower triangle, or its transpose, for columns."""
    solution: Floats = lapack.dtrtrs(root, columns, lower=1, trans=int(transposed))[0]
    return solution
