"""Write, audit, publish: what readers see while refreshes publish, fail, are killed, or run out of room."""

import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any
from unittest.mock import Mock

import click
import duckdb
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError

from ai_manufacturing import landing, settings
from ai_manufacturing.auditing import changes, findings, freshness
from ai_manufacturing.cli import console
from ai_manufacturing.dbt_plugin import Plugin
from ai_manufacturing.landing import landed
from ai_manufacturing.refresh import build, by_hand, cycle, writer
from ai_manufacturing.releases import attempts, configured, fingerprint, lock, refresh_log
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    BuildFailedError,
    GateFailedError,
    HeldError,
    LockedError,
    NothingNewError,
    RefreshError,
    StaleError,
)
from ai_manufacturing.releases.manifest import check, read_manifest
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import clock, duckdb_client, integrity
from ai_manufacturing.system.disk import private_folder
from ai_manufacturing.system.duckdb_client import reading
from ai_manufacturing.system.integrity import Chain, Line
from ai_manufacturing.system.sql_text import literal
from tests.python import killed, test_gate
from tests.python.conftest import PROJECT, Build, made_once
from tests.python.landing_project import FIRMS, GOOD, REGISTER, Project, csv_text
from tests.python.release_reader import read_in_a_loop
from tests.python.release_store import Refreshes, changed, command, described, quiet, release
from tests.python.terminal import on_terminal
from tests.python.waiting import LAST_RESORT, wait_for

# ---------------------------------------------------------------- the release file


def test_a_release_holds_tables_with_their_comments_and_opens_for_older_clients(
    store: Store, sample_build: Build
) -> None:
    manifest = release(store, sample_build.warehouse)
    with duckdb.connect(str(store.published), read_only=True) as connection:
        assert connection.execute("select count(*) from duckdb_views() where not internal").fetchall() == [(0,)]
        schemas = {
            name for (name,) in connection.execute("select distinct schema_name from duckdb_tables()").fetchall()
        }
        assert schemas == {"marts", "gates", "estimates", "reports", "release"}
        uncommented = connection.execute(
            "select table_name, column_name from duckdb_columns() where not internal and comment is null union all "
            "select table_name, null from duckdb_tables() where comment is null"
        ).fetchall()
        assert uncommented == []
        storage = connection.execute("select tags from duckdb_databases() where database_name = current_database()")
        assert "v1.2" in str(storage.fetchall())
        comment = connection.execute("select comment from duckdb_tables() where table_name = 'fct_delivered_values'")
        assert comment.fetchall()[0][0].startswith("One row per")
    assert manifest.row_counts["marts.fct_city_year_panel"] == 367 * 11
    assert check(store.published) == manifest
    with (
        duckdb.connect(str(sample_build.warehouse), read_only=True) as built,
        duckdb.connect(str(store.published), read_only=True) as released,
    ):
        for table in ("reports.rpt_coefficients", "marts.fct_city_year_panel", "gates.gate_results"):
            query = f"from {table} order by all"
            assert released.execute(query).fetchall() == built.execute(query).fetchall()


def test_a_release_whose_content_is_not_its_manifests_is_named(
    store: Store, audited_build: Build, tmp_path: Path
) -> None:
    release(store, audited_build.warehouse)
    broken = changed(store.published, tmp_path / "broken.duckdb", "delete from reports.rpt_figure_1")
    with pytest.raises(RefreshError, match=r"manifest and content differ in reports\.rpt_figure_1"):
        check(broken)
    (tmp_path / "text.duckdb").write_text("no database", encoding="utf-8")
    with pytest.raises(RefreshError, match=r"text\.duckdb: not a release"):
        read_manifest(tmp_path / "text.duckdb")


def test_changes_are_counted_and_kept_in_the_new_release(store: Store, audited_build: Build, tmp_path: Path) -> None:
    release(store, audited_build.warehouse)
    other = changed(
        audited_build.warehouse,
        tmp_path / "other.duckdb",
        "update marts.fct_city_year_panel set ln_gdp = ln_gdp * 1.1 where city_id = '440300' and year = 2015",
        "update marts.fct_city_year_panel set ln_fdi = null where city_id = '440300' and year = 2016",
        "update marts.fct_city_year_panel set ln_loans = ln_loans * (1 + 1e-13)",
        "update reports.rpt_coefficients set estimate = -estimate, conf_low = -conf_high, conf_high = -conf_low "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'",
        "update reports.rpt_coefficients set estimate = null where specification_id = 'table_1_col_2' "
        "and term = 'ai_patent_applications'",
    )
    release(store, other)
    with duckdb.connect(str(store.published), read_only=True) as connection:
        cells = connection.execute(
            "select city_id, year, column_name, new_value is null from release.changes "
            "where change_kind = 'cell_changed' order by all"
        ).fetchall()
        assert cells == [("440300", 2015, "ln_gdp", False), ("440300", 2016, "ln_fdi", True)]
        ((moved, sign, stars, interval),) = connection.execute(
            "select moved_std_errors, is_sign_changed, is_stars_changed, is_interval_changed from release.changes "
            "where change_kind = 'estimate_changed'"
        ).fetchall()
    estimate, error = audited_build.rows(
        "select estimate, std_error from reports.rpt_coefficients where specification_id = 'table_1_col_1' "
        "and term = 'ai_firms'"
    )[0]
    assert moved == pytest.approx(2 * estimate / error)
    assert (sign, stars, interval) == (True, False, True)
    summary = changes.between(store.past("000001"), store.past("000002"))
    assert summary.counts == {"cell_changed": 2, "estimate_changed": 1, "estimate_lost": 1}
    assert summary.largest_move == moved
    with reading(store.published) as published:
        assert changes.recorded(published) == summary
    assert any("ln_fdi: 1 cells of 1 cities changed, 2016-2016, from or to missing" in line for line in summary.lines)


def test_past_releases_are_kept_but_never_the_one_before_the_current_pruned(store: Store, audited_build: Build) -> None:
    for _ in range(5):
        release(store, audited_build.warehouse)
    assert store.release_ids() == ["000003", "000004", "000005"]
    store.publish("000004")
    assert store.current().release_id == "000004"
    few = Store(store.folder, store.published, kept=1)
    assert few.prune() == ["000005"]
    assert few.release_ids() == ["000003", "000004"]  # 000003 is what readers go back to
    assert few.next_id() == "000005"


# ---------------------------------------------------------------- a refresh


def test_limits_on_how_far_estimates_move(refreshes: Refreshes) -> None:
    store, column = refreshes.store, "where specification_id = 'table_1_col_1'"
    refreshes.run()
    refreshes.of(f"update reports.rpt_coefficients set estimate = estimate + 2 * std_error {column}")
    with pytest.raises(
        HeldError, match=r"An estimate moved by 2\.00 standard errors, more than REFRESH_HOLD_ABOVE \(1\)"
    ):
        refreshes.run(Limits(hold_above=1))
    assert store.current().release_id == "000001"
    assert json.loads((store.held("000002") / "report.json").read_text(encoding="utf-8"))["outcome"] == "HeldError"
    assert store.refreshes()[-1]["outcome"] == "HeldError"
    with pytest.raises(HeldError, match="Nothing new since build 000002, which is held"):
        refreshes.run(Limits(hold_above=1))
    assert store.held_ids() == ["000002"]
    with pytest.raises(HeldError, match=r"more than REFRESH_HOLD_ABOVE \(1\.5\)"):
        refreshes.run(Limits(hold_above=1.5))
    shutil.rmtree(store.held("000003"))

    manifest = by_hand.publish_held(store, "000002", "checked with the vendor", quiet)
    assert (manifest.published_by, manifest.reason) == ("hand", "checked with the vendor")
    assert store.current() == manifest
    assert not store.held("000002").exists()

    refreshes.warehouse = refreshes.build.warehouse
    refreshes.run(Limits(warn_above=1))
    assert "An estimate moved by 2.00 standard errors." in refreshes.warnings
    refreshes.of(f"update reports.rpt_coefficients set estimate = null {column} and term = 'ai_firms'")
    with pytest.raises(HeldError, match=r"moved by 0\.00 standard errors, 1 are lost, more than REFRESH_HOLD_ABOVE"):
        refreshes.run(Limits(hold_above=1))
    refreshes.warehouse = refreshes.build.warehouse
    assert store.current().release_id == "000004", "000003 was a build that is held no more, and is in the log"
    with pytest.raises(NothingNewError, match="Nothing new since release 000004"):
        refreshes.run()

    by_hand.rollback(store, "000001", quiet)
    assert store.current().release_id == "000001"
    with pytest.raises(BadConfigurationError, match=r"No release 000009\. There are: 000001, 000002, 000004"):
        by_hand.rollback(store, "000009", quiet)
    with pytest.raises(BadConfigurationError, match="No held build 000009"):
        by_hand.publish_held(store, "000009", "because", quiet)


def test_a_release_that_was_rolled_back_is_not_built_again_of_the_same_files(refreshes: Refreshes) -> None:
    refreshes.run()
    refreshes.of()
    refreshes.run()
    by_hand.rollback(refreshes.store, "000001", quiet)
    with pytest.raises(NothingNewError, match=r"since release 000002: .* It was rolled back to 000001"):
        refreshes.run()
    assert refreshes.store.current().release_id == "000001"
    refreshes.of()
    assert refreshes.run().release_id == "000003"


