"""Tests for a delivered concordance, which links patent classes (IPC) to industries."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import Project, fault, recorded

DECLARATION = PROJECT / "models/staging/fraunhofer/fraunhofer.toml"
DELIVERED = "concordance/nace_ipc.xlsx"
# Numbers of the 88 divisions of NACE Rev. 2, which are not consecutive.
DIVISIONS = sorted({*range(1, 100)} - {4, 34, 40, 44, 48, 54, 57, 67, 76, 83, 89})
# NACE Rev. 2 divisions in each scope. Industry covers sections B to E of GB/T 4754, which include
# construction.
SCOPES = {"industry": {*range(5, 38), 41, 42, 43}, "manufacturing": {*range(10, 34)}}


def test_each_class_of_a_delivered_table_has_its_share_of_each_scope(fresh: Build) -> None:
    """The share of a patent class in a scope is the sum of its industry probabilities.

    The table has the shape of the real one, but random probabilities.
    """
    (declared,) = tomllib.loads(DECLARATION.read_text(encoding="utf-8"))["sources"]
    classes = [column for column in declared["columns"] if column != "NACE"]
    drawn = np.random.default_rng(5).dirichlet(np.full(len(DIVISIONS), 0.1), len(classes))
    table = pd.DataFrame(drawn.T, columns=classes, index=pd.Index(DIVISIONS, name="NACE"))
    (fresh.extracts / "concordance").mkdir(parents=True)
    table.to_excel(fresh.extracts / DELIVERED, sheet_name="invented")
    fresh.models("fct_row_accounting")
    staged = fresh.compiled("stg_fraunhofer__industry_concordance")
    found = fresh.rows(
        f"select scope, ipc_class, sum(probability) from ({staged}) inner join seeds.nace_sections"
        " using (nace_division) inner join seeds.industry_scopes using (section) group by all"
    )
    shares = {(scope, name): share for scope, name, share in found if scope in SCOPES}
    assert shares == pytest.approx(
        {
            (scope, name): share
            for scope, divisions in SCOPES.items()
            for name, share in table[table.index.isin(divisions)].sum().items()
        }
    )
    accounted = "select disposition, row_count from marts.fct_row_accounting where file_path = ?"
    assert fresh.rows(accounted, DELIVERED) == [("used", 88)]


SHARES = """
    [[sources]]
    name = "shares"
    entity = "shares"
    files = "shares/*"
    key = ["NACE"]
    column_sum = 1
    [sources.columns]
    NACE = "integer"
    A01 = "number"
    G06 = "number"
"""


def test_a_column_that_does_not_add_to_one_is_refused_with_its_file_name_and_sum(
    project: Project,
) -> None:
    project.declare(SHARES, "fraunhofer")
    good = [("NACE", "A01", "G06"), (1, 0.25, 0.1), (26, 0.25, 0.7), (62, 0.5, 0.2)]
    project.deliver_workbook("shares/good.xlsx", invented=good)
    assert recorded("record_count") == [(3,)]

    project.deliver_workbook("shares/bad.xlsx", invented=[*good[:3], (62, 0.5, 0.3)])
    assert (
        fault() == "shares/bad.xlsx, column G06: the 3 numbers in this column add up to 1.1, but"
        " column_sum in fraunhofer.toml requires 1. Ask the provider for the file again."
    )
