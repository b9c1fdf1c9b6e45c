"""Test the command `judge`, which compares an external city panel with a warehouse."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from ai_manufacturing import cli
from ai_manufacturing.auditing import panel_causes, panels
from ai_manufacturing.auditing.panel_causes import LIKELY, MISSING, PROVEN, SAME, UNEXPLAINED
from ai_manufacturing.system import duckdb_client

YEARS = range(2010, 2021)
# Year in which the external panel's values are changed on purpose.
YEAR = 2015
CITIES = [f"44{number:02}00" for number in range(1, 61)] + ["110000"]
COLUMN = "产值（元）"
SCHEMA = """
    create schema raw; create schema marts; create schema intermediate; create schema seeds;
    create table raw.deliveries as
        select 'invented' as extract_set, 'synthetic' as extract_set_kind;
    create table marts.dim_series as from (values
        ('output', 'output', 'yuan', 'first', 'total', 'Output', '产值'),
        ('output@second', 'output', 'yuan', 'second', 'total', 'Output (second)', '产值二'),
        ('turnover', 'turnover', 'yuan', 'first', 'total', 'Turnover', '营业额'),
        ('people', 'people', 'persons', 'third', 'total', 'People', '人口')
    ) as rows(series, quantity, unit, provider, scope, label_en, label_zh);
    create table marts.dim_variable as
        select series as variable, series, scope, 'level' as transform, null as measure
        from marts.dim_series;
    create table marts.dim_city as
        select city_id, name_zh, left(name_zh, -1) as short_name_zh, name_en from cities;
    create table marts.fct_city_year_values as from city_years;
    create table marts.fct_doubtful_values (series varchar, city_id varchar, year integer);
    create table intermediate.int_series_corrected (series varchar, provider varchar,
        delivered_city_id varchar, year integer, delivered_value double);
    create table seeds.city_aliases (city_id varchar, identifier varchar, identifier_kind varchar);
"""
WITHHELD = """
    create schema release;
    create table release.withheld (table_name varchar, column_name varchar, row_count integer,
        shown_count integer, providers varchar);
    insert into release.withheld values ('marts.fct_city_year_values', 'value', 1, 0, 'first');
    drop schema intermediate cascade;
    drop schema seeds cascade;
    create table marts.fct_delivered_values (series varchar, provider varchar, city_id varchar,
        year integer, delivered_value double);
