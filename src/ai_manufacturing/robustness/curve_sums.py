"""Sums of the headline's city-years, from which it is estimated anew without a value of a city.

Slopes and clustered errors need sums over the city-years of a cluster alone: of products of columns
that have lost their city means. Who has them leaves out controls, or takes other years, prices,
weights and transforms of the measure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ai_manufacturing import disclosure
from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.rows import Row, of_each
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators.columns import Codes, Floats
from ai_manufacturing.estimators.fixed_effects import Effects
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.specification_curve import Measure, Panel
from ai_manufacturing.system import great_circle

Pair = tuple[str, str]
Places = NDArray[np.float64]


@dataclass(frozen=True)
class _Span:
    """The headline's city-years in a period of the curve.

    Attributes
    ----------
    row : dict
        What rows of the table say of all its sums: period, observation_count and city_count.
    added, given_years : DataFrame, one row per city of the panel, one column per pair
        What a city adds to the sum of products of a pair of columns; the columns have lost their
        city means, and in given_years what the years explain of them.
    """

    row: Row
    added: pd.DataFrame
    given_years: pd.DataFrame


def sums(
    chosen: Iterable[Specification], choices: pd.DataFrame, inputs: Inputs, cities: pd.DataFrame
) -> pa.Table:
    """Sum products of columns by groups of provinces, and products of such sums over cities.

    Parameters
    ----------
    chosen : iterable of Specification
        Whose outcome, measure and controls they are; none in a build without rows.
    choices : DataFrame
        intermediate.int_specification_curve.
    inputs : Inputs
    cities : DataFrame
        marts.dim_city.

    Returns
    -------
    Table
        est_curve_sums. All sums are safe (disclosure.py), and so are their differences between
        periods: provinces are joined with their neighbours until those of the headline are, and a
        measure or an outcome of which they are not in these groups is left out.
    """

    def rows_of(specification: Specification) -> Iterator[Row]:
        panel = Panel(specification, inputs)
        spans = [*_spans(specification, choices, panel)]
        of_city = cities.set_index("city_id").loc[panel.cities]
        shown = _with_differences([span.added for span in spans])
        headline = {
            specification.outcome,
            f"{specification.transform} {specification.weighting}",
            *specification.controls,
        }
        groups = _safe_groups(
            shown,
            headline,
            of_city["province_id"].to_numpy(dtype=object),
            of_city[["longitude", "latitude"]].to_numpy(dtype=float),
        )
        unsafe = {
            name
            for name in {name for pair in shown for name in pair} - headline
            if not (_is_year(name) or _are_safe(shown, {name}, groups))
        }
        members = of_city.groupby(groups)["province_id"].unique()
        for span in spans:
            by_group = span.added.groupby(groups).sum()
            for pair in _without(by_group, unsafe):
                for group, value in by_group[pair].items():
                    provinces = " ".join(sorted(members[group]))
                    yield {**span.row, "provinces": provinces, **_named(*pair), "value": value}
        products = [
            _products(span.given_years[_without(span.given_years, unsafe)]) for span in spans
        ]
        if disclosure.are_safe(_with_differences(products).to_numpy()):
            for span, by_city in zip(spans, products, strict=True):
                for terms, value in by_city.sum().items():
                    yield {**span.row, **_named(*terms), "value": value}

    return of_each(chosen, inputs, "est_curve_sums", rows_of)


def _named(*terms: str) -> Row:
    names = ("term", "with_term", "and_term", "and_with_term")
    return dict(zip(names, terms, strict=False))


def _without(table: pd.DataFrame, names: set[str]) -> list[Pair]:
    """Return the pairs of a table that have none of some columns."""
    return [pair for pair in table if names.isdisjoint(pair)]


def _spans(specification: Specification, choices: pd.DataFrame, panel: Panel) -> Iterator[_Span]:
    """Yield a span for each period of the curve, of the columns without a gap in any.

    Raises
    ------
    NotEstimable
        If no combination of the curve has the choices of the headline.
    """
    own = choices[
        (choices["scope"] == specification.scope)
        & (choices["control_variables"] == " ".join(specification.controls))
        & choices["second_provider"].isna()
        & (choices["period_effects"] == "year")
        & (choices["city_sample"] == "all")
        & (choices["dynamics"] == "levels")
    ]
    headline = own[
        (own["transform"] == specification.transform)
        & (own["weighting"] == specification.weighting)
        & (own["outcome_suffix"] == "")
    ]
    if headline.empty:
        raise NotEstimable("no_sums")
    rows = {choice["period"]: panel.sample(choice) for choice in headline.to_dict("records")}
    outcomes = specification.outcome + own["outcome_suffix"].drop_duplicates()
    columns = {name: panel.values(name) for name in (*outcomes, *specification.controls)}
    measures = own[["transform", "weighting"]].drop_duplicates().itertuples(index=False, name=None)
    for transform, weighting in measures:
        measure = Measure(specification.measure, weighting, specification.scope, transform)
        columns[f"{transform} {weighting}"] = panel.own(measure)
    whole = {
        name: values
        for name, values in columns.items()
        if all(np.isfinite(values[at]).all() for at in rows.values())
    }
    for period, at in rows.items():
        cities, entities = np.unique(panel.city_codes[at], return_inverse=True)
        years, times = np.unique(panel.years[at], return_inverse=True)
        dummies = {
            str(year): (times == code).astype(float) for code, year in enumerate(years) if code
        }
        values = np.column_stack([*(each[at] for each in whole.values()), *dummies.values()])
        values -= values.mean(axis=0)
        means = pd.DataFrame(values).groupby(entities).transform("mean").to_numpy()
        effects = Effects(entities, times)
        count = len(whole)
        yield _Span(
            {"period": period, "observation_count": len(at), "city_count": len(cities)},
            _added(panel, at, [*whole, *dummies], values - means),
            _added(panel, at, [*whole], effects.removed_from(values[:, :count])),
        )


def _added(panel: Panel, at: Codes, names: list[str], columns: Floats) -> pd.DataFrame:
    """Return what each city of the panel adds to the sum of each pair of columns.

    A regression has one measure, so no pair has two.
    """
    products = {
        (names[one], names[other]): columns[:, one] * columns[:, other]
        for one, other in combinations_with_replacement(range(len(names)), 2)
        if one == other or not (" " in names[one] and " " in names[other])
    }
    by_city = pd.DataFrame(products).groupby(panel.city_codes[at]).sum()
    return by_city.reindex(range(len(panel.cities)), fill_value=0.0)


def _products(by_city: pd.DataFrame) -> pd.DataFrame:
    """Return the products of each two sums of a city."""
    pairs, values = [*by_city], by_city.to_numpy()
    return pd.DataFrame(
        {
            (*pairs[one], *pairs[other]): values[:, one] * values[:, other]
            for one, other in combinations_with_replacement(range(len(pairs)), 2)
        }
    )


def _with_differences(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the columns of tables, and what two that follow each other differ by."""
    differences = [one - other for one, other in pairwise(tables)]
    return pd.concat([*tables, *(table.dropna(axis=1) for table in differences)], axis=1)


