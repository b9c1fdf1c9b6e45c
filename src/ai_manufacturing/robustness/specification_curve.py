"""Specification curve: estimate a coefficient under every combination of modelling choices."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import (
    build_estimates_table,
    get_rows_or_reason,
    make_reason_row,
)
from ai_manufacturing.estimation.specifications import TRANSFORMS, Specification
from ai_manufacturing.estimators.columns import Codes, Floats, renumber
from ai_manufacturing.estimators.fixed_effects import find_rows_without_singletons
from ai_manufacturing.estimators.not_estimable import NotEstimable, get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.robustness import joint_test, randomisation
from ai_manufacturing.robustness.panel_regressions import (
    PanelEffects,
    PermutationSlopes,
    fit_slopes,
    remove_effects,
)
from ai_manufacturing.system import settings, workers

# Modelling choices that are combined in a specification curve.
AXES = [
    "transform",
    "weighting",
    "scope",
    "provider",
    "controls",
    "population",
    "fixed_effects",
    "period",
    "city_sample",
    "dynamics",
    "prices",
]
# Column that identifies the clusters, by type of clustering.
CLUSTERS = {"city": "city_id", "province": "province_id"}
# Number of permutations after which a joint test may first stop; it doubles at each later look.
FIRST_LOOK = 100
SEED = 2020  # seed of the first round of permutations; each later round adds one

Choice = dict[str, Any]


@dataclass(frozen=True, eq=False)
class CombinationFit:
    """Result of one combination of choices: slopes, or the reason why there are none."""

    choice: Choice
    answer: PermutationSlopes | Sentence
    observation_count: int | None = None
    city_count: int | None = None

    def extend(self, more: "CombinationFit") -> "CombinationFit":
        """Append the slopes of more permutations, or return the fit that is not estimable."""
        if isinstance(self.answer, Sentence):
            return self
        if isinstance(more.answer, Sentence):
            return more
        return replace(self, answer=self.answer.extend(more.answer))


def estimate_curve(
    chosen: Iterable[Specification], choices: pd.DataFrame, inputs: Inputs
) -> pa.Table:
    """Estimate a coefficient under every combination of modelling choices.

    Parameters
    ----------
    chosen : iterable of Specification
        Specifications that define the outcome and measure of a curve; empty if the seeds have no
        rows.
    choices : DataFrame
        intermediate.int_specification_curve.
    inputs : Inputs

    Returns
    -------
    Table
        One row per combination and type of clustering, with the columns of
        est_specification_curve. If the specification itself cannot be estimated, no combination
        can.
    """

    def make_rows(specification: Specification) -> Iterator[Choice]:
        for fit in _Combinations(specification, choices, inputs).fit():
            for cluster in CLUSTERS:
                row = {name: fit.choice[name] for name in ("curve_id", *AXES, "is_dominated")}
                row |= {
                    "errors": cluster,
                    "outcome": f"{specification.outcome}{fit.choice['outcome_suffix']}",
                    "control_variables": fit.choice["control_variables"] or None,
                    "observation_count": fit.observation_count,
                    "city_count": fit.city_count,
                }
                if isinstance(fit.answer, Sentence):
                    yield make_reason_row(fit.answer, **row)
                    continue
                yield row | {
                    "estimate": fit.answer.estimates[0],
                    "std_error": fit.answer.std_errors[cluster][0],
                    "standardised_estimate": fit.answer.standardised[0],
                    "p_value": fit.answer.p_values(cluster)[0],
                    "degrees_of_freedom": fit.answer.degrees_of_freedom[cluster],
                }

    return build_estimates_table(chosen, inputs, "est_specification_curve", make_rows)


def estimate_joint_tests(
    chosen: Iterable[Specification],
    choices: pd.DataFrame,
    errors: Sequence[str],
    inputs: Inputs,
    draws: int,
) -> pa.Table:
    """Test all combinations of choices jointly, with the same permutations in each of them.

    Parameters
    ----------
    chosen, choices, inputs
        As in estimate_curve.
    errors : sequence of str
        Keys of CLUSTERS that are not dominated choices.
    draws : int
        Maximum number of permutations.

    Returns
    -------
    Table
        One row per type of clustering and statistic, both for all combinations and for those
        without a dominated choice, with the columns of est_specification_curve_joint. Without
        permutations the status is not_estimable, with the reason.
    """

    def make_rows(specification: Specification) -> Iterator[Choice]:
        rows: list[Choice] = []
        for fits, looks in _fit_rounds(specification, choices, inputs, draws):
            rows = [*_make_joint_rows(fits, errors, looks)]
            if all(row.get("larger_draws", joint_test.ENOUGH) >= joint_test.ENOUGH for row in rows):
                break
        yield from rows

    return build_estimates_table(chosen, inputs, "est_specification_curve_joint", make_rows)


def _fit_rounds(
    specification: Specification, choices: pd.DataFrame, inputs: Inputs, draws: int
) -> Iterator[tuple[list[CombinationFit], list[int]]]:
    """Yield, after each round of permutations, the fits and the cumulative draws per round."""
    if draws == 0:
        yield [], [0]
        return
    combinations = _Combinations(specification, choices, inputs)
    fits: list[CombinationFit] = []
    looks: list[int] = []
    while not looks or looks[-1] < draws:
        draw_count = looks[-1] if looks else 0
        looks.append(min(draws, max(FIRST_LOOK, 2 * draw_count)))
        more_fits = combinations.fit(draws=looks[-1] - draw_count, seed=SEED + len(looks) - 1)
        if fits:
            more_fits = [one.extend(other) for one, other in zip(fits, more_fits, strict=True)]
        fits = more_fits
        yield fits, looks


def _make_joint_rows(
    fits: list[CombinationFit], errors: Sequence[str], looks: list[int]
) -> Iterator[Choice]:
    """Yield joint tests of all combinations, and of the combinations without dominated choices."""
    for name, members, clusters in (
        ("all", fits, [*CLUSTERS]),
        ("without_dominated", [one for one in fits if not one.choice["is_dominated"]], errors),
    ):
        slopes = [one.answer for one in members if isinstance(one.answer, PermutationSlopes)]
        reasons = [one.answer for one in members if isinstance(one.answer, Sentence)]
        for cluster in clusters:
            common = {"choices": name, "errors": cluster}
            if reasons and not slopes:
                yield make_reason_row(reasons[0], **common)
                continue
            for row in get_rows_or_reason(partial(_test_jointly, slopes, cluster, looks), **common):
                yield {**common, **row}


def _test_jointly(
    all_slopes: list[PermutationSlopes], cluster: str, looks: list[int]
) -> Iterator[Choice]:
    shape = (len(all_slopes), 1 + looks[-1])
    tests = joint_test.run_joint_tests(
        np.array([slopes.standardised for slopes in all_slopes]).reshape(shape),
        np.array([slopes.p_values(cluster) for slopes in all_slopes]).reshape(shape),
        looks,
    )
    return (vars(test) for test in tests)


class _Combinations:
    """Combinations of choices, grouped by sample to share fixed effects and permutations."""

    def __init__(self, specification: Specification, choices: pd.DataFrame, inputs: Inputs) -> None:
        self._unestimable: list[CombinationFit] = []
        samples: dict[tuple[Any, ...], list[Choice]] = {}
        self._panel = get_result_or_reason(partial(Panel, specification, inputs))
        for choice in choices.to_dict("records"):
            if isinstance(self._panel, Sentence):
                self._unestimable.append(CombinationFit(choice, self._panel))
                continue
            positions = get_result_or_reason(partial(self._panel.sample, choice))
            if isinstance(positions, Sentence):
                self._unestimable.append(CombinationFit(choice, positions))
                continue
            sample_key = (choice["period_effects"], choice["dynamics"], choice["prices"])
            samples.setdefault((*sample_key, tuple(positions.tolist())), []).append(choice)
        self._samples = [(np.array(key[-1]), members) for key, members in samples.items()]

    def fit(self, draws: int = 0, seed: int = SEED) -> list[CombinationFit]:
        """Fit all combinations with the measure and with `draws` permutations of its weights."""
        if isinstance(self._panel, Sentence) or not self._samples:
            return self._unestimable
        if draws == 0:
            return self._unestimable + _fit_samples(self._panel, self._samples, None)
        cities, strata = self._panel.cities, self._panel.strata
        permutations = randomisation.draw_permutations(cities, strata, draws=draws, seed=seed)
        sizes = np.cumsum([len(members) * len(at) for at, members in self._samples])
        half = int(np.searchsorted(sizes, sizes[-1] / 2))
        first, second = workers.call_twice(
            _fit_samples,
            (self._panel, self._samples[:half], permutations),
            (self._panel, self._samples[half:], permutations),
        )
        return [*self._unestimable, *first, *second]


def _fit_samples(
    panel: "Panel",
    samples: Iterable[tuple[Codes, list[Choice]]],
    permutations: randomisation.Permutations | None,
) -> list[CombinationFit]:
    """Fit the combinations of choices that belong to each of the given samples."""
    return [fit for at, members in samples for fit in panel.fit_choices(at, members, permutations)]


class Measure(NamedTuple):
    """Key of an AI measure; a second data provider's measure is named `measure@provider`."""

    name: str
    weighting: str
    scope: str
    transform: str


