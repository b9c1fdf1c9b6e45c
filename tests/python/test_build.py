"""Tests on the warehouse of the synthetic sample, from delivered files to reports."""

import gzip
import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.auditing import trace
from ai_manufacturing.system import duckdb_client
from tests.lib import in_memory
from tests.python import models
from tests.python.conftest import Build
from tests.python.release_store import output_of

SHENZHEN = "440300"


def test_every_table_made_of_extracts_names_its_extract_set(sample_build: Build) -> None:
    unnamed = sample_build.rows(
        "select table_schema || '.' || table_name from information_schema.tables where table_schema"
        " in ('marts', 'gates', 'estimates', 'reports') except select table_schema || '.' ||"
        " table_name from information_schema.columns where column_name = 'extract_set'"
    )
    of_seeds_alone = {("marts.dim_city",), ("marts.dim_variable",)}
    assert set(unnamed) == of_seeds_alone | {("gates.judged_relations",)}


@pytest.mark.soak
def test_compiled_sql_runs_in_a_stock_duckdb(sample_build: Build) -> None:
    """Compiled SQL must run in a plain DuckDB, without functions that this project registers."""
    assert sample_build.manifest is not None
    compiled = [
        node["compiled_code"]
        for node in models.nodes_of(sample_build.manifest).values()
        if node["resource_type"] == "model" and node["language"] == "sql"
    ]
    assert len(compiled) > 100
    with duckdb.connect() as connection:
        path = sample_build.warehouse
        connection.execute(f"attach '{path}' as {path.stem} (read_only)")
        for sql in compiled:
            connection.execute(f"explain {sql}")


NEEDS_AN_EXTENSION = "select * from read_json_auto('https://example.invalid/a.json')"


def test_a_model_that_reads_more_than_six_tables_says_why(sample_build: Build) -> None:
    """The description of a model that reads more than six tables must explain why.

    The extract set is not counted, because nearly every model reads it.
    """
    assert sample_build.manifest is not None
    silent = [
        node["name"]
        for node in models.nodes_of(sample_build.manifest).values()
        if node["resource_type"] == "model" and "It reads " not in node["description"]
        if len({*node["depends_on"]["nodes"]} - {"model.ai_manufacturing.raw_extract_set"}) > 6
    ]
    assert silent == []


def test_the_warehouse_is_written_for_clients_since_1_2_and_loads_nothing_from_the_network(
    sample_build: Build,
) -> None:
    tags = sample_build.value(
        "select tags from duckdb_databases() where database_name = current_database()"
    )
    assert tags == {"storage_version": "v1.2.0+"}
    with (
        duckdb_client.connect(reads_files=True) as connection,
        pytest.raises(duckdb.Error, match="httpfs"),
    ):
        connection.execute(NEEDS_AN_EXTENSION)


def test_no_number_is_nan_or_infinite(sample_build: Build) -> None:
    conditions = sample_build.pairs(
        "select table_schema || '.' || table_name, string_agg(format('not isfinite({})',"
        " column_name), ' or ') from information_schema.columns where data_type = 'DOUBLE' and"
        " table_schema in ('marts', 'reports') group by all"
    )
    assert len(conditions) > 10
    for table, condition in conditions.items():
        assert sample_build.rows(f"from {table} where {condition}") == [], table


def test_losses_and_samples_add_up_to_the_panel(sample_build: Build) -> None:
    observed = sample_build.pairs(
        "select specification_id, max(observation_count) from reports.rpt_coefficients "
        "where status <> 'not_estimable' group by specification_id"
    )
    lost = sample_build.pairs(
        "select specification_id, sum(observation_count) from estimates.observation_losses group"
        " by all"
    )
    sampled = sample_build.pairs(
        "select specification_id, count(*) from estimates.estimation_samples group by all"
    )
    assert len(observed) >= 130
    for specification, observation_count in observed.items():
        assert sampled[specification] == observation_count
        assert sampled[specification] + lost[specification] == 367 * 11


