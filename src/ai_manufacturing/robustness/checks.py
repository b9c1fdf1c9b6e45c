"""What would break an estimate: the checks of inference_checks.csv, as rows of three tables."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation import tables
from ai_manufacturing.estimation.inputs import SECOND, Inputs, Sample
from ai_manufacturing.estimation.rows import Row, answered, of_each, reason_row
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    EventStudyOptions,
    FixedEffectsOptions,
    InstrumentOptions,
    Specification,
    SpecificationError,
)
from ai_manufacturing.estimators import (
    cluster_errors,
    event_study,
    fixed_effects,
    lag_bounds,
    two_measurements,
    wild_bootstrap,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit, PartialledOut
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable, attempted
from ai_manufacturing.estimators.sentences import Sentence, said
from ai_manufacturing.robustness import (
    dose_event_study,
    event_paths,
    honest_did,
    poisson,
    randomisation,
    romano_wolf,
    sensitivity,
    spatial_errors,
)
from ai_manufacturing.system.contracts import schema

SCALED = "ln_scaled_series"
AVERAGE = "average"
MOST_MOVING = 10  # cities without which an estimate moves most
Check = Callable[..., Iterable[Row]]


@dataclass(frozen=True, eq=False)
class Case:
    """One specification and what its checks share.

    Attributes
    ----------
    specification : Specification
    used : Sample
        Its city-years.
    inputs : Inputs
    cities : DataFrame
        marts.dim_city, by city_id.
    """

    specification: Specification
    used: Sample
    inputs: Inputs
    cities: pd.DataFrame

    @cached_property
    def fit(self) -> FixedEffectsFit:
        """The fit whose regression the checks take apart."""
        match self.specification.options:
            case FixedEffectsOptions():
                return tables.fit_fixed_effects(self.specification, self.used, self.inputs)[0]
            case EventStudyOptions() as options:
                return tables.fit_event_study(self.specification, options, self.used, self.inputs)
        raise NotEstimable("no_static_regression", estimator=self.specification.estimator)

    @property
    def regression(self) -> PartialledOut:
        """The regression with its effects removed."""
        return self.fit.regression

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The sample in the order of the regression."""
        return self.used.rows.loc[self.regression.index]

    @property
    def terms(self) -> dict[str, int]:
        """The terms that are checked, with their positions: the measure and its interactions, or the event's years."""
        controls = len(self.specification.controls)
        return {term: j for j, term in enumerate(self.fit.terms[: len(self.fit.terms) - controls])}

    @cached_property
    def _codes(self) -> dict[str, Codes]:
        return {"city": self.regression.entities}

    def codes(self, unit: str) -> Codes:
        """Return the city, province or year of each row as 0, 1, ..."""
        if unit not in self._codes:
            column = {"province": "province_id", "year": "year"}[unit]
            self._codes[unit] = pd.factorize(self.rows[column], sort=True)[0]
        return self._codes[unit]

    @cached_property
    def city_ids(self) -> list[str]:
        """The cities of the regression, by their codes."""
        return [*self.rows["city_id"].drop_duplicates()]

    @cached_property
    def coordinates(self) -> Floats:
        """Longitude and latitude of each city, shape (cities, 2)."""
        located = self.cities.loc[self.city_ids, ["longitude", "latitude"]]
        coordinates: Floats = located.to_numpy(dtype=float, na_value=np.nan)
        return coordinates

    @cached_property
    def flagged(self) -> dict[Sentence, set[str]]:
        """The cities that the gate flags, by expectation."""
        return self.inputs.flagged(self.specification, self.used)

    @cached_property
    def broken_years(self) -> set[int]:
        """The years in which a series that the estimate rests on fails an expectation as a whole."""
        return self.inputs.broken_years(self.specification, self.used)

    @cached_property
    def honest(self) -> honest_did.Sensitivity:
        """The robust intervals of an event study, by all restrictions."""
        study = _event_study(self)
        _years_before_hold(self, study)
        return honest_did.of_event_study(study, window=self.inputs.event_window)

    @cached_property
    def _permutations(self) -> dict[str, randomisation.Permutations]:
        return {}

    @cached_property
    def _weights(self) -> tuple[Floats, Floats]:
        """The weight of each city, and what it scales in each row."""
        scaling, weight = (
            self.rows[name].to_numpy(dtype=float, na_value=np.nan) for name in ("scaling_value", "weight")
        )
        of_city = np.full(len(self.city_ids), np.nan)
        of_city[self.regression.entities] = weight
        return of_city, scaling

    def permuted(self, strata: str) -> randomisation.PermutedMeasure:
        """Return the measure with its weights permuted over cities, within strata."""
        if strata not in self._permutations:
            codes = self.inputs.strata_of(strata, pd.Series(self.city_ids))
            self._permutations[strata] = _permutations(tuple(self.city_ids), tuple(codes))
        return randomisation.permuted_measure(
            self.regression, *self._weights, self.specification.transform, self._permutations[strata]
        )


