"""Test for spillovers by adding the measure of neighbouring cities to a regression."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.robustness.added_terms import add_terms
from ai_manufacturing.robustness.case import Case
from ai_manufacturing.system import great_circle


def add_neighbours(case: Case, within_km: str) -> Iterator[Row]:
    """Add the mean measure of nearby cities in the same year to a regression.

    Parameters
    ----------
    case : Case
    within_km : str
        Largest great-circle distance of a neighbour, in km.

    Notes
    -----
    Neighbours are all cities of the warehouse with the measure in that year, even if they are not
    in the sample.
    """
    specification = case.specification
    measure = case.inputs.select_measure(specification)
    by_city = measure.unstack("city_id")  # noqa: PD010  each city-year has one row
    coordinates = case.cities.loc[by_city.columns, ["longitude", "latitude"]]
    means = average_neighbours(
        by_city.to_numpy(dtype=float, na_value=np.nan),
        coordinates.to_numpy(dtype=float, na_value=np.nan),
        float(within_km),
    )
    cells = pd.MultiIndex.from_frame(case.sample.rows[["year", "city_id"]])
    city_years = pd.DataFrame(means, by_city.index, by_city.columns).stack()  # noqa: PD013
    row_means = city_years.reindex(cells).to_numpy(dtype=float)
    yield from add_terms(case, {f"{specification.regressor}_neighbours": row_means})


def average_neighbours(values: Floats, coordinates: Floats, within_km: float) -> Floats:
    """Average the values of each city's neighbours by year, skipping missing values.

    Parameters
    ----------
    values : ndarray, shape (years, m)
        Values by year and city; NaN if missing.
    coordinates : ndarray, shape (m, 2)
        Longitude and latitude in degrees. A city without coordinates neither has neighbours nor is
        one.
    within_km : float

    Returns
    -------
    ndarray, shape (years, m)
        Means without the city itself; NaN if no neighbour has a value.
    """
    is_near = great_circle.RADIUS_KM * great_circle.compute_angles(coordinates) <= within_km
    near = (is_near & ~np.eye(len(is_near), dtype=bool)).astype(float)
    has_value = np.isfinite(values)
    sums, counts = np.where(has_value, values, 0.0) @ near, has_value.astype(float) @ near
    means: Floats = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means
