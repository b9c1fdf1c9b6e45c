"""Randomisation inference of equation 2: what a slope would be if other cities had the weights.

Equation 2 multiplies a weight that is fixed per city by a yearly scaling value. Its slope says something of the weights
only if it is unusual among the slopes with permuted weights.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, answered, of_each
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.columns import Codes, Floats, renumbered
from ai_manufacturing.estimators.fixed_effects import ABSORBED, COLLINEAR, EXACT, Effects, PartialledOut, cluster_factor
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case, case_of

TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "level": lambda count: count / 10_000,
    "ln": np.log,
    "ln1p": np.log1p,
    "asinh": np.arcsinh,
}

TIE = 1e-9  # statistics closer than this share are equal: the sample itself is one of the permutations
SAME = 1e-6  # two columns of unit length that differ by more are not one measure
NEARLY_EXACT = 1e-8  # residuals whose squares are below this share are looked at one by one
DONORS = 256  # cities whose weights are multiplied at a time
AT_ONCE = 64  # permutations whose measures fit a processor's cache


def permuted_weights_test(case: Case, strata: str) -> Iterator[Row]:
    """Test the measure, which is the first term, by permutations of its weights within strata."""
    yield {"term": case.specification.regressor, **vars(_permuted_slopes(case, strata).by_t())}


def permuted_weights(
    specifications: Iterable[Specification], asked: pd.DataFrame, inputs: Inputs, cities: pd.DataFrame
) -> pa.Table:
    """Return what each permutation of the check `randomisation` gives; the check itself is a row of est_inference.

    Parameters
    ----------
    specifications, asked, inputs, cities
        As in checks.checked.

    Returns
    -------
    Table
        One row per specification, strata and permutation, in the columns of est_permuted_weights; not_estimable with
        the reason where the check cannot be made.
    """
    cities = cities.set_index("city_id")

    def permutation_rows(specification: Specification, strata: str) -> Iterator[Row]:
        draws = _permuted_slopes(case_of(specification, inputs, cities), strata)
        for number, (slope, statistic) in enumerate(zip(draws.slopes, draws.statistics, strict=True), start=1):
            yield {"strata": strata, "permutation": number, "estimate": slope, "statistic": statistic}

    def rows_of(specification: Specification) -> Iterator[Row]:
        is_of = (asked["specification_id"] == specification.specification_id) & (asked["method"] == "randomisation")
        for setting in asked.loc[is_of, "setting"]:
            strata = setting.removeprefix("strata=")
            yield from answered(partial(permutation_rows, specification, strata), strata=strata)

    return of_each(specifications, inputs, "est_permuted_weights", rows_of)


def _permuted_slopes(case: Case, strata: str) -> "PermutedSlopes":
    scaling, weight = (case.rows[name].to_numpy(dtype=float, na_value=np.nan) for name in ("scaling_value", "weight"))
    of_city = np.full(len(case.city_ids), np.nan)
    of_city[case.regression.entities] = weight
    codes = case.inputs.strata_of(strata, pd.Series(case.city_ids))
    shared = _shared_permutations(tuple(case.city_ids), tuple(codes))
    measure = permuted_measure(case.regression, of_city, scaling, case.specification.transform, shared)
    return of_measure(case.regression, 0, measure)


@lru_cache(maxsize=8)  # many specifications have the same cities
def _shared_permutations(city_ids: tuple[str, ...], strata: tuple[int, ...]) -> "Permutations":
    return permutations(city_ids, np.array(strata))


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

        A donor that is not among them is passed over: its own donor gives, and so on. What is left of a cycle is a
        cycle, so each draw is a permutation of these cities; if all permutations of the union are equally likely, all
        of these are. Two samples see the same donor wherever both have it.

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
                f"Cities {', '.join(unknown[:5])} are not among the {len(self.cities)} permuted: permute the union of "
                "the cities of all samples."
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

    To use the same permutations in several specifications, draw them for the union of their cities and take those of
    each sample by `among`. The same set of cities, strata, draws and seed give the same permutations.

    Parameters
    ----------
    cities : sequence of str, length C
        In any order; each once.
    strata : ndarray of int, shape (C,), optional
        Stratum of each city, in the order of the cities; one stratum unless given. A city alone in its stratum keeps
        its weight, and is counted in a warning.
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
    codes = np.zeros(len(cities), dtype=np.intp) if strata is None else renumbered(np.asarray(strata)[order])
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    is_enumerated = math.prod(math.factorial(len(member)) for member in members) <= draws
    if is_enumerated:
        choices = itertools.product(*(itertools.permutations(member) for member in members))
        orders = np.array([list(itertools.chain(*choice)) for choice in choices])
    else:
        rng = np.random.default_rng(seed)
        orders = np.hstack([rng.permuted(np.tile(member, (draws, 1)), axis=1) for member in members])
    donors = np.empty_like(orders)
    donors[:, np.concatenate(members)] = orders
    return _checked(Permutations(tuple(cities[i] for i in order), codes, donors, is_enumerated))


def _checked(draws: Permutations) -> Permutations:
    if np.bincount(draws.strata).max() == 1:
        raise NotEstimable("all_alone", count=len(draws.cities))
    return draws


@dataclass(frozen=True, eq=False)
class PermutedMeasure:
    """A measure with its weights permuted; effects of the estimation sample removed.

    It depends on the rows of a regression and not on its outcome or controls, so that regressions of the same rows
    share one.

    Attributes
    ----------
    own : ndarray, shape (n,)
        The measure itself.
    spreads : ndarray, shape (1 + draws,)
        Length of the measure, and of that of each draw, less its mean and with the effects.
    permutations : Permutations
    """

    own: Floats
    spreads: Floats
    permutations: Permutations
    _of_donors: Floats  # (C * C, years): less the mean of the city, a row per city and donor, zero where it has no row
    _places: Codes  # (n,): of the rows of the regression among those of a draw

    @cached_property
    def donors(self) -> Codes:
        """Whose weight each city gets, shape (1 + draws, C): its own, then as drawn."""
        return np.vstack([np.arange(len(self.permutations.cities)), self.permutations.donors])

    def measures(self, donors: Codes) -> Floats:
        """Return the measure less the means of the cities, shape (draws, C * years), for donors of shape (draws, C)."""
        count = donors.shape[1]
        measures: Floats = self._of_donors[donors + count * np.arange(count)].reshape(len(donors), -1)
        return measures

    def by_city(self, columns: Floats) -> Floats:
        """Return columns, shape (n, m), as the draws are, shape (C * years, m); zero where a city has no row."""
        count = len(self.permutations.cities)
        cells = np.zeros((count * self._of_donors.shape[1], columns.shape[1]))
        cells[self._places] = columns
        return cells

    def times(self, column: Floats, basis: Floats, loadings: Floats) -> Floats:
        """Sum, over each city's rows, a column times each draw less its part in a basis, shape (1 + draws, C).

        Parameters
        ----------
        column : ndarray, shape (n,)
        basis : ndarray, shape (n, r)
        loadings : ndarray, shape (1 + draws, r)
            Loadings of the draws on the basis.
        """
        count = len(self.permutations.cities)
        factor = self.by_city(column[:, None]).reshape(count, -1)
        of_pairs = np.matmul(self._of_donors.reshape(count, count, -1), factor[:, :, None]).ravel()
        of_basis = np.einsum("ct,ctr->rc", factor, self.by_city(basis).reshape(count, -1, basis.shape[1]))
        sums: Floats = of_pairs.take(self.donors + count * np.arange(count))
        sums -= loadings @ of_basis
        return sums

    def in_rows(self, measures: Floats) -> Floats:
        """Return draws, shape (draws, C * years), in the rows of the regression, shape (n, draws)."""
        return measures[:, self._places].T


def permuted_measure(
    regression: PartialledOut, weights: Floats, scaling: Floats, transform: str, permuted: Permutations
) -> PermutedMeasure:
    """Make a measure anew for each permutation of its weights over cities.

    Parameters
    ----------
    regression : PartialledOut
        Any of those that have the rows of the sample.
    weights : ndarray, shape (C,)
        Weight of each entity of the regression, fixed over the years.
    scaling : ndarray, shape (n,)
        Scaling value of each row of the regression.
    transform : {"level", "ln", "ln1p", "asinh"}
        Transform of weight times scaling value.
    permuted : Permutations
        Permutations of the entities of the regression, in their order.

    Returns
    -------
    PermutedMeasure

    Raises
    ------
    NotEstimable
        If a weight or scaling value is missing (the measure is observed yearly), or all cities have one weight.
    ValueError
        If the permutations are not of as many cities as the regression has.
    """
    if len(permuted.cities) != regression.entity_count:
        raise ValueError(
            f"Permutations of {len(permuted.cities)} cities, and the regression has {regression.entity_count}: take "
            "those of its cities by `among`."
        )
    if not (np.isfinite(weights).all() and np.isfinite(scaling).all()):
        raise NotEstimable("no_weight")
    if np.ptp(weights) == 0:
        raise NotEstimable("same_weights")
    return _permuted_measure(
        regression.entities.tobytes(),
        regression.times.tobytes(),
        np.asarray(weights, dtype=float).tobytes(),
        np.asarray(scaling, dtype=float).tobytes(),
        transform,
        permuted,
    )


class _DonorSums(NamedTuple):
    """A measure with the weight of each donor."""

    by_donor: Floats  # (C * C, years): less the mean of the city, a row per city and donor
    places: Codes
    own: Floats  # (n,): of the measure itself, effects removed
    sums: Floats  # (C, C): by city and donor, of the measure less its mean, and of its square
    squares: Floats


@lru_cache(maxsize=1)  # by content: strata of the same measure follow each other
def _donor_sums(entities_of_rows: bytes, times: bytes, weights: bytes, scaling: bytes, transform: str) -> _DonorSums:
    entities = np.frombuffer(entities_of_rows, dtype=np.intp)
    effects = Effects(entities, np.frombuffer(times, dtype=np.intp))
    # One measure per row and donor; a permutation picks from these. The largest by far, so few copies are held at once.
    of_donors = TRANSFORMS[transform](np.frombuffer(scaling)[:, None] * np.frombuffer(weights))
    count = of_donors.shape[1]
    own = effects.removed_from(of_donors[np.arange(len(entities)), entities][:, None])[:, 0]
    about_mean = of_donors - of_donors.mean()
    sums = effects.summed(about_mean)
    squares = effects.summed(np.square(about_mean, out=about_mean))
    del about_mean
    # A row per city and donor holds the city's years side by side, so that a draw copies whole rows.
    sizes = np.bincount(entities)
    position = np.arange(len(entities)) - (np.cumsum(sizes) - sizes)[entities]
    by_donor = np.zeros((count, count, int(sizes.max())))
    for first in range(0, count, DONORS):
        donors = slice(first, first + DONORS)
        by_donor[entities, donors, position] = effects.centred(of_donors[:, donors])
    places = entities * by_donor.shape[2] + position
    return _DonorSums(by_donor.reshape(count * count, -1), places, own, sums, squares)


@lru_cache(maxsize=4)  # by content: regressions of the same rows and measure follow each other
def _permuted_measure(
    entities: bytes, times: bytes, weights: bytes, scaling: bytes, transform: str, permuted: Permutations
) -> PermutedMeasure:
    of_pairs = _donor_sums(entities, times, weights, scaling, transform)
    count = len(permuted.cities)
    pairs = np.vstack([np.arange(count), permuted.donors]) + count * np.arange(count)
    sums, squares = (table.take(pairs).sum(axis=1) for table in (of_pairs.sums, of_pairs.squares))
    return PermutedMeasure(
        own=of_pairs.own,
        spreads=np.sqrt(np.maximum(squares - sums**2 / len(of_pairs.places), 0.0)),
        permutations=permuted,
        _of_donors=of_pairs.by_donor,
        _places=of_pairs.places,
    )


@dataclass(frozen=True, eq=False)
class PermutedSlopes:
    """The slope of a measure, and those of the measures with permuted weights.

    Attributes
    ----------
    estimate, std_error, statistic : float
        Those of the measure itself, in units of the outcome per unit of the regressor; the error is clustered, and zero
        if the outcome is fitted exactly.
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
        p_value, draws, is_enumerated = self.p_value_of_t, len(self.slopes), self.permutations.is_enumerated
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
        counted = 0 if self.permutations.is_enumerated else 1  # enumerated, the sample is one of the draws
        return float((counted + extreme.sum()) / (counted + len(extreme)))


