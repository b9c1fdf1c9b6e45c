"""Test that following each page of docs/how_to step by step gives the results that it promises."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.releases.store import Store
from tests.planted_faults import copy_of_the_project
from tests.python import test_gate
from tests.python.conftest import PROJECT, Build, built_once
from tests.python.release_store import read, release

pytestmark = [pytest.mark.door, pytest.mark.soak]
PAGES = PROJECT / "docs/how_to"
# Match the line above a code block in a how-to page, which names the file to create or the line of
# a file next to which the block is inserted.
PLACE = (
    r"^(?:A row of |Rows of |In )?`(?P<path>[^`]+)`(?:, (?P<how>insert after|insert before|replace)"
    r" `(?P<line>[^\n]+)`(?: with)?)?:\n\n"
)
BLOCK = re.compile(PLACE + r"```\w+\n(?P<text>.*?)^```$", flags=re.DOTALL | re.MULTILINE)
COPY = re.compile(
    r"^`([^`]+)`, copied from `([^`]+)` with `([^`]+)` as `([^`]+)`\.$", flags=re.MULTILINE
)
ELECTRICITY = "工业用电量(万千瓦时)"
# The yearly delivery runs several refreshes, so this page is tested in a separate project.
YEARLY = "the_yearly_delivery.md"


def touched(page: str) -> set[str]:
    """Return the paths of the files that a how-to page creates or changes."""
    words = (PAGES / page).read_text(encoding="utf-8")
    return {block["path"] for block in BLOCK.finditer(words)} | {
        path for path, *_ in COPY.findall(words)
    }


def follow(page: str, project: Path, path: str | None = None) -> None:
    """Apply the edits of a how-to page to a project, or only its edits to one file."""
    words = (PAGES / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(words))
    assert len(blocks) == words.count("```") / 2, f"{page}: a block without a place above it"
    for block in blocks:
        if path not in (None, block["path"]):
            continue
        target, how, text = project / block["path"], block["how"], block["text"]
        if how:
            lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
            (place,) = (
                number for number, line in enumerate(lines) if line.strip() == block["line"]
            )
            lines[place : place + 1] = {
                "insert after": [lines[place], text],
                "insert before": [text, lines[place]],
                "replace": [text],
            }[how]
            target.write_text("".join(lines), encoding="utf-8")
        else:
            assert target.exists() == (target.parent.name == "seeds"), block["path"]
            target.parent.mkdir(exist_ok=True)
            with target.open("a", encoding="utf-8") as file:
                file.write(text)
    for path, original, old, new in COPY.findall(words):
        (project / path).write_text(
            (project / original).read_text(encoding="utf-8").replace(old, new), encoding="utf-8"
        )


def deliver(sample_build: Build, extracts: Path) -> None:
    """Write the files that the how-to pages deliver: a gazette and a yearbook column."""
    (extracts / "gazette").mkdir()
    population = (
        'select city_id as "区划代码", year as "年份", cast(round(registered_population_10k *'
        ' 10000) as bigint) + 7 as "{}" from marts.fct_city_year_panel where'
        " registered_population_10k is not null and {} order by all"
    )
    for name, heading, years in (
        ("population_to_2015", "年末户籍人口(人)", "year <= 2015"),
        ("population", "户籍人口(人)", "year > 2015"),
    ):
        rows = sample_build.frame(population.format(heading, years))
        rows.to_csv(extracts / f"gazette/{name}.csv", index=False)
    (extracts / "gazette_investment").mkdir()
    sample_build.frame(
        'select city_id as "区划代码", year as "年份", 1.002 * value as "实际使用外资(百万美元)"'
        " from marts.fct_city_year_values where variable = 'fdi_1m_usd' and value is not null"
        " and year >= 2014 order by all"
    ).to_csv(extracts / "gazette_investment/all.csv", index=False)
    for path in (extracts / "city_yearbook").glob("*.csv"):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        delivered = map(electricity, rows[test_gate.CITY], rows[test_gate.YEAR].astype(int))
        rows.assign(**{ELECTRICITY: [*delivered]}).to_csv(path, index=False)


def deliver_register(extracts: Path) -> None:
    """Write a register of two firms in Shenzhen, one located by name and one by credit code."""
    header = "信用代码,行业,设立日期,吊销日期,业务范围,省,市,法定代表人\n"
    rows = (
        "1,C39 计算机、通信和其他电子设备制造业,2015年3月2日,2018/3/2,五金,广东,深圳,甲某某\n"
        "914403001922038216,3921,42065,长期,五金,广东,自贸区,甲某某\n"
    )
    (extracts / "registry").mkdir()
    with zipfile.ZipFile(extracts / "registry/2015.zip", "w") as archive:
        archive.writestr("广东.csv", header + rows)


def electricity(city_id: str, year: int) -> int:
    """Return an invented electricity consumption for a city and year, in 10,000 kWh."""
    return 200_000 + int(city_id[:4]) * year * 7919 % 600_000


@pytest.fixture(scope="session")
def followed(sample_build: Build, shared: Path) -> Build:
    """Build the synthetic sample in a copy of the project after following all how-to pages."""
    folder = shared / "how_to"
    build = Build(
        folder / "sample",
        folder / "warehouse.duckdb",
        folder,
        folder / "project",
        excluded="unit_test",
    )

    def make(build: Build) -> Build:
        copy_of_the_project(build.project)
        for page in sorted(PAGES.glob("*.md")):
            if page.name != YEARLY:
                follow(page.name, build.project)
        deliver(sample_build, Path(shutil.copytree(sample_build.extracts, build.extracts)))
        deliver_register(build.extracts)
        ran = run(build, "dbt", "--no-use-colors", "build")
        build.exit_code, build.output = ran.returncode, ran.stdout
        return build

    return built_once(build, make)


def run(build: Build, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the source code of the project copy, which the how-to pages modify."""
    of_the_copy = {"PYTHONPATH": os.pathsep.join([str(build.project / "src"), str(PROJECT)])}
    program, *arguments = command
    return subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        cwd=build.project,
        env=build.environment | of_the_copy | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_provider_feeds_its_series(followed: Build, sample_build: Build) -> None:
    provider = "select provider from marts.dim_series where series = 'registered_population_10k'"
    assert sample_build.value(provider) == "vendor"
    assert followed.value(provider) == "gazette"
    shenzhen = (
        "select registered_population_10k from marts.fct_city_year_panel where city_id = '440300'"
        " and year = ?"
    )
    # The gazette uses a different column heading in each of these two years.
    for year in (2014, 2020):
        assert followed.value(shenzhen, year) == pytest.approx(
            sample_build.value(shenzhen, year) + 0.0007, abs=1e-9
        )


