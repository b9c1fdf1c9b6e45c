"""Test complete refreshes of each documented data set, including the release and the site."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ai_manufacturing import site
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system.exit_codes import ExitCode
from tests.python.conftest import PROJECT, Build
from tests.python.page_truth import contradictions
from tests.python.release_store import command, output_of
from tests.python.site_reader import Page
from tests.python.test_vendor_register import (
    AI_SCOPE,
    HEADER,
    SCOPE,
    csv_text,
    firm,
    real_register,  # noqa: F401
    zipped,
)

pytestmark = [pytest.mark.door, pytest.mark.soak]
SHOWN = "reports.rpt_coefficients"
EMPLOYMENT_OF_2018 = (
    "year_definitions: All years use the same definition, scope and vintage, unless an event in"
    " series_events.csv declares a change. csmar secondary_employment_10k total 2018:"
    " undeclared_change province steps 0.06, in other years 0.02, compared_with"
    " unit_employment_10k."
)
"""The only reason why the gate holds the public set of 2003 to 2022."""


def reasons(done: Build, table: str = SHOWN) -> set[str]:
    """Return the reasons why estimates are not estimable, including None if a reason is missing."""
    return {
        reason
        for (reason,) in done.rows(f"select reason from {table} where status = 'not_estimable'")
    }


def page(store: Store, name: str) -> str:
    return (store.folder.parent / f"site/{name}.html").read_text("utf-8")


def refresh(store: Store, build: Build, extracts: Path, held_for: str = "") -> Build:
    """Run a refresh that also writes the site, and return the published release as a build.

    A build that the gate holds for the known reason `held_for` is published by hand.
    """
    folder = store.folder.parent / "site"
    delivered = replace(build, extracts=extracts)
    run = command(store, delivered, "refresh", SITE_DIR=str(folder))
    if held_for:
        assert run.returncode == ExitCode.GATE_FAILED
        last = json.loads(run.stdout.splitlines()[-1])
        assert f"\n{held_for}\n" in last["message"]
        by_hand = ("publish", "000001", "--reason", "known")
        run = command(store, delivered, *by_hand, SITE_DIR=str(folder))
    printed = output_of(run)
    assert '"event": "published"' in printed
    assert '"event": "site"' in printed
    pages = {path.name for path in folder.glob("*.html")}
    assert {f"{name}.html" for name in site.PAGES} <= pages, "a page without numbers says why"
    refreshed = replace(build, warehouse=store.published_path, output=printed)

    def read(name: str, language: str) -> Page:
        return Page(page(store, name), language)

    assert contradictions(read, refreshed) == []
    # Every missing estimate must have a reason, in all tables of the schema `estimates`.
    tables = refreshed.rows(
        "select table_name from information_schema.columns where table_schema = 'estimates' and"
        " column_name = 'status'"
    )
    assert len(tables) >= 10
    for (table,) in tables:
        assert not {None, ""} & reasons(refreshed, f"estimates.{table}"), table
    return refreshed


def deliver_sample_of_survivors(folder: Path) -> Counter[tuple[str, int]]:
    """Write a firm register of two provinces in four years, one of them before the study period.

    Returns the number of firms by city and year.
    """
    written: Counter[tuple[str, int]] = Counter()
    number = 0
    for year, provinces in (
        (2000, ("辽宁",)),
        (2010, ("辽宁", "浙江")),
        (2011, ("辽宁", "浙江")),
        (2012, ("浙江",)),
    ):
        members: dict[str, list[tuple[str, ...]]] = {}
        for province in provinces:
            for city, place, share in {
                "辽宁": (("210102", "沈阳", 2), ("211302", "朝阳", 1)),
                "浙江": (("330102", "杭州", 3), ("330203", "宁波", 1)),
            }[province]:
                for _ in range(24 * share):
                    number += 1
                    date = f"{year}-{number % 12 + 1:02d}-02"
                    scope = AI_SCOPE if number % 8 == 0 else SCOPE
                    row = firm(number, city, province, place, date=date, scope=scope)
                    members.setdefault(province, []).append(row)
                    written[f"{city[:4]}00", year] += 1
        zipped(
            folder / f"crawl_2019/{year}.zip",
            **{province: csv_text(HEADER, *rows) for province, rows in members.items()},
        )
    return written


def test_a_register_alone_that_is_a_sample_gives_shares_and_no_estimate(
    store: Store, fresh: Build, tmp_path: Path
) -> None:
    written = deliver_sample_of_survivors(tmp_path / "register")
    (tmp_path / "register/extract_set.yml").write_text("has_estimates: false\n", "utf-8")
    done = refresh(store, fresh, tmp_path / "register")

    entries = done.rows(
        "select city_id, entry_year, firm_count, is_before_period from marts.fct_register_entries"
    )
    assert {(city, year): count for city, year, count, _ in entries} == written
    assert all(is_before == (year < 2010) for _, year, _, is_before in entries)
    before = sum(count for (_, year), count in written.items() if year < 2010)
    assert done.pairs(
        "select disposition, sum(row_count)::bigint from marts.fct_row_accounting group by all"
    ) == {
        "used": sum(written.values()) - before,
        "out of period": before,
    }
    remedy = done.value("select remedy from marts.fct_deliveries where outcome = 'nothing used'")
    assert remedy == (
        "Its firms registered in years outside 2010 to 2020. To count them, set period: in"
        " extract_set.yml."
    )
    assert remedy in done.output

    reason = (
        "The register crawl of 2019 (kinginsun) is a sample: it provides shares and composition,"
        " but no counts."
    )
    assert done.value(f"select count(*) from {SHOWN} where status <> 'not_estimable'") == 0
    specifications = pd.read_csv(PROJECT / "seeds/regression_specifications.csv")
    shown = done.value(f"select count(distinct specification_id) from {SHOWN}")
    assert shown == len(specifications)
    headline = done.value(f"select reason from {SHOWN} where specification_id = 'table_1_col_1'")
    assert headline.endswith(reason)
    curve = done.rows("select distinct status, reason from estimates.est_specification_curve")
    assert curve == [("not_estimable", headline)]
    assert "is a sample" in page(store, "readings")
    assert "This release has no estimate for any of the paper's main columns" in page(
        store, "index"
    )

    for arguments in (
        ("export", "--format", "csv", "--out", str(tmp_path / "out")),
        ("table", "table_1", "--format", "markdown"),
        ("queries", "--out", str(tmp_path / "queries.md")),
    ):
        delivered = replace(fresh, extracts=tmp_path / "register")
        output_of(command(store, delivered, *arguments, WAREHOUSE_PATH=""))


def test_a_period_that_ends_early_is_estimated_and_compared_with_nothing(
    store: Store, fresh: Build, sample_build: Build, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sample_build.extracts, tmp_path / "autumn"))
    (folder / "extract_set.yml").write_text(
        "name: autumn\nkind: synthetic\nperiod: {last_year: 2018}\n", encoding="utf-8"
    )
    early = refresh(store, fresh, folder)
    words = "years 2010-2018 of 2010-2020; 2018 substitutes for 2020 as the fixed year of ai_firms"
    assert early.rows(
        "select status, sample_first_year, sample_last_year, substitutions, warnings from"
        f" {SHOWN} where specification_id = 'table_1_col_1' and term_order = 1"
    ) == [("estimated", 2010, 2018, words, None)]
    assert words.partition(";")[0] in page(store, "readings")
    assert "cannot tell: only part of the years" in page(store, "credibility")
    verdicts = early.rows("select distinct verdict from reports.rpt_replication_scorecard")
    assert {*verdicts} <= {("not_comparable",), ("not_estimable",)}
    claim = early.value("select sentence from reports.rpt_findings where finding = 'claim'")
    assert claim.startswith("These data cover only part of the paper's years, so the")
    assert early.rows("select distinct reason from reports.rpt_published_facts") == [
        ("Not delivered: ai_firm_count (industry) in 2020.",)
    ]


def linked(folder: Path, *sets: Path, **period: int) -> Path:
    """Link the files of several data sets into one folder, optionally with a study period."""
    for extracts in sets:
        for path in (
            path for path in extracts.rglob("*") if path.is_file() and path.suffix != ".md"
        ):
            target = folder / path.relative_to(extracts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    if period:
        years = ", ".join(f"{name}: {year}" for name, year in period.items())
        (folder / "extract_set.yml").write_text(
            f"name: city statistics\nperiod: {{{years}}}\n", encoding="utf-8"
        )
    return folder


def test_the_public_set_of_more_years_goes_from_delivery_to_site(
    store: Store, fresh: Build, public_extracts: Path, tmp_path: Path
) -> None:
    folder = linked(tmp_path / "public", public_extracts, first_year=2003, last_year=2022)
    done = refresh(store, fresh, folder, held_for=EMPLOYMENT_OF_2018)
    assert done.rows("select min(year), max(year) from marts.fct_city_year_panel") == [(2003, 2022)]
    (found,) = done.rows(
        f"select round(estimate, 4), round(std_error, 4), observation_count from {SHOWN} "
        "where specification_id = 'table_1_col_1' and term_order = 1"
    )
    assert found == (0.1576, 0.0419, 2228)
    # A correction removes science spending in 2022, so the sample ends in 2021 although the
    # specification ends in 2022.
    ((status, reached, remark, remark_zh),) = done.rows(
        "select status, sample_last_year, warnings, warnings_zh "
        f"from {SHOWN} where specification_id = 'table_1_col_1_to_2022' and term_order = 1"
    )
    assert (status, reached) == ("estimated", 2021)
    assert (
        "The sample covers only 2012 to 2021: in the other years of 2012-2022, no city-year has all"
        in remark
    )
    assert "样本仅为2012—2021年：在2012—2022年的其余年份中" in remark_zh
    longest = done.rows(
        "select status, sample_first_year, sample_last_year "
        f"from {SHOWN} where term = regressor and specification_id = 'table_4_col_3_from_2003'"
    )
    assert longest == [("estimated", 2003, 2022)]
