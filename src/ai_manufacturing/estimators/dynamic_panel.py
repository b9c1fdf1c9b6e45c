"""Difference and system GMM estimators for dynamic panels, matching Stata's xtabond2.

The last column of the paper's Table 4 uses them.
"""

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
from ai_manufacturing.estimators.fixed_effects import scale_to_unit_length
from ai_manufacturing.estimators.inference import Fit, Inference, infer_by_t, two_sided_p_values
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, join_names, sentence

Flags = NDArray[np.bool_]
# Equations in which a regressor without lag limits serves as its own instrument.
Controls = Literal["difference", "both"]

# A slope is not identified if the instruments capture less than this share of its regressor. Like
# the next two tolerances, the share is relative to a norm and does not depend on units.
UNIDENTIFIED = 1e-8
# Eigenvalues of a moment covariance below this share of the largest are treated as zero.
SINGULAR = 1e-12
# A fit is exact if differenced residuals have less than this share of the outcome's norm.
EXACT = 1e-9

# Hansen p-values from this value on print as 1.00 and indicate too many instruments.
ALL_PASS = 0.995
# Significance level of the specification tests.
REJECTED = 0.05
# A variance inflation factor above this indicates near-collinearity: Marquardt (1970),
# Technometrics 12(3).
INFLATED = 10


@dataclass(frozen=True, eq=False)
class DynamicPanelFit(Fit):
    """GMM estimates of a dynamic panel regression, with specification tests.

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
    """Outcome, regressor and instrument arrays of a dynamic panel.

    Difference rows are stacked above level rows. Unused rows are zero.
    """

    terms: tuple[str, ...]  # names of the k terms, as in DynamicPanelFit
    entities: pd.Index  # labels of the n entities
    y: Floats  # (n, 2t) outcome: t difference rows, then t level rows
    x: Floats  # (n, 2t, k) regressors, period effects and constant
    z: Floats  # (n, 2t, l) instruments, without columns that are zero in every row
    is_difference: Flags  # (n, t) rows used in the difference equation
    is_level: Flags  # (n, t) rows used in the level equation
    is_level_instrument: Flags  # (l,) flags of lagged differences in the level equation
    iid_covariance: Floats  # (l, l) covariance of the moments under i.i.d. errors
    units: Floats  # (k,) factors that convert estimates to the units of the sample

    @property
    def zx(self) -> Floats:
        """Products Z_i'X_i of instruments and design for each entity i, shape (n, l, k)."""
        products: Floats = self.z.transpose(0, 2, 1) @ self.x
        return products

    @property
    def zy(self) -> Floats:
        """Products Z_i'y_i of instruments and outcome for each entity i, shape (n, l)."""
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
    model = build_moments(
        sample,
        outcome,
        regressors,
        lag_limits,
        equation=equation,
        collapse=collapse,
        controls=controls,
    )
    terms, zx, zy, units = model.terms, model.zx, model.zy, model.units
    n, t = model.is_difference.shape
    dy, dx = model.y[:, :t], model.x[:, :t]
    first = run_gmm_step(zx, zy, model.iid_covariance, terms, "instruments")
    de = dy - dx @ first.estimates
    if np.linalg.norm(de) <= EXACT * np.linalg.norm(dy):
        raise NotEstimable("exact_fit", name=outcome)
    meat = first.scores.T @ first.scores
    second = run_gmm_step(zx, zy, meat, terms, "moments of the one-step residuals")
    final, covariance = first, first.projection @ meat @ first.projection.T
    if steps == 2:
        final, covariance = second, _correct_windmeijer(zx, first, second, covariance)
    variances = np.diag(covariance)
    if variances.min() <= 0:
        raise NotEstimable("variance_not_positive", name=terms[int(variances.argmin())])

    df = first.rank - len(terms)
    error_variance = float(np.sum(de**2)) / int(model.is_difference.sum()) / 2
    sargan = first.distance / error_variance
    level_hansen, level_df = _test_level_instruments(model, zx, zy, meat, second, df)
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
        z = _test_serial_correlation(dy - dx @ final.estimates, dx, final, covariance, order)
        tests[f"ar{order}_statistic"] = z
        tests[f"ar{order}_p_value"] = float(two_sided_p_values(z, np.inf))
    return DynamicPanelFit(
        terms=terms,
        estimates=final.estimates * units,
        std_errors=np.sqrt(variances) * units,
        degrees_of_freedom=np.inf,
        covariance_matrix=covariance * np.outer(units, units),
        observation_count=int(
            (model.is_level if equation == "system" else model.is_difference).sum()
        ),
        city_count=n,
        cluster_count=n,  # standard errors are clustered by entity
        instrument_count=model.z.shape[2],
        tests=tests,
        not_instrumented=tuple(name for name in regressors if parse_lag(name)[0] not in lag_limits),
        warnings=(
            *_list_warnings(model.z.shape[2], n, tests),
            *_warn_of_near_collinearity(regressors, second),
        ),
        entities=model.entities,
        influence=final.scores @ final.projection.T * units,
    )


