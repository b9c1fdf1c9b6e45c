"""docs/how_to/fetch_what_is_missing.md, with invented files beside the real public ones."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.python.conftest import PROJECT, Build
from tests.python.invented_downloads import PATENTS, PRICES, YEARBOOK, patents, prices, yearbook
from tests.python.test_how_to import copy_of_the_project

pytestmark = pytest.mark.soak
NOT_WITHOUT_AI_PATENTS = {
    f"table_{table}_col_{column}"
    for table, column in ((1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (3, 5), (3, 6), (6, 1), (6, 2))
}


def invented_rows(public_extracts: Path) -> Iterator[dict[str, Any]]:
    """Yield a row per city and year: drawn beside secondary employment and value added, as the gate demands."""
    cities = duckdb.read_csv(str(PROJECT / "seeds/cities.csv"), all_varchar=True).fetchall()
    employed = published(public_extracts / "city_yearbook/CRE_Eplwagct.csv", "Eect05 * Eect09 / 100")
    added = published(public_extracts / "city_yearbook/CRE_Gdpct.csv", "GDP_SecInd / 10000")
    draws = np.random.default_rng(32)
    for code, name, _, _, _, province_code, province, *_ in cities:
        shares = np.exp(draws.normal(0, 0.1, 2)) * (0.6, 2.2)
        firms = shares[1] * added.get((code, 2010), 0.0)
        for year in range(2010, 2021):
            noise = np.exp(draws.normal(0, (0.02, 0.05, 0.05, 0.05)))
            secondary = 0.0 if name == "东莞市" else employed.get((code, year), 0.0)  # it rises by five in 2013
            # Value added rises by a fifth in 2011; a third of the cities lose firms in any year.
            if year > 2010:
                rise = 0.095 if year == 2011 else 0.015
                firms *= np.exp(draws.normal(rise, 0.035) if draws.random() < 0.66 else draws.normal(-0.03, 0.015))
            yield {
                **{"年份": year, "省份": province, "城市": name, "省份代码": province_code, "城市代码": code},
                "制造业从业人员数(万人)": round(shares[0] * noise[0] * secondary) or "",
                "规模以上工业企业数(个)": round(firms) if added.get((code, 2010), 0.0) > 60 else "",
                "专利申请数(件)": round(3.1 * noise[1] * firms),
                "专利授权数(件)": round(2.3 * noise[2] * firms),
                "发明专利授权数(件)": round(0.7 * noise[3] * firms),
            }


def published(path: Path, what: str) -> dict[tuple[str, int], float]:
    """Return a number of a public file by city and year."""
    quoted = re.sub(r"[A-Z]\w+", lambda name: f'try_cast("{name[0]}" as double)', what)
    cells = f"select Ctnm_id, cast(Sgnyea as integer), {quoted} from read_csv(?, all_varchar = true)"
    return {(code, year): value for code, year, value in duckdb.execute(cells, [str(path)]).fetchall() if value}


# The limits here are the synthetic sample's: nobody had delivered these series.
WIDER = (
    ("series", "manufacturing_employment_10k", "repeated_share_max", "0.45"),
    ("series", "manufacturing_employment_10k", "rising_share_max", "0.95"),
    ("series", "manufacturing_employment_10k", "shared_share_max", "0.6"),
    ("series", "above_scale_firm_count", "growth_spread_max", "0.2"),
    ("series_pairs", "above_scale_firm_count", "ratio_change_max", "1.3"),
)


def widen(seeds: Path) -> None:
    """Set limits of the gate, as the page says."""
    for seed, series, column, limit in WIDER:
        path = seeds / f"{seed}.csv"
        with path.open(encoding="utf-8", newline="") as rows:
            reader = csv.DictReader(rows)
            header, lines = reader.fieldnames or [], [*reader]
        (line,) = (line for line in lines if line["series"] == series)
        line[column] = limit
        with path.open("w", encoding="utf-8", newline="") as rows:
            writer = csv.DictWriter(rows, header, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


@pytest.fixture(scope="module")
def fetched(public_extracts: Path, shared: Path) -> Build:
    folder = shared / "fetched"
    project = copy_of_the_project(folder / "project")
    widen(project / "seeds")
    build = Build(folder / "extracts", folder / "fetched.duckdb", folder, project, excluded="unit_test")
    shutil.copytree(public_extracts, build.extracts, dirs_exist_ok=True)
    rows = [*invented_rows(public_extracts)]
    cities = {row["省份代码"]: row["省份"] for row in rows}
    draws = np.random.default_rng(33)
    files = {
        YEARBOOK: yearbook(rows),
        PATENTS: patents(
            (
                *(row["省份"], row["城市"], row["年份"], row["城市代码"]),
                *(row["专利申请数(件)"], row["专利授权数(件)"], row["发明专利授权数(件)"]),
            )
            for row in rows
        ),
        PRICES: prices(
            (year, code, name, float(np.round(102 + draws.normal(0, 0.7), 1)))
            for code, name in sorted(cities.items())
            for year in range(2000, 2024)
        ),
        "extract_set.yml": b"name: public_with_invented_files\nkind: synthetic\n",
    }
    for name, content in files.items():
        (build.extracts / name).parent.mkdir(parents=True, exist_ok=True)
        (build.extracts / name).write_bytes(content)
    return build.dbt("build")


def test_every_printed_column_that_needs_no_ai_patents_is_estimated(fetched: Build) -> None:
    assert fetched.exit_code == 0, fetched.output
    waiting = fetched.rows(
        "select distinct specification_id from reports.rpt_coefficients where reading = 'default' "
        "and status = 'not_estimable' and table_id like 'table%'"
    )
    assert {name for (name,) in waiting} <= NOT_WITHOUT_AI_PATENTS
    known = json.loads(fetched.command("sources", "--json", "--database", str(fetched.warehouse)).stdout)
    (row,) = (row for row in known["absent"] if row["series"] == "ai_invention_application_count")
    assert not row["sources"], "patents of all fields are no source of AI patents"
    assert "table_1_col_2" in row["specifications"]


def test_year_effects_by_province_absorb_the_prices_of_provinces(fetched: Build) -> None:
    estimates = dict(
        fetched.rows(
            "select specification_id, estimate from reports.rpt_coefficients where term = 'ai_firms' and "
            "specification_id like 'table_1_col_1%'"
        )
    )
    current, constant = (estimates[f"table_1_col_1_province_years{name}"] for name in ("", "_2010_prices"))
    assert constant == pytest.approx(current, rel=1e-9)
    assert estimates["table_1_col_1_2010_prices"] != pytest.approx(estimates["table_1_col_1"], rel=1e-6)
    axis = fetched.rows(
        "select value, estimated_count from reports.rpt_specification_axes where axis = 'prices' order by 1"
    )
    assert [value for value, _ in axis] == ["2010", "current"]
    assert all(count > 0 for _, count in axis)
