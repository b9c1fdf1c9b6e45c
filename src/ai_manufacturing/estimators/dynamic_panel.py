"""Difference and system GMM for the last column of Table 4, matching Stata's xtabond2."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators.columns import Codes, Floats, encode_groups, read_numbers
from ai_manufacturing.estimators.fixed_effects import unit_columns
from ai_manufacturing.estimators.inference import Fit, Inference, infer_by_t, two_sided_p_values
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, join_names, sentence

Flags = NDArray[np.bool_]
Controls = Literal["difference", "both"]  # equations that use a regressor as its own instrument

# Each tolerance is a share of a norm and so does not depend on units.
# A slope is not identified if the instruments capture less than this share of its regressor.
UNIDENTIFIED = 1e-8
# Eigenvalues of a moment covariance below this share of the largest count as rounding error.
SINGULAR = 1e-12
# Differenced residuals smaller than this share of the differenced outcome are rounding error.
EXACT = 1e-9

ALL_PASS = 0.995  # Hansen p-values from here on print as 1.00
REJECTED = 0.05  # significance level of the specification tests
# A variance inflation factor above this indicates near-collinearity: Marquardt (1970),
# Technometrics 12(3).
INFLATED = 10


@dataclass(frozen=True, eq=False)
class DynamicPanelFit(Fit):
    """GMM estimates of one specification.

    The terms are the regressors in the requested order, the period effects ("year 2012") and, in
    system GMM, "constant". A period effect is relative to the last period before it without an
    effect of its own. Standard errors are robust to heteroskedasticity and to correlation within an
    entity, and statistics use the normal distribution (xtabond2 without its option small).
    Observations are counted in the level equation (system) or in the difference equation.

    Attributes
    ----------
    covariance_matrix : ndarray, shape (k, k)
        Covariance of the estimates.
    instrument_count : int
        Number of instrument columns that are not zero in every row.
    tests : dict of str to float
        Specification tests, keyed by their column names in est_coefficients. A p-value is NaN if
        the test has no degrees of freedom.

        hansen_statistic, hansen_df, hansen_p_value: Hansen test of the overidentifying restrictions
        at the two-step estimates, also if steps is 1. The degrees of freedom are the number of
        linearly independent instruments minus k.

        sargan_statistic, sargan_df, sargan_p_value: Sargan test at the one-step estimates. It is
        valid only under independent homoskedastic errors and, in system GMM, without entity
        effects; prefer the Hansen test.

        level_hansen_statistic, level_hansen_df, level_hansen_p_value: difference-in-Hansen test of
        the instruments that system GMM adds to the level equation. The values are NaN, 0 and NaN if
        there are none, or if the other instruments do not identify the model.

        ar1_statistic, ar1_p_value, ar2_statistic, ar2_p_value: Arellano-Bond z tests for serial
        correlation of the differenced residuals; NaN if no entity has residuals one or two periods
        apart. AR(1) is expected to reject; AR(2) must not.
    not_instrumented : tuple of str
        Regressors without lagged instruments. They are their own instruments and are assumed to be
        uncorrelated with the errors of all periods.
    warnings : tuple of Sentence
        Caveats to display with the estimates.
    entities : Index, length n
        Labels of the entities, in the order of the rows of `influence`.
    influence : ndarray, shape (n, k)
        Each entity's contribution to the estimation error of the coefficients, with the weights of
        the last step held fixed.
    """

    covariance_matrix: Floats
    instrument_count: int
    tests: dict[str, float]
    not_instrumented: tuple[str, ...]
    warnings: tuple[Sentence, ...]
    entities: pd.Index
    influence: Floats


class Moments(NamedTuple):
    """Outcome, design and instruments of a dynamic panel.

    Difference rows are stacked above level rows. Unused rows are zero.
    """

    terms: tuple[str, ...]  # k, as in DynamicPanelFit
    entities: pd.Index  # labels of n entities
    y: Floats  # (n, 2t) over the t periods of the grid
    x: Floats  # (n, 2t, k)
    z: Floats  # (n, 2t, l) instruments, without columns that are zero in every row
    differenced: Flags  # (n, t) rows used in the difference equation
    levels: Flags  # (n, t) rows used in the level equation
    of_levels: Flags  # (l,) whether an instrument is a lagged difference in the level equation
    independent: Floats  # (l, l) covariance of the moments under i.i.d. errors
    units: Floats  # (k,) factors that convert estimates to the units of the sample

    @property
    def zx(self) -> Floats:
        """Z_i'X_i, shape (n, l, k)."""
        products: Floats = self.z.transpose(0, 2, 1) @ self.x
        return products

    @property
    def zy(self) -> Floats:
        """Z_i'y_i, shape (n, l)."""
        products: Floats = (self.z.transpose(0, 2, 1) @ self.y[..., None])[..., 0]
        return products


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    *,
    equation: Literal["system", "difference"] = "system",
    steps: Literal[1, 2] = 2,
    collapse: bool = True,
    controls: Controls = "difference",
) -> DynamicPanelFit:
    """Estimate a dynamic panel by difference GMM (Arellano-Bond) or system GMM (Blundell-Bond).

    Periods are placed on a complete grid before lags and differences are computed. A level row is
    used if the outcome and all regressors are present, and a difference row if both of its periods
    are.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and year, in any order and possibly with gaps. A missing value affects
        only the rows that use it: a row without a regressor still provides its outcome for the lags
        of later rows.
    outcome : str
        Column of the dependent variable.
    regressors : sequence of str
        Columns of the sample, or their lags in Stata's notation: "L.gdp" is the first lag, "L2.gdp"
        the second.
    lag_limits : mapping of str to (int, int or None)
        Columns whose lagged levels instrument the difference equation, with the first and last lag
        (None: all available lags). The first lag is 2 for the outcome and for endogenous columns,
        and 1 for predetermined columns. System GMM also instruments the level equation with the
        column's difference, lagged by one less than the first lag. A regressor whose column is not
        listed is its own instrument in the equations that `controls` selects, and is assumed to be
        uncorrelated with the errors.
    equation : {"system", "difference"}
        Difference and level equations stacked, or the difference equation alone.
    steps : {1, 2}
        One-step estimates, with the weights implied by homoskedastic errors, or two-step estimates,
        with weights from the one-step residuals and Windmeijer-corrected standard errors.
    collapse : bool
        Use one instrument per lag instead of one per lag and period.
    controls : {"difference", "both"}
        Equations in which a regressor is its own instrument. With "difference" its difference
        instruments the difference equation, and it may be correlated with the entity effect. With
        "both" its level also instruments the level equation, and it must not be. "both" forms a
        single column, like xtabond2's ivstyle() without equation().

    Returns
    -------
    DynamicPanelFit
        Estimates, standard errors, specification tests, counts and warnings.

    Raises
    ------
    NotEstimable
        If a column has infinite or non-numeric values; the lag limits are invalid; no entity has
        the consecutive periods that a difference requires; a regressor is constant or a linear
        combination of earlier ones; there are fewer independent instruments than terms; there are
        no more entities than terms; the instruments do not identify a term; the regressors fit the
        outcome exactly; or the corrected variance of a term is not positive.

    Notes
    -----
    Period effects are their own instruments, in system GMM in the level equation only, as Roodman
    (2009) advises.

    The one-step weights invert Z'HZ with H = BB' and B = [D; I], where D takes differences. They
    follow from independent errors and correspond to xtabond2's h(3). The error variance in the
    Sargan test is half the mean square of the differenced residuals. Weights are pseudo-inverses,
    so collinear instruments are harmless; they count in instrument_count, as in xtabond2, but not
    in hansen_df. With more instruments than entities the two-step weight matrix is singular. The
    estimates then depend on the choice of the pseudo-inverse, and a warning is issued.

    References
    ----------
    Arellano and Bond (1991), Review of Economic Studies 58(2); Blundell and Bond (1998), Journal of
    Econometrics 87(1); Windmeijer (2005), "A finite sample correction for the variance of linear
    efficient two-step GMM estimators", Journal of Econometrics 126(1); Roodman (2009), "How to do
    xtabond2", Stata Journal 9(1).
    """
    model = moments(
        sample,
        outcome,
        regressors,
        lag_limits,
        equation=equation,
        collapse=collapse,
        controls=controls,
    )
    terms, zx, zy, units = model.terms, model.zx, model.zy, model.units
    n, t = model.differenced.shape
    dy, dx = model.y[:, :t], model.x[:, :t]
    first = gmm_step(zx, zy, model.independent, terms, "instruments")
    de = dy - dx @ first.estimates
    if np.linalg.norm(de) <= EXACT * np.linalg.norm(dy):
        raise NotEstimable("exact_fit", name=outcome)
    meat = first.scores.T @ first.scores
    second = gmm_step(zx, zy, meat, terms, "moments of the one-step residuals")
    final, covariance = first, first.projection @ meat @ first.projection.T
    if steps == 2:
        final, covariance = second, _windmeijer(zx, first, second, covariance)
    variances = np.diag(covariance)
    if variances.min() <= 0:
        raise NotEstimable("variance_not_positive", name=terms[int(variances.argmin())])

    df = first.rank - len(terms)
    error_variance = float(np.sum(de**2)) / int(model.differenced.sum()) / 2
    sargan = first.distance / error_variance
    level_hansen, level_df = _level_hansen(model, zx, zy, meat, second, df)
    tests: dict[str, float] = {}
    for name, statistic, freedom in (
        ("hansen", second.distance, df),
        ("sargan", sargan, df),
        ("level_hansen", level_hansen, level_df),
    ):
        tests[f"{name}_statistic"] = statistic
        tests[f"{name}_df"] = freedom
        has_test = freedom > 0
        tests[f"{name}_p_value"] = float(special.chdtrc(freedom, statistic)) if has_test else np.nan
    for order in (1, 2):
        z = _serial_correlation(dy - dx @ final.estimates, dx, final, covariance, order)
        tests[f"ar{order}_statistic"] = z
        tests[f"ar{order}_p_value"] = float(two_sided_p_values(z, np.inf))
    return DynamicPanelFit(
        terms=terms,
        estimates=final.estimates * units,
        std_errors=np.sqrt(variances) * units,
        degrees_of_freedom=np.inf,
        covariance_matrix=covariance * np.outer(units, units),
        observation_count=int((model.levels if equation == "system" else model.differenced).sum()),
        city_count=n,
        cluster_count=n,  # standard errors allow any correlation within an entity
        instrument_count=model.z.shape[2],
        tests=tests,
        not_instrumented=tuple(name for name in regressors if parsed(name)[0] not in lag_limits),
        warnings=(
            *_warnings(model.z.shape[2], n, tests),
            *_near_collinear(regressors, second),
        ),
        entities=model.entities,
        influence=final.scores @ final.projection.T * units,
    )


