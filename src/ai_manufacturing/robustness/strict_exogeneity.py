"""Strict exogeneity: next year's measure must have no effect on this year's outcome."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.rows import Row, reason_row
from ai_manufacturing.estimators import cluster_errors, fixed_effects
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import attempted
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case, inference_row


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
    sample = case.sample.rows.assign(**shifted).dropna(subset=[*shifts])
    terms = [*shifts, *specification.terms]

    def fitted() -> tuple[FixedEffectsFit, Sentence]:
        fit = fixed_effects.fit(sample, specification.outcome, terms, time=specification.period)
        design, outcome, units = (
            getattr(fit.regression, name) for name in ("design", "outcome", "units")
        )
        own = np.linalg.lstsq(design[:, len(shifts) :], outcome)[0][0] * units[len(shifts)]
        count = len(fit.regression.index)
        return fit, sentence(
            "same_rows", count=count, all=len(case.regression.index), value=float(own)
        )

    answer = attempted(fitted)
    for term in (*shifts, measure):
        if isinstance(answer, Sentence):
            yield reason_row(answer, term=term)
            continue
        fit, same_rows = answer
        provinces = pd.factorize(sample.loc[fit.regression.index, "province_id"], sort=True)[0]
        method = partial(cluster_errors.crv3, fit.regression, terms.index(term), provinces)
        for row in inference_row(term, method):
            yield {**row, "warnings": (*row.get("warnings", ()), same_rows)}


def next_year_instead(case: Case) -> Iterator[Row]:
    """Put next year's measure in the place of this year's, which has the same city-years.

    The errors of both are jackknife errors by province.
    """
    specification = case.specification
    measure = specification.regressor
    instead = f"{measure}_next_year"
    shifted = case.inputs.measure_of_another_year(specification, case.sample, 1)
    sample = case.sample.rows.assign(**{instead: shifted}).dropna(subset=[instead])

    def error(term: str) -> Inference:
        terms = [term if name == measure else name for name in specification.terms]
        fit = fixed_effects.fit(sample, specification.outcome, terms, time=specification.period)
        provinces = pd.factorize(sample.loc[fit.regression.index, "province_id"], sort=True)[0]
        return cluster_errors.crv3(fit.regression, terms.index(term), provinces)

    for term in (instead, measure):
        yield from inference_row(term, partial(error, term))