def of_measure(regression: PartialledOut, position: int, measure: PermutedMeasure) -> PermutedSlopes:
    """Regress the outcome on the measure as it is, with each permutation of its weights.

    Parameters
    ----------
    regression : PartialledOut
        Its clusters are those of the errors.
    position : int
        Index of the measure among the regressors.
    measure : PermutedMeasure
        Made for the rows of the regression.

    Returns
    -------
    PermutedSlopes
        How unlikely the slope is if it does not matter which city has which weight.

    Raises
    ------
    NotEstimable
        If a permuted measure does not vary within cities or is a linear combination of the other regressors, or the
        regressor at the position is not the measure.
    ValueError
        If the measure has other rows than the regression.

    Notes
    -----
    p is (1 + r)/(1 + draws) with r draws at least as extreme as the sample, ties included; enumerated, it is the
    share of all permutations, the sample's own among them.

    In logs the city effect absorbs the weight, and every permutation gives the estimate itself: p is one.

    References
    ----------
    Fisher (1935), The Design of Experiments; on placebo shares in shift-share designs, Adao, Kolesar and Morales
    (2019), Quarterly Journal of Economics 134(4); on t as the statistic, MacKinnon and Webb (2020), Journal of
    Econometrics 218(2).
    """
    if len(measure.own) != len(regression.outcome):
        raise ValueError(
            f"The measure has {len(measure.own)} rows, and the regression {len(regression.outcome)}: make it for these "
            "rows."
        )
    others: Floats = np.linalg.qr(np.delete(regression.design, position, axis=1))[0]
    basis = np.column_stack([regression.effects.period_basis, others])
    draws = _draws(measure, basis.tobytes(), others.shape[1])
    length = float(np.linalg.norm(measure.own))
    if not (draws.lengths > ABSORBED * measure.spreads).all():
        raise NotEstimable("constant_permutation")
    if np.linalg.norm(measure.own / length - regression.design[:, position]) > SAME:
        raise NotEstimable("not_weight_times_scaling")

    # With x a draw and y the outcome, both less the other regressors: sums of x^2 and xy over each cluster.
    y = regression.outcome - others @ (others.T @ regression.outcome)
    clusters = regression.clusters[np.unique(regression.entities, return_index=True)[1]]
    order = np.argsort(clusters, kind="stable")
    firsts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    xx, xy = draws.squares, measure.times(y, basis, draws.loadings)
    if not np.array_equal(clusters, np.arange(len(clusters))):
        xx, xy = (np.add.reduceat(sums[:, order], firsts, axis=1) for sums in (xx, xy))
    squares = xx.sum(axis=1)
    if not (np.sqrt(squares) > COLLINEAR * draws.lengths).all():
        raise NotEstimable("constant_permutation")
    slopes = xy.sum(axis=1) / squares
    errors = np.empty(len(slopes))
    for start in range(0, len(slopes), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        scores = xx[part] * -slopes[part, None]
        scores += xy[part]
        errors[part] = np.einsum("dg,dg->d", scores, scores)
    factor = cluster_factor(len(y), len(firsts), others.shape[1] + 1, regression.time_count)
    errors = np.sqrt(factor * errors) / squares

    # The difference of two squares tells a good fit, and only the residuals themselves an exact one.
    outcome = float(regression.outcome @ regression.outcome)
    for draw in np.flatnonzero(y @ y - slopes**2 * squares < NEARLY_EXACT * outcome):
        x = regression.effects.removed_from(measure.in_rows(measure.measures(measure.donors[[draw]])))[:, 0]
        x -= others @ (others.T @ x)
        if np.linalg.norm(y - slopes[draw] * x) <= EXACT * np.sqrt(outcome):
            errors[draw] = 0.0
    statistics = np.full(len(slopes), np.inf)
    np.divide(slopes, errors, out=statistics, where=errors > 0)
    unit = float(regression.units[position] * length)  # partialled_out divides the outcome by it
    return PermutedSlopes(
        estimate=unit * float(slopes[0]),
        std_error=unit * float(errors[0]),
        statistic=float(statistics[0]),
        slopes=unit * slopes[1:],
        statistics=statistics[1:],
        cluster_count=len(firsts),
        permutations=measure.permutations,
    )


class _Draws(NamedTuple):
    """Each draw x of a measure less the effects and the other regressors."""

    squares: Floats  # (1 + draws, entities): of x, summed over an entity's rows
    loadings: Floats  # (1 + draws, r): of the draws on the basis
    lengths: Floats  # (1 + draws,): of x with the other regressors


@lru_cache(maxsize=4)  # by content of the basis: outcomes of the same rows, measure and controls follow each other
def _draws(measure: PermutedMeasure, basis_of_rows: bytes, controls: int) -> _Draws:
    """Project the draws off a basis of the periods and of the other regressors, which are its last columns."""
    basis, donors = measure.by_city(np.frombuffer(basis_of_rows).reshape(len(measure.own), -1)), measure.donors
    squares = np.empty(donors.shape)
    loadings = np.empty((len(donors), basis.shape[1]))
    for start in range(0, len(donors), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        x = measure.measures(donors[part])
        np.matmul(x, basis, out=loadings[part])
        x -= loadings[part] @ basis.T
        x = x.reshape(len(x), donors.shape[1], -1)
        np.einsum("dct,dct->dc", x, x, out=squares[part])
    of_others = loadings[:, basis.shape[1] - controls :]
    lengths = np.sqrt(squares.sum(axis=1) + np.einsum("dk,dk->d", of_others, of_others))
    return _Draws(squares, loadings, lengths)
