"""Rounding of series that are printed in whole large units, said beside the estimates that rest on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.inputs import Sample
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import Effects
from ai_manufacturing.estimators.sentences import Sentence, sentence

# A name ends with its unit. A count of firms or persons is whole and not rounded.
LARGE_UNITS = ("_10k", "_100m_cny", "_1m_usd")
WHOLE = 0.9  # share of whole values from which a series is taken as printed in whole units
REMARKS = {"outcome": "rounded_outcome", "control": "rounded_control"}


def remarks(series: Sequence[Any], sample: Sample) -> list[Sentence]:
    """Return what rounding does to the logs that an estimate rests on.

    Parameters
    ----------
    series : sequence
        Rows of marts.dim_specification_series of the specification.
    sample : Sample
        Its city-years.

    Notes
    -----
    An error of rounding is uniform within half a unit, so its variance is 1/12, and of the log of x about 1/(12 x²).
    Its share of the variance that city and year effects leave is by how much it draws the slope of the log to zero.
    """
    rows = sample.rows[sample.is_estimated]
    found = []
    for row in series:
        if row.role not in REMARKS or row.variable not in rows or not str(row.quantity).endswith(LARGE_UNITS):
            continue
        if not row.variable.startswith("ln_") or sum(other.variable == row.variable for other in series) > 1:
            continue
        logs = rows[row.variable].to_numpy(dtype=float)
        values = np.exp(logs)
        if np.isclose(values, np.round(values), rtol=1e-9).mean() > WHOLE:
            every, smaller = _shares(rows, logs, values)
            found.append(sentence(REMARKS[row.role], series=row.series, share=every, smaller=smaller))
    return found


def _shares(rows: pd.DataFrame, logs: Floats, values: Floats) -> tuple[float, float]:
    """Return the share of rounding in the variance within city and year: of all cities, and of the smaller half."""
    cities, years = (pd.factorize(rows[name])[0] for name in ("city_id", "year"))
    effects = Effects(cities, years)
    squares = effects.removed_from(logs[:, None])[:, 0] ** 2 * (len(rows) / max(len(rows) - effects.rank, 1))
    errors = 1 / (12 * values**2)
    means = np.bincount(cities, values) / np.bincount(cities)
    is_smaller = (means <= np.median(means))[cities]
    every, smaller = (errors[chosen].mean() / squares[chosen].mean() for chosen in (slice(None), is_smaller))
    return min(float(every), 1.0), min(float(smaller), 1.0)
