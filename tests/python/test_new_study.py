"""Test that `study.toml` generates a study's project files, and that faulty declarations are
refused.
"""

import csv
import shutil
import tomllib
from pathlib import Path

import duckdb
import pytest
import yaml

from ai_manufacturing.new_study import DeclarationError, write_study
from tests.python.conftest import PROJECT

DECLARED = PROJECT / "studies/robots"

# Faulty edits of the robots study's declaration, with the error message that each must cause.
FAULTS = {
    "a misspelt key": (
        'heading = "wage"',
        'headings = "wage"',
        "study.toml, file wages: series.0: headings is unknown (did you mean heading?)",
    ),
    "an outcome without a series": (
        'outcome = "worker_count"',
        'outcome = "workers"',
        "tables jobs, column 1 names the series workers, but no such series is declared",
    ),
    "a series declared twice": (
        'name = "robot_count"\nheading',
        'name = "wage_eur"\nheading',
        "these series are declared more than once: wage_eur; declare each series only once",
    ),
    "a period without years": (
        "first_year = 2005",
        "first_year = 2014",
        "first_year 2014 must be before last_year 2014",
    ),
    "a claim without a printed estimate": (
        'zh = "仅机器人"\nprinted',
        'zh = "仅机器人"\n# printed',
        "column 1 of table wages is the headline claim, so the column needs the printed estimate",
    ),
    "a printed estimate without its digits": (
        'estimate = "0.20"',
        "estimate = 0.20",
        "table wages: columns.0.printed.estimate is 0.2, but the value must be a valid text",
    ),
    "logs of a series that may be zero": (
        "between = [1000, 2000000]",
        "between = [0, 2000000]",
        (
            "series worker_count is used in logarithms, so the lower limit in `between` must"
            " be above zero"
        ),
    ),
    "a file without regions": (
        'files = "ministry/robots.csv"\nregion_code = "region"',
        'files = "ministry/robots.csv"',
        "region_code or region_name must give the heading of the column that identifies the region",
    ),
    "an unknown limit": (
        "growth_factor_max = 3",
        "growth_max = 3",
        (
            "the limits growth_max of a series are unknown. Choose from these limits: median_min,"
            " median_max,"
        ),
    ),
    "an unknown transform": (
        'series = "robot_count"',
        'series = "robot_count"\ntransform = "log"',
        "measure.transform is 'log', but the value must be 'ln' or 'ln1p'",
    ),
    "an author in one piece": ('"Doe, Ann"', '"Ann Doe"', "must be a text such as Doe, Ann"),
    "a split by region with a year": (
        'by = "region"',
        'by = "region"\nyear = 2005',
        "a split by a series requires a year, but a split by region must not have a year",
    ),
    "no TOML": ("last_year = 2014", "last_year = ", "study.toml is not valid TOML: Invalid value"),
}


