"""Event study around one date: equation 3 of the paper, with the joint test of its path before the event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats, groups_in, numbers_in
from ai_manufacturing.estimators.fixed_effects import Covariance, FixedEffectsFit, UnclusteredErrors
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence

Endpoints = Literal["kept", "binned", "dropped"]

SINGULAR = 1e-10  # an eigenvalue of a correlation matrix below this share of the largest is rounding error


@dataclass(frozen=True)
class WaldTest:
    """A joint test that several coefficients are zero, or have other given values.

    Attributes
    ----------
    terms : tuple of str
        The coefficients tested.
    statistic : float
        F: the Wald statistic over its number of restrictions.
    df1, df2 : int
        Degrees of freedom of F: the number of terms, and that of t in the fit (G-1 for clustered errors).
    p_value : float
        Upper tail of F(df1, df2).
    """

    terms: tuple[str, ...]
    statistic: float
    df1: int
    df2: int
    p_value: float


@dataclass(frozen=True, eq=False)
class EventStudyFit(FixedEffectsFit):
    """Estimates of an event study; the event's terms come first and in order of time, then the controls.

    Attributes
    ----------
    event_times : tuple of int
        Years since the event of the leading terms; a pooled endpoint has the year nearest the event.
    pre_trend : WaldTest or None
        That all terms before the event are zero together; None if there is no such test.
    pre_trend_reason : str or None
        Why there is none.
    treated_count, control_count : int
        Cities of either kind that the estimates rest on, after singletons are dropped.
    unclustered : UnclusteredErrors
        Errors that ignore that a city's years are alike, beside those of the fit.
    outside_window_count : int
        Rows of the sample outside the window: given terms of their own, pooled or dropped, as endpoints says.
    """

    event_times: tuple[int, ...]
    pre_trend: WaldTest | None
    pre_trend_reason: Sentence | None
    treated_count: int
    control_count: int
    unclustered: UnclusteredErrors
    outside_window_count: int


def term(event_time: int) -> str:
    """Name years since the event as the paper prints them: before5, current, after3."""
    if event_time == 0:
        return "current"
    return f"before{-event_time}" if event_time < 0 else f"after{event_time}"


def wald(fit: FixedEffectsFit, terms: Sequence[str], values: Sequence[float] | None = None) -> WaldTest:
    """Test that coefficients have given values together, with the covariance of their fit.

    Parameters
    ----------
    fit : FixedEffectsFit
    terms : sequence of str
        Some of fit.terms.
    values : sequence of float, optional
        The hypothesis, a value per term; the default is zero for all.

    Returns
    -------
    WaldTest
        F = d' V^-1 d / q with q terms and d the estimates less the values, on F(q, degrees of freedom of t).

    Raises
    ------
    NotEstimable
        If the covariance of the terms is singular: errors of zero, or fewer clusters than restrictions.

    References
    ----------
    Stata's test after a clustered regression, and fixest's wald: F(q, G-1). Cameron and Miller (2015), section VII.
    """
    positions = [fit.terms.index(name) for name in terms]
    if not positions:
        raise NotEstimable("nothing_to_test")
    errors = fit.std_errors[positions]
    if (errors == 0).any():
        raise NotEstimable("exact_joint_test", terms=terms)
    # In units of the errors, so that the check does not depend on those of the regressors.
    correlations = fit.covariance_matrix[np.ix_(positions, positions)] / np.outer(errors, errors)
    strengths, directions = np.linalg.eigh(correlations)
    rank = int((strengths > SINGULAR * strengths[-1]).sum())
    if rank < len(positions):
        raise NotEstimable(
            "singular_joint_test", terms=terms, rank=rank, count=len(positions), degrees=fit.degrees_of_freedom
        )
    distances = fit.estimates[positions] - (0.0 if values is None else np.asarray(values, dtype=float))
    scores = directions.T @ (distances / errors)
    statistic = float(np.sum(scores**2 / strengths)) / len(positions)
    return WaldTest(
        terms=tuple(terms),
        statistic=statistic,
        df1=len(positions),
        df2=int(fit.degrees_of_freedom),
        p_value=float(special.fdtrc(len(positions), fit.degrees_of_freedom, statistic)),
    )


def fit(
    sample: pd.DataFrame,
    outcome: str,
    treatment: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    controls: Sequence[str] = (),
    endpoints: Endpoints = "kept",
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
    covariance: Covariance = "clustered",
) -> EventStudyFit:
    """Regress an outcome on treatment times each year, with entity and period effects.

    Every coefficient is a difference from the omitted year, which has no term and no row: its zero is not an
    estimate. All cities are treated at one date, so that none of them serves as a control after its own treatment,
    and the weights of staggered designs do not arise.

    Parameters
    ----------
    sample : DataFrame
        One row per entity and year; no missing values in the columns named below.
    outcome : str
        Column of the dependent variable.
    treatment : str
        Column that is 1 for treated cities and 0 for the others, in every year.
    event_year, omitted_year : int
        The year of `current`, and the year that the others are measured against.
    window : tuple of int
        First and last year since the event that the paper prints.
    controls : sequence of str
        Columns of further regressors.
    endpoints : {"kept", "binned", "dropped"}
        Years outside the window have terms of their own; are pooled into the first and the last term of the window;
        or leave the sample.
    entity, time : str
        Columns of the two effects; time holds years.
    cluster : str, optional
        Column of the clusters; the default is the entity.
    covariance : {"clustered", "iid", "robust"}
        As in fixed_effects.fit; the pre-trend test uses it too.

    Returns
    -------
    EventStudyFit
        Estimates, errors, counts and the joint test of the terms before the event.

    Raises
    ------
    NotEstimable
        With a sentence, if: the treatment is not 0 or 1, or varies within a city; the omitted year is absent; there
        are fewer than two treated or two untreated clusters (cities, if errors are not clustered), of which a single
        one would be fitted exactly and lend the errors nothing; a year has cities of one kind only; or for any
        reason of fixed_effects.fit.
    ValueError
        If the omitted year is outside the window.

    Notes
    -----
    Without controls and with every city in every year, a coefficient is the change in the mean of treated cities
    since the omitted year less that of the others. A pre-trend test that does not reject does not show parallel
    trends: it may lack power.

    References
    ----------
    Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4); on endpoints, Schmidheiny and Siegloch
    (2023), Journal of Applied Econometrics 38(5); on pre-trend tests, Roth (2022), AER: Insights 4(3); on few treated
    clusters, MacKinnon and Webb (2017), Journal of Applied Econometrics 32(2).
    """
    data = interacted(
        sample,
        treatment,
        event_year=event_year,
        omitted_year=omitted_year,
        window=window,
        endpoints=endpoints,
        entity=entity,
        time=time,
        cluster=cluster,
    )
    taken = [name for name in data.terms if name in (outcome, *controls)]
    if taken:
        raise ValueError(f"Column {taken[0]} has the name of a term of the event study.")
    regressors = [*data.terms, *controls]
    estimated = fixed_effects.fit(
        data.sample, outcome, regressors, entity=entity, time=time, cluster=cluster, covariance=covariance
    )
    pre_trend, reason = pre_trend_test(
        estimated, [term(event_time) for event_time in data.event_times if event_time < 0]
    )
    return EventStudyFit(
        **vars(estimated),
        event_times=data.event_times,
        pre_trend=pre_trend,
        pre_trend_reason=reason,
        treated_count=data.treated_count,
        control_count=data.control_count,
        unclustered=fixed_effects.unclustered_errors(estimated.regression),
        outside_window_count=data.outside_window_count,
    )


class Interacted(NamedTuple):
    """A sample with the terms of an event study, for whatever estimator (Poisson takes them as regressors).

    Attributes
    ----------
    sample : DataFrame
        Rows of the window, with a column per term.
    terms : tuple of str
    event_times, treated_count, control_count, outside_window_count
        As in EventStudyFit.
    """

    sample: pd.DataFrame
    terms: tuple[str, ...]
    event_times: tuple[int, ...]
    treated_count: int
    control_count: int
    outside_window_count: int


def interacted(
    sample: pd.DataFrame,
    treatment: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    endpoints: Endpoints = "kept",
    entity: str = "city_id",
    time: str = "year",
    cluster: str | None = None,
) -> Interacted:
    """Add treatment times each year to a sample, checked as fit does.

    Parameters, and reasons for NotEstimable and ValueError, are those of fit.
    """
    event_times, outside = event_times_in(
        sample, time, event_year=event_year, omitted_year=omitted_year, window=window, endpoints=endpoints
    )
    omitted = omitted_year - event_year
    grouped = entity if cluster is None else cluster
    for name in dict.fromkeys((entity, grouped)):
        groups_in(sample, name)  # raises where a label is missing
    treated = _treated(sample, treatment, entity)
    if endpoints == "dropped":
        sample, treated, event_times = sample[~outside], treated[~outside], event_times[~outside]

    cells = [groups_in(sample, name) for name in (entity, time)]
    kept = fixed_effects.rows_without_singletons(*cells)
    _check_support(sample.iloc[kept], treated[kept], event_times[kept], event_year, omitted, grouped)
    cities = sample[entity].iloc[kept]

    times = [int(event_time) for event_time in np.unique(event_times[kept]) if event_time != omitted]
    if not times:
        raise NotEstimable("only_omitted_year", year=omitted_year)
    terms = {term(event_time): (treated & (event_times == event_time)).astype(float) for event_time in times}
    return Interacted(
        sample=sample.assign(**terms),
        terms=tuple(terms),
        event_times=tuple(times),
        treated_count=int(cities[treated[kept]].nunique()),
        control_count=int(cities[~treated[kept]].nunique()),
        outside_window_count=int(outside.sum()),
    )


def event_times_in(
    sample: pd.DataFrame,
    time: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    endpoints: Endpoints,
) -> tuple[Codes, NDArray[np.bool_]]:
    """Return years since the event of each row, pooled where endpoints says so, and which rows the window leaves out.

    Parameters, and reasons for NotEstimable and ValueError, are those of fit.
    """
    first, last = window
    if not first <= omitted_year - event_year <= last:
        raise ValueError(
            f"The omitted year {omitted_year} is outside the window {event_year + first}-{event_year + last}."
        )
    if len(sample) == 0:
        raise NotEstimable("no_observations")
    groups_in(sample, time)  # raises where a year is missing
    event_times = _years(sample, time) - event_year
    outside = (event_times < first) | (event_times > last)
    return (np.clip(event_times, first, last) if endpoints == "binned" else event_times), outside


def pre_trend_test(estimated: FixedEffectsFit, terms: Sequence[str]) -> tuple[WaldTest | None, Sentence | None]:
    """Return the joint test of the terms before the event, or the reason why there is none."""
    if not terms:
        return None, sentence("no_pre_trend")
    try:
        return wald(estimated, terms), None
    except NotEstimable as finding:
        return None, finding.reason


def _treated(sample: pd.DataFrame, treatment: str, entity: str) -> NDArray[np.bool_]:
    """Return who is treated, shape (n,) of bool, or raise NotEstimable if that is not a fixed trait of a city."""
    values = numbers_in(sample, treatment)
    odd = (values != 0) & (values != 1)
    if odd.any():
        raise NotEstimable("not_binary", column=treatment, value=values[odd][0])
    shares = pd.Series(values, index=sample.index).groupby(sample[entity]).transform("mean").to_numpy()
    varying = (shares > 0) & (shares < 1)
    if varying.any():
        name = sample[entity].iloc[int(varying.argmax())]
        raise NotEstimable("moving_treatment", entity=entity, name=name, column=treatment)
    treated: NDArray[np.bool_] = values == 1
    return treated


def _years(sample: pd.DataFrame, time: str) -> Codes:
    """Return the years as whole numbers, shape (n,)."""
    values: Floats = numbers_in(sample, time)
    odd = values != np.round(values)
    if odd.any():
        raise NotEstimable("not_whole_years", column=time, value=values[odd][0])
    return values.astype(np.intp)


def _check_support(
    rows: pd.DataFrame, treated: NDArray[np.bool_], event_times: Codes, event_year: int, omitted: int, grouped: str
) -> None:
    """Raise NotEstimable if a comparison lacks one of its two sides, or has a single cluster on it."""
    if not (event_times == omitted).any():
        raise NotEstimable("no_omitted_year", year=event_year + omitted)
    for kind, members in (("treated", treated), ("untreated", ~treated)):
        count = rows[grouped][members].nunique()
        if count == 0:
            raise NotEstimable("no_such_city", kind=kind)
        if count == 1:
            raise NotEstimable("one_such_cluster", cluster=grouped, name=rows[grouped][members].iloc[0], kind=kind)
        absent = np.setdiff1d(event_times, event_times[members])
        if len(absent):
            years = [str(event_year + event_time) for event_time in absent]
            raise NotEstimable("no_such_city_in", kind=kind, years=years)
