"""Spatial autocorrelation: whether cities with many AI firms lie beside others with many."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from ai_manufacturing.estimators.columns import Floats, numbers_in
from ai_manufacturing.estimators.not_estimable import NotEstimable, attempted
from ai_manufacturing.estimators.sentences import NOTHING, Sentence, in_columns
from ai_manufacturing.system import contracts

MEASURES = (
    "ai_firms",
    "ai_patent_applications",
    "ai_patent_grants",
)  # those of fct_spatial_distribution
NEIGHBOURS = 6  # docs/decisions/spatial.md
PERMUTATIONS = 999
SEED = 2020
FEWEST_CITIES = 10

# Draws closer to the statistic than this share of it are its value, summed in another order.
TIE = 1e-10


class GlobalMoran(NamedTuple):
    """Moran's I of all cities.

    Attributes
    ----------
    statistic : float
        I = n / sum(W) · z'Wz / z'z with z the deviations from the mean.
    expected : float
        -1 / (n - 1), its mean if the values are spread at random.
    z_score : float
        Distance from the mean of the permutations in their standard deviations.
    p_value : float
        Two-sided, from the permutations.
    """

    statistic: float
    expected: float
    z_score: float
    p_value: float


class LocalMoran(NamedTuple):
    """Local Moran's I, arrays over the cities.

    Attributes
    ----------
    statistic : ndarray, shape (n,)
        I_i = (n - 1) z_i (Wz)_i / z'z. Their mean times n / (n - 1) is the global I.
    quadrant : list of str, length n
        The city itself, then its neighbours: HH, LL, HL or LH, high is above the mean.
    p_value : ndarray, shape (n,)
        Two-sided, from permutations of the other cities; not corrected for n tests.
    """

    statistic: Floats
    quadrant: list[str]
    p_value: Floats


def nearest_neighbours(cities: pd.DataFrame) -> csr_array:
    """Join each city to those nearest on the great circle, by equal weights that sum to one.

    Parameters
    ----------
    cities : DataFrame
        longitude and latitude in degrees; one row per city.

    Returns
    -------
    csr_array, shape (n, n)
        Row-standardised weights in the order of the rows.

    Raises
    ------
    NotEstimable
        If a coordinate is missing.
    """
    longitude, latitude = (
        np.radians(numbers_in(cities, name)) for name in ("longitude", "latitude")
    )
    across = np.cos(latitude)
    # the order of straight lines through the sphere is that of great circles on it
    points = np.column_stack(
        [across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)]
    )
    _, nearest = cKDTree(points).query(points, k=NEIGHBOURS + 1)
    others = nearest != np.arange(len(points))[:, np.newaxis]
    # among cities at one place, a city need not be the nearest to itself
    others[others.all(axis=1), -1] = False
    size = len(points) * NEIGHBOURS
    return csr_array(
        (np.full(size, 1 / NEIGHBOURS), nearest[others], np.arange(0, size + 1, NEIGHBOURS)),
        shape=(len(points), len(points)),
    )


def global_moran(values: Floats, weights: csr_array) -> GlobalMoran:
    """Test whether neighbours are more alike than chance, over all cities.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value per city, in the order of the weights.
    weights : csr_array, shape (n, n)
        Row-standardised.

    Returns
    -------
    GlobalMoran

    Raises
    ------
    NotEstimable
        If there are fewer than ten cities, or all have the same value.

    References
    ----------
    Moran, P. A. P. (1950), "Notes on continuous stochastic phenomena", Biometrika 37. The tests
    compare with esda.
    """
    _check(values)
    deviations = values - values.mean()
    variation = (deviations * deviations).sum()
    scale = len(values) / weights.sum()
    statistic = scale * (deviations * (weights @ deviations)).sum() / variation
    stream = np.random.RandomState(SEED)
    draws = np.column_stack([stream.permutation(deviations) for _ in range(PERMUTATIONS)])
    simulated = scale * np.einsum("nd,nd->d", draws, weights @ draws) / variation
    return GlobalMoran(
        statistic=float(statistic),
        expected=-1 / (len(values) - 1),
        z_score=float((statistic - simulated.mean()) / simulated.std()),
        p_value=_two_sided(np.array([statistic]), simulated[:, np.newaxis]).item(),
    )


def local_moran(values: Floats, weights: csr_array) -> LocalMoran:
    """Find the cities that are like or unlike their neighbours.

    Parameters
    ----------
    values, weights
        As in global_moran.

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
    The tests compare with esda, whose draws these are.
    """
    _check(values)
    deviations = (values - values.mean()) / values.std()
    lags = weights @ deviations
    variation = (deviations * deviations).sum()
    statistics = (len(values) - 1) * deviations * lags / variation
    neighbour_counts = np.diff(weights.indptr)
    stream = np.random.RandomState(SEED)
    # a draw is of places among the other cities, the same ones for each city
    draws = np.array(
        [
            stream.choice(len(values) - 1, size=neighbour_counts.max(), replace=False)
            for _ in range(PERMUTATIONS)
        ]
    )
    simulated = np.empty((PERMUTATIONS, len(values)))
    for city, neighbour_count in enumerate(neighbour_counts):
        others = np.delete(deviations, city)
        neighbours = others[draws[:, :neighbour_count]]
        simulated[:, city] = deviations[city] * (neighbours @ weights[[city]].data)
    simulated *= (len(values) - 1) / variation
    return LocalMoran(
        statistic=statistics,
        quadrant=[
            "".join("H" if value > 0 else "L" for value in pair)
            for pair in zip(deviations, lags, strict=True)
        ],
        p_value=_two_sided(statistics, simulated),
    )


class Tables(NamedTuple):
    """Tables of the warehouse that the estimates rest on.

    Attributes
    ----------
    measures : DataFrame
        marts.fct_ai_measure, weighting observed, scope industry.
    coordinates : DataFrame
        city_id, longitude and latitude of marts.dim_city.
    weightings : DataFrame
        seeds.measure_weightings, for the series behind a measure.
    series : DataFrame
        marts.dim_series, for the substitutions.
    """

    measures: pd.DataFrame
    coordinates: pd.DataFrame
    weightings: pd.DataFrame
    series: pd.DataFrame


def global_autocorrelation(tables: Tables) -> pa.Table:
    """Compute Moran's I of log(1 + count) for each measure and year.

    Parameters
    ----------
    tables : Tables

    Returns
    -------
    Table
        One row per measure and year, in the columns of est_spatial_autocorrelation. What cannot be
        estimated is a row with status not_estimable and the reason.
    """
    return _per_year(
        tables,
        lambda cities, values, weights: [global_moran(values, weights)._asdict()],
        "est_spatial_autocorrelation",
    )


def local_autocorrelation(tables: Tables, event_year: int) -> pa.Table:
    """Compute local Moran's I of log(1 + count) by measure in three years.

    Of all cities with a count.

    Parameters
    ----------
    tables : Tables
    event_year : int
        Statistical year; the others are the first and the last of the measures.

    Returns
    -------
    Table
        One row per measure, year and city, in the columns of est_local_spatial_autocorrelation. A
        year that cannot be estimated is one row without a city, with status not_estimable and the
        reason.
    """
    years = tables.measures["year"]
    measures = tables.measures[years.isin([years.min(), event_year, years.max()])]
    return _per_year(
        tables._replace(measures=measures),
        lambda cities, values, weights: cities.assign(
            **local_moran(values, weights)._asdict()
        ).to_dict("records"),
        "est_local_spatial_autocorrelation",
    )


def _per_year(
    tables: Tables,
    rows: Callable[[pd.DataFrame, Floats, csr_array], list[dict[str, Any]]],
    model: str,
) -> pa.Table:
    """Stack the rows of each measure and year, or the reason why there are none."""
    measures = tables.measures[tables.measures["measure"].isin(MEASURES)]
    located = measures.merge(tables.coordinates, on="city_id", how="left").sort_values("city_id")
    observed = tables.weightings[tables.weightings["weighting"] == "observed"]
    series_of = observed.set_index("measure")["base_series"]
    in_scope = tables.series[tables.series["scope"] == "industry"]
    substitution_of = {
        row.series: Sentence(row.substitution, row.substitution_zh)
        for row in in_scope.dropna(subset="substitution").itertuples()
    }

    def estimated(cities: pd.DataFrame, series: str, year: int) -> list[dict[str, Any]]:
        if cities.empty:
            raise NotEstimable("not_delivered_in", series=f"{series} (industry)", year=year)
        values = np.log1p(numbers_in(cities, "measure_count"))
        _check(values)
        return rows(cities, values, nearest_neighbours(cities))

    table: list[dict[str, Any]] = []
    for (extract_set, measure, year), cells in located.groupby(["extract_set", "measure", "year"]):
        cities = cells.dropna(subset="measure_count")
        common = {
            "measure": measure,
            "year": year,
            "city_count": len(cities),
            "substitutions": substitution_of.get(series_of[measure], NOTHING),
            "extract_set": extract_set,
        }
        estimates = attempted(partial(estimated, cities, series_of[measure], year))
        if isinstance(estimates, Sentence):
            table.append(in_columns({**common, "status": "not_estimable", "reason": estimates}))
        else:
            common |= {
                "permutation_count": PERMUTATIONS,
                "neighbour_count": NEIGHBOURS,
                "status": "estimated",
            }
            table += [in_columns({**estimate, **common}) for estimate in estimates]
    return contracts.table(model, table)


def _check(values: Floats) -> None:
    if len(values) < FEWEST_CITIES:
        raise NotEstimable("too_few_values", count=len(values), least=FEWEST_CITIES)
    if np.ptp(values) == 0:
        raise NotEstimable("same_value", count=len(values))


def _two_sided(observed: Floats, simulated: Floats) -> Floats:
    """Return twice the smaller tail, at most one; simulated has the permutations as rows.

    esda's own p is one-sided and counts draws that tie with the statistic on one side only, so that
    a value nearly every draw shares looks rare: the zeros of the early years.
    """
    tie = TIE * np.maximum(1.0, np.abs(observed))
    tails = np.minimum(
        (simulated >= observed - tie).sum(axis=0), (simulated <= observed + tie).sum(axis=0)
    )
    shares: Floats = 2.0 * (tails + 1.0) / (len(simulated) + 1.0)
    return np.minimum(1.0, shares)
