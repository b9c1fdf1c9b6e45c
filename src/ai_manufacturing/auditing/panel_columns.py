"""Recognise the city, year and data columns of an external city panel.

Cities and years are recognised by their values, series by their values and names. The user can
override each guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ai_manufacturing.auditing.city_names import normalise_name
from ai_manufacturing.auditing.wording import join_first
from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers, formats

# Usual headings, which identify the header row and, among integer columns, the year.
YEAR_HEADINGS = ("year", "年份", "年", "年度", "统计年度")
CITY_HEADINGS = ("city", "city_name", "city_code", "城市", "城市名称", "地级市", "城市代码")
YEAR = r"^\s*((?:19|20)\d\d)(?:\.0+|年)?\s*$"
CODE = re.compile(r"(\d{4}|\d{6})(\.0+)?")
UNIT = re.compile(r"[（(].*?[)）]")
SUFFIX = re.compile(r"(?<=..)(city|shi|市)$")
MIN_PARSED_SHARE = 0.5  # minimum share of nonempty cells that must parse as cities or years
MAX_EXACT_CHARS = 10  # longer strings may show the rounding error of a float32
MIN_SHARED_CELLS = 10  # minimum number of cells that a column and a matching series share
CLOSE = 0.01  # maximum relative difference between two values that agree
MIN_LOG_CORRELATION = 0.9  # minimum correlation of logs between a column and a series
MIN_SHARE_BY_VALUE, MIN_SHARE_BY_NAME = 0.3, 0.1  # minimum shares of cells that agree
MAX_NAMES = 12  # maximum number of names listed in a message
Parser = Callable[[pd.Series], pd.Series]


class PanelError(Exception):
    """Raised if an external panel cannot be compared; the message suggests a remedy."""


class Column(NamedTuple):
    """A column of an external panel, matched to a series of the warehouse.

    Attributes
    ----------
    heading, series : str
        Name in the panel and in the warehouse.
    power : int
        Power of ten that converts its values to the unit of the series.
    basis : str
        How it was matched.
    shared_count : int
        Number of its cells with a value in the warehouse.
    agreeing_share : float
        Share of those cells that agree with the warehouse.
    """

    heading: str
    series: str
    power: int
    basis: str
    shared_count: int
    agreeing_share: float


def read_panel(path: Path) -> pd.DataFrame:
    """Read a panel file as strings; from a workbook, read the largest visible sheet.

    Raises
    ------
    PanelError
        If the file is unreadable, or is not CSV, XLSX, Stata or Parquet.
    """
    if path.suffix.lower().removeprefix(".") not in formats.ENDINGS:
        endings = ", .".join(formats.ENDINGS)
        raise PanelError(
            f"{path}: the file name does not end in .{endings}. Save the panel in one of these"
            " file formats."
        )
    roles = dict.fromkeys(YEAR_HEADINGS, "year") | dict.fromkeys(CITY_HEADINGS, "city")
    try:
        containers.check_size(path.stat().st_size)
        _, sheets = formats.read_sheets(path.read_bytes(), roles)
        sheet = max(sheets, key=lambda sheet: (not sheet.is_hidden, sheet.rows.num_rows))
    except (OSError, FileFault, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise PanelError(
            f"{path} cannot be read ({reason}). Correct the file, or name another one."
        ) from error
    rows = sheet.rows.to_pandas().fillna("").set_axis(sheet.headings, axis=1)
    rows = rows.set_axis(sheet.row_numbers)[sheet.row_numbers > (sheet.header_row or 0)]
    return rows.loc[:, (rows.columns != "") & ~rows.columns.duplicated()]


def map_city_names(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a dict from normalised city names and codes to city_id, without ambiguous names.

    Parameters
    ----------
    names : iterable of (str, str)
        Pairs of a city_id and a name or code.
    """
    pairs = {(normalise_name(name), city_id) for city_id, name in names}
    counts = pd.Series([name for name, _ in pairs]).value_counts()
    return {name: city_id for name, city_id in pairs if counts[name] == 1}


def find_city(text: str, cities: Mapping[str, str]) -> str | None:
    """Return the city_id for a city name or a four- or six-digit code, or None if unknown."""
    if code := CODE.fullmatch(text.strip()):
        six = code[1].ljust(6, "0")
        # Some files use the code of the urban districts, 110100, for the municipality 110000.
        return cities.get(six) or cities.get(re.sub("0100$", "0000", six))
    name = normalise_name(text)
    return cities.get(name) or cities.get(SUFFIX.sub("", name))