def _case(specification: Specification, inputs: Inputs, cities: pd.DataFrame) -> Case:
    """Return the case of a specification, which the models of inference, influence and sensitivity share."""
    content = cities[["longitude", "latitude"]].to_numpy(dtype=float, na_value=np.nan).tobytes()
    key = "case", specification, tuple(cities.index), content
    if key not in inputs.kept:
        made = Case(specification, inputs.sample(specification), inputs, cities)
        if _is_regression(specification):
            made.fit  # noqa: B018 - whether it can be estimated at all
        inputs.kept[key] = made
    case: Case = inputs.kept[key]
    return case


def _is_regression(specification: Specification) -> bool:
    """Tell whether a specification is one least-squares fit, which checks take apart."""
    return not isinstance(specification.options, (DynamicPanelOptions, InstrumentOptions))


@lru_cache(maxsize=8)  # many specifications have the same cities
def _permutations(city_ids: tuple[str, ...], strata: tuple[int, ...]) -> randomisation.Permutations:
    return randomisation.permutations(city_ids, np.array(strata))


def _answered(term: str, answer: Callable[[], Inference]) -> list[Row]:
    """Return what a method says of a term, or why it says nothing."""
    return answered(lambda: [{"term": term, **vars(answer())}], term=term)


def _of_each_term(method: Callable[..., Inference]) -> Check:
    """Make a check of a method that takes a case and the position of a term."""

    def check(case: Case, **options: str) -> Iterator[Row]:
        for term, position in case.terms.items():
            yield from _answered(term, partial(method, case, position, **options))

    check.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return check


def _crv3(case: Case, position: int, cluster: str) -> Inference:
    return cluster_errors.crv3(case.regression, position, case.codes(cluster))


def _clustered(regression: PartialledOut, position: int, codes: Codes, cluster: str) -> Inference:
    """Return the error by city as the paper has it, or by province as conclusions rest on it."""
    method = {"city": cluster_errors.crv1, "province": cluster_errors.crv3}[cluster]
    return method(regression, position, codes)


def _wild_restricted(case: Case, position: int, cluster: str) -> Inference:
    return wild_bootstrap.test(case.regression, position, clusters=case.codes(cluster))


def _conley(case: Case, position: int, cutoff_km: str) -> Inference:
    return spatial_errors.conley(case.regression, position, case.coordinates, float(cutoff_km))


def _next_year(case: Case, last_year: str) -> Iterator[Row]:
    """Add next year's measure, and last year's if asked: under strict exogeneity next year's has no effect."""
    specification = case.specification
    measure = specification.regressor
    shifts = {f"{measure}_next_year": 1} | ({"no": {}, "yes": {f"{measure}_last_year": -1}}[last_year])
    shifted = {name: case.inputs.measure_of_another_year(specification, case.used, by) for name, by in shifts.items()}
    sample = case.used.rows.assign(**shifted).dropna(subset=[*shifts])
    terms = [*shifts, *specification.terms]

    def fitted() -> tuple[FixedEffectsFit, Sentence]:
        fit = fixed_effects.fit(sample, specification.outcome, terms, time=specification.period)
        design, outcome, units = (getattr(fit.regression, name) for name in ("design", "outcome", "units"))
        own = np.linalg.lstsq(design[:, len(shifts) :], outcome)[0][0] * units[len(shifts)]
        count = len(fit.regression.index)
        return fit, said("same_rows", count=count, all=len(case.regression.index), value=float(own))

    found = attempted(fitted)
    for term in (*shifts, measure):
        if isinstance(found, Sentence):
            yield reason_row(found, term=term)
            continue
        fit, rows = found
        provinces = pd.factorize(sample.loc[fit.regression.index, "province_id"], sort=True)[0]
        answers = _answered(term, partial(cluster_errors.crv3, fit.regression, terms.index(term), provinces))
        yield from ({**answer, "warnings": (*answer.get("warnings", ()), rows)} for answer in answers)


