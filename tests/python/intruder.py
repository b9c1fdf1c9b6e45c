"""Compute how precisely an intruder could infer restricted city values from a public copy.

The intruder knows the public copy, the code, the seeds, and every series but one, and looks for
each city's AI weight: AI firms over all firms in the base year. The firm counts come from another
provider, so a weight reveals a count.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.estimation.inputs import Inputs, read_warehouse_inputs
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    FixedEffectsOptions,
    Specification,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import randomisation, specification_curve

HEADLINE = "table_1_col_1"
# A city's weight counts as known if the relative half-width of its 95 % interval is below this
# threshold.
KNOWN = 0.1
# Critical value of the standard normal distribution for a 95 % interval.
NORMAL = 1.96
# Prior standard deviation of a city's log weight.
PRIOR = 1.0
# Step size for numerical derivatives with respect to a log weight.
STEP = 1e-5
# Minimum rounding unit of a published number, below which numerical errors would dominate.
FULL = 1e-9
# Maximum number of published permutations that the intruder uses.
DRAWS = 400


class Sensitivities:
    """Derivatives of published numbers with respect to log weights, in units of rounding error.

    A number is known to within its unit. Its error is uniform, with a standard deviation of the
    unit divided by the square root of twelve.
    """

    def __init__(self, cities: Sequence[str]) -> None:
        self.cities = [*cities]
        self._rows: list[Floats] = []

    def add(self, derivatives: Floats, unit: float) -> None:
        """Add a published number, unless its rounding unit or a derivative is not finite."""
        if np.isfinite(derivatives).all() and np.isfinite(unit):
            self._rows.append(derivatives * np.sqrt(12) / unit)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def information(self) -> Floats:
        """Fisher information matrix of the log weights, including the prior."""
        rows = np.array(self._rows)
        own: Floats = rows.T @ rows + np.eye(len(self.cities)) / PRIOR**2
        return own

    def bounds(self) -> pd.DataFrame:
        """Return lower bounds on the relative error with which each city's weight can be inferred.

        These are Cramér-Rao bounds on unbiased estimates, as half-widths of 95 % intervals. `alone`
        assumes no known weight, `insider` that all other weights of the city's province are known.
        """
        information = self.information
        provinces = np.array([city[:2] for city in self.cities])
        insiders = []
        for place, province in enumerate(provinces):
            unknown = np.flatnonzero(provinces != province).tolist()
            left = information[np.ix_([place, *unknown], [place, *unknown])]
            insiders.append(variances_of(left)[0])
        variances = {"alone": variances_of(information), "insider": np.array(insiders)}
        return pd.DataFrame(
            {name: np.expm1(NORMAL * np.sqrt(one)) for name, one in variances.items()},
            index=self.cities,
        )


def variances_of(information: Floats) -> Floats:
    """Return the diagonal of the inverse of an information matrix that includes the prior."""
    values, vectors = np.linalg.eigh(information)
    # Rounding errors can make the smallest eigenvalues negative, so bound them by the prior.
    found: Floats = (vectors**2 / np.maximum(values, 1 / PRIOR**2)).sum(axis=1)
    return found


class Bumped(specification_curve.Panel):
    """Specification-curve panel plus one column per city, in which that city's weight is increased.

    Every city is its own donor unless `donors` names another one.
    """

    donors: Codes | None = None

    def _stack_permutations(
        self, measure: specification_curve.Measure, _: Codes, at: Codes
    ) -> Floats:
        cities = self.city_codes[at]
        donors = cities if self.donors is None else self.donors[cities]
        count = (
            self._read_scaling(measure)[at]
            * self._compute_weights(measure)[donors, self._year_codes[at]]
        )
        transformed = randomisation.TRANSFORMS[measure.transform]
        columns = np.repeat(transformed(count)[:, None], 1 + len(self.cities), axis=1)
        columns[np.arange(len(at)), 1 + donors] = transformed(count * np.exp(STEP))
        return columns

    def moved(self, choice: dict[str, Any], at: Codes) -> dict[str, Floats] | None:
        """Refit a regression with the true weights, and with each city's weight increased."""
        (fitted,) = self.fit_choices(at, [choice], None)
        found = fitted.answer
        if not isinstance(found, specification_curve.PermutationSlopes):
            return None
        return {
            "estimate": found.estimates,
            "standardised": found.standardised,
            **found.std_errors,
        }


def derivatives(values: Floats) -> Floats:
    """Return the numerical derivatives of a statistic with respect to each city's log weight."""
    by_city: Floats = (values[1:] - values[0]) / STEP
    return by_city


