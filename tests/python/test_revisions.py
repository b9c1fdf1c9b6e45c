"""Rewritten history is held: which changes of published values and estimates pass, and which do not."""

import csv
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pytest

from ai_manufacturing.auditing import declared_revisions, new_years, published_years, revisions
from ai_manufacturing.auditing.declared_revisions import Declaration
from ai_manufacturing.auditing.new_years import OddYear
from ai_manufacturing.auditing.revisions import Revisions
from ai_manufacturing.refresh import build, by_hand, writer
from ai_manufacturing.releases import configured, fingerprint
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import BadConfigurationError, HeldError, NothingNewError
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.releases.store import Store
from ai_manufacturing.settings import period
from ai_manufacturing.synthetic import draw
from ai_manufacturing.system.duckdb_client import attached, reading
from ai_manufacturing.system.sql_text import literal
from benchmarks import gate
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import Refreshes, changed, command, described, quiet

HEADER = "provider,series,scope,first_year,last_year,reason,declared_on,after_release\n"
CONFORMED = "intermediate.int_series_conformed"
GDP = "series = 'gdp_100m_cny'"
LIMITS = Limits(hold_above=configured.HOLD_ABOVE)
MOVED = "specification_id = 'table_2_col_3' and term = 'ai_patent_grants'"
FINGERPRINT = fingerprint.of

Key = tuple[str, str, str, int]  # series, scope, city and year

# ---------------------------------------------------------------- values