def _given_scaled_series(case: Case, cluster: str) -> Iterator[Row]:
    """Add the log of the scaled series: what is left of the measure is the AI share's own part."""
    specification = case.specification
    term = specification.regressor
    fit = _with_scaled_series(case, specification.outcome, [*specification.terms, SCALED])
    codes = pd.factorize(case.used.rows.loc[fit.regression.index, f"{cluster}_id"], sort=True)[0]
    yield {"term": term, **vars(cluster_errors.crv3(fit.regression, fit.terms.index(term), codes))}


def _share_of_variation(case: Case, position: int, cities: str) -> float:
    """Return the share of the measure's variation that the scaled series leaves, or the part of it in some cities."""
    specification = case.specification
    others = [term for term in specification.terms if term != specification.regressor]
    regression = _with_scaled_series(case, specification.regressor, [SCALED, *others]).regression
    residuals = regression.outcome - regression.design @ np.linalg.lstsq(regression.design, regression.outcome)[0]
    by_city = np.sort(np.bincount(regression.entities, weights=residuals**2))
    if cities != "all":
        return float(by_city[-int(cities) :].sum() / by_city.sum())
    controls = regression.design[:, 1:]
    variation = regression.outcome - controls @ np.linalg.lstsq(controls, regression.outcome)[0]
    return float(by_city.sum() / (variation @ variation))


def _with_scaled_series(case: Case, outcome: str, terms: Sequence[str]) -> FixedEffectsFit:
    """Fit a regression that has the log of the scaled series among its terms.

    Raises
    ------
    NotEstimable
        If the measure is a log itself: the AI share is then a constant of the city, which the city's effect takes up.
    """
    if case.specification.transform == "ln":
        raise NotEstimable("share_cancels_in_logs")
    sample = case.used.rows.assign(**{SCALED: np.log(case.used.rows["scaling_value"])})
    return fixed_effects.fit(sample, outcome, terms, time=case.specification.period)


def _scpc(case: Case, position: int, average_correlation: str) -> Inference:
    return spatial_errors.scpc(case.regression, position, case.coordinates, float(average_correlation))


def _randomisation(case: Case, strata: str) -> Iterator[Row]:
    """Permute the weights of the measure, which is the first term."""
    found = randomisation.of_measure(case.regression, 0, case.permuted(strata)).by_t()
    yield {"term": case.specification.regressor, **vars(found)}


def _leave_out(case: Case, unit: str) -> Iterator[Row]:
    """Leave out each province, or each city; of cities only those without which the estimate moves most."""
    codes = case.codes(unit)
    labels = dict(zip(codes, case.rows[f"{unit}_id"].to_numpy(), strict=True))
    inside = np.unique(np.column_stack([codes, case.regression.entities]), axis=0)[:, 0]
    city_counts = dict(zip(*np.unique(inside, return_counts=True), strict=True))
    methods: dict[str, Callable[[PartialledOut, int, Codes], list[cluster_errors.LeftOut]]] = {
        "city": partial(cluster_errors.leave_out, most=MOST_MOVING),
        "province": cluster_errors.leave_out_jackknifed,
    }

    def without_each(term: str, position: int) -> Iterator[Row]:
        found = methods[unit](case.regression, position, codes)
        moves = [abs((left.estimate or np.nan) - case.fit.estimates[position]) for left in found]
        ranks = pd.Series(moves).rank(ascending=False, method="first")
        for left, rank in zip(found, ranks, strict=True):
            yield {
                "term": term,
                "unit_kind": unit,
                "unit_id": labels[left.group],
                "city_count": int(city_counts[left.group]),
                "estimate": case.fit.estimates[position],
                "estimate_without": left.estimate,
                "std_error_without": left.std_error,
                "p_value_without": left.p_value,
                "rank": None if np.isnan(rank) else int(rank),
            }

    for term, position in case.terms.items():
        yield from answered(partial(without_each, term, position), term=term, unit_kind=unit)


