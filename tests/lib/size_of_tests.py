"""Synthetic panels whose provinces move together, and how often tests at 5 % reject a true null in
them.

Each panel has the provinces of the paper's estimation sample and a regressor without effect.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators import cluster_errors, fixed_effects, wild_bootstrap

# Cities of each province in the headline sample of the public extracts: 282 cities, 31 provinces.
CITIES = (
    1,
    1,
    1,
    1,
    1,
    1,
    2,
    2,
    4,
    5,
    6,
    8,
    9,
    9,
    10,
    11,
    11,
    11,
    11,
    12,
    12,
    12,
    13,
    13,
    14,
    14,
    15,
    16,
    17,
    18,
    21,
)
YEARS = range(2010, 2021)
PERSISTENCE = 0.8  # of a shock, from one year to the next
SHARE_OF_PROVINCE = 0.5  # of the variance of regressor, control and error

FIRST_SEED = 800_000
LEVEL = 0.05
LEAST, MOST = 0.03, 0.08
TARGETED = ("CRV3, province", "WCR, province")

Floats = NDArray[np.float64]


def panel(seed: int) -> pd.DataFrame:
    """Draw a panel: y does not depend on x, and x, z and the error of y share shocks within a
    province and year.

    Cities lack up to two of the eleven years, at either end. The error's scale differs between
    provinces.
    """
    rng = np.random.default_rng(seed)
    provinces = np.repeat(np.arange(len(CITIES)), CITIES)
    cities, years = len(provinces), len(YEARS)
    scale = rng.uniform(0.5, 1.5, size=len(CITIES))[provinces, None]
    x, z, error = (
        np.sqrt(SHARE_OF_PROVINCE) * _shocks(rng, len(CITIES))[provinces]
        + np.sqrt(1 - SHARE_OF_PROVINCE) * _shocks(rng, cities)
        for _ in range(3)
    )
    city_effects, year_effects = rng.normal(size=(cities, 1)), rng.normal(size=years)
    data = pd.DataFrame(
        {
            "city_id": np.repeat(np.arange(cities), years),
            "province_id": np.repeat(provinces, years),
            "year": np.tile(np.array(YEARS), cities),
            "x": (x + city_effects + year_effects).ravel(),
            "z": z.ravel(),
            "y": (0.5 * z + scale * error + city_effects + year_effects).ravel(),
        }
    )
    first, last = (
        YEARS[0] + rng.integers(0, 2, size=cities),
        YEARS[-1] - rng.integers(0, 2, size=cities),
    )
    return data[data["year"].between(np.repeat(first, years), np.repeat(last, years))]


def _shocks(rng: np.random.Generator, count: int) -> Floats:
    """Return series of variance 1 that fade by PERSISTENCE a year, shape (count, years)."""
    shocks = rng.normal(size=(count, len(YEARS)))
    for year in range(1, len(YEARS)):
        shocks[:, year] = (
            PERSISTENCE * shocks[:, year - 1] + np.sqrt(1 - PERSISTENCE**2) * shocks[:, year]
        )
    return shocks


def p_values(data: pd.DataFrame, draws: int) -> dict[str, float]:
    """Return the p-value of x by each test."""
    by_city = fixed_effects.fit(data, "y", ["x", "z"])
    by_province = fixed_effects.fit(data, "y", ["x", "z"], cluster="province_id")
    regression = fixed_effects.partialled_out(data, "y", ["x", "z"], cluster="province_id")
    wild = wild_bootstrap.test(regression, 0, clusters=regression.clusters, draws=draws)
    return {
        "CRV1, city": float(by_city.p_values[0]),
        "CRV1, province": float(by_province.p_values[0]),
        "CRV3, province": cluster_errors.crv3(regression, 0, regression.clusters).p_value or 0.0,
        "WCR, province": wild.p_value or 0.0,
    }


def rejected(panels: int, draws: int) -> dict[str, float]:
    """Return the share of panels in which each test rejects."""
    found = pd.DataFrame([p_values(panel(FIRST_SEED + number), draws) for number in range(panels)])
    shares = (found <= LEVEL).mean()
    return {str(name): float(share) for name, share in shares.items()}
