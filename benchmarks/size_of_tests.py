"""Measure how often tests at the 5 % level reject a true null under province-wide shocks.

Each simulated panel has the provinces of the paper's estimation sample and a regressor without an
effect. The script prints Markdown to stdout, and exits with a message if a target is missed. Run
the script from the project's root:

    python benchmarks/size_of_tests.py --panels 500 > benchmarks/size_of_tests.md
"""

import argparse
import sys
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators import cluster_errors, fixed_effects, wild_bootstrap

# Number of cities per province in the public headline sample: 282 cities in 31 provinces.
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
# Autocorrelation of a simulated shock between consecutive years.
PERSISTENCE = 0.8
# Share of the variance of the regressor, control and error that the cities of a province have in
# common.
SHARE_OF_PROVINCE = 0.5

FIRST_SEED = 800_000
LEVEL = 0.05
LEAST, MOST = 0.03, 0.08
TARGETED = ("CRV3, province", "WCR, province")

Floats = NDArray[np.float64]


def panel(seed: int) -> pd.DataFrame:
    """Simulate a panel in which the outcome y does not depend on the regressor x.

    x, z and the error of y have shocks in common within a province and year. Cities lack up to two
    of the eleven years, at either end, and the scale of the error differs between provinces.
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
    """Return AR(1) series of unit variance with coefficient PERSISTENCE, shape (count, years)."""
    shocks = rng.normal(size=(count, len(YEARS)))
    for year in range(1, len(YEARS)):
        shocks[:, year] = (
            PERSISTENCE * shocks[:, year - 1] + np.sqrt(1 - PERSISTENCE**2) * shocks[:, year]
        )
    return shocks


def p_values(data: pd.DataFrame, draws: int) -> dict[str, float]:
    """Return the p-value of the regressor x for each test."""
    by_city = fixed_effects.fit(data, "y", ["x", "z"])
    by_province = fixed_effects.fit(data, "y", ["x", "z"], cluster="province_id")
    regression = fixed_effects.partial_out(data, "y", ["x", "z"], cluster="province_id")
    wild = wild_bootstrap.bootstrap_coefficient(
        regression, 0, clusters=regression.clusters, draws=draws
    )
    return {
        "CRV1, city": float(by_city.p_values[0]),
        "CRV1, province": float(by_province.p_values[0]),
        "CRV3, province": cluster_errors.crv3(regression, 0, regression.clusters).p_value or 0.0,
        "WCR, province": wild.p_value or 0.0,
    }


def rejected(panels: int, draws: int) -> dict[str, float]:
    """Return the share of simulated panels in which each test rejects the null hypothesis."""
    found = pd.DataFrame([p_values(panel(FIRST_SEED + number), draws) for number in range(panels)])
    shares = (found <= LEVEL).mean()
    return {str(name): float(share) for name, share in shares.items()}


def main() -> None:
    """Simulate, print the report, and fail if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--panels", type=int, default=500)
    parser.add_argument(
        "--draws", type=int, default=wild_bootstrap.DRAWS, help="draws of the wild bootstrap"
    )
    arguments = parser.parse_args()
    started = time.process_time()
    shares = rejected(arguments.panels, arguments.draws)
    seconds = time.process_time() - started
    lines = [
        f"| {name} | {share:.1%} | {np.sqrt(share * (1 - share) / arguments.panels):.1%} |"
        + (f" {LEAST:.0%} to {MOST:.0%} |" if name in TARGETED else " |")
        for name, share in shares.items()
    ]
    print(
        f"""\
# How often tests at 5 % reject a true null

Each of the {arguments.panels} synthetic panels has {sum(CITIES)} cities with 9 to 11 years of data.
The {len(CITIES)} provinces are as large as in the public headline sample (1 to {max(CITIES)}
cities). The regressor has no effect. The regressor, the control and the error have an
autocorrelation of {PERSISTENCE} between consecutive years, and cities of a province share
{SHARE_OF_PROVINCE:.0%} of their variance. The wild bootstrap uses {arguments.draws:,} draws.

    python benchmarks/size_of_tests.py --panels {arguments.panels} --draws {arguments.draws}

The CPU time was {seconds:.0f} s. Random seeds start at {FIRST_SEED:,}.

| test | rejects | Monte Carlo error | target |
| --- | --- | --- | --- |
"""
        + "\n".join(lines)
        + """

CRV1 and CRV3 use the t(G−1) distribution. WCR is the wild cluster bootstrap with the null imposed.
"""
    )
    missed = [
        f"The test {name} rejects a true null in {shares[name]:.1%} of panels, but the target is"
        f" {LEAST:.0%} to {MOST:.0%}."
        for name in TARGETED
        if not LEAST <= shares[name] <= MOST
    ]
    if missed:
        sys.exit(" ".join(missed))


if __name__ == "__main__":
    main()