def _leave_out_flagged(case: Case, cluster: str) -> Iterator[Row]:
    flagged: dict[Sentence, set[str]] = case.flagged or {said("nobody_flagged"): set()}
    entities = case.rows["city_id"]

    def estimate(rest: PartialledOut, codes: Codes, position: int) -> Iterator[Row]:
        left = _clustered(rest, position, codes, cluster)
        yield {
            "estimate": case.fit.estimates[position],
            "estimate_without": left.estimate,
            "std_error_without": left.std_error,
            "p_value_without": left.p_value,
        }

    for expectation, cities in flagged.items():
        inside = entities.isin(cities).to_numpy()
        common = {
            "unit_kind": "flagged cities",
            "unit_id": expectation.en,
            "city_count": int(entities[inside].nunique()),
        }
        remaining = attempted(partial(cluster_errors.without, case.regression, inside))
        for term, position in case.terms.items():
            if isinstance(remaining, Sentence):
                yield reason_row(remaining, term=term, **common)
                continue
            rest, kept = remaining
            rows = answered(partial(estimate, rest, case.codes(cluster)[kept], position))
            yield from ({"term": term, **common, **row} for row in rows)


def _valued(method: Callable[..., float | None]) -> Check:
    """Make a check of a method that gives one figure of the first term."""

    def check(case: Case, **options: str) -> Iterator[Row]:
        term, position = next(iter(case.terms.items()))
        yield {"term": term, "value": method(case, position, **options)}

    check.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return check


def _fewest_cities(case: Case, position: int) -> float | None:
    cities = cluster_errors.fewest_to_change(case.regression, position)
    return None if cities is None else len(cities)


def _minimum_detectable_effect(case: Case, position: int, cluster: str) -> float:
    error = _clustered(case.regression, position, case.codes(cluster), cluster)
    if error.std_error is None or error.degrees_of_freedom is None:
        raise NotEstimable("no_error_of_exact_fit")
    return sensitivity.minimum_detectable_effect(error.std_error, error.degrees_of_freedom)


def _robustness_value(case: Case, position: int, cluster: str) -> float:
    clustered = _clustered(case.regression, position, case.codes(cluster), cluster)
    if clustered.statistic is None:
        raise NotEstimable("no_error_of_exact_fit")
    return sensitivity.robustness_value(case.regression, clustered.statistic)


def _oster(case: Case, position: int) -> float:
    return sensitivity.oster(case.regression, position).delta


def _event_study(case: Case) -> event_study.EventStudyFit:
    if not isinstance(case.fit, event_study.EventStudyFit):
        raise NotEstimable("no_static_regression", estimator=case.specification.estimator)
    return case.fit


def _average(case: Case, cluster: str) -> Iterator[Row]:
    """Average the effects of the years from the event on that the paper prints."""
    regression, position = _averaged(case)
    yield {"term": AVERAGE, **vars(cluster_errors.crv3(regression, position, case.codes(cluster)))}


def _averaged(case: Case) -> tuple[PartialledOut, int]:
    """Return the regression of an event study with that average as a slope, and its position."""
    study = _event_study(case)
    positions = [j for j, time in enumerate(study.event_times) if 0 <= time <= case.inputs.event_window[1]]
    if not positions:
        raise NotEstimable("no_post_period")
    return cluster_errors.averaged(case.regression, positions), positions[0]


def _sup_t(case: Case, cluster: str) -> Iterator[Row]:
    study = _event_study(case)
    terms = [*case.terms]
    band = event_paths.simultaneous_band(study, terms)
    for j, term in enumerate(terms):
        yield {
            "term": term,
            "estimate": study.estimates[j],
            "std_error": study.std_errors[j],
            "statistic": band.critical_value,
            "conf_low": band.conf_low[j],
            "conf_high": band.conf_high[j],
            "cluster_count": study.cluster_count,
        }


