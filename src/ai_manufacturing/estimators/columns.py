"""Convert DataFrame columns to validated arrays and group codes, and sum rows by group."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators.not_estimable import NotEstimable

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def read_numbers(sample: pd.DataFrame, column: str, *, allow_missing: bool = False) -> Floats:
    """Return a column as a float array, or raise NotEstimable if it has invalid values.

    Values must be finite numbers. Missing values become NaN if `allow_missing`, or else raise.
    """
    try:
        values: Floats = sample[column].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise NotEstimable("not_numbers", column=column) from error
    is_usable = np.isfinite(values) | (allow_missing & np.isnan(values))
    unusable = int((~is_usable).sum())
    if unusable:
        raise NotEstimable("not_finite", column=column, count=unusable)
    return values


def encode_groups(sample: pd.DataFrame, column: str) -> Codes:
    """Encode the values of a column as integers 0, 1, ... in sorted order, shape (n,).

    Raises NotEstimable if a row has no group.
    """
    codes: Codes = pd.factorize(sample[column], sort=True)[0].astype(np.intp)
    missing = int((codes < 0).sum())
    if missing:
        raise NotEstimable("missing_values", column=column, count=missing)
    return codes


def renumber(codes: Codes) -> Codes:
    """Renumber integer codes as 0, 1, ... without gaps, preserving their order."""
    return np.unique(codes, return_inverse=True)[1]


def sum_by(codes: Codes, columns: Floats) -> Floats:
    """Sum the rows of an (n, m) array by group code; the result has shape (groups, m)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in columns.T])
