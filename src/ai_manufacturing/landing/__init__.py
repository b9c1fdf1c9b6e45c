"""Land delivered files as typed rows.

Each record of a delivered file either lands or is set aside with a reason. `deliveries` adds new
files to an append-only Parquet store and records them in the log. `rows` reads landed rows back,
with the deliveries between which each row is valid; `rejected_rows` reads the records set aside.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ai_manufacturing.landing.declarations import read_allowed_ages
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.extracts import ExtractSet, Period, extract_set

if TYPE_CHECKING:
    from ai_manufacturing.landing.delivered import deliveries, same_extract_set
    from ai_manufacturing.landing.land import clean_up, land_again
    from ai_manufacturing.landing.reading import rejected_rows, rows

__all__ = [
    "ExtractSet",
    "LandingError",
    "Period",
    "clean_up",
    "deliveries",
    "extract_set",
    "land_again",
    "read_allowed_ages",
    "rejected_rows",
    "rows",
    "same_extract_set",
]

IMPORTED_WHEN_ASKED_FOR = {
    "clean_up": "land",
    "deliveries": "delivered",
    "land_again": "land",
    "rejected_rows": "reading",
    "rows": "reading",
    "same_extract_set": "delivered",
}
"""Submodule of each name that is imported on first use.

Importing pyarrow takes longer than a refresh that finds nothing new.
"""


def __getattr__(name: str) -> Any:
    if name not in IMPORTED_WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{IMPORTED_WHEN_ASKED_FOR[name]}"), name)
