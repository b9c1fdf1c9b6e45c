"""Romano-Wolf stepdown p-values for a family of coefficients."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai_manufacturing.estimation.rows import Row, make_reason_row
from ai_manufacturing.estimators import wild_bootstrap
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.inference import TIE, Inference
from ai_manufacturing.estimators.not_estimable import get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.robustness.case import AVERAGE, Case


def adjust_claims(cases: Iterable[Case]) -> Iterator[tuple[Case, Row]]:
    """Adjust the p-values of several specifications' coefficients for multiple testing.

    Each bootstrap draw uses one sign per province in all regressions.
    """
    testable = []
    for case in cases:
        claims = get_result_or_reason(partial(_list_claims, case))
        if isinstance(claims, Sentence):
            yield case, make_reason_row(claims, term=AVERAGE, cluster="province")
            continue
        for term, regression, position in claims:
            reason = get_result_or_reason(
                partial(
                    wild_bootstrap.check_coefficient, regression, position, case.codes("province")
                )
            )
            if isinstance(reason, Sentence):
                yield case, make_reason_row(reason, term=term, cluster="province")
            else:
                testable.append((case, term, regression, position))
    if not testable:
        return
    results = adjust_p_values(
        [regression for *_, regression, _ in testable],
        [position for *_, position in testable],
        clusters=[case.rows["province_id"].to_numpy() for case, *_ in testable],
    )
    for (case, term, *_), result in zip(testable, results, strict=True):
        yield case, {"term": term, "cluster": "province", **vars(result)}


def _list_claims(case: Case) -> list[tuple[str, PartialledOut, int]]:
    """Return the coefficients to test: a regression's terms, or an event study's average effect."""
    if isinstance(case.fit, EventStudyFit):
        return [(AVERAGE, *case.average_effects())]
    return [(term, case.regression, position) for term, position in case.terms.items()]


def adjust_p_values(
    regressions: Sequence[PartialledOut],
    positions: Sequence[int],
    *,
    clusters: Sequence[NDArray[Any]],
    draws: int = wild_bootstrap.DRAWS,
    seed: int = wild_bootstrap.SEED,
) -> list[Inference]:
    """Test one coefficient of each regression, with p-values adjusted for multiple testing.

    The procedure controls the familywise error rate: at 5 %, the probability of rejecting any true
    null is at most 5 %. Each draw uses one sign per cluster in all regressions, which preserves the
    dependence of their t statistics. The t statistics are from the wild cluster restricted
    bootstrap. From the largest |t| down, each is compared with the largest |t*| among the
    hypotheses that are not yet rejected.

    Parameters
    ----------
    regressions : sequence of PartialledOut, length h
        Regressions, possibly with different samples and regressors.
    positions : sequence of int, length h
        Index of the coefficient among the regressors of each regression.
    clusters : sequence of ndarray, length h
        Cluster label of each row of each regression; labels identify the same clusters in all
        regressions.
    draws : int
        Number of random sign vectors. If all samples together have up to 12 clusters, all vectors
        are enumerated instead.
    seed : int
        Seed of the random number generator.

    Returns
    -------
    list of Inference
        Results in the order of the regressions. p_value is adjusted; std_error and statistic equal
        fixed_effects.fit with these clusters. There is no interval.

    Raises
    ------
    NotEstimable
        For any reason that bootstrap_coefficient raises it in one of the regressions.

    Notes
    -----
    p is (1 + r)/(1 + draws), where r draws have a largest |t*| of at least |t|. With enumeration it
    is the share of such vectors. Adjusted p-values are made monotone: none is smaller than the
    p-value of a larger |t|.

    References
    ----------
    Romano and Wolf (2005), Econometrica 73(4); (2016), Statistics and Probability Letters 113;
    Clarke, Romano and Wolf (2020), Stata Journal 20(4). Reference values are from R's wildrwolf.
    """
    labels = np.unique(np.concatenate([np.unique(labels_of_rows) for labels_of_rows in clusters]))
    vectors, is_enumerated = wild_bootstrap.draw_sign_vectors(len(labels), draws, seed)
    estimates, statistics, draw_statistics = [], [], []
    for regression, position, labels_of_rows in zip(regressions, positions, clusters, strict=True):
        own, codes = np.unique(labels_of_rows, return_inverse=True)
        columns = vectors[:, np.searchsorted(labels, own)]
        distribution = wild_bootstrap.BootstrapDistribution(regression, position, codes, columns)
        statistic = distribution.slope / distribution.std_error
        unit = float(regression.units[position])
        estimates.append((unit * distribution.slope, unit * distribution.std_error, len(own)))
        statistics.append(statistic)
        draw_statistics.append(
            np.sqrt(distribution.square_statistics(-distribution.slope) / distribution.factor)
        )
    p_values = _step_down(
        np.abs(statistics), np.column_stack(draw_statistics), extra_draws=0 if is_enumerated else 1
    )
    return [
        Inference(
            estimate=estimate,
            std_error=std_error,
            statistic=statistic,
            p_value=p_value,
            cluster_count=count,
            draws=len(vectors),
            is_enumerated=is_enumerated,
            monte_carlo_error=wild_bootstrap.compute_monte_carlo_error(
                p_value, len(vectors), is_enumerated
            ),
        )
        for (estimate, std_error, count), statistic, p_value in zip(
            estimates, statistics, p_values, strict=True
        )
    ]


def _step_down(statistics: Floats, draw_statistics: Floats, *, extra_draws: int) -> list[float]:
    """Return stepdown p-values from |t|, shape (h,), and bootstrap |t*|, shape (draws, h)."""
    order = np.argsort(-statistics, kind="stable")
    # For each hypothesis, the maximum |t*| over it and all hypotheses with a smaller |t|.
    largest = np.maximum.accumulate(draw_statistics[:, order[::-1]], axis=1)[:, ::-1]
    extreme = (largest >= statistics[order] * (1 - TIE)).sum(axis=0)
    p_values = np.empty(len(order))
    p_values[order] = np.maximum.accumulate(
        (extra_draws + extreme) / (extra_draws + len(draw_statistics))
    )
    return [float(p_value) for p_value in p_values]
