"""System GMM by the IVGMM of linearmodels: a second route to what dynamic_panel gives."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.dynamic_panel import parsed


def by_ivgmm(
    sample: pd.DataFrame, outcome: str, regressors: Sequence[str], lag_limits: Mapping[str, tuple[int, int | None]]
) -> tuple[Floats, Floats]:
    """Estimate as dynamic_panel.fit does by default, by IVGMM on stacked rows: a second route that shares no step.

    Parameters
    ----------
    sample, outcome, regressors, lag_limits
        As in dynamic_panel.fit, with entity city_id and time year: a system in two steps, instruments collapsed.

    Returns
    -------
    estimates, std_errors : ndarray, shape (k,)
        Of the regressors: coefficients of IVGMM with weights clustered by city, and their errors with Windmeijer's
        correction.

    Raises
    ------
    ValueError
        If IVGMM finds instruments or regressors that are linear combinations of others.
    """
    from linearmodels.iv import IVGMM  # here, as the import takes a second

    y, x, z, cities, half = _stacked(sample, outcome, regressors, lag_limits)
    model = IVGMM(y, None, x, z, weight_type="clustered", clusters=cities)
    independent = np.asarray(np.linalg.inv(half.T @ half), dtype=float)
    one, two = (
        model.fit(iter_limit=steps, initial_weight=independent, cov_type="clustered", clusters=cities)
        for steps in (1, 2)
    )
    first, second = (y - x @ result.params.to_numpy() for result in (one, two))

    # Windmeijer (2005): the weights of the second step depend on the estimates of the first.
    def by_city(column: Floats) -> Floats:
        sums: Floats = pd.DataFrame(z * column[:, None]).groupby(cities).sum().to_numpy()
        return sums

    scores = by_city(first)
    weights = np.linalg.inv(scores.T @ scores)
    bread = np.linalg.inv(x.T @ z @ weights @ z.T @ x)
    products = [by_city(column).T @ scores for column in x.T]
    slopes = np.column_stack([(product + product.T) @ weights @ z.T @ second for product in products])
    d = bread @ x.T @ z @ weights @ slopes
    covariance = bread + d @ bread + bread @ d.T + d @ one.cov.to_numpy() @ d.T
    slope_count = len(regressors)
    return two.params.to_numpy()[:slope_count], np.sqrt(np.diag(covariance))[:slope_count]


def _stacked(
    sample: pd.DataFrame, outcome: str, regressors: Sequence[str], lag_limits: Mapping[str, tuple[int, int | None]]
) -> tuple[Floats, Floats, Floats, Codes, Floats]:
    """Return outcome, design, instruments and cities of the difference rows above the level rows, and B'Z.

    B = [D; I]: where errors are independent, B'Z squared is the covariance of the moments.
    """
    lags = [parsed(regressor) for regressor in regressors]
    years = range(int(sample["year"].min()), int(sample["year"].max()) + 1)
    names = dict.fromkeys((outcome, *(name for name, _ in lags), *lag_limits))
    of_years = sample.set_index(["city_id", "year"])
    wide = {name: of_years[name].unstack("year").reindex(columns=years) for name in names}  # noqa: PD010  one row a cell
    design = {regressor: wide[name].shift(lag, axis=1) for regressor, (name, lag) in zip(regressors, lags, strict=True)}
    is_level = np.all([grid.notna() for grid in (wide[outcome], *design.values())], axis=0)
    is_change = is_level & np.pad(is_level, ((0, 0), (1, 0)))[:, :-1]

    def stacked(of_changes: pd.DataFrame, of_levels: pd.DataFrame) -> Floats:
        rows: Floats = np.concatenate((of_changes.to_numpy()[is_change], of_levels.to_numpy()[is_level]))
        return np.nan_to_num(rows)

    def change(grid: pd.DataFrame) -> pd.DataFrame:
        return grid - grid.shift(1, axis=1)

    zero = 0 * wide[outcome]
    effects = [zero + (zero.columns == year) for year in zero.columns[is_level.any(axis=0)][1:]] + [zero + 1]
    y, *x = (stacked(change(grid), grid) for grid in (wide[outcome], *design.values(), *effects))
    z = [stacked(zero, effect) for effect in effects]
    z += [
        stacked(change(grid), zero)
        for grid, (name, _) in zip(design.values(), lags, strict=True)
        if name not in lag_limits
    ]
    for name, (nearest, farthest) in lag_limits.items():
        distances = range(nearest, min(farthest or len(years), len(years) - 1) + 1)
        z += [stacked(wide[name].shift(distance, axis=1), zero) for distance in distances]
        z.append(stacked(zero, change(wide[name]).shift(nearest - 1, axis=1)))
    instruments = np.column_stack([column / np.linalg.norm(column) for column in z if column.any()])

    changes, levels = np.nonzero(is_change), np.nonzero(is_level)
    # A level row holds the error of its year, a difference row that less the error of the year before.
    half = np.zeros((*is_level.shape, instruments.shape[1]))
    half[levels] += instruments[len(changes[0]) :]
    half[changes] += instruments[: len(changes[0])]
    half[changes[0], changes[1] - 1] -= instruments[: len(changes[0])]
    cities = np.concatenate([changes[0], levels[0]])
    return y, np.column_stack(x), instruments, cities, half.reshape(-1, instruments.shape[1])