def _years_before_hold(case: Case, study: event_study.EventStudyFit) -> None:
    """Raise NotEstimable if the gate voids a year before the event: trends read from it are trends of the register."""
    first = case.inputs.event_year + min(study.event_times)
    voided = sorted(year for year in case.broken_years if first <= year < case.inputs.event_year)
    if voided:
        raise NotEstimable("voided_years", years=[*map(str, voided)])


def _honest_did(case: Case, restriction: str) -> Iterator[Row]:
    found = case.honest
    for bound in found.bounds:
        if bound.restriction == restriction:
            yield {
                "term": bound.target,
                "bound": bound.bound,
                "conf_low": bound.conf_low,
                "conf_high": bound.conf_high,
                "is_unbounded": bound.is_empty_or_unbounded,
            }
    for breakdown in found.breakdowns if restriction == "relative_magnitude" else ():
        unbounded = breakdown.value is not None and np.isinf(breakdown.value)
        yield {"term": breakdown.target, "value": breakdown.value or 0.0, "is_unbounded": unbounded}


def _pre_test_power(case: Case, power: str) -> Iterator[Row]:
    study = _event_study(case)
    _years_before_hold(case, study)
    count = len(study.event_times)
    slope = event_paths.trend_found(
        study.covariance_matrix[:count, :count],
        study.event_times,
        float(power),
        omitted_time=-1,
        degrees_of_freedom=study.degrees_of_freedom,
    )
    yield {"term": "path", "value": slope}


def _require_log_of_one_plus(specification: Specification) -> None:
    if specification.transform != "ln1p":
        raise NotEstimable("not_log_of_one_plus", transform=specification.transform)


def _poisson(case: Case, cluster: str) -> Iterator[Row]:
    study, inputs, specification = _event_study(case), case.inputs, case.specification
    _require_log_of_one_plus(specification)
    rows = tables.with_treatment(specification, case.used, inputs)
    data = event_study.interacted(
        rows.assign(counted=np.expm1(rows[specification.outcome])),
        "treated",
        event_year=inputs.event_year,
        omitted_year=inputs.event_year - 1,
        window=inputs.event_window,
    )
    fit = poisson.fit(data.sample, "counted", [*data.terms, *specification.controls], cluster=f"{cluster}_id")
    for j, term in enumerate(study.terms[: len(study.event_times)]):
        yield {"term": term, **vars(poisson.inference_of(fit, j))}


def _dose(case: Case, split: dose_event_study.Split) -> Iterator[Row]:
    specification, inputs = case.specification, case.inputs
    doses = inputs.value_of(specification.regressor, case.used.rows["city_id"])
    sample = case.used.rows.assign(dose=doses)
    fit = dose_event_study.fit(
        sample.dropna(subset="dose"),
        specification.outcome,
        "dose",
        event_year=inputs.event_year,
        omitted_year=inputs.event_year - 1,
        window=inputs.event_window,
        split=split,
        controls=specification.controls,
    )
    for j in range(len(fit.event_times)):
        yield {"term": fit.terms[j], **vars(poisson.inference_of(fit, j)), "warnings": fit.warnings}


def _dynamic(case: Case) -> tuple[DynamicPanelOptions, list[str], tuple[str, ...]]:
    options = case.specification.options
    if not isinstance(options, DynamicPanelOptions):
        raise NotEstimable("no_dynamic_panel", estimator=case.specification.estimator)
    return options, *tables.lagged(case.specification, options)


def _equal_slopes(case: Case, cluster: Literal["city", "province"]) -> Iterator[Row]:
    specification = case.specification
    if not isinstance(specification.options, InstrumentOptions):
        raise NotEstimable("no_two_measurements", estimator=specification.estimator)
    term = specification.regressor
    found = two_measurements.equality(
        case.used.rows, specification.outcome, term, SECOND, specification.controls, cluster=cluster
    )
    yield {"term": term, **vars(found)}


def _lag_bounds(case: Case, estimate: str) -> Iterator[Row]:
    _, regressors, _ = _dynamic(case)
    found = lag_bounds.bounds(case.used.rows, case.specification.outcome, regressors)
    yield {"term": regressors[0], **vars({"within": found.within, "pooled_ols": found.pooled_ols}[estimate])}