def test_a_correction_changes_what_it_names_and_nothing_else() -> None:
    """The model's unit test covers the other actions, and corrections of several values."""
    place = ["provider", "source_name", "city_id", "year", "series"]
    named = ("vendor", "yearbook", "110000", "2015", "gdp")
    others = ("other", "other", "120000", "2016", "loans")
    cells = [(*named[:at], other, *named[at + 1 :]) for at, other in enumerate(others)]
    delivered = pd.DataFrame([named, *cells], columns=place).assign(scope="total", value=2.0)
    correction = delivered.head(1).assign(correction_id="c", action="multiply", value=10.0)
    with duckdb_client.connect(reads_files=True) as connection:
        in_memory.create(connection, "int_series_delivered", delivered)
        in_memory.create(connection, "corrections", correction)
        in_memory.run(connection, "intermediate/int_series_corrected")
        found = connection.sql(f"select {', '.join(place)}, value from int_series_corrected")
        assert {*found.fetchall()} == {(*named, 20), *((*cell, 2) for cell in cells)}


PANEL = ("+fct_city_year_panel", "+fct_row_accounting", "fct_delivered_values")


@pytest.mark.door
@pytest.mark.soak
def test_a_set_of_other_years_builds_by_the_period_that_it_names(fresh: Build) -> None:
    fresh.command("synthetic", "--out", str(fresh.extracts), "--years", "2008:2022")
    built = replace(fresh, excluded="")
    assert built.dbt("build").exit_code == 0, built.output
    panel = (
        "select min(year), max(year), count(*), count(ai_firm_count) from marts.fct_city_year_panel"
    )
    assert fresh.rows(panel) == [(2008, 2022, 367 * 15, 367 * 15)]
    local = "select distinct year from estimates.est_local_spatial_autocorrelation order by year"
    assert fresh.rows(local) == [(2008,), (2016,), (2022,)]
    # Regressions use the years of the paper, even if the panel covers a longer period.
    years = (
        "select first_year, last_year from reports.rpt_specifications where specification_id ="
        " 'table_1_col_1'"
    )
    assert fresh.rows(years) == [(2010, 2020)]


@pytest.mark.door
@pytest.mark.soak
def test_a_correction_replaces_the_year_and_the_panel_before_it_can_be_asked_for(
    delivery: Build, sample_build: Build
) -> None:
    original = "city_yearbook/城市统计年鉴_2015.csv"
    lines = (delivery.extracts / original).read_text("utf-8").splitlines()
    (gdp,) = sample_build.rows(
        "select delivered_value from marts.fct_delivered_values where series = 'gdp_100m_cny' and"
        " city_id = ? and year = 2015",
        SHENZHEN,
    )[0]
    corrected = [
        line.replace(f",{gdp},", f",{gdp + 1},") if line.startswith(SHENZHEN) else line
        for line in lines
    ]
    revised = delivery.extracts / "city_yearbook/城市统计年鉴_2015_修订.csv.gz"
    revised.write_bytes(
        gzip.compress("\n".join(line for line in corrected if "长沙" not in line).encode("gb18030"))
    )
    numbers = sample_build.value("select max(delivery_number) from raw.deliveries")

    assert delivery.dbt("build", "--select", *PANEL).exit_code == 0, delivery.output
    panel = "select gdp_100m_cny from marts.fct_city_year_panel where city_id = ? and year = 2015"
    assert delivery.value(panel, SHENZHEN) == gdp + 1
    # The corrected file omits 长沙 (430100), so its value becomes missing.
    assert delivery.value(panel, "430100") is None
    told = delivery.rows(
        "select delivered_value, valid_from_delivery, valid_until_delivery from"
        " marts.fct_delivered_values where series = 'gdp_100m_cny' and city_id = ? and year = 2015"
        " order by valid_from_delivery",
        SHENZHEN,
    )
    assert [(told[0][0], told[0][2]), told[1]] == [(gdp, numbers + 1), (gdp + 1, numbers + 1, None)]
    accounted = "select disposition, row_count from marts.fct_row_accounting where file_path = ?"
    assert delivery.rows(accounted, original) == [("superseded", len(lines) - 1)]
    assert delivery.rows(accounted, str(revised.relative_to(delivery.extracts))) == [
        ("used", len(lines) - 2)
    ]

    spatial = ("+est_spatial_autocorrelation", "+est_local_spatial_autocorrelation")
    as_of = ("--vars", f"{{as_of_delivery: {numbers}}}")
    built = delivery.dbt("build", "--select", *PANEL, *spatial, *as_of)
    assert built.exit_code == 0, delivery.output
    assert f"as they were after delivery {numbers}." in delivery.output
    for table in (
        "raw.deliveries",
        "marts.fct_city_year_panel",
        "marts.fct_ai_measure",
        "marts.fct_row_accounting",
        "marts.fct_spatial_concentration",
        "estimates.est_spatial_autocorrelation",
        "estimates.est_local_spatial_autocorrelation",
    ):
        query = f"select * from {table} order by all"
        assert delivery.rows(query) == sample_build.rows(query), table