def build_moments(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    *,
    equation: Literal["system", "difference"],
    collapse: bool,
    controls: Controls,
) -> Moments:
    """Build the arrays of a dynamic panel estimation: outcome, regressors and instruments.

    Parameters and reasons for NotEstimable are documented in fit.
    """
    for name, (nearest, farthest) in lag_limits.items():
        least = 2 if name == outcome else 1
        if nearest < least or (farthest is not None and farthest < nearest):
            raise NotEstimable(
                "wrong_lag_limits", name=name, nearest=nearest, farthest=str(farthest), least=least
            )
    columns_and_lags = [parse_lag(regressor) for regressor in regressors]
    columns = dict.fromkeys((outcome, *(name for name, _ in columns_and_lags), *lag_limits))
    grids, periods = _place_on_grid(sample, columns)
    # Divide each column by its largest absolute value, so that squares cannot overflow.
    scale = {name: float(np.nanmax(np.abs(grid))) or 1.0 for name, grid in grids.items()}
    grids = {name: grid / scale[name] for name, grid in grids.items()}

    x = np.stack([_shift(grids[name], lag) for name, lag in columns_and_lags], axis=-1)
    is_level = np.isfinite(grids[outcome]) & np.isfinite(x).all(axis=-1)
    is_difference = is_level & _shift(is_level, 1, absent=False)
    if not is_difference.any():
        raise NotEstimable("no_two_periods")
    system = equation == "system"
    # Difference GMM uses only periods whose difference from the previous period is observed.
    is_level = is_level & (system | is_difference)
    has_rows = is_level.any(axis=1)
    grids = {name: grid[has_rows] for name, grid in grids.items()}
    x, is_level, is_difference = x[has_rows], is_level[has_rows], is_difference[has_rows]

    # Build the design from the regressors, the period effects and, in system GMM, the constant.
    n, t = is_level.shape
    years = np.flatnonzero(is_level.any(axis=0))[int(system) :]
    terms = (
        *regressors,
        *(f"year {periods[year]}" for year in years),
        *(["constant"] if system else []),
    )
    if n <= len(terms):
        raise NotEstimable("too_few_entities", count=n, terms=len(terms))
    is_year = np.arange(t)[:, None] == years
    effects = np.hstack([is_year, np.ones((t, int(system)))])
    effect_columns = np.broadcast_to(effects, (n, *effects.shape))
    yx = np.concatenate([grids[outcome][..., None], x, effect_columns], axis=-1)
    yx = np.concatenate(
        [
            _zero_outside(is_difference[..., None], yx - _shift(yx, 1)),
            _zero_outside((is_level & system)[..., None], yx),
        ],
        axis=1,
    )
    y, x = yx[..., 0], yx[..., 1:]
    if not y[:, :t].any():
        raise NotEstimable("unchanged_outcome", name=outcome)
    _check_regressors(x.reshape(-1, len(terms)), regressors, system)
    z, is_level_instrument = _build_instruments(
        grids, x, is_difference, is_level & system, columns_and_lags, lag_limits, collapse, controls
    )

    # `half` stacks B'Z_i over the entities i, where B = [D; I] and D takes first differences, so
    # half'half = Z'HZ. Its columns are scaled to unit length, so that instruments have no units.
    half = z[:, t:] + z[:, :t]  # the error e_t appears in the level and difference rows of t
    half[:, :-1] -= z[:, 1:t]  # e_t also appears, with a minus sign, in the difference row of t + 1
    norms = np.linalg.norm(half, axis=(0, 1))
    norms[norms == 0] = 1.0
    half = (half / norms).reshape(-1, len(norms))
    scales = [scale[name] for name, _ in columns_and_lags] + [1.0] * effects.shape[1]
    return Moments(
        terms=terms,
        entities=pd.Index(np.unique(sample["city_id"]))[has_rows],
        y=y,
        x=x,
        z=z / norms,
        is_difference=is_difference,
        is_level=is_level,
        is_level_instrument=is_level_instrument,
        iid_covariance=half.T @ half,
        units=scale[outcome] / np.array(scales),
    )