def _in_family(setting: str, specification: Specification) -> bool:
    """Tell whether a specification is of the tables that a setting names, tables=1-3: a single regression."""
    if not _is_regression(specification):
        return False
    first, _, last = setting.removeprefix("tables=").partition("-")
    return first <= specification.table_id.removeprefix("table_") <= last


def _romano_wolf(cases: Iterable[tuple[Any, Case]]) -> Iterator[tuple[Any, Row]]:
    """Adjust the p-values of a family of claims: the same sign for a province in all of them."""
    tested = []
    for asked, case in cases:
        claimed = attempted(partial(_claimed, case))
        if isinstance(claimed, Sentence):
            yield asked, reason_row(claimed, term=AVERAGE, cluster="province")
            continue
        for term, regression, position in claimed:
            refused = attempted(partial(wild_bootstrap.check, regression, position, case.codes("province")))
            if isinstance(refused, Sentence):
                yield asked, reason_row(refused, term=term, cluster="province")
            else:
                tested.append((asked, case, term, regression, position))
    if not tested:
        return
    adjusted = romano_wolf.adjusted(
        [regression for *_, regression, _ in tested],
        [position for *_, position in tested],
        clusters=[case.rows["province_id"].to_numpy() for _, case, *_ in tested],
    )
    for (asked, _, term, *_), found in zip(tested, adjusted, strict=True):
        yield asked, {"term": term, "cluster": "province", **vars(found)}


def _claimed(case: Case) -> list[tuple[str, PartialledOut, int]]:
    """Return what a column claims, as terms of a regression: its terms, or the average of an event study."""
    if isinstance(case.fit, event_study.EventStudyFit):
        return [(AVERAGE, *_averaged(case))]
    return [(term, case.regression, position) for term, position in case.terms.items()]


FAMILIES = {"inference": {"romano_wolf": _romano_wolf}, "influence": {}, "sensitivity": {}}
CHECKS: dict[str, dict[str, Check]] = {
    "inference": {
        "crv3": _of_each_term(_crv3),
        "wild_restricted": _of_each_term(_wild_restricted),
        "conley": _of_each_term(_conley),
        "scpc": _of_each_term(_scpc),
        "next_year": _next_year,
        "given_scaled_series": _given_scaled_series,
        "average": _average,
        "randomisation": _randomisation,
        "sup_t": _sup_t,
        "poisson": _poisson,
        "dose": _dose,
        "equal_slopes": _equal_slopes,
        "lag_bounds": _lag_bounds,
    },
    "influence": {"leave_out": _leave_out, "leave_out_flagged": _leave_out_flagged},
    "sensitivity": {
        "fewest_cities": _valued(_fewest_cities),
        "minimum_detectable_effect": _valued(_minimum_detectable_effect),
        "robustness_value": _valued(_robustness_value),
        "oster": _valued(_oster),
        "share_of_variation": _valued(_share_of_variation),
        "honest_did": _honest_did,
        "pre_test_power": _pre_test_power,
    },
}
REASON_TERMS = {"honest_did": "average", "pre_test_power": "path", "dose": "dose"}


