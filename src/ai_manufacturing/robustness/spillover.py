"""Spillovers: whether the measure of near cities has the effect that a city's own seems to have."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.robustness.added_terms import beside_the_measure
from ai_manufacturing.robustness.case import Case
from ai_manufacturing.system import great_circle


def neighbours(case: Case, within_km: str) -> Iterator[Row]:
    """Add the mean measure of the other cities within a distance, in the same year.

    Parameters
    ----------
    case : Case
    within_km : str
        Great-circle distance of the farthest neighbour.

    Notes
    -----
    A neighbour is any city of the warehouse that has the measure in the year, in the sample or not.
    """
    specification = case.specification
    measure = case.inputs.measure_of(specification)
    by_city = measure.unstack("city_id")  # noqa: PD010  one row a cell
    coordinates = case.cities.loc[by_city.columns, ["longitude", "latitude"]]
    means = mean_of_neighbours(
        by_city.to_numpy(dtype=float, na_value=np.nan),
        coordinates.to_numpy(dtype=float, na_value=np.nan),
        float(within_km),
    )
    cells = pd.MultiIndex.from_frame(case.sample.rows[["year", "city_id"]])
    stacked = pd.DataFrame(means, by_city.index, by_city.columns).stack()  # noqa: PD013
    of_rows = stacked.reindex(cells).to_numpy(dtype=float)
    yield from beside_the_measure(case, {f"{specification.regressor}_neighbours": of_rows})


def mean_of_neighbours(values: Floats, coordinates: Floats, within_km: float) -> Floats:
    """Return the mean of each city's neighbours that have a value, in each year.

    Parameters
    ----------
    values : ndarray, shape (years, m)
        NaN where a city has none.
    coordinates : ndarray, shape (m, 2)
        Longitude and latitude in degrees; a city without them has no neighbour and is none.
    within_km : float

    Returns
    -------
    ndarray, shape (years, m)
        NaN where no neighbour has a value. A city is not its own neighbour.
    """
    is_near = great_circle.RADIUS_KM * great_circle.angles(coordinates) <= within_km
    near = (is_near & ~np.eye(len(is_near), dtype=bool)).astype(float)
    has_value = np.isfinite(values)
    sums, counts = np.where(has_value, values, 0.0) @ near, has_value.astype(float) @ near
    means: Floats = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means
