"""Test which revisions of published values and estimates pass and which hold back a release."""

import io
import json
import math
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.auditing import (
    changes,
    judgement,
    moves,
    new_years,
    published_years,
    revisions,
    verify,
)
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.auditing.new_years import OddYear
from ai_manufacturing.auditing.revisions import ReadAgain, Revisions
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.paper.synthetic import draw_city_years
from ai_manufacturing.refresh import build, by_hand
from ai_manufacturing.releases import configured, fingerprint
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    GateFailedError,
    HeldError,
    RefreshError,
)
from ai_manufacturing.system import settings
from ai_manufacturing.system.duckdb_client import open_read_only
from ai_manufacturing.system.settings import period
from ai_manufacturing.system.sql_text import quote_literal
from tests.lib import judged_samples
from tests.python.conftest import PROJECT, Build
from tests.python.histories import DRIFT, Act, again, delivered, done, moved, replay
from tests.python.release_store import Refreshes, check, command, output_of, past_release, read

CONFORMED = "intermediate.int_series_conformed"
YEARS = "intermediate.int_series_years"
GDP = "series = 'gdp_100m_cny'"
LIMITS = Limits(hold_shown_above=configured.HOLD_ABOVE)
NO_CORRECTIONS = (
    "fct_corrections (correction_id varchar, reason varchar, provider varchar, series varchar,"
    " scope varchar, year integer, city_id varchar, delivered_city_id varchar, action varchar,"
    " value double)"
)

Key = tuple[str, str, str, int]
Values = dict[Key, float]

# The parts of a release that are needed to compare a later build. Each series has a column that
# depends on it.
RELEASED = f"""
    create schema old.release;
    create table old.release.series_values as from new.release.series_values;
    create schema old.marts;
    create table old.marts.{NO_CORRECTIONS};
    create table old.marts.dim_series as
    select 'gdp' as series, 'total' as scope, 'GDP' as label_en;
    create table old.marts.dim_city as
    select distinct city_id, if(city_id = '0', '深圳市', null) as name_zh,
        if(city_id = '0', 'Shenzhen', null) as name_en,
        concat(cast(city_id as integer) // 10) as province_name_en,
        province_name_en as province_name_zh
    from old.release.series_values;
    create table old.marts.dim_specification_series as
    select distinct 'on_' || series as specification_id, series, scope
    from old.release.series_values;
    create table old.marts.fct_delivered_values (
        delivery_number integer, year integer, delivered_value double,
        series varchar default 'gdp', provider varchar default 'vendor',
        source_name varchar, city_id varchar, industry_code varchar, file_path varchar,
        valid_until_delivery integer
    );
"""


def compared(
    old: Values,
    new: Values,
    *declarations: Declaration,
    delivered: Sequence[tuple[int, int, float]] = (),
    read_again: ReadAgain | None = None,
    statements: Sequence[str] = (),
) -> Revisions:
    """Compare values by series, scope, city and year with the values of a release.

    A series belongs to the provider after its @, or else to vendor. `delivered` has number, year
    and value of deliveries of one city's GDP. `statements` run before the comparison.
    """
    with duckdb.connect() as connection:

        def build(values: Values) -> None:
            rows = pd.DataFrame([*values], columns=["series", "scope", "city_id", "year"])
            connection.register("rows", rows.assign(value=values.values()))
            connection.execute(
                f"create or replace table built.{CONFORMED} as select *, coalesce(nullif("
                "regexp_extract(series, '@([a-z]+)', 1), ''), 'vendor') as provider,"
                " split_part(series, '@', 1) as quantity from rows"
            )

        connection.execute(
            "attach ':memory:' as old; attach ':memory:' as new; attach ':memory:' as built;"
            " create schema built.intermediate; create schema new.release;"
            f" create schema built.marts; create table built.marts.{NO_CORRECTIONS}"
        )
        build(old)
        revisions.write_series_values(connection)
        connection.execute(RELEASED)
        for row in delivered:
            connection.execute(
                "insert into old.marts.fct_delivered_values (delivery_number, year,"
                " delivered_value) values (?, ?, ?)",
                row,
            )
        build(new)
        for statement in statements:
            connection.execute(statement)
        declared_revisions.create_declared_table(connection, declarations)
        return revisions.find_revisions(connection, declarations, read_again)


def gdp_of(cities: int, years: range) -> Values:
    return {
        ("gdp", "total", str(city), year): 100.0 + city for city in range(cities) for year in years
    }


def declaration(**other: Any) -> Declaration:
    fields: dict[str, Any] = {
        "provider": "vendor",
        "series": "gdp",
        "scope": "total",
        "first_year": 2010,
        "last_year": 2020,
        "reason": "census",
        "declared_by": "me",
        "declared_at": "2026-11-26",
        "after_release": "000001",
        "extract_set": "sample",
    }
    return Declaration(**(fields | other))


def test_the_message_names_series_years_cities_and_values_by_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    old = gdp_of(40, range(2014, 2021))
    new = {
        key: value * (3 if key[2] == "0" else 1.5) if key[3] in (2015, 2016, 2019) else value
        for key, value in old.items()
    }
    del new["gdp", "total", "7", 2016]
    (line,) = compared(old, new).lines
    assert (
        line
        == "GDP (gdp, total, vendor) 2015-2016, 2019: 120 of 120 published values changed by more"
        " than 0.1 %, and 1 of them are now missing. Largest changes: Shenzhen (0) 2015: 100 ->"
        " 300;  (7) 2016: 107 -> none;  (1) 2015: 101 -> 151.5."
    )


def test_more_than_one_per_cent_of_lost_city_years_is_held_though_no_series_is() -> None:
    old = gdp_of(1000, range(2019, 2021))
    # A city-year without a value was not published.
    missing = {("gdp", "total", "0", 2018): math.nan}
    for count, is_held in ((20, False), (21, True)):
        new = dict([*old.items()][count:])
        found = compared(old | missing, new)
        assert (found.held_series_years, found.lost_city_years) == ((), count)
        said = (
            f"{count} of 2000 published city-years no longer have a value, which exceeds the"
            " limit of 1 %."
        )
        assert found.lines == [said] * is_held
    assert compared(old, new, declaration()).lines == []


