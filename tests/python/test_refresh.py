"""Test refreshes that publish, fail, are killed or fill the disk while clients read the release."""

import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import click
import duckdb
import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError

from ai_manufacturing import landing
from ai_manufacturing.auditing import changes, deliveries, findings, freshness
from ai_manufacturing.cli import console, status
from ai_manufacturing.refresh import build, by_hand, progress, writer
from ai_manufacturing.releases import configured, fingerprint, lock, refresh_log
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    BuildFailedError,
    GateFailedError,
    HeldError,
    NoEstimatesError,
    NothingNewError,
    RefreshError,
    StaleError,
)
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import clock, duckdb_client, integrity, settings, trusted_files
from ai_manufacturing.system.dbt_plugin import Plugin
from ai_manufacturing.system.disk import lock_folder, private_folder
from ai_manufacturing.system.duckdb_client import open_read_only
from ai_manufacturing.system.sql_text import quote_literal
from tests.python import dbt_process, killed, test_gate
from tests.python.conftest import PROJECT, WAREHOUSE, Build
from tests.python.dbt_process import stand_in
from tests.python.histories import again, delivered, done, moved, replay
from tests.python.landing_project import FIRMS, GOOD, REGISTER, Project, csv_text, fault
from tests.python.release_reader import releases_read
from tests.python.release_store import (
    DBT_FILES,
    Refreshes,
    changed,
    check,
    command,
    described,
    mounted,
    output_of,
    published_as_built,
    quiet,
    read,
    release,
    released_to,
    write_dbt_files,
)
from tests.python.terminal import on_terminal
from tests.python.waiting import wait_for


@pytest.mark.soak
def test_a_release_holds_tables_with_their_comments(store: Store, sample_build: Build) -> None:
    manifest = release(store, sample_build.warehouse)
    published = store.published_path
    assert check(published) == manifest
    assert read(published, "from duckdb_views() where not internal") == []
    schemas = read(published, "select distinct schema_name from duckdb_tables() order by all")
    # `trace` reads tables in the schemas raw, seeds and intermediate.
    named = {"estimates", "gates", "intermediate", "marts", "raw", "release", "reports", "seeds"}
    assert {schema for (schema,) in schemas} == named
    uncommented = (
        "select table_name, column_name from duckdb_columns() where not internal and comment is"
        " null union all select table_name, null from duckdb_tables() where comment is null"
    )
    # The columns of this table depend on the seeds, so they have no comments.
    of_seeds = "int_city_year_variables"
    assert [column for column in read(published, uncommented) if column[0] != of_seeds] == []
    comment = "select comment from duckdb_tables() where table_name = 'fct_delivered_values'"
    assert read(published, comment)[0][0].startswith("One row per")


def test_changes_are_counted_in_their_units_and_kept_in_the_new_release(
    store: Store, small_build: Build, tmp_path: Path
) -> None:
    panel = "update marts.fct_city_year_panel set"
    shenzhen = "where city_id = '440300' and year ="
    several = "ln1p_ai_firms_scaled = {}, gdp_100m_cny = {}, fdi_1m_usd = {}"
    old = changed(
        small_build.warehouse,
        tmp_path / "old.duckdb",
        f"{panel} {several.format(1e-16, 100, 1e-9)} {shenzhen} 2017",
    )
    coefficients = "update reports.rpt_coefficients set estimate ="
    column = "where specification_id = 'table_1_col_"
    new = changed(
        old,
        tmp_path / "new.duckdb",
        f"{panel} {several.format(0.59, 103, 4)} {shenzhen} 2017",
        f"{panel} ln_gdp = ln_gdp * 1.1 {shenzhen} 2015",
        f"{panel} ln_fdi = null {shenzhen} 2016",
        f"{panel} ln_loans = ln_loans * (1 + 1e-13)",
        f"{coefficients} -estimate, conf_low = -conf_high, conf_high = -conf_low, "
        f"std_error = 2 * std_error {column}1' and term = 'ai_firms'",
        f"{coefficients} null {column}2' and term = 'ai_patent_applications'",
    )
    release(store, old)
    release(store, new)
    summary = changes.compare_releases(*map(store.locate_past_release, store.list_release_ids()))
    assert summary.counts == {"cell_changed": 5, "estimate_changed": 1, "estimate_lost": 1}
    assert summary.largest_move == pytest.approx(2 * 0.16 / 0.05)
    with open_read_only(store.published_path) as published:
        assert changes.read_changes(published) == summary
    assert summary.lines == (
        "fdi_1m_usd: 1 cell in 1 city changed in 2017, by at most 4",
        "gdp_100m_cny: 1 cell in 1 city changed in 2017, by at most 3 %",
        "ln1p_ai_firms_scaled: 1 cell in 1 city changed in 2017, by at most 0.59 in logarithms",
        "ln_fdi: 1 cell in 1 city changed in 2016, to or from a missing value",
        "ln_gdp: 1 cell in 1 city changed in 2015, by at most 0.1 in logarithms",
        "table_1_col_2 ai_patent_applications: 0.2 (0.1) -> none (0.1)",
        "table_1_col_1 ai_firms: 0.16 (0.05) -> -0.16 (0.1), moved by 6.40 standard errors, sign"
        " changed, intervals do not overlap",
    )

    (tmp_path / "text.duckdb").write_text("no database", "utf-8")
    with pytest.raises(RefreshError, match=r"text\.duckdb is not a release"):
        read_manifest(tmp_path / "text.duckdb")


def test_past_releases_are_kept_but_never_the_one_before_the_current_pruned(
    store: Store, small_build: Build
) -> None:
    (store.folder / "past" / "notes.duckdb").write_text("no release", "utf-8")
    (store.folder / "held" / "notes").mkdir()
    for _ in range(4):
        write_dbt_files(store.work)
        release(store, small_build.warehouse)
    assert store.list_release_ids() == ["000002", "000003", "000004"]
    kept = [f"{number}.{name}" for number in store.list_release_ids() for name in DBT_FILES]
    assert sorted(path.name for path in (store.folder / "past").glob("*.json")) == kept
    store.publish_release("000003")
    assert store.read_current_manifest().release_id == "000003"
    few = Store(store.folder, store.published_path, keep_count=1)
    assert few.prune_releases() == ["000004"]
    # Release 000002 is kept, because clients fall back to it.
    assert few.list_release_ids() == ["000002", "000003"]
    # No number is given twice.
    assert few.compute_next_id() == "000005"
    assert few.prune_held_builds() == []


def test_limits_on_how_far_estimates_move(refreshes: Refreshes) -> None:
    column = "specification_id = 'table_1_col_1'"
    lost = "update reports.rpt_coefficients set estimate = null where term = 'ai_firms' and "
    of_two = r"An estimate moved by 2\.00 standard errors"
    above = r"REFRESH_HOLD_ABOVE allows moves of up to 1 and no lost estimates"
    refreshes.limits = Limits(hold_shown_above=1)
    replay(
        refreshes,
        (delivered(), "000001"),
        (moved(2, rows=column), HeldError, rf"{of_two}\. {above}"),
        (again(), HeldError, "Nothing new since build 000002, which is held"),
        (
            done(by_hand.publish_held_build, "000002", "checked with the vendor"),
            "000002",
            r"^by hand, checked with the vendor\.",
        ),
        (lambda _: refreshes.of(), None),
        (again(Limits(warn_any_above=1)), "000003", rf"{of_two}\."),
        (
            delivered(lost + column),
            HeldError,
            rf"moved by 0\.00 standard errors, and 1 estimate was lost\. {above}",
        ),
    )
    assert refreshes.store.list_held_ids() == ["000004"]
    for name in DBT_FILES:
        assert (refreshes.store.locate_held_build("000004") / name).read_text() == "000004"
        assert (refreshes.store.folder / f"past/000003.{name}").read_text() == "000003"
    for number in ("000005", "000006", "000007"):
        refreshes.store.locate_held_build(number).mkdir()
    pruned = r"^\('pruned', {'held': \['000004', '000005'\]}\)$"
    replay(refreshes, (moved(2, rows=column), HeldError, pruned))
    assert refreshes.store.list_held_ids() == ["000006", "000007", "000008"]
    assert refreshes.store.compute_next_id() == "000009"


