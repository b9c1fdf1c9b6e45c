"""docs/how_to/fetch_what_is_missing.md, with invented files beside the real public ones."""

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.releases.store import Store
from tests.lib import judged_samples
from tests.python.conftest import PROJECT, Build, made_once
from tests.python.invented_downloads import (
    COMPUTING,
    PATENTS,
    PRICES,
    YEARBOOK,
    computing,
    patents,
    prices,
    yearbook,
)
from tests.python.release_store import command

pytestmark = [pytest.mark.door, pytest.mark.soak]
PAGE = (PROJECT / "docs/how_to/fetch_what_is_missing.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^ {7}ai-manufacturing (.+)$", PAGE, flags=re.MULTILINE)
NEED_AI_GRANTS = {
    f"table_{table}_col_{column}" for table, column in ((1, 3), (2, 3), (3, 3), (3, 6), (6, 2))
}
SECONDARY = "Eect05 * Eect09 / 100"
"""Secondary employment, of persons employed and a share."""
Numbers = dict[tuple[str, int], float]


def published(extracts: Path, name: str, what: str) -> Numbers:
    """Return a number of a public yearbook by city and year."""
    path = extracts / f"city_yearbook/CRE_{name}.csv"
    quoted = re.sub(r"[A-Z]\w+", lambda column: f'try_cast("{column[0]}" as double)', what)
    cells = (
        f"select Ctnm_id, cast(Sgnyea as integer), {quoted} from read_csv(?, all_varchar = true)"
    )
    return {
        (code, year): value
        for code, year, value in duckdb.execute(cells, [str(path)]).fetchall()
        if value
    }


def compiled(extracts: Path) -> Iterator[dict[str, Any]]:
    """Yield a row per city and year, drawn beside public numbers: whole, from zero up, with gaps
    and breaks.

    The printed employment ends in 2019, R&D persons are of two years, patents begin in 2017. Units
    of 2013 are more, and in 2011 the threshold of above-scale firms is four times that of before.
    """
    secondary, units, people = (
        published(extracts, "Eplwagct", what) for what in (SECONDARY, "Eect05", "Eect01")
    )
    gdp, added = (published(extracts, "Gdpct", what) for what in ("Gdpct01 * 10000", "GDP_SecInd"))
    cities = duckdb.read_csv(str(PROJECT / "seeds/cities.csv"), all_varchar=True).fetchall()
    draws = np.random.default_rng(32)
    for code, name, _, _, kind, province_code, province, *_ in cities:
        if kind == "county_level" or not name.endswith("市"):
            continue
        share, density = np.exp(draws.normal(0, (0.15, 0.3))) * (0.58, 1.6)
        firms = density * added.get((code, 2010), 0.0) / 10000
        for year in range(1990, 2024):
            cell = (code, year)
            if year > 2010:
                firms *= np.exp(draws.normal(*{2011: (-0.33, 0.2)}.get(year, (0.02, 0.08))))
            noise = np.exp(draws.normal(0, (0.04, 0.001, 0.05, 0.05, 0.05)))
            row = {
                **{
                    "年份": year,
                    "省份": province,
                    "城市": name,
                    "省份代码": province_code,
                    "城市代码": code,
                },
                "地区生产总值(万元)": gdp.get(cell, 0) * noise[1],
                "第二产业增加值(万元)": added.get(cell, 0) * noise[1],
                "户籍人口(万人)": people.get(cell, 0),
                "城镇非私营单位从业人员数(万人)": units.get(cell, 0) * noise[1],
                "规模以上工业企业数(个)": firms if year > 1997 else 0,
                "年末金融机构各项贷款余额(万元)": 1.2 * gdp.get(cell, 0) * noise[2],
                "教育支出(万元)": 0.03 * gdp.get(cell, 0) * noise[3],
                "专利申请数(件)": 3.1 * noise[2] * firms if year > 2016 else 0,
                "专利授权数(件)": 2.3 * noise[3] * firms if year > 2016 else 0,
                "发明专利授权数(件)": 0.7 * noise[4] * firms if year > 2016 else 0,
                "R&D人员(人)": (
                    900 * units.get(cell, 0) if year in (2017, 2019) and code < "400000" else 0
                ),
            }
            printed = {
                name: (round(value) if isinstance(value, float) else value) or ""
                for name, value in row.items()
            }
            if year < 2020 and cell in secondary:
                printed["制造业从业人员数(万人)"] = round(
                    min(share * noise[0], 0.95) * secondary[cell]
                )
                printed["科研、技术服务和地质勘查业从业人员数(万人)"] = round(0.03 * units[cell])
            yield printed


