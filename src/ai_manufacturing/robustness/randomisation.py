"""Randomisation inference: permute the city weights of the AI measure.

Equation 2 multiplies a fixed weight per city by a yearly scaling value. The slope is evidence about
the weights only if it is unusual among the slopes with permuted weights.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, build_estimates_table
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.columns import Codes, Floats, renumber
from ai_manufacturing.estimators.fixed_effects import EXACT, PartialledOut
from ai_manufacturing.estimators.inference import TIE, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case, get_case
from ai_manufacturing.robustness.panel_regressions import (
    fit_slopes,
    remove_controls,
    remove_effects,
)

# Transforms of a count (weight times scaling value); levels are in units of 10,000.
TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "level": lambda count: count / 10_000,
    "ln": np.log,
    "ln1p": np.log1p,
    "asinh": np.arcsinh,
}
SAME = 1e-6  # maximum distance at which two columns of unit length count as equal
DRAWS_AT_ONCE = 100  # permutations per batch, whose columns fit into the CPU cache
CLUSTER = "cluster"  # dictionary key of the clusters passed to fit_slopes


def check_permuted_weights(case: Case) -> Iterator[Row]:
    """Test the coefficient of the AI measure by permuting city weights within strata."""
    yield {"term": case.specification.regressor, **vars(_fit_case_permutations(case).infer_by_t())}


def estimate_permuted_weights(
    specifications: Iterable[Specification], inputs: Inputs, cities: pd.DataFrame
) -> pa.Table:
    """Return an Arrow table with the slope and t statistic of each permutation of weights.

    Parameters
    ----------
    specifications, inputs, cities
        As in checks.run_checks.

    Returns
    -------
    Table
        One row per specification and permutation, with the columns of est_permuted_weights. If the
        weights cannot be permuted, the status is not_estimable, with the reason.
    """
    cities = cities.set_index("city_id")

    def make_rows(specification: Specification) -> Iterator[Row]:
        test = _fit_case_permutations(get_case(specification, inputs, cities))
        pairs = zip(test.slopes, test.statistics, strict=True)
        for number, (slope, statistic) in enumerate(pairs, start=1):
            yield {"permutation": number, "estimate": slope, "statistic": statistic}

    return build_estimates_table(specifications, inputs, "est_permuted_weights", make_rows)


def _fit_case_permutations(case: Case) -> "PermutationTest":
    scaling, weight = (
        case.rows[name].to_numpy(dtype=float, na_value=np.nan)
        for name in ("scaling_value", "weight")
    )
    weights = np.full(len(case.city_ids), np.nan)
    weights[case.regression.entities] = weight
    codes = case.inputs.number_strata(pd.Series(case.city_ids))
    transform = case.specification.transform
    return fit_permutations(
        case.regression, weights, scaling, transform, draw_permutations(case.city_ids, codes)
    )


@dataclass(frozen=True, eq=False)  # no __eq__: comparing arrays does not yield a single bool
class Permutations:
    """Permutations that assign each city the weight of a donor city.

    Attributes
    ----------
    cities : tuple of str, length C
        Cities in sorted order.
    strata : ndarray of int, shape (C,)
        Stratum of each city; donors come from the same stratum.
    donors : ndarray of int, shape (draws, C)
        Position of each city's donor.
    is_enumerated : bool
        Whether the draws list every permutation, including the sample's own.
    """

    cities: tuple[str, ...]
    strata: Codes
    donors: Codes
    is_enumerated: bool

    @property
    def warnings(self) -> tuple[Sentence, ...]:
        """Warning with the number of cities whose weight never changes; empty if none."""
        alone = int((np.bincount(self.strata) == 1).sum())
        return (sentence("alone_in_stratum", count=alone, all=len(self.cities)),) if alone else ()

    def restrict_to(self, cities: Iterable[str]) -> "Permutations":
        """Restrict the permutations to a subset of the cities.

        A donor outside the subset is replaced by its own donor, repeatedly if necessary. A cycle
        with some cities removed is still a cycle, so each draw is a permutation of the subset; if
        all permutations of the full set are equally likely, so are these. Two subsets use the same
        donor for a city whenever both contain it.

        Raises
        ------
        NotEstimable
            If each city is alone in its stratum.
        """
        members = sorted(set(cities))
        is_member = np.isin(self.cities, members)
        donors = self.donors[:, is_member]
        draws, takers = np.nonzero(~is_member[donors])
        while len(draws):
            next_donors = self.donors[draws, donors[draws, takers]]
            donors[draws, takers] = next_donors
            draws, takers = draws[~is_member[next_donors]], takers[~is_member[next_donors]]
        return _require_donors(
            Permutations(
                tuple(members),
                renumber(self.strata[is_member]),
                (np.cumsum(is_member) - 1)[donors],
                self.is_enumerated,
            )
        )


def draw_permutations(
    cities: Sequence[str], strata: Codes | None = None, *, draws: int = 999, seed: int = 2020
) -> Permutations:
    """Draw permutations of cities, or enumerate them if there are no more than `draws`.

    To use the same permutations in several specifications, draw them for the union of their cities
    and restrict them to each sample with `restrict_to`. The result is the same for the same set of
    cities, strata, draws and seed.

    Parameters
    ----------
    cities : sequence of str, length C
        Distinct cities in any order.
    strata : ndarray of int, shape (C,), optional
        Stratum of each city, in the order of the cities; the default is a single stratum. The
        weight of a city alone in its stratum never changes, and a warning counts such cities.
    draws, seed : int
        Number of permutations, and the seed of the random number generator.

    Returns
    -------
    Permutations

    Raises
    ------
    NotEstimable
        If each city is alone in its stratum.
    """
    order = sorted(range(len(cities)), key=cities.__getitem__)
    codes = (
        np.zeros(len(cities), dtype=np.intp)
        if strata is None
        else renumber(np.asarray(strata)[order])
    )
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    is_enumerated = math.prod(math.factorial(len(member)) for member in members) <= draws
    if is_enumerated:
        choices = itertools.product(*(itertools.permutations(member) for member in members))
        orders = np.array([list(itertools.chain(*choice)) for choice in choices])
    else:
        rng = np.random.default_rng(seed)
        orders = np.hstack(
            [rng.permuted(np.tile(member, (draws, 1)), axis=1) for member in members]
        )
    donors = np.empty_like(orders)
    donors[:, np.concatenate(members)] = orders
    return _require_donors(
        Permutations(tuple(cities[i] for i in order), codes, donors, is_enumerated)
    )


def _require_donors(draws: Permutations) -> Permutations:
    if np.bincount(draws.strata).max() == 1:
        raise NotEstimable("all_alone", count=len(draws.cities))
    return draws


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Slope of a measure, and the distribution of slopes under permuted weights.

    Attributes
    ----------
    estimate, std_error, statistic : float
        Results for the actual measure, in units of the outcome per unit of the regressor. The
        standard error is clustered, and zero if the outcome is fitted exactly.
    slopes, statistics : ndarray, shape (draws,)
        Slope and clustered t of each permutation.
    cluster_count : int
        Number of clusters.
    permutations : Permutations
    """

    estimate: float
    std_error: float
    statistic: float
    slopes: Floats
    statistics: Floats
    cluster_count: int
    permutations: Permutations

    @property
    def p_value_of_t(self) -> float:
        """Permutation p-value: the share of draws whose |t| is at least the sample's.

        The sample counts as one of the draws.
        """
        extreme = np.abs(self.statistics) >= abs(self.statistic) * (1 - TIE)
        # If all permutations are enumerated, the sample is already one of them.
        extra_draws = 0 if self.permutations.is_enumerated else 1
        return float((extra_draws + extreme.sum()) / (extra_draws + len(extreme)))

    def infer_by_t(self) -> Inference:
        """Return a permutation test based on the absolute clustered t statistic.

        Slopes of different permutations differ in precision if cities are heterogeneous, but their
        t statistics are comparable.

        Raises
        ------
        NotEstimable
            If the outcome is fitted exactly.
        """
        if self.std_error == 0:
            raise NotEstimable("no_permutation_of_t")
        p_value, draws = self.p_value_of_t, len(self.slopes)
        is_enumerated = self.permutations.is_enumerated
        return Inference(
            estimate=self.estimate,
            std_error=self.std_error,
            statistic=self.statistic,
            p_value=p_value,
            cluster_count=self.cluster_count,
            draws=draws,
            is_enumerated=is_enumerated,
            monte_carlo_error=0.0 if is_enumerated else math.sqrt(p_value * (1 - p_value) / draws),
            warnings=self.permutations.warnings,
        )


