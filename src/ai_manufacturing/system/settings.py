"""Read settings from dbt_project.yml and the environment: paths, variables and language."""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any


def project_root() -> Path:
    """Return the folder that contains dbt_project.yml.

    It is the running dbt's project folder, DBT_PROJECT_DIR, or the working directory, in this
    order.
    """
    dbt = sys.modules.get("dbt.flags")
    # Ask dbt's flags first, because `dbt --project-dir` does not set DBT_PROJECT_DIR.
    of_dbt = getattr(dbt.get_flags(), "PROJECT_DIR", None) if dbt else None
    return Path(of_dbt or os.environ.get("DBT_PROJECT_DIR") or ".").resolve()


def engine_root() -> Path:
    """Return the folder of the models, macros and expectation suites that all studies share.

    It is the parent of the macro path in the study's dbt_project.yml. The repository's own study is
    in this folder itself.
    """
    (macros,) = _read_project().get("macro-paths", ["macros"])
    return Path(os.path.normpath(project_root() / macros)).parent


def project_folders() -> tuple[Path, ...]:
    """Return the shared folder and the study's folder, whose files override the shared ones."""
    return tuple(dict.fromkeys((engine_root(), project_root())))


def language() -> str:
    """Return the user's language, `en` or `zh`, from the locale environment variables."""
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def variables() -> dict[str, Any]:
    """Return the variables (`vars`) that dbt_project.yml declares."""
    values: dict[str, Any] = _read_project()["vars"]
    return values


def _read_project() -> dict[str, Any]:
    return _parse_project((project_root() / "dbt_project.yml").read_text(encoding="utf-8"))


@cache
def _parse_project(text: str) -> dict[str, Any]:
    import yaml  # imported on demand, because most settings do not need YAML

    project: dict[str, Any] = yaml.safe_load(text)
    return project


def period() -> range:
    """Return the range of years from first_year to last_year in dbt_project.yml.

    They are the default for extract sets that do not declare a period.
    """
    values = variables()
    return range(values["first_year"], values["last_year"] + 1)


def providers(entity: str) -> list[str] | None:
    """Return the providers that dbt_project.yml lists for an entity, or None if it is unlisted."""
    values = variables()
    providers_by_entity: dict[str, list[str]] = {
        **values["providers"],
        **values["register_providers"],
    }
    return providers_by_entity.get(entity)


def extracts_dir() -> Path:
    """Return the folder of the delivered files (EXTRACTS_DIR).

    It is EXTRACTS_DIR, or the sample that `make setup` wrote.
    """
    # Do not resolve symbolic links, so that retargeting a link does not change the path.
    return Path(
        os.path.normpath(
            project_root() / (os.environ.get("EXTRACTS_DIR") or "build/extracts/sample")
        )
    )


def landing_dir() -> Path:
    """Return the folder of the landing store (LANDING_DIR, default build/landing)."""
    return (project_root() / (os.environ.get("LANDING_DIR") or "build/landing")).resolve()


def landed_tables_dir() -> Path:
    """Return the folder of landed tables for engines without Python models, such as Spark.

    There is one folder for each value of EXTRACTS_DIR.
    """
    setting = os.environ.get("EXTRACTS_DIR") or "build/extracts/sample"
    return (
        landing_dir()
        / "tables"
        / hashlib.md5(os.fsencode(setting), usedforsecurity=False).hexdigest()
    )


def warehouse_path() -> Path:
    """Return the path of the DuckDB warehouse (WAREHOUSE_PATH, default build/warehouse.duckdb)."""
    return (
        project_root() / (os.environ.get("WAREHOUSE_PATH") or "build/warehouse.duckdb")
    ).resolve()


def spark_storage_dir() -> Path:
    """Return the folder of Spark's tables (SPARK_STORAGE, default build/spark)."""
    return (project_root() / (os.environ.get("SPARK_STORAGE") or "build/spark")).resolve()


def release_dir() -> Path:
    """Return the folder of all releases (RELEASE_DIR, default build/releases)."""
    return (project_root() / (os.environ.get("RELEASE_DIR") or "build/releases")).resolve()


def site_dir() -> Path | None:
    """Return the folder of the website that a refresh builds (SITE_DIR), or None if unset."""
    setting = os.environ.get("SITE_DIR")
    return (project_root() / setting).resolve() if setting else None


def site_url() -> str | None:
    """Return the public URL of the website (SITE_URL), or None if unset."""
    return os.environ.get("SITE_URL") or None


def release_doi() -> str | None:
    """Return the DOI of the deposited release (RELEASE_DOI), or None if unset."""
    return os.environ.get("RELEASE_DOI") or None


def release_path() -> Path:
    """Return the path of the published release, which readers open.

    It is RELEASE_PATH with symbolic links resolved, or ai_manufacturing.duckdb in RELEASE_DIR.
    """
    setting = os.environ.get("RELEASE_PATH")
    return (
        (project_root() / setting).resolve()
        if setting
        else release_dir() / "ai_manufacturing.duckdb"
    )
