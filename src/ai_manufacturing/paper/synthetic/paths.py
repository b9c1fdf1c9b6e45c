"""Draw noise and build time series with given levels and growth rates."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic.truth import Truth

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draws:
    """Random number generator with the true parameters and years of the synthetic sample.

    Attributes
    ----------
    rng : Generator
        Random number generator.
    root : NDArray[np.float64]
        Matrix root of the correlation of noise between units, units by units.
    truth : Truth
        True parameters.
    years : NDArray[np.int64]
        Statistical years.
    """

    rng: Generator
    root: Floats
    truth: Truth
    years: Integers

    @property
    def years_to_last(self) -> Integers:
        """Years relative to the last year, such as -2, -1, 0."""
        return np.arange(1 - len(self.years), 1)

    def draw_independent_noise(self, sd: float) -> Floats:
        """Draw normal noise with one value per city, independent across cities."""
        return sd * self.rng.standard_normal(len(self.root))

    def draw_correlated_noise(self, *shape: int) -> Floats:
        """Draw standard normal noise of shape (cities, *shape), correlated across cities."""
        return self.root @ self.rng.standard_normal((len(self.root), *shape))

    def draw_autoregressive_noise(self, sd: float, persistence: float) -> Floats:
        """Draw stationary AR(1) noise of shape (cities, years), correlated across cities."""
        shocks = self.draw_correlated_noise(len(self.years))
        return sd * adjust_partially(shocks, persistence, np.sqrt(1 - persistence**2))

    def draw_outcome_noise(self, sd: float) -> Floats:
        """Draw AR(1) noise with the persistence assumed for outcome variables."""
        return self.draw_autoregressive_noise(sd, self.truth.outcome_noise_persistence)


def adjust_partially(path: Floats, persistence: float, share: float) -> Floats:
    """Return y_t = persistence * y_{t-1} + share * x_t for each row x of `path`."""
    result = path.copy()
    for year in range(1, path.shape[1]):
        result[:, year] = persistence * result[:, year - 1] + share * path[:, year]
    return result


def anchor_at_last(last_level: Floats, deviation: Floats) -> Floats:
    """Shift each row of `deviation` so that its last value equals `last_level`."""
    return last_level[:, None] + deviation - deviation[:, -1:]


def centre_on_mean(mean_level: Floats, deviation: Floats) -> Floats:
    """Shift each row of `deviation` so that its mean equals `mean_level`."""
    mean: Floats = deviation.mean(axis=1, keepdims=True)
    return mean_level[:, None] + deviation - mean


def set_mean_growth(path: Floats, growth: float) -> Floats:
    """Add the same linear trend to all rows, so that their mean yearly growth equals `growth`."""
    count = path.shape[1]
    present = float((path[:, -1] - path[:, 0]).mean()) / (count - 1)
    trend: Floats = (growth - present) * np.arange(1 - count, 1)
    return path + trend


def compute_two_phase_growth(years: Integers, to_2016: float, after_2016: float) -> Floats:
    """Return a piecewise linear log path that is zero in 2020 and changes slope in 2016."""
    return (
        to_2016 * np.minimum(years - 2016, 0)
        + after_2016 * np.maximum(years - 2016, 0)
        - 4 * after_2016
    )