def test_a_further_source_continues_a_series_and_leaves_its_other_years(
    followed: Build, sample_build: Build
) -> None:
    assert len(touched("add_a_source.md")) == 3
    cells = (
        "select year, value, basis, delivered_by from marts.fct_city_year_values where variable ="
        " 'fdi_1m_usd' and city_id = '440300' and year >= 2014 order by year"
    )
    published = sample_build.rows(cells)
    assert {row[2:] for row in published} == {("delivered", "vendor")}
    found = followed.rows(cells)
    assert found[:5] == published[:5]
    assert [row[0] for row in found[5:]] == [2019, 2020]
    assert [row[1:] for row in found[5:]] == [
        (pytest.approx(1.002 * row[1], rel=1e-9), "spliced", "gazette") for row in published[5:]
    ]
    known = "select provider, spliced_years from marts.dim_series where series = 'fdi_1m_usd'"
    assert followed.rows(known) == [("vendor", "gazette 2019, gazette 2020")]
    agreement = (
        "select share_within_1_percent, median_ratio from reports.rpt_source_agreement where series"
        " = 'fdi_1m_usd' and grouping = 'all' and year is null"
    )
    assert followed.rows(agreement) == [(1, pytest.approx(1.002))]


def test_a_new_register_is_counted_and_says_how_it_was_placed(followed: Build) -> None:
    counts = (
        "select firm_count, firm_entry_count, firm_exit_count from"
        " intermediate.int_firm_register_counts where "
    )
    of_shenzhen = (
        "provider = 'register' and city_id = '440300' and scope = 'manufacturing' and year"
    )
    assert followed.rows(f"{counts}{of_shenzhen} = 2015") == [(2, 2, 0)]
    assert followed.rows(f"{counts}{of_shenzhen} = 2018") == [(1, 0, 1)]
    placed = (
        "select row_count, placed_by_code_count, placed_by_name_count from"
        " marts.fct_register_placement where provider = 'registry'"
    )
    assert followed.rows(placed) == [(2, 1, 1)]


