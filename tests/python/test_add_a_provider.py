"""The walk-through of docs/add_a_provider.md, followed to the letter."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT, Build


def blocks() -> dict[str, str]:
    """Return the fenced blocks of the page by what their first line says."""
    page = (PROJECT / "docs/add_a_provider.md").read_text(encoding="utf-8")
    found = re.findall(r"```\w+\n(?:#|--) (.+?)\n(.*?)```", page, flags=re.DOTALL)
    return dict(found)


def copy_of_the_project(folder: Path) -> Path:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def test_a_new_provider_feeds_its_series(sample_build: Build, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    told = blocks()
    for name in ("models/staging/gazette/gazette.toml", "models/staging/gazette/stg_gazette__city_yearbook.sql"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(told.pop(name), encoding="utf-8")
    with (project / "seeds/series_sources.csv").open("a", encoding="utf-8") as seed:
        seed.write(told.pop("seeds/series_sources.csv"))
    configuration = project / "dbt_project.yml"
    (line,) = told.pop("dbt_project.yml: vars: providers").splitlines()
    changed = re.sub(r"^    city_yearbook: .*$", line, configuration.read_text(encoding="utf-8"), flags=re.MULTILINE)
    configuration.write_text(changed, encoding="utf-8")
    assert told == {}

    extracts = Path(shutil.copytree(sample_build.extracts, tmp_path / "sample"))
    (extracts / "gazette").mkdir()
    with (extracts / "gazette/population.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["区划代码", "年份", "户籍人口(人)"])
        writer.writerows(
            (city_id, year, round(population * 10000) + 7)
            for city_id, year, population in sample_build.rows(
                "select city_id, year, registered_population_10k from marts.fct_city_year_panel "
                "where registered_population_10k is not null"
            )
        )

    built = Build(extracts, tmp_path / "warehouse.duckdb", tmp_path / "scratch", project, excluded="unit_test").dbt(
        "build"
    )

    assert built.exit_code == 0, built.output
    provider = "select provider from marts.dim_series where series = 'registered_population_10k'"
    assert sample_build.value(provider) == "vendor"
    assert built.value(provider) == "gazette"
    shenzhen = (
        "select registered_population_10k from marts.fct_city_year_panel where city_id = '440300' and year = 2020"
    )
    assert built.value(shenzhen) == pytest.approx(sample_build.value(shenzhen) + 0.0007, abs=1e-9)
    traced = built.command("trace", "--specification", "table_1_col_1", "--city", "440300", "--year", "2020")
    assert "gazette/population.csv, row " in traced.stdout