"""
Cells = dict[int, float]
Causes = Callable[[dict[str, Cells]], pd.Series]


def exchanged(digits: re.Match[str]) -> str:
    """Return two matched digits in swapped order, or change the first digit if they are equal."""
    first, second = digits.groups()
    return f"{(int(first) + 3) % 10}{second}" if first == second else second + first


# Map each cause of a difference to a function that returns the changed values of one city.
PLANTED: dict[str, Callable[[Cells], Cells]] = {
    PROVEN["provider"]: lambda ours: {YEAR: round(ours[YEAR] * 1.21, 2)},
    PROVEN["delivered"]: lambda ours: {YEAR: 777.77},
    PROVEN["definition"]: lambda ours: {YEAR: round(ours[YEAR] * 1.17, 2)},
    PROVEN["year"]: lambda ours: {YEAR: ours[YEAR - 1]},
    PROVEN["unit"]: lambda ours: {YEAR: round(ours[YEAR] * 100, 2)},
    LIKELY["repeated"]: lambda ours: {YEAR: 555.55, YEAR - 1: 555.55},
    LIKELY["digit"]: lambda ours: {
        YEAR: float(re.sub(r"^(\d)(\d)", exchanged, f"{ours[YEAR]:.2f}"))
    },
    LIKELY["vintage"]: lambda ours: {year: round(ours[year] * 1.05, 2) for year in YEARS},
    LIKELY["interpolated"]: lambda ours: {YEAR: round((ours[YEAR - 1] + ours[YEAR + 1]) / 2, 2)},
    LIKELY["marked"]: lambda ours: {YEAR: round(ours[YEAR] * 1.31, 2)},
    LIKELY["rounding"]: lambda ours: {YEAR: round(ours[YEAR] * 1.004, 2)},
    LIKELY["theirs"]: lambda ours: {YEAR: round(ours[YEAR] * 1.97, 2)},
    LIKELY["ours"]: lambda ours: {YEAR: ours[YEAR]},
    MISSING: lambda ours: {YEAR: ours[YEAR]},
    UNEXPLAINED: lambda ours: {2020: round(ours[2020] * 1.37, 2)},
}
AT = dict(zip(PLANTED, CITIES, strict=False))


def invented() -> dict[str, Cells]:
    """Return values for each city, with uneven yearly growth."""
    draw = np.random.default_rng(1)
    return {
        city: {
            year: round(size * 1.08 ** (year - 2010) * step, 2)
            for year, step in zip(YEARS, draw.uniform(0.93, 1.07, len(YEARS)), strict=True)
        }
        for city, size in zip(CITIES, draw.lognormal(6.5, 0.6, len(CITIES)), strict=True)
    }


OURS = invented()
"""The warehouse's values for each city."""
THEIRS = OURS | {city: OURS[city] | PLANTED[cause](OURS[city]) for cause, city in AT.items()}
"""The external panel: the warehouse's values, with each cause of difference planted once."""
UNTOUCHED = {city: OURS[city] for city in CITIES[len(PLANTED) :]}
"""The warehouse's values for the cities in which no difference was planted."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse that contains the evidence for each planted cause of a difference."""
    values = {
        (series, city, year): value
        for series in ("output", "output@second")
        for city, path in OURS.items()
        for year, value in path.items()
    }
    values |= {("people", city, year): value**1.5 for (_, city, year), value in values.items()}
    another, other = AT[PROVEN["provider"]], AT[PROVEN["definition"]]
    values["output@second", another, YEAR] = THEIRS[another][YEAR]
    # Turnover is a different quantity with the same unit as output and similar values.
    values |= {
        ("turnover", other, year): round(value * 1.17, 2) for year, value in OURS[other].items()
    }
    for city in (AT[MISSING], AT[LIKELY["ours"]], AT[LIKELY["rounding"]]):
        del values["output@second", city, YEAR]
    del values["output", AT[MISSING], YEAR]
    values["output", AT[LIKELY["ours"]], YEAR] *= 1.7
    frames = {
        "city_years": pd.DataFrame(
            [(*key, value) for key, value in values.items()],
            columns=["variable", "city_id", "year", "value"],
        ),
        "cities": pd.DataFrame(
            {
                "city_id": CITIES,
                "name_zh": [f"第{city}市" for city in CITIES],
                "name_en": [
                    f"Town{chr(65 + at % 26)}{chr(65 + at // 26)}" for at in range(len(CITIES))
                ],
            }
        ),
    }
    path = tmp_path_factory.mktemp("judge") / "invented.duckdb"
    with duckdb.connect(str(path)) as connection:
        for name, rows in frames.items():
            connection.register(name, rows)
        connection.execute(SCHEMA)
        connection.execute(
            "insert into intermediate.int_series_corrected values ('output', 'first', ?, ?, ?)",
            [AT[PROVEN["delivered"]], YEAR, 777.77],
        )
        connection.execute(
            "insert into marts.fct_doubtful_values values ('output', ?, ?)",
            [AT[LIKELY["marked"]], YEAR],
        )
    return path


def written(
    folder: Path, values: dict[str, Cells], city: Callable[[str], object] = str
) -> tuple[Path, pd.DataFrame]:
    """Write a panel to a CSV file, optionally with other city names; return path and rows."""
    rows = [(city(name), year, value) for name, at in values.items() for year, value in at.items()]
    frame = pd.DataFrame(rows, columns=["城市", "年份", COLUMN])
    frame.to_csv(folder / "panel.csv", index=False)
    return folder / "panel.csv", frame


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("panel"), THEIRS)[0]


@pytest.fixture(scope="module")
def cells(warehouse: Path, panel: Path) -> pd.DataFrame:
    return panels.judge_panel(warehouse, panel, None, None, {COLUMN: "output"}).cells


