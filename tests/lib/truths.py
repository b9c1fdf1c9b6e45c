"""Data-generating processes with scaled effects, or with shocks correlated between cities."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.paper.synthetic.paths import Floats
from ai_manufacturing.paper.synthetic.truth import EVENT_TERMS, TRUTH, Truth
from ai_manufacturing.system.great_circle import RADIUS_KM, compute_angles
from ai_manufacturing.system.settings import project_root

# Parameters for the effects of firms, patents and the event on outcomes and controls.
EFFECTS = (
    "gdp_on_applications",
    "gdp_on_grants",
    "gdp_on_firms",
    "high_income_difference",
    "secondary_share_on_applications",
    "secondary_share_on_grants",
    "secondary_share_on_firms",
    "secondary_employment_on_applications",
    "secondary_employment_on_grants",
    "secondary_employment_on_firms",
    "manufacturing_employment_on_applications",
    "manufacturing_employment_on_grants",
    "manufacturing_employment_on_firms",
    "resident_population_on_firms",
    "unit_employment_on_firms",
    "rd_personnel_on_firms",
    "mediators_on_firms",
)
SHIFTS = ("entry_shift", "exit_shift", "application_shift", "grant_shift")


def truth_of(size: float) -> Truth:
    """Return true parameters with effects scaled by `size`, and without pre-trends before 2015."""
    changed: dict[str, Any] = {name: size * getattr(TRUTH, name) for name in EFFECTS}
    before = EVENT_TERMS.index("current")
    changed |= {
        name: (*[0.0] * before, *(size * shift for shift in getattr(TRUTH, name)[before:]))
        for name in SHIFTS
    }
    return replace(TRUTH, **changed)


@dataclass(frozen=True)
class CommonShocks:
    """Correlation between the random shocks of different cities in each simulated series.

    Series are independent of each other: firms and outcomes have separate shocks, so common shocks
    do not create an effect of one on the other. The variances in `truth` do not change.

    Attributes
    ----------
    reach : {"province", "neighbours"}
        Whether noise is correlated within provinces or by distance.
    share : float
        Correlation within a province, or at distance zero for neighbours. In [0, 1).
    range_km : float
        Distance in km at which the correlation of neighbours has fallen to `share` / e.
    """

    reach: Literal["province", "neighbours"]
    share: float = 0.5
    range_km: float = 250.0


@cache
def correlation(shocks: CommonShocks) -> Floats:
    """Return the correlation matrix of the cities' shocks, in the row order of cities.csv."""
    if not 0 <= shocks.share < 1:
        raise ValueError(f"CommonShocks.share is {shocks.share}: it is at least 0 and below 1.")
    provinces = read_units()["province_id"].to_numpy()
    common: Floats
    if shocks.reach == "province":
        common = (provinces[:, None] == provinces).astype(np.float64)
    else:
        common = np.exp(-distances_km() / shocks.range_km)
    own: Floats = np.eye(len(provinces))
    return (1 - shocks.share) * own + shocks.share * common


@cache
def distances_km() -> Floats:
    """Return the matrix of great-circle distances between cities, in km."""
    places = pd.read_csv(project_root() / "seeds" / "cities.csv", dtype={"city_id": str}).set_index(
        "city_id"
    )
    return RADIUS_KM * compute_angles(
        places.loc[read_units()["city_id"], ["longitude", "latitude"]].to_numpy(float)
    )


@cache
def root(shocks: CommonShocks) -> Floats:
    """Return the Cholesky factor of the correlation matrix, to correlate independent shocks."""
    return np.linalg.cholesky(correlation(shocks)).astype(np.float64, copy=False)