def infer_by_cluster(fit: DynamicPanelFit, position: int, clusters: Codes) -> Inference:
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
    group_sums = np.bincount(clusters, weights=fit.influence[:, position])
    error = float(np.sqrt(count / (count - 1) * (group_sums @ group_sums)))
    return infer_by_t(float(fit.estimates[position]), error, count - 1, cluster_count=count)


class GmmStep(NamedTuple):
    """Results of a GMM step with weight matrix A, the pseudo-inverse of a moment covariance."""

    estimates: Floats  # (k,) coefficients, equal to bread X'ZA Z'y
    scores: Floats  # (n, l) Z_i'e_i
    bread: Floats  # (k, k) inverse of X'ZAZ'X
    projection: Floats  # (k, l) bread X'ZA, which maps Z'y to the estimates
    weighted_moments: Floats  # (l,) A Z'e
    distance: float  # e'ZAZ'e
    rank: int  # rank of A


def parse_lag(regressor: str) -> tuple[str, int]:
    """Split a regressor in Stata's notation, such as L2.gdp, into its column and lag.

    "gdp" becomes ("gdp", 0), "L.gdp" becomes ("gdp", 1) and "L2.gdp" becomes ("gdp", 2).
    """
    lag = re.fullmatch(r"L(\d*)\.(.+)", regressor)
    return (lag[2], int(lag[1] or 1)) if lag else (regressor, 0)