def warehouse_of(path: Path, values: dict[Key, float]) -> Path:
    """Write a warehouse with nothing but its series."""
    columns = ["series", "quantity", "scope", "city_id", "year", "value"]
    rows = pd.DataFrame(
        [(key[0], key[0].split("@")[0], *key[1:], value) for key, value in values.items()], columns=columns
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema intermediate")
        connection.register("rows", rows)
        connection.execute(f"create table {CONFORMED} as select *, 'vendor' as provider from rows")
    return path


def release_of(path: Path, warehouse: Path) -> Path:
    """Write of a release what a later build is compared with."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(warehouse))} as built (read_only)")
        connection.execute(f"attach {literal(str(path))} as new")
        connection.execute("create schema new.release")
        connection.execute("create schema new.marts")
        revisions.write_series(connection)
        connection.execute(
            "create table new.marts.dim_series as select 'gdp' as series, 'total' as scope, 'GDP' as label_en"
        )
        connection.execute(
            "create table new.marts.dim_city as select '0' as city_id, '深圳市' as name_zh, 'Shenzhen' as name_en"
        )
        connection.execute(
            "create table new.marts.dim_specification_series as "
            "select 'column_1' as specification_id, 'gdp' as series, 'total' as scope"
        )
    return path


def compared(tmp_path: Path, old: dict[Key, float], new: dict[Key, float], *declarations: Declaration) -> Revisions:
    for name in ("old.duckdb", "new.duckdb", "release.duckdb"):
        (tmp_path / name).unlink(missing_ok=True)
    release = release_of(tmp_path / "release.duckdb", warehouse_of(tmp_path / "old.duckdb", old))
    warehouse = warehouse_of(tmp_path / "new.duckdb", new)
    with attached(tmp_path / "spill", old=release, built=warehouse) as connection:
        declared_revisions.write(connection, declarations)
        found = revisions.compare(connection, declarations)
    assert found is not None
    return found


def gdp_of(cities: int, years: range) -> dict[Key, float]:
    return {("gdp", "total", str(city), year): 100.0 + city for city in range(cities) for year in years}


def declaration(first: int, last: int, **other: str) -> Declaration:
    return Declaration(
        **{
            **{
                "provider": "vendor",
                "series": "gdp",
                "scope": "total",
                "reason": "census",
                "declared_on": "2026-11-26",
            },
            **{"after_release": "000001", "first_year": first, "last_year": last, **other},
        }
    )


@pytest.mark.parametrize(
    ("cities", "factor", "is_held"),
    [
        (5, 2.0, False),
        (6, 2.0, True),
        (6, 1.0009, False),
        (6, 1.0011, True),
        (6, 0.9989, True),
        (6, None, True),
        (5, None, False),
    ],
)
def test_a_series_and_year_is_held_above_five_per_cent_of_values_that_change_by_a_thousandth_or_are_gone(
    cities: int, factor: float | None, is_held: bool, tmp_path: Path
) -> None:
    old = gdp_of(100, range(2018, 2021))
    new = dict(old)
    for city in range(cities):
        key = ("gdp", "total", str(city), 2019)
        if factor is None:
            del new[key]
        else:
            new[key] *= factor
    assert [(found.series, found.year) for found in compared(tmp_path, old, new).beyond] == [("gdp", 2019)] * is_held


def test_new_values_years_and_series_rewrite_nothing(tmp_path: Path) -> None:
    old = gdp_of(100, range(2018, 2021))
    grown = gdp_of(150, range(2016, 2023)) | {("loans", "total", "0", 2018): 1.0}
    found = compared(tmp_path, old, grown)
    assert (found.series_years, found.lines, found.lost_city_years) == ((), [], 0)


def test_a_series_that_moves_from_zero_or_to_another_scope_is_rewritten(tmp_path: Path) -> None:
    old = {("patents", "industry", str(city), 2018): 0.0 for city in range(10)}
    new = {("patents", "industry", str(city), 2018): float(city == 3) for city in range(10)}
    (found,) = compared(tmp_path, old, new).beyond
    assert (found.published, found.rewritten, found.lost) == (10, 1, 0)
    moved = {("patents", "manufacturing", city, year): value for (_, _, city, year), value in old.items()}
    (found,) = compared(tmp_path, old, moved).beyond
    assert (found.rewritten, found.lost) == (10, 10)


@pytest.mark.parametrize(("locale", "city"), [("C", "Shenzhen"), ("zh_CN.UTF-8", "深圳市")])
def test_the_message_names_series_years_cities_and_values_by_size(
    locale: str, city: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    old = gdp_of(40, range(2014, 2021))
    new = {
        key: value * (3 if key[2] == "0" else 1.5) if key[3] in (2015, 2016, 2019) else value
        for key, value in old.items()
    }
    del new["gdp", "total", "7", 2016]
    (line,) = compared(tmp_path, old, new).lines
    assert line == (
        "GDP (gdp, total, vendor) 2015-2016, 2019: 120 of 120 published values changed by more than 0.1 %, 1 of them "
        f"are gone. Largest: {city} (0) 2015: 100 -> 300;  (7) 2016: 107 -> none;  (1) 2015: 101 -> 151.5."
    )


def test_more_than_one_per_cent_of_lost_city_years_is_held_though_no_series_is(tmp_path: Path) -> None:
    old = gdp_of(1000, range(2019, 2021))
    for count, is_held in ((20, False), (21, True)):
        gone = {(str(city), 2019 + city % 2) for city in range(count)}
        new = {key: value for key, value in old.items() if (key[2], key[3]) not in gone}
        found = compared(tmp_path, old, new)
        assert (found.beyond, found.lost_city_years) == ((), count)
        assert found.lines == [f"{count} of 2000 published city-years have no value any more, more than 1 %."] * is_held
    assert compared(tmp_path, old, new, declaration(2019, 2020)).lines == []


def test_random_rewrites_are_counted_as_by_hand(tmp_path: Path) -> None:
    draw = random.Random(7)
    for _ in range(5):
        keys = [
            (series, scope, str(city), year)
            for series in ("gdp", "gdp@csmar")
            for scope in ("total", "industry")
            for city in range(30)
            for year in range(2015, 2018)
        ]
        old = {key: draw.choice([0.0, 1.0, -2.0, 300.0]) for key in keys if draw.random() < 0.9}
        new = {
            key: old.get(key, 1.0) * draw.choice([1, 1, 1, 1.0001, 1.01, 0.5]) for key in keys if draw.random() < 0.95
        }
        rewritten: Counter[tuple[str, str, int]] = Counter()
        for (series, scope, city, year), value in old.items():
            now = new.get((series, scope, city, year))
            rewritten[series, scope, year] += now is None or abs(now - value) > 0.001 * abs(value)
        published = Counter((series, scope, year) for series, scope, _, year in old)
        found = compared(tmp_path, old, new)
        assert {(row.series, row.scope, row.year): (row.published, row.rewritten) for row in found.series_years} == {
            key: (published[key], count) for key, count in rewritten.items() if count
        }
        assert {(row.series, row.scope, row.year) for row in found.beyond} == {
            key for key, count in rewritten.items() if count > published[key] / 20
        }
        assert len(found.cells) == rewritten.total()


# ---------------------------------------------------------------- declared revisions


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        (declaration(2015, 2016), True),
        (declaration(2010, 2020, scope="*"), True),
        (declaration(2015, 2015), False),
        (declaration(2017, 2020), False),
        (declaration(2010, 2020, provider="csmar"), False),
        (declaration(2010, 2020, series="loans"), False),
        (declaration(2010, 2020, scope="industry"), False),
    ],
)
def test_a_declaration_covers_its_provider_series_scope_and_years_only(
    row: Declaration, passes: bool, tmp_path: Path
) -> None:
    old = gdp_of(30, range(2014, 2018))
    new = {key: value * 2 if key[3] in (2015, 2016) else value for key, value in old.items()}
    found = compared(tmp_path, old, new, row)
    assert (found.lines == []) == passes
    assert found.explained == ({"column_1"} if passes else set())
    assert (row in found.declarations) == (
        row.series == "gdp" and row.provider == "vendor" and row.scope != "industry" and row.first_year < 2017
    )


def test_a_column_with_one_undeclared_value_is_not_explained(tmp_path: Path) -> None:
    old = gdp_of(30, range(2014, 2018))
    new = {key: value * 2 if key[3] == 2015 else value for key, value in old.items()}
    new["gdp", "total", "0", 2016] *= 2
    found = compared(tmp_path, old, new, declaration(2015, 2015))
    assert (found.lines, found.explained) == ([], frozenset())


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the seed of declared revisions that refreshes of this test read."""
    path = tmp_path / "seeds/declared_revisions.csv"
    path.parent.mkdir()
    shutil.copy(PROJECT / "seeds/series.csv", path.parent)
    path.write_text(HEADER, encoding="utf-8")
    monkeypatch.setattr(declared_revisions, "SEED", path)
    return path


def test_the_seed_of_the_project_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    assert declared_revisions.read() == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("vendor,gdp,total,2015,2016,census,2026-11-26,000001", "series: 'gdp' is not a series of series.csv"),
        ("vendor,gdp_100m_cny,total,2016,2015,census,2026-11-26,000001", "last_year: '2015' is not a year from"),
        ("vendor,gdp_100m_cny,total,15,2016,census,2026-11-26,000001", "first_year: '15' is not a year"),
        ("vendor,gdp_100m_cny,total,2015,2016,,2026-11-26,000001", "reason: '' is not a reason in words"),
        ("vendor,gdp_100m_cny,total,2015,2016,census,26.11.2026,000001", "declared_on: '26.11.2026' is not a date"),
        ("vendor,gdp_100m_cny,total,2015,2016,census,2026-11-26,1", "after_release: '1' is not the number"),
        ("vendor,gdp_100m_cny,total,2015,2016,census,2026-11-26", "after_release: None is not the number"),
        (",gdp_100m_cny,total,2015,2016,census,2026-11-26,000001", "provider: '' is not a name"),
    ],
)
def test_a_declaration_that_is_none_ends_a_refresh_before_it_builds(
    row: str, message: str, seed: Path, refreshes: Refreshes
) -> None:
    seed.write_text(f"{HEADER}{row}\n", encoding="utf-8")
    with pytest.raises(BadConfigurationError) as raised:
        refreshes.run()
    assert f"declared_revisions.csv, row 2, column {message}" in str(raised.value)
    assert refreshes.store.refreshes() == []


