"""Explain why cells of an external city panel differ from the warehouse.

A cause is proven if a second value equals the cell: another provider's value, the delivered value,
a value of another definition or year, or our value in another unit. A cause is likely if the
surrounding years, the digits or a mark suggest it. The same causes are tested on panels with values
shuffled between cities, where every match is due to chance.
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from ai_manufacturing.auditing import panel_columns
from ai_manufacturing.auditing.panel_columns import CLOSE, Column, PanelError
from ai_manufacturing.disclosure import withholding
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

KEY = ["series", "city_id", "year"]
SAME, MISSING, UNEXPLAINED = "same value", "our value is missing", "unexplained"
# Explanations of a difference that an exactly equal value proves, in order of precedence.
PROVEN = {
    "provider": "another provider's value in the warehouse",
    "delivered": "our delivered value, before boundary changes or corrections",
    "definition": "our value by another definition",
    "year": "our value for the previous or the next year",
    "unit": "another unit (a power of ten)",
}
LIKELY = {
    "repeated": "their value repeats the previous year",
    "digit": "one digit differs, or two digits are swapped",
    "vintage": "another vintage (the ratio is similar in adjacent years)",
    "interpolated": "their value is interpolated",
    "marked": "our value is marked as doubtful",
    "rounding": "rounding, or a difference below 1 % (final or preliminary)",
    "theirs": "their value jumps, ours does not",
    "ours": "our value jumps, theirs does not",
}
CERTAINTY = {SAME: "same", MISSING: "missing", UNEXPLAINED: "none"}
CERTAINTY |= dict.fromkeys(PROVEN.values(), "proven") | dict.fromkeys(LIKELY.values(), "likely")
# Maximum median relative difference between two definitions of the same quantity.
MAX_DEFINITION_DISTANCE = 0.2
# Maximum absolute log ratio between two vintages of a series.
MAX_VINTAGE_DISTANCE = 0.5
# Tolerance for a steady log ratio: share of the ratio, and minimum absolute change.
STEADY = 0.4, 0.01
# Absolute log ratio above which two steady neighbouring years are required instead of one.
CLOSE_VINTAGE = 0.1
# A jump must exceed the jump in the other data by this factor, plus this number in logs.
JUMP = 3, 0.03
# Shorter numbers are not compared digit by digit.
MIN_DIGITS = 5
# Number of shuffled panels over which the results are averaged.
SHUFFLES = 5
SEED = 2020

DELIVERED_QUERY = """
    select d.delivered_city_id as city_id, d.year, d.delivered_value as value,
        d.series as quantity, s.unit, d.provider,
        d.series || ', delivered by ' || d.provider as source
    from intermediate.int_series_corrected as d
    inner join (select distinct quantity, unit from marts.dim_series) as s on d.series = s.quantity
    where d.delivered_value is not null
"""
NAMES_QUERY = """
    select city_id,
        unnest([city_id, name_zh, short_name_zh, name_en, split_part(name_en, ' (', 1)]) as name
    from marts.dim_city
"""
ALIASES_QUERY = """
    union all select city_id, identifier from seeds.city_aliases
    where identifier_kind in ('code', 'name')
