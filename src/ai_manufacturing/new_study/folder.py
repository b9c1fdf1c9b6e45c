"""Generate the files of a study: dbt_project.yml, seeds and rendered templates."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import jinja2
from ruamel.yaml import YAML

from ai_manufacturing.new_study.declaration import (
    NAME,
    DeclarationError,
    Study,
    read_declaration,
)
from ai_manufacturing.new_study.seeds import Row, list_rows, lower_initial
from ai_manufacturing.system import clock, settings

TEMPLATE = Path(__file__).parent / "template"
# Seeds that every study reuses, because they depend on neither paper nor country.
ENGINE_SEEDS = ("printed_lines", "published_numbers", "reasons", "verdicts")
# Seeds that studies of Chinese cities reuse instead of defining a cities.csv.
CHINESE_CITIES = ("cities", "city_aliases", "city_changes", "name_additions", "non_prefectures")


def write_study(folder: Path, *, replace: bool = False) -> list[Path]:
    """Generate a study's files from its study.toml, and return the paths of the files.

    Parameters
    ----------
    folder : Path
        Folder of the study, with its `study.toml` and, unless the regions are Chinese cities, its
        `seeds/cities.csv`.
    replace : bool
        Whether to overwrite existing files. Existing seeds that do not depend on the declaration,
        such as `corrections.csv`, are never overwritten.

    Raises
    ------
    DeclarationError
        If the declaration is invalid, or if a file exists and `replace` is false.
    """
    study = read_declaration(folder)
    root = settings.project_root()
    own_cities = folder / "seeds/cities.csv"
    has_cities = own_cities.exists()
    engine_seeds = ENGINE_SEEDS if has_cities else ENGINE_SEEDS + CHINESE_CITIES
    cities = own_cities if has_cities else root / "seeds/cities.csv"
    engine = Path(os.path.relpath(root, folder)).as_posix()
    provenance = study.provenance.model_dump(by_alias=True, exclude_none=True)
    today = clock.now()[: len("2026-12-01")]
    files = {
        "dbt_project.yml": _write_project(study, root, engine),
        "selectors.yml": (root / "selectors.yml").read_text(encoding="utf-8"),
        **_render_templates(
            study, engine=engine, engine_seeds=engine_seeds, provenance=provenance, today=today
        ),
    }
    labels = _read_csv(root / "seeds/labels.csv")
    rows = list_rows(study, [city["region"] for city in _read_csv(cities)], labels)
    for seed in sorted((root / "seeds").glob("*.csv")):
        name = f"seeds/{seed.name}"
        is_own_seed = seed.stem not in rows and (folder / name).exists()
        if name not in files and seed.stem not in {*engine_seeds, "cities"} and not is_own_seed:
            files[name] = _write_csv(seed, rows.get(seed.stem, []))
    existing = [name for name in files if (folder / name).exists()]
    if existing and not replace:
        count, example = len(existing), existing[0]
        raise DeclarationError(
            f"{folder} already contains {count} of the files that this command writes, such as"
            f" {example}. Use --replace to overwrite these files; changes made by hand will then be"
            " lost."
        )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _write_project(study: Study, root: Path, engine: str) -> str:
    """Adapt the main project's dbt_project.yml to the study, and return the text."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 120, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    project = yaml.load(root / "dbt_project.yml")
    project["model-paths"] = ["models", f"{engine}/models", f"{engine}/python_models"]
    project["seed-paths"] = ["seeds", f"{engine}/seeds"]
    project["test-paths"] = [f"{engine}/tests"]
    project["macro-paths"] = [f"{engine}/macros"]
    project["models"]["ai_manufacturing"]["marts"].pop("paper", None)
    variables = project["vars"]
    variables |= {
        "room": "room",
        "default_measure": {"scope": "industry", "weighting": "observed"},
        "first_year": study.first_year,
        "last_year": study.last_year,
        "base_year": study.last_year,
        "break_year": study.last_year,
        "providers": {
            entity: [study.provider] if entity == "city_yearbook" else []
            for entity in variables["providers"]
        },
        "register_providers": {entity: [] for entity in variables["register_providers"]},
        "paper_tables": [f"rpt_{table.name}" for table in study.tables],
    }
    text = io.StringIO()
    yaml.dump(project, text)
    return text.getvalue()


def _render_templates(study: Study, **values: Any) -> dict[str, str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        # Use other delimiters than dbt, because dbt's Jinja expressions must remain in the files.
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"json": _to_json, "cell": _to_csv_cell, "lower_initial": lower_initial}
    files = {}
    for name in sorted(environment.list_templates()):
        template = environment.get_template(name)
        target = name.replace("PROVIDER", study.provider)
        if "TABLE" in name:
            for table in study.tables:
                files[target.replace("TABLE", table.name)] = template.render(
                    values, study=study, table=table
                )
        else:
            files[target] = template.render(values, study=study)
    return files


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write_csv(path: Path, rows: list[Row]) -> str:
    """Return rows as CSV text, with the header of the existing seed file at `path`.

    Raises
    ------
    DeclarationError
        If a row has a column that the header lacks, such as an unknown limit.
    """
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if unknown_limits := ", ".join(sorted({*row} - {*header})):
            limits = ", ".join(name for name in header if name.endswith(("_min", "_max")))
            raise DeclarationError(
                f"{NAME}: the limits {unknown_limits} of a series are unknown. Choose from these"
                f" limits: {limits}."
            )
        writer.writerow(row)
    return text.getvalue()


def _to_json(value: Any) -> str:
    """Return a value as JSON, which is also valid in YAML and TOML files."""
    return json.dumps(value, ensure_ascii=False)


def _to_csv_cell(text: str) -> str:
    """Quote a string as a CSV field."""
    return '"' + text.replace('"', '""') + '"'