def fit_permutations(
    regression: PartialledOut,
    weights: Floats,
    scaling: Floats,
    transform: str,
    permutations: Permutations,
) -> PermutationTest:
    """Regress the outcome on a measure, and on each version of it with permuted weights.

    Parameters
    ----------
    regression : PartialledOut
        Regression with C entities and n rows whose first regressor is the measure. Its clusters are
        used for the standard errors.
    weights : ndarray, shape (C,)
        Weight of each entity, constant over the years.
    scaling : ndarray, shape (n,)
        Scaling value of each row.
    transform : {"level", "ln", "ln1p", "asinh"}
        Transform of weight times scaling value.
    permutations : Permutations
        Permutations of the entities, in their order.

    Returns
    -------
    PermutationTest
        Slope of the measure, and its permutation distribution under the null that the assignment of
        weights to cities is irrelevant.

    Raises
    ------
    NotEstimable
        If a weight or scaling value is missing (the measure is observed yearly); all cities have
        the same weight; a permuted measure does not vary within cities or is a linear combination
        of the other regressors; or the first regressor is not the measure.

    Notes
    -----
    p is (1 + r)/(1 + draws), where r draws are at least as extreme as the sample, including ties.
    With enumeration it is the share of extreme permutations, including the sample's own.

    In logs the city effect absorbs the weight, so every permutation reproduces the estimate and p
    is one.

    References
    ----------
    Fisher (1935), The Design of Experiments; on placebo shares in shift-share designs, Adao,
    Kolesar and Morales (2019), Quarterly Journal of Economics 134(4); on t as the statistic,
    MacKinnon and Webb (2020), Journal of Econometrics 218(2).
    """
    entities = regression.entities
    if not (np.isfinite(weights).all() and np.isfinite(scaling).all()):
        raise NotEstimable("no_weight")
    if np.ptp(weights) == 0:
        raise NotEstimable("same_weights")

    controls = regression.design[:, 1:]
    residual_outcome = remove_controls(controls, regression.outcome)[:, None]
    clusters = {CLUSTER: regression.clusters[np.unique(entities, return_index=True)[1]]}
    periods = regression.time_count

    def compute_measures(donors: Codes) -> Floats:
        """Return the measure with permuted weights, net of the effects, shape (n, draws)."""
        # The log of a zero weight is infinite; remove_effects raises NotEstimable in that case.
        with np.errstate(divide="ignore"):
            measures = TRANSFORMS[transform](scaling[:, None] * weights[donors.T[entities]])
        return remove_effects(regression.effects, measures)

    own_and_donors = np.vstack([np.arange(len(weights)), permutations.donors])
    fits = []
    for start in range(0, len(own_and_donors), DRAWS_AT_ONCE):
        within = compute_measures(own_and_donors[start : start + DRAWS_AT_ONCE])
        slopes = fit_slopes(entities, regression.outcome, controls, within, clusters, periods)
        # Detect an exact fit by its residuals, because rounding makes its standard error slightly
        # positive.
        residuals = residual_outcome - remove_controls(controls, within) * slopes.estimates
        is_exact = np.linalg.norm(residuals, axis=0) <= EXACT * np.linalg.norm(regression.outcome)
        fits.append((slopes.estimates, np.where(is_exact, 0.0, slopes.std_errors[CLUSTER])))
    estimates, errors = np.hstack(fits)
    own = compute_measures(own_and_donors[:1])[:, 0]
    length = float(np.linalg.norm(own))
    if np.linalg.norm(own / length - regression.design[:, 0]) > SAME:
        raise NotEstimable("not_weight_times_scaling")

    statistics = np.full(len(errors), np.inf)
    np.divide(estimates, errors, out=statistics, where=errors > 0)
    unit = float(regression.units[0] * length)  # converts slopes to the units of the sample
    return PermutationTest(
        estimate=unit * float(estimates[0]),
        std_error=unit * float(errors[0]),
        statistic=float(statistics[0]),
        slopes=unit * estimates[1:],
        statistics=statistics[1:],
        cluster_count=regression.cluster_count,
        permutations=permutations,
    )