def test_a_declaration_is_no_part_of_what_tables_are_made_of(tmp_path: Path) -> None:
    path = tmp_path / "declared_revisions.csv"
    path.write_text(HEADER, encoding="utf-8")
    assert not fingerprint._is_code(path)
    assert fingerprint._is_code(Path(shutil.copy(path, tmp_path / "corrections.csv")))


# ---------------------------------------------------------------- refreshes, of a warehouse that dbt built


@pytest.fixture(scope="module")
def first_release(audited_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a release of the sample."""
    path = tmp_path_factory.mktemp("first") / "unpublished.duckdb"
    hashes = fingerprint.delivery_hashes(audited_build.extracts)
    writer.write(audited_build.warehouse, path, described("000001") | {"delivery_hashes": hashes}, None)
    return path


@pytest.fixture
def published(refreshes: Refreshes, first_release: Path, seed: Path, tmp_path: Path) -> Refreshes:
    """Publish the sample, and let refreshes be limited as by default."""
    refreshes.store.add(Path(shutil.copy(first_release, tmp_path / "first.duckdb")), "000001")
    refreshes.store.publish("000001")
    refreshes.limits = LIMITS
    return refreshes


def revised(years: str, factor: float) -> str:
    """Return the statement that rewrites GDP of some years."""
    return f"update {CONFORMED} set value = value * {factor} where {GDP} and year in ({years})"


def test_a_rewritten_series_is_held_until_it_is_declared(published: Refreshes, seed: Path) -> None:
    store = published.store
    published.of(revised("2017, 2018", 1.05))
    with pytest.raises(HeldError) as held:
        published.run()
    lines = str(held.value).splitlines()
    cities = published.build.value(f"select count(value) from {CONFORMED} where {GDP} and year in (2017, 2018)")
    assert lines[0].startswith("Release 000002 is held: it rewrites what was published.")
    assert lines[1].startswith(
        f"GDP (gdp_100m_cny, total, vendor) 2017-2018: {cities} of {cities} published values changed"
    )
    assert lines[2].startswith(
        "The deliveries are those of release 000001: code, seeds or packages make the difference"
    )
    row = lines[4]
    assert row.startswith("vendor,gdp_100m_cny,total,2017,2018,<reason>,")
    assert row.endswith(",000001")
    assert store.current().release_id == "000001"
    report = json.loads((store.held("000002") / "report.json").read_text(encoding="utf-8"))
    assert report["found"][0] == lines[1]
    values = pd.read_csv(io.StringIO("\n".join(report["rewritten_values"])))
    assert (len(values), set(values["year"])) == (cities, {2017, 2018})
    assert np.allclose(values["new_value"] / values["old_value"], 1.05)
    with pytest.raises(HeldError, match="Nothing new since build 000002"):
        published.run()

    row = row.replace("<reason>", "census") + "\n"
    seed.write_text(HEADER + row.replace("2017,", "2016,").replace(",2018,", ",2017,"), encoding="utf-8")
    with pytest.raises(HeldError, match=r"total, vendor\) 2018: "):
        published.run()
    seed.write_text(HEADER + row, encoding="utf-8")
    manifest = published.run()
    assert manifest.reason.startswith("declared revision after 000001: gdp_100m_cny (total) of vendor, 2017-2018, ")
    assert manifest.reason.endswith(": census")
    assert read_manifest(store.published) == manifest
    assert ("declared", {"revisions": [manifest.reason]}) in published.events
    with pytest.raises(NothingNewError):
        published.run()


@pytest.mark.soak
def test_a_declaration_that_was_used_or_is_older_lets_nothing_else_pass(published: Refreshes, seed: Path) -> None:
    row = "vendor,gdp_100m_cny,*,2017,2018,census,2026-11-26,000001\n"
    seed.write_text(HEADER + row, encoding="utf-8")
    published.of(revised("2017, 2018", 1.05))
    assert published.run().release_id == "000002"
    # another rewrite of the same values, also where the release that the row names is published again
    published.of(revised("2017, 2018", 1.5))
    for now_published in ("000002", "000001"):
        by_hand.rollback(published.store, now_published, quiet)
        with pytest.raises(HeldError):
            published.run()
        assert published.store.current().release_id == now_published
    seed.write_text(HEADER + row.replace("census", "second census"), encoding="utf-8")
    assert "second census" in published.run().reason


@pytest.mark.soak
def test_whoever_has_years_read_again_need_not_declare_them(published: Refreshes) -> None:
    published.of(revised("2017, 2018", 1.05))
    with pytest.raises(HeldError, match=r"vendor\) 2017: "):
        published.run(years=range(2018, 2021))
    assert published.run(years=range(2017, 2019)).reason == "years 2017:2018 read again"


def test_734_lost_city_years_are_held(published: Refreshes) -> None:
    published.of(f"delete from {CONFORMED} where year > 2018")
    with pytest.raises(HeldError, match=r"\n734 of 4037 published city-years have no value any more, more than 1 %\."):
        published.run()


@pytest.mark.soak
def test_of_estimates_only_shown_columns_hold_a_release(published: Refreshes) -> None:
    moved = "update reports.rpt_coefficients set estimate = {} where {}"
    reading = "specification_id = 'table_1_col_1_resident' and term = 'ai_firms'"
    shown = "specification_id = 'table_2_col_1' and term = 'ai_firms'"
    published.of(moved.format("estimate + 9 * std_error", reading))
    published.run()
    published.of(moved.format("estimate + 1.1 * std_error", f"{reading} or {shown}"))
    with pytest.raises(
        HeldError, match=r"An estimate moved by 1\.10 standard errors, more than REFRESH_HOLD_ABOVE \(1\)"
    ):
        published.run()
    published.of(moved.format("null", shown))
    with pytest.raises(HeldError, match=r"1 are lost, .*: table_2_col_1 ai_firms: 0\.\d+ \(.*\) -> none"):
        published.run()


@pytest.mark.soak
def test_a_release_of_earlier_code_is_compared_by_its_estimates_and_it_is_said(
    published: Refreshes, tmp_path: Path
) -> None:
    store = published.store
    earlier = changed(
        store.published,
        tmp_path / "earlier.duckdb",
        "drop table release.series_values",
        "drop table reports.rpt_column_specifications",
    )
    store.past("000001").unlink()
    store.add(earlier, "000001")
    store.publish("000001")
    shown = "specification_id = 'table_2_col_1' and term = 'ai_firms'"
    published.of(f"update reports.rpt_coefficients set estimate = estimate + 2 * std_error where {shown}")
    with pytest.raises(HeldError, match=r"An estimate moved by 2\.00"):
        published.run()
    published.of(revised("2017, 2018", 1.05))
    published.run()
    assert any("Release 000001 was written before releases kept their series" in line for line in published.warnings)


def test_limits_are_one_standard_error_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFRESH_HOLD_ABOVE", raising=False)
    assert configured.limits().hold_above == 1
    monkeypatch.setenv("REFRESH_HOLD_ABOVE", "2.5")
    assert configured.limits().hold_above == 2.5


# ---------------------------------------------------------------- a new year


def least_squares(build: Build, last_year: int) -> dict[str, float]:
    """Return Table 1 column 1 on the years to a last one, by least squares with a dummy per city and year."""
    terms = ["ln1p_ai_firms_scaled", "ln_registered_population", "ln_unit_employment", "ln_rd_personnel"]
    rows = build.frame(
        f"select city_id, year, ln_gdp, {', '.join(terms)} from marts.fct_city_year_panel inner join "
        "estimates.estimation_samples using (city_id, year) where specification_id = 'table_1_col_1' "
        f"and year <= {last_year} order by all"
    )
    effects = pd.get_dummies(rows[["city_id", "year"]].astype(str), dtype=float, drop_first=True)
    regressors = np.column_stack([rows[terms], effects, np.ones(len(rows))])
    slopes = np.linalg.lstsq(regressors, rows["ln_gdp"].to_numpy(), rcond=None)[0]
    return dict(zip(["ai_firms", *terms[1:]], map(float, slopes), strict=False))


def test_columns_are_estimated_once_more_on_some_of_their_years(
    sample_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    names = ("table_1_col_1", "heterogeneity_region", "table_4_col_4", "table_5_col_1")
    built = {
        (name, term): estimate
        for name, term, estimate in sample_build.rows(
            "select specification_id, term, estimate from reports.rpt_coefficients where estimate is not null "
            f"and specification_id in {names}"
        )
    }
    with reading(sample_build.warehouse) as warehouse:
        whole = published_years.estimates(warehouse, dict.fromkeys(names, (2010, 2020)))
        to_2018 = published_years.estimates(warehouse, {"table_1_col_1": (2010, 2018)})
    assert whole == pytest.approx(built, rel=1e-9)
    by_hand = least_squares(sample_build, 2018)
    assert {term: to_2018["table_1_col_1", term] for term in by_hand} == pytest.approx(by_hand, rel=1e-8)


@pytest.mark.parametrize(("shift", "is_held"), [(0.0, False), pytest.param(2.0, True, marks=pytest.mark.soak)])
def test_what_new_years_add_to_an_estimate_is_no_revision(shift: float, is_held: bool, refreshes: Refreshes) -> None:
    """The published column ends in 2018; its errors are small, so that the new years move it far beyond the limit."""
    refreshes.limits, sample = LIMITS, refreshes.warehouse
    estimates = least_squares(refreshes.build, 2018)
    estimates["ai_firms"] += shift * 1e-4
    column = "where specification_id = 'table_1_col_1'"
    refreshes.of(
        f"delete from estimates.estimation_samples {column} and year > 2018",
        f"update reports.rpt_coefficients set std_error = 1e-4 {column}",
        *(
            f"update reports.rpt_coefficients set estimate = {estimate!r} {column} and term = '{term}'"
            for term, estimate in estimates.items()
        ),
    )
    refreshes.run()
    refreshes.warehouse = sample
    if is_held:
        with pytest.raises(HeldError, match=r"standard errors, more than REFRESH_HOLD_ABOVE .*: table_1_col_1 "):
            refreshes.run()
    else:
        refreshes.run()
        (note,) = [message for message in refreshes.warnings if message.startswith("table_1_col_1 moved by ")]
        assert note.endswith(
            "standard errors as its sample reaches new years. On the published years, 2010-2018, it moved by 0.00."
        )


# ---------------------------------------------------------------- the command, with dbt


def without_years(folder: Path, years: set[str]) -> None:
    """Cut years from ai.csv and the yearbook files of the public set."""

    def kept(rows: list[list[str]]) -> list[list[str]]:
        (at,) = (number for number, name in enumerate(rows[0]) if name in ("year", "年份", "年度标识", "Sgnyea"))
        return [row for row in rows if str(row[at])[:4] not in years]

    for path in [folder / "ai_firms/ai.csv", *(folder / "city_yearbook").glob("*.csv")]:
        encoding = "gb18030" if path.name == "job_data.csv" else "utf-8-sig"
        with path.open(encoding=encoding, newline="") as file:
            rows = list(csv.reader(file))
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file).writerows(kept(rows))
    for path in (folder / "city_yearbook").glob("*.xlsx"):
        book = openpyxl.load_workbook(path)
        for sheet in book:
            rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
            if rows and {"year", "年份", "年度标识"} & set(rows[0]):
                sheet.delete_rows(1, sheet.max_row)
                for row in kept(rows):
                    sheet.append(row)
        book.save(path)


@pytest.mark.soak
def test_the_public_years_of_2019_and_2020_are_published_without_a_hold(
    store: Store, fresh: Build, public_build: Build, public_extracts: Path
) -> None:
    """They move shown columns by more than one standard error, and rewrite nothing.

    To the gate the first release lacks two years that headlines use, so it is published by hand.
    """
    fresh.extracts = Path(shutil.copytree(public_extracts, fresh.extracts / "public"))
    without_years(fresh.extracts, {"2019", "2020"})
    stopped = command(store, fresh, "refresh")
    assert stopped.returncode == 4, stopped.stdout
    by_hand = command(store, fresh, "publish", "000001", "--reason", "two years are to come")
    assert by_hand.returncode == 0, by_hand.stdout
    shutil.copytree(public_extracts, fresh.extracts, dirs_exist_ok=True)
    run = command(store, fresh, "refresh")
    assert run.returncode == 0, run.stdout
    notes = [line for line in map(json.loads, run.stdout.splitlines()[:-1]) if "reaches new years" in str(line)]
    assert notes, "no column moved beyond the limit"
    assert all(line["message"].endswith("it moved by 0.00.") for line in notes)
    assert store.current().release_id == "000002"


# ---------------------------------------------------------------- cities that vanish


def test_a_city_that_is_in_no_file_any_more_is_held_by_name_though_counts_say_zero(
    published: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hangzhou and Suzhou: what a provider of counts does not list is zero, so no year of them was lost."""
    monkeypatch.setenv("LC_ALL", "C")
    gone = "city_id in ('330100', '320500')"
    published.of(
        f"update {CONFORMED} set value = 0 where {gone} and scope <> 'total'",
        f"delete from {CONFORMED} where {gone} and scope = 'total'",
    )
    with pytest.raises(HeldError) as held:
        published.run()
    lines = str(held.value).splitlines()
    for name in ("Hangzhou (330100)", "Suzhou (320500)"):
        (line,) = (line for line in lines if line.startswith(f"{name} had a value in every published year, 2010-2020"))
        assert "has none any more: " in line
    assert "vendor,gdp_100m_cny,total,2010,2020,<reason>" in "\n".join(lines)
    report = json.loads((published.store.held("000002") / "report.json").read_text(encoding="utf-8"))
    assert report["lost_city_years"] == 22


def test_a_city_is_lost_with_a_full_history_only(tmp_path: Path) -> None:
    old = gdp_of(100, range(2018, 2021))
    del old["gdp", "total", "7", 2019]
    old["gdp", "total", "8", 2019] = 0.0
    assert (
        compared(tmp_path, old, {key: value for key, value in old.items() if key[2] not in ("7", "8")}).lost_cities
        == ()
    )
    less = {key: value for key, value in old.items() if key[2] != "9"}
    (lost,) = compared(tmp_path, old, less).lost_cities
    assert (lost.city_id, lost.series, lost.first_year, lost.last_year) == ("9", "gdp", 2018, 2020)
    assert compared(tmp_path, old, less | {("gdp", "total", "9", 2020): 1.0}).lost_cities == ()
    assert compared(tmp_path, old, less, declaration(2018, 2020)).lost_cities == ()


# ---------------------------------------------------------------- the anchor


@pytest.fixture
def moving(published: Refreshes) -> Callable[..., None]:
    """Return a function that lets the next refresh build the sample with an estimate some errors from its own."""
    by = "update reports.rpt_coefficients set estimate = estimate + {} * std_error where " + MOVED
    return lambda errors, *statements: published.of(by.format(errors), *statements)


def drift(published: Refreshes) -> list[str]:
    """Refresh, and return the warnings of drift."""
    published.run()
    return [message for message in published.warnings if message.startswith("Drift from ")]


def test_small_steps_are_warned_of_and_held_by_their_sum_until_a_person_accepts_them(
    published: Refreshes, moving: Callable[..., None]
) -> None:
    """Each step is below the limit; together they were 1.6 standard errors from the first release, in silence."""
    store = published.store
    moving(0.4)
    assert drift(published) == []
    moving(0.96)
    (message,) = drift(published)
    assert message.startswith("Drift from release 000001, the first (nobody has accepted one): table_2_col_3 ai_patent")
    assert "0.96 standard errors. Beyond 1 a release is held." in message
    moving(1.63)
    with pytest.raises(HeldError, match=r"Drift from release 000001, .*: table_2_col_3 .*, 1\.63 standard errors"):
        published.run()
    assert store.current().release_id == "000003"
    # the held build is judged again as soon as a person has accepted what it would follow
    assert by_hand.accept(store, "000003", "compared with the office", quiet) == store.current()
    (message,) = drift(published)
    assert "compared with the office: table_2_col_3 " in message
    assert "0.67 standard errors" in message
    # a rollback loses neither of the two anchors
    by_hand.rollback(store, "000002", quiet)
    moving(1.5)
    with pytest.raises(HeldError, match="Drift from release 000001, the first"):
        published.run()
    by_hand.rollback(store, "000005", quiet)
    moving(2.1)
    with pytest.raises(HeldError, match=r"Drift from release 000003, accepted 20\d\d-.*, 1\.14 standard errors"):
        published.run()
    # what a person publishes is accepted
    manifest = by_hand.publish_held(store, store.held_ids()[-1], "the provider was asked", quiet)
    moving(2.5)
    assert drift(published) == []
    (row,) = read(store.published, "from release.anchor")
    assert (row[0], row[2]) == (manifest.release_id, "the provider was asked")


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_anchor_is_never_pruned(published: Refreshes, moving: Callable[..., None]) -> None:
    for step in range(1, 6):
        moving(step / 100)
        published.run()
    assert published.store.release_ids() == ["000001", "000005", "000006"]


def test_a_declared_revision_explains_its_own_drift_and_no_other(
    published: Refreshes, moving: Callable[..., None], seed: Path
) -> None:
    rewritten = (
        f"update {CONFORMED} set value = value * 1.5 where series = 'invention_grant_count' and scope = 'industry' "
        "and year = 2018"
    )
    moving(0.45)
    published.run()
    seed.write_text(f"{HEADER}vendor,*,*,2018,2018,recount,2026-11-26,000002\n", encoding="utf-8")
    moving(2.45, rewritten)
    assert drift(published) == []
    assert published.store.current().reason.endswith("recount")
    seed.write_text(HEADER, encoding="utf-8")
    moving(2.55, rewritten)
    (message,) = drift(published)
    assert "0.55 standard errors" in message
    moving(3.1, rewritten)
    with pytest.raises(HeldError, match=r"Drift from release 000001.* 1\.10 standard errors"):
        published.run()


def test_a_person_accepts_the_published_release_with_a_reason_and_the_commands_show_it(published: Refreshes) -> None:
    store, build = published.store, published.build
    for arguments, message in (
        (("000002", "--reason", "right"), "Release 000002 is not the published one (000001 is)."),
        (("000001", "--reason", " "), "Give a reason for accepting a release"),
    ):
        run = command(store, build, "accept", *arguments)
        assert (run.returncode, message in run.stderr) == (2, True), run.stderr
    status = json.loads(command(store, build, "status", "--json").stdout)
    assert (status["anchor"]["release_id"], status["anchor"]["reason"]) == ("000001", None)
    run = command(store, build, "accept", "000001", "--reason", "compared with the yearbook")
    assert run.returncode == 0, run.stderr
    status = json.loads(command(store, build, "status", "--json").stdout)
    assert status["anchor"]["reason"] == "compared with the yearbook"
    assert status["anchor"]["accepted_at"] == store.refreshes()[-1]["at"]
    assert "0.00 standard errors at most, from release 000001, accepted" in command(store, build, "status").stdout
    assert command(store, build, "releases").stdout.rstrip().endswith("(anchor)")


# ---------------------------------------------------------------- an empty published path


@pytest.mark.parametrize("is_moved", [False, True])
def test_where_the_published_path_is_empty_the_release_that_readers_saw_last_counts(
    is_moved: bool, published: Refreshes, moving: Callable[..., None], tmp_path: Path
) -> None:
    moving(0.3)
    published.run()
    by_hand.rollback(published.store, "000001", quiet)
    if is_moved:
        published.store = replace(published.store, published=tmp_path / "new place/ai_manufacturing.duckdb")
    else:
        published.store.published.unlink()
    moving(1.2)
    with pytest.raises(HeldError, match=r"An estimate moved by 1\.20 standard errors"):
        published.run()
    assert not published.store.published.exists()
    moving(0.9)
    published.run()
    assert read(published.store.published, "select release_id from release.previous") == [("000001",)]


# ---------------------------------------------------------------- years read again


def test_years_read_again_free_no_value_of_a_file_that_was_delivered_since(
    published: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracts = Path(shutil.copytree(published.build.extracts, tmp_path / "sample"))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    (yearbook,) = (extracts / "city_yearbook").glob("*2018*")
    yearbook.write_text(yearbook.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    published.of(revised("2017, 2018", 1.05))
    with pytest.raises(HeldError, match=r"GDP \(gdp_100m_cny, total, vendor\) 2018: "):
        published.run(years=range(2010, 2021))
    # one that is gone from the folder is not read again either
    yearbook.unlink()
    with pytest.raises(HeldError, match=r"GDP \(gdp_100m_cny, total, vendor\) 2018: "):
        published.run(years=range(2010, 2021))
    shutil.copy(published.build.extracts / "city_yearbook" / yearbook.name, yearbook)
    assert published.run(years=range(2010, 2021)).reason == "years 2010:2020 read again"


# ---------------------------------------------------------------- a held build, judged again


def test_a_held_build_is_judged_again_without_a_build_and_gives_what_a_build_would_have_given(
    published: Refreshes, seed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = published.store
    published.of(revised("2017, 2018", 1.05))
    with pytest.raises(HeldError) as held:
        published.run()
    built = Mock(side_effect=build.dbt)
    monkeypatch.setattr(build, "dbt", built)
    (row,) = (line for line in str(held.value).splitlines() if line.startswith("vendor,"))
    seed.write_text(HEADER + row.replace("<reason>", "census") + "\n", encoding="utf-8")
    manifest = published.run()
    assert built.call_count == 0
    assert published.names == ["started", "delivery", "judged again", "landed", "declared", "changes", "published"]
    assert (manifest.release_id, store.held_ids()) == ("000003", [])
    tables = [*manifest.row_counts, "release.changes"]
    judged_again = {name: read(store.published, f"from {name}") for name in tables}
    with pytest.raises(NothingNewError):
        published.run()

    # the same with a build
    by_hand.rollback(store, "000001", quiet)
    store.past("000003").unlink()
    again = published.run()
    assert built.call_count == 1
    assert (again.reason, again.fingerprint) == (manifest.reason, manifest.fingerprint)
    assert {name: read(store.published, f"from {name}") for name in tables} == judged_again


def test_the_command_judges_a_held_build_again_by_another_limit_and_builds_a_damaged_one(
    published: Refreshes, moving: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sample = published.store, published.build
    moving(2)
    built = Mock(side_effect=build.dbt)
    monkeypatch.setattr(build, "dbt", built)
    monkeypatch.setattr(fingerprint, "of", FINGERPRINT)  # as the command computes it
    with pytest.raises(HeldError):
        published.run()
    run = command(store, sample, "refresh", REFRESH_HOLD_ABOVE="1.5")
    assert run.returncode == 7, run.stdout + run.stderr
    events = [json.loads(line)["event"] for line in run.stdout.splitlines()]
    assert events[:3] == ["started", "delivery", "judged again"]
    for number in store.held_ids():
        (store.held(number) / "report.json").chmod(0o644)
        with (store.held(number) / "report.json").open("a") as report:
            report.write(" ")
    with pytest.raises(HeldError):
        published.run(replace(LIMITS, hold_above=1.8))
    assert built.call_count == 2
    run = command(store, sample, "refresh", REFRESH_HOLD_ABOVE="3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert store.current().release_id == "000005"


# ---------------------------------------------------------------- new years, by their structure


def booked_at_the_capital(rows: pd.DataFrame, years: tuple[int, ...]) -> pd.DataFrame:
    """Book a third of each city's patent applications at the capital of its province."""
    of_year = rows["series"].str.endswith("application_count") & rows["year"].isin(years) & rows["value"].notna()
    capital = rows["city_id"].str[2:] == "0100"
    place = [rows["series"], rows["scope"], rows["year"], rows["city_id"].str[:2]]
    has_capital = (of_year & capital).groupby(place).transform("any")
    third = (rows["value"] / 3).where(of_year & ~capital & has_capital, 0)
    booked = third.groupby(place).transform("sum").where(of_year & capital, 0)
    return rows.assign(value=rows["value"] - third + booked)


def test_columns_that_new_years_booked_at_the_capital_move_or_give_are_held(refreshes: Refreshes) -> None:
    refreshes.limits = LIMITS
    column, gained = "table_1_col_2", "table_2_col_2"
    table = "reports.rpt_coefficients"
    with reading(refreshes.build.warehouse) as warehouse:
        to_2018 = published_years.estimates(warehouse, {column: (2010, 2018)})
    refreshes.of(
        f"delete from {CONFORMED} where year > 2018",
        f"delete from estimates.estimation_samples where specification_id = '{column}' and year > 2018",
        f"update {table} set estimate = null where specification_id = '{gained}'",
        *(
            f"update {table} set estimate = {estimate!r}, std_error = 1e-4 "
            f"where specification_id = '{column}' and term = '{term}'"
            for (_, term), estimate in to_2018.items()
        ),
    )
    refreshes.run()
    rows = booked_at_the_capital(refreshes.build.frame(f"from {CONFORMED}"), (2019, 2020))
    with duckdb.connect(str(refreshes.of())) as connection:
        connection.register("faulty_rows", rows)
        connection.execute(f"create or replace table {CONFORMED} as from faulty_rows")
    with pytest.raises(HeldError) as held:
        refreshes.run()
    lines = str(held.value).splitlines()
    (line,) = (line for line in lines if "(invention_application_count, industry, vendor) 2019: " in line)
    assert "a capital's share of its province moved by +0.325 in the median province" in line
    assert {column, gained} <= {*line.removesuffix(".").split("move or appear: ")[1].split(", ")}
    assert any(row.startswith("vendor,invention_application_count,industry,2019,2019,<reason>,") for row in lines)


def released_to(last_year: int, warehouse: Path, path: Path) -> Path:
    """Write of a release what new years are compared with."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(warehouse))} as built (read_only)")
        connection.execute(f"attach {literal(str(path))} as old")
        connection.execute("create schema old.release")
        query = f"from ({revisions.values('built')}) where year <= {last_year}"
        connection.execute(f"create table old.release.series_values as {query}")
    return path


def odd_years(release: Path, warehouse: Path) -> list[OddYear]:
    with attached(release.with_name("spill"), old=release, built=warehouse) as connection:
        declared_revisions.write(connection, [])
        return new_years.odd(connection, [])


@pytest.mark.parametrize("last_year", [2014, 2017, 2018, 2019])
def test_the_real_years_after_a_public_release_are_like_those_before(
    last_year: int, public_build: Build, tmp_path: Path
) -> None:
    release = released_to(last_year, public_build.warehouse, tmp_path / "release.duckdb")
    assert odd_years(release, public_build.warehouse) == []


@pytest.mark.parametrize(
    "seed_of_draw",
    [pytest.param(number, marks=[] if number < 700_002 else pytest.mark.soak) for number in range(700_000, 700_014)],
)
def test_clean_draws_have_no_odd_year_and_a_third_booked_at_the_capital_is_one(
    seed_of_draw: int, audited_build: Build, tmp_path: Path
) -> None:
    rows = gate.conformed(draw(seed_of_draw, period()))

    def odd(number: int, content: pd.DataFrame, last_year: int) -> set[tuple[str, int]]:
        warehouse = tmp_path / f"{number}.duckdb"
        shutil.copyfile(audited_build.warehouse, warehouse)
        with duckdb.connect(str(warehouse)) as connection:
            connection.register("content", content)
            connection.execute(f"create or replace table {CONFORMED} as from content")
        release = released_to(last_year, warehouse, tmp_path / f"{number}_release.duckdb")
        return {(year.series, year.year) for year in odd_years(release, warehouse)}

    for number, last_year in enumerate((2014, 2016, 2018)):
        assert odd(number, rows, last_year) == set()
    applications = ("invention_application_count", "ai_invention_application_count")
    faulty = booked_at_the_capital(rows, (2019, 2020))
    assert odd(3, faulty, 2018) == {(name, 2019) for name in applications}
