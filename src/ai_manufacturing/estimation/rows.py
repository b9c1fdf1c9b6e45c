"""From specifications to rows; one that cannot be estimated is a row with the reason."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.not_estimable import attempted
from ai_manufacturing.estimators.sentences import Sentence, in_columns, joined
from ai_manufacturing.system import contracts

Row = dict[str, Any]


def of_each(
    specifications: Iterable[Specification],
    inputs: Inputs,
    model: str,
    rows_of: Callable[[Specification], Iterable[Row]],
    instead: Callable[[Specification], Row] = lambda specification: {},
) -> pa.Table:
    """Stack what each specification gives: every table of estimates is made here.

    Parameters
    ----------
    specifications : iterable of Specification
    inputs : Inputs
        The tables they draw on.
    model : str
        The model whose table it is, with its columns and its key.
    rows_of : callable
        Takes a specification and returns its rows, with the columns that differ from "estimated".
    instead : callable
        Takes a specification and returns what its row has beside the reason where there is no
        estimate.

    Returns
    -------
    Table
        Where rows_of raises NotEstimable, one row with status not_estimable and the reason. A
        number that is undefined or infinite is null, and sentences stand in both languages.
    """
    table: list[Row] = []
    for specification in specifications:
        common = {
            "specification_id": specification.specification_id,
            "status": "estimated",
            "extract_set": inputs.extract_set,
        }
        for row in answered(partial(rows_of, specification), **instead(specification)):
            warnings = row.get("warnings")
            words = {"warnings": joined(warnings) if warnings else None}
            table.append(
                {
                    name: _finite(value)
                    for name, value in in_columns({**common, **row, **words}).items()
                }
            )
    return contracts.table(model, table)


def answered(rows: Callable[[], Iterable[Row]], **instead: Any) -> list[Row]:
    """Return rows, or the one that says why the data give none."""
    answer = attempted(lambda: [*rows()])
    return [reason_row(answer, **instead)] if isinstance(answer, Sentence) else answer


def reason_row(reason: Sentence, **instead: Any) -> Row:
    """Return the row of what cannot be estimated."""
    return {**instead, "status": "not_estimable", "reason": reason}


def _finite(value: Any) -> Any:
    return None if isinstance(value, (float, np.floating)) and not math.isfinite(value) else value
