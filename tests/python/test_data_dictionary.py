"""Tests that the data dictionary agrees with the tables and seeds it describes."""

import re
from pathlib import Path

import pytest

from tests.python import models
from tests.python.conftest import WAREHOUSE, Build
from tests.python.release_store import changed, read

NUMBERS = {"integer", "bigint", "double"}


def test_every_released_column_is_described_in_both_languages_and_every_number_has_a_unit(
    sample_build: Build,
) -> None:
    rows = sample_build.rows(
        "select table_name || '.' || column_name, data_type, unit, description_en, description_zh,"
        " source from marts.data_dictionary"
    )
    released = sample_build.value(
        "select count(*) from information_schema.columns "
        "where table_schema in ('marts', 'gates', 'estimates', 'reports')"
    )
    assert len(rows) == released > 700
    for name, data_type, unit, english, chinese, source in rows:
        assert re.match(r"[A-Za-z0-9%]", english), name
        assert re.search(r"[\u4e00-\u9fff]", chinese), name
        assert (unit is not None) == (data_type in NUMBERS), (name, data_type, unit)
        assert source, name


def test_the_descriptions_are_the_comments_of_the_database(sample_build: Build) -> None:
    different = sample_build.rows(
        "select d.table_name, d.column_name from marts.data_dictionary as d inner join"
        " duckdb_columns() as c on d.table_schema = c.schema_name and d.table_name = c.table_name"
        " and d.column_name = c.column_name where concat_ws(e'\\n\\n', d.description_en,"
        " d.description_zh) is distinct from trim(c.comment) or d.data_type <> lower(c.data_type)"
    )
    assert different == []


def test_units_and_chinese_names_of_the_panel_are_those_of_the_series(sample_build: Build) -> None:
    found = sample_build.rows(
        "select series, dictionary.unit = series.unit, starts_with(description_zh, series.label_zh)"
        " from seeds.series as series inner join marts.data_dictionary as dictionary"
        " on series = column_name where table_name = 'fct_city_year_panel'"
    )
    # Only some of the series are columns of the panel; fct_city_year_values has all of them.
    assert len(found) > 15
    assert [row for row in found if row[1:] != (True, True)] == []


@pytest.mark.parametrize("table", ["marts.fct_city_year_panel", "reports.rpt_figure_1"])
def test_years_and_missing_shares_are_those_of_the_tables(table: str, sample_build: Build) -> None:
    frame = sample_build.frame(f"from {table}")
    rows = sample_build.rows(
        "select column_name, first_year, last_year, missing_share, row_count from"
        " marts.data_dictionary where table_schema || '.' || table_name = ?",
        table,
    )
    assert len(rows) == frame.shape[1]
    for column, first, last, share, row_count in rows:
        years = frame.loc[frame[column].notna(), "year"]
        assert (first, last) == ((None, None) if years.empty else (years.min(), years.max())), (
            column
        )
        assert share == pytest.approx(frame[column].isna().mean(), abs=1e-12), column
        assert row_count == len(frame)


def test_the_source_of_a_column_is_a_series_with_its_provider_or_not_delivered(
    sample_build: Build,
) -> None:
    sources = sample_build.pairs(
        "select column_name, source from marts.data_dictionary"
        " where table_name = 'fct_city_year_panel'"
    )
    assert sources["fdi_1m_usd"] == "fdi_1m_usd (vendor)"
    population = "resident_population_interpolated_10k"
    assert sources[population] == f"{population} (not delivered)"


def test_a_column_of_the_panel_names_who_restricts_the_values_that_it_is_made_of(
    sample_build: Build, tmp_path: Path
) -> None:
    restricted = "select column_name, restricted_providers, restricted_licences from {} where"
    restricted += " restricted_providers is not null"
    assert sample_build.rows(restricted.format("marts.data_dictionary")) == []
    path = changed(
        sample_build.warehouse,
        tmp_path / WAREHOUSE,
        "update marts.fct_deliveries set may_be_passed_on = false, licence = 'None.'",
        "update marts.fct_city_year_values set delivered_by = 'open' where variable = 'ln_gdp'",
        "update marts.fct_city_year_values set delivered_by = 'open, vendor'"
        " where variable = 'ln_secondary_productivity'",
    )
    nodes = models.nodes_of(sample_build.manifest or Path())
    query = nodes["model.ai_manufacturing.data_dictionary"]["compiled_code"]
    found = read(path, restricted.format(f"({query})"))
    assert {row[1:] for row in found} == {("vendor", "None.")}
    columns = {name for name, *_ in found}
    # These columns are a series, a log of two series, a ratio, a measure, and the log of that
    # measure.
    assert columns >= {
        "gdp_100m_cny",
        "ln_secondary_productivity",
        "secondary_share_of_gdp",
        "integration_index",
        "ln1p_ai_firms_scaled",
    }
    assert not columns & {"city_id", "year", "name_zh", "ln_gdp", "doubtful_series"}