def test_a_series_is_held_above_five_per_cent_of_values_that_move_unusually_or_go() -> None:
    """New values, cities, years and series are not revisions. A value that moves to another
    industry scope counts as lost.
    """
    old: Values = {}
    new = gdp_of(150, range(2018, 2023))
    counts = (0, 1, 4, 5, 6, 31)
    for count in counts:
        for city in range(100):
            key = ("gdp", ("total", "industry")[count % 2], str(city), 2000 + count)
            old[key] = value = (0.0, 100.0, -200.0, 300.0)[city % 4]
            new[key] = value * (1.0009, 0.9991)[city // 4 % 2]
            if city < count:
                new[key] = value * (1.05, 0.95, -1, 0)[city // 4 % 4] if value else 2
                if city % 3 == 2:
                    new["gdp", "elsewhere", *key[2:]] = new.pop(key)
    found = compared(old, new)
    held = found.held_series_years
    rows = {
        row.year: (row.published, row.rewritten, row.lost, row in held)
        for row in found.series_years
    }
    assert rows == {2000 + count: (100, count, count // 3, count > 5) for count in counts[1:]}
    assert len(found.cells) == sum(counts)


def drawn_gdp(chance: random.Random, series: str = "gdp") -> Values:
    """Return simulated GDP in 31 provinces, four of them with one city and the others with ten."""
    cities = [city for city in range(310) if city >= 40 or city % 10 == 0]
    return {
        (series, "total", str(city), year): round(math.exp(chance.gauss(7, 1)), 2)
        for city in cities
        for year in range(2010, 2021)
    }


def test_a_province_times_nine_tenths_in_four_years_is_named_and_held_in_thirty_draws() -> None:
    chance = random.Random(41)
    old: Values = {}
    new: Values = {}
    faulty = {}
    for number in range(30):
        series = f"gdp@{number}"
        drawn = drawn_gdp(chance, series)
        province, years = str(chance.randrange(31)), sorted(chance.sample(range(2010, 2021), 4))
        faulty[series] = province, years
        old |= drawn
        new |= drawn
        for key, value in drawn.items():
            if str(int(key[2]) // 10) == province and key[3] in years:
                new[key] = round(value * 0.9, 2)
    found = compared(old, new)
    assert {row.series: (row.province, row.years) for row in found.provinces} == faulty
    assert len(found.lines) == 30
    assert "changed differently from the other provinces" in found.lines[0]
    assert "values changed by a median of -10 %, compared with +0 % in all cities" in found.lines[0]
    assert compared(old, new, declaration()).lines == []


@pytest.mark.parametrize("factor", [1.02, 0.98, None])
def test_a_revision_of_all_cities_by_up_to_two_per_cent_of_a_year_passes_with_a_note(
    factor: float | None,
) -> None:
    chance = random.Random(42)
    old = drawn_gdp(chance)
    new = {
        key: round(value * (factor or chance.uniform(0.98, 1.02)), 2) if key[3] == 2020 else value
        for key, value in old.items()
    }
    found = compared(old, new)
    assert found.lines == []
    note = next(note for note in found.notes if "published values changed" in note)
    assert note.startswith("GDP (gdp, total, vendor) 2020: 2")
    assert note.endswith("Changes of up to 2 % are usual, as declared in dbt_project.yml")
    more = {key: old[key] + 3 * (value - old[key]) for key, value in new.items()}
    assert "2020: 2" in compared(old, more).lines[0]


@pytest.mark.parametrize("city", ["10", "250"])
def test_a_city_that_is_corrected_alone_is_named_and_passes(city: str) -> None:
    """City 10 is the only city of its province, and city 250 is one of ten."""
    old = drawn_gdp(random.Random(43))
    key = ("gdp", "total", city, 2015)
    value = old[key] = round(old[key])
    found = compared(old, old | {key: 0.82 * value})
    assert found.lines == []
    (note,) = found.notes
    assert note.startswith("GDP (gdp, total, vendor): 1 value changed by more than usual: ")
    assert note.endswith(f"({city}) 2015: {value} -> {0.82 * value:.6g}")


def test_three_revisions_of_the_log_say_what_is_usual_by_age_near_the_declared_share() -> None:
    """The usual revision is twice the median change between earlier deliveries of the same year."""
    years = gdp_of(1, range(2014, 2021))
    # The deliveries of a series say nothing about other series and providers.
    others = {(name, *key[1:]): 1e6 for name in ("loans", "gdp@third") for key in years}
    old = years | others

    def usual(*moves: float, year: int = 2020) -> tuple[float, float, int]:
        values = np.cumprod([100.0, *(1 + move for move in moves)])
        rows = [(number, year, value) for number, value in enumerate(values, start=1)]
        rows.append((0, 2019 if year == 2020 else 2020, 1.0))
        found = compared(old, {key: value * 1.05 for key, value in old.items()}, delivered=rows)
        assert {row.usual for row in found.series_years if row.series != "gdp"} == {0.02}
        rows_of_gdp = (row for row in found.series_years if row.series == "gdp")
        first, *_, last = sorted(rows_of_gdp, key=lambda row: row.year)
        return round(last.usual, 6), round(first.usual, 6), last.revisions

    # Two revisions are not a history.
    assert usual(0.015, -0.015) == (0.02, 0.02, 0)
    assert usual(0.015, -0.015, 0.01) == (0.03, 0.02, 3)
    assert usual(0.015, -0.015, 0.01, year=2014) == (0.02, 0.03, 0)
    # A delivery that repeats a value does not revise it.
    assert usual(0.015, 0.0, 0.0, -0.015) == (0.02, 0.02, 0)
    # Faults and their repair.
    assert usual(99, -0.99, 99) == (0.08, 0.02, 3)
    assert usual(0.002, -0.002, 0.002) == (0.01, 0.02, 3)


def test_a_declaration_covers_its_provider_series_scope_and_years_only() -> None:
    """A table column counts as explained only if all revisions behind its estimate are declared."""
    years = {"first_year": 2015, "last_year": 2016}
    covering: dict[str, dict[str, Any]] = {
        "all": {},
        "any_scope": {"scope": "*"},
        "first_year": {"last_year": 2015},
        "too_few": {"last_year": 2015},
    }
    others: dict[str, dict[str, Any]] = {
        "later_years": {"first_year": 2017, "last_year": 2020},
        "other_provider": {"provider": "csmar"},
        "other_scope": {"scope": "industry"},
        "other_series": {"series": "loans"},
    }
    cases = covering | others
    old = {
        (series, *key[1:]): value
        for series in cases
        for key, value in gdp_of(30, range(2014, 2018)).items()
    }
    new = {key: value * 2 if key[3] in (2015, 2016) else value for key, value in old.items()}
    for city in range(1, 30):
        new["too_few", "total", str(city), 2016] = 100.0 + city
    declared = [declaration(**{"series": series} | years | case) for series, case in cases.items()]
    found = compared(old, new, *declared)
    assert {row.label for row in found.series_years} == cases.keys()
    held = {(row.series, row.year) for row in found.held_series_years}
    assert held == {("first_year", 2016)} | {
        (name, year) for name in others for year in (2015, 2016)
    }
    assert found.explained_specifications == {"on_all", "on_any_scope"}
    assert [row.series for row in found.declarations] == [*covering]


READ = """
    create table built.marts.fct_delivered_values as from (values
        ('gdp', '0', 2014, 'a', null, 1), ('gdp', '0', 2015, 'a', null, 1),
        ('gdp', '0', 2017, 'a', null, 1),
        ('gdp', '1', 2015, 'a', null, 1), ('gdp', '1', 2015, 'b', null, 1),
        ('gdp', '2', 2015, 'a', null, 1), ('gdp', '2', 2015, 'b', 3, 1),
        ('gdp', '3', 2015, 'a', null, 1), ('gdp', '3', 2015, 'b', null, null),
        ('gdp', '6', 2015, 'a', null, 1), ('gdp', '7', 2015, 'b', null, 1)
    ) as rows (series, city_id, year, file_path, valid_until_delivery, delivered_value);
    alter table built.marts.fct_delivered_values add column provider varchar default 'vendor';
    insert into built.marts.fct_delivered_values values
        ('patents', '0', 2015, 'b', null, 1, 'register');
    insert into old.marts.fct_delivered_values
        (city_id, year, file_path, valid_until_delivery, delivered_value) values
        ('1', 2014, 'a', null, 1), ('1', 2017, 'a', null, 1),
        ('4', 2015, 'a', null, 1), ('5', 2015, 'b', null, 1),
        ('6', 2015, 'b', null, 1), ('7', 2015, 'a', null, 1),
        ('8', 2015, 'a', null, 1), ('8', 2015, 'b', 3, 1),
        ('9', 2015, 'a', null, 1), ('9', 2015, 'b', null, null);
    create schema built.raw;
    create table built.raw.deliveries as from (values
        ('vendor', 'a', null), ('vendor', 'b', null), ('register', 'a', null), ('register', 'b', 2)
    ) as files (provider, file_path, valid_until_delivery)
"""


def test_values_of_files_that_are_read_again_are_declared_in_their_years() -> None:
    """Every file with a value must be read again; a lost value was in the published files."""
    names = ("gdp", "loans", "firms@register", "patents@register", "gdp@third")
    old = {
        (series, *key[1:]): value
        for series in names
        for key, value in gdp_of(10, range(2014, 2018)).items()
    }
    new = {key: value * 1.05 for key, value in old.items()}
    for city in "4589":
        del new["gdp", "total", city, 2015]
    again = ReadAgain(range(2015, 2017), frozenset({"a"}))
    found = compared(old, new, read_again=again, statements=[READ])
    expected = {("gdp", city, 2015) for city in "0234689"} | {
        ("firms@register", str(city), year) for city in range(10) for year in again.years
    }
    assert {
        (cell.series, cell.city_id, cell.year) for cell in found.cells if cell.is_declared
    } == expected
    assert len(found.cells) == len(old)


def test_a_changed_correction_declares_its_values_of_both_cities_only() -> None:
    names = ("gdp", "loans", "gdp@third")
    old = {
        (series, scope, *key[2:]): value
        for series in names
        for scope in ("total", "industry")
        for key, value in gdp_of(6, range(2014, 2016)).items()
    }
    new = {key: value * (1.05 if key[2] != "5" else 1) for key, value in old.items()}
    row = "('{}', 'why', 'vendor', 'gdp', 'total', 2014, '{}', '{}', 'multiply', {})"
    kept, added, idle = row.format(0, 3, 3, 2), row.format(1, 1, 2, 2), row.format(4, 5, 5, 2)
    edited = [row.format(2, 4, 4, factor) for factor in (2, 3)]
    removed = row.format(3, 0, 0, 2)
    found = compared(
        old,
        new,
        statements=[
            f"insert into old.marts.fct_corrections values {kept}, {edited[0]}, {removed}",
            f"insert into built.marts.fct_corrections values {kept}, {edited[1]}, {added}, {idle}",
        ],
    )
    assert {(*cell[:3], cell.year) for cell in found.cells if cell.is_declared} == {
        ("gdp", "total", city, 2014) for city in "0124"
    }
    assert found.corrections == tuple(f"correction {number}: why" for number in (1, 2, 3))


def declared(revision: str, reason: str = "census") -> Act:
    return done(by_hand.declare_revisions, [revision], reason, "me")


def test_what_is_no_revision_is_not_declared_and_a_changed_log_ends_a_refresh(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = "vendor,gdp_100m_cny,total,2015:2016"
    for good, bad, message in (
        ("gdp_100m_cny", "gdp", "series is 'gdp', .* a series of series.csv"),
        ("2015:2016", "2016:2015", "the last year, 2015, is before the first year, 2016"),
        ("2015", "15", "first_year is '15', .* greater than or equal to 1000"),
        ("vendor", "", "provider is '', .* a text"),
        (",total", "", "last_year is missing"),
    ):
        wrong = right.replace(good, bad)
        refused = (declared(wrong), BadConfigurationError, f"--revision {wrong}: ", message)
        replay(refreshes, refused)
    replay(refreshes, (declared(right, ""), BadConfigurationError, "reason is '', .* a text"))
    assert declared_revisions.read_revisions("sample") == []
    replay(refreshes, (declared(right), None), (declared("vendor,*,*,2017"), None))
    rows = declared_revisions.read_revisions("sample")
    assert [(row.series, row.last_year) for row in rows] == [("gdp_100m_cny", 2016), ("*", 2017)]
    assert {row.declared_by for row in rows} == {"me"}
    assert declared_revisions.read_revisions("public") == []
    written = declared_revisions.open_chain(settings.landing_dir()).path
    written.write_text(written.read_text().replace("2016", "2019"))
    damage = r"revisions\.jsonl, line 1 was altered or damaged\. .* from the same backup"
    replay(refreshes, (again(), RefreshError, damage))
    assert refreshes.store.read_refreshes() == []
    monkeypatch.setenv("RELEASE_DIR", str(refreshes.store.folder))
    assert re.search(damage, *verify.verify().damage_lines)


@pytest.fixture
def published(refreshes: Refreshes) -> Refreshes:
    """Publish a first release, and return refreshes that use the default limits."""
    hashes = fingerprint.hash_deliveries(refreshes.build.extracts)
    past_release(refreshes.store, refreshes.build.warehouse, delivery_hashes=hashes)
    refreshes.store.publish_release("000001")
    refreshes.limits = LIMITS
    return refreshes


def revised(years: str, factor: float) -> str:
    """Return an SQL statement that multiplies GDP by a factor in some years."""
    return f"update {CONFORMED} set value = value * {factor} where {GDP} and year in ({years})"


def test_a_rewritten_series_is_held_until_it_is_declared(published: Refreshes) -> None:
    count = f"select count(value) from {CONFORMED} where {GDP} and year in (2017, 2018)"
    cities = published.build.value(count)
    series = r"^GDP \(gdp_100m_cny, total, vendor\)"
    lines = (
        "exit 7, Release 000002 is held, because it changes published results.",
        f"{series} 2017-2018: {cities} of {cities} published values changed",
        "^The deliveries are the same as in release 000001, so code, seeds or packages caused the",
        "accept --revision vendor,gdp_100m_cny,total,2017:2018 --reason '...'$",
    )
    replay(published, (delivered(revised("2017, 2018", 1.05)), HeldError, *lines))
    report = json.loads(
        (published.store.locate_held_build("000002") / "report.json").read_text("utf-8")
    )
    assert re.match(lines[1], report["found"][0])
    values = pd.read_csv(io.StringIO("\n".join(report["rewritten_values"])))
    assert (len(values), {*values["year"]}) == (cities, {2017, 2018})
    assert np.allclose(values["new_value"] / values["old_value"], 1.05)

    def accepted(refreshes: Refreshes) -> None:
        arguments = "accept --revision vendor,gdp_100m_cny,total,2017:2018 --reason census --by Li"
        landing_dir = str(settings.landing_dir())
        given = arguments.split()
        output_of(command(refreshes.store, refreshes.build, *given, LANDING_DIR=landing_dir))

    revision = r"revision of gdp_100m_cny \(total\) from vendor, "
    reason = (
        f"{revision}2016-2017, declared by me .*: census;"
        f" {revision}2017-2018, declared by Li .*: census"
    )
    replay(
        published,
        (declared("vendor,gdp_100m_cny,total,2016:2017"), None),
        (again(), HeldError, f"{series} 2018: "),
        (accepted, None),
        (again(), "000004", rf"^by refresh, {reason}\.$", r"^\('declared', {'revisions': \['rev"),
    )


GDP_REVISION = "vendor,gdp_100m_cny,*,2017:2018"


@pytest.mark.soak
def test_a_declaration_that_was_used_or_is_older_lets_nothing_else_pass(
    published: Refreshes,
) -> None:
    """A declaration covers one release only, even after a rollback to the release that it names."""
    replay(
        published,
        (declared(GDP_REVISION, "census"), None),
        (delivered(revised("2017, 2018", 1.05)), "000002"),
        (delivered(revised("2017, 2018", 1.5)), HeldError),
        (done(by_hand.roll_back, "000001"), "000001"),
        (again(), HeldError),
        (declared(GDP_REVISION, "second census"), None),
        (again(), "000005", "second census"),
    )


def test_of_estimates_only_shown_columns_hold_a_release(published: Refreshes) -> None:
    reading = "specification_id = 'a_reading' and term = 'ai_firms'"
    shown = "specification_id = 'table_1_col_1' and term = 'ai_firms'"
    replay(
        published,
        (moved(9, rows=reading), "000002"),
        (moved(1.1, rows=f"{reading} or {shown}"), HeldError, r"An estimate moved by 1\.10 "),
    )


def least_squares(build: Build, last_year: int) -> dict[str, float]:
    """Estimate Table 1, column 1 up to a last year by OLS with city and year dummies."""
    terms = [
        "ln1p_ai_firms_scaled",
        "ln_registered_population",
        "ln_unit_employment",
        "ln_rd_personnel",
    ]
    rows = build.frame(
        f"select city_id, year, ln_gdp, {', '.join(terms)} from marts.fct_city_year_panel inner"
        " join estimates.estimation_samples using (city_id, year) where specification_id ="
        f" 'table_1_col_1' and year <= {last_year} order by all"
    )
    effects = pd.get_dummies(rows[["city_id", "year"]].astype(str), dtype=float, drop_first=True)
    regressors = np.column_stack([rows[terms], effects, np.ones(len(rows))])
    slopes = np.linalg.lstsq(regressors, rows["ln_gdp"].to_numpy(), rcond=None)[0]
    return dict(zip(["ai_firms", *terms[1:]], map(float, slopes), strict=False))


def test_columns_are_estimated_once_more_on_their_years(
    sample_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    names = ("table_1_col_1", "heterogeneity_region", "table_4_col_4", "table_5_col_1")
    built = {
        (name, term): estimate
        for name, term, estimate in sample_build.rows(
            "select specification_id, term, estimate from reports.rpt_coefficients "
            f"where estimate is not null and specification_id in {names}"
        )
    }
    with open_read_only(sample_build.warehouse) as warehouse:
        again = published_years.reestimate_columns(warehouse, dict.fromkeys(names, (2010, 2020)))
    assert again == pytest.approx(built, rel=1e-9)


@pytest.mark.soak
@pytest.mark.parametrize(("shift", "is_held"), [(0.0, False), (2.0, True)])
def test_what_new_years_add_to_an_estimate_is_no_revision(
    shift: float, is_held: bool, sample_refreshes: Refreshes
) -> None:
    """The published sample ends in 2018 and has tiny standard errors, so that the estimate moves
    far beyond the limit when new years are added.
    """
    sample_refreshes.limits = LIMITS
    estimates = least_squares(sample_refreshes.build, 2018)
    estimates["ai_firms"] += shift * 1e-4
    column = "where specification_id = 'table_1_col_1'"
    to_2018 = delivered(
        f"delete from estimates.estimation_samples {column} and year > 2018",
        f"update reports.rpt_coefficients set std_error = 1e-4 {column}",
        *(
            f"update reports.rpt_coefficients set estimate = {estimate!r} {column} and term ="
            f" '{term}'"
            for term, estimate in estimates.items()
        ),
    )
    held = (HeldError, r"standard errors\. REFRESH_HOLD_ABOVE allows .*: table_1_col_1 ")
    note = (
        "'table_1_col_1 moved by .* standard errors because its sample includes new years."
        r" Re-estimated on the published years, 2010-2018, it moved by 0\.00\.'"
    )
    end = held if is_held else ("000002", note)
    replay(sample_refreshes, (to_2018, "000001"), (delivered(), *end))


@pytest.mark.parametrize(
    ("again", "years", "doubted", "is_judged"),
    [
        # The estimate on the published years is unchanged, so the new years explain the difference.
        (0.1, (2010, 2020), [], False),
        (0.3, (2009, 2018), [], False),
        (0.1, (2010, 2018), [], True),
        # New years with doubtful values do not excuse a large change of the estimate.
        (0.1, (2010, 2020), ["one"], True),
        (0.31, (2010, 2020), [], True),
    ],
)
def test_new_years_excuse_a_move_unless_they_are_doubted_or_it_moved_without_them(
    again: float,
    years: tuple[int, int],
    doubted: list[str],
    is_judged: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        published_years,
        "reestimate_columns",
        lambda *_: {("one", "ai_firms"): again, ("one", "gdp"): 0.1},
    )
    types = ", ".join(f"{name} {kind}" for name, (kind, _) in changes.COLUMNS.items())
    with duckdb.connect() as published, duckdb.connect() as release:
        for connection, (first, last) in ((published, (2010, 2018)), (release, years)):
            connection.execute(f"""
                create schema reports; create schema estimates; create schema release;
                create table reports.rpt_column_specifications as select 'one' as specification_id;
                create table estimates.estimation_samples as
                select 'one' as specification_id, unnest([{first}, {last}]) as year;
                create table reports.rpt_coefficients as from (values
                    ('one', 'ai_firms', 0.1e0, 0.1e0), ('one', 'gdp', 0.1e0, 0.1e0),
                    ('one', 'constant', 0.1e0, 0e0), ('two', 'ai_firms', 0.1e0, 0.1e0)
                ) as coefficients (specification_id, term, estimate, std_error);
                create table release.changes ({types});
                insert into release.changes by name select
                    'estimate_changed' as change_kind, 'one' as specification_id,
                    'ai_firms' as term, 0.1 as old_value, 0.5 as new_value,
                    0.1 as old_std_error, 0.1 as new_std_error, 4 as moved_std_errors,
                    false as is_sign_changed, false as is_stars_changed,
                    false as is_interval_changed
            """)
        moved = moves.find_moves(published, release, release, 2, frozenset(), doubted)
    assert moved.judged_changes.exceeds(2) is is_judged
    note = (
        "one moved by 4.00 standard errors because its sample includes new years. Re-estimated on"
        f" the published years, 2010-2018, it moved by {10 * again - 1:.2f}"
    )
    assert moved.notes == (() if is_judged else (note,))


def test_a_city_that_is_in_no_file_any_more_is_held_by_name_though_counts_say_zero(
    published: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A city without records counts as zero firms, so the city is reported although no value is
    lost.
    """
    monkeypatch.setenv("LC_ALL", "C")
    gone = "city_id in ('330100', '320500')"
    lost = delivered(
        f"update {CONFORMED} set value = 0 where {gone} and scope <> 'total'",
        f"delete from {CONFORMED} where {gone} and scope = 'total'",
    )
    said = r"had a value in every published year, 2010-2020, but no longer has one: "
    hangzhou, suzhou = rf"^Hangzhou \(330100\) {said}", rf"^Suzhou \(320500\) {said}"
    declarable = " --revision vendor,gdp_100m_cny,total,2010:2020 "
    replay(published, (lost, HeldError, hangzhou, suzhou, declarable))


def test_a_city_is_lost_with_a_full_history_only() -> None:
    old = gdp_of(100, range(2017, 2021))
    del old["gdp", "total", "7", 2019]
    # Years of another scope do not count.
    old |= {("gdp", "industry", "50", year): 1.0 for year in range(2018, 2021)}
    old["gdp", "total", "8", 2019] = 0.0
    less = {key: value for key, value in old.items() if key[2] not in ("7", "8", "9")}
    (lost,) = compared(old, less).lost_cities
    assert lost == ("9", "", "gdp", "total", "vendor", "GDP", "gdp", 2017, 2020)
    assert compared(old, less, declaration()).lost_cities == ()
    # In series of counts, a city without records has zeros instead of missing values.
    zeros = {("gdp", "total", "9", year): 0.0 for year in range(2017, 2021)}
    assert compared(old, less | zeros).lost_cities == (lost,)
    assert compared(old, less | {("gdp", "total", "9", 2020): 1.0}).lost_cities == ()


def test_small_steps_are_warned_of_and_held_by_their_sum_until_a_person_accepts_them(
    published: Refreshes,
) -> None:
    """Each step is below the limit, but the steps add up to 1.63 standard errors."""
    replay(
        published,
        (moved(0.2), "000002"),
        (moved(0.4), "000003"),
        (
            moved(0.96),
            "000004",
            rf"{DRIFT}000001 \(the first; no release has been accepted\) .*: table_2_col_3 ",
            r"0\.96 standard errors\. Above 1, a release is held\.",
        ),
        (moved(1.63), HeldError, rf"{DRIFT}000001 .*: table_2_col_3 .*, 1\.63 standard errors"),
        (done(by_hand.accept_release, "000004", "compared with the office"), "000004"),
        (
            again(),
            "000006",
            rf"{DRIFT}.*with the office\) .*: table_2_col_3 .*0\.67 standard errors",
        ),
    )


@pytest.mark.soak
def test_a_rollback_loses_no_anchor_and_what_a_person_publishes_is_accepted(
    published: Refreshes,
) -> None:
    replay(
        published,
        (moved(0.9), "000002", DRIFT),
        (done(by_hand.accept_release, "000002", "compared with the office"), "000002"),
        (moved(1.6), "000003", DRIFT),
        (done(by_hand.roll_back, "000001"), "000001"),
        (moved(1.01), HeldError, rf"{DRIFT}000001 \(the first"),
        (done(by_hand.roll_back, "000003"), "000003"),
        (moved(2.1), HeldError, rf"{DRIFT}000002 \(accepted on 20\d\d-.*, 1\.20 standard errors"),
        (
            done(by_hand.publish_held_build, "000005", "the provider was asked"),
            "000005",
            "^by hand, the provider was asked",
        ),
        (moved(2.5), "000006", r"^anchor 000005, the provider was asked\."),
    )


def test_the_next_anchor_moves_by_explained_changes_only() -> None:
    names = ("unexplained", "revised", "grown", "new")
    old = {(name, "x"): (1.0, 0.5) for name in names[:3]}
    new = {(name, "x"): (1.7, 0.25) for name in names}
    anchor = Anchor("000003", "", "", {(name, "x"): (4.0, 0.1) for name in names[:3]})
    no_changes = changes.Summary({}, 0.0)
    explained = moves.Moves(no_changes, (), frozenset({"revised"}), {("grown", "x"): 1.2})

    carried = anchor.carry_forward(old, new, explained)

    assert (carried.release_id, [*carried.estimates]) == ("000003", [*new])
    assert carried.estimates == {
        ("unexplained", "x"): (4.0, 0.1),
        # The whole change from 1.0 to 1.7 is declared.
        ("revised", "x"): (pytest.approx(4.7), 0.25),
        # The published years alone give 1.2, so the new years explain 0.5 of the change.
        ("grown", "x"): (pytest.approx(4.5), 0.25),
        ("new", "x"): (1.7, 0.25),
    }


def test_a_declared_revision_explains_its_own_drift_and_no_other(published: Refreshes) -> None:
    rewritten = (
        f"update {CONFORMED} set value = value * 1.5 where series = 'invention_grant_count' "
        "and scope = 'industry' and year = 2018"
    )
    replay(
        published,
        (declared("vendor,*,*,2018", "recount"), None),
        (moved(2, rewritten), "000002", r"recount\.$"),
        (moved(2.9, rewritten), "000003", rf"{DRIFT}000001.*0\.90 standard errors"),
    )


def test_a_declared_correction_is_no_hold_and_its_reason_is_published(
    published: Refreshes,
) -> None:
    corrected = (
        f"update {CONFORMED} set value = value * 3 where series = 'invention_grant_count'"
        " and year = 2018 and city_id = '440300'"
    )
    row = (
        "insert into marts.fct_corrections values ('grants_2018', 'a digit was lost', 'vendor',"
        " 'invention_grant_count', 'industry', 2018, '440300', '440300', 'multiply', 3)"
    )
    reason = r"^by refresh, correction grants_2018: a digit was lost\.$"
    replay(
        published,
        (moved(2, corrected), HeldError, r"An estimate moved by 2\.00"),
        (moved(2, corrected, row), "000003", reason),
        # A declared correction excuses a changed estimate only once, and removing the correction
        # counts as a new change.
        (moved(3.5, row, f"{corrected} and false"), HeldError, r"An estimate moved by 1\.50"),
        (moved(0), "000005", reason),
    )


def test_a_person_accepts_the_published_release_with_a_reason_and_the_commands_show_it(
    published: Refreshes,
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        ended = command(published.store, published.build, *arguments)
        assert ended.returncode == code, ended.stderr
        return ended.stderr if code else ended.stdout

    for release, reason, words in (
        (["000002"], "right", "it is not the published release (published: 000001)."),
        (["000001"], " ", "Give a reason for accepting"),
        ([], "right", "Give either the number of a release or --revision."),
    ):
        assert words in run("accept", *release, "--reason", reason, code=2)
    run("accept", "000001", "--reason", "compared with the yearbook")
    anchor = json.loads(run("status", "--json"))["anchor"]
    assert anchor["reason"] == "compared with the yearbook"
    assert anchor["accepted_at"] == published.store.read_refreshes()[-1]["at"]
    said = "drift: at most 0.00 standard errors from release 000001 (accepted on "
    assert said in run("status")
    assert run("releases").rstrip().endswith("(anchor)")


@pytest.mark.parametrize("is_moved", [pytest.param(False, marks=pytest.mark.soak), True])
def test_where_the_published_path_is_empty_the_release_that_readers_saw_last_counts(
    is_moved: bool, published: Refreshes, tmp_path: Path
) -> None:
    def emptied(refreshes: Refreshes) -> None:
        there = tmp_path / "new place/ai_manufacturing.duckdb"
        if is_moved:
            refreshes.store = replace(refreshes.store, published_path=there)
        else:
            refreshes.store.published_path.unlink()

    replay(
        published,
        (moved(0.3), "000002"),
        (done(by_hand.roll_back, "000001"), "000001"),
        (emptied, None),
        (moved(1.2), HeldError, r"An estimate moved by 1\.20 standard errors"),
        (moved(0.9), "000004", DRIFT),
    )


@pytest.mark.soak
def test_years_read_again_free_their_values_but_none_of_a_file_that_was_delivered_since(
    sample_refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracts = Path(shutil.copytree(sample_refreshes.build.extracts, tmp_path / "sample"))
    (yearbook,) = (extracts / "city_yearbook").glob("*2018*")
    content = yearbook.read_bytes()
    cells = "city_id = '440300' and year in (2012, 2018)"
    changed = (
        revised("2017, 2018", 1.05),
        f"update marts.fct_city_year_panel set ln_gdp = ln_gdp + 1 where {cells}",
    )
    series = r"GDP \(gdp_100m_cny, total, vendor\)"
    replay(sample_refreshes, (again(), "000001"))
    sample_refreshes.limits = LIMITS
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    yearbook.write_bytes(content + b"\n")
    replay(
        sample_refreshes,
        (delivered(*changed, years=range(2010, 2021)), HeldError, f"{series} 2018: "),
        (lambda _: yearbook.write_bytes(content), None),
        (again(years=range(2018, 2021)), HeldError, f"{series} 2017: "),
        (
            again(years=range(2017, 2019)),
            "000004",
            "^by refresh, years 2017:2018 read again.$",
            r"^\('read again', {'years': '2017:2018', 'files': 8}\)$",
            "Years outside 2017:2018 also changed. ln_gdp: 1 cell in 1 city changed in 2012",
        ),
    )
    # A file that was deleted from the delivery folder cannot be read again.
    manifest = sample_refreshes.store.read_current_manifest()
    path = f"city_yearbook/{yearbook.name}"
    assert judgement.find_unchanged_files([path], manifest.delivery_hashes, manifest) == {path}
    assert judgement.find_unchanged_files([path], {}, manifest) == frozenset()


def test_a_held_build_is_judged_again_without_a_build_and_gives_what_a_build_would_have_given(
    published: Refreshes,
) -> None:
    store, contents = published.store, []

    def kept(_: Refreshes) -> None:
        manifest = check(store.published_path)
        tables = [*manifest.row_counts, "release.changes"]
        rows = [read(store.published_path, f"from {name}") for name in tables]
        contents.append([manifest.reason, *rows])

    replay(
        published,
        (delivered(revised("2017, 2018", 1.05)), HeldError, "^builds 1$"),
        (declared("vendor,gdp_100m_cny,total,2017:2018"), None),
        (again(), "000003", "^builds 1$"),
        (kept, None),
    )
    assert store.list_held_ids() == []
    # Rebuilding from the same deliveries must give the same release.
    replay(
        published,
        (done(by_hand.roll_back, "000001"), "000001"),
        (lambda _: store.locate_past_release("000003").unlink(), None),
        (again(), "000004", "^builds 1$"),
        (kept, None),
    )
    assert contents[0] == contents[1]


def test_what_the_gate_held_is_built_again_once_a_revision_is_declared(
    published: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = build.run_dbt
    monkeypatch.setattr(build, "run_dbt", lambda *given, **options: not copied(*given, **options))
    monkeypatch.setattr(build, "has_failed_gate", lambda work: True)
    replay(
        published,
        (delivered(revised("2020", 1.0)), GateFailedError, "^builds 1$"),
        (again(), GateFailedError, "^builds 1$"),
        (declared("vendor,gdp_100m_cny,total,2020"), None),
        (again(), GateFailedError, "^builds 2$"),
        (again(), GateFailedError, "^builds 2$"),
    )


def test_a_held_build_is_judged_again_by_another_limit_and_a_damaged_one_is_built(
    published: Refreshes,
) -> None:
    def damaged(refreshes: Refreshes) -> None:
        for number in refreshes.store.list_held_ids():
            report = refreshes.store.locate_held_build(number) / "report.json"
            report.chmod(0o644)
            report.write_text(report.read_text() + " ")

    why = "An estimate moved by"
    replay(
        published,
        (moved(2), HeldError, why, "^builds 1$"),
        (again(Limits(hold_shown_above=1.5)), HeldError, why, "^builds 1$"),
        (damaged, None),
        (again(Limits(hold_shown_above=1.8)), HeldError, why, "^builds 2$"),
        (again(Limits(hold_shown_above=3)), "000005", "^builds 2$", DRIFT),
    )


def booked_at_the_capital(rows: pd.DataFrame, years: tuple[int, ...]) -> pd.DataFrame:
    """Assign a third of each city's patent applications to its province capital."""
    of_year = (
        rows["series"].str.endswith("application_count")
        & rows["year"].isin(years)
        & rows["value"].notna()
    )
    capital = rows["city_id"].str[2:] == "0100"
    place = [rows["series"], rows["scope"], rows["year"], rows["city_id"].str[:2]]
    has_capital = (of_year & capital).groupby(place).transform("any")
    third = (rows["value"] / 3).where(of_year & ~capital & has_capital, 0)
    booked = third.groupby(place).transform("sum").where(of_year & capital, 0)
    return rows.assign(value=rows["value"] - third + booked)


def with_series(warehouse: Path, rows: pd.DataFrame, used: pd.DataFrame) -> None:
    """Write series into a warehouse, with the gate's statistics for each series and year."""
    years = judged_samples.checked(rows, used)["series_years"]
    with duckdb.connect(warehouse) as connection:
        for table, content in ((CONFORMED, rows), (YEARS, years)):
            connection.register("content", content)
            connection.execute(f"create or replace table {table} as from content")


@pytest.mark.soak
def test_columns_that_new_years_booked_at_the_capital_move_or_give_are_held(
    sample_refreshes: Refreshes,
) -> None:
    sample_refreshes.limits = LIMITS
    column, gained = "table_1_col_2", "table_2_col_2"
    table = "reports.rpt_coefficients"
    with open_read_only(sample_refreshes.build.warehouse) as warehouse:
        to_2018 = published_years.reestimate_columns(warehouse, {column: (2010, 2018)})
    published = delivered(
        f"delete from {CONFORMED} where year > 2018",
        f"delete from estimates.estimation_samples where specification_id = '{column}' and year >"
        " 2018",
        f"update {table} set estimate = null where specification_id = '{gained}'",
        *(
            f"update {table} set estimate = {estimate!r}, std_error = 1e-4 "
            f"where specification_id = '{column}' and term = '{term}'"
            for (_, term), estimate in to_2018.items()
        ),
    )
    replay(sample_refreshes, (published, "000001"))
    rows = booked_at_the_capital(sample_refreshes.build.frame(f"from {CONFORMED}"), (2019, 2020))
    used = sample_refreshes.build.frame("from marts.dim_specification_series")
    with_series(sample_refreshes.of(), rows, used)
    replay(
        sample_refreshes,
        (
            again(),
            HeldError,
            r"\(invention_application_count, industry, vendor\) 2019: .* in the median province the"
            r" capital's share changed by \+0\.325, compared with at most"
            rf" .* move or appear: (?=.*\b{column}\b).*\b{gained}\b",
            " --revision vendor,invention_application_count,industry,2019:2019 .*\n.*\nbuilds",
        ),
    )


def test_an_odd_new_year_is_noted_and_then_holds_columns_that_move_with_it(
    published: Refreshes,
) -> None:
    odd = (
        f"insert into {YEARS} by name select 'invention_grant_count' as series, 'industry' as"
        " scope, 'vendor' as provider, 2021 as year, '440300' as gaining_cities"
    )
    note = r"2021\. Largest gains: .*\. No published year shows changes of this size\."
    held = "this size, and columns that use this year move or appear: table_2_col_3[.]"
    revision = "vendor,invention_grant_count,industry,2021"
    replay(
        published,
        (moved(0.2, odd), "000002", note),
        (moved(1.3, odd), HeldError, held, f" --revision {revision}:2021 "),
        (declared(revision), None),
        (again(), HeldError, r"\A(?![\s\S]*move or appear)"),
    )


def odd_years(last_year: int, warehouse: Path) -> list[OddYear]:
    """Find odd years of a warehouse after a release that contains values up to a last year."""
    with duckdb.connect() as connection:
        connection.execute(
            f"attach {quote_literal(warehouse)} as built (read_only);"
            " attach ':memory:' as new; create schema new.release;"
            " attach ':memory:' as old; create schema old.release"
        )
        revisions.write_series_values(connection)
        connection.execute(
            "create table old.release.series_values as from new.release.series_values where year"
            f" <= {last_year}"
        )
        declared_revisions.create_declared_table(connection, [])
        return new_years.find_odd_years(connection, [])


def test_an_odd_new_year_is_described_with_its_specifications_and_declarations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    rows = [declaration(provider="third", first_year=2018, last_year=2018), declaration()]
    with duckdb.connect() as connection:
        connection.execute("""
            attach ':memory:' as old; attach ':memory:' as built;
            create schema old.release; create schema built.intermediate; create schema built.marts;
            create table old.release.series_values as from (values
                ('gdp@third', 'total', 2015), ('gdp@third', 'total', 2017), ('loans', 'total', 2017)
            ) as released (series, scope, year);
            create table built.intermediate.int_series_years as from (values
                ('gdp@third', 'total', 2018, '440300 110000', 0.123, 0.25, 0.2, 0.01),
                ('gdp@third', 'total', 2014, '320500', null, null, null, null),
                ('loans', 'total', 2016, '320500', null, null, null, null),
                -- These rows are published years, years that are not odd, and new series.
                ('gdp@third', 'total', 2015, '440300', 0.1, 0.1, 0.1, 0.1),
                ('gdp@third', 'total', 2017, '440300', 0.1, 0.1, 0.1, 0.1),
                ('gdp@third', 'total', 2019, null, 0.1, 0.1, 0.1, 0.1),
                ('gdp@third', 'industry', 2018, '440300', 0.1, 0.1, 0.1, 0.1),
                ('wages', 'total', 2018, '440300', 0.1, 0.1, 0.1, 0.1)
            ) as years (series, scope, year, gaining_cities, moved_share, earlier_moved_share,
                capital_shift, earlier_capital_shift);
            alter table built.intermediate.int_series_years add column provider varchar;
            update built.intermediate.int_series_years set provider = if(series = 'loans', 'vendor',
                'third');
            create table built.marts.dim_specification_series as from (values
                ('b', 'gdp@third', 'total'), ('a', 'gdp@third', 'total'),
                ('a', 'gdp@third', 'total'), ('c', 'gdp@third', 'industry'), ('d', 'gdp', 'total')
            ) as used (specification_id, series, scope);
            create table built.marts.dim_series as from (values
                ('gdp@third', 'total', 'GDP'), ('gdp@third', 'industry', 'GDP of industry')
            ) as labels (series, scope, label_en);
            create table built.marts.dim_city as from (values
                ('110000', 'Beijing', '北京市'), ('320500', 'Suzhou', '苏州市'),
                ('440300', 'Shenzhen', '深圳市')
            ) as cities (city_id, name_en, name_zh);
        """)
        declared_revisions.create_declared_table(connection, rows)
        found = new_years.find_odd_years(connection, rows)
        monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
        *_, in_chinese = new_years.find_odd_years(connection, rows)
    assert in_chinese.message.endswith("苏州市 (320500)")
    assert [(*year[:5], year.specifications, year.declared_by) for year in found] == [
        ("gdp@third", "total", 2014, "third", "gdp", ("a", "b"), ()),
        ("gdp@third", "total", 2018, "third", "gdp", ("a", "b"), (rows[0],)),
        ("loans", "total", 2016, "vendor", "loans", (), ()),
    ]
    assert [year.message for year in found[1:]] == [
        "GDP (gdp@third, total, third) 2018: 12.3 % of the total moved between cities, compared"
        " with at most 25.0 % in earlier years; in the median province the capital's share changed"
        " by +0.200, compared with at most 0.010 in earlier years. Largest gains: Shenzhen"
        " (440300), Beijing (110000)",
        "loans (loans, total, vendor) 2016. Largest gains: Suzhou (320500)",
    ]


@pytest.mark.parametrize(
    "last_year",
    [*(pytest.param(year, marks=pytest.mark.soak) for year in (2014, 2017, 2019)), 2018],
)
def test_the_real_years_after_a_public_release_are_like_those_before(
    last_year: int, public_build: Build
) -> None:
    assert odd_years(last_year, public_build.warehouse) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed_of_draw", range(700_000, 700_014))
def test_clean_draws_have_no_odd_year_and_a_third_booked_at_the_capital_is_one(
    seed_of_draw: int, audited_build: Build, tmp_path: Path
) -> None:
    rows = judged_samples.conformed(draw_city_years(seed_of_draw, period()))
    warehouse = Path(shutil.copy(audited_build.warehouse, tmp_path))
    used = audited_build.frame("from marts.dim_specification_series")

    def odd(content: pd.DataFrame, last_year: int) -> set[tuple[str, int]]:
        with_series(warehouse, content, used)
        return {(year.series, year.year) for year in odd_years(last_year, warehouse)}

    for last_year in (2014, 2016, 2018):
        assert odd(rows, last_year) == set()
    applications = ("invention_application_count", "ai_invention_application_count")
    faulty = booked_at_the_capital(rows, (2019, 2020))
    assert odd(faulty, 2018) == {(name, 2019) for name in applications}