def checked(
    table: str, specifications: Iterable[Specification], asked: pd.DataFrame, inputs: Inputs, cities: pd.DataFrame
) -> pa.Table:
    """Make the checks of one table.

    Parameters
    ----------
    table : {"inference", "influence", "sensitivity"}
    specifications : iterable of Specification
    asked : DataFrame
        intermediate.int_specification_checks: specification_id, method and setting.
    inputs : Inputs
    cities : DataFrame
        marts.dim_city.

    Returns
    -------
    Table
        One row per specification, term, method and setting, and per unit left out or bound. A check that cannot be made
        is a row with status not_estimable and the reason.

    Raises
    ------
    SpecificationError
        If inference_checks.csv names a method or an option that there is not.
    """
    known = {method: name for name in CHECKS for method in (*CHECKS[name], *FAMILIES[name])}
    by_specification: dict[str, list[Any]] = {}
    for row in asked.itertuples():
        if row.method not in known:
            raise SpecificationError(
                f"inference_checks.csv, column method: {row.method!r} is not one of {', '.join(known)}."
            )
        if known[row.method] == table:
            by_specification.setdefault(str(row.specification_id), []).append(row)

    cities = cities.set_index("city_id")
    cases = {
        specification: attempted(partial(_case, specification, inputs, cities))
        for specification in specifications
        if specification.specification_id in by_specification
    }
    families: dict[tuple[str, str], list[tuple[Any, Case]]] = {}
    for specification, case in cases.items():
        for row in by_specification[specification.specification_id]:
            is_of_family = row.method in FAMILIES[table] and _in_family(row.setting, specification)
            if is_of_family and isinstance(case, Case):
                families.setdefault((row.method, row.setting), []).append((row, case))
    of_families: dict[Any, list[Row]] = {}
    for (method, _), members in families.items():
        for row, answer in FAMILIES[table][method](members):
            of_families.setdefault(row, []).append(answer)

    def rows_of(specification: Specification) -> Iterator[Row]:
        case = cases[specification]
        for row in by_specification[specification.specification_id]:
            options: dict[str, str] = {}
            if row.method in CHECKS[table]:
                options = dict(pair.split("=", 1) for pair in row.setting.split())
                _check_options(row.method, row.setting, CHECKS[table][row.method], options)
            elif not _in_family(row.setting, specification):
                continue
            if isinstance(case, Sentence):
                answers = [reason_row(case, term=specification.regressor)]
            elif row.method in FAMILIES[table]:
                answers = of_families[row]
            else:
                term = REASON_TERMS.get(row.method) or _first_term(case)
                answers = answered(partial(CHECKS[table][row.method], case, **options), term=term)
            common = {"method": row.method, "setting": row.setting, "cluster": options.get("cluster")}
            yield from ({**common, **answer} for answer in answers)

    # Those of the same rows and regressors after each other: what they share is kept for a few only.
    in_turn = sorted(cases, key=lambda specification: _shared(cases[specification]))
    return of_each(in_turn, inputs, schema(f"est_{table}"), rows_of)


def _first_term(case: Case) -> str:
    """Return the term under which the reason stands why a check cannot be made."""
    if isinstance(case.specification.options, DynamicPanelOptions):
        return tables.lagged(case.specification, case.specification.options)[0][0]
    return next(iter(case.terms)) if _is_regression(case.specification) else case.specification.regressor


def _shared(case: Case | Sentence) -> bytes:
    """Return what tells the rows and regressors of a case from others; nothing where no fit is taken apart."""
    if isinstance(case, Sentence) or not _is_regression(case.specification):
        return b""
    regression = case.regression
    return b"".join(array.tobytes() for array in (regression.entities, regression.times, regression.design))


def _check_options(method: str, setting: str, check: Check, options: dict[str, str]) -> None:
    parameters = [name for name in inspect.signature(check).parameters if name not in ("case", "position")]
    if sorted(parameters) != sorted(options):
        raise SpecificationError(
            f"inference_checks.csv, method {method}, column setting: {setting!r}; it takes "
            f"{' '.join(f'{name}=…' for name in parameters) or 'nothing'}."
        )


def permuted(
    specifications: Iterable[Specification], asked: pd.DataFrame, inputs: Inputs, cities: pd.DataFrame
) -> pa.Table:
    """Return what each permutation of the check `randomisation` gives; the check itself is a row of "inference".

    Parameters
    ----------
    specifications, asked, inputs, cities
        As in checked.

    Returns
    -------
    Table
        One row per specification, strata and permutation, in the columns of est_permuted_weights; not_estimable with
        the reason where the check cannot be made.
    """
    cities = cities.set_index("city_id")

    def permutations(specification: Specification, strata: str) -> Iterator[Row]:
        case = _case(specification, inputs, cities)
        found = randomisation.of_measure(case.regression, 0, case.permuted(strata))
        for number, (slope, statistic) in enumerate(zip(found.slopes, found.statistics, strict=True), start=1):
            yield {"strata": strata, "permutation": number, "estimate": slope, "statistic": statistic}

    def rows_of(specification: Specification) -> Iterator[Row]:
        is_of = (asked["specification_id"] == specification.specification_id) & (asked["method"] == "randomisation")
        for setting in asked.loc[is_of, "setting"]:
            strata = setting.removeprefix("strata=")
            yield from answered(partial(permutations, specification, strata), strata=strata)

    return of_each(specifications, inputs, schema("est_permuted_weights"), rows_of)