def moments(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    *,
    equation: Literal["system", "difference"],
    collapse: bool,
    controls: Controls,
) -> Moments:
    """Build the outcome, design and instrument arrays for fit.

    Parameters and reasons for NotEstimable are documented in fit.
    """
    for name, (nearest, farthest) in lag_limits.items():
        least = 2 if name == outcome else 1
        if nearest < least or (farthest is not None and farthest < nearest):
            raise NotEstimable(
                "wrong_lag_limits", name=name, nearest=nearest, farthest=str(farthest), least=least
            )
    lagged = [parsed(regressor) for regressor in regressors]
    columns = dict.fromkeys((outcome, *(name for name, _ in lagged), *lag_limits))
    grids, periods = _on_grid(sample, columns)
    # Divide each column by its largest absolute value, so that squares cannot overflow.
    scale = {name: float(np.nanmax(np.abs(grid))) or 1.0 for name, grid in grids.items()}
    grids = {name: grid / scale[name] for name, grid in grids.items()}

    x = np.stack([_shifted(grids[name], lag) for name, lag in lagged], axis=-1)
    levels = np.isfinite(grids[outcome]) & np.isfinite(x).all(axis=-1)
    differenced = levels & _shifted(levels, 1, absent=False)
    if not differenced.any():
        raise NotEstimable("no_two_periods")
    system = equation == "system"
    # Difference GMM sets the level rows to zero, so only the difference rows count.
    levels = levels & (system | differenced)
    has_rows = levels.any(axis=1)
    grids = {name: grid[has_rows] for name, grid in grids.items()}
    x, levels, differenced = x[has_rows], levels[has_rows], differenced[has_rows]

    # The design contains the regressors, the period effects and the constant.
    n, t = levels.shape
    years = np.flatnonzero(levels.any(axis=0))[int(system) :]
    terms = (
        *regressors,
        *(f"year {periods[year]}" for year in years),
        *(["constant"] if system else []),
    )
    if n <= len(terms):
        raise NotEstimable("too_few_entities", count=n, terms=len(terms))
    is_year = np.arange(t)[:, None] == years
    effects = np.hstack([is_year, np.ones((t, int(system)))])
    of_each = np.broadcast_to(effects, (n, *effects.shape))
    yx = np.concatenate([grids[outcome][..., None], x, of_each], axis=-1)
    yx = np.concatenate(
        [
            _where(differenced[..., None], yx - _shifted(yx, 1)),
            _where((levels & system)[..., None], yx),
        ],
        axis=1,
    )
    y, x = yx[..., 0], yx[..., 1:]
    if not y[:, :t].any():
        raise NotEstimable("unchanged_outcome", name=outcome)
    _check_regressors(x.reshape(-1, len(terms)), regressors, system)
    z, of_levels = _instruments(
        grids, x, differenced, levels & system, lagged, lag_limits, collapse, controls
    )

    # `half` stacks B'Z_i over the entities, with B = [D; I], so half'half is Z'HZ. Dividing its
    # columns by their lengths makes the instruments free of units.
    half = z[:, t:] + z[:, :t]  # the error e_t appears in the level and difference rows of t
    half[:, :-1] -= z[:, 1:t]  # e_t also appears, with a minus sign, in the difference row of t + 1
    norms = np.linalg.norm(half, axis=(0, 1))
    norms[norms == 0] = 1.0
    half = (half / norms).reshape(-1, len(norms))
    scales = [scale[name] for name, _ in lagged] + [1.0] * effects.shape[1]
    return Moments(
        terms=terms,
        entities=pd.Index(np.unique(sample["city_id"]))[has_rows],
        y=y,
        x=x,
        z=z / norms,
        differenced=differenced,
        levels=levels,
        of_levels=of_levels,
        independent=half.T @ half,
        units=scale[outcome] / np.array(scales),
    )


