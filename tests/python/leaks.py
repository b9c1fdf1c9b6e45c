"""Detect restricted values that published tables reveal, allowing for chance matches."""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ai_manufacturing.estimators.columns import Floats

# Minimum number of significant digits of a value to search for. Shorter values occur everywhere.
DIGITS = 4
CLOSE = 1e-9
# Number of randomly perturbed copies of the values, used to estimate how many match by chance.
COPIES = 30
# Significance level for each combination of columns. There are about 100,000 combinations.
CHANCE = 1e-6
# Maximum number of numeric columns in a table for which pairs of columns are combined.
WIDEST = 40
YEARS = ("year", "entry_year")


class Leak(NamedTuple):
    """One or two table columns that match restricted values more often than chance explains."""

    table: str
    combination: str
    found: int
    by_chance: float


def leaks(tables: Mapping[str, pd.DataFrame], values: pd.DataFrame) -> Iterator[Leak]:
    """Yield the columns and arithmetic combinations of two columns that match restricted values.

    Parameters
    ----------
    tables : DataFrames by their names
        Rows with a year are compared with the values of that year, other rows with all values.
    values : DataFrame
        year and value, at least one row per restricted value.
    """
    texts = values["value"].abs().map("{:.10g}".format)
    sought = values[texts.str.replace(".", "").str.strip("0").str.len() >= DIGITS]
    # Perturb in units of the last decimal place, so that integers remain integers.
    units = 0.1 ** texts[sought.index].str.partition(".")[2].str.len()
    rng = np.random.default_rng(1)
    size = (COPIES, len(sought))
    steps = rng.integers(1, 50, size) * rng.choice([-1, 1], size) * units.to_numpy()
    moved = [sought["value"], *(sought["value"] + step for step in steps)]
    years = [*sought["year"].unique()]
    groups = {year: [np.unique(one[sought["year"] == year]) for one in moved] for year in years}
    groups[0] = [np.unique(one) for one in moved]
    for name, table in tables.items():
        column = next((column for column in YEARS if column in table), None)
        of_row = (
            np.zeros(len(table)) if column is None else table[column].to_numpy(float, na_value=-1)
        )
        for combination, numbers in _combinations(table):
            is_number = np.isfinite(numbers) & (numbers != 0)
            met = np.zeros(1 + COPIES)
            for year in np.unique(of_row[is_number]):
                own = np.unique(numbers[is_number & (of_row == year)])
                first, *copies = groups.get(year, [np.empty(0)])
                if count := _met(own, first):
                    met += [count, *(_met(own, one) for one in copies)]
            by_chance = float(met[1:].mean())
            if met[0] and stats.poisson.sf(met[0] - 1, max(by_chance, 1 / COPIES)) < CHANCE:
                yield Leak(name, combination, int(met[0]), by_chance)


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
    """Count the numbers that equal any of the sorted values, up to rounding error."""
    if len(values) < 2:
        return 0
    place = np.clip(np.searchsorted(values, numbers), 1, len(values) - 1)
    distance = np.minimum(np.abs(values[place] - numbers), np.abs(values[place - 1] - numbers))
    return int((distance <= CLOSE * np.abs(numbers)).sum())