def test_a_new_series_and_its_control_are_four_files(followed: Build, sample_build: Build) -> None:
    assert len(touched("add_a_series.md")) == 4
    found = followed.rows(
        "select variable, value from marts.fct_city_year_values where city_id = '440300' and year ="
        " 2020 and variable like '%industrial_electricity%' order by variable"
    )
    delivered = electricity("440300", 2020) / 10000
    assert found == [
        ("industrial_electricity_100m_kwh", pytest.approx(delivered)),
        ("ln_industrial_electricity", pytest.approx(np.log(delivered))),
    ]
    terms = followed.rows(
        "select term, status, estimate is not null from reports.rpt_coefficients "
        "where specification_id = 'table_1_col_1_electricity' order by term_order"
    )
    assert terms[0] == ("ai_firms", "estimated", True)
    assert terms[-1] == ("ln_industrial_electricity", "estimated", True)
    columns = (
        "select column_name from duckdb_columns() where table_name = 'fct_city_year_panel' order by"
        " column_index"
    )
    assert followed.rows(columns) == sample_build.rows(columns)


def test_a_new_export_format_is_one_file(followed: Build, tmp_path: Path) -> None:
    assert touched("add_an_export_format.md") == {"src/ai_manufacturing/tables/formats.py"}
    program = (followed, "ai-manufacturing")
    database = ("--database", str(followed.warehouse))
    exported = run(*program, "export", "--format", "jsonl", "--out", str(tmp_path), *database)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "data_dictionary.jsonl").exists()
    rows = (tmp_path / "panel.jsonl").read_text(encoding="utf-8")
    ((count,),) = followed.rows("select count(*) from marts.fct_city_year_panel")
    assert len(rows.splitlines()) == count
    assert {json.loads(line)["is_synthetic"] for line in rows.splitlines()} == {True}
    panel = run(*program, "panel", "--out", str(tmp_path / "one.jsonl"), *database)
    assert panel.returncode == 0, panel.stderr
    assert (tmp_path / "one.jsonl").read_text(encoding="utf-8") == rows


def test_a_new_column_of_a_table_is_three_files_and_every_table_shows_it(followed: Build) -> None:
    assert len(touched("add_a_column_to_a_table.md")) == 3
    # The new table column must equal the existing regression for eastern cities.
    ((estimate, std_error),) = followed.rows(
        "select estimate, std_error from reports.rpt_coefficients "
        "where specification_id = 'heterogeneity_region_east' and term = 'ai_firms'"
    )
    printed = [
        cell for (cell,) in followed.rows("select column_5 from reports.rpt_table_4") if cell
    ]
    assert printed[0].rstrip("*‡") == f"{estimate:.3f}"
    assert printed[1] == f"({std_error:.3f})"
    assert {"Log GDP", "city and year"} <= {*printed}
    choice = ("--format", "markdown", "--language", "zh", "--database", str(followed.warehouse))
    written = followed.command("table", "table_4", *choice)
    assert written.returncode == 0, written.stderr
    table = (followed.project / "build/exports/table_4.md").read_text(encoding="utf-8")
    assert "| (5) 东部城市 |" in table
    assert re.search(rf"\| {estimate:.3f}[^|]*\|$", table, re.MULTILINE)


def test_new_tables_in_sql_and_in_python_are_made_and_refused_without_properties(
    followed: Build, tmp_path: Path
) -> None:
    counted = "select sum(ai_firm_count), {} from marts.{} where year = 2020"
    of_provinces = followed.rows(counted.format("sum(city_count)", "fct_province_years"))
    assert of_provinces == followed.rows(counted.format("count(*)", "fct_city_year_panel"))
    ranked = (
        "select year, measure_count, row_number() over (partition by year order by measure_count"
        " desc) as place from marts.fct_ai_measure where measure = 'ai_firms' and weighting ="
        " 'observed' and scope = 'industry' and measure_count > 0"
    )
    slope = (
        f"select year, regr_slope(ln(place - 0.5), ln(measure_count)) from ({ranked}) group by year"
    )
    assert followed.pairs("select year, slope from estimates.est_rank_size") == pytest.approx(
        followed.pairs(slope)
    )
    # Copy the warehouse before changing it, because other tests read it.
    own = replace(followed, warehouse=Path(shutil.copy(followed.warehouse, tmp_path)))
    for properties, model in (
        ("models/marts/_provinces__models.yml", "fct_province_years"),
        ("python_models/estimates/_rank_size__models.yml", "est_rank_size"),
    ):
        path = followed.project / properties
        text = path.read_text(encoding="utf-8")
        path.unlink()
        refused = run(own, "dbt", "run", "--select", model)
        path.write_text(text, encoding="utf-8")
        assert refused.returncode != 0
        assert (
            f"the columns of {model}. Describe them as docs/how_to/add_a_table.md explains"
            in refused.stdout
        )


