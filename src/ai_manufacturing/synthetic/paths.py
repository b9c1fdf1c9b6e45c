"""Paths over the years 2010 to 2020: noise, levels and growth."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.settings import FIRST_YEAR, LAST_YEAR

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

YEARS = np.arange(FIRST_YEAR, LAST_YEAR + 1)
YEAR_COUNT = len(YEARS)
YEARS_TO_2020 = YEARS - LAST_YEAR


def year_index(year: int) -> int:
    """Return the column of a year."""
    return year - FIRST_YEAR


def autoregressive(rng: Generator, units: int, sd: float, persistence: float) -> Floats:
    """Draw stationary first-order autoregressive noise, units by years."""
    noise = rng.standard_normal((units, YEAR_COUNT))
    for year in range(1, YEAR_COUNT):
        noise[:, year] = persistence * noise[:, year - 1] + np.sqrt(1 - persistence**2) * noise[:, year]
    return sd * noise


def anchored(level_2020: Floats, deviation: Floats) -> Floats:
    """Return paths that follow `deviation` and end at `level_2020`."""
    return level_2020[:, None] + deviation - deviation[:, -1:]


def centred(mean_level: Floats, deviation: Floats) -> Floats:
    """Return paths that follow `deviation` around `mean_level`."""
    return mean_level[:, None] + deviation - deviation.mean(axis=1, keepdims=True)


def with_mean_growth(path: Floats, growth: float) -> Floats:
    """Return paths with a common trend added, so that their mean yearly growth is `growth`."""
    present = float((path[:, -1] - path[:, 0]).mean()) / (YEAR_COUNT - 1)
    return path + (growth - present) * YEARS_TO_2020


def two_phase_growth(to_2016: float, after_2016: float) -> Floats:
    """Return the log path, zero in 2020, of a growth rate that changes after 2016."""
    return to_2016 * np.minimum(YEARS - 2016, 0) + after_2016 * np.maximum(YEARS - 2016, 0) - 4 * after_2016