def test_a_release_that_was_written_and_not_published_is_built_again(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshes.run()
    refreshes.of()
    with monkeypatch.context() as failing:
        failing.setattr(Store, "publish", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(RefreshError, match="The published release is unchanged"):
            refreshes.run()
    assert refreshes.store.release_ids() == ["000001", "000002"]
    assert refreshes.run().release_id == "000003"


def stop_at_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gate stop what is built from now on."""
    copied = build.dbt
    monkeypatch.setattr(build, "dbt", lambda *arguments, **options: copied(*arguments, **options) or True)
    monkeypatch.setattr(build, "failed_at_the_gate", lambda work: True)


def test_what_the_gate_stopped_is_not_estimated_by_other_code(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = refreshes.warehouse
    with monkeypatch.context() as failing:
        stop_at_the_gate(failing)
        with pytest.raises(GateFailedError, match="The gate holds back release 000001"):
            refreshes.run()
    refreshes.of()
    with pytest.raises(BadConfigurationError, match="000001 has no estimates yet, and the code"):
        by_hand.publish_held(refreshes.store, "000001", "because", quiet)
    refreshes.warehouse = first
    assert by_hand.publish_held(refreshes.store, "000001", "because", quiet).release_id == "000001"


def test_warnings_are_new_or_known_in_a_stable_order_and_name_their_cities(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    extracts = Path(shutil.copytree(refreshes.build.extracts, tmp_path / "sample"))
    (extracts / "firms").mkdir()
    (extracts / "firms/2020.CSV").write_text("a", encoding="utf-8")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))

    def warnings(*rows: dict[str, Any]) -> list[dict[str, Any]]:
        """Refresh a build in which these rows break an expectation, another fails, and a file is not declared."""
        refreshes.of(
            f"update gates.gate_results set success = false, failing_rows = {literal(json.dumps(rows))} "
            "where suite = 'panel_consistency' and description like 'GDP of a city grows%'",
            "update gates.gate_results set success = false, observed_value = '0.2' "
            "where suite = 'landed_sources' and description like 'At most 10 %'",
            "insert into raw.deliveries by name select * replace ('firms/2020.CSV' as file_path, null as source_name, "
            "'Rename the file.' as hint) from raw.deliveries limit 1",
        )
        refreshes.run()
        return [facts for event, facts in refreshes.events if event == "warning"]

    shenyang = {"gdp_growth_factor": 0.7626811201856755, "city_id": "210100", "year": 2016}
    fuxin = {"gdp_growth_factor": 3.0, "city_id": "210900", "year": 2016}
    growth = "panel_consistency: GDP of a city grows by -20 to 40 % a year; census revisions and provincial corrections"
    shares = (
        "landed_sources: At most 10 % of a source's records name a city that is not on the list of 2020, in every file "
        "and year."
    )
    assert warnings(fuxin, shenyang) == [
        {"state": "new", "message": f"{shares} observed 0.2."},
        {
            "state": "new",
            "message": f"{growth} break this. Shenyang (210100) 2016: gdp_growth_factor 0.762681; "
            "Fuxin (210900) 2016: gdp_growth_factor 3.",
        },
        {
            "state": "new",
            "message": "1 delivered files match no declaration: firms/2020.CSV: Rename the file. Declare, rename or "
            "remove them.",
        },
    ]

    shenyang["gdp_growth_factor"] += 1e-12  # the order of a sum is nothing new
    (known,) = warnings(shenyang, fuxin)
    assert (known["state"], known["count"]) == ("known", 3)
    assert known["message"] == (
        "3 known warnings, as in release 000001, with their rows in gates.gate_results: "
        f"{shares}; and 2 more in gates.gate_results."
    )

    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")  # rows that were said in another language are known all the same
    (new, known) = warnings(fuxin, shenyang, {**fuxin, "year": 2011})
    assert new["message"].startswith(growth)
    assert new["message"].endswith("阜新市 (210900) 2011: gdp_growth_factor 3. 2 more rows are known.")
    assert known["count"] == 2


def test_a_list_of_failing_rows_is_a_line_of_whole_rows_and_how_many_more() -> None:
    rows = tuple(f"row {number} of a hundred" for number in range(100))
    said = str(findings.Finding("a_suite", "It holds.", "critical", None, None, rows))
    assert said.startswith("a_suite: It holds. row 0 of a hundred; row 1 of a hundred; ")
    assert said.endswith(" of a hundred; and 88 more in gates.gate_results.")
    assert len(said) + len("; row 12 of a hundred") > 300 >= len(said)
    said = str(findings.Finding("a_suite", "It holds.", "critical", None, None, ("一" * 2000,)))
    assert (len(said), said[-41:]) == (300, "一一一一… The whole is in gates.gate_results.")


def test_a_refresh_begins_with_what_the_delivery_did_and_its_causes_come_before_what_follows(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, events = refreshes.build, refreshes.events
    extracts = Path(shutil.copytree(build.extracts, tmp_path / "sample"))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    refreshes.run()
    (_, started), (event, first), _, (_, landed), *_ = events
    # 11 years of three entities; extract_set.yml is no delivered file
    assert (started["deliveries"], event) == (33, "delivery")
    assert (first["since"], len(first["added"])) == (None, 33)
    assert first["lines"] == ["33 files, the first of this extract set."]
    sums = "select sum(record_count), sum(used_count) from marts.fct_deliveries where "
    entities = ("city_yearbook", "firm_survival", "patents")
    counts = {entity: build.rows(f"{sums} entity = '{entity}'")[0] for entity in entities}
    firms, used = counts["firm_survival"]
    records = [
        f"vendor {entity} {count:,}{'' if used == count else f' ({used:,} used)'}"
        for entity, (count, used) in counts.items()
    ]
    assert landed["lines"] == [f"Records: {'; '.join(records)}."]

    withdrawn, renamed = "firm_survival/企业存续_2015.csv", "patents/专利_2011.csv"
    ((gone, used_of_it),) = build.rows(f"{sums} file_path = '{withdrawn}'")
    (extracts / withdrawn).unlink()
    (extracts / renamed).rename(extracts / "patents/专利_2011年.csv")
    with (extracts / "extract_set.yml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    (extracts / "new.csv").write_text("a,b\n", encoding="utf-8")
    refreshes.of(
        f"update marts.fct_deliveries set outcome = 'withdrawn' where file_path = '{withdrawn}'",
        f"update marts.fct_deliveries set file_path = 'patents/专利_2011年.csv' where file_path = '{renamed}'",
        'update gates.gate_results set success = false, failing_rows = \'[{"firm_stock_flow_break_count": 1, '
        '"provider": "vendor", "city_id": "430100", "year": 2016}]\' where suite = \'firm_survival\'',
    )
    stop_at_the_gate(monkeypatch)
    with pytest.raises(GateFailedError) as held:
        refreshes.run()
    assert refreshes.names[:4] == ["started", "delivery", "build", "landed"]
    files = [
        f"1 withdrawn: {withdrawn} (vendor firm_survival, {gone:,} records).",
        f"1 renamed: {renamed} -> patents/专利_2011年.csv.",
        "1 added: new.csv.",
        "extract_set.yml changed.",
    ]
    lost = f"Records: vendor firm_survival {firms:,} -> {firms - gone:,} ({used - used_of_it:,} used)."
    assert (events[1][1]["lines"], events[1][1]["withdrawn"]) == (files, [withdrawn])
    assert events[3][1]["lines"] == [lost]
    # the file that is gone is named before the breaks that follow from it
    message = str(held.value).splitlines()
    assert message[1:7] == [*files, lost, "What fails below may follow from this."]
    assert message[7].startswith("firm_survival: ")
    report = (refreshes.store.held("000002") / "report.json").read_text(encoding="utf-8")
    delivery = json.loads(report)["delivery"]
    assert (delivery["since"], delivery["withdrawn"], delivery["lines"]) == ("000001", [withdrawn], [*files, lost])
    differences = {row["entity"]: row["records_before"] - row["records"] for row in delivery["records"]}
    assert differences == dict.fromkeys(entities, 0) | {"firm_survival": gone}


def test_a_change_of_a_logarithm_is_no_share_of_it(audited_build: Build, tmp_path: Path, store: Store) -> None:
    def panel(name: str, logarithm: float, share: float, stock: float) -> Path:
        return changed(
            audited_build.warehouse,
            tmp_path / name,
            f"update marts.fct_city_year_panel set ln1p_ai_firms_scaled = {logarithm}, gdp_100m_cny = {share}, "
            f"fdi_1m_usd = {stock} where city_id = '440300' and year = 2016",
        )

    release(store, panel("old.duckdb", 1e-16, 100, 1e-9))
    release(store, panel("new.duckdb", 0.59, 103, 4))
    with reading(store.published) as published:
        lines = [line for line in changes.recorded(published).lines if "cells of" in line]
    assert [line.split(", ")[-1] for line in lines] == [
        "by at most 4",
        "by at most 3 %",
        "by at most 0.59 in logarithms",
    ]


def lost_records(warehouse: Path, suite: str, failing_rows: str) -> list[str]:
    failure = findings.Finding(suite, "", "critical", None, failing_rows, ())
    with reading(warehouse) as connection:
        return findings.lost_records(connection, [failure])


def test_the_gate_names_the_records_that_a_source_lost_by_the_rarest_reason_first(
    audited_build: Build, tmp_path: Path
) -> None:
    warehouse = changed(
        audited_build.warehouse,
        tmp_path / "lost.duckdb",
        "insert into raw.rejected_rows by name select 'vendor' as provider, source_name, delivery_number, file_path, "
        "row_number, '企业存续数' as column_name, '1,2O4' as value, 'not a number (a letter O?)' as reason "
        "from (values ('firm_survival', 'a.csv', 7), ('city_yearbook', 'b.csv', 8)) as rows (source_name, file_path, "
        "row_number) cross join (select min(delivery_number) as delivery_number from raw.deliveries)",
        "create or replace table marts.fct_rows_set_aside as select 'vendor' as provider, 'firm_survival' as "
        "source_name, 'a.csv' as file_path, range as row_number, '吉林' as city_name, null as city_code, "
        "'unknown city' as set_aside_reason from range(9)",
        "drop table marts.fct_register_rows_set_aside",
        "create table marts.fct_register_rows_set_aside as select 'vendor' as provider, 'firm_register' as "
        "source_name, 'r.csv' as file_path, row_number, id, reason as set_aside_reason from (values (3, '9', "
        "'no date'), (5, '5', 'unknown city'), (4, '4', 'unknown city')) as rows (row_number, id, reason)",
    )
    rows = json.dumps([{"provider": "vendor", "source_name": "firm_survival", "lost_count_records": 1.0}])
    told = lost_records(warehouse, "landed_sources", rows)
    assert told[0] == 'a.csv, row 7, column 企业存续数: "1,2O4" is set aside (not a number (a letter O?)).'
    assert told[1] == 'a.csv, row 0: "吉林" is set aside (unknown city).'
    more = "More are in raw.rejected_rows, marts.fct_rows_set_aside and marts.fct_register_rows_set_aside."
    assert (len(told), told[-1]) == (6, more)
    of_a_register = rows.replace("firm_survival", "firm_register")
    assert lost_records(warehouse, "landed_sources", of_a_register) == [
        'r.csv, row 3: "9" is set aside (no date).',
        'r.csv, row 4: "4" is set aside (unknown city).',
    ]
    assert lost_records(warehouse, "series_years", rows) == []


def test_a_refresh_opens_a_file_once_a_stage(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published, what was built, and writing; the release alone where files move."""
    monkeypatch.setenv("WAREHOUSE_PATH", str(tmp_path / "none.duckdb"))
    refreshes.run()
    refreshes.of()
    connect = Mock(side_effect=duckdb.connect)
    monkeypatch.setattr(duckdb, "connect", connect)
    refreshes.run()
    opened = [Path(call.args[0]).name for call in connect.call_args_list]
    published = refreshes.store.published.name
    assert opened == [published, published, ":memory:", ":memory:", "unpublished.duckdb", published, published]


def test_a_file_that_landing_passes_over_is_nothing_new(tmp_path: Path) -> None:
    for name in ("a.csv", "extract_set.yml", ".DS_Store", "~$a.xlsx", "README.md", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert [*fingerprint.delivery_hashes(tmp_path)] == ["a.csv", "extract_set.yml"]


def test_a_disk_that_refuses_after_the_move_is_told_so(refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "prune", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(RefreshError, match=r"No space left on device\. The new release is published; the steps after"):
        refreshes.run()
    assert refreshes.store.current().release_id == "000001"


def test_a_provider_that_delivers_nothing_is_warned_of_then_failed_and_decides_no_row(refreshes: Refreshes) -> None:
    store, delivered = refreshes.store, "cast(now() at time zone 'UTC' as timestamp)"
    refreshes.run()
    assert refreshes.warnings == []
    with reading(store.published) as published:
        (vendor,) = freshness.of_release(published)
        (in_2020,) = freshness.of_release(published, now=datetime(2020, 1, 1, tzinfo=UTC))
    landed_at = refreshes.build.value("select max(landed_at) from raw.deliveries")
    assert (vendor.provider, vendor.newest_delivery_at) == ("vendor", landed_at)
    assert not in_2020.is_late, "a clock set back makes nothing old"

    refreshes.of(f"update raw.deliveries set landed_at = {delivered} - interval 500 day")
    refreshes.run()
    (warning,) = refreshes.warnings
    assert "500 days ago, more than warn_after_days (400)" in warning

    refreshes.of(f"update raw.deliveries set landed_at = {delivered} - interval 800 day")
    with pytest.raises(StaleError, match=r"Release 000003 is published.\nvendor: .*more than fail_after_days \(760\)"):
        refreshes.run()
    assert store.current().release_id == "000003"
    with reading(store.published) as published:
        assert changes.recorded(published).lines == ()
    with pytest.raises(StaleError, match="Nothing new since release 000003") as stale:
        refreshes.run()
    assert (stale.value.exit_code, stale.value.is_published) == (8, False)
    assert "vendor: newest delivery" in command(store, refreshes.build, "status").stdout


def test_years_read_again_are_published_with_what_changed_in_others(refreshes: Refreshes) -> None:
    refreshes.run()
    manifest = refreshes.run(years=range(2018, 2021))
    assert (manifest.release_id, manifest.reason) == ("000002", "years 2018:2020 read again")
    assert ("read again", {"years": "2018:2020", "files": 9}) in refreshes.events  # three kinds of file, one a year
    assert refreshes.warnings == []

    cells = "city_id = '440300' and year in (2012, 2019)"
    refreshes.of(f"update marts.fct_city_year_panel set ln_gdp = ln_gdp + 1 where {cells}")
    refreshes.run(years=range(2018, 2021))
    (warning,) = refreshes.warnings
    assert "Years outside 2018:2020 also changed. ln_gdp: 1 cells of 1 cities changed, 2012-2012" in warning


def published_as_built(store: Store, warehouse: Path, extracts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish a warehouse as what the present code makes of these extracts, so that a refresh finds nothing new."""
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    hashes = fingerprint.delivery_hashes(extracts)
    published = described("000001") | {"fingerprint": fingerprint.of(hashes), "delivery_hashes": hashes}
    writer.write(warehouse, store.work / "unpublished.duckdb", published, None)
    store.add(store.work / "unpublished.duckdb", "000001")
    store.publish("000001")


@pytest.mark.soak
def test_years_that_landed_wrongly_are_mended_from_the_delivered_files(
    store: Store, delivery: Build, sample_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of files that was wrong once has left a wrong number in the landing store."""
    key = delivery.value(
        "select store_key from raw.deliveries where source_name = 'city_yearbook' and file_path like '%2019%'"
    )
    path = delivery.landing / key / "rows.parquet"
    rows = pq.read_table(path)
    column = "年末金融机构贷款余额(亿元)"
    position = rows.column_names.index(column)
    pq.write_table(rows.set_column(position, column, pc.multiply(rows[column], 1.5)), path)
    landed.add(path.parent, delivery.landing, key)  # as if it had landed so
    loans = "select loans_100m_cny from marts.fct_city_year_panel where city_id = '440300' and year = 2019"
    right = delivery.value(loans)

    # what dbt makes of it as far as the panel, published with all that stands on the panel
    assert delivery.dbt("run", "--select", "+fct_city_year_panel").exit_code == 0, delivery.output
    panel = "marts.fct_city_year_panel"
    wrong = changed(
        sample_build.warehouse,
        tmp_path / "wrong.duckdb",
        f"attach '{delivery.warehouse}' as landed_wrongly (read_only)",
        f"delete from {panel}",
        f"insert into {panel} by name from landed_wrongly.{panel}",
    )
    published_as_built(store, wrong, delivery.extracts, monkeypatch)
    with duckdb.connect(str(store.published), read_only=True) as reader:
        assert reader.execute(loans).fetchall() == [(pytest.approx(1.5 * right),)]
    assert command(store, delivery, "refresh").returncode == 3
    mended = command(store, delivery, "refresh", "--years", "2018:2020")
    assert mended.returncode == 0, mended.stdout
    with duckdb.connect(str(store.published), read_only=True) as reader:
        assert reader.execute(loans).fetchall() == [(right,)]
        years = "select distinct year from release.changes where change_kind = 'cell_changed' order by year"
        assert reader.execute(years).fetchall() == [(2019,)]
    assert "Other years" not in mended.stdout


@pytest.mark.parametrize("name", ["it's.duckdb", 'a "b".duckdb', "a; drop schema marts.duckdb"])
def test_a_warehouse_whose_name_dbt_would_not_escape_is_refused(name: str, tmp_path: Path) -> None:
    credentials = DuckDBCredentials(path=str(tmp_path / name), schema="main")
    with pytest.raises(DbtRuntimeError, match="Rename the file; folder names are not limited"):
        Plugin("ai_manufacturing", {}, credentials).update_connection_config(credentials, {})


def test_a_project_whose_seeds_dbt_could_not_load_is_refused_at_the_start(fresh: Build, tmp_path: Path) -> None:
    project = tmp_path / "it's"
    project.mkdir()
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project)
    debug = replace(fresh, project=project).dbt("debug")
    assert debug.exit_code != 0
    assert f"{project}: dbt loads no seed from a path with a quotation mark ('). Rename the folder" in debug.output


def test_a_second_refresh_leaves_at_once_and_says_who_holds_the_lock(store: Store, audited_build: Build) -> None:
    with lock.held(store.folder / "refresh.lock"):
        with pytest.raises(LockedError, match=f'Another refresh is at work: {{"pid": {os.getpid()}, '):
            cycle.refresh(store, Limits(), quiet)
        run = command(store, audited_build, "refresh")
        assert run.returncode == 6
        assert str(os.getpid()) in run.stdout
    assert not store.published.exists()


def test_progress_is_words_on_a_terminal_and_json_with_times_under_a_scheduler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    events = [("published", {"release_id": "000001", "pruned": []}), ("changes", {"lines": ["a", "b"]})]
    monkeypatch.setenv("RELEASE_DIR", str(tmp_path))
    before = datetime.now(UTC).replace(microsecond=0)
    for event, facts in events:
        console.log_event(event, facts)
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines()]
    assert all(before <= datetime.fromisoformat(line.pop("at")) <= datetime.now(UTC) for line in lines)
    assert lines == [{"event": event, **facts} for event, facts in events]
    assert (tmp_path / "refresh.log").read_text(encoding="utf-8") == printed
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for event, facts in events:
        console.log_event(event, facts)
    said = click.unstyle(capsys.readouterr().out)
    assert said == "published: release_id 000001, pruned []\nchanges: a\n  b\n"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"EXTRACTS_DIR": "/nowhere"}, "/nowhere"),
        ({"RELEASES_KEPT": "1"}, "the published release and the one before it are kept"),
        (
            {"RELEASE_DIR": str(PROJECT / "README.md" / "releases")},
            "Set RELEASE_DIR to a folder that this user may write",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_a_code_of_its_own(
    environment: dict[str, str], message: str, store: Store, audited_build: Build
) -> None:
    run = command(store, audited_build, "refresh", **environment)
    assert run.returncode == 2, run.stdout
    assert message in json.loads(run.stdout.splitlines()[-1])["message"]


@pytest.mark.parametrize("text", ["much", "nan", "inf", "-1"])
@pytest.mark.parametrize("name", ["REFRESH_HOLD_ABOVE", "REFRESH_WARN_ABOVE", "RELEASES_KEPT"])
def test_a_limit_that_would_limit_nothing_is_refused(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(BadConfigurationError, match=f"{name} is '{text}', which is not a number of 0 or more"):
        (configured.limits(), configured.store())


def test_a_fraction_of_a_release_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASES_KEPT", "2.5")
    with pytest.raises(BadConfigurationError, match=r"RELEASES_KEPT is 2\.5: give a whole number"):
        configured.store()


# A fault for each suite of the gate, in cities and years apart; what the message says of each.
FAULTS: dict[str, tuple[Callable[[Build], None], str]] = {
    "landed_sources": (
        test_gate.unreadable_share,
        ": source_faulty_share 0.0",
    ),
    "firm_survival": (
        test_gate.stock_and_flow_apart,
        "in every cell. vendor Changsha (430100) 2015: firm_stock_flow_break_count 1.",
    ),
    "patents": (
        test_gate.ai_patents_above_all_patents,
        "applications and grants, in every cell. vendor Shenzhen (440300) 2017: ai_above_all_count 1.",
    ),
    "city_yearbook": (
        test_gate.duplicate_city_year,
        "series, city and year. vendor above_scale_firm_count Changsha (430100) 2015",
    ),
    "series_years": (
        test_gate.negative_control,
        "No value of a series is negative. vendor rd_personnel_count total 2014: minimum_value -",
    ),
    "city_year_panel": (
        test_gate.share_above_one,
        "AI firms are at most all firms of a city and year. Shenzhen (440300) 2020: firm_count ",
    ),
    "panel_consistency": (
        test_gate.unit_slip_of_a_cell,
        # 2015 has two values, so that growth is seen on the way back
        "Changsha (430100) 2017: gdp_growth_factor 0.117",
    ),
    "headline_samples": (
        test_gate.without(test_gate.BEIJING),
        "that can be estimated. table_1_col_1 Beijing (110000): missing_year_count 11;",
    ),
}


def fails_at_the_gate(store: Store, delivery: Build, release_id: str, *suites: str) -> None:
    """Refresh a delivery that these suites hold back, and read all that a refresh leaves."""
    published = store.current()
    held = command(store, delivery, "refresh")
    assert held.returncode == 4, held.stdout + held.stderr
    assert held.stderr == ""
    last = json.loads(held.stdout.splitlines()[-1])
    assert last["event"] == "GateFailedError"
    lines = last["message"].splitlines()
    assert lines[0] == f"The gate holds back release {release_id}; the published release is unchanged."
    for suite in suites:
        said = FAULTS[suite][1]
        assert any(line.startswith(f"{suite}: ") and said in line for line in lines), (said, lines)
    folder = store.held(release_id)
    assert lines[-1] == (
        f"Held in {folder}: query warehouse.duckdb there. To publish it anyway: ai-manufacturing publish "
        f"{release_id} --reason '...'."
    )
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {finding["suite"] for finding in report["found"]} >= {*suites}
    assert all(json.loads(finding["failing_rows"]) for finding in report["found"])
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        failed = "select distinct suite from gates.gate_results where not success and severity = 'critical'"
        assert {suite for (suite,) in connection.execute(failed).fetchall()} >= {*suites}
    logged = store.refreshes()[-1]
    assert (logged["release_id"], logged["outcome"]) == (release_id, "GateFailedError")
    assert logged["message"] == last["message"]
    assert store.current() == published
    status = command(store, delivery, "status", "--json")
    assert status.returncode == (1 if published is None else 0)
    assert json.loads(status.stdout)["last_refresh"] == {**logged, "reason": None, "instead_of": None}


@pytest.mark.soak
def test_from_delivery_to_reader_through_a_bad_delivery_and_back(
    store: Store, delivery: Build, after_deaths: Store, tmp_path: Path
) -> None:
    """The whole cycle with dbt: published, nothing new, held by every suite, published by hand with the reason.

    Folders and files have names that end an SQL literal or statement where they are not escaped. The first refresh is
    from scratch and by one thread; the one after deaths gave the same tables.
    """
    extracts = delivery.extracts.rename(delivery.extracts.with_name("""o'clock; "drop" """))
    delivery = replace(delivery, extracts=extracts, landing=tmp_path / """l'anding; --"it" """)
    store = replace(store, published=store.folder / """it's; "read".duckdb""")
    first = command(store, delivery, "refresh", WAREHOUSE_THREADS="1")
    assert first.returncode == 0, first.stdout + first.stderr
    found, expected = tables(store.published), tables(after_deaths.published)
    assert found.keys() == expected.keys()
    for name, (rows, _) in found.items():
        assert rows.equals(expected[name][0]), f"{name} differs"
    events = [json.loads(line)["event"] for line in first.stdout.splitlines()]
    assert events == ["started", "delivery", "build", "landed", "built", "changes", "published"]
    manifest = store.current()
    assert manifest.extract_set_kind == "synthetic"
    assert manifest.gate_summary["critical"] == 0
    # In the sample no file replaces another (3), no register is placed by the two rules for places (2) or stands beside
    # a stock (1), and no series has a second source (of what shown estimates use, and of the rest).
    assert manifest.gate_summary["nothing_to_check"] == 8
    # extract_set.yml describes the delivered files
    assert manifest.delivery_count == sum(1 for path in delivery.extracts.rglob("*") if path.is_file()) - 1

    again = command(store, delivery, "refresh")
    assert again.returncode == 3
    assert "Nothing new since release 000001" in again.stdout

    suites = (PROJECT / "expectations").glob("*.json")
    # no delivery breaks the second route: it compares two ways to compute
    critical = {path.stem for path in suites if '"critical"' in path.read_text(encoding="utf-8")}
    # the two suites of what is plausible and wrong have faults of their own in test_plausible_faults
    assert {*FAULTS} == critical - {"second_route", "series_shapes", "series_pairs"}
    for fault, _ in FAULTS.values():
        fault(delivery)
    test_gate.one_field_too_many(delivery)
    fails_at_the_gate(store, delivery, "000002", *FAULTS)
    lost = next(line for line in store.refreshes()[-1]["message"].splitlines() if line.startswith("patents/专利_2016"))
    assert lost.endswith(" is set aside (expected 10 fields, found 11)."), lost

    by_hand = command(store, delivery, "publish", "000002", "--reason", "a drill")
    assert by_hand.returncode == 0, by_hand.stdout
    assert store.current().reason == "a drill"
    assert check(store.published).row_counts["reports.rpt_coefficients"] > 100
    listed = command(store, delivery, "releases").stdout
    assert [line[:8] for line in listed.splitlines()] == ["  000001", "* 000002"]
    assert "a drill" in listed
    assert "standard errors" in command(store, delivery, "diff", "000001", "000002").stdout


@pytest.mark.soak
def test_a_register_whose_dates_are_no_dates_ends_as_documented(
    store: Store, delivery: Build, sample_build: Build, tmp_path: Path
) -> None:
    drawn = delivery.command("registers", "--out", str(tmp_path / "drawn"), "--firms", "3000", "--format", "csv")
    assert drawn.returncode == 0, drawn.stderr
    folder = Path(shutil.copytree(tmp_path / "drawn/firm_register", delivery.extracts / "firm_register"))
    (path,) = folder.iterdir()
    test_gate.edit(
        path, lambda rows: [{**row, "成立日期": "不详"} if n % 20 == 0 else row for n, row in enumerate(rows)]
    )
    fails_at_the_gate(store, delivery, "000001", "landed_sources")
    lines = store.refreshes()[-1]["message"].splitlines()
    assert any(
        "vendor firm_register firm_register/" in line and ": source_faulty_share 0.05" in line
        for line in lines
        if line.startswith("landed_sources")
    )
    assert any(line.startswith("firm_register/") and "is set aside" in line for line in lines), lines


def test_a_delivery_that_arrives_while_dbt_builds_is_not_published_under_a_false_manifest(
    refreshes: Refreshes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracts = shutil.copytree(refreshes.build.extracts, tmp_path / "sample")
    monkeypatch.setenv("EXTRACTS_DIR", str(extracts))
    copied = build.dbt

    def delivered_meanwhile(*arguments: Any, **options: Any) -> bool:
        (extracts / "late.csv").write_text("half a file", encoding="utf-8")
        return copied(*arguments, **options)

    monkeypatch.setattr(build, "dbt", delivered_meanwhile)
    with pytest.raises(
        BuildFailedError, match=r"late\.csv changed while dbt built; the published release is unchanged"
    ):
        refreshes.run()
    assert not refreshes.store.published.exists()
    assert "late.csv" in refreshes.run().delivery_hashes


# ---------------------------------------------------------------- the log, numbers, and what is left lying


def test_a_torn_line_of_the_log_loses_no_rollback(refreshes: Refreshes) -> None:
    """What a writer leaves that dies: no line that the head counts is lost, and what is torn is no line."""
    store = refreshes.store
    refreshes.run()
    refreshes.of()
    refreshes.run()
    log = store.folder / "refreshes.jsonl"
    before = store.refreshes()
    whole = log.read_bytes()
    half_a_character = '{"release_id": "000002", "reason": "钟'.encode()[:-1]
    for torn in (whole.splitlines()[-1][:20], half_a_character, whole.splitlines()[-1]):
        log.write_bytes(log.read_bytes() + torn)
        assert store.refreshes()[:2] == before
        store.publish("000002")
        by_hand.rollback(store, "000001", quiet)
        assert log.read_bytes().startswith(whole)
        assert all(json.loads(line) for line in log.read_bytes().splitlines())
        with pytest.raises(NothingNewError, match=r"since release 000002: .* It was rolled back to 000001"):
            refreshes.run()
        line = {"release_id": "000001", "at": None, "outcome": "rolled back to", "instead_of": "000002"}
        assert store.refreshes()[-1] | {"at": None} == line


@pytest.mark.parametrize("release_id", ["../x", "", "12", "٠٠٠٠٠١", "0000001", "000001\n", "x/../000001"])
def test_a_number_that_is_no_release_reaches_no_path(release_id: str, store: Store, audited_build: Build) -> None:
    beside = store.folder / "x"
    beside.mkdir()
    kept = {"outcome": "HeldError", "manifest": described("000001"), "found": []}
    (beside / "report.json").write_text(json.dumps(kept), encoding="utf-8")
    shutil.copy(audited_build.warehouse, beside / "warehouse.duckdb")
    for act in (
        lambda: by_hand.rollback(store, release_id, quiet),
        lambda: by_hand.publish_held(store, release_id, "because", quiet),
        lambda: by_hand.difference(store, "000001", release_id),
        lambda: store.past(release_id),
        lambda: store.held(release_id),
    ):
        with pytest.raises(BadConfigurationError, match=r"is not a release number\. Give six digits, such as 000012"):
            act()
    assert len(list(beside.iterdir())) == 2
    assert not store.published.exists()


def test_files_of_other_names_among_the_releases_are_no_releases(store: Store, audited_build: Build) -> None:
    (store.folder / "past" / "notes.duckdb").write_text("mine", encoding="utf-8")
    (store.folder / "held" / "notes").mkdir()
    release(store, audited_build.warehouse)
    assert store.release_ids() == ["000001"]
    assert store.next_id() == "000002"
    assert store.prune_held() == []


def test_held_builds_are_pruned_as_releases_are_and_it_is_said(refreshes: Refreshes) -> None:
    refreshes.run()
    for number in ("000002", "000003", "000004"):
        refreshes.store.held(number).mkdir()
    refreshes.of("update reports.rpt_coefficients set estimate = estimate + 2 * std_error where term = 'ai_firms'")
    with pytest.raises(HeldError):
        refreshes.run(Limits(hold_above=1))
    assert refreshes.store.held_ids() == ["000003", "000004", "000005"]
    assert refreshes.events[-1] == ("pruned", {"held": ["000002"]})
    assert refreshes.store.next_id() == "000006"


@pytest.mark.parametrize(
    ("largest", "limit", "said"),
    [(0.0100001, 0.01, "0.0100001"), (0.011, 0.01, "0.011"), (2.0, 1, "2.00"), (0.004, 1, "0.00")],
)
def test_a_move_is_said_in_the_digits_that_tell_it_from_its_limit(largest: float, limit: float, said: str) -> None:
    moved = changes.Summary({}, largest).moved(limit)
    assert moved == f"An estimate moved by {said} standard errors"


def test_whatever_ends_a_refresh_is_a_message_and_a_line_in_the_log(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of DuckDB in the audit, and a fault of the code."""
    store = refreshes.store
    refreshes.run()
    refreshes.of()
    with monkeypatch.context() as failing:
        failing.setattr(findings, "failed", Mock(side_effect=duckdb.IOException("IO Error: a block is damaged.\nmore")))
        with pytest.raises(RefreshError) as raised:
            refreshes.run()
    message = str(raised.value)
    assert message.startswith("IOException: IO Error: a block is damaged. The published release is unchanged.")
    assert raised.value.exit_code == 1
    assert (store.refreshes()[-1]["outcome"], store.refreshes()[-1]["message"]) == ("RefreshError", message)
    assert "duckdb.IOException" in (store.folder / "traceback.txt").read_text(encoding="utf-8")
    with monkeypatch.context() as failing:
        failing.setattr(fingerprint, "git_commit", Mock(side_effect=KeyError("commit")))
        with pytest.raises(RefreshError, match=r"KeyError: 'commit'\. The published release is unchanged"):
            refreshes.run()
    assert store.refreshes()[-1]["release_id"] == "000003"


def test_a_disk_that_refuses_a_copy_is_named_by_the_file_that_was_written(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = OSError(28, "No space left on device", "past/000001.duckdb", None, "/full/published.duckdb")
    monkeypatch.setattr(Store, "publish", Mock(side_effect=refused))
    with pytest.raises(RefreshError, match=r"^/full/published\.duckdb: No space left on device"):
        refreshes.run()


def test_a_file_that_cannot_be_read_ends_in_its_name_and_the_way_out(store: Store, fresh: Build) -> None:
    """With dbt, from an empty warehouse: landing is what fails first."""
    for name in ("patents/专利_2015.csv", "firm_survival/企业存续_2015.csv"):
        path = fresh.extracts / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"PK\x03\x04" + bytes(60))
    folder = {"RELEASE_DIR": str(store.folder), "RELEASE_PATH": str(store.published)}
    code, printed, seen = on_terminal(fresh, "refresh", **folder)
    assert code == 5, printed + seen
    lines = seen.split("\r\x1b[K")
    assert "building: reading the project" in lines
    assert any(re.fullmatch(r"building: \d+ of \d+ steps, .+", line) for line in lines), lines
    assert lines[-1] == "", "nothing stays of the line"
    events = [json.loads(line)["event"] for line in printed.splitlines()]
    assert events == ["started", "delivery", "build", "BuildFailedError"]
    message = json.loads(printed.splitlines()[-1])["message"]
    first, *faults = message.splitlines()
    assert first == "Files could not be landed; the published release is unchanged."
    assert [fault.split(":")[0] for fault in faults] == ["firm_survival/企业存续_2015.csv", "patents/专利_2015.csv"]
    assert all("again" in fault for fault in faults)
    assert store.refreshes()[-1]["message"] == message
    said = command(store, fresh, "status").stdout
    assert re.search(
        r"^last refresh: 000001, 20.*: Files could not be landed; the published release", said, re.MULTILINE
    ), said


def test_changes_stay_within_the_memory_limit(
    store: Store, audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panel of forty times the cities: a comparison cell by cell took gigabytes."""
    large = changed(
        audited_build.warehouse,
        tmp_path / "large.duckdb",
        "create or replace table marts.fct_city_year_panel as select * replace (city_id || '-' || part as city_id) "
        "from marts.fct_city_year_panel cross join range(40) as parts (part)",
    )
    release(store, large)
    of_2015 = "marts.fct_city_year_panel where year = 2015 and ln_gdp is not null"
    with duckdb.connect(str(large)) as connection:
        connection.execute("update marts.fct_city_year_panel set ln_gdp = ln_gdp + 1 where year = 2015")
        ((changed_cells,),) = connection.execute(f"select count(*) from {of_2015}").fetchall()
    target = store.work / "unpublished.duckdb"
    writer.write(large, target, described("000002"), None)
    store.add(target, "000002")
    limits = {"WAREHOUSE_MEMORY_LIMIT": "100MB", "WAREHOUSE_THREADS": "1"}
    run = command(store, audited_build, "diff", "000001", "000002", **limits)
    assert run.stdout.startswith(f"ln_gdp: {changed_cells} cells of "), run.stderr
    monkeypatch.setenv("WAREHOUSE_MEMORY_LIMIT", "100MB")
    with duckdb_client.in_memory(tmp_path / "spill") as connection:
        assert connection.execute("select current_setting('memory_limit')").fetchall() == [("95.3 MiB",)]


def folder_held_by(target: Path) -> subprocess.Popen[str]:
    """Hold a private folder in another process."""
    held = (
        "import sys, time; from pathlib import Path; from ai_manufacturing.system.disk import private_folder\n"
        "with private_folder(Path(sys.argv[1])) as folder:\n    print(folder, flush=True); time.sleep(600)"
    )
    return subprocess.Popen([sys.executable, "-c", held, str(target)], stdout=subprocess.PIPE, text=True)


def test_the_next_site_removes_the_folder_of_a_dead_one_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "site [1]"
    dead, alive = folder_held_by(target), folder_held_by(target)
    try:
        left, kept = (Path(process.stdout.readline().strip()) for process in (dead, alive))
        dead.kill()
        dead.wait()
        assert left.is_dir()
        with private_folder(target) as own:
            assert sorted(tmp_path.iterdir()) == sorted([kept, own])
        assert list(tmp_path.iterdir()) == [kept]
    finally:
        alive.kill()
        alive.wait()


# ---------------------------------------------------------------- readers


@pytest.mark.parametrize(("readers", "published"), [(3, 3), pytest.param(20, 10, marks=pytest.mark.soak)])
def test_readers_see_whole_releases_while_others_are_published(
    readers: int, published: int, refreshes: Refreshes
) -> None:
    store, sample = refreshes.store, refreshes.warehouse
    smaller = refreshes.of("delete from reports.rpt_coefficients where term_order > 1")
    refreshes.warehouse = sample
    refreshes.run()
    context = get_context("spawn")
    begun, newest = context.Barrier(readers + 1), context.Value("i", 1)
    stop, found = context.Event(), context.Queue()
    arguments = (str(store.published), begun, newest, stop, found)
    processes = [context.Process(target=read_in_a_loop, args=arguments) for _ in range(readers)]
    for process in processes:
        process.start()
    try:
        begun.wait(LAST_RESORT)
        for number in range(published):
            refreshes.warehouse = (smaller, sample)[number % 2]
            newest.value = int(refreshes.run().release_id)
    finally:
        stop.set()
        outcomes = []
        for _ in processes:
            try:
                outcomes.append(found.get(timeout=LAST_RESORT))
            except Empty:
                outcomes.append(("error", "a reader did not end"))
        for process in processes:
            process.join()
    assert [outcome for outcome in outcomes if outcome[0] == "error"] == []
    assert all(reads > 0 for reads, _ in outcomes)
    for _, seen in outcomes:
        assert seen == sorted(seen), "a reader saw an older release after a newer one"
        assert seen[-1] == f"{published + 1:06d}"


def test_a_reader_that_has_the_old_release_open_keeps_it(store: Store, audited_build: Build) -> None:
    release(store, audited_build.warehouse)
    with duckdb.connect(str(store.published), read_only=True) as reader:
        query = "select release_id, (select count(*) from marts.fct_ai_measure) from release.manifest"
        before = reader.execute(query).fetchall()
        release(store, audited_build.warehouse)
        assert reader.execute(query).fetchall() == before
    assert store.current().release_id == "000002"


@pytest.mark.soak
@pytest.mark.parametrize("version", ["1.2.2", "1.5.*", "2.0.*"])
def test_clients_of_other_versions_read_the_release(
    version: str, client: Callable[[str], Path], store: Store, sample_build: Build
) -> None:
    release(store, sample_build.warehouse)
    python = client(version)
    read = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "c.execute('set enable_progress_bar = false'); "
        "names = c.execute('select schema_name, table_name from duckdb_tables() order by all').fetchall(); "
        "print(sum(len(c.execute(f'from {s}.{t}').fetchall()) for s, t in names if s != 'release')); "
        "print(c.execute('select release_id from release.manifest').fetchall()[0][0])"
    )
    run = subprocess.run([str(python), "-c", read, str(store.published)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(sum(check(store.published).row_counts.values())), "000001"]


# ---------------------------------------------------------------- the same deliveries, the same tables


def tables(path: Path) -> dict[str, Any]:
    """Return the tables outside the release schema, in the order of all that is no double, then of the doubles."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select schema_name, table_name from duckdb_tables() where schema_name <> 'release' order by all"
        ).fetchall()
        for schema, table in names:
            kinds = connection.execute(
                "select column_name, data_type = 'DOUBLE' from duckdb_columns() "
                "where schema_name = ? and table_name = ? order by data_type = 'DOUBLE', column_index",
                [schema, table],
            ).fetchall()
            columns = ", ".join(f'"{name}"' for name, _ in kinds)
            rows = connection.execute(f"select {columns} from {schema}.{table} order by all").df()
            found[f"{schema}.{table}"] = (rows, [name for name, is_double in kinds if is_double])
    return found


@pytest.mark.soak
def test_a_refresh_by_one_thread_gives_the_tables_of_a_build_by_two(
    after_deaths: Store, store: Store, sample_build: Build
) -> None:
    """Two refreshes by one thread are compared where a delivery goes to its reader."""
    release(store, sample_build.warehouse)
    first, third = tables(after_deaths.published), tables(store.published)
    assert first.keys() == third.keys()
    for name, (rows, doubles) in first.items():
        others = third[name][0]
        exact = [column for column in rows.columns if column not in doubles]
        assert rows[exact].equals(others[exact]), f"{name} differs with two threads"
        for column in doubles:
            assert np.allclose(rows[column], others[column], rtol=1e-12, atol=0, equal_nan=True), f"{name}.{column}"


# ---------------------------------------------------------------- death, and a hostile disk


def hashed(store: Store) -> list[Path]:
    """Return the releases beside which a SHA-256 stands."""
    return [path.with_suffix("") for folder in (".", "past") for path in (store.folder / folder).glob("*.sha256")]


def copies_in_place_of_dbt(warehouse: Path) -> None:
    """Let the refreshes of this process copy a warehouse that dbt built; to each process it is something new."""

    def copied(work: Path, target: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(warehouse, target)
        return False

    build.dbt = copied
    fingerprint.of = lambda hashes: str(os.getpid())


def killed_refreshes(store: Store, built: Build) -> AbstractContextManager[killed.Command]:
    """Start a process that refreshes as `ai-manufacturing` does, but for dbt, and can be killed at any place."""
    environment = {**built.environment, "RELEASE_DIR": str(store.folder), "RELEASES_KEPT": "2"}
    within = ("/ai_manufacturing/refresh/", "/ai_manufacturing/releases/", "/ai_manufacturing/auditing/")
    imported = ("ai_manufacturing.refresh.cycle", "ai_manufacturing.releases.attempts")
    return killed.command(
        PROJECT, environment, within, "add", imported, partial(copies_in_place_of_dbt, built.warehouse)
    )


@pytest.mark.soak
def test_death_at_forty_points(store: Store, audited_build: Build) -> None:
    """After each, readers have a whole release and the next refresh works.

    Half of the points lie where the release is moved, the past is pruned and the log is written.
    """
    seen, published = [], []

    def is_whole() -> None:
        assert store.current() == check(store.published)
        seen.append(store.current().release_id)
        # where a hash stands, it is that of its file, or of one that never came
        assert all(integrity.check(path) for path in hashed(store) if path.exists())

    def is_in_order(printed: str) -> None:
        is_whole()
        published.append(seen[-1])
        assert {*hashed(store)} == {store.published, *map(store.past, store.release_ids())}
        assert len(store.release_ids()) <= 3
        for release_id in store.release_ids():
            check(store.past(release_id))
        assert list(store.work.iterdir()) == []

    with killed_refreshes(store, audited_build) as run:
        for _ in range(2):  # the third has a release to compare with and one to prune, as those to come
            assert run("refresh")[0] == 0
        killed.dies(run, 40, ("refresh",), is_whole, is_in_order)
    assert seen == sorted(seen)
    assert len({*published}) == len(published) == 41


def is_dead(pid: str) -> bool:
    """Whether a process has ended; one that nobody has waited for has no command line any more."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.fixture(scope="session")
def after_deaths(sample_build: Build, shared: Path) -> Store:
    """Kill refreshes of the sample once dbt has started, has parsed and has landed a file; then let one thread publish.

    That release is the second; before the deaths, that of sample_build was published.
    """
    folder = shared / "after_deaths"
    store = Store(folder / "releases", folder / "releases/ai_manufacturing.duckdb")
    build = replace(sample_build, landing=folder / "landing")

    def parsed() -> bool:
        return any(store.work.glob("*/target/partial_parse.msgpack"))

    def landed() -> bool:
        return any(folder.glob("landing/*/rows.parquet"))

    def make() -> None:
        store.prepare()
        release(store, sample_build.warehouse)
        # only Linux ends a process with its parent
        for reached in (lambda: True, parsed, landed) if sys.platform == "linux" else ():
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / "ai-manufacturing"), "refresh"],
                cwd=PROJECT,
                env={**build.environment, "RELEASE_DIR": str(store.folder)},
                stdout=subprocess.DEVNULL,
            )
            wait_for(partial(children, process), partial(has_ended, process))
            wait_for(reached, partial(has_ended, process))
            left = children(process)
            assert left, "dbt has ended"
            process.kill()
            process.wait()
            assert check(store.published).release_id == "000001"
            # a dbt that outlived its refresh would write into the work of the next one
            wait_for(lambda left=left: all(is_dead(child) for child in left))
        whole = command(store, build, "refresh", WAREHOUSE_THREADS="1")
        assert whole.returncode == 0, whole.stdout

    made_once(folder, make)
    return store


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_death_while_dbt_runs_takes_dbt_along(after_deaths: Store) -> None:
    """Each death leaves the release of before and no dbt behind, as after_deaths asserts; the next refresh works."""
    assert check(after_deaths.published).release_id == "000002"
    assert list(after_deaths.work.iterdir()) == []


def test_a_published_path_that_is_a_link_is_replaced_behind_the_link(
    audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "share" / "warehouse.duckdb"
    real.parent.mkdir()
    link = tmp_path / "link.duckdb"
    link.symlink_to(real)
    monkeypatch.setenv("RELEASE_PATH", str(link))
    store = Store(tmp_path / "releases", settings.release_path())
    store.prepare()
    release(store, audited_build.warehouse)
    release(store, audited_build.warehouse)
    assert link.is_symlink()
    assert read_manifest(link).release_id == "000002"


def test_a_log_that_somebody_left_beside_the_published_file_is_moved_aside(
    refreshes: Refreshes, tmp_path: Path
) -> None:
    store = refreshes.store
    refreshes.run()
    log = store.published.with_name(store.published.name + ".wal")
    with duckdb.connect(str(tmp_path / "another.duckdb")) as another:
        another.execute("create table anything as select 1")
        shutil.copyfile(tmp_path / "another.duckdb.wal", log)
    content = log.read_bytes()
    with pytest.raises(RefreshError, match="not a release"):
        store.current()
    refreshes.of()
    refreshes.run()
    (moved,) = [message for message in refreshes.warnings if "Someone had written to the published file" in message]
    aside = Path(moved.split("the log was moved to ")[1].removesuffix("."))
    assert aside.read_bytes() == content
    assert store.current().release_id == "000002"


def test_a_file_that_was_not_closed_is_not_published(store: Store, audited_build: Build) -> None:
    target = store.work / "unpublished.duckdb"
    writer.write(audited_build.warehouse, target, described("000001"), None)
    target.with_name(target.name + ".wal").write_bytes(b"open")
    with pytest.raises(RefreshError, match="was not closed cleanly; nothing was published"):
        store.add(target, "000001")


def test_a_release_is_on_the_disk_before_each_of_its_moves(
    store: Store, audited_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    names: dict[int, str] = {}
    fsync, move = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {names.get(os.fstat(descriptor).st_ino)}")
        fsync(descriptor)

    def moved(path: Path, target: Path) -> Path:
        steps.append(f"move to {Path(target).relative_to(store.folder)}")
        return move(path, target)

    target = store.work / "unpublished.duckdb"
    writer.write(audited_build.warehouse, target, described("000001"), None)
    names = {path.stat().st_ino: path.name for path in (target, store.folder, store.past("000001").parent)}
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    store.add(target, "000001")
    store.publish("000001")
    counted = ["sync None", "move to refreshes.jsonl.head", f"sync {store.folder.name}"]
    assert steps == [
        "sync unpublished.duckdb", "sync None", f"sync {store.folder.name}", *counted,
        "sync None", "move to past/000001.duckdb.sha256", "sync past", "move to past/000001.duckdb", "sync past",
        "sync None", "move to ai_manufacturing.duckdb", f"sync {store.folder.name}",
        "sync None", "move to ai_manufacturing.duckdb.sha256", f"sync {store.folder.name}",
    ]  # fmt: skip


def test_no_clock_orders_the_releases(refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch) -> None:
    refreshes.run()
    monkeypatch.setattr(clock, "now", lambda *_: "1999-01-01T00:00:00+00:00")
    refreshes.of()
    refreshes.run()
    assert refreshes.store.current().release_id == "000002"
    assert refreshes.store.current().published_at.startswith("1999")


def mounted(folder: Path, size: str) -> None:
    """Mount a small file system, which only root may."""
    folder.mkdir()
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if run.returncode:
        pytest.skip("a small file system cannot be mounted here")


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount room for one release file of the sample, or as much as a test asks for."""
    folder = tmp_path / "small"
    mounted(folder, getattr(request, "param", "40m"))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("small_disk", ["140m"], indirect=True)  # a release, and its copy that is published
def test_a_full_disk_leaves_the_published_release_as_it_was(small_disk: Path, sample_build: Build) -> None:
    store = Store(small_disk, small_disk / "published.duckdb")
    store.prepare()
    release(store, sample_build.warehouse)
    with pytest.raises(RefreshError, match="Make room, or set RELEASE_DIR to another disk"):
        release(store, sample_build.warehouse)
    assert check(store.published).release_id == "000001"
    assert list(store.work.iterdir()) == []


def test_a_full_landing_store_is_told_and_lands_once_there_is_room(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    mounted(small, "64k")
    try:
        monkeypatch.setenv("LANDING_DIR", str(small))
        project.declare(FIRMS + REGISTER)
        numbers = random.Random(1)
        rows = [(numbers.random(), 2020, numbers.randrange(10**9), 1) for _ in range(10_000)]
        large = project.deliver("firms/large.csv", csv_text(*rows))
        register = project.deliver("register/large.csv", csv_text(*rows, header=("编号", "经营范围", "a", "b")))
        with pytest.raises(landing.LandingError) as raised:
            landing.deliveries()
        of_firms, of_register = str(raised.value).splitlines()
        assert of_firms.startswith(f"firms/large.csv: cannot be stored in {small} (")
        assert of_register.startswith(f"register/large.csv: cannot be read, or stored in {small} (")
        assert all("No space left" in line and "Make room there" in line for line in (of_firms, of_register))
        assert list(small.iterdir()) == []

        large.unlink()
        register.unlink()
        project.deliver("firms/small.csv", csv_text(GOOD))
        append = Chain.append
        for key, said in (("files", "cannot be stored in"), ("deliveries", "the log of deliveries cannot be written")):
            with monkeypatch.context() as full:

                def refuse(chain: Chain, following: Callable[[list[Line]], Line | None], key: str = key) -> list[Line]:
                    if key in (following(chain.read().lines) or {}):
                        raise OSError(28, "No space left on device")
                    return append(chain, following)

                full.setattr(Chain, "append", refuse)
                with pytest.raises(landing.LandingError, match=f"{said} .*No space left on device"):
                    landing.deliveries()
        assert landing.deliveries().num_rows == 1
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.soak
def test_a_disk_that_fills_while_dbt_builds_is_told(small_disk: Path, sample_build: Build) -> None:
    run = command(Store(small_disk, small_disk / "published.duckdb"), sample_build, "refresh")
    assert run.returncode in (1, 5), run.stdout
    assert "No space left" in run.stdout
    assert not (small_disk / "published.duckdb").exists()


def test_folders_that_cannot_be_written_to_are_named_before_the_build(
    small_disk: Path, store: Store, sample_build: Build
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run = command(store, sample_build, "refresh", RELEASE_DIR=str(small_disk), RELEASE_PATH="")
    assert run.returncode == 2
    assert "Set RELEASE_DIR to a folder that this user may write to" in run.stdout
    run = command(store, sample_build, "refresh", RELEASE_PATH=str(small_disk / "published.duckdb"))
    assert run.returncode == 2
    assert "Set RELEASE_PATH to a file in a folder that this user may write to" in run.stdout


# ---------------------------------------------------------------- heartbeat and log


def attempted(store: Store, build: Build, code: int, *arguments: str, **environment: str) -> dict[str, Any]:
    """Refresh, and return what status says then."""
    run = command(store, build, "refresh", *arguments, **environment)
    assert run.returncode == code, run.stdout + run.stderr
    status = json.loads(command(store, build, "status", "--json").stdout)
    assert status["last_attempt"]["exit_code"] == code
    assert status["last_attempt"]["ended_at"] >= status["last_attempt"]["began_at"]
    assert status["running"] is None
    return dict(status)


def test_each_attempt_leaves_a_heartbeat_also_one_that_publishes_nothing(
    store: Store, audited_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(command(store, audited_build, "status", "--json").stdout)["last_attempt"] is None
    wrong = attempted(store, audited_build, 2, REFRESH_HOLD_ABOVE="much")
    assert wrong["last_attempt"]["outcome"] == "BadConfigurationError"
    assert "REFRESH_HOLD_ABOVE is 'much'" in wrong["last_attempt"]["message"]
    published_as_built(store, audited_build.warehouse, audited_build.extracts, monkeypatch)
    store.record({"release_id": "000001", "at": "2026-11-24T00:00:00+00:00", "outcome": "published"})
    first, second = (attempted(store, audited_build, 3) for _ in range(2))
    assert second["last_attempt"]["began_at"] > first["last_attempt"]["ended_at"], "quiet, and not dead"
    assert first["last_refresh"] == second["last_refresh"], "the log of builds says nothing of it"
    assert second["last_publication"] == {
        "release_id": "000001", "at": "2026-11-24T00:00:00+00:00", "outcome": "published",
    }  # fmt: skip
    said = command(store, audited_build, "status").stdout
    assert f"last attempt: {second['last_attempt']['began_at']}, 0 days ago, exit code 3, NothingNewError: No" in said
    assert "last publication: 000001, 2026-11-24T00:00:00+00:00" in said
    assert [attempt.exit_code for attempt in attempts.read(store.folder)] == [2, 3, 3]
    logged = [json.loads(line) for line in (store.folder / "refresh.log").read_text().splitlines()]
    assert [line["event"] for line in logged] == ["BadConfigurationError", "NothingNewError", "NothingNewError"]


def test_an_attempt_that_was_killed_began_and_did_not_end(store: Store, audited_build: Build) -> None:
    """Killed in the middle of the audit, and while another holds the lock."""
    with killed_refreshes(store, audited_build) as run:
        exit_code, printed = run("refresh", dies_at=300)
    assert exit_code == -signal.SIGKILL, printed
    status = json.loads(command(store, audited_build, "status", "--json").stdout)
    assert status["running"] is None
    assert status["last_attempt"]["ended_at"] is None
    assert status["last_attempt"]["exit_code"] is None
    assert "did not end: it was killed, or the machine stopped" in command(store, audited_build, "status").stdout


def test_status_says_that_a_first_refresh_is_running_to_another_user_too(store: Store, audited_build: Build) -> None:
    with attempts.recorded(store.folder), lock.held(store.lock):
        store.folder.chmod(0o755)
        run = command(store, audited_build, "status", "--json")
        running = json.loads(run.stdout)["running"]
        assert (running["pid"], run.returncode) == (os.getpid(), 1)
        assert json.loads(run.stdout)["last_attempt"]["ended_at"] is None
        assert f"A refresh has been running since {running['since']}, process {os.getpid()} on " in run.stderr
        said = command(store, audited_build, "status").stdout
        assert f"running: since {running['since']}, process {os.getpid()} on {running['host']}" in said
        assert re.search(r"^last attempt: 20.*, is running$", said, re.MULTILINE), said
        refused = command(store, audited_build, "refresh")
        assert refused.returncode == 6
        last = json.loads(command(store, audited_build, "status", "--json").stdout)
        assert (last["last_attempt"]["outcome"], last["running"]["pid"]) == ("LockedError", os.getpid())
        assert {(path.stat().st_mode & 0o777) for path in (store.lock, store.folder / "attempts.json")} == {0o644}
    assert [attempt.outcome for attempt in attempts.read(store.folder)] == ["LockedError", "published"]


def test_whoever_asks_for_the_holder_locks_no_refresh_out(store: Store) -> None:
    with lock.held(store.lock):
        pass
    with store.lock.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        release_soon = threading.Timer(lock.PAUSES[0] / 2, fcntl.flock, (asking, fcntl.LOCK_UN))
        release_soon.start()
        with lock.held(store.lock):
            assert lock.holder(store.lock)["pid"] == os.getpid()
        release_soon.join()
    assert lock.holder(store.lock) is None


def test_the_heartbeat_keeps_the_newest_attempts_and_survives_a_file_of_somebody_else(store: Store) -> None:
    for _ in range(attempts.KEPT + 3):
        with attempts.recorded(store.folder):
            pass
    kept = attempts.read(store.folder)
    assert len(kept) == attempts.KEPT
    assert [attempt.began_at for attempt in kept] == sorted(attempt.began_at for attempt in kept)
    (store.folder / "attempts.json").write_text("[{]", encoding="utf-8")
    assert attempts.read(store.folder) == []
    with pytest.raises(KeyboardInterrupt), attempts.recorded(store.folder):
        raise KeyboardInterrupt
    (last,) = attempts.read(store.folder)
    assert (last.outcome, last.exit_code) == ("KeyboardInterrupt", 1)


def test_the_log_rotates_and_no_line_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_log, "LARGEST", 400)
    for number in range(12):
        refresh_log.write(store.folder, refresh_log.line("warning", {"message": f"{number} % 中文"}))
    logs = sorted(store.folder.glob("refresh.log*"), reverse=True)
    assert logs[-1].name == "refresh.log"
    assert 1 < len(logs) <= 1 + refresh_log.OLDER
    assert all(log.stat().st_size <= 400 for log in logs)
    lines = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["message"] for line in lines] == [f"{number} % 中文" for number in range(12)]
    assert logs[-1].stat().st_mode & 0o777 == 0o644


# ---------------------------------------------------------------- cron and systemd


@pytest.fixture
def home(store: Store, audited_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a user who has the clone where deploy/ expects it, and published what it would build."""
    clone = tmp_path / "home" / "ai-manufacturing"
    (clone / "build" / "extracts").mkdir(parents=True)
    for path in PROJECT.iterdir():
        if path.name not in ("build", ".venv"):
            (clone / path.name).symlink_to(path)
    (clone / ".venv").symlink_to(sys.prefix)
    (clone / "build/extracts/sample").symlink_to(audited_build.extracts)
    (clone / "build/releases").symlink_to(store.folder)
    settings_file = clone.parent / ".config/ai-manufacturing.env"
    settings_file.parent.mkdir()
    settings_file.write_text(f'EXTRACTS_DIR="{audited_build.extracts}"\n', encoding="utf-8")
    published_as_built(store, audited_build.warehouse, audited_build.extracts, monkeypatch)
    return clone.parent


def test_the_line_for_cron_works_as_cron_runs_it(home: Path) -> None:
    (line,) = [
        line for line in (PROJECT / "deploy/ai-manufacturing.cron").read_text().splitlines() if not line.startswith("#")
    ]
    *when, shell_command = line.split(maxsplit=5)
    assert [field.isdigit() or field == "*" for field in when] == [True] * 5
    assert "%" not in shell_command, "cron takes it for the end of a line"
    bare = {"HOME": str(home), "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}

    def run() -> tuple[int, str, dict[str, Any]]:
        ended = subprocess.run(
            ["/bin/sh", "-c", shell_command], cwd=home, env=bare, capture_output=True, text=True, check=False
        )
        last = log.read_text(encoding="utf-8").splitlines()[-1]
        return ended.returncode, ended.stdout + ended.stderr, json.loads(last)

    log = home / "ai-manufacturing/build/releases/refresh.log"

    code, mail, last = run()
    assert (code, mail, last["event"]) == (0, "", "NothingNewError")
    settings_file = home / ".config/ai-manufacturing.env"
    settings_file.write_text("EXTRACTS_DIR=/nowhere\n", encoding="utf-8")
    code, mail, last = run()
    assert (code, last["event"]) == (1, "BadConfigurationError")
    assert "/nowhere: there is no such folder" in last["message"]
    assert "/nowhere: there is no such folder" in mail
    assert last["at"] in mail
    assert [path.name for path in (home / "ai-manufacturing/build").iterdir() if path.is_file()] == []

    settings_file.unlink()
    before = log.read_bytes()
    code, mail, _ = run()
    assert code != 0
    assert "ai-manufacturing.env" in mail
    assert log.read_bytes() == before, "nothing was refreshed"


def test_systemd_accepts_the_units(home: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    units = [str(path) for kind in ("service", "timer") for path in sorted((PROJECT / "deploy").glob(f"*.{kind}"))]
    assert len(units) == 3
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *units],
        env={"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    service = (PROJECT / "deploy/ai-manufacturing-refresh.service").read_text()
    assert "SuccessExitStatus=3\n" in service
    assert "EnvironmentFile=%h/.config/ai-manufacturing.env\n" in service, "with a minus, a missing file is ignored"
    assert "TimeoutStartSec=6h\n" in service
    (on_failure,) = re.findall(r"^OnFailure=(.*)\.service$", service, re.MULTILINE)
    assert (PROJECT / f"deploy/{on_failure}.service").is_file()
    (started,) = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    run = subprocess.run(
        ["/bin/sh", "-c", started.removeprefix("ExecStart=").replace("%h", str(home))],
        cwd=home / "ai-manufacturing",
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3, run.stdout + run.stderr


def test_a_failure_of_the_unit_is_one_message_in_the_journal_and_one_mail(tmp_path: Path) -> None:
    """With programs in the place of systemd's and of mail that keep what they were given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "systemd-cat", "mail"):
        program = programs / name
        program.write_text(f'#!/bin/sh\n{{ echo "$@"; [ {name} = systemctl ] || cat; }} | tee -a {tmp_path}/{name}\n')
        program.chmod(0o755)
    for mail_to in ("", "office@example.org"):
        ended = subprocess.run(
            [str(PROJECT / "deploy/report_failure.sh"), "ai-manufacturing-refresh.service"],
            env={"PATH": f"{programs}:/usr/bin:/bin", "MAILTO": mail_to},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert (tmp_path / "mail").exists() == bool(mail_to)
    asked = "--user status --no-pager --full --lines=20 ai-manufacturing-refresh.service"
    assert (tmp_path / "systemctl").read_text().splitlines() == [asked, asked]
    journal, mail = ((tmp_path / name).read_text() for name in ("systemd-cat", "mail"))
    assert journal.startswith("-t ai-manufacturing -p err\nai-manufacturing-refresh.service failed on ")
    assert asked in journal
    assert mail.startswith("-s ai-manufacturing-refresh.service failed on ")
    assert "office@example.org\n" in mail
    assert asked in mail
