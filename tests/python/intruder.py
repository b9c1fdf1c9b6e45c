"""An intruder who has a public copy, the code, the seeds, and every series but one.

The series that is looked for is the AI weight of each city: AI firms over all firms in the base
year. Firms are another provider's, so a weight gives a count.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.estimation.inputs import Inputs, of_warehouse
from ai_manufacturing.estimation.specifications import (
    DynamicPanelOptions,
    FixedEffectsOptions,
    Specification,
)
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness import randomisation, specification_curve
from ai_manufacturing.robustness.panel_regressions import PanelEffects, without_controls

HEADLINE = "table_1_col_1"
KNOWN = np.log(1.1)  # half-width of what counts as known: 10 %
NORMAL = 1.96  # half-width of a 95 % interval, in standard deviations
PRIOR = 1.0  # standard deviation of a log weight, for somebody who has seen no number
WEAK = 3.0  # the same while equations are solved: a city without an AI firm has no log
STEP = 1e-5  # of a log weight, for numerical derivatives
FULL = 1e-9  # unit of a number that is published with all digits: more would not be solved better
DRAWS = 400  # of the permutations that are solved
MOST_STEPS, MOST_DAMPING = 60, 1e6
DERIVATIVES = {
    "ln1p": lambda count: count / (1 + count),
    "ln": np.ones_like,
    "asinh": lambda count: count / np.hypot(1, count),
    "level": lambda count: count / 10_000,
}


class Sensitivities:
    """Published numbers: their unit, and by how much each moves with each city's log weight.

    A number is known to within its unit, and a uniform error of one unit has the standard deviation
    of a unit over the root of twelve.
    """

    def __init__(self, cities: Sequence[str]) -> None:
        self.cities = [*cities]
        self._rows: list[Floats] = []

    def add(self, derivatives: Floats, unit: float) -> None:
        """Add a number."""
        if np.isfinite(derivatives).all() and np.isfinite(unit):
            self._rows.append(derivatives * np.sqrt(12) / unit)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def information(self) -> Floats:
        """The information of the numbers and of the prior on the log weights."""
        rows = np.array(self._rows)
        own: Floats = rows.T @ rows + np.eye(len(self.cities)) / PRIOR**2
        return own

    def bounds(self) -> pd.DataFrame:
        """Return, by city, within which share an intruder can know its weight at best.

        No unbiased estimate is more precise (Cramér and Rao): `alone` for somebody who knows no
        weight, `insider` for somebody who knows those of all other cities of the province.
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
    """Return the diagonal of the inverse of an information matrix, which contains the prior."""
    values, vectors = np.linalg.eigh(information)
    # rounding makes the smallest of a matrix of all digits negative
    found: Floats = (vectors**2 / np.maximum(values, 1 / PRIOR**2)).sum(axis=1)
    return found


class Bumped(specification_curve.Panel):
    """The panel with a measure as it is, and with each city's weight a little larger."""

    def _own_and_permuted(
        self, measure: specification_curve.Measure, donors: Codes, at: Codes
    ) -> Floats:
        own = self.own(measure)[at]
        count = (
            self._scaling(measure)[at]
            * self._weights(measure)[self.city_codes[at], self._year_codes[at]]
        )
        columns = np.repeat(own[:, None], 1 + len(self.cities), axis=1)
        larger = randomisation.TRANSFORMS[measure.transform](count * np.exp(STEP))
        columns[np.arange(len(at)), 1 + self.city_codes[at]] = larger
        return columns


def units(values: Iterable[float]) -> float:
    """Return the unit of the last decimal that some numbers of one precision show."""
    decimals = [len(repr(float(value)).partition(".")[2]) for value in values if pd.notna(value)]
    return max(10.0 ** -max(decimals, default=0), FULL)


def published(copy: Path, query: str) -> pd.DataFrame:
    """Return rows of a public copy."""
    with duckdb.connect(str(copy), read_only=True) as connection:
        return connection.execute(query).df()


