"""Regress an outcome on a measure, and on many permutations of the measure at once.

Effects and controls are projected out of all columns together, and slopes are computed from the
residuals (Frisch-Waugh-Lovell).
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
    build_dummies,
    cluster_factor,
)
from ai_manufacturing.estimators.not_estimable import NotEstimable


class Effects(Protocol):
    """Protocol for fixed effects that can be partialled out of columns."""

    def remove_from(self, columns: Floats) -> Floats:
        """Partial the effects out of columns of shape (n, m)."""


class PanelEffects:
    """Entity effects and year effects by block of entities, factorised once for a sample.

    Parameters
    ----------
    entities, years : ndarray of int, shape (n,)
        Codes of each row, 0, 1, ...; years may have gaps.
    blocks : ndarray of int, shape (entities,)
        Block of each entity; the entities of a block share their year effects.
    entity_effects : sequence of str
        Any of "constant" and "trend", a linear trend for each entity. It is empty for differenced
        columns. Every entity must have more rows than effects.

    Attributes
    ----------
    period_count : int
        Number of block-years with at least one row.
    """

    def __init__(
        self, entities: Codes, years: Codes, blocks: Codes, entity_effects: Sequence[str]
    ) -> None:
        self._entities, self._entity_dummies = entities, build_dummies(entities)
        from_middle = years - (self._entity_dummies @ years / np.bincount(entities))[entities]
        shapes = {"constant": np.ones(len(years)), "trend": from_middle}
        # Scale constant and trend to be orthonormal within each entity.
        self._shapes = [
            shapes[name] / np.sqrt(self._entity_dummies @ shapes[name] ** 2)[entities]
            for name in entity_effects
        ]
        year_count = int(years.max()) + 1
        self._periods = blocks[entities] * year_count + years
        self.period_count = len(np.unique(self._periods))
        self._period_dummies = sparse.csr_array(
            (np.ones(len(years)), (self._periods, np.arange(len(years)))),
            shape=((int(blocks.max()) + 1) * year_count, len(years)),
        )
        # Gram matrix of each block's year dummies after entity effects are partialled out.
        grams = self._period_dummies @ self._remove_entity_effects(np.eye(year_count)[years])
        self._inverses = np.linalg.pinv(
            grams.reshape(-1, year_count, year_count), rcond=DEPENDENT, hermitian=True
        )

    def remove_from(self, columns: Floats) -> Floats:
        """Partial the effects out of columns of shape (n, m)."""
        residuals = self._remove_entity_effects(columns)
        sums = (self._period_dummies @ residuals).reshape(*self._inverses.shape[:2], -1)
        periods = (self._inverses @ sums).reshape(-1, columns.shape[1])
        residuals -= self._remove_entity_effects(periods[self._periods])
        return residuals

    def _remove_entity_effects(self, columns: Floats) -> Floats:
        """Partial the entity effects out of columns of shape (n, m)."""
        residuals = columns.copy()
        for shape in self._shapes:
            loadings = self._entity_dummies @ (residuals * shape[:, None])
            residuals -= loadings[self._entities] * shape[:, None]
        return residuals


def remove_effects(effects: Effects, regressors: Floats) -> Floats:
    """Partial fixed effects out of (n, m) regressors, and check that variation remains.

    Raises
    ------
    NotEstimable
        If the effects absorb a regressor, or a regressor has values that are not finite.
    """
    with np.errstate(invalid="ignore"):  # regressors in logs are infinite if a weight is zero
        deviations = regressors - regressors.mean(axis=0)
        within = effects.remove_from(deviations)
        lengths, spreads = (np.linalg.norm(columns, axis=0) for columns in (within, deviations))
    if not (lengths > ABSORBED * spreads).all():
        raise NotEstimable("constant_permutation")
    return within


@dataclass(frozen=True, eq=False)
class PermutationSlopes:
    """Slopes and standard errors of a regressor and of each of its permutations.

    Arrays have shape (1 + draws,); the first element belongs to the regressor itself.

    Attributes
    ----------
    estimates : ndarray
        Slopes in units of the outcome per unit of the regressor.
    standardised : ndarray
        Slopes in standard deviations of outcome and regressor net of the effects, which makes them
        comparable between transforms.
    std_errors : dict of str to ndarray
        Standard errors by type of cluster.
    degrees_of_freedom : dict of str to int
        Degrees of freedom of t by type of cluster.
    """

    estimates: Floats
    standardised: Floats
    std_errors: dict[str, Floats]
    degrees_of_freedom: dict[str, int]

    def p_values(self, cluster: str) -> Floats:
        """Return two-sided p-values from the t(G-1) distribution, shape (1 + draws,)."""
        statistics = np.abs(self.estimates / self.std_errors[cluster])
        return np.asarray(2 * special.stdtr(self.degrees_of_freedom[cluster], -statistics))

    def extend(self, more: "PermutationSlopes") -> "PermutationSlopes":
        """Append the slopes of more permutations of the same regressor."""
        std_errors = {}
        for name, errors in self.std_errors.items():
            std_errors[name] = np.append(errors, more.std_errors[name][1:])
        return PermutationSlopes(
            estimates=np.append(self.estimates, more.estimates[1:]),
            standardised=np.append(self.standardised, more.standardised[1:]),
            std_errors=std_errors,
            degrees_of_freedom=self.degrees_of_freedom,
        )


def fit_slopes(
    entities: Codes,
    outcome: Floats,
    controls: Floats,
    regressors: Floats,
    clusters: Mapping[str, Codes],
    periods: int,
) -> PermutationSlopes:
    """Regress an outcome on a regressor, and separately on each of its permutations.

    Parameters
    ----------
    entities : ndarray of int, shape (n,)
        Entity of each row, 0, 1, ...
    outcome : ndarray, shape (n,)
        Outcome net of the effects.
    controls : ndarray, shape (n, k)
        Controls net of the effects.
    regressors : ndarray, shape (n, 1 + draws)
        The regressor and its permutations, net of the effects.
    clusters : mapping of str to ndarray of int, shape (entities,)
        Cluster of each entity, by type of cluster.
    periods : int
        Number of period effects, which count as parameters.

    Returns
    -------
    PermutationSlopes

    Raises
    ------
    NotEstimable
        If the regressor or a permutation is a linear combination of the controls, or for any reason
        that cluster_factor raises it.

    Notes
    -----
    Slopes follow from the Frisch-Waugh-Lovell theorem; standard errors equal fixed_effects.fit.
    """
    residuals = remove_controls(controls, regressors)
    variation = np.einsum("ij,ij->j", residuals, residuals)
    whole = np.einsum("ij,ij->j", regressors, regressors)
    if not (variation > COLLINEAR**2 * np.maximum(whole, np.finfo(float).tiny)).all():
        raise NotEstimable("constant_permutation")
    residual_outcome = remove_controls(controls, outcome)
    estimates = residual_outcome @ residuals / variation
    scores = build_dummies(entities) @ (
        residuals * (residual_outcome[:, None] - residuals * estimates)
    )
    std_errors, degrees_of_freedom = {}, {}
    for name, codes in clusters.items():
        cluster_scores = build_dummies(codes) @ scores
        factor = cluster_factor(len(outcome), len(cluster_scores), controls.shape[1] + 1, periods)
        std_errors[name] = np.sqrt(factor) * np.linalg.norm(cluster_scores, axis=0) / variation
        degrees_of_freedom[name] = len(cluster_scores) - 1
    return PermutationSlopes(
        estimates=estimates,
        standardised=estimates * np.sqrt(whole / (outcome @ outcome)),
        std_errors=std_errors,
        degrees_of_freedom=degrees_of_freedom,
    )


def remove_controls(controls: Floats, columns: Floats) -> Floats:
    """Partial controls, shape (n, k), out of columns of shape (n,) or (n, m)."""
    basis = np.linalg.qr(controls)[0]
    residuals: Floats = columns - basis @ (basis.T @ columns)
    return residuals
