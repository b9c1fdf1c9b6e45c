"""Test the counting of firms and patents from registers (files with one row per firm or patent)."""

import csv
import importlib.util
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ai_manufacturing.auditing import trace
from ai_manufacturing.landing import counts
from ai_manufacturing.paper.synthetic import registers
from ai_manufacturing.system import duckdb_client
from tests.planted_faults import copy_of_the_project
from tests.python import conftest
from tests.python.conftest import PROJECT, Build, built_once
from tests.python.dbt_process import stand_in
from tests.python.landing_project import GOOD, Project
from tests.python.register_models import count

SIZE = 30_000
COUNTED = (
    "int_series_conformed",
    "fct_row_accounting",
    "fct_delivered_values",
    "fct_ai_tags",
    "fct_register_rows_set_aside",
)
COUNTS = (
    "select series, scope, city_id, year, value from intermediate.int_series_conformed order by all"
)
PROVIDERS = "select distinct provider from intermediate.int_series_conformed"


def coded_as_laiwu(folder: Path) -> None:
    """Give a third of the rows of 济南 the old code of 莱芜, which merged into 济南.

    Registers keep old codes.
    """
    for path in folder.glob("*_register/*.parquet"):
        rows = pq.read_table(path)
        codes = rows["城市代码"].to_pylist()
        of_jinan = [number for number, code in enumerate(codes) if code == "370100"]
        for number in of_jinan[::3]:
            codes[number] = "371200"
        position = rows.column_names.index("城市代码")
        pq.write_table(
            rows.set_column(position, rows.schema.field(position), pa.array(codes)), path
        )


