"""Re-estimate a regression with measures of other years or cities as added regressors."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd

from ai_manufacturing.estimation.rows import Row, make_reason_row
from ai_manufacturing.estimators import cluster_errors, fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case, make_inference_rows


def add_terms(case: Case, new_terms: Mapping[str, Floats]) -> Iterator[Row]:
    """Re-estimate a regression with added terms, and test these terms and the AI measure.

    Standard errors are CRV3, clustered by province.

    Parameters
    ----------
    case : Case
    new_terms : mapping of str to ndarray
        Values of each added term in the rows of the sample. Rows with a missing value are dropped.
        A warning reports the number of remaining rows, and the estimate on them without the added
        terms.
    """
    specification = case.specification
    sample = case.sample.rows.assign(**new_terms).dropna(subset=[*new_terms])
    terms = [*new_terms, *specification.terms]

    def fit_with_terms() -> tuple[FixedEffectsFit, Sentence]:
        fit = fixed_effects.fit(sample, specification.outcome, terms, time=specification.period)
        design, outcome, units = (
            getattr(fit.regression, name) for name in ("design", "outcome", "units")
        )
        own = np.linalg.lstsq(design[:, len(new_terms) :], outcome)[0][0] * units[len(new_terms)]
        count = len(fit.regression.index)
        return fit, sentence(
            "same_rows", count=count, all=len(case.regression.index), value=float(own)
        )

    result = get_result_or_reason(fit_with_terms)
    for term in (*new_terms, specification.regressor):
        if isinstance(result, Sentence):
            yield make_reason_row(result, term=term)
            continue
        fit, same_rows = result
        provinces = pd.factorize(sample.loc[fit.regression.index, "province_id"], sort=True)[0]
        method = partial(cluster_errors.crv3, fit.regression, terms.index(term), provinces)
        for row in make_inference_rows(term, method):
            yield {**row, "warnings": (*row.get("warnings", ()), same_rows)}
