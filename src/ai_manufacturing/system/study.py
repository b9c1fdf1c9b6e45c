"""The room of the paper, `paper/`: what a study says beyond its seeds.

Another study has its own, or none.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOM = "ai_manufacturing.paper"


def folder() -> Path:
    """Return where the room lies; the folder is absent where a study has none."""
    return Path(__file__).parents[1] / "paper"


def declared(name: str, default: Any) -> Any:
    """Return what the room declares by a name, or the default of a study that has no room."""
    return getattr(import_module(ROOM), name, default) if find_spec(ROOM) else default


def module(name: str) -> ModuleType:
    """Return a module of the room, which declares it."""
    return import_module(f"{ROOM}.{name}")
