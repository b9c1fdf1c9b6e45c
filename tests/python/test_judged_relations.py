"""Test that estimates only read tables checked by the gate, and that stale tables are reported."""

import datetime

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.gate import validation
from tests.python import models
from tests.python.conftest import Build

PASSED = pd.DataFrame(
    {"suite": ["s"], "severity": ["critical"], "success": [True], "description": ["d"]}
)


@pytest.mark.parametrize(
    "change",
    [
        "update judged set x = 3 where x = 2",
        "insert into judged values (4)",
        "delete from judged where x = 1",
    ],
)
def test_a_table_that_changed_since_it_was_judged_is_refused_with_the_way_out(change: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("create table judged as from (values (1), (2)) as t (x)")
        kept = validation.fingerprint_relations(judged=connection.table("judged")).to_pandas()
        connection.execute("create or replace table judged as from (values (2), (1)) as t (x)")
        validation.check_gate(PASSED, kept, judged=connection.table("judged"))
        connection.execute(change)
        refused = (
            r"^These tables changed or were rebuilt after.+: judged, other\. .+"
            r"Run `dbt build`, or `dbt build --select judged\+ other\+`\.$"
        )
        with pytest.raises(validation.GateFailedError, match=refused):
            validation.check_gate(
                PASSED, kept, judged=connection.table("judged"), other=connection.table("judged")
            )


GATED = ("gate_results", "int_stale_relations")


def stale_relations(
    sample_build: Build, built: list[tuple[str, str, int, list[str]]]
) -> pd.DataFrame:
    """Return the tables that are older than their inputs, given a list of recorded builds."""
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(
            "create table raw.built_relations (node text, relation text, built_at timestamp, inputs"
            " text[])"
        )
        for name, relation, day, inputs in built:
            row = [name, relation, datetime.datetime(2026, 1, day), inputs]
            connection.execute("insert into raw.built_relations values (?, ?, ?, ?)", row)
            if not relation.endswith(".csv") and name != "gone":
                connection.execute(f"create schema if not exists {relation.partition('.')[0]}")
                connection.execute(f"create table if not exists {relation} (x integer)")
        compiled = sample_build.compiled("int_stale_relations")
        return connection.execute(f"from ({compiled}) order by node, input_node").df()


def test_what_is_older_than_its_inputs_is_named_and_not_judged(sample_build: Build) -> None:
    stale = stale_relations(
        sample_build,
        [
            ("fct_ai_measure", "marts.fct_ai_measure", 2, ["int_series_conformed"]),
            ("int_series_conformed", "intermediate.int_series_conformed", 1, []),
            ("int_series_conformed", "intermediate.int_series_conformed", 3, []),
            ("fct_spatial_trend", "marts.fct_spatial_trend", 2, ["int_series_conformed", "gone"]),
            ("gone", "marts.gone", 4, []),
        ],
    )
    named = stale[["node", "input_node", "is_judged"]].values.tolist()
    assert named == [
        ["fct_ai_measure", "int_series_conformed", True],
        ["fct_spatial_trend", "int_series_conformed", False],
    ]
    refused = (
        r"^marts\.fct_ai_measure is older than intermediate\.int_series_conformed\.\n"
        r"Run `dbt build`, or `dbt build --select int_series_conformed\+`\.$"
    )
    with pytest.raises(validation.GateFailedError, match=refused):
        validation.check_order(stale[stale["is_judged"]])


def test_a_seed_whose_file_was_edited_since_it_was_loaded_is_in_the_command(
    sample_build: Build,
) -> None:
    """Undoing an edit of a seed file makes the table loaded from the edited file stale."""
    path = "seeds/city_groupings.csv"
    stale = stale_relations(
        sample_build,
        [
            (path, path, 1, ["as it was"]),
            (path, path, 2, ["edited"]),
            ("city_groupings", "seeds.city_groupings", 3, [path]),
            ("dim_city_groups", "marts.dim_city_groups", 4, ["city_groupings"]),
            (path, path, 5, ["as it was"]),
        ],
    )
    refused = (
        r"^seeds\.city_groupings is older than seeds/city_groupings\.csv\.\n"
        r"Run `dbt build`, or `dbt build --select city_groupings\+`\.$"
    )
    with pytest.raises(validation.GateFailedError, match=refused):
        validation.check_order(stale[stale["is_judged"]])


def test_every_python_model_after_the_gate_refuses_what_the_gate_refused(
    sample_build: Build,
) -> None:
    assert sample_build.manifest is not None
    nodes = models.nodes_of(sample_build.manifest)
    gate, stale = (f"model.ai_manufacturing.{name}" for name in GATED)
    failed = f"(select * replace (false as success) from {nodes[gate]['relation_name']})"
    older = "(select 'a' as node, 'b' as input_node, * from (values ('a', 'b', true)) as "
    older += "t (relation, input_relation, is_judged))"
    refusing = nodes | {
        gate: nodes[gate] | {"relation_name": failed},
        stale: nodes[stale] | {"relation_name": older},
    }
    after = [
        node
        for node in nodes.values()
        if node.get("language") == "python" and gate in node["depends_on"]["nodes"]
    ]
    with duckdb.connect(sample_build.warehouse, read_only=True) as connection:
        for node in after:
            with pytest.raises(validation.GateFailedError):
                models.Run(refusing, connection).python(node)
    assert len(after) == 14


def test_a_build_logs_each_seed_file_with_its_checksum(sample_build: Build) -> None:
    assert sample_build.manifest is not None
    seeds = {
        node["original_file_path"]: node["checksum"]["checksum"]
        for node in models.nodes_of(sample_build.manifest).values()
        if node["resource_type"] == "seed"
    }
    logged = sample_build.rows(
        "select node, arg_max(inputs[1], built_at) from raw.built_relations where node = relation"
        " group by node"
    )
    assert dict(logged) == seeds
