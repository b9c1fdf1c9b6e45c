"""The specification curve.

Every combination of the choices of curve_axes.csv, for one specification.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import answered, of_each, reason_row
from ai_manufacturing.estimation.specifications import TRANSFORMS, Specification
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import rows_without_singletons
from ai_manufacturing.estimators.not_estimable import NotEstimable, attempted
from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.robustness import joint_test, randomisation
from ai_manufacturing.robustness.joint_test import Slopes
from ai_manufacturing.robustness.permutation_sums import DonorMeasure, DonorPairs, PanelSums
from ai_manufacturing.system import workers

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
CLUSTERS = {"city": "city_id", "province": "province_id"}
TABLES_BYTES = 2**26  # of measures with other weights, kept from one sample to the next
STRATA = "region_size"  # a city's weight is given to one of its region and size
FIRST_LOOK = 100  # draws after which the joint tests may end, and after each doubling of them
SEED = 2020  # of the first round of draws; the next ones follow it

Choice = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Fitted:
    """One combination of choices: its slopes, or why there are none."""

    choice: Choice
    answer: Slopes | Sentence
    observation_count: int | None = None
    city_count: int | None = None

    def extended(self, more: "Fitted") -> "Fitted":
        """Return the combination with more permutations; no slopes where a permutation has none."""
        if isinstance(self.answer, Sentence):
            return self
        if isinstance(more.answer, Sentence):
            return more
        return replace(self, answer=self.answer.extended(more.answer))


def curve(chosen: Iterable[Specification], choices: pd.DataFrame, inputs: Inputs) -> pa.Table:
    """Estimate every combination of choices.

    Parameters
    ----------
    chosen : iterable of Specification
        Whose outcome and measure a curve is of; none in a build without rows.
    choices : DataFrame
        intermediate.int_specification_curve.
    inputs : Inputs

    Returns
    -------
    Table
        One row per combination and kind of error, in the columns of est_specification_curve. Where
        the specification itself cannot be estimated, neither can any combination.
    """

    def rows_of(specification: Specification) -> Iterator[Choice]:
        for fitted in _Combinations(specification, choices, inputs).fitted():
            for cluster in CLUSTERS:
                row = {name: fitted.choice[name] for name in ("curve_id", *AXES, "is_dominated")}
                row |= {
                    "errors": cluster,
                    "observation_count": fitted.observation_count,
                    "city_count": fitted.city_count,
                }
                if isinstance(fitted.answer, Sentence):
                    yield reason_row(fitted.answer, **row)
                    continue
                yield row | {
                    "estimate": fitted.answer.estimates[0],
                    "std_error": fitted.answer.std_errors[cluster][0],
                    "standardised_estimate": fitted.answer.standardised[0],
                    "p_value": fitted.answer.p_values(cluster)[0],
                    "degrees_of_freedom": fitted.answer.degrees_of_freedom[cluster],
                }

    return of_each(chosen, inputs, "est_specification_curve", rows_of)


def joint(
    chosen: Iterable[Specification],
    choices: pd.DataFrame,
    errors: Sequence[str],
    inputs: Inputs,
    draws: int,
) -> pa.Table:
    """Test the combinations together, against the same permutations of the weights in all of them.

    Parameters
    ----------
    chosen, choices, inputs
        As of curve.
    errors : sequence of str
        Those of CLUSTERS that are not dominated.
    draws : int
        Permutations at most.

    Returns
    -------
    Table
        One row per kind of error and statistic, of all combinations and of those without a
        dominated choice, in the columns of est_specification_curve_joint; not_estimable with the
        reason where there is no permutation.
    """

    def rows_of(specification: Specification) -> Iterator[Choice]:
        rows: list[Choice] = []
        for fitted, looks in _rounds(specification, choices, inputs, draws):
            rows = [*_joint_rows(fitted, errors, looks)]
            if all(row.get("larger_draws", joint_test.ENOUGH) >= joint_test.ENOUGH for row in rows):
                break
        yield from rows

    return of_each(chosen, inputs, "est_specification_curve_joint", rows_of)


def _rounds(
    specification: Specification, choices: pd.DataFrame, inputs: Inputs, draws: int
) -> Iterator[tuple[list[Fitted], list[int]]]:
    """Yield the combinations with more and more permutations, and after how many rounds end."""
    if draws == 0:
        yield [], [0]
        return
    combinations = _Combinations(specification, choices, inputs)
    fitted: list[Fitted] = []
    looks: list[int] = []
    while not looks or looks[-1] < draws:
        made = looks[-1] if looks else 0
        looks.append(min(draws, max(FIRST_LOOK, 2 * made)))
        more = combinations.fitted(draws=looks[-1] - made, seed=SEED + len(looks) - 1)
        if fitted:
            more = [one.extended(other) for one, other in zip(fitted, more, strict=True)]
        fitted = more
        yield fitted, looks


def _joint_rows(fitted: list[Fitted], errors: Sequence[str], looks: list[int]) -> Iterator[Choice]:
    """Yield the joint tests of all combinations, and of those without a dominated choice."""
    for name, members, clusters in (
        ("all", fitted, [*CLUSTERS]),
        ("without_dominated", [one for one in fitted if not one.choice["is_dominated"]], errors),
    ):
        slopes = [one.answer for one in members if isinstance(one.answer, Slopes)]
        reasons = [one.answer for one in members if isinstance(one.answer, Sentence)]
        for cluster in clusters:
            common = {"choices": name, "errors": cluster}
            if reasons and not slopes:
                yield reason_row(reasons[0], **common)
                continue
            for row in answered(partial(_joint, slopes, cluster, looks), **common):
                yield {**common, **row}


def _joint(fitted: list[Slopes], cluster: str, looks: list[int]) -> Iterator[Choice]:
    shape = (len(fitted), 1 + looks[-1])
    tests = joint_test.joint_tests(
        np.array([slopes.standardised for slopes in fitted]).reshape(shape),
        np.array([slopes.p_values(cluster) for slopes in fitted]).reshape(shape),
        looks,
    )
    return (vars(test) for test in tests)


@dataclass(eq=False)
class _Rows:
    """The city-years that have the same sample, effects and outcome, of whatever combinations."""

    positions: Codes
    members: list[Choice] = field(default_factory=list)


class _Combinations:
    """All combinations; those of one sample share its effects and its permuted measures."""

    def __init__(self, specification: Specification, choices: pd.DataFrame, inputs: Inputs) -> None:
        self._refused: list[Fitted] = []
        samples: dict[tuple[str, str, str, bytes], _Rows] = {}
        self._panel = attempted(partial(_Panel, specification, inputs))
        for choice in choices.to_dict("records"):
            if isinstance(self._panel, Sentence):
                self._refused.append(Fitted(choice, self._panel))
                continue
            positions = attempted(partial(self._panel.sample, choice))
            if isinstance(positions, Sentence):
                self._refused.append(Fitted(choice, positions))
                continue
            shared = (choice["period_effects"], choice["dynamics"], choice["prices"])
            key = (*shared, positions.tobytes())
            samples.setdefault(key, _Rows(positions)).members.append(choice)
        self._samples = [*samples.values()]

    def fitted(self, draws: int = 0, seed: int = SEED) -> list[Fitted]:
        """Fit all, for the measure and for as many permutations of its weights."""
        if isinstance(self._panel, Sentence) or not self._samples:
            return self._refused
        if draws == 0:
            return self._refused + _fits(self._panel, self._samples, None)
        cities, strata = self._panel.cities, self._panel.strata
        permuted = randomisation.permutations(cities, strata, draws=draws, seed=seed)
        sizes = np.cumsum([len(rows.members) * len(rows.positions) for rows in self._samples])
        half = int(np.searchsorted(sizes, sizes[-1] / 2))
        first, second = workers.both(
            _fits,
            (self._panel, self._samples[:half], permuted),
            (self._panel, self._samples[half:], permuted),
        )
        return [*self._refused, *first, *second]


def _fits(
    panel: "_Panel",
    samples: Iterable["_Rows"],
    permuted: randomisation.Permutations | None,
) -> list[Fitted]:
    """Fit all combinations of some samples."""
    return [fit for rows in samples for fit in panel.fits(rows, permuted)]


class _Panel:
    """The panel's columns as arrays, in order of city and year."""

    def __init__(self, specification: Specification, inputs: Inputs) -> None:
        self._specification, self._inputs = specification, inputs
        sample = inputs.sample(specification)
        panel = inputs.panel.sort_values(["city_id", "year"])
        self._order = panel.index.to_numpy()
        self._panel = panel.reset_index(drop=True)
        self.cities = [*self._panel["city_id"].unique()]
        self._city = pd.factorize(self._panel["city_id"])[0]
        self._years = self._panel["year"].to_numpy()
        self._year_codes: Codes = self._years - self._years.min()
        self._year_count = int(self._year_codes.max()) + 1
        first = self._panel.drop_duplicates("city_id")
        self._province_of_city = pd.factorize(first["province_id"], sort=True)[0]
        self._years_of_province: Codes = (
            self._province_of_city[self._city] * self._year_count + self._year_codes
        )
        self.strata = inputs.strata_of(STRATA, first["city_id"])
        cells = np.full((len(first), self._year_count), -1)
        cells[self._city, self._year_codes] = np.arange(len(self._panel))
        self._cells: Codes = cells
        flagged = set().union(*inputs.flagged(specification, sample).values())
        self._columns: dict[tuple[str, ...], Floats] = {}
        self._tables: dict[tuple[str, ...], Floats] = {}
        self._pairs = DonorPairs(self.strata)
        self._left_out = {
            "all": np.zeros(len(first), dtype=bool),
            "without_flagged": first["city_id"].isin(flagged).to_numpy(),
            "without_municipalities": (
                first.groupby("province_id")["city_id"].transform("size").eq(1).to_numpy()
            ),
            "without_five_largest": (
                inputs.group_of("five_largest", first["city_id"]).eq("largest").to_numpy()
            ),
        }

    def sample(self, choice: Choice) -> Codes:
        """Return the positions of the city-years that have all that a combination asks for, singletons dropped.

        Those of differences have it in the earlier year too.
        """
        # Both weightings on the city-years whose counts can be scaled, so that weights can be
        # permuted in both.
        complete = np.isfinite(self._measure(choice)) & np.isfinite(self._scaling(choice))
        complete &= (choice["first_year"] <= self._years) & (self._years <= choice["last_year"])
        complete &= ~self._left_out[choice["city_sample"]][self._city]
        for variable in (self._outcome(choice), *choice["control_variables"].split()):
            complete &= np.isfinite(self._values(variable))
        if lag := int(choice["difference_years"]):
            earlier = self._earlier(lag)
            complete &= (earlier >= 0) & complete[earlier]
        positions = np.flatnonzero(complete)
        remaining = rows_without_singletons(
            self._city[positions],
            self.period_effects(choice)[positions],
            entity_effects=len(choice["city_effects"].split()),
        )
        if len(remaining) == 0:
            names = [
                self._outcome(choice),
                self._specification.measure,
                *choice["control_variables"].split(),
            ]
            first, last = int(choice["first_year"]), int(choice["last_year"])
            if lag:
                raise NotEstimable(
                    "no_earlier_city_year", names=names, lag=lag, first=first, last=last
                )
            raise NotEstimable("no_city_year", names=names, first=first, last=last)
        return positions[remaining]

    def period_effects(self, choice: Choice) -> Codes:
        """Return the codes of the second effect of every row: years, or years of each province."""
        if choice["period_effects"] == "year":
            return self._year_codes
        return self._years_of_province

    def fits(self, rows: _Rows, permuted: randomisation.Permutations | None) -> Iterator[Fitted]:
        """Fit the combinations of one sample."""
        at = rows.positions
        own_cities = np.unique(self._city[at])
        # Cities of a province side by side.
        order = np.argsort(self._province_of_city[own_cities], kind="stable")
        cities = own_cities[order]
        counts, pairs, donors = np.zeros_like(cities), None, None
        if permuted is not None:
            donor_cities = own_cities[
                permuted.among([self.cities[city] for city in own_cities]).donors
            ]
            counts, pairs, donors = self._pairs.among(cities, donor_cities[:, order])
        entity_of = np.empty(len(self.cities), dtype=np.intp)
        entity_of[cities] = np.arange(len(cities))
        provinces = np.unique(self._province_of_city[cities], return_inverse=True)[1]
        by_year = rows.members[0]["period_effects"] == "year"
        lag = int(rows.members[0]["difference_years"])
        sets = [tuple(choice["control_variables"].split()) for choice in rows.members]
        sums = PanelSums(
            entity_of[self._city[at]],
            self._year_codes[at],
            self._year_count,
            blocks=np.zeros_like(provinces) if by_year else provinces,
            clusters={"city": np.arange(len(cities)), "province": provinces},
            outcome=self._differenced(self._values(self._outcome(rows.members[0])), at, lag),
            controls={
                name: self._differenced(self._values(name), at, lag)
                for name in dict.fromkeys(name for names in sets for name in names)
            },
            control_sets=sets,
            donor_counts=counts,
            entity_effects=rows.members[0]["city_effects"].split(),
        )
        by_measure: dict[tuple[str, ...], list[Choice]] = {}
        for choice in rows.members:
            key = tuple(choice[name] for name in ("transform", "weighting", "scope", "provider"))
            by_measure.setdefault(key, []).append(choice)
        for members in by_measure.values():
            measure = self._donor_measure(members[0], at, pairs)
            moments = sums.moments(measure, donors)
            by_row = partial(sums.by_row, measure, donors)
            # Cities that a combination leaves out may have no row in any: combinations can be the
            # same regression.
            answers: dict[tuple[str, ...], Slopes | Sentence] = {}
            for choice in members:
                names = tuple(choice["control_variables"].split())
                if names not in answers:
                    answers[names] = attempted(partial(sums.slopes, moments, names, by_row))
                sizes = (len(at), len(cities)) if isinstance(answers[names], Slopes) else ()
                yield Fitted(choice, answers[names], *sizes)

    def _donor_measure(self, choice: Choice, at: Codes, pairs: Codes | None) -> DonorMeasure:
        """Return the measure of a combination in the rows of a sample, and what other weights make of it."""
        lag = int(choice["difference_years"])
        own = self._differenced(self._measure(choice), at, lag)
        if pairs is None:
            return DonorMeasure(own, np.empty((0, self._year_count)))
        of_donors = self._of_donors(choice).take(pairs, axis=0)
        if lag:
            with np.errstate(invalid="ignore"):  # the log of a donor without a weight
                of_donors[:, lag:] -= of_donors[:, :-lag].copy()
            of_donors[:, :lag] = np.nan
        return DonorMeasure(own, of_donors)

    def _earlier(self, lag: int) -> Codes:
        """Return the position of each row's city some years earlier.

        -1 where the panel has no such row.
        """
        earlier = np.full_like(self._cells, -1)
        earlier[:, lag:] = self._cells[:, : max(self._year_count - lag, 0)]
        positions: Codes = earlier[self._city, self._year_codes]
        return positions

    def _differenced(self, column: Floats, at: Codes, lag: int) -> Floats:
        """Return a column in the rows of a sample, less what it was some years earlier."""
        return column[at] - column[self._earlier(lag)[at]] if lag else column[at]

    def _of_donors(self, choice: Choice) -> Floats:
        """Return the measure of each city with the weight of each of its stratum, shape (pairs, years)."""
        key = (
            *self._key(choice, self._specification.measure, choice["weighting"]),
            choice["transform"],
        )
        if key in self._tables:
            return self._tables[key]
        scaling, weights = self._weights(choice)
        scalings = np.full(weights.shape, np.nan)
        scalings[self._city, self._year_codes] = scaling
        table = self._pairs.measures(scalings, weights, choice["transform"])
        if (1 + len(self._tables)) * table.nbytes <= TABLES_BYTES:
            self._tables[key] = table
        return table

    def _key(self, choice: Choice, measure: str, weighting: str) -> tuple[str, str, str]:
        qualified = (
            f"{measure}@{choice['second_provider']}"
            if isinstance(choice["second_provider"], str)
            else measure
        )
        return qualified, weighting, choice["scope"]

    def _measure(self, choice: Choice) -> Floats:
        key = self._key(choice, self._specification.measure, choice["weighting"])
        return self._ordered(key, TRANSFORMS[choice["transform"]])

    def _scaling(self, choice: Choice) -> Floats:
        key = self._key(choice, self._specification.measure, "fixed_ratio")
        return self._ordered(key, "scaling_value")

    def _weights(self, choice: Choice) -> tuple[Floats, Floats]:
        """Return what is scaled, shape (rows,), and each city's weight in each year, shape (cities, years)."""
        scaling = self._scaling(choice)
        weight = self._ordered(
            self._key(choice, self._specification.measure, "fixed_ratio"), "weight"
        )
        if choice["weighting"] == "observed":
            count = self._ordered(
                self._key(choice, self._specification.measure, "observed"), "measure_10k"
            )
            share = 10_000 * count / np.where(scaling > 0, scaling, np.inf)
            weight = np.where(np.isfinite(share), share, 0.0)
        table = np.zeros((len(self.cities), self._year_count))
        table[self._city, self._year_codes] = weight
        return scaling, table

    def _outcome(self, choice: Choice) -> str:
        """Return the outcome in the prices of a combination."""
        return f"{self._specification.outcome}{choice['outcome_suffix']}"

    def _values(self, variable: str) -> Floats:
        if (variable,) not in self._columns:
            self._columns[variable,] = self._panel[variable].to_numpy(dtype=float, na_value=np.nan)
        return self._columns[variable,]

    def _ordered(self, key: tuple[str, str, str], column: str) -> Floats:
        if (*key, column) not in self._columns:
            measured = self._inputs.measured(key)[column].to_numpy(dtype=float, na_value=np.nan)
            self._columns[*key, column] = measured[self._order]
        return self._columns[*key, column]