def test_a_new_estimator_is_five_files_and_gives_the_slope_of_changes_on_changes(
    followed: Build,
) -> None:
    assert len(touched("add_an_estimator.md")) == 5
    specification = (
        "select estimate, city_count from reports.rpt_coefficients where term = 'ai_firms' and "
    )
    ((estimate, cities),) = followed.rows(
        specification + "specification_id = 'table_1_col_1_long_difference'"
    )
    ends = followed.frame(
        "select city_id, year, ln_gdp, ln1p_ai_firms_scaled, ln_registered_population,"
        " ln_unit_employment, ln_rd_personnel from marts.fct_city_year_panel inner join"
        " estimates.estimation_samples using (city_id, year) where specification_id ="
        " 'table_1_col_1' and year in (2010, 2020)"
    ).set_index(["city_id", "year"])
    changes = (ends.xs(2020, level="year") - ends.xs(2010, level="year")).dropna()
    regressors = np.column_stack([np.ones(len(changes)), changes.drop(columns="ln_gdp")])
    slopes = np.linalg.lstsq(regressors, changes["ln_gdp"], rcond=None)[0]
    assert cities == len(changes) > 200
    assert estimate == pytest.approx(slopes[1], rel=1e-8)


def test_new_expectations_are_judged_and_have_their_words_in_chinese(followed: Build) -> None:
    judged = (
        "select suite, severity, success, description_zh, observed_value, checked_count,"
        " failing_row_count from gates.gate_results where description = ?"
    )
    pair = (
        "select count(gdp_100m_cny + primary_value_added_100m_cny) from marts.fct_city_year_panel"
    )
    ((*found, _, checked, failing),) = followed.rows(
        judged, "Primary value added of a city is less than its GDP."
    )
    assert found == ["city_year_panel", "warning", True, "各城市第一产业增加值小于地区生产总值。"]
    assert (checked, failing) == (followed.value(pair), 0)
    median = followed.value("select median(gdp_per_capita_cny) from marts.fct_city_year_panel")
    (found,) = followed.rows(
        judged, "The median of GDP per head is between 10 and 200 thousand yuan."
    )
    assert found[:4] == (
        "city_year_panel",
        "critical",
        True,
        "人均地区生产总值的中位数在1万元与20万元之间。",
    )
    assert (float(found[4]), *found[5:]) == (pytest.approx(median, rel=1e-12), None, None)


def test_a_new_substitute_stands_in_the_estimate_and_in_its_substitutions(followed: Build) -> None:
    name = "table_1_col_1_robots"
    told = (
        "select substitutions, substitutions_zh from reports.rpt_coefficients where"
        " specification_id = ? and term = "
    )
    assert followed.rows(told + "'ln_loans'", name) == [
        ("loans outstanding substitute for robots in use", "以年末贷款余额替代机器人存量")
    ]
    controls = followed.value(
        "select controls from reports.rpt_specifications where specification_id = ?", name
    )
    assert controls == "ln_registered_population ln_unit_employment ln_rd_personnel ln_loans"


def test_a_correction_is_in_the_panel_and_says_why(followed: Build, sample_build: Build) -> None:
    loans = (
        "select loans_100m_cny from marts.fct_city_year_panel where city_id = '440300' and year ="
        " 2019"
    )
    assert followed.value(loans) == pytest.approx(1.01 * sample_build.value(loans))
    corrected = (
        "select value / delivered_value from marts.fct_corrections where correction_id ="
        " 'shenzhen_loans_2019'"
    )
    assert followed.value(corrected) == pytest.approx(1.01)


def test_a_new_page_of_the_site_shows_the_release(followed: Build, tmp_path: Path) -> None:
    store = Store(tmp_path, tmp_path / "ai_manufacturing.duckdb", keep_count=1)
    store.prepare_folders()
    release(store, followed.warehouse)
    published, out = str(store.published_path), str(tmp_path / "site")
    code = (
        "from pathlib import Path; from ai_manufacturing import site;"
        f" site.build(Path({published!r}), Path({out!r}))"
    )
    written = run(followed, sys.executable, "-c", code)
    assert written.returncode == 0, written.stderr
    page = (tmp_path / "site/regions.html").read_text(encoding="utf-8")
    cities = followed.pairs("select region, count(*) from marts.dim_city group by region")
    assert len(cities) == 4
    assert [int(count) for count in re.findall(r"</span>: (\d+)</li>", page)] == [
        cities[name] for name in sorted(cities)
    ]
    assert 'href="regions.html"' in (tmp_path / "site/index.html").read_text(encoding="utf-8")


