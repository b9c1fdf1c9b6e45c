"""Paths over the years of a period: noise, levels and growth."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def years_to_last(count: int) -> Integers:
    """Return the years of a path, counted from its last."""
    return np.arange(1 - count, 1)


def correlated(noise: Floats, root: Floats | None) -> Floats:
    """Return noise with the correlation of a root; as it is without one."""
    return noise if root is None else root @ noise


def autoregressive(
    rng: Generator, shape: tuple[int, ...], sd: float, persistence: float, root: Floats | None
) -> Floats:
    """Draw stationary AR(1) noise, units by years, correlated over units by `root`."""
    noise = correlated(rng.standard_normal(shape), root)
    for year in range(1, shape[1]):
        noise[:, year] = (
            persistence * noise[:, year - 1] + np.sqrt(1 - persistence**2) * noise[:, year]
        )
    return sd * noise


def anchored(last_level: Floats, deviation: Floats) -> Floats:
    """Return paths that follow `deviation` and end at `last_level`."""
    return last_level[:, None] + deviation - deviation[:, -1:]


def centred(mean_level: Floats, deviation: Floats) -> Floats:
    """Return paths that follow `deviation` around `mean_level`."""
    mean: Floats = deviation.mean(axis=1, keepdims=True)
    return mean_level[:, None] + deviation - mean


def with_mean_growth(path: Floats, growth: float) -> Floats:
    """Return paths with a common trend added, so that their mean yearly growth is `growth`."""
    count = path.shape[1]
    present = float((path[:, -1] - path[:, 0]).mean()) / (count - 1)
    trend: Floats = (growth - present) * years_to_last(count)
    return path + trend


def two_phase_growth(years: Integers, to_2016: float, after_2016: float) -> Floats:
    """Return the log path, zero in 2020, of a growth rate that changes after 2016."""
    return (
        to_2016 * np.minimum(years - 2016, 0)
        + after_2016 * np.maximum(years - 2016, 0)
        - 4 * after_2016
    )