"""
# A public copy lacks int_series_corrected, so read the delivered values from a mart instead.
COPY_DELIVERED_QUERY = DELIVERED_QUERY.replace(
    "intermediate.int_series_corrected", "marts.fct_delivered_values"
).replace("delivered_city_id", "city_id")
DOUBTFUL_QUERY = "select distinct series, city_id, year from marts.fct_doubtful_values"
SERIES_QUERY = (
    "select series from marts.dim_series where provider is not null and series = quantity"
)


class Reference(NamedTuple):
    """Warehouse values that an external panel is compared with.

    Attributes
    ----------
    warehouse_values : DataFrame
        One value per series, city and year; `precision` is half a unit of its last digit.
    alternatives : DataFrame
        Alternative values for a series, city and year: value, precision, `kind` (a key of PROVEN)
        and source.
    doubtful_cells : DataFrame
        Series, cities and years in fct_doubtful_values.
    labels : dict of str to tuple of str
        Names of each series.
    cities : dict of str to str
        city_id by normalised name.
    withheld_series : list of str
        Series without any value in a public copy.
    """

    warehouse_values: pd.DataFrame
    alternatives: pd.DataFrame
    doubtful_cells: pd.DataFrame
    labels: dict[str, tuple[str, ...]]
    cities: dict[str, str]
    withheld_series: list[str]


def read_reference(connection: duckdb.DuckDBPyConnection) -> Reference:
    """Read the values to compare with from an open release, public copy or warehouse.

    Raises
    ------
    PanelError
        If the file lacks a table that the comparison needs, or contains no values.
    """

    def read_table(query: str, copy_query: str = "") -> pd.DataFrame:
        try:
            return connection.execute(query).df()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            if copy_query:
                return read_table(copy_query)
            raise PanelError(
                f"The file lacks tables or columns that the comparison needs ({error}). Build the"
                " warehouse again, or name another file with --database."
            ) from error

    warehouse_values = _add_precision(read_table(SQL["ours"]))
    if warehouse_values.empty:
        raise PanelError(
            "The file contains no panel values to compare with. A public copy may withhold all"
            " values of the panel; in that case, use --database to name a release or a warehouse"
            " that contains the values."
        )
    delivered_values = _add_precision(read_table(DELIVERED_QUERY, COPY_DELIVERED_QUERY))
    first_rows = warehouse_values.drop_duplicates("series")
    is_copy = bool(withholding.read_withheld_rows(connection))
    withheld_series = (
        {*read_table(SERIES_QUERY)["series"]} - {*first_rows["series"]} if is_copy else ()
    )
    names = read_table(NAMES_QUERY + ALIASES_QUERY, NAMES_QUERY)
    return Reference(
        warehouse_values.rename(columns={"value": "ours"})[[*KEY, "ours", "precision"]],
        pd.concat([*_find_alternatives(warehouse_values, delivered_values)], ignore_index=True),
        read_table(DOUBTFUL_QUERY),
        {row.series: (row.series, row.label_en, row.label_zh) for row in first_rows.itertuples()},
        panel_columns.map_city_names(names.itertuples(index=False)),
        sorted(withheld_series),
    )


def _add_precision(values: pd.DataFrame) -> pd.DataFrame:
    text = values["value"].round(6).astype("str")
    decimals = text.str.extract(r"\.(\d*[1-9])$")[0].str.len().fillna(0)
    return values.assign(precision=_compute_half_unit(decimals, [values["source"], values["year"]]))


def _compute_half_unit(decimals: pd.Series, groups: list[pd.Series]) -> pd.Series:
    """Return the rounding error of each number: half a unit of the last printed digit.

    Trailing zeros are not printed, so a number has at least the median decimals of its group.
    """
    usual = np.floor(decimals.groupby(groups).transform("median"))
    return 0.5 * 10.0 ** -np.maximum(decimals, usual)


def _find_alternatives(
    warehouse_values: pd.DataFrame, delivered_values: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """Yield alternative values for each series, labelled by the cause that a match would prove.

    Another quantity counts as another definition if it has the same unit, and its median distance
    is below MAX_DEFINITION_DISTANCE.
    """
    others = pd.concat([warehouse_values, delivered_values], ignore_index=True)
    others["cell"] = others["city_id"] + others["year"].astype("str")
    group_columns = ["series", "quantity", "unit", "provider"]
    for (name, quantity, unit, provider), values in others.groupby(group_columns):
        other = others[(others["unit"] == unit) & (others["source"] != name)]
        value = other["cell"].map(values.set_index("cell")["value"]).astype("float64")
        distance = (other["value"] / value - 1).abs().groupby(other["quantity"]).median()
        close_quantities = distance.index[distance < MAX_DEFINITION_DISTANCE].union([quantity])
        is_own = other["series"].isna() & (other["provider"] == provider)
        kind = np.where(is_own, "delivered", "provider")
        kind = np.where(other["quantity"] == quantity, kind, "definition")
        other = other.assign(kind=kind, series=name)[other["quantity"].isin(close_quantities)]
        yield other[[*KEY, "value", "precision", "kind", "source"]]


def build_cells(rows: pd.DataFrame, row_keys: pd.DataFrame, columns: list[Column]) -> pd.DataFrame:
    """Reshape the compared columns to one row per number, in the unit of the series.

    Parameters
    ----------
    rows, row_keys : DataFrame
        The panel as text, and the city and year of each row.
    columns : list of Column
        The columns to compare.
    """
    tables = []
    for column in columns:
        values = panel_columns.parse_numbers(rows.loc[row_keys.index, column.heading])
        unit = 10.0**column.power
        tolerance = _compute_half_unit(values["decimals"], [row_keys["year"]]) * unit
        cell = row_keys.assign(row=row_keys.index, column_name=column.heading, series=column.series)
        tables.append(cell.assign(theirs=values["value"] * unit, tolerance=tolerance))
    return pd.concat(tables, ignore_index=True).dropna(subset="theirs", ignore_index=True)


@np.errstate(divide="ignore", invalid="ignore")
def add_causes(panel: pd.DataFrame, reference_values: Reference) -> pd.DataFrame:
    """Add the warehouse value and the likely cause of any difference to each cell.

    Parameters
    ----------
    panel : DataFrame
        Result of `build_cells`.
    reference_values : Reference
        Values to compare with.
    """
    table = panel.merge(reference_values.warehouse_values, "left", KEY)
    theirs, ours, precision = table["theirs"], table["ours"], table["precision"]
    ratio = table["ratio"] = np.log(theirs / ours).replace([np.inf, -np.inf], np.nan)
    alternative = _match_alternatives(table, reference_values.alternatives)
    neighbours = {step: _shift_years(table, step) for step in (-2, -1, 1, 2)}
    before, after = neighbours[-1], neighbours[1]
    mean = (before["theirs"] + after["theirs"]) / 2
    unit = 10.0 ** -(ratio / np.log(10)).round().fillna(0)
    in_unit = table.assign(theirs=theirs * unit, tolerance=table["tolerance"] * unit)
    is_rounding = (theirs - ours).abs() <= np.maximum(table["tolerance"], precision)
    doubtful_cells = pd.MultiIndex.from_frame(reference_values.doubtful_cells[KEY])
    jump, our_jump = (
        np.log(table[name] / np.sqrt(before[name] * after[name])).abs()
        for name in ("theirs", "ours")
    )
    # The log ratio is more than twice as large as in either adjacent year.
    is_alone = np.maximum(before["ratio"].abs(), after["ratio"].abs()) < ratio.abs() / 2
    times, more = JUMP
    conditions = {
        SAME: _is_equal(table, ours, precision),
        PROVEN["provider"]: alternative["kind"] == "provider",
        PROVEN["delivered"]: alternative["kind"] == "delivered",
        PROVEN["definition"]: alternative["kind"] == "definition",
        MISSING: ours.isna(),
        PROVEN["year"]: _is_equal(table, before["ours"], before["precision"])
        | _is_equal(table, after["ours"], after["precision"]),
        PROVEN["unit"]: (unit != 1) & _is_equal(in_unit, ours, precision),
        LIKELY["repeated"]: theirs == before["theirs"],
        LIKELY["digit"]: _differs_in_digits(table),
        LIKELY["vintage"]: _persists(ratio, [other["ratio"] for other in neighbours.values()]),
        LIKELY["interpolated"]: ((theirs - mean).abs() <= 2 * table["tolerance"])
        | ((theirs**2 / (before["theirs"] * after["theirs"]) - 1).abs() < 1e-5),
        LIKELY["marked"]: pd.MultiIndex.from_frame(table[KEY]).isin(doubtful_cells),
        LIKELY["rounding"]: (ratio.abs() < CLOSE) | is_rounding | alternative["is_near"],
        LIKELY["theirs"]: is_alone & (jump > times * our_jump + more),
        LIKELY["ours"]: is_alone & (our_jump > times * jump + more),
    }
    table["cause"] = np.select([*conditions.values()], [*conditions], UNEXPLAINED)
    table["certainty"] = table["cause"].map(CERTAINTY)
    table["evidence"] = alternative["source"].where(
        alternative["kind"].map(PROVEN) == table["cause"], ""
    )
    return table


def _is_equal(cell: pd.DataFrame, other: pd.Series, precision: pd.Series) -> pd.Series:
    """Return whether each cell equals another value, within the rounding error of both."""
    distance = (cell["theirs"] - other).abs()
    tolerance = np.maximum(cell["tolerance"], precision) * 1.001
    return (distance <= tolerance) & (distance <= CLOSE * other.abs())


def _match_alternatives(table: pd.DataFrame, alternatives: pd.DataFrame) -> pd.DataFrame:
    """Find an equal alternative value for each cell, and flag cells with a nearly equal one."""
    pairs = table.drop(columns="precision").reset_index().merge(alternatives, on=KEY)
    is_near = (pairs["theirs"] - pairs["value"]).abs() < CLOSE * pairs["value"].abs()
    equal = pairs[_is_equal(pairs, pairs["value"], pairs["precision"])]
    kinds = equal["kind"].map({kind: place for place, kind in enumerate(PROVEN)})
    first = equal.assign(order=kinds).sort_values(["order", "source"]).groupby("index").first()
    near = is_near.groupby(pairs["index"]).any().reindex(table.index, fill_value=False)
    return first[["kind", "source"]].reindex(table.index).assign(is_near=near)


def _shift_years(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """Return the cells `step` years later in the same column and city, aligned with `table`."""
    at = ["column_name", "city_id", "year"]
    other = table[[*at, "theirs", "ours", "precision", "ratio"]]
    other = other.assign(year=table["year"] - step)
    return table[at].merge(other, "left", at).set_axis(table.index)


def _persists(ratio: pd.Series, others: list[pd.Series]) -> pd.Series:
    """Return whether the log ratio of each cell is nearly constant over neighbouring years."""
    share, minimum = STEADY
    steady = np.maximum(share * ratio.abs(), minimum)
    count = sum(((other - ratio).abs() <= steady) & (other * ratio > 0) for other in others)
    required_count = np.where(ratio.abs() < CLOSE_VINTAGE, 1, 2)
    return (ratio.abs() < MAX_VINTAGE_DISTANCE) & (count >= required_count)


def _differs_in_digits(table: pd.DataFrame) -> pd.Series:
    """Return whether the two numbers differ in one digit or by a swap of adjacent digits."""
    last = 2 * np.maximum(table["tolerance"], table["precision"])
    one, other = ((table[name] / last).round() for name in ("theirs", "ours"))
    is_match = pd.Series(False, index=table.index)
    for place in 10.0 ** np.arange(12):
        two, other_two = one // place % 100, other // place % 100
        in_one = two // 10 == other_two // 10
        is_swap = two % 10 * 10 + two // 10 == other_two
        is_match |= (one - two * place == other - other_two * place) & (in_one | is_swap)
    is_long = np.minimum(one, other) >= 10 ** (MIN_DIGITS - 1)
    is_as_long = np.floor(np.log10(one)) == np.floor(np.log10(other))
    return is_match & is_long & is_as_long & (table["ratio"].abs() >= CLOSE)


def add_causes_to_shuffles(
    panel: pd.DataFrame, reference_values: Reference, *, whole: bool = False
) -> pd.DataFrame:
    """Find causes in panels shuffled between cities, to measure how often causes fit by chance.

    Parameters
    ----------
    panel : DataFrame
        Result of `build_cells`.
    reference_values : Reference
        Values to compare with.
    whole : bool
        Whether a city receives all years of one other city. Otherwise each year is drawn
        separately, so a value does not fit the surrounding years.
    """
    draw = np.random.default_rng(SEED)
    tables = []
    for _ in range(SHUFFLES):
        other = panel["city_id"].copy()
        for _, part in panel.groupby(panel["year"] if not whole else panel["year"] > 0):
            order = draw.permutation(part["city_id"].unique())
            donors = dict(zip(order, np.roll(order, 1), strict=True))
            other[part.index] = part["city_id"].map(donors)
        table = add_causes(panel.assign(city_id=other), reference_values)
        # Shuffling causes jumps, so detecting a jump is correct and not a match by chance.
        table.loc[table["cause"] == LIKELY["theirs"], "certainty"] = "none"
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
