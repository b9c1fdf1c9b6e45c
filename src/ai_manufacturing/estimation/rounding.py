"""Add remarks to estimates whose data are rounded to large units, such as 10,000 persons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Sample
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import Effects
from ai_manufacturing.estimators.sentences import Sentence, sentence

# Suffixes of series names that indicate a large unit. Counts of firms or persons have none of them,
# because they are exact integers without rounding error.
LARGE_UNITS = ("_10k", "_100m_cny", "_1m_usd")
# A series counts as rounded to whole units if more than this share of its values are integers.
WHOLE = 0.9
# A remark is added if rounding causes at least this share of a variable's residual variance.
MATERIAL = 0.01
# Key in sentences.yml of the remark about rounding, by the variable's role in the regression.
REMARKS = {"outcome": "rounded_outcome", "control": "rounded_control"}


def find_remarks(
    specification: Specification, series: Sequence[Any], sample: Sample
) -> list[Sentence]:
    """Return a remark for each logged variable whose rounding error is material.

    Parameters
    ----------
    specification : Specification
    series : sequence
        Rows of marts.dim_specification_series for the specification.
    sample : Sample
        City-years of the specification.

    Notes
    -----
    A rounding error is uniform within half a unit, so its variance is 1/12, or about 1/(12 x²) for
    the log of x. Dividing this by the variance net of the effects (for a control, also net of the
    other regressors) gives the attenuation of the log's slope under classical measurement error:
    Wooldridge (2010), Econometric Analysis of Cross Section and Panel Data, section 4.4.2. The
    ratio is an upper bound, because city effects absorb the persistent part of the error, which is
    most of it if values hardly change.
    """
    rows = sample.rows[sample.is_estimated]
    remarks = []
    variables = [row.variable for row in series]
    for row in series:
        if row.role not in REMARKS or variables.count(row.variable) > 1:
            continue
        if not (row.variable.startswith("ln_") and row.quantity.endswith(LARGE_UNITS)):
            continue
        logs = rows[row.variable].to_numpy(dtype=float)
        values = np.exp(logs)
        if np.isclose(values, np.round(values), rtol=1e-9).mean() <= WHOLE:
            continue
        is_control = row.role == "control"
        others = [name for name in specification.terms if is_control and name != row.variable]
        other_columns = rows[others].select_dtypes("number").to_numpy(dtype=float)
        every, smaller = _compute_shares(
            rows["city_id"], rows[specification.period], logs, other_columns, values
        )
        if max(every, smaller) >= MATERIAL:
            remarks.append(
                sentence(REMARKS[row.role], series=row.series, share=every, smaller=smaller)
            )
    return remarks


def _compute_shares(
    cities: pd.Series, periods: pd.Series, logs: Floats, other_columns: Floats, values: Floats
) -> tuple[float, float]:
    """Return the share of residual variance due to rounding, for all and for small cities.

    Small cities are the half with the smaller mean values. Shares are capped at 1.
    """
    codes = pd.factorize(cities)[0]
    effects = Effects(codes, pd.factorize(periods)[0])
    within = effects.remove_from(np.column_stack([logs, other_columns]))
    log, others = within[:, 0], within[:, 1:]
    residuals = log - others @ np.linalg.lstsq(others, log, rcond=None)[0]
    freedom = len(logs) - effects.rank - others.shape[1]
    squares = residuals**2 * (len(logs) / max(freedom, 1))
    errors = 1 / (12 * values**2)
    means = np.bincount(codes, values) / np.bincount(codes)
    is_smaller = (means <= np.median(means))[codes]

    def share(is_chosen: NDArray[np.bool_]) -> float:
        variation = max(squares[is_chosen].sum(), np.finfo(float).tiny)
        return min(float(errors[is_chosen].sum() / variation), 1.0)

    return share(np.full(len(logs), True)), share(is_smaller)
