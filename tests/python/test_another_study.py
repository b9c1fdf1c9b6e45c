"""Another study, put in by seeds, staging and contracts alone, goes the way to a first page."""

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.planted_faults import copy_of_the_project
from tests.python.conftest import PROJECT, Build

pytestmark = [pytest.mark.door, pytest.mark.soak]
STUDY = PROJECT / "tests/fixtures/another_study"
PAGE = PROJECT / "docs/how_to/another_study.md"
ROBOTS_ON_WAGES = 0.2  # log points a log, from which the wages were drawn


def seeds_without_rows() -> list[str]:
    """Return the seeds of which the page says that only the header stays."""
    (words,) = (part for part in PAGE.read_text(encoding="utf-8").split("\n3. ")[1:])
    names = words.partition("**Bring**")[0].split("`")[1::2]
    assert len(names) == 23
    return names


def put_in_place(project: Path) -> Path:
    """Do what the page says, in a copy of the project."""
    copy_of_the_project(project)
    for folder in [path for path in project.rglob("paper") if path.is_dir()]:
        shutil.rmtree(folder)
    shutil.rmtree(project / "models/staging")
    for name in seeds_without_rows():
        seed = project / f"seeds/{name}.csv"
        header = seed.read_text(encoding="utf-8").splitlines()[0]
        seed.write_text(f"{header}\n", encoding="utf-8")
    shutil.copytree(STUDY, project, dirs_exist_ok=True)
    declared = project / "dbt_project.yml"
    content = yaml.safe_load(declared.read_text(encoding="utf-8"))
    content["vars"] |= yaml.safe_load((project / "vars.yml").read_text(encoding="utf-8"))
    declared.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return project


def test_forty_regions_go_to_verdicts_a_release_exports_and_a_first_page(tmp_path: Path) -> None:
    project = put_in_place(tmp_path / "project")
    build = Build(project / "extracts", tmp_path / "warehouse.duckdb", tmp_path, project)
    releases, site, exports = (tmp_path / name for name in ("releases", "site", "exports"))
    environment = build.environment | {
        "PYTHONPATH": f"{project / 'src'}:{project}",
        "RELEASE_DIR": str(releases),
        "SITE_DIR": str(site),
    }
    for words in (["refresh"], ["export", "--format", "latex", "--out", str(exports)]):
        command = [str(Path(sys.executable).parent / "ai-manufacturing"), *words]
        ran = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    with duckdb.connect(str(releases / "ai_manufacturing.duckdb"), read_only=True) as release:
        estimates = release.execute(
            "select specification_id, estimate, conf_low_province, conf_high_province,"
            " observation_count from reports.rpt_coefficients where term = 'robots'"
        ).fetchall()
        verdicts = release.execute(
            "select specification_id, verdict from reports.rpt_verdicts order by 1"
        ).fetchall()
        (claim,) = release.execute(
            "select sentence from reports.rpt_findings where finding = 'claim'"
        ).fetchone() or ("",)
    by_name = {name: numbers for name, *numbers in estimates}
    for name in ("wages_1", "wages_2"):
        _, low, high, observations = by_name[name]
        assert low < ROBOTS_ON_WAGES < high
        assert observations == 400
    _, low, high, _ = by_name["jobs_1"]
    assert low < 0 < high, "no effect was drawn"
    assert verdicts == [("jobs_1", "not_found"), ("wages_1", "holds"), ("wages_2", "holds")]
    assert claim.startswith("Wages rise with robots: 0.20")
    assert claim in (site / "index.html").read_text(encoding="utf-8")
    use = (site / "use.html").read_text(encoding="utf-8")
    for words in ("Wages and robots of forty regions", "Doe, Ann", "@misc{doe_2024,"):
        assert words in use
    assert "Zhu" not in use
    assert "Robots alone" in (exports / "wages.tex").read_text(encoding="utf-8").replace(
        "\\\\", " "
    )
