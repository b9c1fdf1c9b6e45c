"""Test that a second study can be built from its declaration alone, up to its site."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.python.conftest import PROJECT, Build

DECLARED = PROJECT / "studies/robots"
# True elasticity of wages with respect to robots in the simulated data.
ROBOTS_ON_WAGES = 0.2
# Words specific to the paper, which must not occur on the site of another study.
PAPERS_WORDS = re.compile(
    r"\bAI\b|\bai_(?:firm|patent)|artificial intelligence|人工智能|[Tt]able 1 |表 ?1第|\bZhu\b"
    r"|[Pp]atent|专利|Shenzhen|深圳"
)
# The package's name is allowed, because every study's pages and file names contain it.
NAMES_OF_THE_PACKAGE = re.compile("ai[-_]manufacturing")
TEXTS = {".html", ".js", ".json", ".csv", ".md", ".tex", ".do", ".R", ".py", ".sql", ".bib"}
OTHERS_SCRIPT = "vega.js"


def git_status() -> str:
    """Return the changed and untracked files that `git status` lists."""
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(status, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


@pytest.mark.door
@pytest.mark.soak
def test_forty_regions_go_to_verdicts_a_release_exports_and_a_first_page(tmp_path: Path) -> None:
    before = git_status()
    study = tmp_path / "robots"
    for name in ("study.toml", "seeds/cities.csv", "extracts"):
        copy(DECLARED / name, study / name)
    build = Build(study / "extracts", tmp_path / "warehouse.duckdb", tmp_path)
    releases, site, exports = (tmp_path / name for name in ("releases", "site", "exports"))
    # Unset these variables, so that commands find the study by the working directory alone.
    unset = {"DBT_PROJECT_DIR", "DBT_PROFILES_DIR", "RELEASE_PATH"}
    environment = {name: text for name, text in build.environment.items() if name not in unset}
    environment |= {"RELEASE_DIR": str(releases), "SITE_DIR": str(site)}

    def run(folder: Path, *words: str) -> str:
        program = Path(sys.executable).parent / words[0]
        ran = subprocess.run(
            [str(program), *words[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    run(PROJECT, "ai-manufacturing", "new-study", str(study))
    run(study, "ai-manufacturing", "refresh")
    run(study, "ai-manufacturing", "export", "--format", "latex", "--out", str(exports))
    assert "trace --specification wages_1" in run(study, "ai-manufacturing", "trace", "-h")
    listed = run(PROJECT, "dbt", "--quiet", "ls", "--project-dir", str(study), "--output", "path")
    assert "/models/marts/fct_city_year_panel.sql" in listed
    assert "/paper/" not in listed
    with duckdb.connect(str(releases / "ai_manufacturing.duckdb"), read_only=True) as release:
        estimates = release.execute(
            "select specification_id, estimate, conf_low_province, conf_high_province,"
            " observation_count from reports.rpt_coefficients where term = 'robots'"
        ).fetchall()
        verdicts = release.execute(
            "select specification_id, verdict from reports.rpt_verdicts order by 1"
        ).fetchall()
        by_group = dict(
            release.execute(
                "select group_name, round(split_sample_estimate, 3)"
                " from reports.rpt_heterogeneity where reading = 'default'"
            ).fetchall()
        )
        (claim,) = release.execute(
            "select sentence from reports.rpt_findings where finding = 'claim'"
        ).fetchone() or ("",)
    assert by_group == {"east": 0.189, "west": 0.220}
    by_name = {name: numbers for name, *numbers in estimates}
    assert by_name["wages_1"][:3] == pytest.approx([0.2037275, 0.1879189, 0.2195362], abs=1e-6)
    for name in ("wages_1", "wages_2"):
        _, low, high, observations = by_name[name]
        assert low < ROBOTS_ON_WAGES < high
        assert observations == 400
    _, low, high, _ = by_name["jobs_1"]
    assert low < 0 < high, "no effect was drawn"
    assert verdicts == [("jobs_1", "not_found"), ("wages_1", "holds"), ("wages_2", "holds")]
    assert claim.startswith("Mean wage rises with robots in use: the estimate is 0.20")
    assert claim in (site / "index.html").read_text(encoding="utf-8")
    pages = {path.stem for path in site.glob("*.html")}
    assert "heterogeneity" in pages
    assert not pages & {"event_studies", "specification_curve"}, "nothing of theirs is declared"
    use = (site / "use.html").read_text(encoding="utf-8")
    for words in ("Robots and wages", "Doe, Ann", "@misc{doe_2024,"):
        assert words in use
    tables = (exports / "wages.tex").read_text(encoding="utf-8")
    assert "Robots alone" in tables.replace("\\\\", " ")
    assert papers_words(site) == {}
    assert git_status() == before


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder, creating parent folders of the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def papers_words(site: Path) -> dict[str, list[str]]:
    """Return the passages of a site that contain words specific to the paper, by file."""
    found = {}
    for path in sorted(site.rglob("*")):
        if path.suffix in TEXTS and path.name != OTHERS_SCRIPT:
            text = NAMES_OF_THE_PACKAGE.sub("", path.read_text(encoding="utf-8"))
            places = [
                text[max(0, word.start() - 40) : word.end() + 40]
                for word in PAPERS_WORDS.finditer(text)
            ]
            if places:
                found[os.path.relpath(path, site)] = places
    return found