@pytest.mark.door
@pytest.mark.soak
def test_another_extract_set_is_refused_and_nothing_is_changed(
    delivery: Build, tmp_path: Path
) -> None:
    delivery.extracts = shutil.copytree(delivery.extracts, tmp_path / "other")
    (delivery.extracts / "extract_set.yml").unlink()
    before = delivery.rows("from reports.rpt_coefficients order by all")

    delivery.dbt("build")

    assert delivery.exit_code != 0
    assert (
        'contains the extract set "sample", but EXTRACTS_DIR now contains the extract set "other"'
        in delivery.output
    )
    # The message first suggests the old name, in case the files belong to the same extract set.
    way_out = (
        'If the files in EXTRACTS_DIR belong to "sample", add the line `name: "sample"` to'
        " extract_set.yml in that folder. Otherwise set "
    )
    assert f"{way_out}WAREHOUSE_PATH to another file, or delete the warehouse." in delivery.output
    assert delivery.rows("from reports.rpt_coefficients order by all") == before

    delivery.warehouse.unlink()
    delivery.dbt("run", "--select", "+raw_deliveries")
    assert "Extract set other is SYNTHETIC" in delivery.output, "its files say so"


@pytest.mark.door
@pytest.mark.soak
def test_an_empty_run_gives_empty_tables(delivery: Build) -> None:
    assert delivery.dbt("build", "--empty").exit_code == 0, delivery.output
    for table in ("marts.fct_city_year_panel", "reports.rpt_coefficients"):
        assert len(delivery.rows(f"describe {table}")) > 5
        assert delivery.rows(f"from {table}") == []


SPECIFICATION = "table_1_col_1"


@pytest.mark.parametrize(
    ("specification", "of_specification", "of_cell"),
    [
        (
            SPECIFICATION,
            ["  2015  260", "outcome missing: ln_gdp"],
            [f"{SPECIFICATION}, Shenzhen (440300), 2015: in the sample\nln_gdp = "],
        ),
        (
            "heterogeneity_five_largest",
            ["  ai_firms:largest", "(no standard error)"],
            ["five_largest: largest, with the value 643"],
        ),
        (
            "table_4_col_4_lag_of_measure",
            [
                "options: lagged=measure",
                "warning: AR(1) does not reject",
                "AR(2) rejects",
                "instruments 17, Hansen p 9.",
            ],
            [],
        ),
        (
            "table_5_col_3",
            [],
            [
                "secondary_dominant: below, with the value 0.3",
                "ai_firm_entry_count minus ai_firm_exit_count",
            ],
        ),
        ("table_4_col_3_rest_of_province", [], ["x gdp_100m_cny of the rest of the province 2015"]),
    ],
)
def test_trace_gives_estimate_losses_and_years_and_of_a_cell_groups_and_what_it_is_made_of(
    specification: str, of_specification: list[str], of_cell: list[str], sample_build: Build
) -> None:
    whole = "\n".join(trace.trace(sample_build.warehouse, specification))
    estimates = sample_build.rows(
        "select estimate from reports.rpt_coefficients where specification_id = ? and term ="
        " regressor and status <> 'not_estimable'",
        specification,
    )
    for (estimate,) in estimates[:1]:
        assert f"{estimate:.6f}" in whole
    cell = "\n".join(trace.trace(sample_build.warehouse, specification, "SHENZHEN", 2015))
    assert [text for text in of_specification if text not in whole] == []
    assert [text for text in of_cell if text not in cell] == []


