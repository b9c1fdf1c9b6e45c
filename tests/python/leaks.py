"""Restricted values that follow from what is published, and how many would by chance."""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ai_manufacturing.estimators.columns import Floats

DIGITS = 4  # significant digits of a value that is looked for: shorter ones are everywhere
CLOSE = 1e-9
COPIES = 30  # of the values, moved by a few units of their last place: what they meet is chance
CHANCE = 1e-6  # of a combination of columns; a set has about a hundred thousand
WIDEST = 40  # columns of a table that are combined
YEARS = ("year", "entry_year")
NO_YEAR = 0.0


class Leak(NamedTuple):
    """Columns of a table that give restricted values, more often than chance does."""

    table: str
    combination: str
    found: int
    by_chance: float


class Values:
    """Restricted values by year, and copies that are moved a little.

    Parameters
    ----------
    values : DataFrame
        year and value, at least one row per restricted value.
    """

    def __init__(self, values: pd.DataFrame) -> None:
        long = values[[_digits(value) >= DIGITS for value in values["value"]]]
        rng = np.random.default_rng(1)
        self.by_year = {
            float(year): np.unique(of_year["value"]) for year, of_year in long.groupby("year")
        }
        self.copies = [
            {year: _moved(found, rng) for year, found in self.by_year.items()}
            for _ in range(COPIES)
        ]
        for by_year in (self.by_year, *self.copies):
            by_year[NO_YEAR] = np.unique(np.concatenate([*by_year.values()]))

    def met(self, numbers: Floats, years: Floats) -> tuple[int, float]:
        """Return how many different numbers are restricted values, and how many by chance.

        A number of a year is compared with the values of that year, one of NO_YEAR with those of
        all.
        """
        found, chance = 0, np.zeros(COPIES)
        for year in np.unique(years):
            own = numbers[years == year]
            if year in self.by_year and (met := _met(own, self.by_year[year])):
                found += met
                chance += [_met(own, copy[year]) for copy in self.copies]
        return found, float(chance.mean())


def leaks(tables: Mapping[str, pd.DataFrame], values: Values) -> Iterator[Leak]:
    """Yield columns, and products, quotients, sums and differences of two, that give values."""
    for name, table in tables.items():
        year = next((column for column in YEARS if column in table), None)
        years = (
            np.full(len(table), NO_YEAR)
            if year is None
            else table[year].to_numpy(float, na_value=np.nan)
        )
        for combination, numbers in _combinations(table):
            is_number = np.isfinite(numbers) & (numbers != 0)
            found, chance = values.met(numbers[is_number], years[is_number])
            if found and stats.poisson.sf(found - 1, max(chance, 1 / COPIES)) < CHANCE:
                yield Leak(name, combination, found, chance)


def _combinations(table: pd.DataFrame) -> Iterator[tuple[str, Floats]]:
    columns = {
        str(name): column.to_numpy(float, na_value=np.nan)
        for name, column in table.select_dtypes("number").items()
        if name not in YEARS
    }
    yield from columns.items()
    if len(columns) > WIDEST:
        return
    with np.errstate(all="ignore"):
        for (one, x), (other, y) in itertools.combinations(columns.items(), 2):
            yield f"{one} * {other}", x * y
            yield f"{one} + {other}", x + y
            yield f"{one} - {other}", np.abs(x - y)
            yield f"{one} / {other}", x / y
            yield f"{other} / {one}", y / x


def _met(numbers: Floats, values: Floats) -> int:
    if len(values) < 2:
        return 0
    different = np.unique(numbers)
    place = np.clip(np.searchsorted(values, different), 1, len(values) - 1)
    distance = np.minimum(np.abs(values[place] - different), np.abs(values[place - 1] - different))
    return int((distance <= CLOSE * np.abs(different)).sum())


def _digits(value: float) -> int:
    return len(f"{abs(value):.10g}".replace(".", "").strip("0"))


def _moved(values: Floats, rng: np.random.Generator) -> Floats:
    """Return values of the same look: what is whole stays so, and decimals keep their places."""
    places = [len(f"{value:.10g}".partition(".")[2]) for value in values]
    steps = rng.integers(1, 50, len(values)) * rng.choice([-1, 1], len(values))
    moved: Floats = np.unique(values + steps / 10.0 ** np.array(places))
    return moved
