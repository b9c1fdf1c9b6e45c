"""Where things are: the project, the delivered files, the landing store and the warehouse."""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any


def project_root() -> Path:
    """Return the folder of dbt_project.yml.

    That of the running dbt, DBT_PROJECT_DIR, or the working directory.
    """
    dbt = sys.modules.get("dbt.flags")
    # `dbt --project-dir` does not set the variable
    of_dbt = getattr(dbt.get_flags(), "PROJECT_DIR", None) if dbt else None
    return Path(of_dbt or os.environ.get("DBT_PROJECT_DIR") or ".").resolve()


def engine_root() -> Path:
    """Return the folder of the models, macros and suites that every study uses.

    It lies above the macros that the study's dbt_project.yml names. The study in this folder is the
    repository's own.
    """
    (macros,) = _project().get("macro-paths", ["macros"])
    return Path(os.path.normpath(project_root() / macros)).parent


def project_folders() -> tuple[Path, ...]:
    """Return the engine's folder and then the study's, which replaces files of the same name."""
    return tuple(dict.fromkeys((engine_root(), project_root())))


def language() -> str:
    """Return the reader's language, en or zh: that of the locale's messages."""
    named = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if named.lower().startswith("zh") else "en"


def variables() -> dict[str, Any]:
    """Return the vars of dbt_project.yml."""
    declared: dict[str, Any] = _project()["vars"]
    return declared


def _project() -> dict[str, Any]:
    return _parsed((project_root() / "dbt_project.yml").read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> dict[str, Any]:
    import yaml  # here, because a build knows its variables from dbt

    declared: dict[str, Any] = yaml.safe_load(text)
    return declared


def period() -> range:
    """Return the years from first_year to last_year of dbt_project.yml.

    Those of a set that names none.
    """
    declared = variables()
    return range(declared["first_year"], declared["last_year"] + 1)


def providers(entity: str) -> list[str] | None:
    """Return who delivers an entity by dbt_project.yml; None of one that it does not list."""
    declared = variables()
    listed: dict[str, list[str]] = {**declared["providers"], **declared["register_providers"]}
    return listed.get(entity)


def extracts_dir() -> Path:
    """Return the folder of the delivered files.

    EXTRACTS_DIR, or the sample that `make setup` wrote.
    """
    # as it was named: a link to the folder is not another extract set
    return Path(
        os.path.normpath(
            project_root() / (os.environ.get("EXTRACTS_DIR") or "build/extracts/sample")
        )
    )


def landing_dir() -> Path:
    """Return the folder of the landing store: LANDING_DIR, or build/landing."""
    return (project_root() / (os.environ.get("LANDING_DIR") or "build/landing")).resolve()


def landed_tables_dir() -> Path:
    """Return the folder of the tables that SQL reads where no Python runs.

    One for each value of EXTRACTS_DIR.
    """
    named = os.environ.get("EXTRACTS_DIR") or "build/extracts/sample"
    return (
        landing_dir()
        / "tables"
        / hashlib.md5(os.fsencode(named), usedforsecurity=False).hexdigest()
    )


def warehouse_path() -> Path:
    """Return the DuckDB file: WAREHOUSE_PATH, or build/warehouse.duckdb."""
    return (
        project_root() / (os.environ.get("WAREHOUSE_PATH") or "build/warehouse.duckdb")
    ).resolve()


def spark_storage_dir() -> Path:
    """Return the folder of Spark's tables: SPARK_STORAGE, or build/spark."""
    return (project_root() / (os.environ.get("SPARK_STORAGE") or "build/spark")).resolve()


def release_dir() -> Path:
    """Return the folder of the releases: RELEASE_DIR, or build/releases."""
    return (project_root() / (os.environ.get("RELEASE_DIR") or "build/releases")).resolve()


def site_dir() -> Path | None:
    """Return the folder of the site that a refresh builds: SITE_DIR.

    None, for no site, where it is not set.
    """
    named = os.environ.get("SITE_DIR")
    return (project_root() / named).resolve() if named else None


def site_url() -> str | None:
    """Return the address at which readers find the site: SITE_URL, as it is written."""
    return os.environ.get("SITE_URL") or None


def release_doi() -> str | None:
    """Return the DOI under which a release is deposited: RELEASE_DOI, as it is written."""
    return os.environ.get("RELEASE_DOI") or None


def release_path() -> Path:
    """Return the file that readers open.

    RELEASE_PATH, links resolved, or ai_manufacturing.duckdb in RELEASE_DIR.
    """
    named = os.environ.get("RELEASE_PATH")
    return (
        (project_root() / named).resolve() if named else release_dir() / "ai_manufacturing.duckdb"
    )
