"""Why a cell of somebody else's panel differs from the warehouse, and how often chance says so.

A cause is proven if a second value equals the cell: another provider's, the delivered one, that of
another definition or year, or ours in another unit. It is likely if it is inferred from the years
around the cell, from its digits or from a mark. The same causes are looked for in panels whose
values belong to other cities, where none is true.
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing import withholding
from ai_manufacturing.auditing import panel_columns
from ai_manufacturing.auditing.panel_columns import CLOSE, Column, PanelError

KEY = ["series", "city_id", "year"]
SAME, MISSING, UNEXPLAINED = "same value", "ours is missing", "unexplained"
# In the order in which they are tried.
PROVEN = {
    "provider": "another provider's value here",
    "delivered": "delivered here, before boundary changes or corrections",
    "definition": "another definition here",
    "year": "our value of the year before or after",
    "unit": "unit (a power of ten)",
}
LIKELY = {
    "repeated": "theirs repeats the year before",
    "digit": "one digit, or two exchanged",
    "vintage": "another vintage (the ratio runs on)",
    "interpolated": "theirs is interpolated",
    "marked": "ours is marked as doubtful",
    "rounding": "within 1 % of a value here (final against preliminary)",
    "theirs": "theirs jumps, ours does not",
    "ours": "ours jumps, theirs does not",
}
ATTENTION = (UNEXPLAINED, LIKELY["ours"])
CERTAINTY = dict.fromkeys(PROVEN.values(), "proven") | dict.fromkeys(LIKELY.values(), "likely")
DEFINITION = 0.2  # median distance up to which two series in one unit measure one thing
VINTAGE = 0.5  # largest distance, in logs, between two vintages
STEADY = 0.4, 0.01  # share of that distance, or logs, by which it may change within two years
CLOSE_VINTAGE = 0.1  # distance up to which one steady year beside it is enough, beyond it two
JUMP = 3, 0.03  # times the other's distance from its neighbours, and more than this
FEWEST_DIGITS = 5  # of two numbers that differ in one or two
SHUFFLES, SEED = 5, 2020

OURS = """
    select v.city_id, v.year, v.value, d.series, d.quantity, d.unit, d.provider, d.series as source,
        d.label_en, d.label_zh
    from marts.fct_city_year_values as v
    inner join marts.dim_variable as n using (variable)
    inner join marts.dim_series as d on n.series = d.series and n.scope = d.scope
    where n.transform = 'level' and n.measure is null and v.value is not null
"""
# Neither the second table nor the aliases are in a copy to give away.
DELIVERED = """
    select d.{city} as city_id, d.year, d.delivered_value as value, d.series as quantity, s.unit,
        d.provider, d.series || ', delivered by ' || d.provider as source
    from {table} as d inner join (select distinct quantity, unit from marts.dim_series) as s
    on d.series = s.quantity where d.delivered_value is not null {condition}
"""
FROM_RECORDS = DELIVERED.format(
    city="city_id", table="marts.fct_delivered_values", condition="and d.industry_code is null"
)
FROM_SERIES = DELIVERED.format(
    city="delivered_city_id", table="intermediate.int_series_corrected", condition=""
)
NAMES = """
    select city_id, unnest([city_id, name_zh, short_name_zh, split_part(name_en, ' (', 1)]) as name
    from marts.dim_city union all select city_id, name_en from marts.dim_city
"""
ALIASES = f"{NAMES} union all select city_id, identifier from seeds.city_aliases where"
ALIASES += " identifier_kind in ('code', 'name')"
MARKED = "select distinct series, city_id, year from marts.fct_doubtful_values"
LOST = """
    select series, provider from marts.dim_series where provider is not null and series = quantity