class Panel:
    """City-year panel as numpy arrays, sorted by city and year."""

    def __init__(self, specification: Specification, inputs: Inputs) -> None:
        self._specification, self._inputs = specification, inputs
        sample = inputs.sample(specification)
        panel = inputs.panel.sort_values(["city_id", "year"])
        self._order = panel.index.to_numpy()
        self._columns: dict[tuple[str, ...], Floats] = {}
        self.cities = [*panel["city_id"].unique()]
        self.city_codes = pd.factorize(panel["city_id"])[0]
        self.years = panel["year"].to_numpy()
        self._year_codes: Codes = self.years - self.years.min()
        first = panel.drop_duplicates("city_id")
        self._province_of_city = pd.factorize(first["province_id"], sort=True)[0]
        self.strata = inputs.number_strata(first["city_id"])
        self._cells = np.full((len(first), int(self._year_codes.max()) + 1), -1)
        self._cells[self.city_codes, self._year_codes] = np.arange(len(panel))
        flagged_city_years = inputs.find_flagged_city_years(specification, sample)
        city_years = pd.MultiIndex.from_frame(panel[["city_id", "year"]])
        city_count = first.groupby("province_id")["city_id"].transform("size")
        self._exclusions = {
            "all": np.zeros(len(panel), dtype=bool),
            "without_flagged": city_years.isin([*flagged_city_years]),
            "without_municipalities": city_count.eq(1).to_numpy()[self.city_codes],
        }

    def _find_excluded_rows(self, city_sample: str) -> NDArray[np.bool_]:
        """Flag the panel rows that a city sample, such as without_flagged, excludes.

        The sample `without_<grouping>` excludes the cities in any group except the reference group.
        """
        if city_sample not in self._exclusions:
            grouping = city_sample.removeprefix("without_")
            groups = self._inputs.look_up_groups(grouping, pd.Series(self.cities))
            reference = self._inputs.reference_group(grouping)
            in_group = (groups.notna() & groups.ne(reference)).to_numpy()
            self._exclusions[city_sample] = in_group[self.city_codes]
        is_excluded: NDArray[np.bool_] = self._exclusions[city_sample]
        return is_excluded

    def sample(self, choice: Choice) -> Codes:
        """Return the positions of the panel rows that are complete for a combination of choices.

        Differences also require the variables in the earlier year. Singletons are dropped.
        """
        # Require a scaling value for observed counts too, so that both weightings use the same
        # city-years and have weights to permute.
        measure = self._name_measure(choice)
        complete = np.isfinite(self.read_measure(measure)) & np.isfinite(
            self._read_scaling(measure)
        )
        complete &= (choice["first_year"] <= self.years) & (self.years <= choice["last_year"])
        complete &= ~self._find_excluded_rows(choice["city_sample"])
        variables = self._list_variables(choice)
        for variable in variables:
            complete &= np.isfinite(self.read_variable(variable))
        if lag := int(choice["difference_years"]):
            earlier = self._find_earlier_rows(lag)
            complete &= (earlier >= 0) & complete[earlier]
        positions = np.flatnonzero(complete)
        cities, years = self.city_codes[positions], self._year_codes[positions]
        rows = find_rows_without_singletons(
            cities,
            self._find_blocks(choice)[cities] * self._cells.shape[1] + years,
            entity_effects=len(choice["city_effects"].split()),
        )
        if len(rows) == 0:
            names = [variables[0], self._specification.measure, *variables[1:]]
            first, last = int(choice["first_year"]), int(choice["last_year"])
            if lag:
                raise NotEstimable(
                    "no_earlier_city_year", names=names, lag=lag, first=first, last=last
                )
            raise NotEstimable("no_city_year", names=names, first=first, last=last)
        return positions[rows]

    def fit_choices(
        self, at: Codes, members: list[Choice], permutations: randomisation.Permutations | None
    ) -> Iterator[CombinationFit]:
        """Fit combinations of choices that share the same rows, fixed effects and outcome."""
        first = members[0]
        lag = int(first["difference_years"])
        cities, entities = np.unique(self.city_codes[at], return_inverse=True)
        donors = np.empty((0, len(cities)), dtype=np.intp)
        if permutations is not None:
            donors = cities[permutations.restrict_to([self.cities[city] for city in cities]).donors]
        clusters = {
            "city": np.arange(len(cities)),
            "province": renumber(self._province_of_city[cities]),
        }
        effects = PanelEffects(
            entities,
            self._year_codes[at],
            renumber(self._find_blocks(first)[cities]),
            first["city_effects"].split(),
        )

        def take_difference(value_at: Callable[[Codes], Floats]) -> Floats:
            """Return the values of the sample rows, differenced over `lag` years if `lag` > 0."""
            values = value_at(at)
            return values - value_at(self._find_earlier_rows(lag)[at]) if lag else values

        def project_variable(variable: str) -> Floats:
            values = take_difference(self.read_variable(variable).__getitem__)
            return effects.remove_from((values - values.mean())[:, None])[:, 0]

        @cache
        def project_measures(measure: Measure) -> Floats | Sentence:
            values = take_difference(
                partial(self._stack_permutations, measure, donors[:, entities])
            )
            return get_result_or_reason(partial(remove_effects, effects, values))

        # Cached because combinations can be the same regression, for example if a combination
        # excludes only cities that have no rows.
        @cache
        def fit_combination(
            measure: Measure, variables: tuple[str, ...]
        ) -> PermutationSlopes | Sentence:
            within_measures = project_measures(measure)
            if isinstance(within_measures, Sentence):
                return within_measures
            outcome, *controls = (columns[variable] for variable in variables)
            design = np.reshape(controls, (len(controls), len(outcome))).T
            return get_result_or_reason(
                lambda: fit_slopes(
                    entities, outcome, design, within_measures, clusters, effects.period_count
                )
            )

        variables = dict.fromkeys(
            name for choice in members for name in self._list_variables(choice)
        )
        columns = {variable: project_variable(variable) for variable in variables}
        for choice in members:
            slopes = fit_combination(self._name_measure(choice), self._list_variables(choice))
            sizes = () if isinstance(slopes, Sentence) else (len(entities), len(cities))
            yield CombinationFit(choice, slopes, *sizes)

    def _stack_permutations(self, measure: Measure, donors: Codes, at: Codes) -> Floats:
        """Return a measure and its versions with permuted weights, shape (n, 1 + draws).

        Parameters
        ----------
        measure : Measure
        donors : ndarray of int, shape (draws, n)
            City whose weight each row gets.
        at : ndarray of int, shape (n,)
            Positions of the rows.
        """
        own = self.read_measure(measure)[at, None]
        if not len(donors):
            return own
        scaling, weights = self._read_scaling(measure)[at], self._compute_weights(measure)
        with np.errstate(divide="ignore"):  # the log of a zero weight is infinite
            permuted_measures = randomisation.TRANSFORMS[measure.transform](
                scaling[:, None] * weights[donors.T, self._year_codes[at][:, None]]
            )
        return np.column_stack([own, permuted_measures])

    def _find_blocks(self, choice: Choice) -> Codes:
        """Return the block code of each city; cities in the same block share year effects."""
        provinces = self._province_of_city
        return np.zeros_like(provinces) if choice["period_effects"] == "year" else provinces

    def _find_earlier_rows(self, lag: int) -> Codes:
        """Return the position of the same city's row `lag` years earlier; -1 if there is none."""
        earlier = np.full_like(self._cells, -1)
        earlier[:, lag:] = self._cells[:, : max(self._cells.shape[1] - lag, 0)]
        positions: Codes = earlier[self.city_codes, self._year_codes]
        return positions

    def _name_measure(self, choice: Choice) -> Measure:
        name, second = self._specification.measure, choice["second_provider"]
        return Measure(
            f"{name}@{second}" if isinstance(second, str) else name,
            choice["weighting"],
            choice["scope"],
            choice["transform"],
        )

    def read_measure(self, measure: Measure) -> Floats:
        """Return an AI measure after its transform, as an array with one value per panel row."""
        return self._read_measure_column(measure, TRANSFORMS[measure.transform])

    def _read_scaling(self, measure: Measure) -> Floats:
        weighting = settings.variables()["default_measure"]["weighting"]
        return self._read_measure_column(measure._replace(weighting=weighting), "scaling_value")

    def _compute_weights(self, measure: Measure) -> Floats:
        """Return each city's weight in each year, shape (cities, years)."""
        if measure.weighting == "observed":
            scaling = self._read_scaling(measure)
            count = self._read_measure_column(measure, "measure_10k")
            weight = 10_000 * count / np.where(scaling > 0, scaling, np.inf)
            weight = np.where(np.isfinite(weight), weight, 0.0)
        else:
            weight = self._read_measure_column(measure, "weight")
        weights = np.zeros(self._cells.shape)
        weights[self.city_codes, self._year_codes] = weight
        return weights

    def _list_variables(self, choice: Choice) -> tuple[str, ...]:
        """Return the names of the outcome, in the chosen prices, and of the controls."""
        outcome = f"{self._specification.outcome}{choice['outcome_suffix']}"
        return (outcome, *choice["control_variables"].split())

    def read_variable(self, variable: str) -> Floats:
        """Return a column of the panel as an array with one value per row."""
        return self._read_column((variable,), self._inputs.panel, variable)

    def _read_measure_column(self, measure: Measure, column: str) -> Floats:
        key = (measure.name, measure.weighting, measure.scope)
        return self._read_column((*key, column), self._inputs.read_measure(key), column)

    def _read_column(self, key: tuple[str, ...], table: pd.DataFrame, column: str) -> Floats:
        if key not in self._columns:
            values = table[column].to_numpy(dtype=float, na_value=np.nan)
            self._columns[key] = values[self._order]
        return self._columns[key]
