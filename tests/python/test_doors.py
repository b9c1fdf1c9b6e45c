"""Small doors: what DuckDB may reach, who may read a release, and what a page may load."""

import re
from pathlib import Path

import duckdb
import pytest

from ai_manufacturing import duckdb_client
from tests.python.conftest import PROJECT, Build

# ---------------------------------------------------------------- DuckDB


@pytest.mark.parametrize(
    "statement",
    [
        "from read_text('/etc/hostname')",
        "copy (select 1) to '{folder}/out.csv'",
        "attach '{folder}/other.duckdb' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
    ],
)
def test_a_connection_reaches_no_file_but_its_own(statement: str, sample_build: Build, tmp_path: Path) -> None:
    with duckdb_client.connect(str(sample_build.warehouse), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.dim_city").fetchall() == [(367,)]
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nothing_opens_duckdb_but_the_one_place_that_closes_its_doors() -> None:
    opening = re.compile(r"\bduckdb\.connect\(")
    sources = [
        *(PROJECT / "src").rglob("*.py"),
        *(PROJECT / "benchmarks").rglob("*.py"),
        *(PROJECT / "python_models").rglob("*.py"),
    ]
    assert [path.name for path in sources if opening.search(path.read_text(encoding="utf-8"))] == ["duckdb_client.py"]