def test_trace_of_a_cell_ends_at_file_hash_and_row(sample_build: Build) -> None:
    arguments = f"trace --specification {SPECIFICATION} --city 深圳 --year 2015"
    traced = output_of(sample_build.command(*arguments.split()))
    path = "city_yearbook/城市统计年鉴_2015.csv"
    rows = pd.read_csv(sample_build.extracts / path, dtype={"城市代码": str})
    ((number, row),) = rows[rows["城市代码"] == SHENZHEN].iterrows()
    sha256 = sample_build.value("select delivery_id from raw.deliveries where file_path = ?", path)
    for words in (
        f"{path}, row {number + 2}: {row['地区生产总值(亿元)']:.10g}, sha256 {sha256}",
        "ai_firm_count 2020 = 643, provider vendor",
        "in the sample",
        "SYNTHETIC",
    ):
        assert words in traced


FILES_OF_A_VALUE = """
    create schema raw; create schema marts; create schema intermediate; create schema seeds;
    create table raw.deliveries as from (values
        ('register_2019.csv', 'a', 'firm_register', 'vendor', 'firms', 2, null),
        ('register_2020.csv', 'b', 'firm_register', 'vendor', 'firms', null, null),
        ('copy_of_it.csv', 'c', 'firm_register', 'vendor', 'firms', null, 'b')
    ) as rows (file_path, delivery_id, entity, provider, source_name, valid_until_delivery,
        copy_of_delivery);
    create table intermediate.int_series_corrected as
    select 'firm_count' as series, 'vendor' as provider, 'firms' as source_name;
    create table seeds.industry_scopes as select 'total' as scope, 'C' as section;
    create table marts.fct_delivered_values as from (values
        ('gdp', 'vendor', 2015, '440300', 'C', 7, '2015.csv', null),
        ('gdp', 'vendor', 2015, '440300', 'C', 6, 'replaced.csv', 2),
        ('gdp', 'vendor', 2015, '440300', 'D', 5, 'other_scope.csv', null)
    ) as rows (series, provider, year, value_city_id, section, delivered_value, file_path,
        valid_until_delivery);
    alter table marts.fct_delivered_values add sheet_name varchar;
    alter table marts.fct_delivered_values add row_number integer;
"""


def test_a_trace_names_the_files_in_use_and_none_that_was_replaced() -> None:
    cell = {
        "provider": "vendor",
        "year": 2015,
        "city_id": SHENZHEN,
        "scope": "total",
        "series": "gdp",
    }
    with duckdb.connect() as connection:
        connection.execute(FILES_OF_A_VALUE)
        firms = {"series": "firm_count", "provider": "vendor"}
        counted = connection.execute(trace.SQL["counted_files"], firms).fetchall()
        assert counted == [("register_2020.csv, sha256 b", True)]
        (row,) = connection.execute(trace.SQL["delivered_rows"], cell).fetchall()
        assert row[5:7] == (7, "2015.csv")


def asked_of(line: str) -> list[Any]:
    """Parse the arguments of the `trace` command at the end of a line."""
    specification, *cell = line.partition("ai-manufacturing trace ")[2].split()[1::2]
    return [specification, *cell[:1], *map(int, cell[1:])]