"""


class Reference(NamedTuple):
    """What a panel is compared with.

    Attributes
    ----------
    ours : DataFrame
        A value per series, city and year; `tolerance` is half a unit of its last digit.
    seconds : DataFrame
        Other values of a series, city and year: value, tolerance, `kind` of PROVEN, source.
    marked : DataFrame
        Series, cities and years of fct_doubtful_values.
    labels : dict of str to tuple of str
        Names of each series.
    cities : dict of str to str
        city_id by plain name.
    withheld : dict of str to str
        Providers of the series that a public copy lacks, by series.
    """

    ours: pd.DataFrame
    seconds: pd.DataFrame
    marked: pd.DataFrame
    labels: dict[str, tuple[str, ...]]
    cities: dict[str, str]
    withheld: dict[str, str]


def reference(connection: duckdb.DuckDBPyConnection) -> Reference:
    """Read from an open release, copy or warehouse what a panel is compared with.

    Raises
    ------
    PanelError
        If the file lacks a table that the comparison needs.
    """

    def table(*queries: str) -> pd.DataFrame:
        errors = []
        for query in queries:
            try:
                return connection.execute(query).df()
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                errors.append(str(error).splitlines()[0])
        raise PanelError(
            f"The file lacks what a panel is compared with ({errors[-1]}). Build or refresh it, or"
            " name another with --database."
        )

    ours = _with_tolerance(table(OURS))
    delivered = _with_tolerance(table(FROM_SERIES, FROM_RECORDS))
    named = ours.drop_duplicates("series")
    lost = table(LOST) if withholding.listed(connection) else pd.DataFrame(columns=KEY)
    lost = lost[~lost["series"].isin(named["series"])]
    return Reference(
        ours[[*KEY, "value", "tolerance"]],
        pd.concat([*_seconds(ours, delivered)], ignore_index=True),
        table(MARKED),
        {row.series: (row.series, row.label_en, row.label_zh) for row in named.itertuples()},
        panel_columns.cities_by_name(table(ALIASES, NAMES).itertuples(index=False)),
        dict(zip(lost["series"], lost.get("provider", []), strict=True)),
    )


def _with_tolerance(values: pd.DataFrame) -> pd.DataFrame:
    decimals = pd.Series(6, index=values.index)
    for count in range(5, -1, -1):
        is_exact = (values["value"].round(count) - values["value"]).abs() < 1e-7
        decimals = decimals.mask(is_exact, count)
    tolerance = _half_a_unit(decimals, [values["source"], values["year"]])
    return values.assign(tolerance=tolerance)


def _half_a_unit(decimals: pd.Series, groups: list[pd.Series]) -> pd.Series:
    """Return half a unit of the last digit of each number, or of most in its group.

    A number that ends in zeros is as precise as those beside it.
    """
    usual = np.floor(decimals.groupby(groups).transform("median"))
    return 0.5 * 10.0 ** -np.maximum(decimals, usual)


def _seconds(ours: pd.DataFrame, delivered: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the other values of each series, with the kind of cause that they prove.

    Another quantity is another definition if it has the same unit, and most of its values are near.
    """
    others = pd.concat([ours, delivered], ignore_index=True)
    others["cell"] = others["city_id"] + others["year"].astype("str")
    for (name, quantity, unit, provider), values in others.groupby(
        ["series", "quantity", "unit", "provider"]
    ):
        other = others[(others["unit"] == unit) & (others["source"] != name)]
        value = other["cell"].map(values.set_index("cell")["value"])
        distance = (other["value"] / value - 1).abs().groupby(other["quantity"]).median()
        near = distance.index[distance < DEFINITION].union([quantity])
        is_own = other["series"].isna() & (other["provider"] == provider)
        kind = np.where(is_own, "delivered", "provider")
        kind = np.where(other["quantity"] == quantity, kind, "definition")
        other = other.assign(kind=kind, series=name)[other["quantity"].isin(near)]
        yield other[[*KEY, "value", "tolerance", "kind", "source"]]


def cells(rows: pd.DataFrame, at: pd.DataFrame, columns: list[Column]) -> pd.DataFrame:
    """Return a row per number of the columns that are compared, in the unit of the series.

    Parameters
    ----------
    rows, at : DataFrame
        The panel as text, and its cities and years.
    columns : list of Column
        What is compared.
    """
    found = []
    for column in columns:
        read = panel_columns.numbers(rows.loc[at.index, column.heading])
        unit = 10.0**column.power
        tolerance = _half_a_unit(read["decimals"], [at["year"]]) * unit
        cell = at.assign(row=at.index, column_name=column.heading, series=column.series)
        found.append(cell.assign(theirs=read["value"] * unit, tolerance=tolerance))
    return pd.concat(found, ignore_index=True).dropna(subset="theirs", ignore_index=True)


