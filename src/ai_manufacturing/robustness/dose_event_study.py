"""Event study of a dose that every city has: slopes by year of a continuous treatment, or of its terciles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats, groups_in, numbers_in
from ai_manufacturing.estimators.event_study import Endpoints, WaldTest, event_times_in, pre_trend_test, term
from ai_manufacturing.estimators.fixed_effects import Covariance, FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case

Split = Literal["continuous", "terciles"]

TERCILES = ("low", "middle", "high")  # the names of dim_city_groups


def by_year(case: Case, split: Split) -> Iterator[Row]:
    """Give the slopes by year of an event study whose dose is the value that groups its cities."""
    specification, inputs = case.specification, case.inputs
    doses = inputs.value_of(specification.regressor, case.sample.rows["city_id"])
    estimated = fit(
        case.sample.rows.assign(dose=doses).dropna(subset="dose"),
        specification.outcome,
        "dose",
        event_year=inputs.event_year,
        omitted_year=inputs.event_year - 1,
        window=inputs.event_window,
        split=split,
        controls=specification.controls,
    )
    for j in range(len(estimated.event_times)):
        yield {"term": estimated.terms[j], **vars(estimated.inference(j, warnings=estimated.warnings))}


@dataclass(frozen=True, eq=False)
class DoseEventStudyFit(FixedEffectsFit):
    """Estimates of an event study of a dose; the event's terms come first, by group and in order of time.

    Attributes
    ----------
    event_times : tuple of int
        Years since the event of the leading terms; a pooled endpoint has the year nearest the event.
    groups : tuple of str or None
        Tercile of the leading terms, each against the lowest one; None for a continuous dose, where a coefficient is
        a slope: the change in the outcome since the omitted year per unit of dose.
    city_counts : dict of str to int
        Cities of each tercile; empty for a continuous dose.
    pre_trend : WaldTest or None
        That all terms before the event are zero together; None if there is no such test.
    pre_trend_reason : str or None
        Why there is none.
    outside_window_count : int
        Rows of the sample outside the window: given terms of their own, pooled or dropped, as endpoints says.
    warnings : tuple of Sentence
        That only slopes are identified, if no city is without a dose.
    """

    event_times: tuple[int, ...]
    groups: tuple[str | None, ...]
    city_counts: dict[str, int]
    pre_trend: WaldTest | None
    pre_trend_reason: Sentence | None
    outside_window_count: int
    warnings: tuple[Sentence, ...]


def fit(
    sample: pd.DataFrame,
    outcome: str,
    dose: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    split: Split = "continuous",
    controls: Sequence[str] = (),
    endpoints: Endpoints = "kept",
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
    covariance: Covariance = "clustered",
) -> DoseEventStudyFit:
    """Regress an outcome on a dose times each year, with entity and period effects.

    Parameters
    ----------
    sample, outcome, event_year, omitted_year, window, controls, endpoints, entity, time, cluster, covariance
        As in event_study.fit.
    dose : str
        Column of how much of the treatment a city has, in every year the same (a share before the event).
    split : {"continuous", "terciles"}
        The dose itself, or indicators of its middle and its highest third of the cities of the sample: above the
        first and the second tercile, as interpolated between cities.

    Returns
    -------
    DoseEventStudyFit
        Estimates, errors, counts and the joint test of the terms before the event.

    Raises
    ------
    NotEstimable
        With a sentence, if: the dose varies within a city; the omitted year is absent; a tercile has fewer than two
        clusters; or for any reason of fixed_effects.fit, of which a year in which all cities have one dose is one.
    ValueError
        If the omitted year is outside the window, or a control has the name of a term.

    Notes
    -----
    If every city has some of the treatment, no city shows what would have been without it. Only slopes are
    identified: how much more the outcome changed where the dose is higher. The level of the effect of any dose is not,
    and comparing doses asks for more than parallel trends without treatment: cities with a low dose must show what
    cities with a high one would have gained from a low one. A slope over all cities is an average of slopes at each
    dose with weights that need not be those of the cities; the terciles show whether it hides a curve.

    References
    ----------
    Callaway, Goodman-Bacon and Sant'Anna (2024), "Difference-in-differences with a continuous treatment", NBER Working
    Paper 32117.
    """
    event_times, outside = event_times_in(
        sample, time, event_year=event_year, omitted_year=omitted_year, window=window, endpoints=endpoints
    )
    omitted = omitted_year - event_year
    doses = _fixed_doses(sample, dose, entity)
    if endpoints == "dropped":
        sample, doses, event_times = sample[~outside], doses[~outside], event_times[~outside]

    kept = fixed_effects.rows_without_singletons(*(groups_in(sample, name) for name in (entity, time)))
    if omitted not in event_times[kept]:
        raise NotEstimable("no_omitted_year", year=omitted_year)
    times = [int(event_time) for event_time in np.unique(event_times[kept]) if event_time != omitted]
    if not times:
        raise NotEstimable("only_omitted_year", year=omitted_year)

    cities = sample[entity].iloc[kept]
    levels: dict[str | None, Floats | NDArray[np.bool_]] = {None: doses}
    counts: dict[str, int] = {}
    if split == "terciles":
        of_cities = pd.Series(doses[kept]).groupby(cities.to_numpy()).first()
        terciles = np.searchsorted(of_cities.quantile([1 / 3, 2 / 3]), doses)  # equal to a bound is below it
        _check_clusters(sample.iloc[kept], terciles[kept], entity if cluster is None else cluster)
        levels = {TERCILES[group]: terciles == group for group in (1, 2)}
        counts = {name: int(cities[terciles[kept] == group].nunique()) for group, name in enumerate(TERCILES)}

    columns = {
        term(event_time) if group is None else f"{term(event_time)}:{group}": level * (event_times == event_time)
        for group, level in levels.items()
        for event_time in times
    }
    taken = [name for name in columns if name in (outcome, *controls)]
    if taken:
        raise ValueError(f"Column {taken[0]} has the name of a term of the event study.")
    estimated = fixed_effects.fit(
        sample.assign(**{name: column.astype(float) for name, column in columns.items()}),
        outcome,
        [*columns, *controls],
        entity=entity,
        time=time,
        cluster=cluster,
        covariance=covariance,
    )
    times_of_terms = tuple(times) * len(levels)
    pre_trend, reason = pre_trend_test(
        estimated, [name for name, event_time in zip(columns, times_of_terms, strict=True) if event_time < 0]
    )
    return DoseEventStudyFit(
        **vars(estimated),
        event_times=times_of_terms,
        groups=tuple(group for group in levels for _ in times),
        city_counts=counts,
        pre_trend=pre_trend,
        pre_trend_reason=reason,
        outside_window_count=int(outside.sum()),
        warnings=() if (doses[kept] == 0).any() else (sentence("only_slopes", dose=dose),),
    )


def _fixed_doses(sample: pd.DataFrame, dose: str, entity: str) -> Floats:
    """Return the doses, shape (n,), or raise NotEstimable if that is not a fixed trait of a city."""
    doses = numbers_in(sample, dose)
    cities = groups_in(sample, entity)
    varying = pd.Series(doses).groupby(cities).transform("nunique").to_numpy() > 1
    if varying.any():
        raise NotEstimable("moving_dose", entity=entity, name=sample[entity].iloc[int(varying.argmax())], column=dose)
    return doses


def _check_clusters(rows: pd.DataFrame, terciles: NDArray[np.intp], grouped: str) -> None:
    """Raise NotEstimable if a tercile has fewer than two clusters."""
    for group, name in enumerate(TERCILES):
        labels = rows[grouped][terciles == group].unique()
        if len(labels) == 0:
            raise NotEstimable("no_such_city", kind=name)
        if len(labels) == 1:
            raise NotEstimable("one_such_cluster", cluster=grouped, name=labels[0], kind=name)
