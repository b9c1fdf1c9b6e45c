"""Patents to industries by the probabilities of another concordance: its table, and the counts that
follow from it.
"""

import os
import shutil
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from tests.python import test_registers
from tests.python.conftest import PROJECT, PUBLIC_EXTRACTS, Build
from tests.python.landing_project import Project, fault, recorded
from tests.python.test_registers import seed, tagged, usable_patents

register_build = test_registers.register_build
REAL = PROJECT / os.environ.get(
    "CONCORDANCE", str(PUBLIC_EXTRACTS.parent / "concordance/nace_ipc.xlsx")
)
DECLARATION = PROJECT / "models/staging/fraunhofer/fraunhofer.toml"
DELIVERED = "concordance/nace_ipc.xlsx"
# Sections B to E of GB/T 4754 as divisions of NACE Rev. 2: mining to sewerage, and construction.
SCOPES = {"industry": {*range(5, 38), 41, 42, 43}, "manufacturing": {*range(10, 34)}}


def classes() -> list[str]:
    (declared,) = tomllib.loads(DECLARATION.read_text(encoding="utf-8"))["sources"]
    return [column for column in declared["columns"] if column != "NACE"]


def invented(path: Path) -> None:
    """Write a table of the real one's shape; its probabilities are drawn, and its sheet says so."""
    divisions = [int(row["nace_division"]) for row in seed("nace_sections")]
    drawn = np.random.default_rng(5).dirichlet(np.full(len(divisions), 0.1), len(classes()))
    path.parent.mkdir(parents=True)
    pd.DataFrame(drawn.T, columns=classes()).assign(NACE=divisions)[["NACE", *classes()]].to_excel(
        path, sheet_name="invented", index=False
    )


def real(path: Path) -> None:
    if not REAL.is_file():
        pytest.skip("the table of the concordance is not here; set CONCORDANCE to its file")
    path.parent.mkdir(parents=True)
    shutil.copy(REAL, path)


def shares(path: Path) -> dict[str, dict[str, float]]:
    """Return the share of each scope in each class, by a second reader."""
    with closing(openpyxl.load_workbook(path, read_only=True)) as workbook:
        header, *rows = workbook.active.iter_rows(values_only=True)
    return {
        scope: {
            name: sum(row[at] for row in rows if int(row[0]) in divisions)
            for at, name in enumerate(header)
            if name != "NACE"
        }
        for scope, divisions in SCOPES.items()
    }


def weighted(register: Path, of_class: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Count the inventions of a register with the probabilities of their classes, with pandas."""
    patents = usable_patents(register)
    patents = patents[patents["专利类型"] == "发明"]
    is_ai = tagged(patents["专利名称"], "patent_register")
    counts = []
    for scope, share in of_class.items():
        weight = patents["IPC主分类号"].str[:3].map(share)
        for year in range(2010, 2021):
            flags = {
                "invention_application_count": patents["申请日"].dt.year == year,
                "invention_grant_count": patents["授权日"].dt.year == year,
            }
            flags |= {f"ai_{name}": flag & is_ai for name, flag in flags.items()}
            parts = pd.DataFrame({name: flag * weight for name, flag in flags.items()})
            counts.append(parts.groupby(patents["城市代码"]).sum().assign(scope=scope, year=year))
    return (
        pd.concat(counts)
        .rename_axis("city_id")
        .set_index(["scope", "year"], append=True)
        .sort_index()
    )


@pytest.mark.soak
@pytest.mark.parametrize("deliver", [invented, real])
def test_weighted_counts_of_a_register_equal_those_of_another_route(
    deliver: Callable[[Path], None], register_build: Build, fresh: Build, tmp_path: Path
) -> None:
    fresh.extracts = Path(shutil.copytree(register_build.extracts, tmp_path / "registers"))
    deliver(fresh.extracts / DELIVERED)
    fresh.landing = Path(shutil.copytree(register_build.scratch / "landing", tmp_path / "landing"))
    shutil.copy(register_build.warehouse, fresh.warehouse)
    expected = weighted(register_build.extracts, shares(fresh.extracts / DELIVERED))

    assert fresh.models("int_series_corrected", "fct_row_accounting").failed == {}
    delivered = (
        "select city_id, scope, year, series, delivered_value from"
        " intermediate.int_series_corrected where provider = 'fraunhofer'"
    )
    found = fresh.frame(f"pivot ({delivered}) on series using sum(delivered_value)")
    found = found.set_index(["city_id", "scope", "year"]).sort_index()
    pd.testing.assert_frame_equal(
        found[found.sum(axis=1) > 0],
        expected[expected.sum(axis=1) > 0],
        check_index_type=False,
        check_like=True,
        check_dtype=False,
        rtol=1e-9,
    )
    assert found["ai_invention_application_count"].sum() > 1
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
        fault()
        == "shares/bad.xlsx, column G06: its 3 numbers add to 1.1, not to 1, which column_sum in"
        " fraunhofer.toml declares. Ask the provider for the file again."
    )
