"""Estimate event studies with one event date (equation 3), and test for pre-trends."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import encode_groups
from ai_manufacturing.estimators.fixed_effects import Covariance, FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable, get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence, sentence

Endpoints = Literal["kept", "binned", "dropped"]

# Event time of the reference year, which is omitted from the regression.
OMITTED_TIME = -1
# Eigenvalues of a correlation matrix below this share of the largest are treated as zero.
SINGULAR = 1e-10


@dataclass(frozen=True)
class WaldTest:
    """Result of a Wald F test that several coefficients are jointly zero.

    Attributes
    ----------
    statistic : float
        F statistic: the Wald statistic divided by the number of restrictions.
    df1, df2 : int
        Degrees of freedom of F: the number of terms, and the fit's degrees of freedom of t (G-1
        for clustered standard errors).
    p_value : float
        Upper-tail probability of F(df1, df2).
    """

    statistic: float
    df1: int
    df2: int
    p_value: float


@dataclass(frozen=True, eq=False)
class EventStudyFit(FixedEffectsFit):
    """Event study estimates: a fixed effects fit with event times and a pre-trend test.

    The event terms come first, in chronological order, followed by the controls.

    Attributes
    ----------
    event_times : tuple of int
        Years since the event, one for each event term; a pooled endpoint is labelled with its year
        nearest the event.
    pre_trend : WaldTest or Sentence
        Test that all terms before the event are jointly zero, or the reason for not testing.
    treated_count : int
        Treated cities in the estimation sample, after singletons are dropped.
    """

    event_times: tuple[int, ...]
    pre_trend: WaldTest | Sentence
    treated_count: int


def name_term(event_time: int) -> str:
    """Return the paper's name of an event time, such as before5, current or after3."""
    if event_time == 0:
        return "current"
    return f"before{-event_time}" if event_time < 0 else f"after{event_time}"


def wald(fit: FixedEffectsFit, terms: Sequence[str]) -> WaldTest:
    """Test whether coefficients are jointly zero, using the covariance of their fit.

    Parameters
    ----------
    fit : FixedEffectsFit
    terms : sequence of str
        Terms to test, a subset of fit.terms.

    Returns
    -------
    WaldTest
        F = b' V^-1 b / q for q terms with estimates b, compared with F(q, degrees of freedom of t).

    Raises
    ------
    NotEstimable
        If the covariance of the terms is singular, because a standard error is zero or there are
        fewer clusters than restrictions.

    References
    ----------
    Stata's test after a clustered regression, and fixest's wald: F(q, G-1). Cameron and Miller
    (2015), section VII.
    """
    positions = [fit.terms.index(name) for name in terms]
    errors = fit.std_errors[positions]
    if (errors == 0).any():
        raise NotEstimable("exact_joint_test", terms=terms)
    # Scale to correlations, so that the rank check does not depend on the regressors' units.
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
    """Regress an outcome on treatment-year interactions, with city and year effects.

    Every coefficient is relative to the year before the event. This reference year has no term, and
    its zero is not reported as an estimate. All treated cities share one event date, so an already
    treated city never serves as a control, and the weighting problems of staggered designs do not
    arise.

    Parameters
    ----------
    sample : DataFrame
        One row per city_id and year; no missing values in the columns named below. Column treated
        is 1 for treated cities and 0 for the others, in every year.
    outcome : str
        Column of the dependent variable.
    event_year : int
        Calendar year of the event, whose term is `current`.
    window : tuple of int
        First and last event time that the paper prints.
    controls : sequence of str
        Columns of further regressors.
    endpoints : {"kept", "binned", "dropped"}
        Handling of years outside the window: each has its own term ("kept"); they are pooled into
        the first and last terms of the window ("binned"); or they are excluded from the sample
        ("dropped").
    cluster : str
        Column of the clusters.
    covariance : {"clustered", "iid", "robust"}
        As in fixed_effects.fit; the pre-trend test uses it too.

    Returns
    -------
    EventStudyFit
        Estimates, standard errors, counts and the joint test of the terms before the event.

    Raises
    ------
    NotEstimable
        If the year before the event is absent; if there are fewer than two treated or two untreated
        clusters, because a single cluster would be fitted exactly and contribute nothing to the
        standard errors; if a year contains only treated or only untreated cities; or for any reason
        that fixed_effects.fit raises it.

    Notes
    -----
    Without controls and in a balanced panel, a coefficient is the change in the treated cities'
    mean since the omitted year minus the change in the other cities' mean. A pre-trend test that
    does not reject is not evidence of parallel trends, because it may lack power.

    References
    ----------
    Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4); on endpoints, Schmidheiny
    and Siegloch (2023), Journal of Applied Econometrics 38(5); on pre-trend tests, Roth (2022),
    AER: Insights 4(3); on few treated clusters, MacKinnon and Webb (2017), Journal of Applied
    Econometrics 32(2).
    """
    data = add_event_terms(
        sample, event_year=event_year, window=window, endpoints=endpoints, cluster=cluster
    )
    regressors = [*data.terms, *controls]
    effects_fit = fixed_effects.fit(
        data.sample, outcome, regressors, cluster=cluster, covariance=covariance
    )
    before = [name_term(event_time) for event_time in data.event_times if event_time < 0]
    pre_trend: WaldTest | Sentence = sentence("no_pre_trend")
    if before:
        pre_trend = get_result_or_reason(partial(wald, effects_fit, before))
    return EventStudyFit(
        **vars(effects_fit),
        event_times=data.event_times,
        pre_trend=pre_trend,
        treated_count=data.treated_count,
    )


