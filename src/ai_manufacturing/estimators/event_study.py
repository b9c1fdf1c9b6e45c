"""Event study around one date.

Equation 3 of the paper, with the joint test of its path before the event.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, groups_in, numbers_in
from ai_manufacturing.estimators.fixed_effects import Covariance, FixedEffectsFit, UnclusteredErrors
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence

Endpoints = Literal["kept", "binned", "dropped"]

SINGULAR = (
    1e-10  # an eigenvalue of a correlation matrix below this share of the largest is rounding error
)


@dataclass(frozen=True)
class WaldTest:
    """A joint test that several coefficients are zero.

    Attributes
    ----------
    terms : tuple of str
        The coefficients tested.
    statistic : float
        F: the Wald statistic over its number of restrictions.
    df1, df2 : int
        Degrees of freedom of F: the number of terms, and that of t in the fit (G-1 for clustered
        errors).
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
    """Estimates of an event study.

    The event's terms come first and in order of time, then the controls.

    Attributes
    ----------
    event_times : tuple of int
        Years since the event of the leading terms; a pooled endpoint has the year nearest the
        event.
    pre_trend : WaldTest or None
        That all terms before the event are zero together; None if there is no such test.
    pre_trend_reason : str or None
        Why there is none.
    treated_count : int
        Treated cities that the estimates rest on, after singletons are dropped.
    unclustered : UnclusteredErrors
        Errors that ignore that a city's years are alike, beside those of the fit.
    """

    event_times: tuple[int, ...]
    pre_trend: WaldTest | None
    pre_trend_reason: Sentence | None
    treated_count: int
    unclustered: UnclusteredErrors


def term(event_time: int) -> str:
    """Name years since the event as the paper prints them: before5, current, after3."""
    if event_time == 0:
        return "current"
    return f"before{-event_time}" if event_time < 0 else f"after{event_time}"