@dataclass(frozen=True)
class World:
    """What the intruder has beside the copy, from the warehouse that holds it all.

    Attributes
    ----------
    inputs : Inputs
    specifications : list of Specification
        Those of the fixed ratio of AI firms.
    choices : DataFrame
        Of the curve, those of the same weights.
    cities : DataFrame
        marts.dim_city.
    weights : Series
        The true weight of each city, by which an attack is judged.
    """

    inputs: Inputs
    specifications: list[Specification]
    choices: pd.DataFrame
    cities: pd.DataFrame
    weights: pd.Series

    @property
    def headline(self) -> Specification:
        """The specification of the curve."""
        return next(one for one in self.specifications if one.specification_id == HEADLINE)


def world(warehouse: Path) -> World:
    """Read the intruder's other series and the true weights from a built warehouse."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        inputs = of_warehouse(connection)
        choices = connection.table("intermediate.int_specification_curve").df()
        cities = connection.table("marts.dim_city").df()
    every = [
        one
        for one in specifications.read(inputs.specifications)
        if one.measure == "ai_firms" and one.weighting == "fixed_ratio" and one.scope == "industry"
    ]
    headline = next(one for one in every if one.specification_id == HEADLINE)
    own = choices[
        choices["weighting"].eq(headline.weighting)
        & choices["scope"].eq(headline.scope)
        & choices["second_provider"].isna()
    ]
    rows = inputs.measures
    own_measure = rows[
        rows["measure"].eq("ai_firms")
        & rows["weighting"].eq(headline.weighting)
        & rows["scope"].eq(headline.scope)
    ]
    weights = own_measure.groupby("city_id")["weight"].max().dropna()
    return World(inputs, every, own, cities, weights[weights > 0])


def curve_points(
    known: World, copy: Path, panel: specification_curve.Panel
) -> Iterator[tuple[dict[str, Any], Codes, pd.Series]]:
    """Yield each different point of the published curve: choice, positions of rows, numbers."""
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
    """Add one of so many points of the curve: estimate, standardised, and both errors."""
    panel = Bumped(known.headline, known.inputs)
    points = [*curve_points(known, copy, panel)]
    names = ("estimate", "standardised", "city", "province")
    unit = {name: units(point[name] for *_, point in points) for name in names}
    seen = set()
    for choice, at, _ in points[::every]:
        (fitted,) = panel.fits(at, [choice], None)
        if not isinstance(fitted.answer, specification_curve.Slopes):
            continue
        found = fitted.answer
        key = tuple(np.round([found.estimates[0], found.std_errors["city"][0]], 12))
        if key in seen:
            continue
        seen.add(key)
        moved = (found.estimates, found.standardised, *found.std_errors.values())
        for name, values in zip(names, moved, strict=True):
            numbers.add((values[1:] - values[0]) / STEP, unit[name])


def add_tables(numbers: Sensitivities, known: World, copy: Path) -> None:
    """Add what each regression gives: coefficients, errors and fit.

    The columns that the paper prints have three decimals.
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
            for row in tables._terms(one, sample, known.inputs)
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


def add_jackknife(numbers: Sensitivities, known: World, copy: Path) -> None:
    """Add the headline without each province."""
    without = published(
        copy,
        "select unit_id, estimate_without from estimates.est_influence where unit_kind = 'province'"
        f" and specification_id = '{HEADLINE}' and estimate_without is not null",
    ).set_index("unit_id")["estimate_without"]
    panel = specification_curve.Panel(known.headline, known.inputs)
    logs = np.log(known.weights.reindex(panel.cities).fillna(1e-9).to_numpy(dtype=float))
    at = _headline_rows(known, panel)
    provinces = np.array([panel.cities[code][:2] for code in panel.city_codes[at]])
    for province, slope in without.items():
        rest = at[provinces != str(province)[:2]]
        part = _regressions(panel, _headline_choice(known), rest, np.array([slope]), units(without))
        misses, derivatives = part.residuals(logs)
        assert abs(misses[0]) <= part.unit, "the estimate is what is published of it"
        numbers.add(derivatives[0], part.unit)


