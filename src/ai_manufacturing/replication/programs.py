"""List the programs of a replication package with their outputs, descriptions and seeds."""

import ast
import re
from pathlib import Path
from typing import Any

import yaml

CODE = "code"
PROGRAMS = "PROGRAMS.csv"
COLUMNS = ("program", "makes", "description")
MODELS = ("models", "python_models")
# Matches the creation of a random generator, and the declaration of its seed.
DRAWS = re.compile(r"\b(default_rng|RandomState|Sobol)\(")
SEED = re.compile(r"\b(?:SEED|seed: int) = (\d+)")
# Matches a dbt docs block, and a reference to such a block.
BLOCK = re.compile(r"{% docs (\w+) %}(.*?){% enddocs %}", re.DOTALL)
DOC = re.compile(r"{{ *doc\('(\w+)'\) *}}")


def list_programs(folder: Path) -> list[dict[str, str]]:
    """Return one row per program of an unpacked package: run.sh, dbt models and modules.

    The descriptions come from the YAML files of the models and the docstrings of the modules.
    """
    descriptions = _read_descriptions(folder)
    rows = [("run.sh", "rerun", "Runs all of the programs below, in order.")]
    for path in find_models(folder):
        rows.append(
            (
                path.relative_to(folder).as_posix(),
                f"table {path.stem}",
                descriptions.get(path.stem, ""),
            )
        )
    for path in sorted((folder / CODE / "src/ai_manufacturing").rglob("*.py")):
        rows.append(
            (
                path.relative_to(folder).as_posix(),
                "a part of the models and commands",
                _read_docstring(path),
            )
        )
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def find_models(folder: Path) -> list[Path]:
    """Return the paths of the dbt models in a package; each creates the table of its name."""
    return sorted(
        path
        for models in _list_model_folders(folder)
        for path in models.rglob("*")
        if path.suffix in (".sql", ".py")
    )


def find_random_programs(folder: Path) -> list[dict[str, Any]]:
    """Return the programs that draw random numbers, with their seeds and descriptions.

    The seed is None if the program does not declare one. `ai-manufacturing synthetic` is excluded,
    because the numbers that it draws are delivered.
    """
    rows = []
    for path in sorted((folder / CODE / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if DRAWS.search(text) and path.parent.name != "synthetic":
            seed = SEED.search(text)
            name = path.relative_to(folder).as_posix()
            rows.append(
                {
                    "program": name,
                    "seed": seed[1] if seed else None,
                    "description": _read_docstring(path),
                }
            )
    return rows


def _list_model_folders(folder: Path) -> list[Path]:
    """Return the dbt model folders in a package, of the engine and of each study."""
    roots = [folder / CODE, *(folder / CODE / "studies").glob("*")]
    return [root / name for root in roots for name in MODELS]


def _read_descriptions(folder: Path) -> dict[str, str]:
    """Return the first paragraph of each dbt model's description, keyed by model name."""
    texts: dict[str, str] = {}
    blocks: dict[str, str] = {}
    for models in _list_model_folders(folder):
        for path in models.rglob("*.md"):
            blocks.update(BLOCK.findall(path.read_text(encoding="utf-8")))
    for models in _list_model_folders(folder):
        for path in models.rglob("*.yml"):
            for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", []):
                text = DOC.sub(lambda block: blocks.get(block[1], ""), model.get("description", ""))
                texts[model["name"]] = " ".join(text.partition("\n\n")[0].split())
    return texts


def _read_docstring(path: Path) -> str:
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    except (SyntaxError, ValueError):  # a package from elsewhere may contain invalid code
        text = None
    return (text or "").partition("\n")[0]
