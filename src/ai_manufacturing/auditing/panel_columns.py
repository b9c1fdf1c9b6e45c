"""Recognise the city, year and series columns of a panel from elsewhere.

Cities and years are recognised by their values, series by their values and names. The user can
override each guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ai_manufacturing.auditing.wording import join_first
from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers, formats

# Headings that locate the header row below a title, and the year among other integer columns.
YEAR_HEADINGS = ("year", "年份", "年", "年度", "统计年度")
CITY_HEADINGS = ("city", "city_name", "city_code", "城市", "城市名称", "地级市", "城市代码")
YEAR = r"^\s*((?:19|20)\d\d)(?:\.0+|年)?\s*$"
CODE = re.compile(r"(\d{4}|\d{6})(\.0+)?")
UNIT = re.compile(r"[（(].*?[)）]")
SUFFIX = re.compile(r"(?<=..)(city|shi|市)$")
RECOGNISED = 0.5  # share of a column's filled cells that must parse as cities or years
FEWEST_CELLS = 10  # minimum cells shared with a series to match a column to it
CLOSE = 0.01  # relative difference up to which two values agree
LOG_CORRELATION = 0.9  # minimum correlation between the logs of a column and a series
BY_VALUE, BY_NAME = 0.3, 0.1  # minimum share of agreeing cells, without and with a matching name
SHOWN = 12  # maximum names in a message
Parser = Callable[[pd.Series], pd.Series]


class PanelError(Exception):
    """A panel that cannot be judged; the message names the file, the column and a way out."""


class Column(NamedTuple):
    """A column of the panel, matched to a series.

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