def _bumped(rows: pd.DataFrame, of_city: pd.Series, one: Specification) -> pd.DataFrame:
    """Return a sample in which one city's weight is a little larger."""
    count = (rows["scaling_value"] * rows["weight"])[of_city].to_numpy(dtype=float)
    larger = randomisation.TRANSFORMS[one.transform](count * np.exp(100 * STEP))
    changed = rows.copy()
    changed.loc[of_city, one.regressor] = larger
    return changed


class Regressions(NamedTuple):
    """Published slopes of one outcome on a measure, made of the weights of several sets of donors.

    Attributes
    ----------
    slopes : ndarray, shape (m,)
        As they are published.
    unit : float
        Of their last decimal.
    outcome : ndarray, shape (n,)
        With effects and controls removed.
    removed : function
        Removes them from columns, shape (n, m).
    terms : list of (ndarray (n,), ndarray of int (m, n), float)
        Scaling values, the city whose weight each row gets, and the sign: a change over years has
        two terms.
    transform : str
    """

    slopes: Floats
    unit: float
    outcome: Floats
    removed: Callable[[Floats], Floats]
    terms: list[tuple[Floats, Codes, float]]
    transform: str

    def residuals(self, logs: Floats) -> tuple[Floats, Floats]:
        """Return what log weights miss of the slopes, and how that moves with each of them."""
        weights, change = np.exp(logs), randomisation.TRANSFORMS[self.transform]
        counts = [scaling[:, None] * weights[donors.T] for scaling, donors, _ in self.terms]
        signs = [sign for *_, sign in self.terms]
        raw = sum(sign * change(count) for sign, count in zip(signs, counts, strict=True))
        measures = self.removed(raw - raw.mean(axis=0))
        variation = np.einsum("ij,ij->j", measures, measures)
        slopes = self.outcome @ measures / variation
        by_row = (self.outcome[:, None] - 2 * slopes * measures) / variation
        jacobian = np.zeros((len(slopes), len(logs)))
        for (_, donors, sign), count in zip(self.terms, counts, strict=True):
            moved = sign * by_row * DERIVATIVES[self.transform](count)
            for number, cities in enumerate(donors):
                jacobian[number] += np.bincount(cities, moved[:, number], minlength=len(logs))
        return slopes - self.slopes, jacobian


def solve(
    regressions: Sequence[Regressions], cities: int, start: float
) -> tuple[Floats, Floats, float]:
    """Solve published slopes for log weights by Gauss-Newton, from one weight for all cities.

    Returns
    -------
    logs, errors : ndarray, shape (cities,)
        Log weights and their standard errors.
    misfit : float
        Root mean square of the residuals, in standard deviations of rounding.
    """
    scale = np.concatenate(
        [np.full(len(one.slopes), np.sqrt(12) / one.unit) for one in regressions]
    )

    def scaled(logs: Floats) -> tuple[Floats, Floats]:
        parts = [one.residuals(logs) for one in regressions]
        residuals = np.concatenate([part[0] for part in parts])
        return residuals * scale, np.vstack([part[1] for part in parts]) * scale[:, None]

    logs, damping = np.full(cities, start), 1e-3
    residuals, jacobian = scaled(logs)
    cost = residuals @ residuals
    for _ in range(MOST_STEPS):
        normal = jacobian.T @ jacobian + np.eye(cities) / WEAK**2
        gradient = jacobian.T @ residuals + (logs - start) / WEAK**2
        while damping < MOST_DAMPING:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
            tried = logs + np.clip(step, -1, 1)
            moved, derivatives = scaled(tried)
            new_cost = moved @ moved + ((tried - start) ** 2).sum() / WEAK**2
            if new_cost < cost:
                break
            damping *= 6
        else:
            break
        is_still = new_cost > 0.995 * cost
        logs, residuals, jacobian, cost = tried, moved, derivatives, new_cost
        damping = max(damping / 10, 1e-14)
        if is_still:
            break
    information = jacobian.T @ jacobian + np.eye(cities) / PRIOR**2
    errors = np.sqrt(variances_of(information))
    return logs, errors, float(np.sqrt(np.mean(residuals**2)))


