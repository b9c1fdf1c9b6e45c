"""Test the macros for Spark without Spark: DuckDB runs their queries, with functions of Spark."""

import re
from types import SimpleNamespace

import agate
import duckdb
import pytest
import regex

from tests.lib.macro_calls import CompilerError, Macros


@pytest.fixture
def spark() -> Macros:
    return Macros("spark")


def as_duckdb(sql: str, connection: duckdb.DuckDBPyConnection) -> str:
    """Rewrite an expression of Spark for DuckDB, with Python's regular expressions for Java's."""

    def unescape(pattern: str) -> str:
        return pattern.replace("\\\\", "\\")

    def replace(text: str, pattern: str, new: str) -> str:
        return re.sub(unescape(pattern), re.sub(r"\$(\d)", r"\\g<\1>", new), text)

    def extract(text: str, pattern: str, group: int) -> str:
        found = re.search(unescape(pattern), text)
        return found[group] if found else ""

    def matches(text: str, pattern: str) -> bool:
        return re.search(unescape(pattern), text) is not None

    functions = {"rlike": matches, "spark_replace": replace, "spark_extract": extract}
    for name, function in functions.items():
        connection.create_function(name, function)
    connection.execute("create macro plus_days(day, number) as cast(day + number as date)")
    sql = re.sub(r"(\w+) rlike ('[^']*')", r"rlike(\1, \2)", sql).replace("'string'", "'VARCHAR'")
    for name in ("replace", "extract"):
        sql = sql.replace(f"regexp_{name}(", f"spark_{name}(")
    return sql.replace("date_add(", "plus_days(")


def test_dates_are_read_as_on_duckdb(spark: Macros) -> None:
    dates = (
        "2015-03-02",
        "2015-3-2",
        "2015/03/02",
        " 2015 3 2 ",
        "2015\\3\\2",
        "2015-3-2 23:59",
        "2015-03-02T09:05:59.5Z",
        "2015-3-2 9:5 +08:00",
        "2015年3月2日",
        "2015.3.2",
        "20150302",
        "42065",
        "42065.75",
    )
    none = ("2015", "2015-3/2", "2015-02-30", "2015-3-2 24:00", "2015-3-2 9:60", "长期", "12065")
    expected = dict.fromkeys(dates, "2015-03-02") | dict.fromkeys(none) | {"15-3-2": "0015-03-02"}
    spark.connection.execute("create table given as select unnest($1) as x", [[*expected]])
    query = as_duckdb(spark.call("date_of", "x"), spark.connection)
    found = spark.connection.execute(f"select x, ({query})::varchar from given").fetchall()
    assert dict(found) == expected


def test_terms_match_the_same_texts_as_without_look_ahead(spark: Macros) -> None:
    words = ["人工智能", "人脸", "机器学习", "深度学习", "自动驾驶", "语音", "图像", "智能", "算法"]
    english = ["AI", "robot", "a.i", "deep learning", "ear"]
    terms = [*words, *(spark.call("bounded_term", re.escape(term.lower())) for term in english)]
    pattern = spark.call("alternation", terms, [*(term[0] for term in words), *"ARaDe".lower()])
    compiled = regex.compile(f"(?i){pattern}", regex.VERSION1)
    texts = dict.fromkeys((*words, *english, "一个Robot臂", "用AI做", "x 算法", "_ ear"), True)
    texts |= dict.fromkeys(
        ("aid", "main", "robots", "a i", "AI_1", "人工", "机器", "", "year"), False
    )
    assert {text: compiled.search(text) is not None for text in texts} == texts
    assert spark.call("halved_characters", [*"abcdefgh"]).count("&&") == 6
    assert spark.call("literal", "a'b\\c") == "'a\\'b\\\\c'"
    assert spark.call("matches", "x", "\\d") == "x rlike '\\\\d'"
    assert spark.call("replace_all", "x", "a", "b") == "regexp_replace(x, 'a', 'b')"
    assert spark.call("explode", "y") == "explode(y)"
    assert spark.call("joined_terms", "y") == "array_join(sort_array(collect_set(y)), '、')"
    assert spark.call("id_hash", "x") == "xxhash64(x)"