def test_a_year_is_delivered_with_a_new_zone_and_a_revision_and_published(tmp_path: Path) -> None:
    """Each refresh of the yearly delivery ends as the page says: it publishes, is stopped by the
    gate, is held because of a revision, and publishes again.

    The rows that the page shows are added between the refreshes.
    """
    build = Build(
        tmp_path / "drawn",
        tmp_path / "warehouse.duckdb",
        tmp_path,
        tmp_path / "project",
        excluded="unit_test",
    )
    copy_of_the_project(build.project)
    drawn = build.command("synthetic", "--out", str(build.extracts), "--years", "2010:2021")
    assert drawn.returncode == 0, drawn.stderr
    store = Store(tmp_path / "releases", tmp_path / "releases/ai_manufacturing.duckdb")
    description = build.extracts / "extract_set.yml"
    to_come = {path: path.read_bytes() for path in build.extracts.glob("*/*2021.csv")}
    assert len(to_come) == 4
    for path in to_come:
        path.unlink()
    before = description.read_text(encoding="utf-8").replace("last_year: 2021", "last_year: 2020")
    description.write_text(before, encoding="utf-8")

    def refreshed(code: int) -> str:
        """Run a refresh, check its exit code, and return its final log message."""
        ended = run(build, "ai-manufacturing", "refresh", RELEASE_DIR=str(store.folder))
        assert ended.returncode == code, ended.stdout + ended.stderr
        last = json.loads(ended.stdout.splitlines()[-1])
        return str(last.get("message", ""))

    refreshed(0)

    # Step 1: deliver the files of a new year, which contain an unknown zone, and a revision of
    # 2018.
    for path, content in to_come.items():
        path.write_bytes(content)
    words = (PAGES / YEARLY).read_text(encoding="utf-8")
    (row,) = [
        block["text"]
        for block in BLOCK.finditer(words)
        if block["path"] == "seeds/non_prefectures.csv"
    ]
    zone = row.partition(",")[0]
    with next(build.extracts.glob("firm_survival/*2021.csv")).open("a", encoding="utf-8") as file:
        file.write(
            f"329901,{zone},06,煤炭开采和洗选业,2021,12,3,1,0,0,0,合成样本（synthetic sample）\n"
        )
    test_gate.edit(
        next(build.extracts.glob("city_yearbook/*2018.csv")),
        test_gate.each(lambda row: {test_gate.GDP: f"{float(row[test_gate.GDP]) * 1.04:.2f}"}),
    )

    # Step 2: extend the study period to 2021.
    assert "period: {first_year: 2010, last_year: 2021}" in words
    description.write_text(before.replace("last_year: 2020", "last_year: 2021"), encoding="utf-8")

    # Steps 3 and 4: the gate rejects the record of the unknown zone until the page's row is added
    # to the seed.
    message = refreshed(4)
    assert "企业存续_2021.csv, row " in message
    assert zone in message
    follow(YEARLY, build.project, "seeds/non_prefectures.csv")

    # Step 5: the refresh holds the release because of the revision, until `ai-manufacturing accept`
    # declares the revision.
    message = refreshed(7)
    (declared,) = re.findall(r"ai-manufacturing (accept .* --reason) '(.*)'\n", words)
    assert f"ai-manufacturing {declared[0]} '...'" in message, "the command of the page"
    command = ("ai-manufacturing", *declared[0].split(), declared[1])
    ended = run(build, *command, RELEASE_DIR=str(store.folder))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    refreshed(0)

    manifest = store.read_current_manifest()
    assert manifest is not None
    assert "fourth economic census" in manifest.reason
    years = (
        "select year from marts.fct_city_year_panel group by year having count(ln_gdp) > 200 order"
        " by year desc"
    )
    assert read(store.published_path, years)[:2] == [(2021,), (2020,)]
    aside = (
        "select count(*) from marts.fct_rows_set_aside where file_path like '%企业存续_2021.csv'"
    )
    assert read(store.published_path, aside) == [(1,)]