class EventSample(NamedTuple):
    """Sample with treatment-year dummies as regressors, for linear and Poisson event studies.

    Attributes
    ----------
    sample : DataFrame
        Rows of the estimation window, with a column per term.
    terms : tuple of str
    event_times, treated_count
        As in EventStudyFit.
    """

    sample: pd.DataFrame
    terms: tuple[str, ...]
    event_times: tuple[int, ...]
    treated_count: int


def add_event_terms(
    sample: pd.DataFrame,
    *,
    event_year: int,
    window: tuple[int, int],
    endpoints: Endpoints = "kept",
    cluster: str = "city_id",
) -> EventSample:
    """Validate an event study sample, and add treatment-year interactions to it.

    Parameters and reasons for NotEstimable are documented in fit.
    """
    event_times = sample["year"].to_numpy() - event_year
    inside = (event_times >= window[0]) & (event_times <= window[1])
    if endpoints == "binned":
        event_times = np.clip(event_times, *window)
    if endpoints == "dropped":
        sample, event_times = sample[inside], event_times[inside]
    is_treated = sample["treated"].to_numpy(dtype=bool)

    cities, years = (encode_groups(sample, name) for name in ("city_id", "year"))
    rows = fixed_effects.find_rows_without_singletons(cities, years)
    used_times = np.unique(event_times[rows])
    if OMITTED_TIME not in used_times:
        raise NotEstimable("no_omitted_year", year=event_year + OMITTED_TIME)
    for kind, is_member in (("treated", is_treated), ("untreated", ~is_treated)):
        members = rows[is_member[rows]]
        clusters = sample[cluster].iloc[members].unique()
        if len(clusters) == 0:
            raise NotEstimable("no_such_city", kind=kind)
        if len(clusters) == 1:
            raise NotEstimable("one_such_cluster", cluster=cluster, name=clusters[0], kind=kind)
        absent = np.setdiff1d(used_times, event_times[members])
        if len(absent):
            raise NotEstimable(
                "no_such_city_in", kind=kind, years=[str(event_year + time) for time in absent]
            )
    times = [int(event_time) for event_time in used_times if event_time != OMITTED_TIME]
    terms = {
        name_term(event_time): (is_treated & (event_times == event_time)).astype(float)
        for event_time in times
    }
    return EventSample(
        sample=sample.assign(**terms),
        terms=tuple(terms),
        event_times=tuple(times),
        treated_count=len(np.unique(cities[rows][is_treated[rows]])),
    )