NO_GDP = (
    "update reports.rpt_coefficients set estimate = null, std_error = null",
    "update marts.dim_specification_series set is_delivered = false where series = 'gdp_100m_cny'",
)


def test_a_build_without_headline_estimates_is_held_and_never_becomes_the_anchor(
    refreshes: Refreshes,
) -> None:
    nothing = "none of the 2 headline specifications has an estimate; not delivered: gdp_100m_cny"

    def shown(_: Refreshes) -> None:
        manifest = refreshes.store.read_current_manifest()
        document, lines = status._describe_release(refreshes.store, manifest)
        never = ("drift: not measured, because no release has had a headline estimate", None)
        assert {(f"headlines: {nothing}", "red"), never} <= {*lines}
        assert document["anchor"]["release_id"] is None

    replay(
        refreshes,
        (delivered(*NO_GDP), NoEstimatesError, f"exit 10, .*{nothing}", "--without-estimates"),
        (again(), NoEstimatesError, "Nothing new since build 000001, which is held"),
        (
            delivered(*NO_GDP, without_estimates=True),
            "000002",
            f"Release 000002: {nothing}",
            "^anchor , ",
        ),
        (shown, None),
        (
            done(by_hand.accept_release, "000002", "looks right"),
            BadConfigurationError,
            f"cannot be the anchor.*{nothing}",
        ),
        (delivered(), "000003", "^anchor 000003, "),
        # `--without-estimates` cannot replace a release that has estimates, so the message omits
        # this option.
        (
            delivered(*NO_GDP, without_estimates=True),
            NoEstimatesError,
            rf"\A(?!(?s:.*)--without-estimates).*{nothing}",
        ),
        (
            done(by_hand.publish_held_build, "000004", "the vendor withdrew its files"),
            "000004",
            "^anchor 000003, ",
        ),
    )


def test_a_set_that_declares_no_estimates_is_published_without_them(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracts = tmp_path / "register"
    extracts.mkdir()
    (extracts / "extract_set.yml").write_text(
        "name: sample\nkind: synthetic\nhas_estimates: false\n"
    )
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    replay(refreshes, (delivered(*NO_GDP), "000001"))


def test_warnings_are_new_or_known_in_a_stable_order_and_name_their_cities(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    extracts = shutil.copytree(refreshes.build.extracts, tmp_path / "sample")
    (extracts / "firms").mkdir()
    (extracts / "firms/2020.CSV").write_text("a", "utf-8")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))

    def warnings(*rows: dict[str, Any]) -> list[dict[str, Any]]:
        """Refresh with these failing rows, and return the warnings that the refresh reports."""
        failing = quote_literal(json.dumps(rows))
        refreshes.of(
            f"update gates.gate_results set success = false, failing_rows = {failing} where "
            "suite = 'panel_consistency' and description like 'GDP of a city grows%'",
            "update gates.gate_results set success = false, observed_value = '0.2' where "
            "suite = 'landed_sources' and description like 'At most 10 %'",
            "insert into raw.deliveries by name select * replace ('firms/2020.CSV' as file_path, "
            "null as source_name, 'Rename the file.' as hint) from raw.deliveries limit 1",
        )
        refreshes.run()
        return [facts for event, facts in refreshes.events if event == "warning"]

    shenyang = {"gdp_growth_factor": 0.7626811201856755, "city_id": "210100", "year": 2016}
    fuxin = {"gdp_growth_factor": 3.0, "city_id": "210900", "year": 2016}
    growth = "panel_consistency: GDP of a city grows by -20 to 40 % a year."
    shares = "landed_sources: At most 10 % of a source's records name no known city."
    messages = [
        f"{shares} observed 0.2.",
        f"{growth} Shenyang (210100) 2016: gdp_growth_factor 0.762681; Fuxin (210900) 2016:"
        " gdp_growth_factor 3.",
        "1 delivered files match no declaration: firms/2020.CSV: Rename the file. Declare,"
        " rename or remove these files.",
    ]
    expected = [{"state": "new", "message": message} for message in messages]
    assert warnings(fuxin, shenyang) == expected

    # Floating-point noise from the order of summation must not make a known warning new.
    shenyang["gdp_growth_factor"] += 1e-12
    (known,) = warnings(shenyang, fuxin)
    assert (known["state"], known["count"]) == ("known", 3)
    known_rows = f"{shares}; {growth} (2 rows); delivered files that match no declaration (1)."
    assert known["message"].endswith(
        f"release 000001; their rows are in gates.gate_results: {known_rows}"
    )

    # A warning stays known if the previous refresh reported it in another language.
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    new, known = warnings(fuxin, shenyang, {**fuxin, "year": 2011})
    assert new["message"].startswith(growth)
    more = "阜新市 (210900) 2011: gdp_growth_factor 3. 2 other rows were already known."
    assert new["message"].endswith(more)
    assert known["count"] == 2


def test_changed_files_and_records_are_described() -> None:
    gdp = deliveries.Part("vendor", "gdp", "b.csv", 1000, 1000, None)
    gone = deliveries.Part("vendor", "gdp", "d.csv", 10, 0, "Rename it.")
    archived = tuple(
        deliveries.Part("vendor", entity, f"{path}/{entity}.csv", count, used, None)
        for path, entity, count, used in (
            ("z.zip", "firms", 5, 5),
            ("z.zip", "patents", 6, 0),
            ("d.csv", "wages", 0, 0),
        )
    )
    firms, patents, _ = archived
    before = {name: name for name in ("a.csv", "b.csv", "c.csv", "d.csv", "z.zip")}
    before |= {"extract_set.yml": "1"}
    fields = {"delivery_hashes": before, "row_counts": {}}
    manifest = Manifest(**described("000007") | fields)
    names = ("a.csv", "extract_set.yml")
    now = {name: before[name] for name in names} | {
        "b.csv": "changed",
        "c2.csv": before["c.csv"],
        "copy.csv": before["a.csv"],
        "new.csv": "new",
        "z.zip": "changed, too",
    }
    files = deliveries.compare_files(manifest, now, "sample", (gdp, gone, *archived))
    gone_text = "d.csv (vendor gdp, vendor wages, 10 records, none of them used: Rename it)"
    zip_text = "z.zip (vendor firms, vendor patents, 11"
    assert files.causes == [
        f"1 withdrawn: {gone_text}.",
        f"2 replaced: b.csv (vendor gdp, 1,000 records); {zip_text} records).",
        "1 renamed: c.csv -> c2.csv.",
        "2 added: copy.csv; new.csv.",
        "These changes may explain the failures below.",
    ]
    landed = (
        gdp._replace(record_count=2000, used_count=1500),
        firms._replace(record_count=7),
        patents._replace(used_count=6),
        deliveries.Part("other", "jobs", "new.csv", 3, 3, None),
    )
    described_now = replace(files, parts_now=landed, has_new_description=True).to_record()
    assert described_now["lines"] == [
        f"1 withdrawn: {gone_text}.",
        f"2 replaced: b.csv (vendor gdp, 1,000 -> 2,000 records); {zip_text} -> 13 records).",
        "1 renamed: c.csv -> c2.csv.",
        "2 added: copy.csv; new.csv (other jobs, 3 records).",
        "extract_set.yml changed.",
        "Records: other jobs 3; vendor firms 5 -> 7 (5 used); vendor gdp 1,010 -> 2,000 (1,500"
        " used); vendor patents 6 -> 6.",
    ]
    counts = ("records_before", "records", "used_before", "used")
    assert [tuple(row[name] for name in counts) for row in described_now["records"]] == [
        (0, 3, 0, 3),
        (5, 7, 5, 5),
        (1010, 2000, 1000, 1500),
        (6, 6, 0, 6),
        (0, 0, 0, 0),
    ]
    unread = replace(files, parts_before=(), parts_now=landed).file_lines
    assert "b.csv (vendor gdp, 2,000 records); z.zip" in unread[1]
    same = deliveries.compare_files(manifest, before, "sample", archived)
    assert replace(same, parts_now=archived).causes == [
        "The files are the same as in release 000007.",
        "Each provider and entity has as many records as in release 000007.",
    ]
    for changed_hashes, is_cause in (
        (before | {"extract_set.yml": "2"}, False),
        (before | {"a.csv": "2"}, True),
        (before | {"x.csv": "2"}, True),
        ({path: digest for path, digest in before.items() if path != "a.csv"}, True),
    ):
        changed_files = deliveries.compare_files(manifest, changed_hashes, "sample", ())
        assert changed_files.has_file_changes is is_cause
        assert len(changed_files.causes) == 1 + is_cause
    for published, name in ((manifest, "another"), (None, "sample")):
        first = deliveries.compare_files(published, before, name, ())
        assert first.causes == ["5 files were delivered, the first of this extract set."]


