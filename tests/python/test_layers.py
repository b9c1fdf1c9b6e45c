"""The rooms of the Python package, which import from lower ones only, and the files that pages
name.
"""

import ast
import graphlib
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "src" / "ai_manufacturing"
# From the lowest up.
ROOMS = [
    *(
        "settings",
        "system",
        "city_names",
        "landing",
        "counts",
        "synthetic",
        "gate",
        "estimators",
        "estimation",
    ),
    *(
        "robustness",
        "releases",
        "text",
        "terms",
        "sources",
        "tables",
        "site",
        "auditing",
        "replication",
        "refresh",
    ),
    *("cli", "dagster_location", "dbt_plugin"),
]


def imports() -> dict[str, set[str]]:
    """Return what each module imports of the package, inside functions too."""
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


def test_each_file_that_a_page_names_is_there() -> None:
    """Pages of how_to name files that their reader writes."""
    pages = [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("docs/*.md"),
        *PROJECT.glob("docs/decisions/*.md"),
    ]
    named = re.compile(
        r"(?:src|models|python_models|macros|seeds|expectations|tests|benchmarks|docs)/[\w/.]+\.[a-z]+"
    )
    for page in pages:
        if page.name != "CHANGELOG.md":
            gone = [
                path
                for path in named.findall(page.read_text(encoding="utf-8"))
                if not (PROJECT / path).exists()
            ]
            assert not [path for path in gone if not (page.parent / path).exists()], page