def panel_of_patents(
    rows: list[dict[str, Any]],
) -> Iterator[tuple[str, str, int, str, int, int, int]]:
    """Yield patents of the cities of the yearbooks, 2000 to 2024."""
    draws = np.random.default_rng(34)
    for row in rows:
        if row["年份"] == 2010 and row["规模以上工业企业数(个)"]:
            counts = row["规模以上工业企业数(个)"] * np.array((1.9, 1.1, 0.2))
            for year in range(2000, 2025):
                counts = counts * np.exp(draws.normal(0.08, 0.05, 3))
                of_year = (round(count) for count in counts)
                yield (row["省份"], row["城市"], year, row["城市代码"], *of_year)  # type: ignore[misc]


def inventions_by_field(
    rows: list[dict[str, Any]],
) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield inventions of the cities of the yearbooks, 2008 to 2023: all, and those in computing.

    The share in computing is the city's own, and grows.
    """
    draws = np.random.default_rng(41)
    for row in rows:
        if row["年份"] == 2020 and row["地区生产总值(万元)"]:
            count = 2e-5 * row["地区生产总值(万元)"] * np.exp(draws.normal(0, 0.5))
            share = 0.06 * np.exp(draws.normal(0, 0.4))
            for year in range(2008, 2024):
                count *= np.exp(draws.normal(0.12, 0.1))
                share *= np.exp(draws.normal(0.03, 0.05))
                of_all = round(count) + 1
                name = row["城市"].removesuffix("市")
                yield name, row["省份"], year, of_all, draws.binomial(of_all - 1, min(share, 1))


@pytest.fixture(scope="module")
def fetched(public_extracts: Path, shared: Path) -> Build:
    """Return the release, with its site, that the page's two commands make of the files."""
    folder = shared / "fetched"
    store = Store(folder / "releases", folder / "releases/ai_manufacturing.duckdb", kept=3)
    build = Build(folder / "extracts", folder / "fetched.duckdb", folder, excluded="unit_test")

    def make() -> None:
        deliver(public_extracts, build.extracts)
        store.prepare()
        for line in COMMANDS:
            words = shlex.split(line.replace("build/site", str(folder / "site")))
            done = command(store, build, *words)
            assert done.returncode == 0, done.stdout + done.stderr

    made_once(folder, make)
    return replace(build, warehouse=store.published)


def deliver(public_extracts: Path, extracts: Path) -> None:
    """Lay invented files of the page beside the public ones."""
    shutil.copytree(public_extracts, extracts, dirs_exist_ok=True)
    rows = [*compiled(public_extracts)]
    provinces = {row["省份代码"]: row["省份"] for row in rows}
    draws = np.random.default_rng(33)
    files = {
        YEARBOOK: yearbook(rows),
        PATENTS: patents(panel_of_patents(rows)),
        COMPUTING: computing(inventions_by_field(rows)),
        PRICES: prices(
            (year, code, name, float(np.round(102 + draws.normal(0, 0.7), 1)))
            for code, name in sorted(provinces.items())
            for year in range(2000, 2024)
        ),
        "extract_set.yml": b"name: public_with_invented_files\nkind: synthetic\n",
    }
    for name, content in files.items():
        (extracts / name).parent.mkdir(parents=True, exist_ok=True)
        (extracts / name).write_bytes(content)


def test_the_page_is_two_commands_from_the_files_that_it_names_to_the_site(
    fetched: Build,
) -> None:
    assert [line.split()[0] for line in COMMANDS] == ["refresh", "report"]
    assert all(f"`{Path(name).name}`" in PAGE for name in (YEARBOOK, PATENTS, COMPUTING, PRICES))
    assert (fetched.scratch / "site/index.html").is_file()


def test_every_printed_column_that_needs_no_ai_grants_is_estimated(
    fetched: Build,
) -> None:
    waiting = {
        name
        for (name,) in fetched.rows(
            "select specification_id from reports.rpt_column_specifications "
            "where table_id like 'table%' and status = 'not_estimable'"
        )
    }
    assert waiting == NEED_AI_GRANTS


