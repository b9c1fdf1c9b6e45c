"""Difference and system GMM for dynamic panels: Table 4's last column, as Stata's xtabond2 would print it."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators.columns import Floats, check_one_row_per_cell, groups_in, numbers_in
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import NOTHING, Sentence, both, said

Flags = NDArray[np.bool_]

# Each tolerance is a share of a norm, so none depends on units.
SPANNED = 1e-9  # a regressor does not vary if less than this share of it is left beyond the period effects
COLLINEAR = 2e-5  # as in the fixed-effects estimator, so that both name the same column
UNIDENTIFIED = 1e-8  # a slope is not identified if the instruments see less than this share of its regressor
SINGULAR = 1e-12  # an eigenvalue of a weight matrix (diagonal of ones) below this is rounding error
EXACT = 1e-9  # differenced residuals below this share of the differenced outcome are rounding error

LONGEST_GRID = 400  # periods from first to last: beyond it the column holds dates or a slip, and the grid no memory
ALL_PASS = 0.995  # a Hansen p-value that prints as 1.00
REJECTED = 0.05
INFLATED = 10  # a variance inflated by more is near-collinearity: Marquardt (1970), Technometrics 12(3)


@dataclass(frozen=True, eq=False)  # eq: comparing arrays has no single truth value
class DynamicPanelFit:
    """Estimates of one specification; arrays run over the terms.

    Attributes
    ----------
    terms : tuple of str, length k
        The regressors in the order asked for, then the period effects ("year 2012"), then, in a system, "constant".
        A period effect is relative to the last period before it that has none.
    estimates, std_errors : ndarray, shape (k,)
        Coefficients and their errors, in units of the outcome per unit of the regressor; robust to any pattern of
        heteroskedasticity and correlation within an entity.
    statistics, p_values : ndarray, shape (k,)
        z statistics and two-sided p-values from the normal distribution (xtabond2 without its option small).
    conf_low, conf_high : ndarray, shape (k,)
        Ends of the 95 % interval from the normal distribution.
    covariance_matrix : ndarray, shape (k, k)
        Covariance of the estimates.
    observation_count, city_count : int
        Rows of the level equation (system) or of the difference equation, and entities with at least one.
    instrument_count : int
        Columns of the instrument matrix that are not all zero.
    hansen_statistic, hansen_df, hansen_p : float, int, float
        Test of the overidentifying restrictions at the two-step estimates, also where steps is 1. The degrees of
        freedom are the instruments that are linearly independent, less k; p is NaN if that is zero.
    sargan_statistic, sargan_df, sargan_p : float, int, float
        The same at the one-step estimates, valid only under independent homoskedastic errors, and in a system only
        without entity effects: read Hansen.
    level_hansen_statistic, level_hansen_df, level_hansen_p : float, int, float
        Difference-in-Hansen test of the instruments that a system adds in the level equation; NaN, 0 and NaN where
        there is none or the rest do not identify the model.
    ar1_statistic, ar1_p, ar2_statistic, ar2_p : float
        Arellano-Bond z tests for serial correlation of the differenced residuals; NaN if no entity has residuals
        that far apart. The first is expected to reject; the second must not.
    instrumented, not_instrumented : tuple of str
        The regressors that lags of their column instrument, and those that stand for themselves: taken as unrelated to
        the errors of all periods.
    warnings : tuple of Sentence
        What a reader must be told beside the estimates.
    """

    terms: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    statistics: Floats
    p_values: Floats
    conf_low: Floats
    conf_high: Floats
    covariance_matrix: Floats
    observation_count: int
    city_count: int
    instrument_count: int
    hansen_statistic: float
    hansen_df: int
    hansen_p: float
    sargan_statistic: float
    sargan_df: int
    sargan_p: float
    level_hansen_statistic: float
    level_hansen_df: int
    level_hansen_p: float
    ar1_statistic: float
    ar1_p: float
    ar2_statistic: float
    ar2_p: float
    instrumented: tuple[str, ...]
    not_instrumented: tuple[str, ...]
    warnings: tuple[Sentence, ...]


@dataclass(frozen=True, eq=False)
class Moments:
    """What a dynamic panel is estimated from: difference rows above level rows, zeros where a row is not used.

    Attributes
    ----------
    terms : tuple of str, length k
        As in DynamicPanelFit.
    instrumented, not_instrumented : tuple of str
        As in DynamicPanelFit; together the regressors, which come first among the terms.
    outcome, time, entity : str
        Columns of the sample.
    y : ndarray, shape (n, 2t)
        Outcome of n entities over the t periods of the grid.
    x : ndarray, shape (n, 2t, k)
        Terms.
    z : ndarray, shape (n, 2t, l)
        Instruments that are not all zero.
    differenced, levels : ndarray of bool, shape (n, t)
        The rows used in either equation.
    of_lags, of_levels : ndarray of bool, shape (l,)
        The instruments that lags make, and those of them in the level equation.
    independent : ndarray, shape (l, l)
        Covariance of the moments under independent errors of one variance.
    zx, zy : ndarray, shapes (n, l, k) and (n, l)
        Z_i'X_i and Z_i'y_i.
    units : ndarray, shape (k,)
        An estimate times these is in the units of the sample.
    """

    terms: tuple[str, ...]
    instrumented: tuple[str, ...]
    not_instrumented: tuple[str, ...]
    outcome: str
    time: str
    entity: str
    y: Floats
    x: Floats
    z: Floats
    differenced: Flags
    levels: Flags
    of_lags: Flags
    of_levels: Flags
    independent: Floats
    zx: Floats
    zy: Floats
    units: Floats

    @property
    def regressors(self) -> tuple[str, ...]:
        """The terms that are no period effect and no constant, in their order."""
        return self.terms[: len(self.instrumented) + len(self.not_instrumented)]


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    *,
    equation: Literal["system", "difference"] = "system",
    steps: Literal[1, 2] = 2,
    windmeijer: bool = True,
    collapse: bool = True,
    own_instruments: Literal["difference", "both"] = "difference",
    time_dummies: bool = True,
    entity: str = "city_id",
    time: str = "year",
) -> DynamicPanelFit:
    """Estimate a dynamic panel by difference GMM (Arellano-Bond) or system GMM (Blundell-Bond).

    Periods are laid on a complete grid, on which lags and differences are taken. A level row is used where the
    outcome and all regressors are present, a difference row where both its periods are.

    Parameters
    ----------
    sample : DataFrame
        One row per entity and period, in any order and with gaps. A missing value is as good as a missing row for
        what reads it: a row that lacks a regressor still lends its outcome to the lags of the next.
    outcome : str
        Column of the dependent variable.
    regressors : sequence of str
        Columns of the sample, or lags of them in Stata's notation: "L.gdp" is the lag, "L2.gdp" the second.
    lag_limits : mapping of str to (int, int or None)
        Columns that instrument the difference equation by their own levels, lagged from the first to the second
        limit (None: as far as the sample goes). The first limit is 2 for the outcome and for an endogenous column, 1
        for a predetermined one. A system adds, in the level equation, the difference of the column, lagged the first
        limit less one. A regressor whose column is not named here is its own instrument.
    equation : {"system", "difference"}
        Difference and level equations stacked, or the difference equation alone.
    steps : {1, 2}
        Estimates from the weights that homoskedastic errors imply, or from those of the one-step residuals.
    windmeijer : bool
        Correct two-step errors for the estimated weights. Uncorrected ones are too small, often by half.
    collapse : bool
        One instrument per lag instead of one per lag and period.
    own_instruments : {"difference", "both"}
        Where, in a system, a regressor instruments itself. "difference" asks that it be unrelated to the errors;
        "both" (one column over both equations, xtabond2's default) also that it be unrelated to the entity effect.
    time_dummies : bool
        Period effects, their own instruments: in a system in the level equation, as Roodman (2009) advises.
    entity, time : str
        Columns of the entities and of the periods, whole numbers.

    Returns
    -------
    DynamicPanelFit
        Estimates, errors, specification tests, counts and warnings.

    Raises
    ------
    NotEstimable
        With a sentence, if: a column has infinite or non-numeric values or none at all, or periods are not whole
        numbers; an entity appears twice in a period; lag limits are not limits, or the outcome's lag has none; no
        entity has the consecutive periods a difference needs; a regressor is constant or a linear combination of
        earlier ones; there are fewer independent instruments than terms, or no more entities than terms, or the
        instruments do not identify a term; the regressors fit the outcome exactly; or the corrected variance of a
        term is not positive.
    ValueError
        If equation, steps or own_instruments is none of the values above.

    Notes
    -----
    The one-step weights invert Z'HZ with H = BB', B = [D; I], D differencing: what independent errors imply, and
    xtabond2's h(3). The error variance in Sargan's test is the mean square of the differenced residuals, halved.
    Weights are pseudo-inverses, so collinear instruments do no harm; they count in
    instrument_count, as in xtabond2, and not in hansen_df. With more instruments than entities the
    two-step weights are singular, and their pseudo-inverse, and so the estimates, are a convention: a warning.

    References
    ----------
    Arellano and Bond (1991), Review of Economic Studies 58(2); Blundell and Bond (1998), Journal of Econometrics
    87(1); Windmeijer (2005), "A finite sample correction for the variance of linear efficient two-step GMM
    estimators", Journal of Econometrics 126(1); Roodman (2009), "How to do xtabond2", Stata Journal 9(1).
    """
    return estimate(
        moments(
            sample,
            outcome,
            regressors,
            lag_limits,
            equation=equation,
            collapse=collapse,
            own_instruments=own_instruments,
            time_dummies=time_dummies,
            entity=entity,
            time=time,
        ),
        steps=steps,
        windmeijer=windmeijer,
    )


def moments(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    *,
    equation: Literal["system", "difference"] = "system",
    collapse: bool = True,
    own_instruments: Literal["difference", "both"] = "difference",
    time_dummies: bool = True,
    entity: str = "city_id",
    time: str = "year",
) -> Moments:
    """Lay out what fit estimates from, so that an estimate and its checks share one layout.

    Parameters, and reasons for NotEstimable that concern the sample and its columns, are those of fit.

    Returns
    -------
    Moments
        Outcome, terms and instruments of both equations.
    """
    if equation not in ("system", "difference") or own_instruments not in ("difference", "both"):
        raise ValueError(
            f"Unknown estimator: {equation=}, {own_instruments=}. Valid are equation 'system' or 'difference', "
            "own_instruments 'difference' or 'both'."
        )
    lagged = [parsed(regressor) for regressor in regressors]
    _check_specification(outcome, lagged, lag_limits)
    columns = dict.fromkeys((outcome, *(name for name, _ in lagged), *lag_limits))
    grids, periods = _on_grid(sample, list(columns), entity, time)
    scale = {name: float(np.nanmax(np.abs(grid))) or 1.0 for name, grid in grids.items()}  # no square can overflow
    grids = {name: grid / scale[name] for name, grid in grids.items()}

    x = np.stack([_lag(grids[name], lag) for name, lag in lagged], axis=-1)
    complete = np.isfinite(grids[outcome]) & np.isfinite(x).all(axis=-1)
    differenced = complete & _lag(complete, 1, absent=False)
    if not differenced.any():
        raise NotEstimable("no_two_periods", entity=entity, time=time)
    system = equation == "system"
    used = complete if system else differenced
    kept = used.any(axis=1)
    grids = {name: grid[kept] for name, grid in grids.items()}
    x, used, differenced, levels = x[kept], used[kept], differenced[kept], complete[kept] & system

    # The design: regressors, period effects, constant. Difference rows above level rows, and zeros where a row is not
    # used (all level rows of difference GMM), so that sums need no mask.
    n, t = used.shape
    years = np.flatnonzero(used.any(axis=0))[int(system) :] if time_dummies else np.arange(0)
    terms = (*regressors, *(f"{time} {periods[year]}" for year in years), *(["constant"] if system else []))
    if n <= len(terms):
        raise NotEstimable("too_few_entities", entity=entity, count=n, terms=len(terms))
    effects = np.hstack([np.arange(t)[:, None] == years, np.ones((t, int(system)))])
    yx = np.concatenate([grids[outcome][..., None], x, np.broadcast_to(effects, (n, *effects.shape))], axis=-1)
    yx = np.concatenate([_where(differenced, yx - _lag(yx, 1)), _where(levels, yx)], axis=1)
    y, x = yx[..., 0], yx[..., 1:]
    if not y[:, :t].any():
        raise NotEstimable("unchanged_outcome", name=outcome, time=time)
    _check_regressors(x.reshape(-1, len(terms)), regressors, time, system, time_dummies)
    z, independent, of_lags, of_levels = _instruments(
        grids, x, differenced, levels, lagged, lag_limits, collapse, own_in_levels=own_instruments == "both"
    )
    transposed = z.transpose(0, 2, 1)
    by_lags = [name in lag_limits for name, _ in lagged]
    return Moments(
        terms=terms,
        instrumented=tuple(itertools.compress(regressors, by_lags)),
        not_instrumented=tuple(name for name, is_by_lags in zip(regressors, by_lags, strict=True) if not is_by_lags),
        outcome=outcome,
        time=time,
        entity=entity,
        y=y,
        x=x,
        z=z,
        differenced=differenced,
        levels=levels,
        of_lags=of_lags,
        of_levels=of_levels,
        independent=independent,
        zx=transposed @ x,
        zy=(transposed @ y[..., None])[..., 0],
        units=scale[outcome] / np.array([*(scale[name] for name, _ in lagged), *[1.0] * effects.shape[1]]),
    )


def estimate(moments: Moments, *, steps: Literal[1, 2] = 2, windmeijer: bool = True) -> DynamicPanelFit:
    """Estimate from moments, as fit does.

    Parameters, and reasons for NotEstimable that concern the estimates, are those of fit.

    Returns
    -------
    DynamicPanelFit
        Estimates, errors, specification tests, counts and warnings.
    """
    if steps not in (1, 2):
        raise ValueError(f"Unknown estimator: {steps=}. Valid are 1 and 2.")
    terms, zx, zy, (n, t) = moments.terms, moments.zx, moments.zy, moments.differenced.shape
    y_changes, x_changes = moments.y[:, :t], moments.x[:, :t]
    first = gmm_step(zx, zy, moments.independent, terms, "instruments")
    first_errors = y_changes - x_changes @ first.estimates
    if np.linalg.norm(first_errors) <= EXACT * np.linalg.norm(y_changes):
        raise NotEstimable("exact_fit", name=moments.outcome)
    clustered = first.scores.T @ first.scores
    second = gmm_step(zx, zy, clustered, terms, "moments of the one-step residuals")

    first_covariance = first.projection @ clustered @ first.projection.T
    final, covariance = first, first_covariance
    if steps == 2:
        final = second
        covariance = _windmeijer(zx, first, second, first_covariance) if windmeijer else second.bread
    variances = np.diag(covariance)
    if variances.min() <= 0:
        raise NotEstimable("variance_not_positive", name=terms[int(variances.argmin())])

    df = first.rank - len(terms)
    sargan = first.distance * 2 * int(moments.differenced.sum()) / float(np.sum(first_errors**2))
    level_hansen, level_df = _level_hansen(moments, clustered, second, df)
    errors = y_changes - x_changes @ final.estimates
    ar1, ar2 = (_serial_correlation(errors, x_changes, final, covariance, order) for order in (1, 2))
    hansen_p, level_hansen_p = _chi2_p(second.distance, df), _chi2_p(level_hansen, level_df)
    ar1_p, ar2_p = _normal_p(ar1), _normal_p(ar2)
    estimates, std_errors = final.estimates * moments.units, np.sqrt(variances) * moments.units
    half_width = special.ndtri(0.975) * std_errors
    return DynamicPanelFit(
        terms=terms,
        estimates=estimates,
        std_errors=std_errors,
        statistics=estimates / std_errors,
        p_values=2 * special.ndtr(-np.abs(estimates / std_errors)),
        conf_low=estimates - half_width,
        conf_high=estimates + half_width,
        covariance_matrix=covariance * np.outer(moments.units, moments.units),
        observation_count=int((moments.levels if moments.levels.any() else moments.differenced).sum()),
        city_count=n,
        instrument_count=moments.z.shape[2],
        hansen_statistic=second.distance,
        hansen_df=df,
        hansen_p=hansen_p,
        sargan_statistic=sargan,
        sargan_df=df,
        sargan_p=_chi2_p(sargan, df),
        level_hansen_statistic=level_hansen,
        level_hansen_df=level_df,
        level_hansen_p=level_hansen_p,
        ar1_statistic=ar1,
        ar1_p=ar1_p,
        ar2_statistic=ar2,
        ar2_p=ar2_p,
        instrumented=moments.instrumented,
        not_instrumented=moments.not_instrumented,
        warnings=(
            *_warnings(moments.z.shape[2], n, moments.entity, hansen_p, level_hansen_p, ar1_p, ar2_p),
            *_near_collinear(moments, second),
        ),
    )


def level_rows(
    sample: pd.DataFrame, outcome: str, regressors: Sequence[str], *, entity: str = "city_id", time: str = "year"
) -> pd.DataFrame:
    """Return the rows of the level equation, with lags as columns: what least squares would be given.

    Parameters, and reasons for NotEstimable that concern the columns, are those of fit.

    Returns
    -------
    DataFrame
        entity, as 0, 1, ..., time, the outcome and the regressors by the names asked for; nothing is missing.
    """
    lagged = [parsed(regressor) for regressor in regressors]
    grids, periods = _on_grid(sample, list(dict.fromkeys((outcome, *(name for name, _ in lagged)))), entity, time)
    columns = {outcome: grids[outcome]}
    columns |= {name: _lag(grids[of], lag) for name, (of, lag) in zip(regressors, lagged, strict=True)}
    entities, times = np.nonzero(np.all([np.isfinite(grid) for grid in columns.values()], axis=0))
    cells = {entity: entities, time: periods[times]}
    return pd.DataFrame(cells | {name: grid[entities, times] for name, grid in columns.items()})


@dataclass(frozen=True)
class GmmStep:
    """One GMM estimate, with A the pseudo-inverse of a covariance of the moments."""

    estimates: Floats  # (k,) bread X'ZA Z'y
    scores: Floats  # (n, l) Z_i'e_i
    bread: Floats  # (k, k) inverse of X'ZAZ'X
    projection: Floats  # (k, l) bread X'ZA
    weighted: Floats  # (l,) A Z'e
    distance: float  # e'ZAZ'e
    rank: int  # of A


def parsed(regressor: str) -> tuple[str, int]:
    """Return column and lag of a regressor: "gdp" is ("gdp", 0), "L.gdp" ("gdp", 1), "L2.gdp" ("gdp", 2)."""
    lag = re.fullmatch(r"L(\d*)\.(.+)", regressor)
    return (lag[2], int(lag[1] or 1)) if lag else (regressor, 0)


def _check_specification(
    outcome: str, lagged: Sequence[tuple[str, int]], lag_limits: Mapping[str, tuple[int, int | None]]
) -> None:
    """Raise NotEstimable if no sample could answer the specification."""
    names = [name for name, _ in lagged]
    if not names:
        raise NotEstimable("no_regressor")
    if (outcome, 0) in lagged:
        raise NotEstimable("outcome_is_regressor", name=outcome)
    if outcome in names and outcome not in lag_limits:
        raise NotEstimable("lag_without_limits", name=outcome)
    for name, (nearest, farthest) in lag_limits.items():
        least = 2 if name == outcome else 1
        if nearest < least or (farthest is not None and farthest < nearest):
            raise NotEstimable("wrong_lag_limits", name=name, nearest=nearest, farthest=str(farthest), least=least)


def _on_grid(
    sample: pd.DataFrame, columns: Sequence[str], entity: str, time: str
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """Lay columns on the complete grid of entities and periods, so that row order and gaps cannot matter.

    Returns a grid per column, shape (n, t), NaN where the sample has no row, and the periods, shape (t,).
    """
    values = {column: numbers_in(sample, column, may_be_missing=True) for column in columns}
    empty = [column for column in columns if np.isnan(values[column]).all()]
    if len(sample) and empty:
        raise NotEstimable("no_value", column=empty[0])
    entities, times = groups_in(sample, entity), numbers_in(sample, time)
    if len(sample) == 0:
        raise NotEstimable("no_observations")
    if (times != np.round(times)).any():
        raise NotEstimable("not_whole", column=time)
    first, last = times.min(), times.max()
    if last - first >= LONGEST_GRID:
        raise NotEstimable("too_long", time=time, first=first, last=last)
    positions = (times - first).astype(np.intp)
    check_one_row_per_cell(entities, positions, sample, entity, time)
    grids = {column: np.full((int(entities.max()) + 1, int(last - first) + 1), np.nan) for column in columns}
    for column in columns:
        grids[column][entities, positions] = values[column]
    return grids, np.arange(int(first), int(last) + 1)


def _lag(grid: NDArray[Any], lag: int, absent: float = np.nan) -> NDArray[Any]:
    """Shift a grid, shape (n, t, ...), along its periods."""
    shifted = np.full_like(grid, absent)
    shifted[:, lag:] = grid[:, : max(grid.shape[1] - lag, 0)]
    return shifted


def _where(rows: Flags, grid: Floats) -> Floats:
    """Return a grid, shape (n, t, m), with zero outside the rows, shape (n, t), and where it is missing."""
    return np.where(rows[..., None] & np.isfinite(grid), grid, 0.0)


def _first_dependent(columns: Floats, base: Floats) -> tuple[int, list[int]] | None:
    """Find the first of columns, shape (r, m), that a base, shape (r, b), and the columns before it span.

    Returns the column and the earlier ones that it combines: none if the base spans it alone.
    """
    basis = np.linalg.qr(base)[0]
    left = columns - basis @ (basis.T @ columns)
    lengths = np.linalg.norm(left, axis=0)
    spanned = lengths <= SPANNED * np.linalg.norm(columns, axis=0)
    if spanned.any():
        return int(spanned.argmax()), []
    left /= lengths
    collinear = np.abs(np.diag(np.linalg.qr(left, mode="r"))) <= COLLINEAR
    if not collinear.any():
        return None
    j = int(collinear.argmax())
    weights = np.linalg.lstsq(left[:, :j], left[:, j], rcond=None)[0]
    return j, [i for i in range(j) if abs(weights[i]) > COLLINEAR]


def _check_regressors(design: Floats, regressors: Sequence[str], time: str, system: bool, time_dummies: bool) -> None:
    """Raise NotEstimable naming the first regressor of a design, shape (rows, k), that the others span."""
    dependent = _first_dependent(design[:, : len(regressors)], design[:, len(regressors) :])
    if dependent:
        name, earlier = regressors[dependent[0]], [regressors[i] for i in dependent[1]]
        removed = said("effects_removed", effects=time) if time_dummies else NOTHING
        if earlier:
            raise NotEstimable("collinear", name=name, others=both(earlier), removed=removed)
        if system:
            raise NotEstimable("constant_regressor", name=name, removed=removed)
        raise NotEstimable("unchanged_regressor", name=name, time=time, removed=removed)


def _gmm_style(grid: Floats, lags: range, rows: Flags, collapse: bool) -> Floats:
    """Return lags of a grid as instruments of the rows, shape (n, t, lags), or (n, t, t * lags) if not collapsed."""
    lagged = np.zeros((*grid.shape, len(lags)))
    for j, lag in enumerate(lags):
        lagged[..., j] = _lag(grid, lag)
    lagged = _where(rows, lagged)
    if collapse:
        return lagged
    n, t = grid.shape
    by_period = np.zeros((n, t, t, len(lags)))
    by_period[:, np.arange(t), np.arange(t)] = lagged
    return by_period.reshape(n, t, -1)


def _instruments(
    grids: Mapping[str, Floats],
    x: Floats,
    differenced: Flags,
    levels: Flags,
    lagged: Sequence[tuple[str, int]],
    lag_limits: Mapping[str, tuple[int, int | None]],
    collapse: bool,
    own_in_levels: bool,
) -> tuple[Floats, Floats, Flags, Flags]:
    """Build the instruments, scaled to unit length of B'Z, so that no tolerance depends on units.

    Returns
    -------
    z : ndarray, shape (n, 2t, l)
        Difference rows above level rows, as in the design x; columns of zeros are dropped.
    independent : ndarray, shape (l, l)
        Covariance of the moments under independent errors.
    of_lags, of_levels : ndarray of bool, shape (l,)
        The GMM-style instruments, and those of the level equation.
    """
    t = differenced.shape[1]
    in_changes, in_levels = ((0, 0), (0, t), (0, 0)), ((0, 0), (t, 0), (0, 0))
    own = x[..., [j for j, (name, _) in enumerate(lagged) if name not in lag_limits]]
    effects = x[..., len(lagged) :].copy()
    if not own_in_levels:
        own[:, t:] = 0.0
    if levels.any():
        effects[:, :t] = 0.0
    blocks = [own, effects]
    themselves = own.shape[2] + effects.shape[2]
    for name, (nearest, farthest) in lag_limits.items():
        lags = range(nearest, t if farthest is None else min(farthest + 1, t))
        blocks.append(np.pad(_gmm_style(grids[name], lags, differenced, collapse), in_changes))
    others = sum(block.shape[2] for block in blocks)
    for name, (nearest, _) in lag_limits.items():
        change = grids[name] - _lag(grids[name], 1)
        blocks.append(np.pad(_gmm_style(change, range(nearest - 1, nearest), levels, collapse), in_levels))
    z = np.concatenate(blocks, axis=2)
    present = z.any(axis=(0, 1))
    z, positions = z[..., present], np.flatnonzero(present)

    # B'Z_i of all entities: half'half is Z'HZ.
    half = z[:, t:] + z[:, :t]  # a level row holds e_t, a difference row e_t
    half[:, :-1] -= z[:, 1:t]  # ... less e_(t-1)
    norms = np.linalg.norm(half, axis=(0, 1))
    norms[norms == 0] = 1.0
    half = (half / norms).reshape(-1, len(norms))
    return z / norms, half.T @ half, positions >= themselves, positions >= others


def root_of_inverse(covariance: Floats) -> Floats:
    """Return F, shape (l, r), such that FF' is the pseudo-inverse of a covariance of rank r, shape (l, l)."""
    values, vectors = np.linalg.eigh(covariance)
    regular = values > SINGULAR * max(float(values[-1]), 0.0)
    root: Floats = vectors[:, regular] / np.sqrt(values[regular])
    return root


def gmm_step(zx: Floats, zy: Floats, covariance: Floats, terms: Sequence[str], of: str) -> GmmStep:
    """Estimate k terms with the weights that a covariance of the moments, shape (l, l), implies.

    Takes Z_i'X_i, shape (n, l, k), and Z_i'y_i, shape (n, l). Raises NotEstimable, naming what the weights are of, if
    they do not identify every term.
    """
    root = root_of_inverse(covariance)
    if root.shape[1] < len(terms):
        raise NotEstimable("too_few_instruments", count=root.shape[1], weights=of, terms=len(terms))
    seen = (root.T @ zx.sum(axis=0))[:, ::-1]  # the effects first, so that the reason names a regressor
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
    """Correct the two-step covariance for the variance of its weights, shape (k, k).

    D is the derivative of the two-step estimates with respect to the one-step ones (Windmeijer 2005, equation 3.2).
    """
    by_term = np.tensordot(first.scores @ second.weighted, zx, axes=1)  # sum of (e_i'Z_i A Z'e) Z_i'x_i
    by_term += first.scores.T @ np.tensordot(zx, second.weighted, axes=(1, 0))  # ... and of Z_i'e_i (x_i'Z_i A Z'e)
    d = second.projection @ by_term
    return second.bread + d @ second.bread + second.bread @ d.T + d @ first_covariance @ d.T


def _level_hansen(moments: Moments, clustered: Floats, full: GmmStep, df: int) -> tuple[float, int]:
    """Return statistic and degrees of freedom of the difference-in-Hansen test of the level instruments.

    The restricted fit keeps the full fit's covariance of the moments, so that the difference is not negative.
    """
    rest = np.flatnonzero(~moments.of_levels)
    if len(rest) == len(moments.of_levels):
        return np.nan, 0
    square = np.ix_(rest, rest)
    try:
        without = gmm_step(moments.zx[:, rest], moments.zy[:, rest], clustered[square], moments.terms, "rest")
    except NotEstimable:
        return np.nan, 0
    rest_df = root_of_inverse(moments.independent[square]).shape[1] - len(moments.terms)
    return full.distance - without.distance, df - rest_df


def _serial_correlation(errors: Floats, x: Floats, final: GmmStep, covariance: Floats, order: int) -> float:
    """Return the Arellano-Bond z statistic of an order; NaN if no entity has residuals that far apart.

    Takes differenced residuals, shape (n, t), and design, shape (n, t, k). The variance has the term of the residuals,
    that of the estimates, and the covariance of the two.
    """
    earlier = _lag(errors, order, absent=0.0)
    products = (earlier * errors).sum(axis=1)
    slope = np.tensordot(earlier, x, axes=2)
    variance = (
        products @ products - 2 * slope @ final.projection @ (final.scores.T @ products) + slope @ covariance @ slope
    )
    return float(products.sum() / np.sqrt(variance)) if variance > 0 else np.nan


def _near_collinear(moments: Moments, second: GmmStep) -> tuple[Sentence, ...]:
    """Return a warning if the moments hardly tell regressors apart: their slopes are then large and of opposite sign.

    The variance inflation of a regressor is 1/(1 - R2) of its weighted moments on those of the other regressors, once
    those of the period effects and the constant are removed: the diagonal of the inverse of the correlation of the
    two-step slopes.
    """
    slopes = second.bread[: len(moments.regressors), : len(moments.regressors)]
    lengths = np.sqrt(np.diag(slopes))
    values, vectors = np.linalg.eigh(slopes / np.outer(lengths, lengths))
    inflation = (vectors**2 / np.maximum(values, SINGULAR)).sum(axis=1)
    inflated = [name for name, factor in zip(moments.regressors, inflation, strict=True) if factor > INFLATED]
    return (said("near_collinear", names=both(inflated), factor=float(inflation.max())),) if inflated else ()


def _normal_p(z: float) -> float:
    """Return the two-sided p-value of a z statistic."""
    return float(2 * special.ndtr(-abs(z)))


def _chi2_p(statistic: float, df: int) -> float:
    """Return the p-value of a chi-squared statistic, NaN if there is nothing to test."""
    return float(special.chdtrc(df, statistic)) if df > 0 else np.nan


def _warnings(
    instruments: int, cities: int, entity: str, hansen_p: float, level_hansen_p: float, ar1_p: float, ar2_p: float
) -> tuple[Sentence, ...]:
    """Return what a reader must be told beside the estimates."""
    found = []
    if instruments > cities:
        found.append(said("more_instruments_than_entities", instruments=instruments, entity=entity, count=cities))
    if ar1_p >= REJECTED:
        found.append(said("ar1_does_not_reject", p=ar1_p))
    if ar2_p < REJECTED:
        found.append(said("ar2_rejects", p=ar2_p))
    if np.isnan(ar2_p):
        found.append(said("no_ar2"))
    if hansen_p < REJECTED:
        found.append(said("hansen_rejects", p=hansen_p))
    if level_hansen_p < REJECTED:
        found.append(said("level_hansen_rejects", p=level_hansen_p))
    if hansen_p >= ALL_PASS:
        found.append(said("hansen_cannot_reject"))
    return tuple(found)
