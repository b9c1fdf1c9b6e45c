"""Compute great-circle distances on the earth."""

import numpy as np
from numpy.typing import NDArray

RADIUS_KM = 6371.01  # mean radius


def compute_angles(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the central angles between all pairs of places, by the haversine formula.

    Parameters
    ----------
    coordinates : ndarray, shape (m, 2)
        Longitude and latitude in degrees.

    Returns
    -------
    ndarray, shape (m, m)
        Angles; multiply them by RADIUS_KM to get distances in km.
    """
    longitudes, latitudes = np.radians(coordinates).T
    haversines = np.sin((latitudes[:, None] - latitudes) / 2) ** 2
    haversines += (
        np.cos(latitudes)[:, None]
        * np.cos(latitudes)
        * np.sin((longitudes[:, None] - longitudes) / 2) ** 2
    )
    between: NDArray[np.float64] = 2 * np.arcsin(np.sqrt(np.minimum(haversines, 1.0)))
    return between
