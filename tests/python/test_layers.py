"""Test the package layering, and that names specific to one study occur only in its own folders."""

import ast
import csv
import graphlib
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "src" / "ai_manufacturing"
# Packages from the lowest to the highest layer. A package may import only from lower layers.
ROOMS = [
    "estimators",
    "system",
    "landing",
    "gate",
    "releases",
    "disclosure",
    "estimation",
    "robustness",
    "tables",
    "site",
    "auditing",
    "question_door",
    "replication",
    "refresh",
    "new_study",
    "cli",
    "paper",
]
# Seed columns that contain names specific to one study.
NAMES = {
    "city_groupings": ("grouping",),
    "derived_variables": ("variable",),
    "measure_weightings": ("measure",),
    "published_facts": ("fact_id",),
    "regression_specifications": ("specification_id", "table_id"),
    "series": ("series", "log_variable"),
}
# Study-specific names that are also ordinary words, so their use in the code is allowed.
WORDS = {"boundary", "firms", "heterogeneity", "region"}
# Columns for counts of firms and patents, which are not specific to one study (see
# docs/decisions/dbt_project.md).
COUNTS = {
    "firm_count",
    "firm_entry_count",
    "firm_exit_count",
    "ai_firm_count",
    "ai_firm_entry_count",
    "ai_firm_exit_count",
    "invention_application_count",
    "invention_grant_count",
    "ai_invention_application_count",
    "ai_invention_grant_count",
}
COUNTED_BY = {
    "models/intermediate/int_series_delivered.sql",
    "models/gate/int_source_checks.sql",
    "models/marts/dim_series.sql",
    "models/marts/fct_delivered_values.sql",
}
# Folders whose models may refer to the paper, its measure or a provider by name.
OWN = {"paper", "measure", "registers", "dictionary", "staging"}


def imports() -> dict[str, set[str]]:
    """Return the package modules that each module imports, including imports inside functions."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in PACKAGE.rglob("*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
                targets = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= {
                    target if target in names else str(node.module) for target in targets
                }
    return found


def test_no_module_imports_from_a_higher_room() -> None:
    rooms = {module: [*module.split("."), ""][1] for module in imports()}
    against = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if rooms[module]
        and rooms[target]
        and ROOMS.index(rooms[target]) > ROOMS.index(rooms[module])
    ]
    assert not against


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert [*graphlib.TopologicalSorter(imports()).static_order()]


def test_only_the_papers_own_rooms_name_its_series_measures_tables_and_facts() -> None:
    """Shared code must not name the paper's series, because another study replaces the seeds."""
    names: set[str] = set()
    for seed, columns in NAMES.items():
        with (PROJECT / f"seeds/{seed}.csv").open(encoding="utf-8", newline="") as rows:
            names |= {row[column] for row in csv.DictReader(rows) for column in columns}
    names -= {"", *WORDS}
    found = {}
    for folder in ("src", "models", "python_models", "macros"):
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.suffix not in (".py", ".sql") or OWN & {*path.relative_to(PROJECT).parts}:
                continue
            text = without_prose(path)
            place = path.relative_to(PROJECT).as_posix()
            allowed = COUNTS if place in COUNTED_BY else set()
            if said := names & {*re.findall(r"\w+", text)} - allowed:
                found[place] = sorted(said)
    assert not found


def without_prose(path: Path) -> str:
    """Return a file's code without comments and docstrings, which may mention a study."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return re.sub(r"--[^\n]*|\{#.*?#\}", "", text, flags=re.DOTALL)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def test_each_file_that_a_page_names_is_there() -> None:
    """Skip docs/how_to, because its pages name files that readers are asked to create."""
    pages = [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("docs/*.md"),
        *PROJECT.glob("docs/decisions/*.md"),
        *PROJECT.glob("src/**/*.yml"),
    ]
    named = re.compile(
        r"(?:src|models|python_models|macros|seeds|expectations|tests|benchmarks|docs)"
        r"/[\w/.]+\.[a-z]+"
    )
    for page in pages:
        if page.name != "CHANGELOG.md":
            gone = [
                path
                for path in named.findall(page.read_text(encoding="utf-8"))
                if not (PROJECT / path).exists()
            ]
            assert not [path for path in gone if not (page.parent / path).exists()], page
