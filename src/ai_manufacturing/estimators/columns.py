"""Read checked arrays from the columns of a sample, and sum over groups of rows."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimators.not_estimable import NotEstimable

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def read_numbers(sample: pd.DataFrame, column: str, *, allow_missing: bool = False) -> Floats:
    """Return a column as floats, shape (n,), or raise NotEstimable with the column's name.

    Values must be finite. Missing values become NaN if `allow_missing`, and raise otherwise.
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
    """Encode the groups of a column as 0, 1, ... in sorted order, shape (n,).

    Raises NotEstimable if a row has no group.
    """
    codes: Codes = pd.factorize(sample[column], sort=True)[0].astype(np.intp)
    missing = int((codes < 0).sum())
    if missing:
        raise NotEstimable("missing_values", column=column, count=missing)
    return codes


def renumber(codes: Codes) -> Codes:
    """Renumber codes as 0, 1, ... without gaps, preserving their order; shape (n,)."""
    return np.unique(codes, return_inverse=True)[1]


def sum_by(codes: Codes, columns: Floats) -> Floats:
    """Sum columns of shape (n, m) by code 0, 1, ...; the result has shape (codes, m)."""
    return np.column_stack([np.bincount(codes, weights=column) for column in columns.T])