@np.errstate(divide="ignore", invalid="ignore")
def judged(panel: pd.DataFrame, known: Reference) -> pd.DataFrame:
    """Add to each cell our value, the cause, whether it is proven or likely, and the evidence.

    Parameters
    ----------
    panel : DataFrame
        As of cells.
    known : Reference
        What it is compared with.
    """
    table = panel.merge(
        known.ours.rename(columns={"value": "ours", "tolerance": "our_tolerance"}), "left", KEY
    )
    theirs, ours, precision = table["theirs"], table["ours"], table["our_tolerance"]
    ratio = table["ratio"] = np.log(theirs / ours).replace([np.inf, -np.inf], np.nan)
    second = _second_values(table, known.seconds)
    beside = {step: _beside(table, step) for step in (-2, -1, 1, 2)}
    before, after = beside[-1], beside[1]
    unit = 10.0 ** -(ratio / np.log(10)).round().fillna(0)
    in_unit = table.assign(theirs=theirs * unit, tolerance=table["tolerance"] * unit)
    is_rounded = (theirs - ours).abs() <= np.maximum(table["tolerance"], precision)
    marked = pd.MultiIndex.from_frame(known.marked[KEY])
    jump, our_jump = (
        np.log(table[name] / np.sqrt(before[name] * after[name])).abs()
        for name in ("theirs", "ours")
    )
    # the years beside it differ less
    is_alone = np.maximum(before["ratio"].abs(), after["ratio"].abs()) < ratio.abs() / 2
    times, more = JUMP
    holds = {
        SAME: _equal(table, ours, precision),
        PROVEN["provider"]: second["kind"] == "provider",
        PROVEN["delivered"]: second["kind"] == "delivered",
        PROVEN["definition"]: second["kind"] == "definition",
        MISSING: ours.isna(),
        PROVEN["year"]: _equal(table, before["ours"], before["our_tolerance"])
        | _equal(table, after["ours"], after["our_tolerance"]),
        PROVEN["unit"]: (unit != 1) & _equal(in_unit, ours, precision),
        LIKELY["repeated"]: theirs == before["theirs"],
        LIKELY["digit"]: _differ_in_digits(table),
        LIKELY["vintage"]: _runs_on(ratio, [other["ratio"] for other in beside.values()]),
        LIKELY["interpolated"]: _is_between(table, before["theirs"], after["theirs"]),
        LIKELY["marked"]: pd.MultiIndex.from_frame(table[KEY]).isin(marked),
        LIKELY["rounding"]: (ratio.abs() < CLOSE) | is_rounded | second["is_near"],
        LIKELY["theirs"]: is_alone & (jump > times * our_jump + more),
        LIKELY["ours"]: is_alone & (our_jump > times * jump + more),
    }
    table["cause"] = np.select([*holds.values()], [*holds], UNEXPLAINED)
    table["certainty"] = table["cause"].map(CERTAINTY).fillna("")
    table["evidence"] = second["source"].where(second["kind"].map(PROVEN) == table["cause"], "")
    return table


def _equal(cell: pd.DataFrame, other: pd.Series, precision: pd.Series) -> pd.Series:
    """Return where two values are one, printed with different digits."""
    distance = (cell["theirs"] - other).abs()
    allowed = np.maximum(cell["tolerance"], precision) * 1.001
    return (distance <= allowed) & (distance <= CLOSE * other.abs())


