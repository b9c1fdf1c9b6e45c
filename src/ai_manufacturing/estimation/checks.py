"""What would break an estimate: the checks of inference_checks.csv, as rows of three tables."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation import tables
from ai_manufacturing.estimation.inputs import Inputs, Sample
from ai_manufacturing.estimation.rows import Row, answered, of_each, reason_row
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    EventStudyOptions,
    FixedEffectsOptions,
    Specification,
    SpecificationError,
)
from ai_manufacturing.estimators import (
    cluster_errors,
    dose_event_study,
    dynamic_panel,
    dynamic_panel_checks,
    event_paths,
    event_study,
    honest_did,
    poisson,
    randomisation,
    romano_wolf,
    sensitivity,
    spatial_errors,
    weak_instruments,
    wild_bootstrap,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit, PartialledOut
from ai_manufacturing.estimators.inference import Inference
from ai_manufacturing.estimators.not_estimable import NotEstimable, attempted
from ai_manufacturing.estimators.sentences import NOTHING, Sentence, said

IDENTIFIERS = [
    ("specification_id", pa.string()),
    ("term", pa.string()),
    ("method", pa.string()),
    ("setting", pa.string()),
]
OUTCOME = [
    ("status", pa.string()),
    ("reason", pa.string()),
    ("reason_zh", pa.string()),
    ("warnings", pa.string()),
    ("warnings_zh", pa.string()),
    ("extract_set", pa.string()),
]
INFERENCE = pa.schema(
    [
        *IDENTIFIERS,
        ("estimate", pa.float64()),
        ("std_error", pa.float64()),
        ("statistic", pa.float64()),
        ("degrees_of_freedom", pa.float64()),
        ("p_value", pa.float64()),
        ("conf_low", pa.float64()),
        ("conf_high", pa.float64()),
        ("cluster", pa.string()),
        ("cluster_count", pa.int64()),
        ("effective_cluster_count", pa.float64()),
        ("largest_partial_leverage", pa.float64()),
        ("draws", pa.int64()),
        ("is_enumerated", pa.bool_()),
        ("monte_carlo_error", pa.float64()),
        *OUTCOME,
    ]
)
INFLUENCE = pa.schema(
    [
        *IDENTIFIERS,
        ("unit_kind", pa.string()),
        ("unit_id", pa.string()),
        ("city_count", pa.int64()),
        ("estimate", pa.float64()),
        ("estimate_without", pa.float64()),
        ("std_error_without", pa.float64()),
        ("p_value_without", pa.float64()),
        ("rank", pa.int64()),
        *OUTCOME,
    ]
)
SENSITIVITY = pa.schema(
    [
        *IDENTIFIERS,
        ("bound", pa.float64()),
        ("conf_low", pa.float64()),
        ("conf_high", pa.float64()),
        ("is_unbounded", pa.bool_()),
        ("value", pa.float64()),
        *OUTCOME,
    ]
)
PERMUTED = pa.schema(
    [
        ("specification_id", pa.string()),
        ("strata", pa.string()),
        ("permutation", pa.int64()),
        ("estimate", pa.float64()),
        ("statistic", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("reason_zh", pa.string()),
        ("extract_set", pa.string()),
    ]
)

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
    def fewest_cities(self) -> cluster_errors.FewestToChange:
        """How few cities carry the first term."""
        return cluster_errors.fewest_to_change(self.regression, 0)

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
        if not isinstance(specification.options, DynamicPanelOptions):
            made.fit  # noqa: B018 - whether it can be estimated at all
        inputs.kept[key] = made
    case: Case = inputs.kept[key]
    return case


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


def _crv1(case: Case, position: int, cluster: str) -> Inference:
    return cluster_errors.crv1(case.regression, position, case.codes(cluster))


def _crv3(case: Case, position: int, cluster: str) -> Inference:
    return cluster_errors.crv3(case.regression, position, case.codes(cluster))


def _two_way(case: Case, position: int, first: str, second: str) -> Inference:
    return cluster_errors.two_way(case.regression, position, case.codes(first), case.codes(second))


def _driscoll_kraay(case: Case, position: int, bandwidth: str) -> Inference:
    return cluster_errors.driscoll_kraay(case.regression, position, int(bandwidth), periods=case.codes("year"))


def _wild_restricted(case: Case, position: int, cluster: str, weights: wild_bootstrap.Weights) -> Inference:
    return wild_bootstrap.test(case.regression, position, clusters=case.codes(cluster), weights=weights)


def _wild_unrestricted(case: Case, position: int, cluster: str, weights: wild_bootstrap.Weights) -> Inference:
    return wild_bootstrap.test(
        case.regression, position, clusters=case.codes(cluster), weights=weights, null_imposed=False
    )


def _conley(case: Case, position: int, cutoff_km: str, kernel: spatial_errors.Kernel) -> Inference:
    return spatial_errors.conley(case.regression, position, case.coordinates, float(cutoff_km), kernel)


def _scpc(case: Case, position: int, average_correlation: str, conditional: str) -> Inference:
    (found,) = spatial_errors.scpc(
        case.regression,
        position,
        case.coordinates,
        [float(average_correlation)],
        conditional={"yes": True, "no": False}[conditional],
    )
    return found


def _of_measure(method: Callable[[PartialledOut, int, randomisation.PermutedMeasure], Any]) -> Check:
    """Make a check of a method that permutes the weights of the measure, which is the first term."""

    def check(case: Case, strata: str) -> Iterator[Row]:
        found = method(case.regression, 0, case.permuted(strata)).by_t()
        yield {"term": case.specification.regressor, **vars(found)}

    return check


def _leave_out(case: Case, unit: str) -> Iterator[Row]:
    codes = case.codes(unit)
    names = case.rows[{"city": "city_id", "province": "province_id"}[unit]].to_numpy()
    labels = dict(zip(codes, names, strict=True))
    inside = np.unique(np.column_stack([codes, case.regression.entities]), axis=0)[:, 0]
    city_counts = dict(zip(*np.unique(inside, return_counts=True), strict=True))

    def without_each(term: str, position: int) -> Iterator[Row]:
        found = cluster_errors.leave_out(case.regression, position, codes)
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
    if not case.flagged:
        nobody = {"unit_kind": "flagged cities", "city_count": 0}
        yield from (reason_row(said("nobody_flagged"), term=term, **nobody) for term in case.terms)
    entities = case.rows["city_id"]

    def estimate(rest: PartialledOut, codes: Codes, position: int) -> Iterator[Row]:
        left = cluster_errors.crv1(rest, position, codes)
        yield {
            "estimate": case.fit.estimates[position],
            "estimate_without": left.estimate,
            "std_error_without": left.std_error,
            "p_value_without": left.p_value,
        }

    for expectation, cities in case.flagged.items():
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


def _fewest_cities(case: Case, position: int, change: str) -> float | None:
    found = case.fewest_cities
    count: int | None = {"significance": found.significance, "sign": found.sign}[change]
    return count


def _minimum_detectable_effect(case: Case, position: int, cluster: str) -> float:
    error = _crv1(case, position, cluster)
    if error.std_error is None or error.degrees_of_freedom is None:
        raise NotEstimable("no_error_of_exact_fit")
    return sensitivity.minimum_detectable_effect(error.std_error, error.degrees_of_freedom)


def _robustness_value(case: Case, position: int, change: str, error: str) -> float:
    options: dict[str, float | None] = {}
    if error != "iid":
        clustered = _crv1(case, position, error)
        options = {"std_error": clustered.std_error, "degrees_of_freedom": clustered.degrees_of_freedom}
    found = sensitivity.robustness_value(case.regression, position, **options)
    value: float = {"sign": found.rv_q, "significance": found.rv_qa}[change]
    return value


def _oster(case: Case, position: int) -> float:
    return sensitivity.oster(case.regression, position).delta


def _event_study(case: Case) -> event_study.EventStudyFit:
    if not isinstance(case.fit, event_study.EventStudyFit):
        raise NotEstimable("no_static_regression", estimator=case.specification.estimator)
    return case.fit


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
    for breakdown in found.breakdowns:
        if breakdown.restriction == restriction:
            unbounded = breakdown.value is not None and np.isinf(breakdown.value)
            yield {"term": breakdown.target, "value": breakdown.value or 0.0, "is_unbounded": unbounded}


def _pre_test_power(case: Case, kind: str, power: str) -> Iterator[Row]:
    study = _event_study(case)
    _years_before_hold(case, study)
    count = len(study.event_times)
    found = event_paths.trend_found(
        study.covariance_matrix[:count, :count],
        study.event_times,
        float(power),
        omitted_time=-1,
        kind={"any_term": event_paths.KINDS[0], "joint": event_paths.KINDS[1]}[kind],
        degrees_of_freedom=study.degrees_of_freedom,
    )
    yield {"term": "path", "value": found.slope}


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
    column = {"city": "city_id", "province": "province_id"}[cluster]
    fit = poisson.fit(data.sample, "counted", [*data.terms, *specification.controls], cluster=column)
    for j, term in enumerate(study.terms[: len(study.event_times)]):
        yield {"term": term, **vars(poisson.inference_of(fit, j))}


def _unit_sweep(case: Case, unit: str) -> Iterator[Row]:
    specification = case.specification
    counts = case.rows["weight"] * case.rows["scaling_value"]
    _require_log_of_one_plus(specification)
    (found,) = poisson.unit_sweep(
        case.rows.assign(counted=counts),
        specification.outcome,
        specification.terms,
        specification.regressor,
        logged=specification.regressor,
        count="counted",
        units=[float(unit)],
        time=specification.period,
    )
    yield {"term": specification.regressor, **vars(found.inference)}


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


def _moments(case: Case) -> dynamic_panel.Moments:
    options, regressors, instrumented = _dynamic(case)
    return dynamic_panel.moments(
        case.used.rows,
        case.specification.outcome,
        regressors,
        dict.fromkeys(instrumented, options.lags),
        equation=options.equation,
        collapse=options.collapse,
    )


def _lag_bounds(case: Case, estimate: str) -> Iterator[Row]:
    _, regressors, _ = _dynamic(case)
    found = dynamic_panel_checks.bounds(case.used.rows, case.specification.outcome, regressors)
    yield {"term": regressors[0], **vars({"within": found.within, "pooled_ols": found.pooled_ols}[estimate])}


def _lag_window(case: Case, lags: str) -> Iterator[Row]:
    options, regressors, instrumented = _dynamic(case)
    first, _, last = lags.partition("-")
    (found,) = dynamic_panel_checks.lag_windows(
        case.used.rows,
        case.specification.outcome,
        regressors,
        instrumented,
        windows=[(int(first), int(last) if last else None)],
        equation=options.equation,
        steps=options.steps,
        collapse=options.collapse,
    )
    if found.fit is None:
        yield reason_row(found.reason or NOTHING, term=regressors[0])
        return
    fit = found.fit
    tests = said("window_tests", hansen=fit.hansen_p, ar2=fit.ar2_p)
    for j, term in enumerate(regressors[:2]):
        yield {
            "term": term,
            "estimate": fit.estimates[j],
            "std_error": fit.std_errors[j],
            "statistic": fit.statistics[j],
            "p_value": fit.p_values[j],
            "conf_low": fit.conf_low[j],
            "conf_high": fit.conf_high[j],
            "cluster_count": fit.city_count,
            "warnings": (*fit.warnings, tests),
        }


def _anderson_rubin(case: Case) -> Iterator[Row]:
    _, regressors, _ = _dynamic(case)

    def tested(position: int) -> Inference:
        return weak_instruments.anderson_rubin(_moments(case), position)

    for position, term in enumerate(regressors[:2]):
        yield from _answered(term, partial(tested, position))


def _conditional_f(case: Case, equation: str) -> Iterator[Row]:
    for strength in weak_instruments.conditional_f(_moments(case)):
        if strength.equation == equation:
            yield {
                "term": strength.term,
                "statistic": strength.statistic,
                "degrees_of_freedom": strength.df1,
                "p_value": strength.p_value,
                "warnings": strength.warnings,
            }


def _in_family(setting: str, specification: Specification) -> bool:
    """Tell whether a specification is of the tables that a setting names, tables=1-3; a dynamic panel is of none."""
    if isinstance(specification.options, DynamicPanelOptions):
        return False
    first, _, last = setting.removeprefix("tables=").partition("-")
    return first <= specification.table_id.removeprefix("table_") <= last


def _romano_wolf(cases: Iterable[tuple[Any, Case]]) -> Iterator[tuple[Any, Row]]:
    """Adjust the p-values of a family of columns: the same sign for a province in all of them."""
    members = []
    for asked, case in cases:
        study = case.fit if isinstance(case.fit, event_study.EventStudyFit) else None
        within = range(case.inputs.event_window[1] + 1)
        for term, position in case.terms.items():
            if study is None or study.event_times[position] in within:
                members.append((asked, case, term, position))
    tested = []
    for asked, case, term, position in members:
        refused = attempted(partial(wild_bootstrap.check, case.regression, position, case.codes("province")))
        if isinstance(refused, Sentence):
            yield asked, reason_row(refused, term=term, cluster="province")
        else:
            tested.append((asked, case, term, position))
    if not tested:
        return
    adjusted = romano_wolf.adjusted(
        [case.regression for _, case, _, _ in tested],
        [position for *_, position in tested],
        clusters=[case.rows["province_id"].to_numpy() for _, case, _, _ in tested],
    )
    for (asked, _, term, _), found in zip(tested, adjusted, strict=True):
        yield asked, {"term": term, "cluster": "province", **vars(found)}


FAMILIES = {"inference": {"romano_wolf": _romano_wolf}, "influence": {}, "sensitivity": {}}
CHECKS: dict[str, dict[str, Check]] = {
    "inference": {
        "crv1": _of_each_term(_crv1),
        "crv3": _of_each_term(_crv3),
        "two_way": _of_each_term(_two_way),
        "driscoll_kraay": _of_each_term(_driscoll_kraay),
        "wild_restricted": _of_each_term(_wild_restricted),
        "wild_unrestricted": _of_each_term(_wild_unrestricted),
        "conley": _of_each_term(_conley),
        "scpc": _of_each_term(_scpc),
        "randomisation": _of_measure(randomisation.of_measure),
        "expected_control": _of_measure(randomisation.given_expected),
        "recentred": _of_measure(randomisation.recentred),
        "sup_t": _sup_t,
        "poisson": _poisson,
        "unit_sweep": _unit_sweep,
        "dose": _dose,
        "lag_bounds": _lag_bounds,
        "lag_window": _lag_window,
        "anderson_rubin": _anderson_rubin,
        "conditional_f": _conditional_f,
    },
    "influence": {"leave_out": _leave_out, "leave_out_flagged": _leave_out_flagged},
    "sensitivity": {
        "fewest_cities": _valued(_fewest_cities),
        "minimum_detectable_effect": _valued(_minimum_detectable_effect),
        "robustness_value": _valued(_robustness_value),
        "oster": _valued(_oster),
        "honest_did": _honest_did,
        "pre_test_power": _pre_test_power,
    },
}
REASON_TERMS = {"honest_did": "average", "pre_test_power": "path", "dose": "dose"}
SCHEMAS = {"inference": INFERENCE, "influence": INFLUENCE, "sensitivity": SENSITIVITY}


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
    return of_each(in_turn, inputs, SCHEMAS[table], rows_of)


def _first_term(case: Case) -> str:
    """Return the term under which the reason stands why a check cannot be made."""
    if isinstance(case.specification.options, DynamicPanelOptions):
        return tables.lagged(case.specification, case.specification.options)[0][0]
    return next(iter(case.terms))


def _shared(case: Case | Sentence) -> bytes:
    """Return what tells the rows and regressors of a case from others; nothing of a dynamic panel, or of a reason."""
    if isinstance(case, Sentence) or isinstance(case.specification.options, DynamicPanelOptions):
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
        One row per specification, strata and permutation, in the columns of PERMUTED; not_estimable with the reason
        where the check cannot be made.
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

    return of_each(specifications, inputs, PERMUTED, rows_of)
