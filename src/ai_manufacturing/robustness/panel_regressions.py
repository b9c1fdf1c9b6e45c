"""Regressions of one sample on a measure and on its permutations, all at once.

Effects and controls are removed from all of them together, and the slopes are those of what is
left (Frisch-Waugh-Lovell).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse, special

from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import (
    ABSORBED,
    COLLINEAR,
    DEPENDENT,
    cluster_factor,
    indicators,
)
from ai_manufacturing.estimators.not_estimable import NotEstimable


class Effects(Protocol):
    """Effects that can be projected off columns: PanelEffects, or those of fixed_effects."""

    def removed_from(self, columns: Floats) -> Floats:
        """Project columns, shape (n, m), off the effects."""


class PanelEffects:
    """Effects of entities, and of the years of blocks of entities, factored once for a sample.

    Parameters
    ----------
    entities, years : ndarray of int, shape (n,)
        Codes of each row, 0, 1, ...; of the years some may be missing.
    blocks : ndarray of int, shape (entities,)
        Block of each entity: entities of a block share the effects of their years.
    entity_effects : sequence of str
        constant and trend, a line through the entity's years; none of columns that are differences
        already. An entity has more rows than effects.

    Attributes
    ----------
    period_count : int
        Years of blocks that have a row.
    """

    def __init__(
        self, entities: Codes, years: Codes, blocks: Codes, entity_effects: Sequence[str]
    ) -> None:
        self._entities, self._of_entities = entities, indicators(entities)
        from_middle = years - (self._of_entities @ years / np.bincount(entities))[entities]
        shapes = {"constant": np.ones(len(years)), "trend": from_middle}
        # Orthonormal over the rows of each entity.
        self._shapes = [
            shapes[name] / np.sqrt(self._of_entities @ shapes[name] ** 2)[entities]
            for name in entity_effects
        ]
        year_count = int(years.max()) + 1
        self._periods = blocks[entities] * year_count + years
        self.period_count = len(np.unique(self._periods))
        self._of_periods = sparse.csr_array(
            (np.ones(len(years)), (self._periods, np.arange(len(years)))),
            shape=((int(blocks.max()) + 1) * year_count, len(years)),
        )
        # The normal equations of each block's years, once the entities are projected off them.
        grams = self._of_periods @ self._centred(np.eye(year_count)[years])
        self._inverses = np.linalg.pinv(
            grams.reshape(-1, year_count, year_count), rcond=DEPENDENT, hermitian=True
        )

    def removed_from(self, columns: Floats) -> Floats:
        """Project columns, shape (n, m), off the effects."""
        centred = self._centred(columns)
        sums = (self._of_periods @ centred).reshape(*self._inverses.shape[:2], -1)
        periods = (self._inverses @ sums).reshape(-1, columns.shape[1])
        centred -= self._centred(periods[self._periods])
        return centred

    def _centred(self, columns: Floats) -> Floats:
        """Project columns, shape (n, m), off the effects of the entities."""
        residuals = columns.copy()
        for shape in self._shapes:
            loadings = self._of_entities @ (residuals * shape[:, None])
            residuals -= loadings[self._entities] * shape[:, None]
        return residuals


def without_effects(effects: Effects, regressors: Floats) -> Floats:
    """Project regressors, shape (n, m), off the effects.

    Raises
    ------
    NotEstimable
        If the effects leave nothing of one of them, or one has values that are no numbers.
    """
    with np.errstate(invalid="ignore"):  # a donor without a weight: its draw is no number
        centred = regressors - regressors.mean(axis=0)
        within = effects.removed_from(centred)
        lengths, spreads = (np.linalg.norm(columns, axis=0) for columns in (within, centred))
    if not (lengths > ABSORBED * spreads).all():
        raise NotEstimable("constant_permutation")
    return within


@dataclass(frozen=True, eq=False)
class Slopes:
    """The slope of one regressor, and of its permutations, in one specification.

    Arrays have shape (1 + draws,).

    Attributes
    ----------
    estimates : ndarray
        In units of the outcome per unit of the regressor; the first is that of the regressor
        itself.
    standardised : ndarray
        The same in standard deviations, of what the effects leave of outcome and regressor:
        comparable over transforms.
    std_errors : dict of str to ndarray
        By kind of cluster.
    degrees_of_freedom : dict of str to int
        Those of t, by kind of cluster.
    """

    estimates: Floats
    standardised: Floats
    std_errors: dict[str, Floats]
    degrees_of_freedom: dict[str, int]

    def p_values(self, cluster: str) -> Floats:
        """Return two-sided p-values from t(G-1), shape (1 + draws,)."""
        statistics = np.abs(self.estimates / self.std_errors[cluster])
        return np.asarray(2 * special.stdtr(self.degrees_of_freedom[cluster], -statistics))

    def extended(self, more: "Slopes") -> "Slopes":
        """Return these slopes, and after them those of more permutations of the same regressor."""
        std_errors = {}
        for name, errors in self.std_errors.items():
            std_errors[name] = np.append(errors, more.std_errors[name][1:])
        return Slopes(
            estimates=np.append(self.estimates, more.estimates[1:]),
            standardised=np.append(self.standardised, more.standardised[1:]),
            std_errors=std_errors,
            degrees_of_freedom=self.degrees_of_freedom,
        )


def slopes(
    entities: Codes,
    outcome: Floats,
    controls: Floats,
    regressors: Floats,
    clusters: Mapping[str, Codes],
    periods: int,
) -> Slopes:
    """Fit one specification for a regressor and its permutations together.

    Parameters
    ----------
    entities : ndarray of int, shape (n,)
        Entity of each row, 0, 1, ...
    outcome : ndarray, shape (n,)
    controls : ndarray, shape (n, k)
    regressors : ndarray, shape (n, 1 + draws)
        All three with the effects removed.
    clusters : mapping of str to ndarray of int, shape (entities,)
        Cluster of each entity, by kind of cluster.
    periods : int
        Levels of the second effect, which count as parameters.

    Returns
    -------
    Slopes

    Raises
    ------
    NotEstimable
        If a regressor or a permutation of it is a linear combination of the controls, or for any
        reason of cluster_factor.

    References
    ----------
    Frisch-Waugh-Lovell; the errors are those of fixed_effects.fit.
    """
    residuals = without_controls(controls, regressors)
    variation = np.einsum("ij,ij->j", residuals, residuals)
    whole = np.einsum("ij,ij->j", regressors, regressors)
    if not (variation > COLLINEAR**2 * np.maximum(whole, np.finfo(float).tiny)).all():
        raise NotEstimable("constant_permutation")
    outcome_left = without_controls(controls, outcome)
    estimates = outcome_left @ residuals / variation
    scores = indicators(entities) @ (residuals * (outcome_left[:, None] - residuals * estimates))
    std_errors, degrees_of_freedom = {}, {}
    for name, codes in clusters.items():
        of_clusters = indicators(codes) @ scores
        factor = cluster_factor(len(outcome), len(of_clusters), controls.shape[1] + 1, periods)
        std_errors[name] = np.sqrt(factor) * np.linalg.norm(of_clusters, axis=0) / variation
        degrees_of_freedom[name] = len(of_clusters) - 1
    return Slopes(
        estimates=estimates,
        standardised=estimates * np.sqrt(whole / (outcome @ outcome)),
        std_errors=std_errors,
        degrees_of_freedom=degrees_of_freedom,
    )


def without_controls(controls: Floats, columns: Floats) -> Floats:
    """Project columns, shape (n,) or (n, m), off the controls, shape (n, k)."""
    basis = np.linalg.qr(controls)[0]
    residuals: Floats = columns - basis @ (basis.T @ columns)
    return residuals