def read(path: Path) -> pd.DataFrame:
    """Return the rows of a file as text, from the largest visible sheet of a workbook.

    Raises
    ------
    PanelError
        If the file is unreadable, or is not CSV, XLSX, Stata or Parquet.
    """
    if path.suffix.lower().removeprefix(".") not in formats.ENDINGS:
        endings = ", .".join(formats.ENDINGS)
        raise PanelError(f"{path}: not a file that ends in .{endings}. Save it as one of these.")
    wanted = dict.fromkeys(YEAR_HEADINGS, "year") | dict.fromkeys(CITY_HEADINGS, "city")
    try:
        containers.check_size(path.stat().st_size)
        _, sheets = formats.read_sheets(path.read_bytes(), wanted)
        sheet = max(sheets, key=lambda sheet: (not sheet.is_hidden, sheet.rows.num_rows))
    except (OSError, FileFault, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise PanelError(f"{path}: cannot be read ({why}). Name another file.") from error
    rows = sheet.rows.to_pandas().fillna("").set_axis(sheet.headings, axis=1)
    rows = rows.set_axis(sheet.row_numbers)[sheet.row_numbers > (sheet.header_row or 0)]
    return rows.loc[:, (rows.columns != "") & ~rows.columns.duplicated()]


def plain(name: str) -> str:
    """Return the case-folded letters and digits of a name."""
    return "".join(filter(str.isalnum, name.casefold()))


def cities_by_name(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each plain name or code that belongs to a single city to its city_id.

    Parameters
    ----------
    names : iterable of (str, str)
        Pairs of a city_id and a name or code.
    """
    pairs = {(plain(name), city_id) for city_id, name in names}
    counts = pd.Series([name for name, _ in pairs]).value_counts()
    return {name: city_id for name, city_id in pairs if counts[name] == 1}


def city_of(text: str, cities: Mapping[str, str]) -> str | None:
    """Return the city_id of a four- or six-digit code, or of a name in either language."""
    if code := CODE.fullmatch(text.strip()):
        six = code[1].ljust(6, "0")
        # some files code a municipality by its urban districts: 110100 for 110000
        return cities.get(six) or cities.get(re.sub("0100$", "0000", six))
    name = plain(text)
    return cities.get(name) or cities.get(SUFFIX.sub("", name))


def keys(
    path: Path, rows: pd.DataFrame, cities: Mapping[str, str], city: str | None, year: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return city_id and year of the rows that have both, and a description of the guesses.

    Parameters
    ----------
    path : Path
        The file, for messages.
    rows : DataFrame
        Result of `read`.
    cities : mapping of str to str
        Result of `cities_by_name`.
    city, year : str or None
        Headings, if the user named them.

    Raises
    ------
    PanelError
        If no column contains cities or years.
    """

    def recognised(kind: str, told: str | None, parsed: Parser) -> tuple[str, pd.Series]:
        tried = {heading: parsed(rows[heading]) for heading in ([told] if told else rows)}
        filled = {name: int(rows[name].str.strip().ne("").sum()) for name in tried}
        fitting = [name for name in tried if tried[name].count() > RECOGNISED * filled[name]]
        if not fitting:
            raise PanelError(
                f"{path}: most cells of {f'column {told!r}' if told else 'each column'} are not a"
                f" {kind}. Name a column with --{kind}, of a file with a row per city and year. A"
                " city is a code (440300, 4403) or a Chinese or English name."
            )
        # a column of provinces also matches, but only for the four municipalities
        best = max(fitting, key=lambda name: (plain(name) in YEAR_HEADINGS, tried[name].nunique()))
        return best, tried[best]

    ids = {text: city_of(text, cities) for text in pd.unique(rows.to_numpy().ravel())}
    cities_at, city_ids = recognised("city", city, lambda texts: texts.map(ids))
    years_at, years = recognised(
        "year", year, lambda texts: pd.to_numeric(texts.str.extract(YEAR)[0])
    )
    found = pd.DataFrame({"city_id": city_ids, "year": years}).dropna().astype({"year": "int64"})
    once = found.drop_duplicates()
    unknown = rows.loc[city_ids.isna() & years.notna(), cities_at].unique()
    lines = [
        f"{len(rows):,} rows. City: column {cities_at!r}, {once['city_id'].nunique():,} cities."
        f" Year: column {years_at!r}, {once['year'].min()} to {once['year'].max()}."
    ]
    if len(unknown):
        lines.append(f"Left out, as they name no single city: {join_first(unknown, SHOWN)}.")
    if len(once) < len(found):
        lines.append(f"Left out: {len(found) - len(once):,} rows that repeat a city and a year.")
    return once, lines


def numbers(texts: pd.Series) -> pd.DataFrame:
    """Parse a text column as numbers, and count the printed decimals of each."""
    text = texts.str.replace(r"[,，\s]", "", regex=True)
    values = pd.to_numeric(text, errors="coerce").replace([np.inf, -np.inf], np.nan)
    # a value stored as float32 prints 0.1 as 0.10000000149011612
    short = values.astype("float32")
    is_short = (short.astype("float64") == values) & (text.str.len() > FEWEST_CELLS)
    text = text.where(~is_short, short.astype("str"))
    values = values.where(~is_short, pd.to_numeric(text, errors="coerce"))
    decimals = text.str.extract(r"\.(\d+)$")[0].str.len().fillna(0)
    return pd.DataFrame({"value": values, "decimals": decimals})


def columns(
    rows: pd.DataFrame,
    at: pd.DataFrame,
    ours: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    told: Mapping[str, str],
) -> list[Column]:
    """Match the columns of a panel to series.

    Parameters
    ----------
    rows, at : DataFrame
        The panel as text, and the city and year of each row.
    ours : DataFrame
        city_id, year, series and our value as `ours`.
    labels : mapping of str to sequence of str
        Names of each series.
    told : mapping of str to str
        Series by heading, as the user named them; other columns are then ignored.
    """
    found = []
    for heading in told or rows:
        # a second provider's series, series@provider, is compared only on request
        series = ours["series"].eq(told[heading]) if told else ~ours["series"].str.contains("@")
        theirs = at.join(numbers(rows.loc[at.index, heading]))
        shared = theirs.merge(ours[series], on=["city_id", "year"])
        shared = shared[(shared["value"] > 0) & (shared["ours"] > 0)]
        fitting = [
            column
            for name, cells in shared.groupby("series")
            if (column := _fit(heading, str(name), cells, labels[str(name)], bool(told)))
        ]
        found += sorted(fitting, key=lambda column: -column.agreeing_share)[:1]
    return found


def _fit(
    heading: str, series: str, cells: pd.DataFrame, names: Sequence[str], is_told: bool
) -> Column | None:
    """Match a column to a series, or return None if its values do not fit."""
    theirs, ours = np.log10(cells["value"]), np.log10(cells["ours"])
    power = round((ours - theirs).median())
    agreeing = float(((theirs + power - ours).abs() < np.log10(1 + CLOSE)).mean())
    is_named = any(plain(name) in plain(UNIT.sub("", heading)) for name in names)
    fits = len(cells) >= FEWEST_CELLS and agreeing >= (BY_NAME if is_named else BY_VALUE)
    if not is_told and not (fits and theirs.corr(ours) >= LOG_CORRELATION):
        return None
    basis = "as told" if is_told else "by name and value" if is_named else "by value"
    return Column(heading, series, power, basis, len(cells), agreeing)