def _second_values(table: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return kind and source of another value that equals each cell, and whether one is near."""
    pairs = table.reset_index().merge(
        seconds.rename(columns={"tolerance": "precision"}), on=KEY, how="inner"
    )
    is_near = (pairs["theirs"] - pairs["value"]).abs() < CLOSE * pairs["value"].abs()
    equal = pairs[_equal(pairs, pairs["value"], pairs["precision"])]
    kinds = equal["kind"].map({kind: place for place, kind in enumerate(PROVEN)})
    first = equal.assign(order=kinds).sort_values(["order", "source"]).groupby("index").first()
    near = is_near.groupby(pairs["index"]).any().reindex(table.index, fill_value=False)
    return first[["kind", "source"]].reindex(table.index).assign(is_near=near)


def _beside(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """Return the cells of the same city and column some years later, by the index of the table."""
    at = ["column_name", "city_id", "year"]
    other = table[[*at, "theirs", "ours", "our_tolerance", "ratio"]]
    other = other.assign(year=table["year"] - step)
    return table[at].merge(other, "left", at).set_axis(table.index)


def _runs_on(ratio: pd.Series, others: list[pd.Series]) -> pd.Series:
    """Return where a difference is about the same in the years beside it."""
    share, least = STEADY
    steady = np.maximum(share * ratio.abs(), least)
    count = sum(((other - ratio).abs() <= steady) & (other * ratio > 0) for other in others)
    return (ratio.abs() < VINTAGE) & (count >= np.where(ratio.abs() < CLOSE_VINTAGE, 1, 2))


def _is_between(table: pd.DataFrame, before: pd.Series, after: pd.Series) -> pd.Series:
    """Return where a value is the mean of its neighbours, arithmetic or geometric."""
    theirs = table["theirs"]
    is_straight = (theirs - (before + after) / 2).abs() <= 2 * table["tolerance"]
    is_even = (theirs**2 / (before * after) - 1).abs() < 1e-5
    return (is_straight | is_even) & (before != after)


def _differ_in_digits(table: pd.DataFrame) -> pd.Series:
    """Return where two numbers differ in one digit, or by two neighbours that are exchanged."""
    places = -np.log10(2 * np.maximum(table["tolerance"], table["our_tolerance"]))
    is_far = table["ratio"].abs().between(CLOSE, np.log(10))
    found = pd.Series(False, index=table.index)
    for at in table.index[is_far]:
        digits = max(round(places[at]), 0)
        one, other = (f"{table[name][at]:.{digits}f}" for name in ("theirs", "ours"))
        wrong = [
            place for place, pair in enumerate(zip(one, other, strict=False)) if len({*pair}) > 1
        ]
        is_exchanged = sorted(one) == sorted(other) and wrong[-1] - wrong[0] == 1
        is_long = len(one) == len(other) and len(one.replace(".", "")) >= FEWEST_DIGITS
        found[at] = is_long and (len(wrong) == 1 or is_exchanged)
    return found


def shuffled(panel: pd.DataFrame, known: Reference, *, whole: bool = False) -> pd.DataFrame:
    """Judge panels whose cells have the values of other cities, of the same years and series.

    Parameters
    ----------
    panel : DataFrame
        As of cells.
    known : Reference
        What it is compared with.
    whole : bool
        Whether a city takes all years of one other city. Otherwise each year is drawn anew, and a
        value does not fit its neighbours.
    """
    draw = np.random.default_rng(SEED)
    found = []
    for _ in range(SHUFFLES):
        other = panel["city_id"].copy()
        for _, part in panel.groupby(panel["year"] if not whole else panel["year"] > 0):
            order = draw.permutation(part["city_id"].unique())
            other[part.index] = part["city_id"].map(
                dict(zip(order, np.roll(order, 1), strict=True))
            )
        found.append(judged(panel.assign(city_id=other), known))
    return pd.concat(found, ignore_index=True)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of each column, by outcome; only those of which we have a value.

    Parameters
    ----------
    table : DataFrame
        As of judged.
    """
    shared = table[table["ours"].notna()]
    parts = {
        "cells": shared["cause"] != "",
        "same": shared["cause"] == SAME,
        "proven": shared["certainty"] == "proven",
        "likely": shared["certainty"] == "likely",
        "jumps": shared["cause"] == LIKELY["theirs"],
        "unexplained": shared["cause"] == UNEXPLAINED,
        "ours jumps": shared["cause"] == LIKELY["ours"],
    }
    return pd.DataFrame(parts).groupby(shared["column_name"], sort=False).sum()