def test_whole_units_are_said_beside_what_rests_on_them_with_what_they_do(fetched: Build) -> None:
    remarks = fetched.pairs(
        "select specification_id, warnings from reports.rpt_coefficients where term = 'ai_firms'"
        " and specification_id in ('table_3_col_1', 'table_3_col_4',"
        " 'table_1_col_1_research_employment')"
    )
    for name, effect in (
        ("table_3_col_4", "rounding, .* which widens errors"),
        ("table_1_col_1_research_employment", "rounding, .* drawn to zero"),
    ):
        (every,) = re.findall(
            rf"printed in whole units\. Of the variance .* up to (\d+)% is {effect}", remarks[name]
        )
        assert 1 <= int(every) <= 100
    assert "whole units" not in (remarks["table_3_col_1"] or "")


def test_outcomes_in_prices_of_2010_are_a_reading_and_an_axis(fetched: Build) -> None:
    estimates = fetched.pairs(
        "select specification_id, estimate from reports.rpt_coefficients where term = 'ai_firms'"
        " and specification_id like 'table_1_col_1%'"
    )
    assert estimates["table_1_col_1_2010_prices"] != pytest.approx(
        estimates["table_1_col_1"], rel=1e-6
    )
    axis = fetched.rows(
        "select value, estimated_count from reports.rpt_specification_axes where axis = 'prices'"
        " order by 1"
    )
    assert [value for value, _ in axis] == ["2010", "current"]
    assert all(count > 0 for _, count in axis)
    judged = (
        "select 1 from gates.gate_results where not success and failing_rows like"
        " '%consumer_price_level%'"
    )
    assert not fetched.rows(judged), "cities of a province share its prices"


EMPLOYED, FIRMS = "manufacturing_employment_10k", "above_scale_firm_count"


@pytest.mark.parametrize(
    ("faulty", "year", "wrong"),
    [
        (EMPLOYED, 2016, lambda values: values.xs(2015, level="year")),
        (FIRMS, 2016, lambda values: values.xs(2016, level="year").shift()),
    ],
    ids=["a year copied", "shifted by one city"],
)
def test_the_wide_limits_of_a_file_that_nobody_measured_still_stop_faults(
    faulty: str, year: int, wrong: Any, public_extracts: Path
) -> None:
    rows = pd.DataFrame([*compiled(public_extracts)])
    rows = rows[rows["年份"].between(2010, 2020)].set_index(["城市代码", "年份"]).sort_index()
    rows.index.names = ["city_id", "year"]
    added = published(public_extracts, "Gdpct", "GDP_SecInd / 10000")
    del added["310000", 2020]  # 1.03 there, in another unit
    series = {
        EMPLOYED: pd.to_numeric(rows["制造业从业人员数(万人)"]),
        FIRMS: pd.to_numeric(rows["规模以上工业企业数(个)"]),
        "secondary_employment_10k": pd.Series(published(public_extracts, "Eplwagct", SECONDARY)),
        "secondary_value_added_100m_cny": pd.Series(added),
    }
    wide = pd.DataFrame({name: values.reindex(rows.index) for name, values in series.items()})
    wide.loc[(slice(None), year), faulty] = wrong(wide[faulty]).to_numpy()
    values = wide.melt(var_name="series", ignore_index=False).reset_index()
    provider = np.where(values["series"].isin([EMPLOYED, FIRMS]), "duhe1123", "csmar")
    values = values.assign(
        quantity=values["series"], scope="total", provider=provider, is_spliced=False
    )
    used = pd.DataFrame(
        {"series": [EMPLOYED, FIRMS], "specification_id": ["table_3_col_4", "table_4_col_2"]}
    )
    used = used.assign(
        quantity=used["series"],
        scope="total",
        role="outcome",
        is_headline=True,
        first_year=2010,
        last_year=2020,
        fixed_year=np.nan,
    )
    found = judged_samples.checked(values.dropna(subset="value"), used)
    results = judged_samples.judged(found, used)
    failed = results[results["success"].eq(False) & results["severity"].eq("critical")]
    stopped = {
        name for name in (EMPLOYED, FIRMS) if failed["failing_rows"].str.contains(name).any()
    }
    assert stopped == {faulty}