def _are_safe(shown: pd.DataFrame, names: set[str], groups: Codes) -> bool:
    """Whether the sums that have some of the columns may be shown by group.

    Squares, and what a city has in a year, are sizes of which one may follow; a product of two
    different columns is none.
    """
    is_size = [not names.isdisjoint(pair) and _is_size(pair) for pair in shown]
    contributions = shown.loc[:, is_size].to_numpy()
    return all(disclosure.are_safe(contributions[groups == group]) for group in np.unique(groups))


def _is_size(pair: Pair) -> bool:
    return pair[0] == pair[1] or _is_year(pair[1])


def _is_year(name: str) -> bool:
    return name.isdigit()


def _safe_groups(shown: pd.DataFrame, names: set[str], provinces: Codes, places: Places) -> Codes:
    """Join each province whose sums are unsafe with the nearest, the smallest first.

    Raises
    ------
    NotEstimable
        If all are joined before the sums are safe.
    """
    groups: Codes = pd.factorize(provinces, sort=True)[0]
    has_rows = shown.any(axis=1).to_numpy()
    while True:
        codes, sizes = np.unique(groups[has_rows], return_counts=True)
        unsafe = [
            (size, code)
            for code, size in zip(codes, sizes, strict=True)
            if not _are_safe(shown[groups == code], names, groups[groups == code])
        ]
        if not unsafe:
            return groups
        if len(codes) < 3:
            raise NotEstimable("no_sums")
        smallest = min(unsafe)[1]
        centres = np.array([places[has_rows & (groups == code)].mean(axis=0) for code in codes])
        distances = great_circle.angles(centres)[codes == smallest][0]
        distances[codes == smallest] = np.inf
        groups = np.where(groups == smallest, codes[distances.argmin()], groups)
