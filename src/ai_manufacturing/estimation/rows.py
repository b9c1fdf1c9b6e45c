"""Turn specifications into table rows, with a reason if one cannot be estimated."""

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
    """Collect the rows of all specifications into one table; all estimate tables use it.

    Parameters
    ----------
    specifications : iterable of Specification
    inputs : Inputs
        Tables that the specifications use.
    model : str
        dbt model of the table, which declares its columns and key.
    rows_of : callable
        Takes a specification and returns its rows. A row may override the defaults
        specification_id, status ("estimated") and extract_set.
    instead : callable
        Takes a specification and returns the columns of its row, besides status and reason, if it
        cannot be estimated.

    Returns
    -------
    Table
        If rows_of raises NotEstimable, the specification has one row with status not_estimable and
        the reason. Undefined and infinite numbers become null, and sentences are in both languages.
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
    """Return the rows, or a single row with the reason if they cannot be estimated."""
    answer = attempted(lambda: [*rows()])
    return [reason_row(answer, **instead)] if isinstance(answer, Sentence) else answer


def reason_row(reason: Sentence, **instead: Any) -> Row:
    """Return a row with status not_estimable and the reason."""
    return {**instead, "status": "not_estimable", "reason": reason}


def _finite(value: Any) -> Any:
    return None if isinstance(value, (float, np.floating)) and not math.isfinite(value) else value