def wald(fit: FixedEffectsFit, terms: Sequence[str]) -> WaldTest:
    """Test that coefficients are zero together, with the covariance of their fit.

    Parameters
    ----------
    fit : FixedEffectsFit
    terms : sequence of str
        Some of fit.terms.

    Returns
    -------
    WaldTest
        F = b' V^-1 b / q with q terms and b their estimates, on F(q, degrees of freedom of t).

    Raises
    ------
    NotEstimable
        If the covariance of the terms is singular: errors of zero, or fewer clusters than
        restrictions.

    References
    ----------
    Stata's test after a clustered regression, and fixest's wald: F(q, G-1). Cameron and Miller
    (2015), section VII.
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
            "singular_joint_test",
            terms=terms,
            rank=rank,
            count=len(positions),
            degrees=fit.degrees_of_freedom,
        )
    scores = directions.T @ (fit.estimates[positions] / errors)
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
    cluster: str | None = None,
    covariance: Covariance = "clustered",
) -> EventStudyFit:
    """Regress an outcome on treatment times each year, with city and year effects.

    Every coefficient is a difference from the omitted year, which has no term and no row: its zero
    is not an estimate. All cities are treated at one date, so that none of them serves as a control
    after its own treatment, and the weights of staggered designs do not arise.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and year; no missing values in the columns named below.
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
        Years outside the window have terms of their own; are pooled into the first and the last
        term of the window; or leave the sample.
    cluster : str, optional
        Column of the clusters; the default is the city.
    covariance : {"clustered", "iid", "robust"}
        As in fixed_effects.fit; the pre-trend test uses it too.

    Returns
    -------
    EventStudyFit
        Estimates, errors, counts and the joint test of the terms before the event.

    Raises
    ------
    NotEstimable
        With a sentence, if: the treatment is not 0 or 1, or varies within a city; the omitted year
        is absent; there are fewer than two treated or two untreated clusters (cities, if errors are
        not clustered), of which a single one would be fitted exactly and lend the errors nothing; a
        year has cities of one kind only; or for any reason of fixed_effects.fit.
    ValueError
        If the omitted year is outside the window.

    Notes
    -----
    Without controls and with every city in every year, a coefficient is the change in the mean of
    treated cities since the omitted year less that of the others. A pre-trend test that does not
    reject does not show parallel trends: it may lack power.

    References
    ----------
    Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4); on endpoints, Schmidheiny
    and Siegloch (2023), Journal of Applied Econometrics 38(5); on pre-trend tests, Roth (2022),
    AER: Insights 4(3); on few treated clusters, MacKinnon and Webb (2017), Journal of Applied
    Econometrics 32(2).
    """
    data = interacted(
        sample,
        treatment,
        event_year=event_year,
        omitted_year=omitted_year,
        window=window,
        endpoints=endpoints,
        cluster=cluster,
    )
    check_names(data.terms, (outcome, *controls))
    regressors = [*data.terms, *controls]
    estimated = fixed_effects.fit(
        data.sample, outcome, regressors, cluster=cluster, covariance=covariance
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
        unclustered=fixed_effects.unclustered_errors(estimated.regression),
    )


def check_names(terms: Iterable[str], columns: Sequence[str]) -> None:
    """Raise ValueError if a column has the name of a term."""
    for name in terms:
        if name in columns:
            raise ValueError(f"Column {name} has the name of a term of the event study.")


class Interacted(NamedTuple):
    """A sample with the terms of an event study, for whatever estimator (Poisson takes them as regressors).

    Attributes
    ----------
    sample : DataFrame
        Rows of the window, with a column per term.
    terms : tuple of str
    event_times, treated_count
        As in EventStudyFit.
    """

    sample: pd.DataFrame
    terms: tuple[str, ...]
    event_times: tuple[int, ...]
    treated_count: int


def interacted(
    sample: pd.DataFrame,
    treatment: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    endpoints: Endpoints = "kept",
    cluster: str | None = None,
) -> Interacted:
    """Add treatment times each year to a sample, checked as fit does.

    Parameters, and reasons for NotEstimable and ValueError, are those of fit.
    """
    event_times, outside = event_times_in(
        sample, event_year=event_year, omitted_year=omitted_year, window=window, endpoints=endpoints
    )
    omitted = omitted_year - event_year
    for name in dict.fromkeys(("city_id", cluster or "city_id")):
        groups_in(sample, name)  # raises where a label is missing
    treated = _treated(sample, treatment)
    if endpoints == "dropped":
        sample, treated, event_times = sample[~outside], treated[~outside], event_times[~outside]

    rows = fixed_effects.rows_without_singletons(
        *(groups_in(sample, name) for name in ("city_id", "year"))
    )
    _check_support(
        sample.iloc[rows],
        treated[rows],
        event_times[rows],
        event_year,
        omitted,
        cluster or "city_id",
    )
    times = times_with_terms(event_times[rows], omitted_year - event_year, omitted_year)
    terms = {
        term(event_time): (treated & (event_times == event_time)).astype(float)
        for event_time in times
    }
    return Interacted(
        sample=sample.assign(**terms),
        terms=tuple(terms),
        event_times=tuple(times),
        treated_count=int(sample["city_id"].iloc[rows][treated[rows]].nunique()),
    )


def times_with_terms(event_times: Codes, omitted: int, omitted_year: int) -> list[int]:
    """Return the years since the event that have a term.

    NotEstimable if the omitted year is absent, or alone.
    """
    if not (event_times == omitted).any():
        raise NotEstimable("no_omitted_year", year=omitted_year)
    times = [int(event_time) for event_time in np.unique(event_times) if event_time != omitted]
    if not times:
        raise NotEstimable("only_omitted_year", year=omitted_year)
    return times


def event_times_in(
    sample: pd.DataFrame,
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
            f"The omitted year {omitted_year} is outside the window"
            f" {event_year + first}-{event_year + last}."
        )
    if len(sample) == 0:
        raise NotEstimable("no_observations")
    groups_in(sample, "year")  # raises where a year is missing
    years = numbers_in(sample, "year")
    if (odd := years != np.round(years)).any():
        raise NotEstimable("not_whole_years", column="year", value=years[odd][0])
    event_times = years.astype(np.intp) - event_year
    outside = (event_times < first) | (event_times > last)
    return (np.clip(event_times, first, last) if endpoints == "binned" else event_times), outside


def pre_trend_test(
    estimated: FixedEffectsFit, terms: Sequence[str]
) -> tuple[WaldTest | None, Sentence | None]:
    """Return the joint test of the terms before the event, or the reason why there is none."""
    if not terms:
        return None, sentence("no_pre_trend")
    try:
        return wald(estimated, terms), None
    except NotEstimable as finding:
        return None, finding.reason


def _treated(sample: pd.DataFrame, treatment: str) -> NDArray[np.bool_]:
    """Return who is treated, shape (n,) of bool, or raise NotEstimable if that is not a fixed trait of a city."""
    values = numbers_in(sample, treatment)
    odd = (values != 0) & (values != 1)
    if odd.any():
        raise NotEstimable("not_binary", column=treatment, value=values[odd][0])
    shares = (
        pd.Series(values, index=sample.index)
        .groupby(sample["city_id"])
        .transform("mean")
        .to_numpy()
    )
    varying = (shares > 0) & (shares < 1)
    if varying.any():
        name = sample["city_id"].iloc[int(varying.argmax())]
        raise NotEstimable("moving_treatment", entity="city_id", name=name, column=treatment)
    treated: NDArray[np.bool_] = values == 1
    return treated


def _check_support(
    rows: pd.DataFrame,
    treated: NDArray[np.bool_],
    event_times: Codes,
    event_year: int,
    omitted: int,
    grouped: str,
) -> None:
    """Raise NotEstimable if a comparison lacks one of its two sides, or has a single cluster on it."""
    if not (event_times == omitted).any():
        raise NotEstimable("no_omitted_year", year=event_year + omitted)
    for kind, members in (("treated", treated), ("untreated", ~treated)):
        check_clusters(rows[grouped][members], kind)
        absent = np.setdiff1d(event_times, event_times[members])
        if len(absent):
            years = [str(event_year + event_time) for event_time in absent]
            raise NotEstimable("no_such_city_in", kind=kind, years=years)


def check_clusters(clusters: pd.Series, kind: str) -> None:
    """Raise NotEstimable if cities of a kind lie in fewer than two clusters."""
    labels = clusters.unique()
    if len(labels) == 0:
        raise NotEstimable("no_such_city", kind=kind)
    if len(labels) == 1:
        raise NotEstimable(
            "one_such_cluster", cluster=str(clusters.name), name=labels[0], kind=kind
        )
