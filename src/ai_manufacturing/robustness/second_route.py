"""The paper's columns by a second route: PanelOLS, and system GMM by IVGMM of linearmodels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, of_each
from ai_manufacturing.estimation.specifications import (
    COVARIANCES,
    DynamicPanelOptions,
    EventStudyOptions,
    Specification,
)
from ai_manufacturing.estimation.tables import lagged
from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.dynamic_panel import Controls, parsed
from ai_manufacturing.estimators.not_estimable import NotEstimable


def second_route(specifications: Iterable[Specification], inputs: Inputs) -> pa.Table:
    """Estimate the paper's columns by PanelOLS, the dynamic panel by IVGMM.

    A column is estimated as the paper reads, and clustered by province.

    Parameters
    ----------
    specifications : iterable of Specification
        Those of estimators fixed_effects, event_study and dynamic_panel.
    inputs : Inputs
        The tables they draw on.

    Returns
    -------
    Table
        One row per specification and term, in the columns of est_second_route; not_estimable with
        the reason where there is no sample, or the second route refuses it.
    """

    def is_asked(specification: Specification) -> bool:
        cluster = COVARIANCES[specification.covariance][1]
        is_read = specification.reading == "default" or cluster == "province_id"
        return cluster is not None and is_read and bool(inputs.printed(specification))

    def rows_of(specification: Specification) -> Iterator[Row]:
        try:
            terms, numbers = _by_second_route(specification, inputs)
        # What the second route refuses, the first must refuse too: the gate looks for the numbers
        # of both.
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise NotEstimable(
                "refused_by_second_route", error=str(error).splitlines()[0]
            ) from error
        for term, estimate, std_error in zip(terms, *numbers, strict=True):
            yield {"term": term, "estimate": float(estimate), "std_error": float(std_error)}

    def instead(specification: Specification) -> Row:
        return {"term": specification.regressor}

    return of_each(filter(is_asked, specifications), inputs, "est_second_route", rows_of, instead)


def _by_second_route(
    specification: Specification, inputs: Inputs
) -> tuple[Sequence[str], tuple[Floats, Floats]]:
    """Return the terms, and their coefficients and errors."""
    if isinstance(options := specification.options, DynamicPanelOptions):
        if (options.equation, options.steps, options.collapse) != ("system", 2, True):
            raise ValueError(
                "IVGMM is given a system in two steps with collapsed instruments, and no other"
            )
        terms, instrumented = lagged(specification, options)
        rows, limits = inputs.sample(specification).rows, dict.fromkeys(instrumented, options.lags)
        return terms, by_ivgmm(rows, specification.outcome, terms, limits, options.controls)
    sample, terms = _with_dummies(specification, inputs)
    cluster = str(COVARIANCES[specification.covariance][1])
    return terms, by_panel_ols(
        sample, specification.outcome, terms, time=specification.period, cluster=cluster
    )


def _with_dummies(specification: Specification, inputs: Inputs) -> tuple[pd.DataFrame, list[str]]:
    """Return the raw sample and the regressors; years of an event study are made here anew."""
    rows = inputs.sample(specification).rows
    if not isinstance(specification.options, EventStudyOptions):
        return rows, [*specification.terms]
    is_treated = rows[specification.regressor] != inputs.reference_group(specification.regressor)
    event_times = rows["year"] - inputs.event_year
    if specification.options.endpoints == "binned":
        event_times = event_times.clip(*inputs.event_window)
    dummies = {
        event_study.term(event_time): (is_treated & (event_times == event_time)).astype(float)
        for event_time in sorted(event_times.unique())
        if event_time != -1
    }
    return rows.assign(**dummies), [*dummies, *specification.controls]


def by_panel_ols(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> tuple[Floats, Floats]:
    """Estimate as fixed_effects.fit does, by PanelOLS: the two routes share no step.

    Parameters
    ----------
    sample : DataFrame
        The observations, singletons dropped; entity city_id.
    outcome, regressors, time, cluster
        As in fixed_effects.fit.

    Returns
    -------
    estimates, std_errors : ndarray, shape (k,)
        Coefficients; clustered errors with fixest's factor in place of PanelOLS's own corrections.

    Raises
    ------
    ValueError
        If PanelOLS finds a regressor absorbed by the effects.
    """
    from linearmodels.panel import PanelOLS  # here, as the import takes a second
    from linearmodels.panel.utility import AbsorbingEffectError

    # Numbers in the place of labels, by which pandas groups faster.
    labels = {name: pd.factorize(sample[name], sort=True)[0] for name in ("city_id", time)}
    rows = sample[[outcome, *regressors]].set_index(
        pd.MultiIndex.from_arrays([*labels.values()], names=[*labels])
    )
    clusters = pd.DataFrame({"cluster": pd.factorize(sample[cluster])[0]}, index=rows.index)
    model = PanelOLS(
        rows[outcome],
        rows[list(regressors)],
        entity_effects=True,
        time_effects=True,
        check_rank=False,
    )
    options = {"debiased": False, "group_debias": False, "auto_df": False, "count_effects": False}
    try:
        result = model.fit(cov_type="clustered", clusters=clusters, **options)
    except AbsorbingEffectError as error:
        raise ValueError(str(error)) from error
    # Written out, as cluster_factor would hide its own fault from the comparison.
    observations, groups = len(sample), sample[cluster].nunique()
    factor = (
        groups
        / (groups - 1)
        * (observations - 1)
        / (observations - len(regressors) - sample[time].nunique())
    )
    return result.params.to_numpy(dtype=float), np.sqrt(factor) * result.std_errors.to_numpy(
        dtype=float
    )


def by_ivgmm(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    controls: Controls = "difference",
) -> tuple[Floats, Floats]:
    """Estimate as dynamic_panel.fit does, by IVGMM on stacked rows: the routes share no step.

    Parameters
    ----------
    sample, outcome, regressors, lag_limits, controls
        As in dynamic_panel.fit, with entity city_id and time year: a system in two steps,
        instruments collapsed.

    Returns
    -------
    estimates, std_errors : ndarray, shape (k,)
        Those of the regressors: coefficients of IVGMM with weights clustered by city, and their
        errors with Windmeijer's correction.

    Raises
    ------
    ValueError
        If IVGMM finds instruments or regressors that are linear combinations of others.
    """
    from linearmodels.iv import IVGMM  # here, as the import takes a second

    y, x, z, cities, half = _stacked(sample, outcome, regressors, lag_limits, controls)
    model = IVGMM(y, None, x, z, weight_type="clustered", clusters=cities)
    independent = np.asarray(np.linalg.inv(half.T @ half), dtype=float)
    one, two = (
        model.fit(
            iter_limit=steps, initial_weight=independent, cov_type="clustered", clusters=cities
        )
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
    slopes = np.column_stack(
        [(product + product.T) @ weights @ z.T @ second for product in products]
    )
    d = bread @ x.T @ z @ weights @ slopes
    covariance = bread + d @ bread + bread @ d.T + d @ one.cov.to_numpy() @ d.T
    slope_count = len(regressors)
    return two.params.to_numpy()[:slope_count], np.sqrt(np.diag(covariance))[:slope_count]


def _stacked(
    sample: pd.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    lag_limits: Mapping[str, tuple[int, int | None]],
    controls: Controls,
) -> tuple[Floats, Floats, Floats, Codes, Floats]:
    """Return outcome, design, instruments, cities and B'Z; difference rows above level rows.

    B = [D; I]: where errors are independent, B'Z squared is the covariance of the moments.
    """
    lags = [parsed(regressor) for regressor in regressors]
    years = range(int(sample["year"].min()), int(sample["year"].max()) + 1)
    names = dict.fromkeys((outcome, *(name for name, _ in lags), *lag_limits))
    of_years = sample.set_index(["city_id", "year"])
    wide = {}
    for name in names:
        grid = of_years[name].unstack("year")  # noqa: PD010  one row a cell
        wide[name] = grid.reindex(columns=years)
    design = {
        regressor: wide[name].shift(lag, axis=1)
        for regressor, (name, lag) in zip(regressors, lags, strict=True)
    }
    is_level = np.all([grid.notna() for grid in (wide[outcome], *design.values())], axis=0)
    is_change = is_level & np.pad(is_level, ((0, 0), (1, 0)))[:, :-1]

    def stacked(of_changes: pd.DataFrame, of_levels: pd.DataFrame) -> Floats:
        rows: Floats = np.concatenate(
            (of_changes.to_numpy()[is_change], of_levels.to_numpy()[is_level])
        )
        return np.nan_to_num(rows)

    def change(grid: pd.DataFrame) -> pd.DataFrame:
        return grid - grid.shift(1, axis=1)

    zero = 0 * wide[outcome]
    effects = [zero + (zero.columns == year) for year in zero.columns[is_level.any(axis=0)][1:]] + [
        zero + 1
    ]
    y, *x = (stacked(change(grid), grid) for grid in (wide[outcome], *design.values(), *effects))
    z = [stacked(zero, effect) for effect in effects]
    z += [
        stacked(change(grid), grid if controls == "both" else zero)
        for grid, (name, _) in zip(design.values(), lags, strict=True)
        if name not in lag_limits
    ]
    for name, (nearest, farthest) in lag_limits.items():
        distances = range(nearest, min(farthest or len(years), len(years) - 1) + 1)
        z += [stacked(wide[name].shift(distance, axis=1), zero) for distance in distances]
        z.append(stacked(zero, change(wide[name]).shift(nearest - 1, axis=1)))
    instruments = np.column_stack([column / np.linalg.norm(column) for column in z if column.any()])

    changes, levels = np.nonzero(is_change), np.nonzero(is_level)
    # A level row holds the error of its year, a difference row that less the error of the year
    # before.
    half = np.zeros((*is_level.shape, instruments.shape[1]))
    half[levels] += instruments[len(changes[0]) :]
    half[changes] += instruments[: len(changes[0])]
    half[changes[0], changes[1] - 1] -= instruments[: len(changes[0])]
    cities = np.concatenate([changes[0], levels[0]])
    return y, np.column_stack(x), instruments, cities, half.reshape(-1, instruments.shape[1])
