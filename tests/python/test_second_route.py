"""Test the second, independent computation of estimates, and that the gate finds differences."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import duckdb
import jinja2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.gate import validation
from ai_manufacturing.robustness import second_route
from tests.lib import in_memory
from tests.python.conftest import PROJECT, Build
from tests.python.test_estimates import read_tables, rows_of

PROVINCE_STATISTICS = "table_1_col_1_province"


@pytest.mark.parametrize("extracts", ["sample_build", "public_build"])
def test_every_printed_column_with_two_way_effects_is_estimated_twice(
    extracts: str,
    request: pytest.FixtureRequest,
) -> None:
    build: Build = request.getfixturevalue(extracts)
    printed = build.rows(
        "select distinct c.specification_id from reports.rpt_coefficients as c inner join"
        " seeds.published_estimates as p on c.table_id = p.table_id and c.column_number ="
        " p.column_number where c.reading = 'default' and c.status <> 'not_estimable' and"
        " c.estimator in ('fixed_effects', 'event_study')"
    )
    compared = build.rows("select distinct specification_id from estimates.est_route_differences")
    assert set(compared) == {*printed, (PROVINCE_STATISTICS,)}
    assert {"table_1_col_1", "table_4_col_3", "table_5_col_1"} <= {name for (name,) in compared}
    terms = "select count(*) from reports.rpt_coefficients where specification_id in "
    terms += "(select specification_id from estimates.est_route_differences)"
    found = build.rows("select success, checked_count, severity from gates.gate_second_route")
    assert found == [(True, build.value(terms), "critical")] * 3


@pytest.fixture(scope="module")
def inputs_of(sample_build: Build) -> Callable[..., Inputs]:
    """Return a function that derives estimator inputs from rows of the specification seed."""

    @cache
    def derived(*names: str, **changed: str) -> Inputs:
        return in_memory.inputs(rows_of(*names, **changed), read_tables(sample_build))

    return derived


def compared(first: pa.Table, second: pa.Table) -> pd.DataFrame:
    """Return est_route_differences for given tables of the two routes."""
    path = PROJECT / "python_models/estimates/est_route_differences.sql"
    template = jinja2.Template(path.read_text(encoding="utf-8"))
    with duckdb.connect() as connection:
        for name, table in (("est_coefficients", first), ("est_second_route", second)):
            connection.register(name, table)
        return connection.execute(template.render(ref=str, extract_set=lambda: "'in memory'")).df()


def judged(inputs: Inputs) -> dict[str, bool]:
    """Estimate by both implementations, and return whether each comparison of the gate passes."""
    read = specifications.read_specifications(inputs.specifications)
    first, second = (
        tables.estimate_coefficients(read, inputs),
        second_route.estimate_second_route(read, inputs),
    )
    found = validation.validate(compared(first, second), "second_route").to_pandas()
    return {json.loads(row.arguments)["column"]: row.success for row in found.itertuples()}


def a_larger_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fixed_effects.cluster_factor
    monkeypatch.setattr(
        fixed_effects,
        "cluster_factor",
        lambda *counts: (1 + 1e-7) * right(*counts),
    )


def another_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fixed_effects.fit_least_squares

    def wrong(regression: fixed_effects.PartialledOut) -> fixed_effects.LeastSquares:
        fitted = right(regression)
        return fitted._replace(slopes=fitted.slopes * (1 + 1e-7))

    monkeypatch.setattr(fixed_effects, "fit_least_squares", wrong)


def a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("absorbed")

    monkeypatch.setattr(second_route, "fit_panel_ols", refuse)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    monkeypatch.setenv("EXTRACTS_DIR", str(tmp_path))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("harm", "changed", "failing"),
    [
        (lambda _: None, {}, set()),
        (a_larger_factor, {}, {"std_error_difference"}),
        (another_slope, {}, {"estimate_difference"}),
        (a_refusal, {}, {"is_in_both"}),
        # A specification that neither implementation can estimate passes the comparison.
        (lambda _: None, {"controls": "ln_unit_employment ln_unit_employment"}, set()),
    ],
)
def test_the_gate_finds_a_route_that_gives_other_numbers(
    harm: Callable[[pytest.MonkeyPatch], None],
    changed: dict[str, str],
    failing: set[str],
    inputs_of: Callable[..., Inputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = inputs_of("table_1_col_1", PROVINCE_STATISTICS, "table_5_col_2", **changed)
    harm(monkeypatch)
    assert {column for column, success in judged(inputs).items() if success is False} == failing


def test_routes_are_compared_term_by_term_in_shares_of_the_first() -> None:
    """Each row has a specification, a term, estimates with errors, and the result, if compared."""
    rows = [
        ("a", "m", (2, 1), (2.5, 1.2), (True, 0.25, 0.2)),
        ("b", "m", (0.1, 0.5), (0.2, 0.5), (True, 0.2, 0)),
        ("c", "m", (0.5, None), (1, 0.1), (True, 1, None)),
        ("d", "m", (1, 0.5), (1.5, 0.6), (True, 0.5, 0.2)),
        ("d", "n", (1, 0.5), None, (False, None, None)),
        ("d", "o", None, (1, 0.5), (False, None, None)),
        ("d", "p", (1, None), None, (False, None, None)),
        ("e", "m", (1, 0.5), (1, None), (False, 0, None)),
        ("f", "m", (0, 0), (0, 0), (True, None, None)),
        # Only one of the routes can estimate these specifications.
        ("g", "m", (None, None), (1, 0.5), None),
        ("h", "m", (1, 0.5), None, None),
    ]
    names = ("specification_id", "term", "estimate", "std_error")
    first, second = (
        pa.Table.from_pylist(
            [dict(zip(names, (*row[:2], *row[at]), strict=True)) for row in rows if row[at]]
        )
        for at in (2, 3)
    )
    found = compared(first, second).set_index(["specification_id", "term"]).sort_index()
    expected = {row[:2]: row[4] for row in rows if row[4]}
    assert [*found.index] == [*expected]
    results = found[["is_in_both", "estimate_difference", "std_error_difference"]]
    wanted = np.array([*expected.values()], dtype=float)
    np.testing.assert_allclose(results.to_numpy(dtype=float), wanted, atol=1e-12)
