"""Share the sample and the fit of a specification between its robustness checks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import Any

import numpy as np
import pandas as pd

from ai_manufacturing.estimation import tables
from ai_manufacturing.estimation.findings import CityYear
from ai_manufacturing.estimation.inputs import Inputs, Sample
from ai_manufacturing.estimation.rows import Row, get_rows_or_reason
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    EventStudyOptions,
    FixedEffectsOptions,
    InstrumentOptions,
    Specification,
)
from ai_manufacturing.estimators import cluster_errors
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit, PartialledOut
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable

AVERAGE = "average"  # term reported for the average effect of an event study
BEFORE = "before"  # term reported for the joint test of all years before the event
Check = Callable[..., Iterable[Row]]


@dataclass(frozen=True, eq=False)
class Case:
    """A specification with its sample and a cached fit, shared by its robustness checks.

    Attributes
    ----------
    specification : Specification
    sample : Sample
        City-years of the specification.
    inputs : Inputs
    cities : DataFrame
        marts.dim_city, indexed by city_id.
    """

    specification: Specification
    sample: Sample
    inputs: Inputs
    cities: pd.DataFrame

    @property
    def is_regression(self) -> bool:
        """Whether the specification is one least squares regression, as most checks require."""
        return not isinstance(self.specification.options, (DynamicPanelOptions, InstrumentOptions))

    @cached_property
    def fit(self) -> FixedEffectsFit:
        """Least squares fit of the specification, cached for all checks."""
        match self.specification.options:
            case FixedEffectsOptions():
                return tables.fit_fixed_effects(self.specification, self.sample, self.inputs)[0]
            case EventStudyOptions() as options:
                return tables.fit_event_study(self.specification, options, self.sample, self.inputs)
        raise NotEstimable("no_static_regression", estimator=self.specification.estimator)

    @property
    def event_study(self) -> EventStudyFit:
        """Fit of an event study; raises NotEstimable if the specification is of another type."""
        if not isinstance(self.fit, EventStudyFit):
            raise NotEstimable("no_static_regression", estimator=self.specification.estimator)
        return self.fit

    @property
    def regression(self) -> PartialledOut:
        """Regression data of the fit, after the fixed effects are partialled out."""
        return self.fit.regression

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Sample rows used by the regression, in the row order of the regression's arrays."""
        return self.sample.rows.loc[self.regression.index]

    @property
    def terms(self) -> dict[str, int]:
        """Names of the coefficients to check, with their positions in the fit.

        They belong to the measure and its interactions, or to the years of an event study.
        """
        controls = len(self.specification.controls)
        return {term: j for j, term in enumerate(self.fit.terms[: len(self.fit.terms) - controls])}

    @property
    def first_term(self) -> str:
        """Name of the coefficient that a check reports on by default."""
        if isinstance(self.specification.options, DynamicPanelOptions):
            return tables.list_dynamic_regressors(self.specification, self.specification.options)[
                0
            ][0]
        return next(iter(self.terms)) if self.is_regression else self.specification.regressor

    def codes(self, unit: str) -> Codes:
        """Return the city or province of each row, encoded as 0, 1, ..."""
        codes: Codes = pd.factorize(self.rows[f"{unit}_id"], sort=True)[0]
        return codes

    @cached_property
    def city_ids(self) -> list[str]:
        """City ids in the regression, in the order of their integer codes."""
        return [*self.rows["city_id"].drop_duplicates()]

    @cached_property
    def coordinates(self) -> Floats:
        """Longitude and latitude of each city, shape (cities, 2)."""
        places = self.cities.loc[self.city_ids, ["longitude", "latitude"]]
        coordinates: Floats = places.to_numpy(dtype=float, na_value=np.nan)
        return coordinates

    @cached_property
    def flagged_city_years(self) -> set[CityYear]:
        """City-years used by the estimate that fail a data quality expectation."""
        return self.inputs.find_flagged_city_years(self.specification, self.sample)

    def require_flags_by_city_year(self) -> None:
        """Raise NotEstimable if a whole series or year used by the estimate fails data checks."""
        years, series = (
            find(self.specification, self.sample)
            for find in (self.inputs.find_broken_years, self.inputs.find_broken_series)
        )
        if years or series:
            raise NotEstimable("flagged_as_a_whole", names=[*series, *map(str, sorted(years))])

    def require_valid_years_before(self) -> None:
        """Raise NotEstimable if a year before the event fails a data quality expectation.

        The trend before the event would then reflect the register rather than the cities.
        """
        event_year, first = self.inputs.event_year, min(self.event_study.event_times)
        broken = self.inputs.find_broken_years(self.specification, self.sample)
        if invalid_years := sorted(
            year for year in broken if event_year + first <= year < event_year
        ):
            raise NotEstimable("voided_years", years=[*map(str, invalid_years)])

    def average_effects(self) -> tuple[PartialledOut, int]:
        """Reparametrise an event study so that one slope is its average effect after the event.

        Returns the regression and the position of the slope. The average covers the printed years
        from the event on.

        Raises
        ------
        NotEstimable
            If there are no such years, or the gate rejects a year before the event.
        """
        self.require_valid_years_before()
        last = self.inputs.event_window[1]
        positions = [j for j, time in enumerate(self.event_study.event_times) if 0 <= time <= last]
        if not positions:
            raise NotEstimable("no_post_period")
        return cluster_errors.average_slopes(self.regression, positions), positions[0]


def get_case(specification: Specification, inputs: Inputs, cities: pd.DataFrame) -> Case:
    """Return the Case of a specification, cached so that all checks share the same fit.

    Raises
    ------
    NotEstimable
        If the specification itself cannot be estimated.
    """

    def make_case() -> Case:
        case = Case(specification, inputs.sample(specification), inputs, cities)
        if case.is_regression:
            case.fit  # noqa: B018 - raises once here instead of in every check
        return case

    places = cities[["longitude", "latitude"]].itertuples(name=None)
    return inputs.get_or_compute(("case", specification, *places), make_case)


def infer_by_city_or_province(
    regression: PartialledOut, position: int, codes: Codes, cluster: str
) -> Inference:
    """Test a coefficient with CRV1 clustered by city, or with CRV3 clustered by province.

    The paper clusters by city; conclusions are based on CRV3 by province.
    """
    method = {"city": cluster_errors.crv1, "province": cluster_errors.crv3}[cluster]
    return method(regression, position, codes)


def make_inference_rows(term: str, method: Callable[[], Inference]) -> list[Row]:
    """Return a row with the result of an inference method, or with the reason if it fails."""
    return get_rows_or_reason(lambda: [{"term": term, **vars(method())}], term=term)


def check_each_term(method: Callable[..., Inference]) -> Check:
    """Wrap an inference method for one coefficient as a check of every coefficient."""

    @wraps(method)
    def check(case: Case, **options: str) -> Iterator[Row]:
        for term, position in case.terms.items():
            yield from make_inference_rows(term, partial(method, case, position, **options))

    return check


def check_first_term(method: Callable[..., float | None]) -> Check:
    """Wrap a function that returns one number as a check of a regression's first coefficient."""

    @wraps(method)
    def check(case: Case, **options: Any) -> Iterator[Row]:
        term, position = next(iter(case.terms.items()))
        yield {"term": term, "value": method(case, position, **options)}

    return check