def test_counts_forget_years_outside_the_period_and_without_cells(spark: Macros) -> None:
    spark.connection.execute(
        """
        create table counts as select unnest([2009, 2010, 2015, 2020, 2021]) as year;
        create table industry_scopes as select 'C' as section;
        create table int_register_cells (
            entity text, section text, set_aside_reason text, kind text
        );
        insert into int_register_cells values
            ('patent_register', 'C', null, 'invention'), ('firm_register', 'A', null, null),
            ('firm_register', 'C', 'no date', null), ('firm_register', 'C', null, 'design')
        """
    )
    every = ", ".join(f"partition (year = '{year}')" for year in (2009, 2010, 2015, 2020, 2021))
    outside = "partition (year = '2009'), partition (year = '2021')"

    def drop() -> list[str]:
        return sorted(re.findall(r"partition \(.+?\)", spark.call("forget_years", "firm_register")))

    assert drop() == every.split(", ")
    spark.connection.execute(
        "insert into int_register_cells values ('firm_register', 'C', null, null)"
    )
    assert drop() == outside.split(", ")
    said = spark.call("drop_partitions", "year", ["1", "2"])
    assert said == "alter table counts drop partition (year = '1'), partition (year = '2')"
    spark.environment.globals["is_incremental"] = lambda: False
    assert spark.call("forget_years", "firm_register") == ""
    assert spark.call("kept_by_year", "firm_register") == ""
    assert spark.configured == [
        {
            "materialized": "incremental",
            "incremental_strategy": "insert_overwrite",
            "partition_by": ["year"],
            "pre_hook": "{{ forget_years('firm_register') }}",
        }
    ]


def test_years_with_a_changed_new_or_lost_count_are_written_whole(spark: Macros) -> None:
    spark.connection.execute(
        """
        create table counts as from (
            values (2010, 'a', 1), (2010, 'b', 2), (2011, 'a', 1), (2012, 'a', 1), (2012, 'b', 1)
        ) as t (year, city, number);
        create table counted as from (
            values (1, 2010, 'a'), (2, 2010, 'b'), (9, 2011, 'a'), (1, 2012, 'a'), (5, 2013, 'a')
        ) as t (number, year, city)
        """
    )
    query = spark.call("changed_years", "counted")
    found = spark.connection.execute(f"{query} order by year").fetchall()
    assert found == [(9, 2011, "a"), (1, 2012, "a"), (5, 2013, "a")]
    spark.environment.globals["is_incremental"] = lambda: False
    assert spark.call("changed_years", "counted") == "select counted.* from counted"


def test_a_run_receives_the_landed_tables_of_its_extract_set(spark: Macros) -> None:
    spark.answers = {}
    spark.call("receive_deliveries")
    views = [
        f"create or replace view raw.{name} as select * from"
        f" parquet.`land/tables/md5 of set/{name}.parquet`"
        for name in ("deliveries", "extract_set", "declared_sources")
    ]
    assert spark.statements == ["create schema if not exists raw", *views]
    spark.statements.clear()
    spark.environment.globals["flags"] = SimpleNamespace(WHICH="test")
    spark.call("receive_deliveries")
    assert spark.statements == []


@pytest.mark.parametrize(
    ("master", "found", "queries"),
    [("", 16, 4), ("local[4]", 16, 4), ("spark://host", 16, 8), ("spark://host", 7, None)],
)
def test_a_cluster_whose_workers_write_to_their_own_disks_is_refused(
    master: str, found: int, queries: int | None, spark: Macros
) -> None:
    spark.environment.globals["env_var"] = {"SPARK_MASTER": master, "SPARK_STORAGE": "disk"}.get
    spark.answers = {"select count(*) from intermediate.storage_probe": [(found,)]}
    if queries is None:
        with pytest.raises(CompilerError, match=r"SPARK_STORAGE is disk, but .* only 7 of 16 rows"):
            spark.call("receive_deliveries")
    else:
        spark.call("receive_deliveries")
        assert len(spark.statements) == queries
    written = "insert overwrite table intermediate.storage_probe select /*+ repartition(16) */ id"
    assert any(written in query for query in spark.statements) == (master == "spark://host")


def test_counts_of_another_extract_set_are_refused(spark: Macros) -> None:
    spark.environment.globals["adapter"].get_relation = lambda *_: "raw.raw_register_files"
    spark.connection.execute(
        """
        create schema raw;
        create table raw.extract_set as select 'own' as extract_set;
        create table raw.raw_register_files as select 'own' as extract_set
        """
    )
    assert spark.call("refuse_another_extract_set") == ""
    spark.connection.execute("insert into raw.raw_register_files values ('other')")
    with pytest.raises(CompilerError, match=r'build/spark contains counts of .* set "other", but'):
        spark.call("refuse_another_extract_set")


