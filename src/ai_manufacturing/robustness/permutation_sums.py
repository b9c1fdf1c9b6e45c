"""Regressions of one sample on a measure and on its permutations, from sums per pair of cities.

In a permutation each city takes another city's weight. Sums per pair of cities are computed once,
so that a draw looks its sums up and need not pass over the rows; the effects of a draw are taken
off by their few normal equations. Sets of controls share the sums: each needs, per city, only those
of products of the regressor with the basis of its controls.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import ABSORBED, DEPENDENT
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import joint_test
from ai_manufacturing.robustness.joint_test import Slopes

TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "level": lambda count: count / 10_000,
    "ln": np.log,
    "ln1p": np.log1p,
    "asinh": np.arcsinh,
}

CELLS_AT_ONCE = 100_000  # of draws, so that what is made of them stays in the processor's cache
DRAWS_AT_ONCE = 64
CLOSE = 1e-3  # a regressor of whose squares the controls leave less than this share: differences of sums lose digits


class DonorPairs:
    """Pairs of a city and a donor of its stratum, itself among them, side by side by city.

    Parameters
    ----------
    strata : ndarray of int, shape (C,)
        Stratum of each city.
    """

    def __init__(self, strata: Codes) -> None:
        self._cities, self._donors = np.nonzero(strata[:, None] == strata)
        self._counts = np.bincount(self._cities)
        self._firsts = np.cumsum(self._counts) - self._counts
        self._place = np.empty(len(strata), dtype=np.intp)  # of a city in its stratum
        self._place[self._donors] = np.arange(len(self._donors)) - self._firsts[self._cities]

    def measures(self, scalings: Floats, weights: Floats, transform: str) -> Floats:
        """Return the measure of each city with the weight of each of its donors, shape (pairs, T).

        Parameters
        ----------
        scalings : ndarray, shape (C, T)
            Scaling value of each city and year; NaN where it has no row.
        weights : ndarray, shape (C, T) or (C, 1)
        transform : {"level", "ln", "ln1p", "asinh"}
            Transform of weight times scaling value.
        """
        with np.errstate(divide="ignore", invalid="ignore"):  # the log of a donor without a weight
            return TRANSFORMS[transform](scalings[self._cities] * weights[self._donors])

    def among(self, cities: Codes, donors: Codes) -> "SamplePairs":
        """Return the pairs of some cities.

        Parameters
        ----------
        cities : ndarray of int, shape (c,)
            In any order.
        donors : ndarray of int, shape (draws, c)
            The city whose weight each of them gets.
        """
        counts = self._counts[cities]
        firsts = np.cumsum(counts) - counts
        pairs = np.arange(counts.sum()) + np.repeat(self._firsts[cities] - firsts, counts)
        return SamplePairs(counts, pairs, self._place[donors] + firsts)


class SamplePairs(NamedTuple):
    """Pairs of the cities of a sample.

    Attributes
    ----------
    counts : ndarray of int, shape (c,)
        Donors of each city, itself among them.
    pairs : ndarray of int, shape (p,)
        Position of each pair among those of all cities.
    draws : ndarray of int, shape (draws, c)
        Position among the p of each city's pair in each draw.
    """

    counts: Codes
    pairs: Codes
    draws: Codes


@dataclass(frozen=True, eq=False)
class DonorMeasure:
    """A measure with the weights as they are, and with the weight of each donor.

    Attributes
    ----------
    own : ndarray, shape (n,)
        With the weights as they are.
    of_donors : ndarray, shape (pairs, years)
        Measure of each entity with the weight of each of its donors, a row per pair, the entities
        in order.
    """

    own: Floats
    of_donors: Floats


class Moments(NamedTuple):
    """Sums over each entity's rows of a regressor, effects removed.

    As it is, then of each permutation.

    Attributes
    ----------
    squares : ndarray, shape (1 + draws, entities)
    products : ndarray, shape (columns, 1 + draws, entities)
        With the outcome, and with the bases of the controls.
    spread : float
        Sum of squares of the regressor about its mean, effects not removed.
    """

    squares: Floats
    products: Floats
    spread: float


class _Controls(NamedTuple):
    """One set of k controls."""

    names: tuple[str, ...]
    positions: list[int]  # of its orthonormal basis among the columns
    loadings: Floats  # (k,): of the outcome on the basis
    of_entities: Floats  # (k + k (k + 1) / 2, entities): sums of basis times the outcome left, and of basis times basis
    pairs: list[tuple[int, int]]  # of the basis, of which the last are


class PanelSums:
    """Outcome and controls of a sample by entity and year, effects removed, and sums of them over pairs of entities.

    Parameters
    ----------
    entities, years : ndarray of int, shape (n,)
        Codes of each row, 0, 1, ...; of the years some may be missing.
    year_count : int
    blocks : ndarray of int, shape (entities,)
        0, 0, 1, ...: entities that share the effects of their years, side by side.
    clusters : mapping of str to ndarray of int, shape (entities,)
        By kind of cluster, 0, 0, 1, ...: entities of a cluster, side by side.
    outcome : ndarray, shape (n,)
    controls : mapping of str to ndarray, shape (n,)
    control_sets : iterable of tuple of str
        Those of the regressions.
    donor_counts : ndarray of int, shape (entities,)
        Number of donors of each entity, itself among them.
    entity_effects : sequence of str
        constant and trend, a line through the entity's years; none of columns that are differences
        already. An entity has more rows than effects.
    """

    def __init__(
        self,
        entities: Codes,
        years: Codes,
        year_count: int,
        *,
        blocks: Codes,
        clusters: Mapping[str, Codes],
        outcome: Floats,
        controls: Mapping[str, Floats],
        control_sets: Iterable[tuple[str, ...]],
        donor_counts: Codes,
        entity_effects: Sequence[str] = ("constant",),
    ) -> None:
        self._entities, self._years, self._block_codes = entities, years, blocks
        self._shape = (len(blocks), year_count)
        self._clusters = clusters
        self._firsts = {
            name: np.flatnonzero(np.diff(codes, prepend=-1)) for name, codes in clusters.items()
        }
        self._has = self._in_cells(np.ones((1, len(entities))))[0]
        # Orthonormal over the rows of each entity.
        self._of_entities = [self._entity_effect(name) for name in entity_effects]
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        self._blocks = [
            slice(*ends) for ends in zip(starts, [*starts[1:], len(blocks)], strict=True)
        ]
        self._period_count = int(np.logical_or.reduceat(self._has > 0, starts, axis=0).sum())
        # Of the normal equations of each block's years, once the entities are projected off them.
        grams = [
            np.diag(self._has[of].sum(axis=0))
            - sum(effect[of].T @ effect[of] for effect in self._of_entities)
            for of in self._blocks
        ]
        strengths, directions = np.linalg.eigh(np.stack(grams))
        regular = strengths > DEPENDENT * np.maximum(strengths[:, -1:], 1.0)
        inverted = np.divide(1.0, strengths, out=np.zeros_like(strengths), where=regular)
        self._inverses = directions * inverted[:, None, :] @ directions.transpose(0, 2, 1)

        columns = np.stack([outcome, *controls.values()])
        within = self._without_effects(self._centred(columns - columns.mean(axis=1, keepdims=True)))
        self._outcome, self._of_name = within[0], dict(zip(controls, within[1:], strict=True))
        self._columns, self._position_of = [self._outcome], dict[tuple[str, ...], int]()
        self._sets = {names: self._controls(names) for names in dict.fromkeys(control_sets)}
        # By pair of entity and donor.
        self._owners = np.repeat(np.arange(len(blocks)), donor_counts)
        self._owner_has = self._has[self._owners]
        self._owner_effects = [effect[self._owners] for effect in self._of_entities]
        self._owner_columns = [column[self._owners] for column in self._columns]

    def moments(self, measure: DonorMeasure, donors: Codes | None) -> Moments:
        """Sum what all regressions on a measure and its permutations need.

        Parameters
        ----------
        measure : DonorMeasure
        donors : ndarray of int, shape (draws, entities), optional
            Row of the pair of each entity and its donor in each draw.

        Returns
        -------
        Moments
        """
        draws = 0 if donors is None else len(donors)
        about_mean = measure.own - measure.own.mean()
        spread = float(about_mean @ about_mean)
        centred = self._centred(about_mean[None])
        own = self._without_effects(centred)[0]
        squares = np.empty((1 + draws, self._shape[0]))
        products = np.empty((len(self._columns), 1 + draws, self._shape[0]))
        squares[0] = np.einsum("ct,ct->c", own, own)
        for product, column in zip(products, self._columns, strict=True):
            product[0] = np.einsum("ct,ct->c", own, column)
        if donors is None:
            return Moments(squares, products, spread)

        # Less the effects of the measure itself, so that those of a draw are small, and no digits
        # cancel.
        table = np.where(self._owner_has > 0, measure.of_donors, 0.0)
        with np.errstate(invalid="ignore"):  # a donor without a weight, whose draws are no numbers
            for of_owners in self._owner_effects:
                table -= np.einsum("pt,pt->p", table, of_owners)[:, None] * of_owners
        table -= (centred[0] - own).take(self._owners, axis=0)
        of_squares = np.einsum("pt,pt->p", table, table)
        of_products = [np.einsum("pt,pt->p", table, column) for column in self._owner_columns]
        for of, inverse in zip(self._blocks, self._inverses, strict=True):
            ones = np.ones(of.stop - of.start)
            step = max(1, CELLS_AT_ONCE // (len(ones) * self._shape[1]))
            for start in range(0, draws, step):
                picked = donors[start : start + step, of]
                part = slice(1 + start, 1 + start + len(picked))
                x = table.take(picked, axis=0)  # (draws, entities, years)
                periods = np.matmul(ones, x) @ inverse
                residual = of_squares.take(picked)
                residual -= 2 * np.matmul(x, periods[:, :, None])[:, :, 0]
                residual += periods**2 @ self._has[of].T
                for effect in self._of_entities:
                    residual -= (periods @ effect[of].T) ** 2
                squares[part, of] = residual
                for product, column, of_pairs in zip(
                    products, self._columns, of_products, strict=True
                ):
                    product[part, of] = of_pairs.take(picked) - periods @ column[of].T
        return Moments(squares, products, spread)

    def slopes(
        self, moments: Moments, control_set: tuple[str, ...], regressors: Callable[[], Floats]
    ) -> Slopes:
        """Fit one regression for a measure and its permutations together.

        Parameters
        ----------
        moments : Moments
        control_set : tuple of str
        regressors : callable
            Gives the measure and its permutations by row, shape (n, 1 + draws), for a regression
            whose effects or controls leave so little of one that its rows must be looked at.

        Returns
        -------
        Slopes
            As of joint_test.slopes.

        Raises
        ------
        NotEstimable
            If the effects leave nothing of a permutation, or for any reason of joint_test.slopes.
        """
        controls = self._sets[control_set]
        squares, (of_outcome, *of_columns), spread = moments
        of_basis = [of_columns[position - 1] for position in controls.positions]
        whole = squares.sum(axis=1)
        sums = np.array([column.sum(axis=1) for column in of_basis]).reshape(
            len(of_basis), len(whole)
        )
        variation = whole - np.einsum("kd,kd->d", sums, sums)
        is_told = (variation > CLOSE * whole) & (whole > ABSORBED**2 * spread)
        if not is_told.all():
            return self._by_rows(control_set, regressors())
        estimates = (of_outcome.sum(axis=1) - controls.loadings @ sums) / variation

        # The score of an entity: sum of (x - Q l)(y - Q a) - b (x - Q l)^2, l and a the loadings on
        # the basis Q.
        doubled = [(1 if i == j else 2) * sums[i] * sums[j] for i, j in controls.pairs]
        per_draw = np.array([*(-sums), *(-estimates * product for product in doubled)]).reshape(
            -1, len(whole)
        )
        on_basis = 2 * estimates * sums - controls.loadings[:, None]
        scores = {
            name: (len(firsts), np.empty(len(whole))) for name, firsts in self._firsts.items()
        }
        for start in range(0, len(whole), DRAWS_AT_ONCE):
            part = slice(start, start + DRAWS_AT_ONCE)
            of_entities = squares[part] * -estimates[part, None]
            of_entities += of_outcome[part]
            for factor, column in zip(on_basis, of_basis, strict=True):
                of_entities += factor[part, None] * column[part]
            if len(per_draw):
                of_entities += per_draw[:, part].T @ controls.of_entities
            for name, firsts in self._firsts.items():
                alone = len(firsts) == of_entities.shape[1]
                of_groups = of_entities if alone else np.add.reduceat(of_entities, firsts, axis=1)
                scores[name][1][part] = np.einsum("dg,dg->d", of_groups, of_groups)
        return joint_test.of_scores(
            estimates,
            variation,
            whole / np.vdot(self._outcome, self._outcome),
            scores,
            (len(self._entities), len(of_basis) + 1, self._period_count),
        )

    def by_row(self, measure: DonorMeasure, donors: Codes | None) -> Floats:
        """Return a measure and its permutations by row, shape (n, 1 + draws)."""
        if donors is None:
            return measure.own[:, None]
        return np.column_stack(
            [measure.own, measure.of_donors[donors.T[self._entities], self._years[:, None]]]
        )

    def _by_rows(self, control_set: tuple[str, ...], regressors: Floats) -> Slopes:
        columns = regressors.T - regressors.mean(axis=0)[:, None]
        within = self._without_effects(self._centred(columns))[:, self._entities, self._years]
        lengths, spreads = (np.linalg.norm(rows, axis=1) for rows in (within, columns))
        if not (lengths > ABSORBED * spreads).all():
            raise NotEstimable("constant_permutation")
        outcome, *controls = (
            column[self._entities, self._years]
            for column in (self._outcome, *(self._of_name[name] for name in control_set))
        )
        return joint_test.slopes(
            self._entities,
            outcome,
            np.column_stack([np.empty((len(outcome), 0)), *controls]),
            within.T,
            self._clusters,
            self._period_count,
        )

    def _controls(self, names: tuple[str, ...]) -> _Controls:
        within = (
            np.array([self._of_name[name] for name in names])
            .reshape(len(names), self._outcome.size)
            .T
        )
        # The first columns of a basis are the basis of the first controls, which other sets may
        # have too.
        for j, column in enumerate(np.linalg.qr(within)[0].T, start=1):
            if names[:j] not in self._position_of:
                self._position_of[names[:j]] = len(self._columns)
                self._columns.append(column.reshape(self._shape))
        positions = [self._position_of[names[:j]] for j in range(1, len(names) + 1)]
        basis = np.array([self._columns[position] for position in positions]).reshape(
            -1, *self._shape
        )
        loadings = np.einsum("kct,ct->k", basis, self._outcome)
        residual = self._outcome - np.einsum("k,kct->ct", loadings, basis)
        pairs = [(i, j) for i in range(len(basis)) for j in range(i, len(basis))]
        of_entities = [
            *(np.einsum("ct,ct->c", column, residual) for column in basis),
            *(np.einsum("ct,ct->c", basis[i], basis[j]) for i, j in pairs),
        ]
        return _Controls(
            names, positions, loadings, np.array(of_entities).reshape(-1, self._shape[0]), pairs
        )

    def _in_cells(self, columns: Floats) -> Floats:
        """Lay columns, shape (m, n), out by entity and year, shape (m, entities, years).

        Zero where there is no row.
        """
        cells = np.zeros((len(columns), *self._shape))
        cells[:, self._entities, self._years] = columns
        return cells

    def _entity_effect(self, name: str) -> Floats:
        """Return an effect of each entity by entity and year, of unit length and free of the constant."""
        years = np.arange(self._shape[1])
        from_middle = years - (self._has @ years / self._has.sum(axis=1))[:, None]
        effect = self._has * {"constant": 1.0, "trend": from_middle}[name]
        return np.asarray(effect / np.linalg.norm(effect, axis=1, keepdims=True))

    def _centred(self, columns: Floats) -> Floats:
        """Project columns, shape (m, n), off the effects of their entities, by entity and year."""
        cells = self._in_cells(columns)
        for effect in self._of_entities:
            cells -= np.einsum("mct,ct->mc", cells, effect)[:, :, None] * effect
        return cells

    def _without_effects(self, cells: Floats) -> Floats:
        """Project centred columns, shape (m, entities, years), off the effects."""
        residual = cells.copy()
        for of, inverse in zip(self._blocks, self._inverses, strict=True):
            periods = cells[:, of].sum(axis=1) @ inverse
            residual[:, of] -= periods[:, None, :] * self._has[of]
            for effect in self._of_entities:
                residual[:, of] += (periods @ effect[of].T)[:, :, None] * effect[of]
        return residual
