"""Build tables of estimates, with a reason for each regression that cannot be estimated."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.not_estimable import get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence, join_sentences, split_sentences
from ai_manufacturing.system import contracts

Row = dict[str, Any]


def build_estimates_table(
    specifications: Iterable[Specification],
    inputs: Inputs,
    model: str,
    make_rows: Callable[[Specification], Iterable[Row]],
    make_reason_columns: Callable[[Specification], Row] = lambda specification: {},
) -> pa.Table:
    """Build an Arrow table of estimates from the rows of each specification.

    Parameters
    ----------
    specifications : iterable of Specification
    inputs : Inputs
        Tables that the specifications use.
    model : str
        dbt model of the table, which declares its columns and key.
    make_rows : callable
        Takes a specification and returns its rows. A row may override the defaults
        specification_id, status ("estimated") and extract_set.
    make_reason_columns : callable
        Takes a specification and returns the columns of its row, besides status and reason, if it
        cannot be estimated.

    Returns
    -------
    Table
        If make_rows raises NotEstimable, the specification has one row with status not_estimable
        and the reason. Undefined and infinite numbers become null, and sentences are in both
        languages.
    """
    table: list[Row] = []
    for specification in specifications:
        common = {
            "specification_id": specification.specification_id,
            "status": "estimated",
            "extract_set": inputs.extract_set,
        }
        for row in get_rows_or_reason(
            partial(make_rows, specification), **make_reason_columns(specification)
        ):
            warnings = row.get("warnings")
            words = {"warnings": join_sentences(warnings) if warnings else None}
            table.append(
                {
                    name: _replace_infinite(value)
                    for name, value in split_sentences({**common, **row, **words}).items()
                }
            )
    return contracts.build_table(model, table)


def get_rows_or_reason(make_rows: Callable[[], Iterable[Row]], **columns: Any) -> list[Row]:
    """Return the rows from make_rows, or one row with the reason if it raises NotEstimable."""
    answer = get_result_or_reason(lambda: [*make_rows()])
    return [make_reason_row(answer, **columns)] if isinstance(answer, Sentence) else answer


def make_reason_row(reason: Sentence, **columns: Any) -> Row:
    """Return a table row with the status not_estimable and the reason for it."""
    return {**columns, "status": "not_estimable", "reason": reason}


def _replace_infinite(value: Any) -> Any:
    return None if isinstance(value, (float, np.floating)) and not math.isfinite(value) else value