@pytest.fixture(autouse=True)
def few_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use two random shuffles instead of five to reduce the run time of the tests."""
    monkeypatch.setattr(panel_causes, "SHUFFLES", 2)


def judge(database: Path, *arguments: object) -> Result:
    return CliRunner().invoke(
        cli.main, ["judge", *map(str, arguments), "--database", str(database)]
    )


@pytest.fixture
def causes(warehouse: Path, tmp_path: Path) -> Causes:
    """Return a function that writes a panel, and returns the cause by city and year."""

    def judged(values: dict[str, Cells]) -> pd.Series:
        path, _ = written(tmp_path, values)
        found = panels.judge_panel(warehouse, path, None, None, {}).cells
        return found.set_index(["city_id", "year"])["cause"]

    return judged


EVIDENCE = {
    PROVEN["provider"]: "output@second",
    PROVEN["delivered"]: "output, delivered by first",
    PROVEN["definition"]: "turnover",
}
CERTAINTY = {MISSING: "missing", UNEXPLAINED: "none"}
CERTAINTY |= dict.fromkeys(PROVEN.values(), "proven") | dict.fromkeys(LIKELY.values(), "likely")


def test_each_planted_difference_has_its_cause_and_the_others_are_the_same(
    cells: pd.DataFrame,
) -> None:
    found = cells.set_index(["city_id", "year"])[["cause", "certainty", "evidence"]]
    for cause, city in AT.items():
        expected = (cause, CERTAINTY[cause], EVIDENCE.get(cause, ""))
        assert (*found.loc[city, 2020 if cause == UNEXPLAINED else YEAR],) == expected
    assert {*cells["cause"][cells["city_id"].isin([*UNTOUCHED])]} == {SAME}
    assert len(cells) == len(CITIES) * len(YEARS)


@pytest.mark.parametrize(("places", "is_found"), [((0,), True), ((1,), True), ((0, 1), False)])
def test_a_single_wrong_digit_is_found(
    places: tuple[int, ...], is_found: bool, causes: Causes
) -> None:
    city = next(city for city, at in UNTOUCHED.items() if "9" not in f"{at[YEAR]:.2f}"[:3])
    digits = [*f"{UNTOUCHED[city][YEAR]:.2f}"]
    for place in places:
        digits[place] = str(int(digits[place]) + 1)
    wrong = UNTOUCHED | {city: UNTOUCHED[city] | {YEAR: float("".join(digits))}}
    assert (causes(wrong)[city, YEAR] == LIKELY["digit"]) == is_found


def test_a_value_near_to_another_providers_is_rounded(causes: Causes) -> None:
    city = AT[PROVEN["provider"]]
    near = THEIRS[city] | {YEAR: round(THEIRS[city][YEAR] * 1.004, 2)}
    assert causes(THEIRS | {city: near})[city, YEAR] == LIKELY["rounding"]


def test_values_printed_with_fewer_digits_are_the_same(causes: Causes) -> None:
    printed: dict[str, Cells] = {
        city: {year: round(value) for year, value in at.items()} for city, at in UNTOUCHED.items()
    }
    assert {*causes(printed)} == {SAME}


def test_shuffled_panels_are_drawn_alike_and_give_a_city_one_donor_or_one_for_each_year(
    warehouse: Path, cells: pd.DataFrame
) -> None:
    with duckdb_client.open_read_only(warehouse) as connection:
        known = panel_causes.read_reference(connection)
    drawn = cells[["city_id", "year", "row", "column_name", "series", "theirs"]]
    drawn = drawn.assign(tolerance=0.005)
    for whole in (False, True):
        found = panel_causes.add_causes_to_shuffles(drawn, known, whole=whole)
        assert found.equals(panel_causes.add_causes_to_shuffles(drawn, known, whole=whole))
        own = found["row"].map(drawn.set_index("row")["city_id"])
        donors = found.groupby([own, found.index // len(cells)])["city_id"].nunique()
        assert donors.eq(1).all() == whole


def test_the_rate_of_chance_rises_where_many_values_are_equal(
    warehouse: Path, tmp_path: Path
) -> None:
    rate = []
    for digits in (2, -2):
        path, rows = written(tmp_path, UNTOUCHED)
        rows.assign(**{COLUMN: rows[COLUMN].round(digits)}).to_csv(path, index=False)
        # Round the warehouse's values as well, so that many values match by chance.
        copy = shutil.copyfile(warehouse, tmp_path / f"{digits}.duckdb")
        with duckdb.connect(str(copy)) as connection:
            connection.execute(
                f"update marts.fct_city_year_values set value = round(value, {digits})"
            )
        printed = judge(copy, path, "--column", f"{COLUMN}=output").output
        rate += re.findall(r"chance gives ([\d.]+)% of the cells a proven", printed)
    assert float(rate[0]) < 0.5 < 5 < float(rate[1])


def as_english(city: str) -> str:
    at = CITIES.index(city)
    return f"TOWN {chr(65 + at % 26)}{chr(65 + at // 26)} (city)"


@pytest.mark.parametrize(
    "city",
    [
        lambda city: int(city) // 100,
        lambda city: city.replace("110000", "110100"),
        "第{}".format,
        as_english,
    ],
    ids=["four digits", "district of a municipality", "name", "English name"],
)
def test_cities_are_recognised_by_code_and_name(
    city: Callable[[str], object], warehouse: Path, tmp_path: Path
) -> None:
    run = judge(warehouse, written(tmp_path, OURS, city)[0])
    assert (
        f"Column '城市' contains {len(CITIES)} cities, and column '年份' the years 2010 to 2020"
        in run.output
    )
    assert (
        f"{COLUMN} is output (Output), recognised by name and value. Multiplied by 10^0"
        in run.output
    )


def as_stata(rows: pd.DataFrame, path: Path) -> None:
    """Write a Stata file with 4-byte floats, whose representation error must not be printed."""
    rows.astype({"worth": "float32"}).to_stata(path, write_index=False)


@pytest.mark.parametrize(
    ("ending", "write"),
    [
        ("csv", partial(pd.DataFrame.to_csv, index=False, encoding="gb18030")),
        ("xlsx", partial(pd.DataFrame.to_excel, index=False)),
        ("dta", as_stata),
    ],
)
def test_formats_are_read_alike(
    ending: str,
    write: Callable[[pd.DataFrame, Path], object],
    warehouse: Path,
    tmp_path: Path,
) -> None:
    _, rows = written(tmp_path, UNTOUCHED)
    rows = rows.set_axis(["place", "when", "worth"], axis="columns")
    rows["worth"] /= 1000
    path = tmp_path / f"other.{ending}"
    write(rows, path)
    found = panels.judge_panel(warehouse, path, None, None, {})
    assert " is output (Output), recognised by value. Multiplied by 10^3" in "\n".join(found.lines)
    assert {*found.cells["cause"]} == {SAME}


def test_a_column_is_compared_as_the_user_says(warehouse: Path, panel: Path) -> None:
    run = judge(warehouse, panel, "--column", f"{COLUMN}=output@second")
    assert f"{COLUMN} is output@second (Output (second)), as named with --column" in run.output


def test_cities_that_are_not_here_are_named(warehouse: Path, tmp_path: Path) -> None:
    path, rows = written(tmp_path, OURS | {"999900": OURS["110000"]})
    pd.concat([rows, rows[rows["城市"] == "110000"]]).to_csv(path, index=False)
    run = judge(warehouse, path)
    assert "does not identify a single city: 999900." in run.output
    assert "11 rows were left out, because they repeat a city and a year." in run.output


OFF = {city: at | {2020: at[2020] * 1.37} for city, at in UNTOUCHED.items()}


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({}, 0, ""),
        (dict([*OFF.items()][:1]), 0, ""),
        (OFF, 1, ""),
        ({AT[LIKELY["ours"]]: OURS[AT[LIKELY["ours"]]]}, 1, f"1  likely   {LIKELY['ours']}"),
    ],
    ids=["same", "one unexplained cell", "unexplained beyond the limit", "a jump of ours"],
)
def test_unexplained_cells_beyond_the_limit_or_a_jump_of_ours_end_with_1(
    changed: dict[str, Cells], code: int, said: str, warehouse: Path, tmp_path: Path
) -> None:
    run = judge(warehouse, written(tmp_path, UNTOUCHED | changed)[0])
    assert (run.exit_code, said in run.output) == (code, True)


def test_files_of_cells_have_a_row_per_cell_and_no_formula(
    cells: pd.DataFrame, tmp_path: Path
) -> None:
    hostile = cells.assign(column_name="=1+1")
    for ending, read, shown in (
        ("csv", pd.read_csv, "'=1+1"),
        ("xlsx", partial(pd.read_excel, engine="calamine"), "=1+1"),
    ):
        path = tmp_path / f"cells.{ending}"
        path.write_bytes(panels.format_file(hostile, ending == "xlsx"))
        rows = read(path)
        assert len(rows) == len(cells)
        assert {"row", "theirs", "ours", "cause", "certainty", "evidence"} <= {*rows}
        assert {*rows["column_name"].astype(str)} == {shown}


@pytest.mark.parametrize(
    ("dropped", "arguments", "message"),
    [
        ("年份", (), "no column contains enough years. Use --year to name the column"),
        ("城市", (), "no column contains enough cities. Use --city to name the column"),
        (COLUMN, (), "Assign a series to a column with --column COLUMN=SERIES"),
        (
            None,
            ("--year", "yr"),
            "has no column 'yr'. Name one of the columns of the file: 城市, 年份",
        ),
        (None, ("--city", COLUMN), f"column '{COLUMN}' contains too few cities"),
        (None, ("--column", f"{COLUMN}=outputs"), "has no values for them: outputs."),
        (None, ("--column", COLUMN), "Write --column as COLUMN=SERIES"),
        (None, ("--out", "cells.txt"), "give --out a file name that ends in .csv"),
    ],
)
def test_wrong_input_names_the_way_out(
    dropped: str | None,
    arguments: tuple[str, ...],
    message: str,
    warehouse: Path,
    tmp_path: Path,
) -> None:
    path, rows = written(tmp_path, OURS)
    rows.drop(columns=dropped or []).to_csv(path, index=False)
    run = judge(warehouse, path, *arguments)
    assert (run.exit_code, message in run.output) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("panel.pdf", b"%PDF-1.4", "the file name does not end in .csv"),
        ("panel.csv", b"", "cannot be read (the file is empty"),
        ("panel.xlsx", b"PK\x03\x04 damaged", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, message: str, warehouse: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    run = judge(warehouse, tmp_path / name)
    assert run.exit_code == 2
    assert f"{tmp_path / name}" in run.output
    assert message in run.output


def test_a_copy_says_which_series_it_cannot_compare(
    warehouse: Path, panel: Path, tmp_path: Path
) -> None:
    copy = shutil.copyfile(warehouse, tmp_path / "copy.duckdb")
    path, rows = written(tmp_path, OURS)
    pd.read_csv(panel, dtype=str).assign(人口=rows[COLUMN] ** 1.5).to_csv(path, index=False)

    def after(statement: str, path: Path) -> Result:
        with duckdb.connect(str(copy)) as connection:
            connection.execute(statement)
        return judge(copy, path)

    withheld = "update marts.fct_city_year_values set value = null"
    run = after(f"{WITHHELD} {withheld} where variable <> 'people'", path)
    assert "has no values for them: output, turnover." in run.output
    assert f"{COLUMN} is" not in run.output
    assert "人口 is people (People)" in run.output
    nothing = after(withheld, panel)
    assert nothing.exit_code == 2
    assert (
        "A public copy may withhold all values of the panel; in that case, use --database"
        in nothing.output
    )
    shutil.copyfile(warehouse, copy)
    lacking = after("drop table marts.fct_doubtful_values", panel)
    assert lacking.exit_code == 2
    assert "lacks tables or columns that the comparison needs" in lacking.output
