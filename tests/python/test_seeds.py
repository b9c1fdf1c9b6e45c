"""Test the types of seeds, their labels, and facts that are known from outside."""

import csv
import json
import re
from collections import Counter
from typing import Any

import duckdb
import pandas as pd
import yaml

from tests.python.conftest import PROJECT, Build

TYPES = {"string", "integer", "bigint", "double", "boolean", "date"}
"""Type names that both engines accept; Spark has no varchar without a length."""


def header_of(name: str) -> list[str]:
    with (PROJECT / f"seeds/{name}.csv").open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def nodes(build: Build) -> dict[str, dict[str, Any]]:
    assert build.manifest is not None
    read: dict[str, dict[str, Any]] = json.loads(build.manifest.read_text("utf-8"))["nodes"]
    return read


def load(build: Build, name: str, *records: tuple[object, ...]) -> None:
    """Create a seed's table from these records with the same column types as `dbt seed`.

    A column of nulls without a declared type becomes an integer.
    """
    types = nodes(build)[f"seed.ai_manufacturing.{name}"]["config"]["column_types"]
    columns = ", ".join(f'"{column}" {types.get(column, "integer")}' for column in header_of(name))
    with duckdb.connect(str(build.warehouse)) as connection:
        connection.execute(f"create or replace table seeds.{name} ({columns})")
        for record in records:
            places = ", ".join("?" for _ in record)
            connection.execute(f"insert into seeds.{name} values ({places})", record)


def test_each_column_of_a_seed_has_a_type_that_both_engines_know() -> None:
    """Without a declared type, dbt would load a column without values as integer."""
    listed = yaml.safe_load((PROJECT / "seeds/_seeds.yml").read_text(encoding="utf-8"))["seeds"]
    types = {seed["name"]: seed.get("config", {}).get("column_types", {}) for seed in listed}
    headers = {path.stem: header_of(path.stem) for path in PROJECT.glob("seeds/*.csv")}
    without_a_type = [
        f"{name}.{column}"
        for name, header in headers.items()
        for column in header
        if types.get(name, {}).get(column) not in TYPES
    ]
    not_in_the_file = [
        f"{name}.{column}"
        for name, columns in types.items()
        for column in columns
        if column not in headers.get(name, [])
    ]
    assert (without_a_type, not_in_the_file) == ([], [])


def test_what_reads_printed_numbers_keeps_its_columns_in_a_study_that_prints_none(
    delivery: Build,
) -> None:
    readers = {
        node["name"]: node
        for node in nodes(delivery).values()
        if node["resource_type"] == "model"
        and node["language"] == "sql"
        and "seed.ai_manufacturing.published_estimates" in node["depends_on"]["nodes"]
    }
    load(delivery, "published_estimates")
    with duckdb.connect(str(delivery.warehouse)) as connection:

        def columns(relation: str) -> dict[str, str]:
            described = connection.execute(f"describe {relation}").fetchall()
            return {name: kind for name, kind, *_ in described}

        for name, node in readers.items():
            connection.execute(f"create or replace temp table made as {delivery.compiled(name)}")
            assert columns("made") == columns(f"{node['schema']}.{name}"), name
            if name in ("rpt_replication_scorecard", "rpt_table_cells", "rpt_credibility"):
                assert connection.execute("from made").fetchall() == [], name
    assert "rpt_replication_scorecard" in readers


def test_a_study_without_industries_uses_what_is_not_counted_by_industry(delivery: Build) -> None:
    load(delivery, "industry_scopes", ("total", None))
    delivery.models("fct_deliveries", edited=["industry_scopes"])
    outcomes = (
        "select distinct source_name, outcome, used_count > 0, in_no_series_count > 0"
        " from marts.fct_deliveries order by all"
    )
    assert delivery.rows(outcomes) == [
        ("city_yearbook", "used", True, False),
        ("firm_survival", "nothing used", False, True),
        ("patents", "nothing used", False, True),
        ("province_yearbook", "used", True, False),
    ]


def test_each_reason_for_setting_a_record_aside_is_labelled() -> None:
    model = (PROJECT / "models/intermediate/int_records_conformed.sql").read_text("utf-8")
    reasons = set(re.findall(r"then '([^']+)'", model.partition("as county_code,")[2]))
    assert len(reasons) >= 13
    with (PROJECT / "seeds/reasons.csv").open(encoding="utf-8") as file:
        assert reasons <= {row["reason"] for row in csv.DictReader(file)}


def test_cities_are_the_units_of_their_codes() -> None:
    """Mainland China has 333 units at prefecture level since 2019 (Ministry of Civil Affairs).

    The first two digits of a code are the province, and a prefecture ends with 00 (GB/T 2260).
    """
    cities = pd.read_csv(PROJECT / "seeds/cities.csv", dtype=str)
    code, kind = cities["city_id"], cities["unit_kind"]
    assert code.str.fullmatch("[0-9]{6}").all()
    assert (cities["province_id"] == code.str[:2] + "0000").all()
    assert ((kind == "municipality") == (code == cities["province_id"])).all()
    assert ((kind == "county_level") == ~code.str.endswith("00")).all()
    assert kind.value_counts()[["prefecture_level", "municipality"]].to_list() == [333, 4]
    assert cities["province_id"].nunique() == 31
    pairs = zip(cities["name_zh"], cities["short_name_zh"], strict=True)
    assert all(name.startswith(short) for name, short in pairs)
    of_province = ["region", "province_name_zh", "province_name_en"]
    assert len(cities[["province_id", *of_province]].drop_duplicates()) == 31


def test_the_stars_of_a_printed_coefficient_follow_from_its_digits() -> None:
    """Event studies print eight years. Rounding of an error may leave two numbers of stars open."""
    printed = pd.read_csv(PROJECT / "seeds/published_estimates.csv", dtype=str).fillna("")
    tables = zip(printed["table_id"].str[-1], printed["column_number"], strict=True)
    columns = {1: "123", 2: "123", 3: "123456", 4: "1234", 5: "123", 6: "12"}
    assert Counter(tables) == {
        (f"{table}", column): 1 if table < 5 else 8
        for table, numbers in columns.items()
        for column in numbers
    }
    limits = {"": (0, 1.645), "*": (1.645, 1.96), "**": (1.96, 2.576), "***": (2.576, float("inf"))}
    for row in printed.itertuples():
        estimate, error = abs(float(row.estimate)), float(row.std_error)
        halves = [
            10.0 ** -len(text.partition(".")[2]) / 2 for text in (row.estimate, row.std_error)
        ]
        low = (estimate - halves[0]) / (error + halves[1])
        high = (estimate + halves[0]) / max(error - halves[1], 1e-9)
        least, most = limits[row.stars]
        assert low < most, row
        assert high > least, row
    events = printed[printed["table_id"].isin(["table_5", "table_6"])]
    errors = (
        events["std_error"].astype(float).groupby([events["table_id"], events["column_number"]])
    )
    assert (errors.max() < 1.2 * errors.min()).all()
    assert events.groupby("table_id")["term"].nunique().to_list() == [8, 8]
