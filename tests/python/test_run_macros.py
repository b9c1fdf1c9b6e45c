"""Test the macros that run around models: hooks, declared years, registers and caches of files."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lib.macro_calls import Macros


@pytest.fixture
def duckdb_macros() -> Macros:
    macros = Macros("default")
    names = ("est_coefficients", "rpt_coefficients", "gate_results", "gate_second_route")
    schemas = ("estimates", "reports", "gates", "estimates")
    nodes = {
        f"model.ai_manufacturing.{name}": SimpleNamespace(database=None, schema=schema, alias=name)
        for name, schema in zip(names, schemas, strict=True)
    }
    nodes["model.ai_manufacturing.raw_deliveries"] = SimpleNamespace(
        database=None, schema="raw", alias="raw_deliveries"
    )
    macros.environment.globals |= {
        "flags": SimpleNamespace(WHICH="build"),
        "fromjson": json.loads,
        "graph": SimpleNamespace(nodes=nodes),
        "target": SimpleNamespace(type="duckdb", database="memory"),
        "var": {"suite_of_causes": "causes"}.get,
    }
    macros.environment.globals["adapter"].get_relation = lambda _, schema, name: (
        f"{schema}.{name}" if _exists(macros, schema, name) else None
    )
    macros.environment.globals["exceptions"].warn = macros.messages.append
    macros.connection.execute(
        """
        create schema estimates; create schema reports; create schema gates; create schema raw;
        create table estimates.est_coefficients as select 1 as estimate;
        create table reports.rpt_coefficients as select 1 as estimate;
        create table gates.gate_results (
            severity text, suite text, description text, success boolean, failing_rows text,
            observed_value text
        )
        """
    )
    return macros


def _exists(macros: Macros, schema: str, name: str) -> bool:
    query = "from duckdb_tables() where schema_name = ? and table_name = ?"
    return bool(macros.connection.execute(query, [schema, name]).fetchall())


def schemas_of(macros: Macros) -> set[str]:
    found = macros.connection.execute("select distinct schema_name from duckdb_tables()")
    return {name for (name,) in found.fetchall()}


@pytest.mark.parametrize(
    ("severity", "success", "accepted", "command", "is_dropped"),
    [
        ("critical", False, "", "build", True),
        ("critical", False, "", "run", True),
        ("critical", False, "", "test", False),
        ("critical", False, "accepted", "build", False),
        ("critical", True, "", "build", False),
        ("warning", False, "", "build", False),
    ],
)
def test_a_run_whose_gate_failed_drops_estimates_and_reports(
    severity: str,
    success: bool,
    accepted: str,
    command: str,
    is_dropped: bool,
    duckdb_macros: Macros,
) -> None:
    duckdb_macros.environment.globals |= {
        "env_var": {"ACCEPTED_GATE_FAILURES": accepted}.get,
        "flags": SimpleNamespace(WHICH=command),
    }
    row = [severity, success]
    insert = "insert into gates.gate_results (severity, success) values (?, ?)"
    duckdb_macros.connection.execute(insert, row)
    duckdb_macros.call("drop_held_estimates")
    dropped = {"estimates", "reports"} - schemas_of(duckdb_macros)
    assert dropped == ({"estimates", "reports"} if is_dropped else set())
    assert len(duckdb_macros.messages) == is_dropped


def test_the_second_route_drops_estimates_too(duckdb_macros: Macros) -> None:
    duckdb_macros.connection.execute(
        "create table estimates.gate_second_route as"
        " select 'critical' as severity, false as success"
    )
    duckdb_macros.call("drop_held_estimates")
    assert schemas_of(duckdb_macros) == {"gates"}
    (said,) = duckdb_macros.messages
    assert said.endswith("estimates and reports were dropped. See estimates.gate_second_route.")


def test_a_run_reports_failing_rows_causes_first_and_synthetic_input(duckdb_macros: Macros) -> None:
    duckdb_macros.connection.execute(
        """
        insert into gates.gate_results values
            ('warning', 'a', 'Third.', false, '[3]', 'x'),
            ('critical', 'b', 'Second.', false, null, '2 rows'),
            ('critical', 'causes', 'First.', false, '[1]', 'x'),
            ('critical', 'a', 'Passed.', true, null, '');
        create table raw.raw_deliveries as
        select 'sample' as extract_set, 'synthetic' as extract_set_kind from range(2)
        """
    )
    results = [
        SimpleNamespace(status=status, node=SimpleNamespace(name=name, compiled_code=code))
        for status, name, code in (
            ("fail", "rules", "select 1 as row_number, null as city, 'x' as value from range(30)"),
            ("pass", "others", "select 1"),
            ("fail", "no_critical_failure_gate", "select 1"),
        )
    ]
    duckdb_macros.call("report_run", results)
    failing, gate = duckdb_macros.messages[:20], duckdb_macros.messages[20:23]
    assert {*failing} == {"rules failed: row_number 1, value x"}
    assert gate == [
        "gate critical: causes: First. [1]",
        "gate critical: b: Second. 2 rows",
        "gate warning: a: Third. [3]",
    ]
    (said,) = duckdb_macros.messages[23:]
    assert said.startswith("Extract set sample is SYNTHETIC: its numbers are not real.")
    duckdb_macros.messages.clear()
    duckdb_macros.connection.execute("delete from gates.gate_results")
    duckdb_macros.connection.execute("update raw.raw_deliveries set extract_set_kind = 'delivered'")
    duckdb_macros.environment.globals["var"] = lambda name, default=None: {
        "as_of_delivery": 3,
        "suite_of_causes": "causes",
    }[name]
    duckdb_macros.call("report_run", [])
    assert duckdb_macros.messages == [
        "Extract set sample contains delivered files.",
        "This build uses the files as they were after delivery 3.",
    ]


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ((None, None, None), {}, (2010, 2020, 2020)),
        ((2005, 2015, 2012), {}, (2005, 2015, 2012)),
        ((2005, 2015, None), {}, (2005, 2015, 2015)),
        ((2012, 2015, 2011), {}, (2012, 2015, 2012)),
        ((2005, 2015, 2012), {"first_year": 2010}, (2010, 2015, 2012)),
    ],
)
def test_the_command_line_precedes_the_extract_set_and_that_the_project(
    declared: tuple[int | None, ...],
    given: dict[str, int],
    expected: tuple[int, ...],
    duckdb_macros: Macros,
) -> None:
    names = ("first_year", "last_year", "base_year")
    defaults = dict(zip(names, (2010, 2020, 2020), strict=True))
    duckdb_macros.connection.execute(
        "create table raw_extract_set"
        " (extract_set text, first_year int, last_year int, base_year int)"
    )
    row = ["set's", *declared]
    duckdb_macros.connection.execute("insert into raw_extract_set values (?, ?, ?, ?)", row)
    duckdb_macros.environment.globals |= {
        "invocation_args_dict": {"vars": given},
        "model": SimpleNamespace(resource_type="model"),
        "period": duckdb_macros.macros["period"],
        "var": (defaults | given).__getitem__,
    }
    assert tuple(duckdb_macros.call("period", name) for name in names) == expected
    assert duckdb_macros.call("extract_set") == "'set''s'"
    duckdb_macros.environment.globals["model"] = SimpleNamespace(resource_type="unit_test")
    assert duckdb_macros.call("extract_set") == "''"
    assert duckdb_macros.call("declared_year", "first_year") == (defaults | given)["first_year"]


def test_a_register_has_the_columns_that_its_provider_declares(duckdb_macros: Macros) -> None:
    duckdb_macros.environment.globals |= {
        "model": SimpleNamespace(resource_type="model"),
        "var": {"register_providers": {"firm_register": ["p", "q", "r"]}}.get,
    }
    place = {"code": "c", "name": "n"}
    duckdb_macros.connection.execute(
        "create table raw_declared_sources as from ("
        " values ('p', 'firm_register', 'exit industry', ?), ('q', 'firm_register', 'exit', null),"
        " ('p', 'patent_register', 'other', null))"
        " as t (provider, entity, lacks, place)",
        [json.dumps(place)],
    )
    declared = {
        provider: duckdb_macros.call("register_declaration", provider, "firm_register")
        for provider in ("p", "q", "r")
    }
    assert declared == {
        "p": {"lacks": ["exit", "industry"], "place": place},
        "q": {"lacks": ["exit"], "place": {}},
        "r": {"lacks": [], "place": {}},
    }
    duckdb_macros.connection.execute(
        "create table raw_register_files as from (values ('r', 'firm_register', 'one'),"
        " ('q', 'firm_register', 'two'), ('p', 'patent_register', 'three'))"
        " as t (provider, entity, store_key)"
    )
    assert duckdb_macros.call("register_providers_at_hand", "firm_register") == ["q", "r"]
    duckdb_macros.connection.execute("delete from raw_register_files")
    assert duckdb_macros.call("register_providers_at_hand", "firm_register") == ["p"]
    duckdb_macros.environment.globals["load_relation"] = lambda _: None
    assert duckdb_macros.call("register_providers_at_hand", "firm_register") == ["p", "q", "r"]


def test_a_file_is_read_again_if_a_rule_changed_and_dropped_if_it_left(
    duckdb_macros: Macros,
) -> None:
    duckdb_macros.connection.execute(
        """
        create table raw_register_files as select unnest(['kept', 'old', 'new']) as store_key;
        create table counts as from (
            values ('kept', 'rules'), ('old', 'other rules'), ('gone', 'rules')
        ) as t (store_key, rules)
        """
    )
    listed = duckdb_macros.call("new_files")
    assert {*listed.strip("()").split(", ")} == {"''", "'old'", "'new'"}
    duckdb_macros.connection.execute(duckdb_macros.call("default__forget_files"))
    assert duckdb_macros.connection.execute("from counts").fetchall() == [("kept", "rules")]
    duckdb_macros.environment.globals["is_incremental"] = lambda: False
    assert duckdb_macros.call("default__forget_files") == ""
    assert duckdb_macros.call("kept_by_file") == ""
    assert duckdb_macros.configured == [
        {
            "materialized": "incremental",
            "incremental_strategy": "append",
            "on_schema_change": "sync_all_columns",
            "pre_hook": "{{ forget_files() }}",
        }
    ]


def key_of_rules(**changes: Any) -> str:
    """Return the key of a model that reads a seed through another model, and calls two macros."""
    texts = {"direct": "a", "nested": "b", "unused": "c", **changes}
    nodes = {
        name: SimpleNamespace(
            checksum=SimpleNamespace(checksum=changes.get(name, name)),
            depends_on=SimpleNamespace(macros=macros, nodes=parents, get={"nodes": parents}.get),
        )
        for name, parents, macros in (
            ("own", ["middle", "source"], ["macro.study.direct", "macro.dbt.other"]),
            ("middle", ["seed"], []),
            ("seed", [], []),
            ("sibling", ["seed"], []),
        )
    }
    called = {"direct": ["macro.study.nested", "macro.study.direct"], "nested": [], "unused": []}
    macros = Macros("default")
    macros.environment.globals |= {
        "context": {
            name: SimpleNamespace(
                macro=SimpleNamespace(
                    macro_sql=texts[name], depends_on=SimpleNamespace(macros=called[name])
                )
            )
            for name in called
        },
        "graph": SimpleNamespace(nodes=nodes),
        "model": SimpleNamespace(unique_id="own"),
        "period": {"first_year": changes.get("first", 2010), "last_year": 2020}.__getitem__,
        "project_name": "study",
    }
    return str(macros.call("rules_key"))


def test_a_key_of_rules_changes_with_every_model_and_macro_above_and_with_nothing_else() -> None:
    assert key_of_rules() == key_of_rules(sibling="changed", unused="changed") != ""
    changed = ({"own": "x"}, {"middle": "x"}, {"seed": "x"}, {"direct": "x"}, {"nested": "x"})
    assert (
        len({key_of_rules(), key_of_rules(first=2009), *(key_of_rules(**x) for x in changed)}) == 7
    )


def test_comments_describe_existing_columns_and_say_why_a_table_is_empty(
    duckdb_macros: Macros,
) -> None:
    def column(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, description=f"It's {name}.")

    model = SimpleNamespace(
        description="Rows. ",
        columns={name: column(name) for name in ("a", "absent")},
        config=SimpleNamespace(meta={"why_empty": "No file."}),
    )
    is_asked = {"relation": True, "columns": True}
    duckdb_macros.environment.globals |= {
        "alter_relation_comment": "comment on table {} is '{}';".format,
        "config": SimpleNamespace(
            persist_relation_docs=lambda: is_asked["relation"],
            persist_column_docs=lambda: is_asked["columns"],
        ),
        "duckdb_escape_comment": lambda text: "'" + text.replace("'", "''") + "'",
        "invocation_args_dict": SimpleNamespace(empty=False),
    }

    def comments() -> tuple[str | None, str | None]:
        duckdb_macros.connection.execute("create or replace table empty (a int, b int)")
        if not is_asked.get("empty", True):
            duckdb_macros.connection.execute("insert into empty values (1, 2)")
        duckdb_macros.call("duckdb__persist_docs", "empty", model, True, True)
        of_table, of_column = (
            duckdb_macros.connection.execute(
                f"select comment from duckdb_{kind}() where table_name = 'empty' limit 1"
            ).fetchone()
            for kind in ("tables", "columns")
        )
        return of_table[0], of_column[0]

    assert comments() == ("Rows.\n\nEmpty here: No file.", "It's a.")
    is_asked["empty"] = False
    assert comments() == ("Rows. ", "It's a.")
    is_asked |= {"columns": False}
    assert comments() == ("Rows. ", None)
    is_asked |= {"columns": True, "relation": False}
    assert comments() == (None, "It's a.")
