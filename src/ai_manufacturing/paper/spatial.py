"""Estimate global and local Moran's I of AI firms and patents across cities."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from ai_manufacturing.estimators.columns import Floats, read_numbers
from ai_manufacturing.estimators.not_estimable import NotEstimable, get_result_or_reason
from ai_manufacturing.estimators.sentences import NOTHING, Sentence, split_sentences
from ai_manufacturing.system import contracts

# Counts for which Moran's I is estimated. They must match the measures in fct_spatial_distribution.
MEASURES = (
    "ai_firms",
    "ai_patent_applications",
    "ai_patent_grants",
)
NEIGHBOURS = 6  # number of nearest neighbours per city; see docs/decisions/estimators.md
PERMUTATIONS = 999
SEED = 2020
FEWEST_CITIES = 10

# Tolerance for counting a permuted statistic as equal to the observed one, relative to statistics
# above one. Summing the same terms in another order changes the result by rounding error.
TIE = 1e-10


class GlobalMoran(NamedTuple):
    """Global Moran's I with its permutation test.

    Attributes
    ----------
    statistic : float
        I = n / sum(W) · z'Wz / z'z, where z are the deviations from the mean.
    expected : float
        -1 / (n - 1), the mean of I under random assignment of values to cities.
    z_score : float
        Distance of I from the permutation mean, in permutation standard deviations.
    p_value : float
        Two-sided permutation p-value.
    """

    statistic: float
    expected: float
    z_score: float
    p_value: float


class LocalMoran(NamedTuple):
    """Local Moran's I of each city with its permutation p-value.

    Attributes
    ----------
    statistic : ndarray, shape (n,)
        I_i = (n - 1) z_i (Wz)_i / z'z. Their mean times n / (n - 1) is the global I.
    quadrant : list of str, length n
        HH, LL, HL or LH: whether the city, and then its neighbours, are above (H) or below (L) the
        mean.
    p_value : ndarray, shape (n,)
        Two-sided p-values from permutations of the other cities, without correction for multiple
        testing.
    """

    statistic: Floats
    quadrant: list[str]
    p_value: Floats


def weight_nearest_neighbours(cities: pd.DataFrame) -> csr_array:
    """Return k-nearest-neighbour spatial weights between cities, with k = NEIGHBOURS.

    Distances are great-circle distances.

    Parameters
    ----------
    cities : DataFrame
        One row per city, with columns longitude and latitude in degrees.

    Returns
    -------
    csr_array, shape (n, n)
        Row-standardised weights, equal for all neighbours, in the order of the rows.

    Raises
    ------
    NotEstimable
        If a coordinate is missing.
    """
    longitude, latitude = (
        np.radians(read_numbers(cities, name)) for name in ("longitude", "latitude")
    )
    across = np.cos(latitude)
    # Straight-line distances between points on the unit sphere increase with great-circle
    # distances, so both yield the same nearest neighbours.
    points = np.column_stack(
        [across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)]
    )
    _, nearest = cKDTree(points).query(points, k=NEIGHBOURS + 1)
    others = nearest != np.arange(len(points))[:, np.newaxis]
    # A city may be missing from its own list of nearest points if other cities have the same
    # coordinates. Drop the farthest point instead.
    others[others.all(axis=1), -1] = False
    size = len(points) * NEIGHBOURS
    return csr_array(
        (np.full(size, 1 / NEIGHBOURS), nearest[others], np.arange(0, size + 1, NEIGHBOURS)),
        shape=(len(points), len(points)),
    )


def compute_global_moran(values: Floats, weights: csr_array) -> GlobalMoran:
    """Compute global Moran's I and test it with random permutations of the values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per city, in the order of the weights.
    weights : csr_array, shape (n, n)
        Row-standardised weights.

    Returns
    -------
    GlobalMoran

    Raises
    ------
    NotEstimable
        If there are fewer than ten cities, or all have the same value.

    References
    ----------
    Moran, P. A. P. (1950), "Notes on continuous stochastic phenomena", Biometrika 37. The project's
    tests compare the result with esda.
    """
    _check(values)
    deviations = values - values.mean()
    variation = (deviations * deviations).sum()
    scale = len(values) / weights.sum()
    statistic = scale * (deviations * (weights @ deviations)).sum() / variation
    stream = np.random.RandomState(SEED)
    draws = np.column_stack([stream.permutation(deviations) for _ in range(PERMUTATIONS)])
    draw_statistics = scale * np.einsum("nd,nd->d", draws, weights @ draws) / variation
    return GlobalMoran(
        statistic=float(statistic),
        expected=-1 / (len(values) - 1),
        z_score=float((statistic - draw_statistics.mean()) / draw_statistics.std()),
        p_value=_compute_p_values(np.array([statistic]), draw_statistics[:, np.newaxis]).item(),
    )


def compute_local_moran(values: Floats, weights: csr_array) -> LocalMoran:
    """Compute local Moran's I of each city and test it with conditional permutations.

    Parameters
    ----------
    values, weights
        As in compute_global_moran.

    Returns
    -------
    LocalMoran

    Raises
    ------
    NotEstimable
        If there are fewer than ten cities, or all have the same value.

    References
    ----------
    Anselin, L. (1995), "Local indicators of spatial association - LISA", Geographical Analysis 27.
    The permutations are the same as in esda, which the project's tests compare with.
    """
    _check(values)
    deviations = (values - values.mean()) / values.std()
    lags = weights @ deviations
    variation = (deviations * deviations).sum()
    statistics = (len(values) - 1) * deviations * lags / variation
    neighbour_counts = np.diff(weights.indptr)
    stream = np.random.RandomState(SEED)
    # Each draw selects positions among the other cities. All cities share the same draws.
    draws = np.array(
        [
            stream.choice(len(values) - 1, size=neighbour_counts.max(), replace=False)
            for _ in range(PERMUTATIONS)
        ]
    )
    draw_statistics = np.empty((PERMUTATIONS, len(values)))
    for city, neighbour_count in enumerate(neighbour_counts):
        others = np.delete(deviations, city)
        neighbours = others[draws[:, :neighbour_count]]
        draw_statistics[:, city] = deviations[city] * (neighbours @ weights[[city]].data)
    draw_statistics *= (len(values) - 1) / variation
    return LocalMoran(
        statistic=statistics,
        quadrant=[
            "".join("H" if value > 0 else "L" for value in pair)
            for pair in zip(deviations, lags, strict=True)
        ],
        p_value=_compute_p_values(statistics, draw_statistics),
    )


class Tables(NamedTuple):
    """Warehouse tables from which Moran's I is estimated.

    Attributes
    ----------
    measures : DataFrame
        Rows of marts.fct_ai_measure with weighting observed and scope industry.
    coordinates : DataFrame
        Columns city_id, longitude and latitude of marts.dim_city.
    weightings : DataFrame
        seeds.measure_weightings, which names the series of a measure.
    series : DataFrame
        marts.dim_series, which names substitutes.
    """

    measures: pd.DataFrame
    coordinates: pd.DataFrame
    weightings: pd.DataFrame
    series: pd.DataFrame


def estimate_global_autocorrelation(tables: Tables) -> pa.Table:
    """Compute global Moran's I of log(1 + count) for AI firms and AI patents by year.

    Parameters
    ----------
    tables : Tables

    Returns
    -------
    Table
        One row per measure and year, with the columns of est_spatial_autocorrelation. If I cannot
        be computed, the status is not_estimable, with the reason.
    """
    return _estimate_by_year(
        tables,
        lambda cities, values, weights: [compute_global_moran(values, weights)._asdict()],
        "est_spatial_autocorrelation",
    )


def estimate_local_autocorrelation(tables: Tables, event_year: int) -> pa.Table:
    """Compute local Moran's I of log(1 + count) in the first year, event year and last year.

    AI firms, patent applications and patent grants are estimated separately, each over all cities
    with a count.

    Parameters
    ----------
    tables : Tables
    event_year : int
        Statistical year of the event.

    Returns
    -------
    Table
        One row per measure, year and city, with the columns of est_local_spatial_autocorrelation.
        A year that cannot be estimated has one row without a city, with status not_estimable and
        the reason.
    """
    years = tables.measures["year"]
    measures = tables.measures[years.isin([years.min(), event_year, years.max()])]
    return _estimate_by_year(
        tables._replace(measures=measures),
        lambda cities, values, weights: cities.assign(
            **compute_local_moran(values, weights)._asdict()
        ).to_dict("records"),
        "est_local_spatial_autocorrelation",
    )


def _estimate_by_year(
    tables: Tables,
    rows: Callable[[pd.DataFrame, Floats, csr_array], list[dict[str, Any]]],
    model: str,
) -> pa.Table:
    """Estimate each measure and year separately; a failure becomes a row with its reason."""
    measures = tables.measures[tables.measures["measure"].isin(MEASURES)]
    rows_with_places = measures.merge(tables.coordinates, on="city_id", how="left").sort_values(
        "city_id"
    )
    observed_weightings = tables.weightings[tables.weightings["weighting"] == "observed"]
    series_of = observed_weightings.set_index("measure")["base_series"]
    in_scope = tables.series[tables.series["scope"] == "industry"]
    substitution_of = {
        row.series: Sentence(row.substitution, row.substitution_zh)
        for row in in_scope.dropna(subset="substitution").itertuples()
    }

    def estimate_year(cities: pd.DataFrame, series: str, year: int) -> list[dict[str, Any]]:
        if cities.empty:
            raise NotEstimable("not_delivered_in", series=f"{series} (industry)", year=year)
        values = np.log1p(read_numbers(cities, "measure_count"))
        _check(values)
        return rows(cities, values, weight_nearest_neighbours(cities))

    table: list[dict[str, Any]] = []
    for (extract_set, measure, year), cells in rows_with_places.groupby(
        ["extract_set", "measure", "year"]
    ):
        cities = cells.dropna(subset="measure_count")
        common = {
            "measure": measure,
            "year": year,
            "city_count": len(cities),
            "substitutions": substitution_of.get(series_of[measure], NOTHING),
            "extract_set": extract_set,
        }
        estimates = get_result_or_reason(partial(estimate_year, cities, series_of[measure], year))
        if isinstance(estimates, Sentence):
            table.append(
                split_sentences({**common, "status": "not_estimable", "reason": estimates})
            )
        else:
            common |= {
                "permutation_count": PERMUTATIONS,
                "neighbour_count": NEIGHBOURS,
                "status": "estimated",
            }
            table += [split_sentences({**estimate, **common}) for estimate in estimates]
    return contracts.build_table(model, table)


def _check(values: Floats) -> None:
    if len(values) < FEWEST_CITIES:
        raise NotEstimable("too_few_values", count=len(values), least=FEWEST_CITIES)
    if np.ptp(values) == 0:
        raise NotEstimable("same_value", count=len(values))


def _compute_p_values(statistics: Floats, draws: Floats) -> Floats:
    """Return two-sided permutation p-values: twice the smaller tail share, capped at one.

    The rows of `draws` are permutations. The p-value of esda is one-sided and counts ties on
    one side only. It therefore makes a value appear rare even if nearly all draws share it, such as
    the zeros of the early years.
    """
    tie = TIE * np.maximum(1.0, np.abs(statistics))
    tails = np.minimum(
        (draws >= statistics - tie).sum(axis=0), (draws <= statistics + tie).sum(axis=0)
    )
    shares: Floats = 2.0 * (tails + 1.0) / (len(draws) + 1.0)
    return np.minimum(1.0, shares)
