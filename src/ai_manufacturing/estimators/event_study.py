"""Event study around one date: equation 3 of the paper, with the joint test before the event."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import groups_in
from ai_manufacturing.estimators.fixed_effects import Covariance, FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable, attempted
from ai_manufacturing.estimators.sentences import Sentence, sentence

Endpoints = Literal["kept", "binned", "dropped"]

OMITTED = -1  # the year since the event that the others are measured against
# an eigenvalue of a correlation matrix below this share of the largest is rounding error
SINGULAR = 1e-10


@dataclass(frozen=True)
class WaldTest:
    """A joint test that several coefficients are zero.

    Attributes
    ----------
    statistic : float
        F: the Wald statistic over its number of restrictions.
    df1, df2 : int
        Degrees of freedom of F: the number of terms, and that of t in the fit (G-1 for clustered
        errors).
    p_value : float
        Upper tail of F(df1, df2).
    """

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
    pre_trend : WaldTest or Sentence
        That all terms before the event are zero together, or why there is no such test.
    treated_count : int
        Treated cities that the estimates rest on, after singletons are dropped.
    """

    event_times: tuple[int, ...]
    pre_trend: WaldTest | Sentence
    treated_count: int


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
    errors = fit.std_errors[positions]
    if (errors == 0).any():
        raise NotEstimable("exact_joint_test", terms=terms)
    # In units of the errors, so that the check does not depend on those of the regressors.
    correlations = fit.covariance_matrix[np.ix_(positions, positions)] / np.outer(errors, errors)
    rank = int(np.linalg.matrix_rank(correlations, rtol=SINGULAR, hermitian=True))
    if rank < len(positions):
        raise NotEstimable(
            "singular_joint_test",
            terms=terms,
            rank=rank,
            count=len(positions),
            degrees=fit.degrees_of_freedom,
        )
    ratios = fit.estimates[positions] / errors
    statistic = float(ratios @ np.linalg.solve(correlations, ratios)) / len(positions)
    return WaldTest(
        statistic=statistic,
        df1=len(positions),
        df2=int(fit.degrees_of_freedom),
        p_value=float(special.fdtrc(len(positions), fit.degrees_of_freedom, statistic)),
    )


def fit(
    sample: pd.DataFrame,
    outcome: str,
    *,
    event_year: int,
    window: tuple[int, int],
    controls: Sequence[str] = (),
    endpoints: Endpoints = "kept",
    cluster: str = "city_id",
    covariance: Covariance = "clustered",
) -> EventStudyFit:
    """Regress an outcome on treatment times each year, with city and year effects.

    Every coefficient is a difference from the year before the event, which has no term and no row:
    its zero is not an estimate. All cities are treated at one date, so that none of them serves as
    a control after its own treatment, and the weights of staggered designs do not arise.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and year; no missing values in the columns named below. Column treated
        is 1 for treated cities and 0 for the others, in every year.
    outcome : str
        Column of the dependent variable.
    event_year : int
        The year of `current`.
    window : tuple of int
        First and last year since the event that the paper prints.
    controls : sequence of str
        Columns of further regressors.
    endpoints : {"kept", "binned", "dropped"}
        Years outside the window have terms of their own; are pooled into the first and the last
        term of the window; or leave the sample.
    cluster : str
        Column of the clusters.
    covariance : {"clustered", "iid", "robust"}
        As in fixed_effects.fit; the pre-trend test uses it too.

    Returns
    -------
    EventStudyFit
        Estimates, errors, counts and the joint test of the terms before the event.

    Raises
    ------
    NotEstimable
        With a sentence, if: the year before the event is absent; there are fewer than two treated
        or two untreated clusters, of which a single one would be fitted exactly and lend the errors
        nothing; a year has cities of one kind only; or for any reason of fixed_effects.fit.

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
        sample, event_year=event_year, window=window, endpoints=endpoints, cluster=cluster
    )
    regressors = [*data.terms, *controls]
    estimated = fixed_effects.fit(
        data.sample, outcome, regressors, cluster=cluster, covariance=covariance
    )
    before = [term(event_time) for event_time in data.event_times if event_time < 0]
    pre_trend: WaldTest | Sentence = sentence("no_pre_trend")
    if before:
        pre_trend = attempted(partial(wald, estimated, before))
    return EventStudyFit(
        **vars(estimated),
        event_times=data.event_times,
        pre_trend=pre_trend,
        treated_count=data.treated_count,
    )


class Interacted(NamedTuple):
    """A sample with the terms of an event study, which Poisson takes as regressors too.

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
    *,
    event_year: int,
    window: tuple[int, int],
    endpoints: Endpoints = "kept",
    cluster: str = "city_id",
) -> Interacted:
    """Add treatment times each year to a sample, checked as fit does.

    Parameters, and reasons for NotEstimable, are those of fit.
    """
    event_times = sample["year"].to_numpy() - event_year
    inside = (event_times >= window[0]) & (event_times <= window[1])
    if endpoints == "binned":
        event_times = np.clip(event_times, *window)
    if endpoints == "dropped":
        sample, event_times = sample[inside], event_times[inside]
    treated = sample["treated"].to_numpy(dtype=bool)

    cities, years = (groups_in(sample, name) for name in ("city_id", "year"))
    rows = fixed_effects.rows_without_singletons(cities, years)
    used = np.unique(event_times[rows])
    if OMITTED not in used:
        raise NotEstimable("no_omitted_year", year=event_year + OMITTED)
    for kind, is_of_kind in (("treated", treated), ("untreated", ~treated)):
        members = rows[is_of_kind[rows]]
        clusters = sample[cluster].iloc[members].unique()
        if len(clusters) == 0:
            raise NotEstimable("no_such_city", kind=kind)
        if len(clusters) == 1:
            raise NotEstimable("one_such_cluster", cluster=cluster, name=clusters[0], kind=kind)
        absent = np.setdiff1d(used, event_times[members])
        if len(absent):
            raise NotEstimable(
                "no_such_city_in", kind=kind, years=[str(event_year + time) for time in absent]
            )
    times = [int(event_time) for event_time in used if event_time != OMITTED]
    terms = {
        term(event_time): (treated & (event_times == event_time)).astype(float)
        for event_time in times
    }
    return Interacted(
        sample=sample.assign(**terms),
        terms=tuple(terms),
        event_times=tuple(times),
        treated_count=len(np.unique(cities[rows][treated[rows]])),
    )