def clustered(fit: DynamicPanelFit, position: int, clusters: Codes) -> Inference:
    """Test a coefficient with standard errors clustered by groups of entities.

    Parameters
    ----------
    fit : DynamicPanelFit
    position : int
        Index of the term.
    clusters : ndarray of int, shape (n,)
        Group 0, 1, ... of each of fit.entities, such as its province.

    Returns
    -------
    Inference
        Uses the sandwich of the scores summed by group, the factor G/(G-1) and t(G-1). The moment
        weights are held fixed, without the Windmeijer correction, which assumes weights clustered
        by entity.

    Raises
    ------
    NotEstimable
        If there are fewer than two groups.
    """
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("too_few_clusters", count=count)
    summed = np.bincount(clusters, weights=fit.influence[:, position])
    error = float(np.sqrt(count / (count - 1) * (summed @ summed)))
    return infer_by_t(float(fit.estimates[position]), error, count - 1, cluster_count=count)


class GmmStep(NamedTuple):
    """One GMM step, weighted by A, the pseudo-inverse of a covariance of the moments."""

    estimates: Floats  # (k,) bread X'ZA Z'y
    scores: Floats  # (n, l) Z_i'e_i
    bread: Floats  # (k, k) inverse of X'ZAZ'X
    projection: Floats  # (k, l) bread X'ZA
    weighted: Floats  # (l,) A Z'e
    distance: float  # e'ZAZ'e
    rank: int  # rank of A