def test_only_files_in_use_count_as_parts_of_a_delivery() -> None:
    with duckdb.connect() as connection:
        assert deliveries.read_parts(connection) == ()
        connection.execute("""
            create schema marts; create table marts.fct_deliveries as
            select provider, 'gdp' as entity, outcome || '.csv' as file_path, 2 as record_count,
                1 as used_count, 'Rename it.' as remedy, outcome
            from (values ('vendor', 'used'), ('vendor', 'withdrawn'), ('vendor', 'superseded'),
                (null, 'unknown')) as files (provider, outcome)
        """)
        part = deliveries.Part("vendor", "gdp", "used.csv", 2, 1, "Rename it.")
        assert deliveries.read_parts(connection) == (part,)


def test_a_list_of_failing_rows_is_a_line_of_whole_rows_and_how_many_more() -> None:
    rows = tuple(f"row {number} of a hundred" for number in range(100))
    said = str(findings.Finding("a_suite", "It holds.", "critical", None, None, rows))
    assert said.startswith("a_suite: It holds. row 0 of a hundred; row 1 of a hundred; ")
    assert said.endswith(" of a hundred; and 88 more in gates.gate_results.")
    assert len(said) + len("; row 12 of a hundred") > 300 >= len(said)
    said = findings.join_items("A file:", ["x" * 400, "y"], "marts.t", "Remove it.")
    assert said.endswith("x… The full list is in marts.t. Remove it.")
    assert (said[:9], len(said)) == ("A file: x", 300)


