"""Inference robust to spatial correlation, by Müller and Watson's SCPC method."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log

import numpy as np
from scipy import linalg, special

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import CANCELLED, PartialledOut, fit_least_squares
from ai_manufacturing.estimators.inference import LEVEL, Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.case import Case
from ai_manufacturing.system import great_circle

# Minimum number of locations. This and the other constants match Müller and Watson's programs;
# another grid or stopping rule would change the third digit of the results.
FEWEST_LOCATIONS = 5
# The test controls size for average correlations between this value and the requested one.
LEAST_AVERAGE_CORRELATION = 1e-5
DECAY_STEP = 1.2  # ratio of consecutive decay rates on the grid
DECAY_TOLERANCE = 1e-3
# Maximum decay rate per circumference of the earth: the correlation falls to 1/e within 8 km.
STEEPEST_DECAY = 5000.0
CRITICAL_VALUE_TOLERANCE = 1e-3
# Pairs of a minimum average correlation and the number of components to consider at first.
MOST_COMPONENTS = ((0.05, 10), (0.01, 20), (0.005, 60), (0.001, 120))
# Gauss-Legendre nodes and weights on the interval from -1/2 to 1/2.
NODES, NODE_WEIGHTS = (half / 2 for half in np.polynomial.legendre.leggauss(40))
Places = tuple[tuple[float, float], ...]
ONE_LESS_SQUARES = 1 - (NODES + 0.5) ** 2  # 1 - u^2 at the quadrature nodes u in [0, 1]


def infer_by_correlation(case: Case, position: int, average_correlation: str) -> Inference:
    """Test a coefficient of a specification with inference robust to spatial correlation."""
    return scpc(case.regression, position, case.coordinates, float(average_correlation))


def scpc(
    regression: PartialledOut, position: int, coordinates: Floats, average_correlation: float
) -> Inference:
    """Test a coefficient with spatial-correlation principal components (SCPC).

    Parameters
    ----------
    regression : PartialledOut
    position : int
        Index of the term among the regressors.
    coordinates : ndarray, shape (m, 2)
        Longitude and latitude in degrees, one row per entity code of the regression.
    average_correlation : float
        Largest average pairwise correlation between cities for which the test controls size.

    Returns
    -------
    Inference
        std_error is the denominator of the statistic. The p-value and interval use the worst-case
        distribution of the statistic, not t. degrees_of_freedom is the number of components q: the
        statistic follows t(q) if cities are uncorrelated. cluster_count is m.

    Raises
    ------
    NotEstimable
        If the outcome is fitted exactly, a coordinate is missing or invalid, there are fewer than
        five cities, so many cities coincide that no decay rate gives the average correlation, or
        the components have no variance.
    ValueError
        If the average correlation is not between .001 and .99.

    Notes
    -----
    The influence is summed over the years of a city, which gives one value per location. The
    statistic compares the mean of these values with their q leading principal components under the
    covariance exp(-c d), where c implies the given average correlation. The critical value bounds
    the rejection rate for all larger c, and q minimises the expected length of the interval under
    independence.

    References
    ----------
    Müller and Watson (2022), "Spatial correlation robust inference", Econometrica 90(6); (2023),
    "Spatial correlation robust inference in linear regression and panel models", Journal of
    Business & Economic Statistics 41(4). Grids and stopping rules follow their Stata program scpc
    and scpcR; tests/python/golden contains reference values from these programs.
    """
    places = _check_places(coordinates)
    estimate, influence, scale = _compute_influence(regression, position)
    components = _choose_components(places, average_correlation)
    std_error = float(
        np.sqrt(len(influence) / components.count)
        * np.linalg.norm(components.vectors.T @ influence)
    )
    if std_error <= CANCELLED * scale:
        raise NotEstimable("scpc_no_variance", count=components.count)
    half_width = components.critical_value * std_error
    return Inference(
        estimate=estimate,
        std_error=std_error,
        statistic=estimate / std_error,
        degrees_of_freedom=float(components.count),
        p_value=float(compute_rejection_rates(components.roots, abs(estimate / std_error)).max()),
        conf_low=estimate - half_width,
        conf_high=estimate + half_width,
        cluster_count=len(influence),
    )


@dataclass(frozen=True, eq=False)
class SpatialComponents:
    """Principal components and critical value of SCPC, which depend only on the locations.

    They are shared by all coefficients and specifications with the same cities.

    Attributes
    ----------
    vectors : ndarray, shape (m, q)
        Principal components, with unit length and mean zero.
    decays : ndarray, shape (g,)
        Decay rates c of the covariances exp(-c d) for which size is controlled, with distances d in
        circumferences of the earth. The first implies the requested average correlation.
    roots : ndarray, shape (g, q + 1, q + 1)
        Lower triangular roots of the covariance of mean and components, for each decay rate.
    critical_value : float
        Critical value of the statistic at 5 %.
    """

    vectors: Floats
    decays: Floats
    roots: Floats
    critical_value: float

    @property
    def count(self) -> int:
        """Number q of spatial principal components."""
        return int(self.vectors.shape[1])


def compute_rejection_rates(roots: Floats, critical: Floats | float) -> Floats:
    """Return the probability that the absolute statistic exceeds a critical value.

    Mean and components are assumed to be jointly normal.

    Parameters
    ----------
    roots : ndarray, shape (..., q + 1, q + 1)
        Roots of the covariance of the mean (first) and the components.
    critical : float
        Critical value of the statistic, the mean divided by the components' root mean square.

    Returns
    -------
    ndarray, shape (...)

    Notes
    -----
    The statistic exceeds the critical value if a quadratic form in normals, with one positive and q
    negative eigenvalues, is positive. Its probability is a one-dimensional integral, computed by
    Gauss-Legendre quadrature with 40 nodes (Müller and Watson 2022, appendix).
    """
    ratio = critical**2 / (roots.shape[-2] - 1)
    means = roots[..., 0, :]
    forms = (1 + ratio) * means[..., :, None] * means[..., None, :] - ratio * np.swapaxes(
        roots, -1, -2
    ) @ roots
    eigenvalues = np.linalg.eigvalsh(forms)
    odds = np.maximum(-eigenvalues[..., :-1], 0.0) / eigenvalues[..., -1:]
    logs = np.log1p(odds[..., None, :] / ONE_LESS_SQUARES[:, None]).sum(axis=-1)
    rates: Floats = 2 / np.pi * np.exp(-logs / 2) @ (NODE_WEIGHTS / np.sqrt(ONE_LESS_SQUARES))
    return rates


def find_critical_value(roots: Floats, level: float = LEVEL) -> float:
    """Return the smallest critical value whose rejection rate never exceeds the level.

    Parameters
    ----------
    roots : ndarray, shape (g, q + 1, q + 1)
        As in compute_rejection_rates, starting with the strongest correlation.
    level : float

    Returns
    -------
    float
        Critical value, accurate to .001.
    """
    worst, step = 0, 1.0
    low = float(special.stdtrit(roots.shape[-1] - 1, 1 - level / 2))
    while True:
        high = low
        while compute_rejection_rates(roots[worst], high) > level:
            low, high = high, high + step
        while high - low > CRITICAL_VALUE_TOLERANCE:
            middle = (low + high) / 2
            if compute_rejection_rates(roots[worst], middle) > level:
                low = middle
            else:
                high = middle
        rates = compute_rejection_rates(roots, high)
        if rates.argmax() == worst or rates.max() <= level:
            return high
        worst, low = int(rates.argmax()), high


def _compute_influence(regression: PartialledOut, position: int) -> tuple[float, Floats, float]:
    """Return a coefficient, the influence of each entity, and the norm of the row influences."""
    ols = fit_least_squares(regression)
    if not ols.residuals.any():
        raise NotEstimable("no_spatial_error")
    unit = float(regression.units[position])
    rows = unit * (regression.design @ ols.bread[:, position]) * ols.residuals
    entity_sums: Floats = np.bincount(regression.entities, weights=rows).astype(np.float64)
    return unit * float(ols.slopes[position]), entity_sums, float(np.linalg.norm(rows))


def _check_places(coordinates: Floats) -> Places:
    """Convert coordinates to pairs, and raise NotEstimable if one is missing or invalid."""
    missing = int((~np.isfinite(coordinates)).any(axis=1).sum())
    if missing:
        raise NotEstimable("no_coordinates", count=missing)
    outside = int((np.abs(coordinates) > np.array([180.0, 90.0])).any(axis=1).sum())
    if outside:
        raise NotEstimable("no_place_on_earth", count=outside)
    return tuple((longitude, latitude) for longitude, latitude in coordinates.tolist())


@lru_cache(maxsize=128)
def _choose_components(places: Places, average_correlation: float) -> SpatialComponents:
    least, most = min(floor for floor, _ in MOST_COMPONENTS), 0.99
    if not least <= average_correlation <= most:
        raise ValueError(
            f"The average correlation must be between {least} and {most}, but it is"
            f" {average_correlation}."
        )
    angles = great_circle.compute_angles(np.array(places))
    locations = len(angles)
    if locations < FEWEST_LOCATIONS:
        raise NotEstimable("too_few_locations", count=locations, least=FEWEST_LOCATIONS)
    pairs = angles[np.tril_indices(locations, -1)] / (2 * np.pi)
    mildest, steepest = (
        _find_decay(pairs, average) for average in (average_correlation, LEAST_AVERAGE_CORRELATION)
    )
    if mildest > STEEPEST_DECAY:
        raise NotEstimable("locations_coincide", correlation=average_correlation)
    steps = max(2, ceil(log(steepest / mildest) / log(DECAY_STEP)))
    decays: Floats = mildest * DECAY_STEP ** np.arange(steps, dtype=np.float64)

    covariance = np.exp(-mildest / (2 * np.pi) * angles)
    covariance -= covariance.mean(axis=0)
    covariance -= covariance.mean(axis=1, keepdims=True)
    candidate_count = next(
        count for floor, count in MOST_COMPONENTS if average_correlation >= floor
    )
    while True:
        candidate_count = min(candidate_count, locations - 1)
        vectors = linalg.eigh(
            covariance, subset_by_index=(locations - candidate_count, locations - 1)
        )[1][:, ::-1]
        weights = np.column_stack([np.full(locations, locations**-0.5), vectors])
        roots = _compute_roots(angles, decays, weights)
        critical, count = min(
            (
                (find_critical_value(roots[:, : q + 1, : q + 1]), q)
                for q in range(1, candidate_count + 1)
            ),
            key=_compute_expected_length,
        )
        if count < candidate_count or candidate_count == locations - 1:
            return SpatialComponents(
                vectors[:, :count], decays, roots[:, : count + 1, : count + 1], critical
            )
        candidate_count = round(1.5 * candidate_count)


def _compute_expected_length(candidate: tuple[float, int]) -> float:
    """Return the expected interval length under independence for a pair (critical value, q)."""
    critical, q = candidate
    return float(
        critical / np.sqrt(q) * np.exp(special.gammaln((q + 1) / 2) - special.gammaln(q / 2))
    )


def _find_decay(pairs: Floats, average_correlation: float) -> float:
    """Return the decay rate c at which exp(-c d) has a given average over all distances d.

    The result is accurate to DECAY_TOLERANCE.
    """

    def exceeds(decay: float) -> bool:
        return bool(np.exp(-decay * pairs).mean() > average_correlation)

    low = high = 10.0
    while not exceeds(low):
        low, high = low / 2, low
    while exceeds(high) and high < STEEPEST_DECAY:
        low, high = high, 2 * high
    while True:
        middle = float(np.sqrt(low * high))
        if exceeds(middle):
            low = middle
        else:
            high = middle
        if high - low < DECAY_TOLERANCE:
            return middle


def _compute_roots(angles: Floats, decays: Floats, weights: Floats) -> Floats:
    """Return, for each decay rate, a lower triangular root of the covariance of weighted sums.

    The shape is (g, k, k). A leading block of a root is the root of the covariance's leading block.
    Unlike a Cholesky factorisation, this also works for singular covariances.
    """
    covariances = np.stack(
        [weights.T @ np.exp(-decay / (2 * np.pi) * angles) @ weights for decay in decays]
    )
    values, vectors = np.linalg.eigh(covariances)
    halves = np.sqrt(np.maximum(values, 0.0))[..., None] * np.swapaxes(vectors, -1, -2)
    return np.swapaxes(np.linalg.qr(halves).R, -1, -2)
