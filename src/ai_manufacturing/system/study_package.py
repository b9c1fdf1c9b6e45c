"""Load constants and modules from a study's own Python package, if it has one.

The package contains code for anything that the study's seeds cannot express.

The variable `room` in dbt_project.yml names the package; a study without it has no package. A
package that is not installed is imported from the study's folder.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ai_manufacturing.system import settings


def read_constant(name: str, default: Any) -> Any:
    """Return a constant from the study's package, or `default` if it is not defined there."""
    package = _load_package()
    return default if package is None else getattr(package, name, default)


def load_module(name: str) -> ModuleType:
    """Import a module from the study's package; the study must have a package."""
    package = _load_package()
    assert package is not None
    return import_module(f"{package.__name__}.{name}")


def list_folders(engine: Path) -> list[Path]:
    """Return the folder `engine` and, if the study has a package, the folder of the package."""
    package = _load_package()
    return [engine] if package is None else [engine, Path(str(package.__file__)).parent]


def _load_package() -> ModuleType | None:
    try:
        name = settings.variables().get("room")
    except FileNotFoundError:  # `--help` and shell completion also run outside a project
        return None
    if name is None:
        return None
    root = str(settings.project_root())
    if root not in sys.path:
        sys.path.append(root)
    return import_module(name)