def find_row_keys(
    path: Path, rows: pd.DataFrame, cities: Mapping[str, str], city: str | None, year: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Find the city and year of each row, and describe the columns that contain them.

    Parameters
    ----------
    path : Path
        The file, for messages.
    rows : DataFrame
        Result of `read_panel`.
    cities : mapping of str to str
        Result of `map_city_names`.
    city, year : str or None
        Headings, if the user named them.

    Raises
    ------
    PanelError
        If no column contains cities or years.
    """

    def recognise_column(
        kind: str, user_heading: str | None, parse: Parser
    ) -> tuple[str, pd.Series]:
        candidates = {
            heading: parse(rows[heading]) for heading in ([user_heading] if user_heading else rows)
        }
        cell_counts = {name: int(rows[name].str.strip().ne("").sum()) for name in candidates}
        fitting = [
            name
            for name in candidates
            if candidates[name].count() > MIN_PARSED_SHARE * cell_counts[name]
        ]
        if not fitting:
            values = {"city": "cities", "year": "years"}[kind]
            problem = (
                f"column {user_heading!r} contains too few {values}"
                if user_heading
                else f"no column contains enough {values}"
            )
            raise PanelError(
                f"{path}: {problem}. Use --{kind} to name the column that contains the {values}."
                " The file needs one row per city and year, and must identify each city by its code"
                " (440300 or 4403) or by its Chinese or English name."
            )
        # Prefer the column with most cities: a province column matches only four municipalities.
        best = max(
            fitting,
            key=lambda name: (normalise_name(name) in YEAR_HEADINGS, candidates[name].nunique()),
        )
        return best, candidates[best]

    ids = {text: find_city(text, cities) for text in pd.unique(rows.to_numpy().ravel())}
    city_heading, city_ids = recognise_column("city", city, lambda texts: texts.map(ids))
    year_heading, years = recognise_column(
        "year", year, lambda texts: pd.to_numeric(texts.str.extract(YEAR)[0])
    )
    pairs = pd.DataFrame({"city_id": city_ids, "year": years}).dropna().astype({"year": "int64"})
    unique_pairs = pairs.drop_duplicates()
    unknown_names = rows.loc[city_ids.isna() & years.notna(), city_heading].unique()
    lines = [
        f"{len(rows):,} rows. Column {city_heading!r} contains"
        f" {unique_pairs['city_id'].nunique():,} cities, and column {year_heading!r} the years"
        f" {unique_pairs['year'].min()} to {unique_pairs['year'].max()}."
    ]
    if len(unknown_names):
        lines.append(
            "Rows with these names were left out, because the name does not identify a single"
            f" city: {join_first(unknown_names, MAX_NAMES)}."
        )
    if len(unique_pairs) < len(pairs):
        lines.append(
            f"{len(pairs) - len(unique_pairs):,} rows were left out, because they repeat a city"
            " and a year."
        )
    return unique_pairs, lines


def parse_numbers(texts: pd.Series) -> pd.DataFrame:
    """Parse a column of strings as numbers, and count the decimals of each number."""
    text = texts.str.replace(r"[,，\s]", "", regex=True)
    values = pd.to_numeric(text, errors="coerce").replace([np.inf, -np.inf], np.nan)
    # A value of 0.1 stored as float32 is printed with more digits: 0.10000000149 and so on.
    short = values.astype("float32")
    is_short = (short.astype("float64") == values) & (text.str.len() > MAX_EXACT_CHARS)
    text = text.where(~is_short, short.astype("str"))
    values = values.where(~is_short, pd.to_numeric(text, errors="coerce"))
    decimals = text.str.extract(r"\.(\d+)$")[0].str.len().fillna(0)
    return pd.DataFrame({"value": values, "decimals": decimals})


def match_columns(
    rows: pd.DataFrame,
    row_keys: pd.DataFrame,
    warehouse_values: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    series_by_heading: Mapping[str, str],
) -> list[Column]:
    """Match the columns of an external panel to series of the warehouse.

    Parameters
    ----------
    rows, row_keys : DataFrame
        The panel as text, and the city and year of each row.
    warehouse_values : DataFrame
        city_id, year, series and our value as `ours`.
    labels : mapping of str to sequence of str
        Names of each series.
    series_by_heading : mapping of str to str
        Series by heading, as the user named them; other columns are then ignored.
    """
    matches = []
    for heading in series_by_heading or rows:
        # Series of other providers (`series@provider`) are compared only if the user names them.
        series = (
            warehouse_values["series"].eq(series_by_heading[heading])
            if series_by_heading
            else ~warehouse_values["series"].str.contains("@")
        )
        panel_values = row_keys.join(parse_numbers(rows.loc[row_keys.index, heading]))
        shared_cells = panel_values.merge(warehouse_values[series], on=["city_id", "year"])
        shared_cells = shared_cells[(shared_cells["value"] > 0) & (shared_cells["ours"] > 0)]
        fitting = [
            column
            for name, cells in shared_cells.groupby("series")
            if (
                column := _match_series(
                    heading, str(name), cells, labels[str(name)], bool(series_by_heading)
                )
            )
        ]
        matches += sorted(fitting, key=lambda column: -column.agreeing_share)[:1]
    return matches


def _match_series(
    heading: str, series: str, cells: pd.DataFrame, names: Sequence[str], is_user_choice: bool
) -> Column | None:
    """Return the match between a column and a series, or None if the values disagree."""
    panel_logs, warehouse_logs = np.log10(cells["value"]), np.log10(cells["ours"])
    power = round((warehouse_logs - panel_logs).median())
    agreeing_share = float(
        ((panel_logs + power - warehouse_logs).abs() < np.log10(1 + CLOSE)).mean()
    )
    has_name_match = any(
        normalise_name(name) in normalise_name(UNIT.sub("", heading)) for name in names
    )
    fits = len(cells) >= MIN_SHARED_CELLS and agreeing_share >= (
        MIN_SHARE_BY_NAME if has_name_match else MIN_SHARE_BY_VALUE
    )
    if not is_user_choice and not (fits and panel_logs.corr(warehouse_logs) >= MIN_LOG_CORRELATION):
        return None
    if is_user_choice:
        basis = "as named with --column"
    else:
        basis = "recognised by name and value" if has_name_match else "recognised by value"
    return Column(heading, series, power, basis, len(cells), agreeing_share)
