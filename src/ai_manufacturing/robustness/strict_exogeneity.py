"""Strict exogeneity: next year's measure must have no effect on this year's outcome."""

from collections.abc import Iterator

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.robustness.added_terms import beside_the_measure
from ai_manufacturing.robustness.case import Case


def next_year(case: Case, last_year: str) -> Iterator[Row]:
    """Add next year's measure, and last year's if asked: jackknife errors by province of each.

    Parameters
    ----------
    case : Case
    last_year : {"no", "yes"}
    """
    specification = case.specification
    measure = specification.regressor
    shifts = {f"{measure}_next_year": 1} | (
        {"no": {}, "yes": {f"{measure}_last_year": -1}}[last_year]
    )
    shifted = {
        name: case.inputs.measure_of_another_year(specification, case.sample, by)
        for name, by in shifts.items()
    }
    yield from beside_the_measure(case, shifted)
