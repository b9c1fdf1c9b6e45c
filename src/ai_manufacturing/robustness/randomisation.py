"""Randomisation inference of equation 2: what a slope would be if other cities had the weights.

Equation 2 multiplies a weight that is fixed per city by a yearly scaling value. Its slope says
something of the weights only if it is unusual among the slopes with permuted weights.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, answered, of_each
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.columns import Codes, Floats, renumbered
from ai_manufacturing.estimators.fixed_effects import EXACT, PartialledOut
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case, case_of
from ai_manufacturing.robustness.joint_test import TIE, Slopes
from ai_manufacturing.robustness.permutation_sums import (
    TRANSFORMS,
    DonorMeasure,
    DonorPairs,
    PanelSums,
)

SAME = 1e-6  # two columns of unit length that differ by more are not one measure
NEARLY_EXACT = 1e-4  # a slope whose error is below this share of it is looked at by row
CLUSTER = "cluster"  # name of the one kind of clusters


def permuted_weights_test(case: Case, strata: str) -> Iterator[Row]:
    """Test the measure, which is the first term, by permutations of its weights within strata."""
    yield {"term": case.specification.regressor, **vars(_permuted_slopes(case, strata).by_t())}


def permuted_weights(
    specifications: Iterable[Specification],
    asked: pd.DataFrame,
    inputs: Inputs,
    cities: pd.DataFrame,
) -> pa.Table:
    """Return what each permutation of the check `randomisation` gives.

    The check itself is a row of est_inference.

    Parameters
    ----------
    specifications, asked, inputs, cities
        As in checks.checked.

    Returns
    -------
    Table
        One row per specification, strata and permutation, in the columns of est_permuted_weights;
        not_estimable with the reason where the check cannot be made.
    """
    cities = cities.set_index("city_id")

    def permutation_rows(specification: Specification, strata: str) -> Iterator[Row]:
        draws = _permuted_slopes(case_of(specification, inputs, cities), strata)
        for number, (slope, statistic) in enumerate(
            zip(draws.slopes, draws.statistics, strict=True), start=1
        ):
            yield {
                "strata": strata,
                "permutation": number,
                "estimate": slope,
                "statistic": statistic,
            }

    def rows_of(specification: Specification) -> Iterator[Row]:
        is_of = (asked["specification_id"] == specification.specification_id) & (
            asked["method"] == "randomisation"
        )
        for setting in asked.loc[is_of, "setting"]:
            strata = setting.removeprefix("strata=")
            yield from answered(partial(permutation_rows, specification, strata), strata=strata)

    return of_each(specifications, inputs, "est_permuted_weights", rows_of)


def _permuted_slopes(case: Case, strata: str) -> "PermutedSlopes":
    scaling = case.rows["scaling_value"].to_numpy(dtype=float, na_value=np.nan)
    weights = np.full(len(case.city_ids), np.nan)
    weights[case.regression.entities] = case.rows["weight"].to_numpy(dtype=float, na_value=np.nan)

    def drawn() -> "Permutations":
        return permutations(case.city_ids, case.inputs.strata_of(strata, pd.Series(case.city_ids)))

    # many specifications have the same cities
    permuted = case.inputs.once(("permutations", strata, *case.city_ids), drawn)
    transform = case.specification.transform
    return permuted_slopes(case.regression, 0, weights, scaling, transform, permuted)


@dataclass(frozen=True, eq=False)  # eq: comparing arrays has no single truth value
class Permutations:
    """Which city gives its weight to which.

    Attributes
    ----------
    cities : tuple of str, length C
        In sorted order.
    strata : ndarray of int, shape (C,)
        A city gets a weight from its own stratum.
    donors : ndarray of int, shape (draws, C)
        Position of the city whose weight each city gets.
    is_enumerated : bool
        Whether the draws are all permutations there are, the sample's own among them.
    """

    cities: tuple[str, ...]
    strata: Codes
    donors: Codes
    is_enumerated: bool

    @property
    def warnings(self) -> tuple[Sentence, ...]:
        """How many cities keep their weight in every draw."""
        alone = int((np.bincount(self.strata) == 1).sum())
        return (sentence("alone_in_stratum", count=alone, all=len(self.cities)),) if alone else ()

    def among(self, cities: Iterable[str]) -> "Permutations":
        """Return the same permutations of some of the cities.

        A donor that is not among them is passed over: its own donor gives, and so on. What is left
        of a cycle is a cycle, so each draw is a permutation of these cities; if all permutations of
        the union are equally likely, all of these are. Two samples see the same donor wherever both
        have it.

        Raises
        ------
        ValueError
            If a city is none of those permuted.
        NotEstimable
            If each city is alone in its stratum.
        """
        members = sorted(set(cities))
        unknown = sorted(set(members) - set(self.cities))
        if unknown:
            raise ValueError(
                f"Cities {', '.join(unknown[:5])} are not among the {len(self.cities)} permuted:"
                " permute the union of the cities of all samples."
            )
        is_member = np.isin(self.cities, members)
        donors = self.donors[:, is_member]
        draws, takers = np.nonzero(~is_member[donors])
        while len(draws):
            passed = self.donors[draws, donors[draws, takers]]
            donors[draws, takers] = passed
            draws, takers = draws[~is_member[passed]], takers[~is_member[passed]]
        return _checked(
            Permutations(
                tuple(members),
                renumbered(self.strata[is_member]),
                (np.cumsum(is_member) - 1)[donors],
                self.is_enumerated,
            )
        )


def permutations(
    cities: Sequence[str], strata: Codes | None = None, *, draws: int = 999, seed: int = 2020
) -> Permutations:
    """Draw permutations of cities, or list all if they are no more than the draws.

    To use the same permutations in several specifications, draw them for the union of their cities
    and take those of each sample by `among`. The same set of cities, strata, draws and seed give
    the same permutations.

    Parameters
    ----------
    cities : sequence of str, length C
        In any order; each once.
    strata : ndarray of int, shape (C,), optional
        Stratum of each city, in the order of the cities; one stratum unless given. A city alone in
        its stratum keeps its weight, and is counted in a warning.
    draws, seed : int
        Number of permutations, and the seed of their draw.

    Returns
    -------
    Permutations

    Raises
    ------
    NotEstimable
        If each city is alone in its stratum.
    ValueError
        If a city is named twice.
    """
    if len(set(cities)) < len(cities):
        raise ValueError("A city is named twice: give each city of the union once.")
    order = sorted(range(len(cities)), key=cities.__getitem__)
    codes = (
        np.zeros(len(cities), dtype=np.intp)
        if strata is None
        else renumbered(np.asarray(strata)[order])
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
    return _checked(Permutations(tuple(cities[i] for i in order), codes, donors, is_enumerated))


def _checked(draws: Permutations) -> Permutations:
    if np.bincount(draws.strata).max() == 1:
        raise NotEstimable("all_alone", count=len(draws.cities))
    return draws


@dataclass(frozen=True, eq=False)
class PermutedSlopes:
    """The slope of a measure, and those of the measures with permuted weights.

    Attributes
    ----------
    estimate, std_error, statistic : float
        Those of the measure itself, in units of the outcome per unit of the regressor; the error is
        clustered, and zero if the outcome is fitted exactly.
    slopes, statistics : ndarray, shape (draws,)
        Slope and clustered t of each permutation.
    cluster_count : int
        Clusters of the error.
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
    def p_value_of_slope(self) -> float:
        """Share of the slopes at least as far from their mean as the estimate, the sample's own counted."""
        centre = self.slopes.mean()
        # Equal but for rounding, as all draws in logs are, is as far.
        own = abs(self.estimate - centre) * (1 - TIE) - 1e-12
        return self._share(np.abs(self.slopes - centre) >= own)

    @property
    def p_value_of_t(self) -> float:
        """Share of the clustered t at least as large in absolute value, the sample's own counted."""
        return self._share(np.abs(self.statistics) >= abs(self.statistic) * (1 - TIE))

    def by_t(self) -> Inference:
        """Test by the clustered t, in absolute value.

        Permutations give slopes of unlike precision, where cities are unlike, and t compares.

        Raises
        ------
        NotEstimable
            If the outcome is fitted exactly.
        """
        if self.std_error == 0:
            raise NotEstimable("no_permutation_of_t")
        p_value, draws, is_enumerated = (
            self.p_value_of_t,
            len(self.slopes),
            self.permutations.is_enumerated,
        )
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

    def _share(self, extreme: NDArray[np.bool_]) -> float:
        counted = (
            0 if self.permutations.is_enumerated else 1
        )  # enumerated, the sample is one of the draws
        return float((counted + extreme.sum()) / (counted + len(extreme)))