@pytest.mark.parametrize("folder", ["", "given"])
def test_a_run_hands_over_the_counts_it_made_if_no_node_failed(folder: str, spark: Macros) -> None:
    spark.environment.globals["env_var"] = {"COUNTS_DIR": folder, "EXTRACTS_DIR": ""}.get
    spark.answers = {}
    names = ("int_firm_register_counts", "int_register_cells")
    results = [SimpleNamespace(node=SimpleNamespace(name=name), status="success") for name in names]
    spark.call("hand_over_counts", results)
    target = f"{folder or 'build/extracts/sample/register_counts'}/firm_counts"
    (query,) = spark.statements
    assert query.startswith(f"insert overwrite directory '{target}' using parquet select counted.*")
    assert "from intermediate.int_firm_register_counts as counts cross join" in query
    assert query.endswith("sort by city_id, year, scope")
    results.append(SimpleNamespace(node=SimpleNamespace(name="other"), status="error"))
    spark.call("hand_over_counts", results)
    said = f"{target} was not updated, because dbt nodes failed: 1."
    assert (len(spark.statements), spark.messages) == (1, [said])
    spark.environment.globals["flags"] = SimpleNamespace(WHICH="test")
    spark.call("hand_over_counts", results[:2])
    assert len(spark.statements) == 1


def test_files_with_equal_columns_are_read_together_and_a_date_only_if_all_are(
    spark: Macros,
) -> None:
    spark.answers = {
        "register_columns": [
            ("id", "one", "string"),
            ("day", "one", "date32[day]"),
            ("id", "two", "string"),
            ("day", "two", "date32[day]"),
            ("end", "two", None),
            ("end", "one", None),
            ("id", "three", "int64"),
            ("day", "three", "date32[day]"),
            ("end", "three", "string"),
        ],
        "select store_key": [("one",), ("two",), ("three",)],
    }
    text = spark.call("spark__register_rows", "vendor", "firm_register")
    asked = "from raw_register_files where provider = 'vendor' and entity = 'firm_register'"
    assert asked in spark.statements[1]
    assert "where entity = 'firm_register' order by position" in spark.statements[0]
    place = "element_at(split(_metadata.file_path, '/'), -2) as store_key"
    first, second = (
        f'select {place}, _metadata.row_index + 1 as row_number, cast("id" as string) as "id",'
        f' cast("day" as date) as "day", cast({end} as string) as "end"'
        f" from parquet.`land/{{{files}}}/rows.parquet`"
        for end, files in (("null", "one,two"), ('"end"', "three"))
    )
    joined = "inner join raw_register_files as files on landed.store_key = files.store_key"
    selected = f"select files.file_number, landed.* from landed {joined}"
    assert text == f"with landed as ( {first} union all {second} ) {selected}"
    spark.answers = {"register_columns": [("id", "one", "string")]}
    text = spark.call("spark__register_rows", "vendor", "firm_register")
    none = """'' as store_key, cast(0 as bigint) as row_number, cast(null as string) as "id" """
    assert text == f"with landed as ( select {none}where false ) {selected}"


def test_files_that_left_or_follow_other_rules_are_dropped(spark: Macros) -> None:
    spark.connection.execute(
        """
        create table raw_register_files as select 'kept' as store_key;
        create table counts as from (
            values ('kept', 'rules'), ('gone', 'rules'), ('kept', 'rules')
        ) as t (store_key, rules)
        """
    )
    dropped = "alter table counts drop partition (store_key = 'gone')"
    assert spark.call("spark__forget_files") == dropped
    spark.connection.execute("update counts set rules = 'old', store_key = 'kept'")
    assert spark.call("spark__forget_files") == dropped.replace("gone", "kept")
    spark.environment.globals["is_incremental"] = lambda: False
    assert spark.call("spark__forget_files") == spark.call("spark__kept_by_file") == ""
    assert spark.configured == [
        {
            "materialized": "incremental",
            "incremental_strategy": "insert_overwrite",
            "partition_by": ["store_key"],
            "pre_hook": "{{ forget_files() }}",
        }
    ]


def test_a_seed_keeps_empty_cells_quotes_and_types(spark: Macros) -> None:
    seed = agate.Table([("a b", None), (None, 2)], ["name", "number"])
    model = {"config": {"column_types": {"number": "int"}}}
    query = spark.call("spark__load_csv_rows", model, seed)
    assert spark.statements == [query]
    assert query.startswith("insert overwrite table counts select cast(name as varchar), cast(")
    rows = spark.connection.execute(
        query.replace("insert overwrite table counts", "")
        .replace("from values", "from (values")
        .replace(") as rows (", ")) as rows (")
    )
    assert rows.fetchall() == [("a b", None), (None, 2)]


@pytest.mark.parametrize(("partition", "place"), [(None, "cells"), (["year"], "cells/run")])
def test_a_partitioned_table_lies_in_a_folder_of_its_run(
    partition: list[str] | None, place: str, spark: Macros
) -> None:
    spark.environment.globals |= {
        "config": {"partition_by": partition},
        "invocation_id": "run",
        "model": SimpleNamespace(alias="cells"),
    }
    assert spark.call("spark__location_clause") == f"location '{place}'"