def test_a_trace_of_what_is_not_in_the_sample_says_why_and_what_is(
    sample_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")

    traced = partial(trace.trace, sample_build.warehouse)
    first, why, instead, *_ = traced(SPECIFICATION, "yangzhou", 2010)
    assert first == "table_1_col_1, 扬州市 (321000), 2010: not in the sample"
    assert why == "Reason: these variables are missing: ln_rd_personnel."
    nearest = "The sample contains the city in 2011-2020. To trace the nearest year: "
    asked = "ai-manufacturing trace --specification table_1_col_1 --city 321000 --year 2011"
    assert instead == nearest + asked
    assert traced(*asked_of(asked))[0].endswith(", 2011: in the sample")

    _, why, instead, *_ = traced(SPECIFICATION, "Qionghai", 2020)
    assert why.startswith("Reason: these variables are missing: ln_gdp, ")
    assert instead.startswith(
        "This sample does not contain the city in any year, and in 2020 no sample of table_1"
        " contains it. To list the sample's years: ai-manufacturing trace "
    )

    _, why, instead, *_ = traced("heterogeneity_five_largest_others", "Shenzhen", 2015)
    assert why.startswith("Reason: the subsample")
    assert re.match(
        r"These samples contain it: heterogeneity_income_median, .*five_largest\. ", instead
    )
    assert traced(*asked_of(instead))[0].endswith(", 2015: in the sample")

    _, why, can, how, *_ = traced("table_1_col_2_fraunhofer", "Shenzhen", 2015)
    assert why.startswith(
        "not_estimable: Not delivered: invention_application_count@fraunhofer (industry)"
    )
    assert can.startswith("These readings of table_1 column 2 can be estimated: table_1_col_2, ")
    assert how == "To trace the first: ai-manufacturing trace --specification table_1_col_2"
    assert traced(*asked_of(how))[-1].startswith("  2020  ")


def test_trace_tells_what_was_delivered_blank_from_a_count_of_zero(sample_build: Build) -> None:
    city_id, year = sample_build.rows(
        "select city_id, year from intermediate.int_series_conformed where series ="
        " 'rd_personnel_count' and value is null order by all limit 1"
    )[0]
    traced = trace.trace(sample_build.warehouse, SPECIFICATION, city_id, year)
    blank = f"rd_personnel_count {year} = missing, provider vendor\n    no number was delivered\n"
    assert blank in "\n".join(traced)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table_9", "There is no specification 'table_9'. Similar names: table_"),
        (f"{SPECIFICATION} --city 纽约 --year 2015", "marts.dim_city has no city '纽约'"),
        (
            f"{SPECIFICATION} --city shenzen --year 2015",
            "Similar names: Shenzhen 深圳市 (440300, Guangdong).",
        ),
        (
            f"{SPECIFICATION} --city suzhou --year 2015",
            "'suzhou' is the name of 2 cities: Suzhou (Jiangsu) 苏州市 (320500, Jiangsu),"
            " Suzhou (Anhui) 宿州市 (341300, Anhui). Name",
        ),
        (f"{SPECIFICATION} --city 深圳", "Give both --city and --year to trace a cell."),
        (
            f"{SPECIFICATION} --city 深圳 --year 1999",
            "440300 in 1999; it covers the years 2010 to 2020.",
        ),
    ],
)
def test_a_trace_that_cannot_be_answered_says_what_to_ask(
    arguments: str, message: str, sample_build: Build
) -> None:
    traced = sample_build.command("trace", "--specification", *arguments.split())
    assert traced.returncode == 2
    assert message in traced.stderr


def test_a_county_code_means_the_city_that_holds_it_in_2020(sample_build: Build) -> None:
    """A county code maps to the city that contains the county in 2020.

    Registers use the same lookup. Expected cities are from the published GB/T 2260 lists.
    """
    held = {
        "440305": "440300",
        "110108": "110000",
        "110228": "110000",
        "500101": "500000",
        "500384": "500000",
        # 铜仁, under the code that was valid until 2011.
        "522201": "520600",
        # 莱芜, which int_series_conformed merges into 济南.
        "371202": "371200",
        # 寿县, a county that belonged to 六安 until 2015.
        "341521": "340400",
        "340123": "340100",
        # 庐江, a county that belonged to 巢湖 until 2011.
        "341421": "340100",
        # The following units are administered directly by a province.
        "419001": "419001",
        "429006": "429006",
        "469021": "469021",
        "469003": "460400",
        "659001": "659001",
    }
    found = sample_build.pairs(
        "select identifier, city_id from intermediate.int_city_identifiers "
        "where identifier_kind = 'code' and list_contains(?, identifier)",
        [*held, "429099", "469099", "659011", "419099", "710101", "156400", "990001"],
    )
    assert found == held