def seed(name: str) -> list[dict[str, str]]:
    with (PROJECT / f"seeds/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def register_build(shared: Path, sample_build: Build) -> Build:
    folder = shared / "registers"

    def make(build: Build) -> Build:
        registers.write_registers(build.extracts, SIZE, SIZE, seed=5)
        coded_as_laiwu(build.extracts)
        conftest.seed(build, sample_build)
        assert count(build, *COUNTED).failed == {}
        build.exit_code = 0
        return build

    manifest = sample_build.manifest
    return built_once(
        Build(folder / "registers", folder / "warehouse.duckdb", folder, manifest=manifest), make
    )


def tagged(texts: pd.Series, entity: str) -> pd.Series:
    """Return whether each text matches an AI keyword, using regular expressions only."""
    keywords = [row for row in seed("ai_keywords") if row["searched_in"] in ("any", entity)]

    def pattern(kind: str) -> re.Pattern[str]:
        terms = sorted(
            (row for row in keywords if row["kind"] == kind), key=lambda row: -len(row["term"])
        )
        return re.compile(
            "|".join(
                (
                    rf"(?<![0-9A-Za-z_]){re.escape(row['term'])}(?![0-9A-Za-z_])"
                    if row["language"] == "en"
                    else re.escape(row["term"])
                )
                for row in terms
            ),
            re.IGNORECASE,
        )

    exclude, include = pattern("exclude"), pattern("include")
    return texts.map(lambda text: include.search(exclude.sub("#", text)) is not None)


def ready_made_patents(folder: Path) -> pd.DataFrame:
    """Count a register's patents by city and year with pandas, in the layout of a vendor's file."""
    files = sorted(folder.glob("patent_register/*.parquet"))
    patents = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
    divisions = {row["ipc"]: row["industry_code"] for row in seed("ipc_industries")}
    ipc = patents["IPC主分类号"].fillna("")
    patents["行业代码"] = ipc.str[:4].map(divisions).fillna(ipc.str[:3].map(divisions))
    applied, granted = (pd.to_datetime(patents[column]) for column in ("申请日", "授权日"))
    known = {row["city_id"] for row in seed("cities")} | {"371200"}
    assert "371200" in {*patents["城市代码"]}
    usable = (
        applied.notna()
        & (applied <= "2020-12-31")
        & ~(granted < applied)
        & patents["行业代码"].notna()
        & patents["城市代码"].isin(known)
    )
    flags = {"专利申请数": applied, "专利授权数": granted}
    patents = patents.assign(**{name: dates.dt.year for name, dates in flags.items()})[usable]
    patents = patents.drop_duplicates("申请号")
    is_ai = tagged(patents["专利名称"], "patent_register")
    counts = []
    for year in range(2010, 2021):
        of_year = pd.DataFrame({name: patents[name] == year for name in flags})
        of_ai = of_year.mul(is_ai, axis=0).add_prefix("人工智能")
        keys = [patents[key] for key in ("城市代码", "行业代码", "专利类型")]
        both = pd.concat([of_year, of_ai], axis=1).astype(int).groupby(keys).sum().reset_index()
        counts.append(both.assign(年份=year, 城市名称="", 数据来源="synthetic"))
    return pd.concat(counts)


@pytest.mark.soak
def test_counts_of_a_register_equal_the_same_counts_delivered_ready_made(
    register_build: Build, fresh: Build
) -> None:
    """Patent counts from a register must equal the same counts delivered as a ready-made file."""
    (fresh.extracts / "patents").mkdir(parents=True)
    counts = ready_made_patents(register_build.extracts)
    counts.to_csv(fresh.extracts / "patents/专利_2020.csv", index=False)
    fresh.models("int_series_conformed")

    of_patents = f"from ({COUNTS}) where series like '%invention%' order by all"
    expected = fresh.rows(of_patents)

    assert len({row[0] for row in expected}) == 4
    assert sum(row[4] for row in expected if row[0].startswith("ai_")) > 100
    assert register_build.rows(of_patents) == expected
    assert (register_build.value(PROVIDERS), fresh.value(PROVIDERS)) == ("register", "vendor")


def test_counts_that_spark_hands_over_are_those_of_the_panel(fresh: Build) -> None:
    counts = {f"{of}firm{what}_count": 7 for of in ("", "ai_") for what in ("", "_entry", "_exit")}
    cell = {"city_id": "440300", "year": 2015, "scope": "industry", "extract_set_kind": "synthetic"}
    path = fresh.extracts / "register_counts/firm_counts/part-0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([cell | counts]), path)
    fresh.models("int_series_conformed")
    assert fresh.pairs(f"select series, value from ({COUNTS}) where value <> 0") == counts


def test_a_stock_that_does_not_follow_its_flows_is_found_in_its_cell(
    register_build: Build, tmp_path: Path
) -> None:
    sql = register_build.compiled("stocks_follow_flows_int_firm_register_counts_firm__ai_firm")
    for stock in ("firm", "ai_firm"):
        with duckdb.connect(str(shutil.copy(register_build.warehouse, tmp_path))) as connection:
            connection.execute(
                f"update intermediate.int_firm_register_counts set {stock}_exit_count ="
                f" {stock}_exit_count + 1 where city_id = '440300' and year = 2015 and scope ="
                " 'manufacturing'"
            )
            assert len(connection.execute(sql).fetchall()) == 1


def test_every_record_of_a_register_is_used_or_set_aside(register_build: Build) -> None:
    accounted = (
        "select file_path, sum(row_count)::bigint from marts.fct_row_accounting group by all"
    )
    assert register_build.pairs(accounted) == register_build.pairs(
        "select file_path, record_count from raw.deliveries"
    )


def test_the_tags_of_a_firm_say_why_it_counts_as_ai(register_build: Build) -> None:
    tags = register_build.rows(
        "select id, element, segment, matched_terms, file_path, row_number from marts.fct_ai_tags "
        "where entity = 'firm_register' and matched_terms = '人脸识别' order by id limit 5"
    )
    for firm_id, element, segment, _, path, row_number in tags:
        row = pd.read_parquet(register_build.extracts / path).iloc[row_number - 1]
        assert row["统一社会信用代码"] == firm_id
        assert "人脸识别" in row["经营范围"]
        assert (element, segment) == ("intelligent perception", "basic theory and core technology")
    assert tags


def test_a_count_of_a_register_is_traced_to_the_files_of_that_register(
    register_build: Build,
) -> None:
    with duckdb_client.open_read_only(register_build.warehouse) as connection:
        reader = trace._Reader(connection)
        lines = reader._describe_series("ai_firm_count", "industry", "440300", 2015)
    files = register_build.rows(
        "select file_path from raw.deliveries where entity = 'firm_register' order by file_path"
    )
    assert f"counted from {len(files)} files" in lines[-1]
    assert re.findall(r"(\S+), sha256", lines[-1]) == [path for (path,) in files]


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.usefixtures("seeded")
def test_a_later_file_gives_what_a_full_build_gives(
    register_build: Build, fresh: Build, tmp_path: Path
) -> None:
    """An incremental run reads only the new file, and must give the counts of a full build."""
    growing = fresh.extracts = Path(
        shutil.copytree(register_build.extracts, tmp_path / "registers")
    )
    last = growing / "patent_register/专利登记_2021.parquet"
    corrected = growing / "patent_register/专利登记_2015.parquet"
    again = growing / "patent_register/专利登记_again.parquet"
    last.rename(tmp_path / last.name)
    rows = pq.read_table(corrected)
    pq.write_table(rows.slice(0, 100), corrected)
    # Different compression gives the file a different hash with the same rows.
    pq.write_table(rows, again, compression="zstd")

    def counted(*more: str) -> Build:
        fresh.dbt("run", "--select", *(f"+{name}" for name in COUNTED), *more)
        assert fresh.exit_code == 0, fresh.output
        return fresh

    landed = (
        "select file_path, count(*) from intermediate.int_register_delivered as delivered join"
        " raw.raw_register_files using (file_number) where delivered.entity = 'patent_register'"
        " group by all order by all"
    )
    at_first = counted().rows(landed)
    first_count = fresh.value("select max(delivery_number) from raw.deliveries")
    shutil.copy(register_build.extracts / "patent_register" / corrected.name, corrected)
    again.unlink()
    (tmp_path / last.name).rename(last)

    gone = counted().rows(
        "select file_path, disposition, row_count from marts.fct_row_accounting "
        "where disposition in ('superseded', 'withdrawn') order by all"
    )
    assert gone == [
        (f"patent_register/{corrected.name}", "superseded", 100),
        (f"patent_register/{again.name}", "withdrawn", rows.num_rows),
    ]
    for table in (
        "select * from intermediate.int_series_conformed",
        (
            "select * exclude (delivery_number, extract_set) from marts.fct_row_accounting "
            "where disposition not in ('superseded', 'withdrawn')"
        ),
        "select * exclude (extract_set) from marts.fct_ai_tags",
    ):
        assert fresh.rows(f"{table} order by all") == register_build.rows(
            f"{table} order by all"
        ), table

    past = replace(fresh, warehouse=tmp_path / "past.duckdb")
    of_the_past = (
        "+raw_deliveries",
        "raw_declared_sources",
        "raw_register_files",
        "raw_register_paths",
        "int_register_delivered",
    )
    past.dbt("run", "--select", *of_the_past, "--vars", f"{{as_of_delivery: {first_count}}}")
    assert past.exit_code == 0, past.output
    assert past.rows(landed) == at_first

    for path in growing.glob("patent_register/*.parquet"):
        pq.write_table(pq.read_table(path).filter(pc.field("专利类型") != "发明"), path)
    fresh.dbt("run", "--select", "+raw_deliveries", "raw_declared_sources")
    counted("--exclude", "raw_deliveries")
    assert (
        fresh.value(
            "select count(*) from intermediate.int_register_cells where entity = 'patent_register'"
        )
        > 0
    )
    assert fresh.rows("from intermediate.int_patent_register_counts") == []


def deliver_firms(path: Path, firms: str) -> None:
    """Write a register of manufacturers from lines with ID, city code, entry and exit date.

    The firm with ID A is an AI firm.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [None if cell == "-" else cell for cell in line.split()]
        for line in firms.strip().splitlines()
    ]
    ids, cities, entries, exits = map(pa.array, zip(*rows, strict=True))
    table = {
        "统一社会信用代码": ids,
        "城市代码": cities,
        "成立日期": entries.cast(pa.date32()),
        "注销日期": exits.cast(pa.date32()),
        # Vendors write the industry as a class, as a section with class, or as a division with
        # name.
        "行业代码": [("3921", "C3921", "C39 制造业", " 3921")[n % 4] for n in range(len(rows))],
        "经营范围": ["人工智能" if firm == "A" else "五金" for firm, *_ in rows],
    }
    pq.write_table(pa.table(table), path)


OLDER = """
    A 440300 2015-01-01 -
    B 440300 2015-01-01 -
    C 440300 2015-01-01 2017-05-01
    D 440300 - -
    only_in_2018 440300 2016-01-01 -
    G 440300 2016-01-01 -
"""
# A newer snapshot of the register, with a duplicate row for firm A.
NEWER = """
    A 440300 2015-01-01 2019-06-01
    A 440300 2015-03-01 2019-07-01
    B 110000 2015-01-01 -
    B 440300 2015-01-01 -
    C 440300 2015-01-01 2017-05-01
    D 440300 2015-02-01 -
    only_in_2020 440300 2019-01-01 -
    G 440300 2016-01-01 2015-01-01
"""
ASIDE = """
    2018 A 1 superseded
    2018 B 2 superseded
    2018 C 3 superseded
    2018 D 4 superseded
    2018 G 6 superseded
    2020 A 2 duplicate id
    2020 B 4 contradicting id
    2020 G 8 exit before entry
"""


def test_a_newer_snapshot_wins_by_id_until_it_is_withdrawn(fresh: Build) -> None:
    """The expected counts were derived by hand from the rows of both register snapshots."""
    older, newer = (
        fresh.extracts / f"firm_register/firm_register_{year}.parquet" for year in (2018, 2020)
    )
    deliver_firms(older, OLDER)
    deliver_firms(newer, NEWER)
    columns = "city_id, year, firm_count, firm_exit_count, ai_firm_count, ai_firm_exit_count"
    counts = f"select {columns} from intermediate.int_firm_register_counts "
    counts += "where scope = 'manufacturing' and year in (2017, 2019) order by all"
    count(fresh, "int_firm_register_counts", "fct_row_accounting", "fct_register_rows_set_aside")
    assert fresh.rows(counts) == [
        ("110000", 2017, 1, 0, 0, 0),
        ("110000", 2019, 1, 0, 0, 0),
        ("440300", 2017, 3, 1, 1, 0),
        ("440300", 2019, 3, 1, 0, 1),
    ]
    year = "substring(file_path, length(file_path) - 11, 4)"
    listed = (
        f"select concat_ws(' ', {year}, id, row_number, set_aside_reason) from"
        " marts.fct_register_rows_set_aside"
    )
    aside = [line.strip() for line in ASIDE.strip().splitlines()]
    assert fresh.rows(f"{listed} order by all") == [(line,) for line in aside]
    reasons = {**Counter((line[:4], line.split(" ", 3)[3]) for line in aside)} | {
        ("2018", "used"): 1,
        ("2020", "used"): 5,
    }
    accounted = fresh.rows(f"select {year}, disposition, row_count from marts.fct_row_accounting")
    assert {(file, why): rows for file, why, rows in accounted} == reasons

    newer.unlink()
    count(fresh, "int_firm_register_counts")
    assert fresh.rows(counts) == [("440300", 2017, 4, 1, 1, 0), ("440300", 2019, 4, 0, 1, 0)]

    # The last delivery counts as the newest snapshot, whatever year its file name contains.
    deliver_firms(newer.with_name("firm_register_2017.parquet"), "A 440300 2015-01-01 2018-06-01")
    count(fresh, "int_firm_register_counts")
    assert fresh.rows(counts) == [("440300", 2017, 4, 1, 1, 0), ("440300", 2019, 3, 0, 0, 0)]


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.usefixtures("seeded")
def test_what_was_made_of_a_file_is_kept_until_a_macro_changes_and_then_made_anew(
    fresh: Build, tmp_path: Path
) -> None:
    fresh.project = copy_of_the_project(tmp_path / "project")
    deliver_firms(fresh.extracts / "firm_register/firms.parquet", "A 440300 - -")

    def cohorts() -> list[tuple[str, int]]:
        fresh.dbt("run", "--select", "+int_register_cohorts")
        assert fresh.exit_code == 0, fresh.output
        return fresh.rows(
            "select set_aside_reason, row_count from intermediate.int_register_cohorts"
        )

    assert cohorts() == [("no date", 1)]
    with duckdb.connect(str(fresh.warehouse)) as connection:
        connection.execute("update intermediate.int_register_cohorts set row_count = 7")
    assert cohorts() == [("no date", 7)], "kept, not read again"

    # The table depends on this macro through an upstream model and another macro.
    macro = fresh.project / "macros/registers/register_set_aside_reason.sql"
    macro.write_text(
        macro.read_text(encoding="utf-8").replace("'no date'", "'undated'"), encoding="utf-8"
    )
    assert cohorts() == [("undated", 1)]


def test_counts_from_spark_replace_those_that_the_next_build_reads(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered, out, written = (tmp_path / name for name in ("delivered", "out", "written"))
    project.deliver_rows(GOOD)
    shutil.copytree(tmp_path / "extracts", delivered)
    for name in counts.COUNT_FOLDERS:
        (written / name).mkdir(parents=True)
        (written / name / "_SUCCESS").touch()
    table = pa.table({"count": [7, 11]})
    pq.write_table(table, written / "firm_counts/part-0.parquet")
    stand_in(tmp_path, monkeypatch, """echo 'version "1.21"' >&2""", "java")
    script = 'echo "$* $EXTRACTS_DIR"; rm -rf "$COUNTS_DIR"; cp -r written "$COUNTS_DIR"'
    stand_in(tmp_path, monkeypatch, script)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("SPARK_MASTER", "")
    packages = {"pyspark": True}
    monkeypatch.setattr(importlib.util, "find_spec", packages.get)
    with pytest.raises(counts.CountsError, match="dbt-spark"):
        counts.count_registers("spark", None, None, print)
    packages["dbt.adapters.spark"] = True
    read_next = tmp_path / "extracts/register_counts"
    for folder, given in ((read_next, None), (out, out)):
        printed: list[str] = []
        monkeypatch.setenv("EXTRACTS_DIR", "extracts")
        counts.count_registers("spark", delivered, given, printed.append)
        first, command, last, advice = printed
        assert re.search(rf"{delivered} .*\(local\[\*\]\).* Java 21", first)
        assert command.endswith(f" build --target spark --selector register_counts {delivered}")
        assert (str(folder) in last, str(read_next) in advice) == (True, folder == out)
        assert pq.read_table(folder / "firm_counts/counts.parquet").equals(table)
    assert len(project.store_folders()) == 1
    for name, value in {"SPARK_STORAGE": "no_*", "SPARK_MASTER": "spark://127.0.0.1:no_"}.items():
        monkeypatch.setenv(name, value)
        with pytest.raises(counts.CountsError, match=f"{name} is .*no_"):
            counts.count_registers("spark", None, None, print)


def test_a_run_without_workers_is_stopped_and_one_that_waits_is_not(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_MASTER", "spark://far:7077")
    warning = "26/01/02 03:04:05 WARN "
    wait = f"for i in $(seq $1); do echo '{warning}{counts.WAITING}'; done"

    def run(script: str, *given: Path | None) -> list[str]:
        stand_in(tmp_path, monkeypatch, f'waits() {{ {wait}; }}; waits 1; echo "$*"; {script}')
        printed: list[str] = []
        counts.count_registers("duckdb", *(given or (None, None)), printed.append)
        return printed

    few = f"waits {counts.LONGEST_WAIT - 1}"
    printed = run(f"{few}; echo '{warning}other'; echo started; {few}")
    assert [line for line in printed if not line.startswith("Spark is waiting")] == [
        "--no-use-colors run --select raw_declared_sources +raw_deliveries",
        "started",
        "--no-use-colors build --selector register_counts",
        "started",
    ]
    # Each of the two commands of dbt waits three times.
    assert len(printed) == 10
    for script, given, words in (
        (f"{few}; waits 1; exec sleep 2", (), r"far:7077, [^$]* a worker\.\n.*exit code -15"),
        ("echo mkdirs failed; exit 3", (), r"build/spark and [^$]*exit code 3"),
        ("", (tmp_path, None), "--engine spark"),
        ("", (None, tmp_path), "--engine spark"),
    ):
        with pytest.raises(counts.CountsError, match=words):
            run(script, *given)