def test_failing_rows_are_described_in_the_order_of_their_places(
    small_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    rows = [
        {"series": "GDP", "lost_records": None, "hint": None, "note": "x"},
        {"gdp_growth_factor": 3.0, "city_id": "210900", "year": 2016},
        {"gdp_growth_factor": 0.76268112, "city_id": "210100", "year": 2016, "hint": "a zero"},
    ]
    warehouse = changed(
        small_build.warehouse,
        tmp_path / "failed.duckdb",
        f"update gates.gate_results set success = false, failing_rows = '{json.dumps(rows)}' where"
        " suite = 'panel_consistency' and description like 'GDP of a city grows%'",
    )
    with open_read_only(warehouse) as connection:
        (found,) = findings.read_failures(connection, "warning")
        assert findings.read_failures(connection, "critical") == []
    assert found.rows == (
        "Shenyang (210100) 2016: gdp_growth_factor 0.762681, hint a zero",
        "Fuxin (210900) 2016: gdp_growth_factor 3",
        "GDP: lost_records missing, note x",
    )


def test_a_warning_is_new_in_the_rows_that_the_release_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failure(name: str, *rows: str) -> findings.Finding:
        return findings.Finding("s", name, "warning", "7", None, rows)

    none = failure("none")
    before = [none, failure("more", "1"), failure("moved", "1"), failure("same", "2", "1")]
    now = [none, failure("more", "1", "2"), failure("moved", "3"), failure("same", "1", "2")]
    assert "rows" not in none.to_record()
    warehouse, release = duckdb.connect(), duckdb.connect()
    assert findings.read_failures(release, "warning") == []
    failures = {warehouse: [*now, failure("new")], release: before}
    monkeypatch.setattr(findings, "read_failures", lambda opened, *_: failures[opened])
    warehouse.execute(
        "create schema raw; create table raw.deliveries as from (values ('a', null, 'empty'),"
        " ('b', null, ''), ('c', 'x', '')) as deliveries (file_path, source_name, hint)"
    )
    release.execute("create schema marts; create table marts.fct_row_accounting (file_path text)")
    hashes = {"delivery_hashes": {"b": "1"}, "row_counts": {}}
    manifest = Manifest(**described("000007") | hashes)
    warnings = list(findings.list_warnings(warehouse, release, manifest))
    assert [warning["state"] for warning in warnings] == ["new"] * 4 + ["known"]
    *failed, files, known = [warning["message"] for warning in warnings]
    known_already = "1 other rows were already known."
    assert failed == [f"s: more 2. {known_already}", "s: moved 3.", "s: new observed 7."]
    assert files.startswith("1 delivered files match no declaration: a: empty. D")
    words = r"3 .* 000007; .*: s: none; s: same \(2 rows\); delivered .* \(1\)\."
    assert re.fullmatch(words, known)
    assert warnings[-1]["count"] == 3
    warnings = list(findings.list_warnings(warehouse, None, manifest))
    assert [warning["state"] for warning in warnings] == ["new"] * 6


def test_a_refresh_begins_with_what_the_delivery_did_and_its_causes_come_before_what_follows(
    sample_refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, events = sample_refreshes.store, sample_refreshes.events
    extracts = Path(shutil.copytree(sample_refreshes.build.extracts, tmp_path / "sample"))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    sample_refreshes.run()
    # The sample consists of 11 yearly files from each of four sources, without extract_set.yml.
    assert events[1][1]["lines"] == ["44 files were delivered, the first of this extract set."]
    sums = "select sum(record_count), sum(used_count) from marts.fct_deliveries where"
    ((firms, used),) = sample_refreshes.build.rows(f"{sums} entity = 'firm_survival'")
    assert f"vendor firm_survival {firms:,}" in events[2][1]["lines"][0]

    withdrawn, renamed = "firm_survival/企业存续_2015.csv", "patents/专利_2011.csv"
    ((gone, used_of_it),) = sample_refreshes.build.rows(f"{sums} file_path = '{withdrawn}'")
    (extracts / withdrawn).unlink()
    (extracts / renamed).rename(extracts / "patents/专利_2011年.csv")
    with (extracts / "extract_set.yml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    (extracts / "new.csv").write_text("a,b\n", "utf-8")
    deliveries = "update marts.fct_deliveries set"
    broken = '[{"firm_stock_flow_break_count": 1, "city_id": "430100", "year": 2016}]'
    stopped = sample_refreshes.of(
        f"{deliveries} outcome = 'withdrawn' where file_path = '{withdrawn}'",
        f"{deliveries} file_path = 'patents/专利_2011年.csv' where file_path = '{renamed}'",
        f"update gates.gate_results set success = false, failing_rows = '{broken}' where suite ="
        " 'firm_survival'",
    )
    copied = build.run_dbt
    with monkeypatch.context() as at_the_gate:
        at_the_gate.setattr(
            build, "run_dbt", lambda *given, **options: not copied(*given, **options)
        )
        at_the_gate.setattr(build, "has_failed_gate", lambda work: True)
        with pytest.raises(GateFailedError) as held:
            sample_refreshes.run()
    assert [event for event, _ in events[:3]] == ["started", "delivery", "landed"]
    files = [
        f"1 withdrawn: {withdrawn} (vendor firm_survival, {gone:,} records).",
        f"1 renamed: {renamed} -> patents/专利_2011年.csv.",
        "1 added: new.csv.",
        "extract_set.yml changed.",
    ]
    now = f"{firms - gone:,} ({used - used_of_it:,} used)"
    lost = f"Records: vendor firm_survival {firms:,} -> {now}."
    assert (events[1][1]["lines"], events[2][1]["lines"]) == (files, [lost])
    # The message names the missing file before the failures that it may have caused.
    message = str(held.value).splitlines()
    assert message[1:7] == [*files, lost, "These changes may explain the failures below."]
    assert message[7].startswith("firm_survival: ")
    report = (store.locate_held_build("000002") / "report.json").read_text("utf-8")
    assert json.loads(report)["delivery"]["lines"] == [*files, lost]

    # After the gate stopped a build, only the same version of the code may estimate it.
    sample_refreshes.of()
    by_hand_too = partial(by_hand.publish_held_build, store, "000002", "because", quiet)
    with pytest.raises(BadConfigurationError, match="000002 has no estimates yet, and the code"):
        by_hand_too()
    sample_refreshes.warehouse = stopped
    assert by_hand_too() == store.read_current_manifest()


def test_the_gate_names_the_records_that_a_source_lost_by_the_rarest_reason_first(
    small_build: Build, tmp_path: Path
) -> None:
    warehouse = changed(
        small_build.warehouse,
        tmp_path / "lost.duckdb",
        # The last of these rejected rows belongs to a delivery that was later superseded.
        "insert into raw.deliveries select * replace (0 as delivery_number, 1 as"
        " valid_until_delivery) from raw.deliveries limit 1",
        "insert into raw.rejected_rows by name select 'vendor' as provider, '企业存续数' as"
        " column_name, '1,2O4' as value, 'not a number (a letter O?)' as reason, * from (values"
        " ('firm_survival', 'a.csv', 7, 1), ('city_yearbook', 'b.csv', 8, 1), ('firm_survival',"
        " 'a.csv', 1, 0)) as rows (source_name, file_path, row_number, delivery_number)",
        "create table marts.fct_rows_set_aside as select 'vendor' as provider, 'firm_survival' as"
        " source_name, 'a.csv' as file_path, range as row_number, '吉林' as city_name,"
        " null::varchar as city_code, 'unknown city' as set_aside_reason from range(9)",
        "insert into marts.fct_rows_set_aside values"
        " ('vendor', 'patents', 'c.xlsx', 2, null, '999999', 'unknown city'),"
        " ('vendor', 'patents', 'c.xlsx', 3, null, '1', 'superseded'),"
        " ('vendor', 'patents', 'c.xlsx', 4, null, '1', 'withdrawn')",
        "insert into raw.rejected_rows by name select 'vendor' as provider, 'patents' as"
        " source_name, 'b.xlsx' as file_path, '2020' as sheet_name, row_number, value,"
        " 'damaged' as reason, 1 as delivery_number from (values (5, null), (6, repeat('x', 121)),"
        " (7, repeat('y', 120))) as rows (row_number, value)",
        "insert into marts.fct_register_rows_set_aside select 'vendor', 'firm_register', 'r.csv', *"
        " from (values (3, '9', 'no date'), (5, '5', 'unknown city'), (4, '4', 'unknown city'))",
    )

    def lost(suite: str, source: str) -> list[str]:
        rows = json.dumps(
            [{"provider": "vendor", "source_name": source, "lost_count_records": 1.0}]
        )
        failure = findings.Finding(suite, "", "critical", None, rows, ())
        with open_read_only(warehouse) as connection:
            return findings.describe_lost_records(connection, [failure])

    lines = lost("landed_sources", "firm_survival")
    assert lines[:2] == [
        'a.csv, row 7, column 企业存续数: "1,2O4" was set aside (not a number (a letter O?)).',
        'a.csv, row 0: "吉林" was set aside (unknown city).',
    ]
    more = (
        "More are in raw.rejected_rows, marts.fct_rows_set_aside and"
        " marts.fct_register_rows_set_aside."
    )
    assert (len(lines), lines[-1]) == (6, more)
    assert lost("landed_sources", "firm_register") == [
        'r.csv, row 3: "9" was set aside (no date).',
        'r.csv, row 4: "4" was set aside (unknown city).',
    ]
    assert lost("landed_sources", "patents") == [
        'c.xlsx, row 2: "999999" was set aside (unknown city).',
        "b.xlsx, sheet 2020, row 5: null was set aside (damaged).",
        f'b.xlsx, sheet 2020, row 6: "{"x" * 120}…" was set aside (damaged).',
        f'b.xlsx, sheet 2020, row 7: "{"y" * 120}" was set aside (damaged).',
    ]
    assert lost("series_years", "firm_survival") == []


def test_a_file_that_landing_passes_over_is_nothing_new(tmp_path: Path) -> None:
    for name in ("a.csv", "extract_set.yml", ".DS_Store", "~$a.xlsx", "README.md", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", "utf-8")
    assert [*fingerprint.hash_deliveries(tmp_path)] == ["a.csv", "extract_set.yml"]


def test_a_provider_that_delivers_nothing_is_warned_of_then_failed_and_decides_no_row(
    refreshes: Refreshes,
) -> None:
    store = refreshes.store
    ago = (
        "update raw.deliveries set landed_at = cast(now() at time zone 'UTC' as timestamp) -"
        " interval {} day"
    )
    late = r"'warning', .* 500 days ago, which exceeds warn_after_days \(400\)"
    replay(refreshes, (delivered(ago.format(500)), "000001", late))
    with open_read_only(store.published_path) as published:
        (vendor,) = freshness.read_freshness(published)
        (in_2020,) = freshness.read_freshness(published, now=datetime(2020, 1, 1, tzinfo=UTC))
    landed_at = read(refreshes.warehouse, "select max(landed_at) from raw.deliveries")
    assert (vendor.provider, [(vendor.newest_delivery_at,)]) == ("vendor", landed_at)
    # A clock that is set back makes nothing old.
    assert not in_2020.is_late

    stale = r"Release 000002 is published.\nvendor: .*which exceeds fail_after_days \(760\)"
    with pytest.raises(StaleError, match=stale):
        delivered(ago.format(800))(refreshes)
    assert store.read_current_manifest().release_id == "000002"
    with open_read_only(store.published_path) as published:
        assert changes.read_changes(published).lines == ()
    with pytest.raises(StaleError, match="Nothing new since release 000002") as raised:
        refreshes.run()
    assert (raised.value.exit_code, raised.value.is_published) == (8, False)
    assert "vendor: newest delivery on" in command(store, refreshes.build, "status").stdout


def opened(path: Path) -> None:
    """Open a warehouse as dbt does at the start of a run."""
    credentials = DuckDBCredentials(path=str(path), schema="main")
    Plugin("ai_manufacturing", {}, credentials).update_connection_config(credentials, {})


def test_a_path_that_dbt_would_not_escape_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("it's.duckdb", 'a "b".duckdb', "a; drop schema marts.duckdb"):
        with pytest.raises(DbtRuntimeError, match="Rename the file; only folder names may contain"):
            opened(tmp_path / name)
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path / "it's"))
    no_seed = r"it's: dbt cannot load seeds .* a quotation mark \('\)\. Rename the folder"
    with pytest.raises(DbtRuntimeError, match=no_seed):
        opened(tmp_path / "warehouse.duckdb")


def test_a_warehouse_that_another_process_has_open_is_named_with_that_process(
    tmp_path: Path,
) -> None:
    path = tmp_path / "warehouse.duckdb"
    duckdb.connect(path).close()
    reader = (
        "import duckdb, sys; connection = duckdb.connect(sys.argv[1], read_only=True);"
        " print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", reader, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        message = rf"{path} is open in \S+ \(PID {process.pid}\), so .+ Close it there, or name"
        with pytest.raises(DbtRuntimeError, match=message):
            opened(path)
        process.communicate()
    opened(path)


def test_progress_is_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RELEASE_DIR", str(tmp_path))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console.log_event("changes", {"release_id": "000001", "lines": ["a", "b"]})
    console.log_event("published", {"release_id": "000001", "pruned": []})
    words = click.unstyle(capsys.readouterr().out)
    assert words == "changes: a\n  b\npublished: release_id 000001, pruned []\n"


def test_a_limit_that_would_limit_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFRESH_HOLD_ABOVE", raising=False)
    assert configured.read_limits().hold_shown_above == 1
    for name, whole in (
        ("REFRESH_HOLD_ABOVE", ()),
        ("REFRESH_WARN_ABOVE", ()),
        ("RELEASES_KEPT", ("2.5", "1")),
    ):
        for text in ("much", "nan", "inf", "-1", *whole):
            monkeypatch.setenv(name, text)
            least = "whole number of 2 or more" if text in whole else "number of 0 or more"
            with pytest.raises(BadConfigurationError, match=f"{name} is .*{text}.* a {least}"):
                (configured.read_limits(), configured.read_store())
        monkeypatch.setenv(name, "2.5")
    assert configured.read_limits() == Limits(2.5, 2.5)


@pytest.mark.door
@pytest.mark.soak
def test_a_bad_delivery_is_held_by_dbt_at_the_gate_and_published_by_hand_with_the_reason(
    store: Store, delivery: Build, audited_build: Build, tmp_path: Path
) -> None:
    """Quotes and semicolons in folder names must be escaped in SQL, or the refresh would fail."""
    release(store, audited_build.warehouse)
    delivery.extracts = delivery.extracts.rename(tmp_path / """o'clock; "drop" """)
    delivery.landing = delivery.landing.rename(tmp_path / """l'anding; --"it" """)
    test_gate.unreadable_share(delivery)
    test_gate.unit_slip_of_a_cell(delivery)
    test_gate.one_field_too_many(delivery)
    *_, last = output_of(command(store, delivery, "refresh"), 4).splitlines()
    message = json.loads(last)["message"]
    held = store.locate_held_build("000002")
    for pattern in (
        "Release 000002 is held, because the gate failed. The published release is unchanged.",
        "landed_sources: .*: source_faulty_share 0.0.*",
        r"panel_consistency: .*Changsha \(430100\) 2013: gdp_growth_factor 0.1.*",
        r"patents/专利_2016.* was set aside \(expected 10 fields, found 11\).",
        f"The build is held in {re.escape(str(held))}: query warehouse.duckdb there.*",
    ):
        assert re.search(f"^{pattern}$", message, re.MULTILINE), (pattern, message)
    assert store.read_current_manifest().release_id == "000001"
    copy = Path(shutil.copy(held / "warehouse.duckdb", tmp_path / "copy.duckdb"))
    assert trusted_files.find_landing_store(copy) == delivery.landing

    output_of(command(store, delivery, "publish", "000002", "--reason", "a drill"))
    assert store.read_current_manifest().reason == "a drill"
    assert check(store.published_path).row_counts["reports.rpt_coefficients"] > 100
    assert "standard errors" in command(store, delivery, "diff", "000001", "000002").stdout


def test_a_delivery_that_arrives_while_dbt_builds_is_not_published_under_a_false_manifest(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracts = shutil.copytree(refreshes.build.extracts, tmp_path / "sample")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    copied = build.run_dbt

    def delivered_meanwhile(*arguments: Any, **options: Any) -> bool:
        (extracts / "late.csv").write_text("half a file", "utf-8")
        return copied(*arguments, **options)

    monkeypatch.setattr(build, "run_dbt", delivered_meanwhile)
    meanwhile = r"late\.csv changed while dbt was running\. The published release is unchanged"
    replay(refreshes, (again(), BuildFailedError, meanwhile))
    assert not refreshes.store.published_path.exists()
    assert "late.csv" in refreshes.run().delivery_hashes


def test_a_torn_line_of_the_log_loses_no_rollback_and_no_clock_orders_the_releases(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that dies may leave an incomplete log line, which must not hide earlier lines."""
    store = refreshes.store
    replay(refreshes, (again(), "000001"))
    monkeypatch.setattr(clock, "now", lambda *_: "1999-01-01T00:00:00+00:00")
    replay(refreshes, (delivered(), "000002"))
    assert store.read_current_manifest().published_at == clock.now()
    log = store.folder / "refreshes.jsonl"
    before = store.read_refreshes()
    whole = log.read_bytes()
    half_a_character = '{"release_id": "000002", "reason": "钟'.encode()[:-1]
    for torn in (half_a_character, whole.splitlines()[-1]):
        log.write_bytes(log.read_bytes() + torn)
        assert store.read_refreshes()[:2] == before
        store.publish_release("000002")
        by_hand.roll_back(store, "000001", quiet)
        assert log.read_bytes().startswith(whole)
        assert all(map(json.loads, log.read_bytes().splitlines()))
        rolled_back = r"since release 000002: .* It was rolled back to 000001"
        replay(refreshes, (again(), NothingNewError, rolled_back))
        line = {"release_id": "000001", "outcome": "rolled back to", "instead_of": "000002"}
        assert store.read_refreshes()[-1] == line | {"at": clock.now()}
    replay(refreshes, (delivered(), "000003"))


def test_a_number_that_is_no_release_reaches_no_path(store: Store) -> None:
    beside = store.folder / "x"
    beside.mkdir()
    kept = {"outcome": "HeldError", "manifest": described("000001"), "found": []}
    (beside / "report.json").write_text(json.dumps(kept), "utf-8")
    publish = partial(by_hand.publish_held_build, store, reason="because", on_event=quiet)
    acts: tuple[Callable[[str], object], ...] = (
        partial(by_hand.roll_back, store, on_event=quiet),
        partial(by_hand.summarise_changes, store, "000001"),
        publish,
        store.locate_past_release,
        store.locate_held_build,
    )
    for number in ("../x", "", "12", "٠٠٠٠٠١", "0000001", "000001\n", "x/../000001"):
        for act in acts:
            with pytest.raises(BadConfigurationError, match="is not a release number"):
                act(number)
    assert [path.name for path in beside.iterdir()] == ["report.json"]
    none = r"no held build 000009\. Existing held builds: none"
    with pytest.raises(BadConfigurationError, match=none):
        publish("000009")


@pytest.mark.parametrize("said", ["0.0100001", "0.011"])
def test_a_move_is_said_in_the_digits_that_tell_it_from_its_limit(said: str) -> None:
    moved = changes.Summary({}, float(said)).describe_move(0.01)
    assert moved == f"An estimate moved by {said} standard errors"


def test_whatever_ends_a_refresh_is_a_message(
    refreshes: Refreshes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk, a DuckDB error and a bug each end a refresh with a message and exit code 1."""
    store, no_space = refreshes.store, (28, "No space left on device")
    after = r"\(No space left on device\)\. The new release is published; the steps after"
    with monkeypatch.context() as full:
        full.setattr(Store, "prune_releases", Mock(side_effect=OSError(*no_space)))
        with pytest.raises(RefreshError, match=after) as raised:
            refreshes.run()
    assert (raised.value.exit_code, store.read_current_manifest().release_id) == (1, "000001")
    refreshes.of()
    refused = OSError(*no_space, "past/000001.duckdb", None, "/full/published.duckdb")
    damaged = duckdb.IOException("IO Error: a block is damaged.\nmore")
    for place, name, error, said in (
        (Store, "publish_release", refused, "/full/published.duckdb .* (No space left on device)"),
        (fingerprint, "read_git_commit", KeyError("commit"), "(KeyError: 'commit')"),
        (findings, "read_failures", damaged, "(IOException: IO Error: a block is damaged)"),
    ):
        words = said.replace("(", r"\(").replace(")", r"\)")
        with monkeypatch.context() as failing:
            failing.setattr(place, name, Mock(side_effect=error))
            unchanged = rf"^exit 1, .*{words}\. The published release is unchanged"
            replay(refreshes, (again(), RefreshError, unchanged))
    assert "duckdb.IOException" in (store.folder / "traceback.txt").read_text("utf-8")
    # Release 000002 was written but not published, so the refresh builds release 000003.
    assert store.list_release_ids() == ["000001", "000002"]
    replay(refreshes, (again(), "000003"))


def test_dbt_builds_in_the_work_folder_and_its_parsed_project_is_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.02)
    script = """
        parsed="$DBT_TARGET_PATH/partial_parse.msgpack"
        mkdir -p "$DBT_TARGET_PATH"
        echo "$* $ACCEPTED_GATE_FAILURES $DBT_LOG_FORMAT_FILE"
        cat "$parsed"
        sleep 0.1
        echo "$WAREHOUSE_PATH" | tee "$parsed"
        exit $CODE"""
    stand_in(tmp_path, monkeypatch, script)
    shown: list[str | None] = []
    warehouses = []
    for code, on_progress, log_format in (("0", None, ""), ("2", shown.append, "json")):
        (work := store.work / code).mkdir()
        monkeypatch.setenv("CODE", code)
        warehouses.append(f"{work}/warehouse.duckdb")
        failed = build.run_dbt(
            store, work, "build", accepted_reason="seen", on_progress=on_progress
        )
        assert failed is (code == "2")
        first, *parsed = (work / "dbt.txt").read_text("utf-8").splitlines()
        assert first == f"--no-use-colors build seen {log_format}"
        assert parsed[-len(warehouses) :] == warehouses
    assert shown[-2:] == ["reading the project", None]
    # dbt wrote no results, so the end of its output is the explanation.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=2**20 - 1))
    explained = build.explain_failure(work).splitlines()
    assert explained[1:-1] == ["The disk is full.", first, *warehouses]


def test_files_that_cannot_be_landed_are_named_and_not_the_models_that_read_them(
    tmp_path: Path,
) -> None:
    module = landing.LandingError.__module__
    (tmp_path / "target").mkdir()

    def why(*messages: str) -> str:
        results = [
            {"unique_id": "model.raw", "status": "error", "message": message}
            for message in messages
        ]
        (tmp_path / "target/run_results.json").write_text(json.dumps({"results": results}))
        return build.explain_failure(tmp_path)

    raised = f"Python model failed:\nTraceback\n  line\n{module}.LandingError: "
    unread = "a.csv: cannot be read.\nb.csv: cannot be read."
    first = "Files could not be landed; the published release is unchanged.\n"
    assert why(raised + unread) == first + unread
    assert why(raised + unread, "division by zero").splitlines()[:2] == [
        "dbt failed; the published release is unchanged.",
        f"model.raw: {module}.LandingError: a.csv: cannot be read.",
    ]


def test_a_comparison_has_the_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_MEMORY_LIMIT", "100MB")
    with duckdb_client.open_in_memory(tmp_path / "spill") as connection:
        limit = connection.execute("select current_setting('memory_limit')").fetchall()
    assert limit == [("95.3 MiB",)]


def test_the_next_site_removes_the_folder_of_a_dead_one_and_no_other(tmp_path: Path) -> None:
    dead, alive = (tmp_path / f".site [1].{number}" for number in (1, 2))
    dead.mkdir()
    alive.mkdir()
    with lock_folder(alive), private_folder(tmp_path / "site [1]") as own:
        assert {*tmp_path.iterdir()} == {alive, own}
    assert [*tmp_path.iterdir()] == [alive]


@pytest.mark.soak
def test_readers_see_whole_releases_while_others_are_published(
    refreshes: Refreshes, tmp_path: Path
) -> None:
    sample, readers, begun = refreshes.warehouse, 20, tmp_path / "begun"
    begun.mkdir()
    smaller = refreshes.of("delete from reports.rpt_coefficients where term_order > 1")
    refreshes.warehouse = sample
    refreshes.run()
    with ProcessPoolExecutor(readers, get_context("spawn")) as pool:
        reading = [
            pool.submit(releases_read, str(refreshes.store.published_path), begun / str(number))
            for number in range(readers)
        ]
        try:
            wait_for(
                lambda: len([*begun.iterdir()]) == readers,
                lambda: any(reader.done() for reader in reading),
            )
            for number in range(10):
                refreshes.warehouse = (smaller, sample)[number % 2]
                refreshes.run()
        finally:
            shutil.rmtree(begun)
    for reader in reading:
        seen = reader.result()
        assert seen == sorted(seen), "a reader saw an older release after a newer one"
        assert seen[-1] == "000011"


def test_a_reader_that_has_the_old_release_open_keeps_it_also_behind_a_link(
    small_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, real = tmp_path / "link.duckdb", tmp_path / "share" / "warehouse.duckdb"
    real.parent.mkdir()
    link.symlink_to(real)
    monkeypatch.setenv("RELEASE_PATH", str(link))
    store = Store(tmp_path / "releases", settings.release_path())
    store.prepare_folders()
    release(store, small_build.warehouse)
    with duckdb.connect(link, read_only=True) as reader:
        query = "select release_id, (select count(*) from marts.dim_city) from release.manifest"
        before = reader.execute(query).fetchall()
        release(store, small_build.warehouse)
        assert reader.execute(query).fetchall() == before
    assert link.is_symlink()
    assert read_manifest(link).release_id == "000002"


READ_ALL = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
connection.execute("set enable_progress_bar = false")
tables = "select table_schema || '.' || table_name from information_schema.tables"
tables += " where table_schema <> 'release'"
for (name,) in connection.execute(tables).fetchall():
    try:
        print(name, len(connection.execute(f"from {name} {sys.argv[2]}").fetchall()))
    except duckdb.BinderException as error:
        assert "file_index" in str(error), error
"""


@pytest.mark.soak
@pytest.mark.parametrize("version", ["1.2.2", "1.5.*", "2.0.*"])
def test_clients_of_other_versions_read_the_release_and_the_warehouse(
    version: str,
    client: Callable[[str], Path],
    store: Store,
    sample_build: Build,
    tmp_path: Path,
) -> None:
    """Views on register files require DuckDB 1.5 or later, because they use file_index."""

    def counts(path: Path, limit: str) -> dict[str, int]:
        command = [str(client(version)), "-c", READ_ALL, str(path), limit]
        printed = output_of(subprocess.run(command, capture_output=True, text=True, check=False))
        return {name: int(count) for name, count in map(str.split, printed.splitlines())}

    release(store, sample_build.warehouse)
    assert counts(store.published_path, "") == check(store.published_path).row_counts
    on_registers = {
        "intermediate.int_register_delivered",
        "intermediate.int_register_conformed",
        "marts.fct_register_rows_set_aside",
    }
    names = "select table_schema || '.' || table_name from information_schema.tables"
    renamed = Path(shutil.copy(sample_build.warehouse, tmp_path / "renamed.duckdb"))
    lacking = {name for (name,) in sample_build.rows(names)} - counts(renamed, "limit 1").keys()
    assert lacking == (on_registers if version == "1.2.2" else set())


def hashed(store: Store) -> list[Path]:
    """Return the paths of all releases that have a SHA-256 file."""
    return [
        path.with_suffix("")
        for folder in (".", "past")
        for path in (store.folder / folder).glob("*.sha256")
    ]


def copies_in_place_of_dbt(warehouse: Path) -> None:
    """Replace dbt by a function that copies a built warehouse, to make refreshes in this process
    fast.

    Each process counts the copy as something new.
    """

    def copied(store: Store, work: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(warehouse, work / WAREHOUSE)
        return False

    build.run_dbt = copied
    fingerprint.compute_fingerprint = lambda hashes: str(os.getpid())


def killed_refreshes(store: Store, built: Build) -> AbstractContextManager[dbt_process.Ask]:
    """Return a process that runs refreshes without dbt and can be killed at any line."""
    environment = {**built.environment, "RELEASE_DIR": str(store.folder), "RELEASES_KEPT": "2"}
    within = (
        "/ai_manufacturing/refresh/",
        "/ai_manufacturing/releases/",
        "/ai_manufacturing/auditing/",
    )
    imported = ("ai_manufacturing.refresh.cycle", "ai_manufacturing.releases.refresh_log")
    return killed.command(
        PROJECT,
        environment,
        within,
        "add_release",
        imported,
        partial(copies_in_place_of_dbt, built.warehouse),
    )


@pytest.mark.soak
def test_death_at_forty_points(store: Store, small_build: Build) -> None:
    """After a refresh is killed, readers must have a complete release and the next refresh must
    work.

    Half of the points are in the code that moves the release, prunes the past and writes the log.
    """
    seen, published = [], []

    def is_whole() -> None:
        assert store.read_current_manifest() == check(store.published_path)
        seen.append(store.read_current_manifest().release_id)
        # The SHA-256 file of every existing release must match the release.
        assert all(integrity.check_file(path) for path in hashed(store) if path.exists())

    def is_in_order(printed: str) -> None:
        is_whole()
        published.append(seen[-1])
        assert {*hashed(store)} == {
            store.published_path,
            *map(store.locate_past_release, store.list_release_ids()),
        }
        assert len(store.list_release_ids()) <= 3
        for release_id in store.list_release_ids():
            check(store.locate_past_release(release_id))
        assert list(store.work.iterdir()) == []

    with killed_refreshes(store, small_build) as run:
        # After two refreshes, each later one compares with a previous release and prunes an old
        # one.
        for _ in range(2):
            assert run("refresh")[0] == 0
        killed.dies(run, 40, ("refresh",), is_whole, is_in_order)
    assert seen == sorted(seen)
    assert len({*published}) == len(published) == 41


def is_dead(pid: str) -> bool:
    """Return whether a process has ended; a zombie process has an empty command line."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.door
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.soak
def test_a_refresh_takes_dbt_along_when_it_is_killed_and_the_next_publishes_what_a_build_makes(
    store: Store, audited_build: Build, sample_build: Build, tmp_path: Path
) -> None:
    """Run the real command with dbt on a terminal, with an empty warehouse and landing store."""
    release(store, audited_build.warehouse)
    warehouse = tmp_path / sample_build.warehouse.name
    there = replace(sample_build, landing=tmp_path / "landing", warehouse=warehouse)
    with subprocess.Popen(
        [str(Path(sys.executable).parent / "ai-manufacturing"), "refresh"],
        cwd=PROJECT,
        env=there.environment | released_to(store),
        stdout=subprocess.DEVNULL,
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(children.read_text, lambda: process.poll() is not None)
        left = children.read_text().split()
        process.kill()
    # A surviving dbt process would write into the working folder of the next refresh.
    wait_for(lambda: all(map(is_dead, left)))
    assert check(store.published_path).release_id == "000001"
    said = command(store, there, "status").stdout
    assert "did not end: the process was killed, or the machine stopped" in said

    code, printed, seen = on_terminal(there, "refresh", **released_to(store))
    assert code == 0, printed
    lines = seen.split("\r\x1b[K")
    assert "building: reading the project" in lines
    assert any(re.fullmatch(r"building: \d+ of \d+ steps", line) for line in lines), lines
    assert lines[-1] == "", "nothing stays of the line"
    events = [json.loads(line)["event"] for line in printed.splitlines()]
    expected = ["started", "delivery", "landed", "built", "changes", "published"]
    assert [event for event in events if event != "warning"] == expected
    assert list(store.work.iterdir()) == []
    manifest = check(store.published_path)
    # Ten expectations are not evaluated, because the sample lacks replaced files (3), registers
    # located by place rules (2), registers next to a stock (1), series with a second source (2) and
    # spliced series (2).
    summary = manifest.gate_summary
    assert (summary["critical"], summary["not_evaluated"]) == (0, 10)
    # Every cell of the panel and every estimate must equal the reference build.
    with open_read_only(store.published_path) as published:
        assert changes.read_changes(published).counts == {}
    counts = {
        name: sample_build.value(f"select count(*) from {name}") for name in manifest.row_counts
    }
    assert counts == manifest.row_counts


def test_a_release_is_closed_and_on_the_disk_before_each_of_its_moves(
    store: Store, small_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, move = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {names.get(os.fstat(descriptor).st_ino)}")
        fsync(descriptor)

    def moved(path: Path, target: Path) -> Path:
        steps.append(f"move to {Path(target).relative_to(store.folder)}")
        return move(path, target)

    target = store.work / "unpublished.duckdb"
    writer.write_release(small_build.warehouse, target, described("000001"), None)
    log = target.with_name(f"{target.name}.wal")
    log.write_bytes(b"open")
    with pytest.raises(RefreshError, match=r"was not closed cleanly\. Nothing was published"):
        store.add_release(target, "000001")
    log.unlink()
    folders = (store.folder, store.locate_past_release("000001").parent)
    names = {path.stat().st_ino: path.name for path in (target, *folders)}
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    store.add_release(target, "000001")
    store.publish_release("000001")
    folder = f"sync {store.folder.name}"
    assert steps == [
        "sync unpublished.duckdb",
        "sync None",
        folder,
        "sync None",
        "move to refreshes.jsonl.head",
        folder,
        "sync None",
        "move to past/000001.duckdb.sha256",
        "sync past",
        "move to past/000001.duckdb",
        "sync past",
        "sync None",
        "move to ai_manufacturing.duckdb",
        folder,
        "sync None",
        "move to ai_manufacturing.duckdb.sha256",
        folder,
    ]


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount a file system of the size that the test requests as its parameter."""
    folder = tmp_path / "small"
    mounted(folder, request.param)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# A disk of 3 MB has room for a release and one copy of it.
@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
def test_a_full_disk_leaves_the_published_release_as_it_was(
    small_disk: Path, small_build: Build, store: Store
) -> None:
    full = Store(small_disk, small_disk / "published.duckdb")
    full.prepare_folders()
    release(full, small_build.warehouse)
    with pytest.raises(RefreshError, match="Free disk space, or set RELEASE_DIR to another disk"):
        release(full, small_build.warehouse)
    assert check(full.published_path).release_id == "000001"
    assert list(full.work.iterdir()) == []

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    to_a_folder = "Set RELEASE_DIR to a folder"
    for there, named in (
        (replace(store, folder=small_disk), to_a_folder),
        (replace(store, folder=PROJECT / "README.md/a"), to_a_folder),
        (replace(store, published_path=full.published_path), "RELEASE_PATH to a file in a folder"),
    ):
        run = command(there, small_build, "refresh")
        assert (run.returncode, f"{named} that you can write to" in run.stdout) == (2, True)


@pytest.mark.parametrize("small_disk", ["64k"], indirect=True)
def test_a_full_landing_store_is_told_and_lands_once_there_is_room(
    small_disk: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_DIR", str(small_disk))
    project.declare(FIRMS + REGISTER)
    numbers = random.Random(1)
    rows = [(numbers.random(), 2020, numbers.randrange(10**9), 1) for _ in range(10_000)]
    firms = project.deliver("firms/large.csv", csv_text(*rows))
    header = ("编号", "经营范围", "a", "b")
    register = project.deliver("register/large.csv", csv_text(*rows, header=header))
    stored = rf"large.csv: .* stored in {small_disk} \(.*No space left.*Free disk space.*"
    assert re.fullmatch(f"firms/{stored}\nregister/{stored}", fault())
    assert list(small_disk.iterdir()) == []

    firms.unlink()
    register.unlink()
    project.deliver("firms/small.csv", csv_text(GOOD))
    assert landing.land_deliveries().num_rows == 1


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def status_of(store: Store, small_build: Build) -> dict[str, Any]:
    return dict(json.loads(command(store, small_build, "status", "--json").stdout))


def test_each_attempt_leaves_a_heartbeat_also_one_that_publishes_nothing(
    store: Store, small_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempted(code: int, **environment: str) -> dict[str, Any]:
        output_of(command(store, small_build, "refresh", **environment), code)
        status = status_of(store, small_build)
        last = status["last_attempt"]
        assert (last["exit_code"], status["running"]) == (code, None)
        assert last["ended_at"] >= last["began_at"]
        return status

    wrong = attempted(2, EXTRACTS_DIR="/nowhere")["last_attempt"]
    assert wrong["outcome"] == "BadConfigurationError"
    assert "/nowhere: the folder does not exist" in wrong["message"]
    published_as_built(store, small_build.warehouse, small_build.extracts, monkeypatch)
    at = "2026-11-24T00:00:00+00:00"
    published = {"release_id": "000001", "at": at, "outcome": "published"}
    store.append_to_log(published)
    first, second = attempted(3), attempted(3)
    assert second["last_attempt"]["began_at"] > first["last_attempt"]["ended_at"]
    # The log of publications does not mention attempts.
    assert store.read_refreshes() == [published]
    assert second["last_publication"] == published | {"reason": None, "instead_of": None}
    said = command(store, small_build, "status").stdout
    assert f"last publication: 000001, {at}" in said
    events = [line["event"] for line in lines_of(store.folder / "refresh.log")]
    attempt, nothing = ["attempt", "attempt"], "NothingNewError"
    assert events == [*attempt, "BadConfigurationError", *attempt, nothing, *attempt, nothing]


def test_a_second_refresh_leaves_at_once_and_status_says_to_all_that_the_first_is_running(
    store: Store, small_build: Build
) -> None:
    with refresh_log.record_attempt(store.folder), lock.hold_lock(store.lock):
        running = status_of(store, small_build)["running"]
        process = f"since {running['since']}, process {os.getpid()} on "
        said = command(store, small_build, "status")
        assert said.returncode == 1
        assert f"A refresh has been running {process}" in said.stderr
        assert f"running: {process}{running['host']}" in said.stdout
        assert re.search(r"^last attempt: 20.*, still running$", said.stdout, re.MULTILINE)
        message = json.loads(output_of(command(store, small_build, "refresh"), 6))["message"]
        assert message.startswith(f'Another refresh is running ({{"pid": {os.getpid()}, ')
        status = status_of(store, small_build)
        assert status["running"] == running
        # The refused refresh does not count as an attempt.
        last = status["last_attempt"]
        assert (last["pid"], last["ended_at"]) == (os.getpid(), None)
    assert not store.published_path.exists()


def test_whoever_asks_for_the_holder_locks_no_refresh_out(store: Store) -> None:
    with lock.hold_lock(store.lock):
        pass
    with store.lock.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        release_soon = threading.Timer(lock.PAUSES[0] / 2, fcntl.flock, (asking, fcntl.LOCK_UN))
        release_soon.start()
        with lock.hold_lock(store.lock):
            assert lock.read_holder(store.lock)["pid"] == os.getpid()
        release_soon.join()
    assert lock.read_holder(store.lock) is None


def test_the_last_attempt_is_found_beyond_a_torn_line_and_in_the_log_before_a_new_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refresh_log.record_attempt(store.folder):
        began = refresh_log.read_last_attempt(store.folder)
    done = refresh_log.read_last_attempt(store.folder)
    assert (began["outcome"], done["outcome"]) == (None, "published")
    assert done["began_at"] == began["began_at"]
    with pytest.raises(KeyboardInterrupt), refresh_log.record_attempt(store.folder):
        raise KeyboardInterrupt
    with (store.folder / refresh_log.FILE).open("a", encoding="utf-8") as log:
        log.write('{"event": "attempt", "pid')
    monkeypatch.setattr(refresh_log, "MAX_BYTES", 400)
    refresh_log.write_event(store.folder, "warning", {"message": "a new log"})
    assert len((store.folder / refresh_log.FILE).read_text().splitlines()) == 1
    last = refresh_log.read_last_attempt(store.folder)
    assert (last["outcome"], last["exit_code"]) == ("KeyboardInterrupt", 1)


def test_the_log_rotates_and_no_line_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_log, "MAX_BYTES", 400)
    for number in range(12):
        refresh_log.write_event(store.folder, "warning", {"message": f"{number} % 中文"})
    logs = sorted(store.folder.glob("refresh.log*"), reverse=True)
    assert logs[-1].name == "refresh.log"
    assert 1 < len(logs) <= 1 + refresh_log.BACKUP_COUNT
    assert all(log.stat().st_size <= 400 for log in logs)
    messages = [line["message"] for log in logs for line in lines_of(log)]
    assert messages == [f"{number} % 中文" for number in range(12)]
    assert logs[-1].stat().st_mode & 0o777 == 0o644


@pytest.fixture
def home(store: Store, small_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home folder of a user with a deployed clone and no new deliveries."""
    clone = tmp_path / "home" / "ai-manufacturing"
    (clone / "build").mkdir(parents=True)
    for path in PROJECT.iterdir():
        if path.name not in ("build", ".venv"):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").symlink_to(sys.prefix)
    (clone / "build/releases").symlink_to(store.folder)
    settings_file = clone.parent / ".config/ai-manufacturing.env"
    settings_file.parent.mkdir()
    settings_file.write_text(f'EXTRACTS_DIR="{small_build.extracts}"\n', "utf-8")
    published_as_built(store, small_build.warehouse, small_build.extracts, monkeypatch)
    return clone.parent


def in_shell(line: str, home: Path) -> tuple[int, str]:
    """Run a shell line in a minimal environment, like cron, and return its exit code and output."""
    ended = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=home / "ai-manufacturing",
        env={"HOME": str(home), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_the_line_for_cron_works_as_cron_runs_it(home: Path) -> None:
    text = (PROJECT / "deploy/ai-manufacturing.cron").read_text()
    (line,) = re.findall(r"^(?!#).+", text, re.MULTILINE)
    (shell_command,) = re.findall(r"^(?:(?:\d+|\*) +){5}([^%]+)$", line)
    log = home / "ai-manufacturing/build/releases/refresh.log"
    settings_file = home / ".config/ai-manufacturing.env"
    from_home = f"cd {home}; {shell_command}"
    assert in_shell(from_home, home) == (0, "")
    assert lines_of(log)[-1]["event"] == "NothingNewError"
    settings_file.write_text("EXTRACTS_DIR=/nowhere\n", "utf-8")
    code, mail = in_shell(from_home, home)
    lines = lines_of(log)
    assert (code, lines[-1]["event"]) == (1, "BadConfigurationError")
    assert "/nowhere: the folder does not exist" in lines[-1]["message"]
    assert lines[-1]["at"] in mail
    settings_file.unlink()
    code, mail = in_shell(from_home, home)
    assert (code != 0, "ai-manufacturing.env" in mail) == (True, True)
    # Without settings, nothing is refreshed.
    assert lines_of(log) == lines


def test_systemd_accepts_the_units(home: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    deploy = PROJECT / "deploy"
    units = (
        f"XDG_RUNTIME_DIR={home} systemd-analyze verify --user --man=no {deploy}/*.service"
        f" {deploy}/*.timer"
    )
    assert in_shell(units, home) == (0, "")
    service = (deploy / "ai-manufacturing-refresh.service").read_text()
    values = dict(re.findall("^(.+?)=(.*)$", service, re.MULTILINE))
    # With a leading minus, systemd would ignore a missing file.
    assert values["EnvironmentFile"] == "%h/.config/ai-manufacturing.env"
    assert (values["SuccessExitStatus"], values["TimeoutStartSec"]) == ("3", "6h")
    assert (deploy / values["OnFailure"]).is_file()
    started = values["ExecStart"].replace("%h", str(home))
    code, printed = in_shell(f"set -a; . ~/.config/ai-manufacturing.env; {started}", home)
    assert code == 3, printed


def test_a_failure_of_the_unit_is_one_message_in_the_journal_and_one_mail(tmp_path: Path) -> None:
    """Fake versions of systemctl, systemd-cat and mail record their arguments and input."""
    for name in ("systemctl", "systemd-cat", "mail"):
        program = tmp_path / name
        input_too = "" if name == "systemctl" else "cat; "
        program.write_text(f'#!/bin/sh\n{{ echo "$@"; {input_too}}} | tee -a {program}.given\n')
        program.chmod(0o755)
    unit = "ai-manufacturing-refresh.service"
    for mail_to in ("", "office@example.org"):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MAILTO": mail_to}
        subprocess.run([PROJECT / "deploy/report_failure.sh", unit], env=environment, check=True)
        assert (tmp_path / "mail.given").exists() == bool(mail_to)
    asked = f"--user status --no-pager --full --lines=20 {unit}\n"
    assert (tmp_path / "systemctl.given").read_text() == 2 * asked
    for name, begins in (
        ("systemd-cat", f"-t ai-manufacturing -p err\n{unit} failed on "),
        ("mail", f"-s {unit} failed on "),
    ):
        given = (tmp_path / f"{name}.given").read_text()
        assert given.startswith(begins)
        assert asked in given
    assert "office@example.org\n" in given