def parsed(regressor: str) -> tuple[str, int]:
    """Split a regressor in Stata's notation into its column and lag.

    "gdp" becomes ("gdp", 0), "L.gdp" becomes ("gdp", 1) and "L2.gdp" becomes ("gdp", 2).
    """
    lag = re.fullmatch(r"L(\d*)\.(.+)", regressor)
    return (lag[2], int(lag[1] or 1)) if lag else (regressor, 0)


def _on_grid(
    sample: pd.DataFrame, columns: Iterable[str]
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """Place columns on the complete grid of entities and periods.

    The grid makes lags independent of row order and gaps. Returns a grid per column, shape (n, t),
    with NaN for missing rows, and the periods, shape (t,).
    """
    entities, years = encode_groups(sample, "city_id"), sample["year"].to_numpy()
    periods = np.arange(years.min(), years.max() + 1)
    grids = {}
    for column in columns:
        grids[column] = np.full((int(entities.max()) + 1, len(periods)), np.nan)
        values = read_numbers(sample, column, allow_missing=True)
        grids[column][entities, years - periods[0]] = values
    return grids, periods


def _shifted(grid: NDArray[Any], lag: int, absent: float = np.nan) -> NDArray[Any]:
    """Shift a grid of shape (n, t, ...) to later periods, filling the first with `absent`."""
    earlier = np.full_like(grid, absent)
    earlier[:, lag:] = grid[:, : max(grid.shape[1] - lag, 0)]
    return earlier


def _where(rows: Flags, grid: Floats) -> Floats:
    """Set missing values, and values outside the given rows, to zero."""
    return np.where(rows & np.isfinite(grid), grid, 0.0)


def _check_regressors(design: Floats, regressors: Sequence[str], system: bool) -> None:
    """Raise NotEstimable if a regressor is collinear with the effects or earlier regressors.

    The design, shape (rows, k), contains the regressors first and then the effects.
    """
    columns, effects = np.split(design, [len(regressors)], axis=1)
    basis = np.linalg.qr(effects)[0]
    residuals = columns - basis @ (basis.T @ columns)
    removed = sentence("effects_removed", effects="year")
    absorbed = "constant_regressor" if system else "unchanged_regressor"
    unit_columns(residuals, columns, regressors, removed, absorbed)


def _instruments(
    grids: Mapping[str, Floats],
    x: Floats,
    differenced: Flags,
    levels: Flags,
    lagged: Sequence[tuple[str, int]],
    lag_limits: Mapping[str, tuple[int, int | None]],
    collapse: bool,
    controls: Controls,
) -> tuple[Floats, Flags]:
    """Return the instruments for the rows of the design x, and flags of the level instruments.

    The shapes are (n, 2t, l) and (l,). A flag is true for lagged differences in the level rows.
    """
    t = differenced.shape[1]
    uninstrumented = [j for j, (name, _) in enumerate(lagged) if name not in lag_limits]
    own = x[..., uninstrumented].copy()
    effects = x[..., len(lagged) :].copy()
    if controls == "difference":
        own[:, t:] = 0.0
    if levels.any():
        effects[:, :t] = 0.0
    none = np.zeros_like(levels)
    difference_rows, level_rows = np.hstack([differenced, none]), np.hstack([none, levels])

    def lags_of(grid: Floats, lags: Iterable[int], rows: Flags) -> list[Floats]:
        """Return lags of a grid in the given rows, as a column per lag or per lag and period."""
        columns = [_where(rows, np.tile(_shifted(grid, lag), 2)) for lag in lags]
        if collapse:
            return columns
        of_periods: list[Floats] = []
        for is_period in np.tile(np.eye(t), 2):
            of_periods += [column * is_period for column in columns]
        return of_periods

    changes: list[Floats] = []
    level: list[Floats] = []
    for name, (nearest, farthest) in lag_limits.items():
        lags = range(nearest, t if farthest is None else min(farthest + 1, t))
        changes += lags_of(grids[name], lags, difference_rows)
        level += lags_of(grids[name] - _shifted(grids[name], 1), [nearest - 1], level_rows)
    of_lags = [column[..., None] for column in (*changes, *level)]
    z = np.concatenate([own, effects, *of_lags], axis=2)
    present = z.any(axis=(0, 1))
    is_of_levels = np.arange(z.shape[2]) >= z.shape[2] - len(level)
    return z[..., present], is_of_levels[present]


def root_of_inverse(covariance: Floats) -> Floats:
    """Return F such that FF' is the pseudo-inverse of a covariance.

    F has shape (l, r) for a covariance of shape (l, l) and rank r.
    """
    values, vectors = np.linalg.eigh(covariance)
    regular = values > SINGULAR * max(float(values[-1]), 0.0)
    root: Floats = vectors[:, regular] / np.sqrt(values[regular])
    return root


def gmm_step(zx: Floats, zy: Floats, covariance: Floats, terms: Sequence[str], of: str) -> GmmStep:
    """Estimate k terms by GMM, weighting by the pseudo-inverse of a covariance of the moments.

    `zx` holds Z_i'X_i, shape (n, l, k), and `zy` holds Z_i'y_i, shape (n, l); the covariance has
    shape (l, l). Raises NotEstimable if the weights do not identify every term; `of` describes the
    weights in the reason.
    """
    root = root_of_inverse(covariance)
    if root.shape[1] < len(terms):
        raise NotEstimable("too_few_instruments", count=root.shape[1], weights=of, terms=len(terms))
    # Reverse the order, so that effects come first and the reason names a regressor.
    seen = (root.T @ zx.sum(axis=0))[:, ::-1]
    lengths = np.linalg.norm(seen, axis=0)
    q, r = np.linalg.qr(seen / np.where(lengths > 0, lengths, 1.0))
    lost = np.abs(np.diag(r)) <= UNIDENTIFIED
    if lost.any():
        raise NotEstimable("not_identified", weights=of, name=terms[-1 - int(lost.argmax())])
    inverse = (np.linalg.inv(r) / lengths[:, None])[::-1]
    projection = inverse @ q.T @ root.T
    estimates = projection @ zy.sum(axis=0)
    scores = zy - zx @ estimates
    weighted = root.T @ scores.sum(axis=0)
    return GmmStep(
        estimates=estimates,
        scores=scores,
        bread=inverse @ inverse.T,
        projection=projection,
        weighted=root @ weighted,
        distance=float(weighted @ weighted),
        rank=root.shape[1],
    )


def _windmeijer(zx: Floats, first: GmmStep, second: GmmStep, first_covariance: Floats) -> Floats:
    """Correct the two-step covariance, shape (k, k), for the sampling variance of its weights.

    `d` is the derivative of the two-step estimates with respect to the one-step estimates
    (Windmeijer 2005, equation 3.2).
    """
    # First sum: (e_i'Z_i A Z'e) Z_i'x_i.
    by_term = np.tensordot(first.scores @ second.weighted, zx, axes=1)
    # Second sum: Z_i'e_i (x_i'Z_i A Z'e).
    by_term += first.scores.T @ np.tensordot(zx, second.weighted, axes=(1, 0))
    d = second.projection @ by_term
    return second.bread + d @ second.bread + second.bread @ d.T + d @ first_covariance @ d.T


def _level_hansen(
    model: Moments, zx: Floats, zy: Floats, meat: Floats, full: GmmStep, df: int
) -> tuple[float, int]:
    """Return the difference-in-Hansen statistic of the level instruments, with its df.

    The restricted fit reuses the full fit's covariance of the moments, so the statistic cannot be
    negative.
    """
    rest = np.flatnonzero(~model.of_levels)
    square = np.ix_(rest, rest)
    if len(rest) == len(model.of_levels):
        return np.nan, 0
    try:
        without = gmm_step(zx[:, rest], zy[:, rest], meat[square], model.terms, "rest")
    except NotEstimable:
        return np.nan, 0
    rest_df = root_of_inverse(model.independent[square]).shape[1] - len(model.terms)
    return full.distance - without.distance, df - rest_df


def _serial_correlation(
    errors: Floats, x: Floats, final: GmmStep, covariance: Floats, order: int
) -> float:
    """Return the Arellano-Bond z statistic for serial correlation of an order.

    Takes the differenced residuals, shape (n, t), and the differenced design, shape (n, t, k). The
    variance combines the variance of the residual products, the variance of the estimates, and
    their covariance. The statistic is NaN if no residuals are that many periods apart.
    """
    earlier = _shifted(errors, order, absent=0.0)
    products = (earlier * errors).sum(axis=1)
    slope = np.tensordot(earlier, x, axes=2)
    variance = (
        products @ products
        - 2 * slope @ final.projection @ (final.scores.T @ products)
        + slope @ covariance @ slope
    )
    return float(products.sum() / np.sqrt(variance)) if variance > 0 else np.nan


def _near_collinear(regressors: Sequence[str], second: GmmStep) -> tuple[Sentence, ...]:
    """Return a warning if regressors are nearly collinear in the moments.

    Nearly collinear regressors have large slopes of opposite signs.

    A regressor's variance inflation factor is 1/(1 - R2), where R2 is from regressing its weighted
    moments on the other regressors' moments, net of the period effects and the constant. It equals
    the diagonal of the inverse correlation matrix of the two-step slopes.
    """
    slopes = second.bread[: len(regressors), : len(regressors)]
    lengths = np.sqrt(np.diag(slopes))
    values, vectors = np.linalg.eigh(slopes / np.outer(lengths, lengths))
    inflation = (vectors**2 / np.maximum(values, SINGULAR)).sum(axis=1)
    inflated = [*itertools.compress(regressors, inflation > INFLATED)]
    return (
        (sentence("near_collinear", names=join_names(inflated), factor=float(inflation.max())),)
        if inflated
        else ()
    )


def _warnings(instruments: int, cities: int, tests: Mapping[str, float]) -> tuple[Sentence, ...]:
    """Return the caveats that the specification tests imply."""
    hansen, level_hansen = tests["hansen_p_value"], tests["level_hansen_p_value"]
    ar1, ar2 = tests["ar1_p_value"], tests["ar2_p_value"]
    more = sentence("more_instruments_than_entities", instruments=instruments, count=cities)
    warnings = (
        (instruments > cities, more),
        (ar1 >= REJECTED, sentence("ar1_does_not_reject", p=ar1)),
        (ar2 < REJECTED, sentence("ar2_rejects", p=ar2)),
        (np.isnan(ar2), sentence("no_ar2")),
        (hansen < REJECTED, sentence("hansen_rejects", p=hansen)),
        (level_hansen < REJECTED, sentence("level_hansen_rejects", p=level_hansen)),
        (hansen >= ALL_PASS, sentence("hansen_cannot_reject")),
    )
    return tuple(warning for applies, warning in warnings if applies)
