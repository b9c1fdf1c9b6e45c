"""Import delivered files as typed rows, and log every delivery.

Each record of a delivered file either lands or is set aside with a reason. `land_deliveries` adds
new files to an append-only Parquet store and records them in the log. `read_rows` reads landed rows
back, with the deliveries between which each row is valid; `read_rejected_rows` reads the records
set aside.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ai_manufacturing.landing.declarations import read_allowed_ages
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.extracts import ExtractSet, Period, read_extract_set

if TYPE_CHECKING:
    from ai_manufacturing.landing.delivered import describe_extract_set, land_deliveries
    from ai_manufacturing.landing.land import clean_up, land_again
    from ai_manufacturing.landing.reading import read_rejected_rows, read_rows

__all__ = [
    "ExtractSet",
    "LandingError",
    "Period",
    "clean_up",
    "describe_extract_set",
    "land_again",
    "land_deliveries",
    "read_allowed_ages",
    "read_extract_set",
    "read_rejected_rows",
    "read_rows",
]

LAZY_IMPORTS = {
    "clean_up": "land",
    "land_deliveries": "delivered",
    "land_again": "land",
    "read_rejected_rows": "reading",
    "read_rows": "reading",
    "describe_extract_set": "delivered",
}
"""Submodule of each name that is imported on first use.

Importing pyarrow takes longer than a refresh that finds nothing new.
"""


def __getattr__(name: str) -> Any:
    if name not in LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LAZY_IMPORTS[name]}"), name)
