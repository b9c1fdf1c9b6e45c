"""Test strict exogeneity: a later year's measure must not affect this year's outcome."""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators import cluster_errors, fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.robustness.added_terms import add_terms
from ai_manufacturing.robustness.case import Case, make_inference_rows


def add_next_year(case: Case, last_year: str) -> Iterator[Row]:
    """Add next year's measure, and optionally last year's, to the regression.

    Standard errors are CRV3 by province.

    Parameters
    ----------
    case : Case
    last_year : {"no", "yes"}
        Whether to add last year's measure too.
    """
    specification = case.specification
    measure = specification.regressor
    shifts = {f"{measure}_next_year": 1} | (
        {"no": {}, "yes": {f"{measure}_last_year": -1}}[last_year]
    )
    added_measures = {
        name: case.inputs.shift_measure(specification, case.sample, by)
        for name, by in shifts.items()
    }
    yield from add_terms(case, added_measures)


def add_later(case: Case, years: str) -> Iterator[Row]:
    """Add the measure of a later year to the regression.

    Standard errors are CRV3 by province. The later measure has a slope of its own if growth
    attracts AI firms, or if outcome and measure share a trend. It has none if the outcome responds
    to this year's measure only.

    Parameters
    ----------
    case : Case
    years : str
        Number of years by which the added measure is later.
    """
    name = f"{case.specification.regressor}_later"
    yield from add_terms(case, {name: _read_later_measure(case, years)})


def replace_by_later(case: Case, years: str) -> Iterator[Row]:
    """Replace the measure with a later year's, and estimate both on the same city-years.

    Standard errors are CRV3 by province.

    Parameters
    ----------
    case : Case
    years : str
        Number of years by which the substituted measure is later.
    """
    specification = case.specification
    measure = specification.regressor
    later_measure = f"{measure}_later"
    sample = case.sample.rows.assign(**{later_measure: _read_later_measure(case, years)}).dropna(
        subset=[later_measure]
    )

    def error(term: str) -> Inference:
        terms = [term if name == measure else name for name in specification.terms]
        fit = fixed_effects.fit(sample, specification.outcome, terms, time=specification.period)
        provinces = pd.factorize(sample.loc[fit.regression.index, "province_id"], sort=True)[0]
        return cluster_errors.crv3(fit.regression, terms.index(term), provinces)

    for term in (later_measure, measure):
        yield from make_inference_rows(term, partial(error, term))


def _read_later_measure(case: Case, years: str) -> Floats:
    """Return, for each row, the measure of the same city `years` later; NaN if missing."""
    return case.inputs.shift_measure(case.specification, case.sample, int(years))