def slopes_of_curve(known: World, copy: Path) -> list[Regressions]:
    """Return the different points of the published curve as equations."""
    panel = specification_curve.Panel(known.headline, known.inputs)
    points = [*curve_points(known, copy, panel)]
    unit = units(point["estimate"] for *_, point in points)
    found = {}
    for choice, at, point in points:
        part = _regressions(panel, choice, at, np.array([point["estimate"]]), unit)
        found.setdefault((choice["transform"], part.outcome.tobytes()), part)
    return [*found.values()]


def slopes_of_draws(known: World, copy: Path) -> list[Regressions]:
    """Return the slopes of permutations, as if each were of the draw whose number it has."""
    draws = published(
        copy,
        f"""
        select estimate
        from estimates.est_permuted_weights
        where specification_id = '{HEADLINE}' and permutation <= {DRAWS}
        order by permutation
        """,
    )["estimate"]
    panel = specification_curve.Panel(known.headline, known.inputs)
    at, choice = _headline_rows(known, panel), _headline_choice(known)
    whole = _regressions(panel, choice, at, draws.to_numpy(), units(draws))
    ((scaling, codes, _),) = whole.terms
    members, place = np.unique(codes[0], return_inverse=True)
    permuted = randomisation.permutations(
        [panel.cities[code] for code in members], panel.strata[members]
    )
    donors = members[permuted.donors[: len(draws)]][:, place]
    return [whole._replace(terms=[(scaling, donors, 1.0)])]


def _headline_rows(known: World, panel: specification_curve.Panel) -> Codes:
    """Return the positions of the headline's city-years in the panel."""
    city_years = [*known.inputs.sample(known.headline).city_years]
    own = pd.MultiIndex.from_arrays([np.array(panel.cities)[panel.city_codes], panel.years])
    return np.flatnonzero(own.isin(city_years))


def _headline_choice(known: World) -> dict[str, Any]:
    """Return the headline as a choice of the curve."""
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


def _regressions(
    panel: specification_curve.Panel, choice: dict[str, Any], at: Codes, slopes: Floats, unit: float
) -> Regressions:
    """Return a choice of the curve, whose donors are the cities themselves."""
    lag = int(choice["difference_years"])
    cities, entities = np.unique(panel.city_codes[at], return_inverse=True)
    effects = PanelEffects(
        entities,
        panel.years[at] - panel.years.min(),
        np.unique(panel._blocks(choice)[cities], return_inverse=True)[1],
        choice["city_effects"].split(),
    )
    earlier = panel._earlier(lag)[at]

    def within(values: Floats) -> Floats:
        differences = values[at] - values[earlier] if lag else values[at]
        return effects.removed_from((differences - differences.mean())[:, None])[:, 0]

    outcome, *names = panel._variables(choice)
    controls = np.array([within(panel.values(name)) for name in names]).reshape(len(names), len(at))
    scaling, codes = panel._scaling(panel._measure(choice)), panel.city_codes
    terms = [(scaling[at], codes[at][None, :], 1.0)]
    if lag:
        terms.append((scaling[earlier], codes[earlier][None, :], -1.0))
    return Regressions(
        slopes=slopes,
        unit=unit,
        outcome=without_controls(controls.T, within(panel.values(outcome))),
        removed=lambda columns: without_controls(controls.T, effects.removed_from(columns)),
        terms=terms,
        transform=choice["transform"],
    )


def isolated(sums: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return one or two cities whose sum is a combination of published sums.

    Parameters
    ----------
    sums : DataFrame, one row per sum and one column per city
        One where a sum has a city.
    """
    rows = sums.to_numpy(dtype=float)
    _, size, directions = np.linalg.svd(rows, full_matrices=False)
    space = directions[size > 1e-9]
    names = [*sums]
    # A combination is in the space of the sums if its projection on them is as long as itself.
    shared = space.T @ space
    alone = np.diag(shared)
    found: list[tuple[str, ...]] = [(names[place],) for place in np.flatnonzero(alone > 1 - 1e-9)]
    pairs = alone[:, None] + alone[None, :] + 2 * shared
    for one, other in zip(*np.nonzero(np.triu(pairs > 2 - 1e-9, 1)), strict=True):
        found.append((names[one], names[other]))
    return found