def _place_on_grid(
    sample: pd.DataFrame, columns: Iterable[str]
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """Reshape columns to a complete grid of entities and periods, with NaN in the gaps.

    On the grid, lags do not depend on row order and gaps. Returns a grid per column, shape (n, t),
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


def _shift(grid: NDArray[Any], lag: int, absent: float = np.nan) -> NDArray[Any]:
    """Lag a grid of shape (n, t, ...), filling the first `lag` periods with `absent`."""
    earlier = np.full_like(grid, absent)
    earlier[:, lag:] = grid[:, : max(grid.shape[1] - lag, 0)]
    return earlier


def _zero_outside(rows: Flags, grid: Floats) -> Floats:
    """Set the missing values of a grid, and all values outside the given rows, to zero."""
    return np.where(rows & np.isfinite(grid), grid, 0.0)


def _check_regressors(design: Floats, regressors: Sequence[str], system: bool) -> None:
    """Raise NotEstimable if a regressor is collinear with the effects or earlier regressors.

    The design, shape (rows, k), contains the regressors first and then the effects.
    """
    columns, effects = np.split(design, [len(regressors)], axis=1)
    basis = np.linalg.qr(effects)[0]
    residuals = columns - basis @ (basis.T @ columns)
    removed_effects = sentence("effects_removed", effects="year")
    absorbed_key = "constant_regressor" if system else "unchanged_regressor"
    scale_to_unit_length(residuals, columns, regressors, removed_effects, absorbed_key)


def _build_instruments(
    grids: Mapping[str, Floats],
    x: Floats,
    is_difference: Flags,
    is_level: Flags,
    columns_and_lags: Sequence[tuple[str, int]],
    lag_limits: Mapping[str, tuple[int, int | None]],
    collapse: bool,
    controls: Controls,
) -> tuple[Floats, Flags]:
    """Return the instruments, and flags of the lagged differences in the level equation.

    The shapes are (n, 2t, l) and (l,). Instruments have the same rows as the design x.
    """
    t = is_difference.shape[1]
    own_positions = [j for j, (name, _) in enumerate(columns_and_lags) if name not in lag_limits]
    own = x[..., own_positions].copy()
    effects = x[..., len(columns_and_lags) :].copy()
    if controls == "difference":
        own[:, t:] = 0.0
    if is_level.any():
        effects[:, :t] = 0.0
    none = np.zeros_like(is_level)
    difference_rows, level_rows = np.hstack([is_difference, none]), np.hstack([none, is_level])

    def make_lags(grid: Floats, lags: Iterable[int], rows: Flags) -> list[Floats]:
        """Return instrument columns of lagged values, one per lag or per lag and period."""
        columns = [_zero_outside(rows, np.tile(_shift(grid, lag), 2)) for lag in lags]
        if collapse:
            return columns
        period_columns: list[Floats] = []
        for is_period in np.tile(np.eye(t), 2):
            period_columns += [column * is_period for column in columns]
        return period_columns

    change_columns: list[Floats] = []
    level_columns: list[Floats] = []
    for name, (nearest, farthest) in lag_limits.items():
        lags = range(nearest, t if farthest is None else min(farthest + 1, t))
        change_columns += make_lags(grids[name], lags, difference_rows)
        level_columns += make_lags(grids[name] - _shift(grids[name], 1), [nearest - 1], level_rows)
    lag_columns = [column[..., None] for column in (*change_columns, *level_columns)]
    z = np.concatenate([own, effects, *lag_columns], axis=2)
    present = z.any(axis=(0, 1))
    is_level_instrument = np.arange(z.shape[2]) >= z.shape[2] - len(level_columns)
    return z[..., present], is_level_instrument[present]


def factor_pseudo_inverse(covariance: Floats) -> Floats:
    """Return a factor F such that FF' is the pseudo-inverse of a covariance matrix.

    F has shape (l, r) for a covariance of shape (l, l) and rank r.
    """
    values, vectors = np.linalg.eigh(covariance)
    regular = values > SINGULAR * max(float(values[-1]), 0.0)
    root: Floats = vectors[:, regular] / np.sqrt(values[regular])
    return root


def run_gmm_step(
    zx: Floats, zy: Floats, covariance: Floats, terms: Sequence[str], weights_name: str
) -> GmmStep:
    """Estimate k coefficients by GMM, weighted by the pseudo-inverse of a moment covariance.

    `zx` holds Z_i'X_i, shape (n, l, k), and `zy` holds Z_i'y_i, shape (n, l); the covariance has
    shape (l, l). Raises NotEstimable if the weights do not identify every term; `weights_name`
    describes the weights in the reason.
    """
    root = factor_pseudo_inverse(covariance)
    if root.shape[1] < len(terms):
        raise NotEstimable(
            "too_few_instruments", count=root.shape[1], weights=weights_name, terms=len(terms)
        )
    # Put the effects first, so that a failure of identification is attributed to a regressor.
    instrument_products = (root.T @ zx.sum(axis=0))[:, ::-1]
    lengths = np.linalg.norm(instrument_products, axis=0)
    q, r = np.linalg.qr(instrument_products / np.where(lengths > 0, lengths, 1.0))
    lacks_identification = np.abs(np.diag(r)) <= UNIDENTIFIED
    if lacks_identification.any():
        raise NotEstimable(
            "not_identified",
            weights=weights_name,
            name=terms[-1 - int(lacks_identification.argmax())],
        )
    inverse = (np.linalg.inv(r) / lengths[:, None])[::-1]
    projection = inverse @ q.T @ root.T
    estimates = projection @ zy.sum(axis=0)
    scores = zy - zx @ estimates
    root_scores = root.T @ scores.sum(axis=0)
    return GmmStep(
        estimates=estimates,
        scores=scores,
        bread=inverse @ inverse.T,
        projection=projection,
        weighted_moments=root @ root_scores,
        distance=float(root_scores @ root_scores),
        rank=root.shape[1],
    )


def _correct_windmeijer(
    zx: Floats, first: GmmStep, second: GmmStep, first_covariance: Floats
) -> Floats:
    """Apply Windmeijer's finite-sample correction to the two-step covariance, shape (k, k).

    `d` is the derivative of the two-step estimates with respect to the one-step estimates
    (Windmeijer 2005, equation 3.2).
    """
    # First term of the derivative: the sum over i of (e_i'Z_i A Z'e) Z_i'x_i.
    by_term = np.tensordot(first.scores @ second.weighted_moments, zx, axes=1)
    # Second term of the derivative: the sum over i of Z_i'e_i (x_i'Z_i A Z'e).
    by_term += first.scores.T @ np.tensordot(zx, second.weighted_moments, axes=(1, 0))
    d = second.projection @ by_term
    return second.bread + d @ second.bread + second.bread @ d.T + d @ first_covariance @ d.T


def _test_level_instruments(
    model: Moments, zx: Floats, zy: Floats, meat: Floats, full: GmmStep, df: int
) -> tuple[float, int]:
    """Return the difference-in-Hansen statistic of the level instruments, and its df.

    The restricted fit reuses the full fit's covariance of the moments, so the statistic cannot be
    negative.
    """
    others = np.flatnonzero(~model.is_level_instrument)
    square = np.ix_(others, others)
    if len(others) == len(model.is_level_instrument):
        return np.nan, 0
    try:
        restricted = run_gmm_step(zx[:, others], zy[:, others], meat[square], model.terms, "rest")
    except NotEstimable:
        return np.nan, 0
    restricted_df = factor_pseudo_inverse(model.iid_covariance[square]).shape[1] - len(model.terms)
    return full.distance - restricted.distance, df - restricted_df


def _test_serial_correlation(
    errors: Floats, x: Floats, final: GmmStep, covariance: Floats, order: int
) -> float:
    """Return the Arellano-Bond z statistic for serial correlation of the given order.

    Takes the differenced residuals, shape (n, t), and the differenced design, shape (n, t, k). The
    variance combines the variance of the residual products, the variance of the estimates, and
    their covariance. The statistic is NaN if no residuals are that many periods apart.
    """
    earlier = _shift(errors, order, absent=0.0)
    products = (earlier * errors).sum(axis=1)
    slope = np.tensordot(earlier, x, axes=2)
    variance = (
        products @ products
        - 2 * slope @ final.projection @ (final.scores.T @ products)
        + slope @ covariance @ slope
    )
    return float(products.sum() / np.sqrt(variance)) if variance > 0 else np.nan


def _warn_of_near_collinearity(regressors: Sequence[str], second: GmmStep) -> tuple[Sentence, ...]:
    """Return a warning if some regressors are nearly collinear in the moments.

    Nearly collinear regressors have large slopes of opposite signs. A regressor's variance
    inflation factor is 1/(1 - R2), where R2 is from regressing its weighted moments on the other
    regressors' moments, net of the period effects and the constant. It equals the diagonal of the
    inverse correlation matrix of the two-step slopes.
    """
    slopes = second.bread[: len(regressors), : len(regressors)]
    lengths = np.sqrt(np.diag(slopes))
    values, vectors = np.linalg.eigh(slopes / np.outer(lengths, lengths))
    inflation = (vectors**2 / np.maximum(values, SINGULAR)).sum(axis=1)
    inflated_names = [*itertools.compress(regressors, inflation > INFLATED)]
    return (
        (
            sentence(
                "near_collinear", names=join_names(inflated_names), factor=float(inflation.max())
            ),
        )
        if inflated_names
        else ()
    )


def _list_warnings(
    instruments: int, cities: int, tests: Mapping[str, float]
) -> tuple[Sentence, ...]:
    """Return warnings about specification tests that cast doubt on the estimates."""
    hansen, level_hansen = tests["hansen_p_value"], tests["level_hansen_p_value"]
    ar1, ar2 = tests["ar1_p_value"], tests["ar2_p_value"]
    more_instruments = sentence(
        "more_instruments_than_entities", instruments=instruments, count=cities
    )
    warnings = (
        (instruments > cities, more_instruments),
        (ar1 >= REJECTED, sentence("ar1_does_not_reject", p=ar1)),
        (ar2 < REJECTED, sentence("ar2_rejects", p=ar2)),
        (np.isnan(ar2), sentence("no_ar2")),
        (hansen < REJECTED, sentence("hansen_rejects", p=hansen)),
        (level_hansen < REJECTED, sentence("level_hansen_rejects", p=level_hansen)),
        (hansen >= ALL_PASS, sentence("hansen_cannot_reject")),
    )
    return tuple(warning for applies, warning in warnings if applies)
