"""Time the dynamic-panel estimator on synthetic panels of the paper's size and of ten times as many cities.

System GMM, two-step with Windmeijer's correction: lagged outcome and one endogenous regressor with lags 2 to 4, three
controls, year dummies. Prints the fastest and the median of the runs in seconds; the target is 0.5. From the root:

    python benchmarks/dynamic_panel.py --runs 9
"""

import argparse
import time

import numpy as np
import pandas as pd

from ai_manufacturing.estimators.dynamic_panel import fit

YEARS = 11
CONTROLS = ["population", "employment", "research"]


def panel(cities: int) -> pd.DataFrame:
    rng = np.random.default_rng(2020)
    burn = 15
    effect = rng.normal(size=cities)
    shocks, noise, *controls = rng.normal(size=(2 + len(CONTROLS), cities, burn + YEARS))
    firms, gdp = np.zeros((2, cities, burn + YEARS))
    for t in range(1, burn + YEARS):
        firms[:, t] = 0.5 * firms[:, t - 1] + effect + 0.4 * shocks[:, t] + noise[:, t]
        gdp[:, t] = 0.5 * gdp[:, t - 1] + 0.3 * firms[:, t] + 0.1 * controls[0][:, t] + effect + shocks[:, t]
    series = {"gdp": gdp, "firms": firms, **dict(zip(CONTROLS, controls, strict=True))}
    return pd.DataFrame(
        {"city_id": np.repeat(np.arange(cities), YEARS), "year": np.tile(np.arange(2010, 2010 + YEARS), cities)}
        | {name: values[:, burn:].ravel() for name, values in series.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    print("cities  years  collapsed  instruments  fastest  median")
    for cities, collapse in ((290, False), (3000, True)):
        data = panel(cities)
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            ours = fit(data, "gdp", ["L.gdp", "firms", *CONTROLS], {"gdp": (2, 4), "firms": (2, 4)}, collapse=collapse)
            seconds.append(time.perf_counter() - start)
        label = "yes" if collapse else "no"
        print(
            f"{cities:6}  {YEARS:5}  {label:>9}  {ours.instrument_count:11}  {min(seconds):7.3f}  "
            f"{np.median(seconds):6.3f}"
        )


if __name__ == "__main__":
    main()