def permuted_slopes(
    regression: PartialledOut,
    position: int,
    weights: Floats,
    scaling: Floats,
    transform: str,
    permuted: Permutations,
) -> PermutedSlopes:
    """Regress the outcome on a measure as it is, and with each permutation of its weights.

    Parameters
    ----------
    regression : PartialledOut
        With C entities and n rows. Its clusters are those of the errors.
    position : int
        Index of the measure among the regressors.
    weights : ndarray, shape (C,)
        Weight of each entity, fixed over the years.
    scaling : ndarray, shape (n,)
        Scaling value of each row.
    transform : {"level", "ln", "ln1p", "asinh"}
        Transform of weight times scaling value.
    permuted : Permutations
        Permutations of the entities, in their order.

    Returns
    -------
    PermutedSlopes
        How unlikely the slope is if it does not matter which city has which weight.

    Raises
    ------
    NotEstimable
        If a weight or scaling value is missing (the measure is observed yearly); all cities have
        one weight; a permuted measure does not vary within cities or is a linear combination of the
        other regressors; or the regressor at the position is not the measure.
    ValueError
        If the permutations are not of as many cities as the regression has.

    Notes
    -----
    p is (1 + r)/(1 + draws) with r draws at least as extreme as the sample, ties included;
    enumerated, it is the share of all permutations, the sample's own among them.

    In logs the city effect absorbs the weight, and every permutation gives the estimate itself: p
    is one.

    References
    ----------
    Fisher (1935), The Design of Experiments; on placebo shares in shift-share designs, Adao,
    Kolesar and Morales (2019), Quarterly Journal of Economics 134(4); on t as the statistic,
    MacKinnon and Webb (2020), Journal of Econometrics 218(2).
    """
    entities, times = regression.entities, regression.times
    if len(permuted.cities) != regression.entity_count:
        raise ValueError(
            f"Permutations of {len(permuted.cities)} cities, and the regression has "
            f"{regression.entity_count}: take those of its cities by `among`."
        )
    if not (np.isfinite(weights).all() and np.isfinite(scaling).all()):
        raise NotEstimable("no_weight")
    if np.ptp(weights) == 0:
        raise NotEstimable("same_weights")

    # Entities of a cluster side by side.
    clusters = regression.clusters[np.unique(entities, return_index=True)[1]]
    order = np.argsort(clusters, kind="stable")
    place = np.argsort(order)
    scalings = np.full((len(order), regression.time_count), np.nan)
    scalings[entities, times] = scaling
    all_pairs = DonorPairs(permuted.strata)
    counts, pairs, donors = all_pairs.among(order, permuted.donors[:, order])
    measure = DonorMeasure(
        own=TRANSFORMS[transform](scaling * weights[entities]),
        of_donors=all_pairs.measures(scalings, weights[:, None], transform)[pairs],
    )
    controls = {str(j): column for j, column in enumerate(regression.design.T) if j != position}
    sums = PanelSums(
        place[entities],
        times,
        regression.time_count,
        blocks=np.zeros_like(order),
        clusters={CLUSTER: clusters[order]},
        outcome=regression.outcome,
        controls=controls,
        control_sets=[tuple(controls)],
        donor_counts=counts,
    )
    by_row = partial(sums.by_row, measure, donors)
    slopes = sums.slopes(sums.moments(measure, donors), tuple(controls), by_row)
    own = regression.effects.removed_from(measure.own[:, None])[:, 0]
    length = float(np.linalg.norm(own))
    if np.linalg.norm(own / length - regression.design[:, position]) > SAME:
        raise NotEstimable("not_weight_times_scaling")

    is_exact = _is_exact(regression, position, slopes, by_row)
    errors = np.where(is_exact, 0.0, slopes.std_errors[CLUSTER])
    statistics = np.full(len(errors), np.inf)
    np.divide(slopes.estimates, errors, out=statistics, where=errors > 0)
    unit = float(regression.units[position] * length)  # partialled_out divides the outcome by it
    return PermutedSlopes(
        estimate=unit * float(slopes.estimates[0]),
        std_error=unit * float(errors[0]),
        statistic=float(statistics[0]),
        slopes=unit * slopes.estimates[1:],
        statistics=statistics[1:],
        cluster_count=regression.cluster_count,
        permutations=permuted,
    )


def _is_exact(
    regression: PartialledOut, position: int, slopes: Slopes, by_row: Callable[[], Floats]
) -> NDArray[np.bool_]:
    """Tell which measures, shape (1 + draws,), fit the outcome exactly together with the controls.

    Rounding leaves the error of an exact fit near zero; only residuals tell it.
    """
    others = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
    outcome = regression.outcome - others @ (others.T @ regression.outcome)
    limit = EXACT * np.linalg.norm(regression.outcome)
    is_near = slopes.std_errors[CLUSTER] < NEARLY_EXACT * np.abs(slopes.estimates)
    is_exact = np.full(len(is_near), np.linalg.norm(outcome) <= limit)
    if is_near.any():
        measures = regression.effects.removed_from(by_row()[:, is_near])
        measures -= others @ (others.T @ measures)
        residuals = outcome[:, None] - measures * slopes.estimates[is_near]
        is_exact[is_near] = np.linalg.norm(residuals, axis=0) <= limit
    return is_exact