def units(values: Iterable[float]) -> float:
    """Return the unit of the last decimal place to which the values are rounded."""
    decimals = [len(repr(float(value)).partition(".")[2]) for value in values if pd.notna(value)]
    return max(10.0 ** -max(decimals, default=0), FULL)


def published(copy: Path, query: str) -> pd.DataFrame:
    """Return the result of a query on a public copy as a DataFrame."""
    with duckdb.connect(str(copy), read_only=True) as connection:
        return connection.execute(query).df()


@dataclass(frozen=True)
class World:
    """Data that an intruder has in addition to the public copy, and the true weights.

    Attributes
    ----------
    inputs : Inputs
        The estimators' inputs.
    specifications : list of Specification
        Specifications with the fixed ratio of AI firms.
    choices : DataFrame
        Points of the specification curve with the same weights.
    weights : Series
        True weight of each city, against which an attack is scored.
    """

    inputs: Inputs
    specifications: list[Specification]
    choices: pd.DataFrame
    weights: pd.Series

    @property
    def headline(self) -> Specification:
        """Specification of the headline estimate, on which the specification curve is based."""
        return next(one for one in self.specifications if one.specification_id == HEADLINE)


def world(warehouse: Path) -> World:
    """Read the intruder's own data and the true city weights from a built warehouse."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        inputs = read_warehouse_inputs(connection)
        choices = connection.table("intermediate.int_specification_curve").df()
    every = [
        one
        for one in specifications.read_specifications(inputs.specifications)
        if one.measure == "ai_firms" and one.weighting == "fixed_ratio" and one.scope == "industry"
    ]
    same_weights = "weighting == 'fixed_ratio' and scope == 'industry'"
    own = choices.query(f"{same_weights} and second_provider.isna()")
    measure = inputs.measures.query(f"{same_weights} and measure == 'ai_firms'")
    weights = measure.groupby("city_id")["weight"].max().dropna()
    return World(inputs, every, own, weights[weights > 0])


def curve_points(
    known: World, copy: Path, panel: specification_curve.Panel
) -> Iterator[tuple[dict[str, Any], Codes, pd.Series]]:
    """Yield the choices, row positions and published numbers of each specification-curve point."""
    shown = published(
        copy,
        """
        select
            curve_id,
            any_value(estimate) as estimate,
            any_value(standardised_estimate) as standardised,
            any_value(std_error) filter (where errors = 'city') as city,
            any_value(std_error) filter (where errors = 'province') as province
        from estimates.est_specification_curve
        where estimate is not null
        group by curve_id
        """,
    ).set_index("curve_id")
    for choice in known.choices.to_dict("records"):
        if choice["curve_id"] in shown.index:
            yield choice, panel.sample(choice), shown.loc[choice["curve_id"]]


def add_curve(numbers: Sensitivities, known: World, copy: Path, every: int = 1) -> None:
    """Add the estimates and standard errors of every n-th point of the specification curve."""
    panel = Bumped(known.headline, known.inputs)
    points = [*curve_points(known, copy, panel)]
    unit = {name: units(point[name] for *_, point in points) for name in points[0][-1].index}
    seen = set()
    for choice, at, _ in points[::every]:
        moved = panel.moved(choice, at)
        if moved is None or (key := round(moved["estimate"][0], 12)) in seen:
            continue
        seen.add(key)
        for name, values in moved.items():
            numbers.add(derivatives(values), unit[name])


def add_draws(numbers: Sensitivities, known: World, path: Path) -> None:
    """Add the slopes with permuted weights, assuming publication in the order of the draws."""
    draws = published(
        path,
        "select estimate from estimates.est_permuted_weights"
        f" where specification_id = '{HEADLINE}' and permutation <= {DRAWS} order by permutation",
    )["estimate"]
    if draws.is_monotonic_increasing:
        # Published slopes that are sorted by size cannot be matched with permutation draws.
        return
    panel = Bumped(known.headline, known.inputs)
    at = _headline_rows(known, panel)
    members = np.unique(panel.city_codes[at])
    names = [panel.cities[code] for code in members]
    for donors in randomisation.draw_permutations(names, panel.strata[members]).donors[:DRAWS]:
        panel.donors = np.arange(len(panel.cities))
        panel.donors[members] = members[donors]
        if moved := panel.moved(_headline_choice(known), at):
            numbers.add(derivatives(moved["estimate"]), units(draws))


def add_jackknife(numbers: Sensitivities, known: World, copy: Path) -> None:
    """Add the leave-one-province-out estimates of the headline specification."""
    without = published(
        copy,
        "select unit_id, estimate_without from estimates.est_influence where unit_kind = 'province'"
        f" and specification_id = '{HEADLINE}' and estimate_without is not null",
    ).set_index("unit_id")["estimate_without"]
    panel, unit = Bumped(known.headline, known.inputs), units(without)
    at = _headline_rows(known, panel)
    provinces = np.array([panel.cities[code][:2] for code in panel.city_codes[at]])
    for province, slope in without.items():
        moved = panel.moved(_headline_choice(known), at[provinces != str(province)[:2]])
        assert moved is not None
        values = moved["estimate"]
        assert abs(values[0] - slope) <= unit, "the estimate is what is published of it"
        numbers.add(derivatives(values), unit)


def add_tables(numbers: Sensitivities, known: World, copy: Path) -> None:
    """Add the published coefficients, standard errors and within R² of each regression.

    Columns that the paper prints are rounded to three decimals.
    """
    shown = published(
        copy, "select * from reports.rpt_coefficients where status <> 'not_estimable'"
    ).set_index(["specification_id", "term"])
    printed = published(
        copy, "select distinct specification_id from reports.rpt_table_cells where is_in_table"
    )
    of_three = {*printed["specification_id"]}

    def numbers_of(one: Specification, rows: pd.DataFrame) -> dict[tuple[str, str], float]:
        sample = replace(known.inputs.sample(one), rows=rows)
        return {
            (str(row["term"]), column): float(row[column])
            for row in tables._estimate_terms(one, sample, known.inputs)
            for column in ("estimate", "std_error", "std_error_province", "r2_within")
            if row.get(column) is not None
        }

    for one in known.specifications:
        if not isinstance(one.options, (FixedEffectsOptions, DynamicPanelOptions)):
            continue
        try:
            rows = known.inputs.sample(one).rows
            before = numbers_of(one, rows)
        except NotEstimable:
            continue
        moved = {key: np.zeros(len(numbers.cities)) for key in before}
        for place, city in enumerate(numbers.cities):
            if (of_city := rows["city_id"].eq(city)).any():
                after = numbers_of(one, _bumped(rows, of_city, one))
                for key in before:
                    moved[key][place] = (after[key] - before[key]) / (100 * STEP)
        for (term, column), derivatives in moved.items():
            row = shown.loc[one.specification_id, term]
            if one.specification_id in of_three:
                unit = 1e-3
            elif column == "r2_within":
                unit = units(shown.loc[one.specification_id]["r2_within"])
            else:
                unit = units([row["estimate"], row["std_error"], row["std_error_province"]])
            numbers.add(derivatives, unit)


def _bumped(rows: pd.DataFrame, of_city: pd.Series, one: Specification) -> pd.DataFrame:
    """Return a regression sample in which the weight of one city is slightly increased."""
    count = (rows["scaling_value"] * rows["weight"])[of_city].to_numpy(dtype=float)
    larger = randomisation.TRANSFORMS[one.transform](count * np.exp(100 * STEP))
    changed = rows.copy()
    changed.loc[of_city, one.regressor] = larger
    return changed


def _headline_rows(known: World, panel: specification_curve.Panel) -> Codes:
    """Return the panel positions of the city-years in the headline regression."""
    city_years = [*known.inputs.sample(known.headline).city_years]
    own = pd.MultiIndex.from_arrays([np.array(panel.cities)[panel.city_codes], panel.years])
    return np.flatnonzero(own.isin(city_years))


def _headline_choice(known: World) -> dict[str, Any]:
    """Return the headline specification as one combination of specification-curve choices."""
    return {
        "difference_years": 0,
        "city_effects": "constant",
        "period_effects": "year",
        "second_provider": None,
        "weighting": known.headline.weighting,
        "scope": known.headline.scope,
        "transform": known.headline.transform,
        "control_variables": " ".join(known.headline.controls),
        "outcome_suffix": "",
    }


def isolated(sums: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return single cities and pairs whose total is a linear combination of published sums.

    Parameters
    ----------
    sums : DataFrame, one row per sum and one column per city
        1 if the sum includes the city, else 0.
    """
    rows = sums.to_numpy(dtype=float)
    _, size, directions = np.linalg.svd(rows, full_matrices=False)
    space = directions[size > 1e-9]
    names = [*sums]
    # A vector is in the span of the sums if its projection onto the span has the same length.
    shared = space.T @ space
    alone = np.diag(shared)
    found: list[tuple[str, ...]] = [(names[place],) for place in np.flatnonzero(alone > 1 - 1e-9)]
    pairs = alone[:, None] + alone[None, :] + 2 * shared
    for one, other in zip(*np.nonzero(np.triu(pairs > 2 - 1e-9, 1)), strict=True):
        found.append((names[one], names[other]))
    return found