def declare(folder: Path, old: str = "", new: str = "") -> Path:
    """Write the robots study's declaration and city list to a folder, with one string replaced."""
    (folder / "seeds").mkdir()
    shutil.copy(DECLARED / "seeds/cities.csv", folder / "seeds")
    text = (DECLARED / "study.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "study.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a seed file as dictionaries."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("old", "new", "message"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_declaration_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        write_study(declare(tmp_path, old, new))
    assert message in str(refused.value)
    assert not (tmp_path / "dbt_project.yml").exists()


def test_a_folder_without_a_declaration_is_told_where_to_find_one(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="Copy studies"):
        write_study(tmp_path)


def test_a_file_that_is_there_is_only_replaced_when_asked(tmp_path: Path) -> None:
    folder = declare(tmp_path)
    write_study(folder)
    series, corrections = (folder / f"seeds/{name}.csv" for name in ("series", "corrections"))
    for seed in (series, corrections):
        seed.write_text(seed.read_text(encoding="utf-8") + "mine\n", encoding="utf-8")
    with pytest.raises(
        DeclarationError, match=r"already contains \d+ of the files that this command writes"
    ):
        write_study(folder)
    assert series.read_text(encoding="utf-8").endswith("\nmine\n")
    write_study(folder, replace=True)
    assert "mine" not in series.read_text(encoding="utf-8")
    assert corrections.read_text(encoding="utf-8").endswith("\nmine\n"), "declared nowhere"


def test_seeds_hold_a_row_for_each_thing_declared(tmp_path: Path) -> None:
    folder = declare(tmp_path)
    write_study(folder)
    regressions = {
        row["specification_id"]: row for row in rows(folder / "seeds/regression_specifications.csv")
    }
    assert [*regressions] == [
        "wages_1", "wages_2", "jobs_1", "heterogeneity_region",
        "heterogeneity_region_group_years", "heterogeneity_region_east",
        "heterogeneity_region_west",
    ]  # fmt: skip
    assert regressions["wages_2"]["controls"] == "ln_workers"
    assert regressions["jobs_1"]["outcome"] == "ln_workers"
    assert regressions["heterogeneity_region_west"]["subsample"] == "region=west"
    assert regressions["heterogeneity_region_west"]["controls"] == ""
    limits = {row["series"]: row["growth_factor_max"] for row in rows(folder / "seeds/series.csv")}
    assert limits == {"wage_eur": "3.0", "worker_count": "", "robot_count": ""}
    for seed in folder.glob("seeds/*.csv"):
        engine = (PROJECT / "seeds" / seed.name).read_text(encoding="utf-8")
        assert seed.read_text(encoding="utf-8").split("\n")[0] == engine.split("\n")[0], seed.name


def test_seeds_of_a_study_keep_the_rules_of_their_tables(tmp_path: Path) -> None:
    """A build of the study checks the same rules; those that read a model are left to it."""
    folder = declare(tmp_path)
    write_study(folder)
    properties = yaml.safe_load((PROJECT / "seeds/_seeds.yml").read_text(encoding="utf-8"))
    configs = {seed["name"]: seed.get("config", {}) for seed in properties["seeds"]}
    written = {path.stem: path for path in folder.glob("seeds/*.csv")}
    broken = []
    with duckdb.connect() as connection:
        for name, config in configs.items():
            path = written.get(name, PROJECT / f"seeds/{name}.csv")
            types = config["column_types"]
            table = f"read_csv('{path}', header = true, types = {types})"
            connection.execute(f"create table {name} as from {table}")
        for name in written:
            rules = configs[name].get("meta", {}).get("rules", {})
            for rule in rules.get("conditions", []):
                if "dim_variable" not in rule:
                    rows_against = connection.execute(f"from {name} where not ({rule})").fetchall()
                    broken += [(name, rule, row) for row in rows_against]
            for columns in rules.get("unique", []):
                query = f"select {columns} from {name} group by all having count(*) > 1"
                broken += [(name, columns, row) for row in connection.execute(query).fetchall()]
    assert len(written) > 20
    assert broken == []


def test_headings_that_differ_between_files_become_one_column(tmp_path: Path) -> None:
    folder = declare(
        tmp_path,
        'files = "ministry/robots.csv"\nregion_code = "region"\nyear = "year"',
        'files = "ministry/robots.csv"\nregion_name = "城市"\nyear = "年份"',
    )
    declared = folder / "study.toml"
    text = declared.read_text(encoding="utf-8")
    heading = 'heading = "robots"'
    declared.write_text(text.replace(heading, f"{heading}\ntimes = 0.001"), encoding="utf-8")
    write_study(folder)
    staging = folder / "models/staging/ministry"
    sql = (staging / "stg_ministry__city_yearbook.sql").read_text(encoding="utf-8")
    assert '    "region" as city_code,\n    "城市" as city_name,\n' in sql
    assert '    coalesce("year", "年份") as year,\n' in sql
    assert '    "robots" * 0.001 as robot_count\n' in sql
    _, robots = tomllib.loads((staging / "ministry.toml").read_text(encoding="utf-8"))["sources"]
    assert robots["key"] == ["城市", "年份"]
    assert robots["columns"] == {"城市": "text", "年份": "integer", "robots": "number"}


def test_a_study_without_regions_of_its_own_has_chinas_cities(tmp_path: Path) -> None:
    shutil.copy(DECLARED / "study.toml", tmp_path)
    write_study(tmp_path)
    assert not (tmp_path / "seeds/city_aliases.csv").exists()
    ignored = (tmp_path / ".dbtignore").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("!") and line.endswith("seeds/city_aliases.csv") for line in ignored)