def test_a_source_whose_records_are_not_used_says_what_to_add(
    sample_build: Build, tmp_path: Path
) -> None:
    compiled = sample_build.compiled("fct_deliveries")
    outcomes = f"select distinct source_name, outcome, remedy from ({compiled})"
    of_patents = "marts.fct_row_accounting where source_name = 'patents'"
    is_of_patents = "series similar to '.*(patent|invention).*'"
    unlisted = f"delete from intermediate.int_series_sources where {is_of_patents}"
    outside = f"""
        delete from {of_patents} and disposition <> 'used';
        update marts.fct_row_accounting set disposition = 'out of period'
        where source_name = 'patents';
    """
    both = f"""
        {outside} insert into marts.fct_row_accounting
        select * replace ('in no series' as disposition, 1 as row_count) from {of_patents}
    """
    with duckdb.connect(shutil.copy(sample_build.warehouse, tmp_path)) as connection:
        for change, expected, remedy in (
            ("select 1", "used", ""),
            (
                unlisted,
                "feeds no series",
                "Add the series of vendor.patents to seeds/series_sources.csv.",
            ),
            (outside, "nothing used", "Its years lie outside 2010 to 2020"),
            (both, "nothing used", "Most of its records: out of period."),
        ):
            connection.begin()
            connection.execute(change)
            found = {name: rest for name, *rest in connection.execute(outcomes).fetchall()}
            connection.rollback()
            outcome, told = found.pop("patents")
            assert (told or "").startswith(remedy)
            assert outcome == expected
            assert [*found.values()] == [["used", None]] * 3


@pytest.mark.door
@pytest.mark.soak
def test_a_provider_that_no_list_names_is_accounted_for_and_says_what_to_add(
    delivery: Build,
) -> None:
    providers = "{firm_survival: [vendor], patents: [vendor], city_yearbook: [biechouwo]}"
    # Exclude a data test that reads models outside the selection.
    skipped = ("--exclude", "every_value_has_at_most_one_correction")
    delivery.dbt(
        "build", "--select", "+gate_sources", *skipped, "--vars", f"{{providers: {providers}}}"
    )
    assert delivery.exit_code == 0, delivery.output
    assert delivery.rows(
        "select distinct outcome, remedy, used_count, in_no_series_count from marts.fct_deliveries "
        "where source_name = 'city_yearbook'"
    ) == [("feeds no series", "Add vendor to providers.city_yearbook in dbt_project.yml.", 0, 260)]


SAME_EVERYWHERE = {
    (
        "seeds.cities",
        "city_id",
    ): "name_zh name_en province_id province_name_zh province_name_en region",
    ("seeds.industries", "industry_code"): "industry_name_zh section section_name_zh",
    ("reports.rpt_specifications", "specification_id"): "specification_order table_id"
    " column_number reading estimator outcome regressor covariance grouping is_partial",
    ("marts.dim_series", "series, scope"): "quantity is_delivered absence_reason absence_reason_zh",
    ("marts.fct_deliveries", "delivery_number"): "file_path provider source_name entity"
    " record_count lost_count_records",
    ("reports.rpt_coefficients", "specification_id, term"): "substitutions substitutions_zh"
    " std_error_province conf_low_province conf_high_province observation_count r2_inclusive"
    " r2_within p_value_province bootstrap_p_value detectable_province",
}
"""Columns that have the same value in every table, by the table and key that determine them."""


@pytest.mark.parametrize("kind", ["sample_build", "public_build"])
def test_a_column_has_the_same_value_in_every_table_that_has_its_key(
    kind: str, request: pytest.FixtureRequest
) -> None:
    build: Build = request.getfixturevalue(kind)
    columns = build.pairs(
        "select table_schema || '.' || table_name, list(column_name) from"
        " information_schema.columns where table_schema in ('marts', 'estimates', 'reports')"
        " group by all"
    )
    compared = Counter[str]()
    for (origin, key), words in SAME_EVERYWHERE.items():
        # A city or an industry that the seed lacks is a difference; some series are not delivered.
        join = "left" if origin.startswith("seeds") else "inner"
        for table, names in columns.items():
            shared = [name for name in words.split() if name in names]
            if shared and {*key.split(", ")} <= {*names}:
                differs = " or ".join(
                    f"given.{name} is distinct from known.{name}" for name in shared
                )
                joined = f"{table} as given {join} join {origin} as known using ({key})"
                different = build.rows(f"select {key} from {joined} where {differs} limit 3")
                assert not different, (table, origin, shared)
                compared[origin] += len(shared)
    assert compared.keys() == {origin for origin, _ in SAME_EVERYWHERE}
