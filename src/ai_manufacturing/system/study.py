"""The room of a study: a package with what the study says beyond its seeds.

`room` of dbt_project.yml names it, and a study without that variable has none. A package that is
not installed lies in the study's folder.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ai_manufacturing.system import settings


def declared(name: str, default: Any) -> Any:
    """Return what the room declares by a name, or the default of a study that has no room."""
    room = _room()
    return default if room is None else getattr(room, name, default)


def module(name: str) -> ModuleType:
    """Return a module of the room, which declares it."""
    room = _room()
    assert room is not None
    return import_module(f"{room.__name__}.{name}")


def folders(engine: Path) -> list[Path]:
    """Return a folder of the engine, and the room where there is one."""
    room = _room()
    return [engine] if room is None else [engine, Path(str(room.__file__)).parent]


def _room() -> ModuleType | None:
    try:
        name = settings.variables().get("room")
    except FileNotFoundError:  # help and completion work outside a project
        return None
    if name is None:
        return None
    root = str(settings.project_root())
    if root not in sys.path:
        sys.path.append(root)
    return import_module(name)
