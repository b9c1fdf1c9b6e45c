"""Delivered files to typed rows: each record of each file lands, or is set aside with a reason.

`deliveries` lands what is new into an append-only Parquet store and records it in the log; `rows` and `rejected_rows`
read back whatever the log holds, with the deliveries from which and until which each row is valid.
"""

from ai_manufacturing.landing.declarations import allowed_ages
from ai_manufacturing.landing.delivered import DELIVERIES_SCHEMA, deliveries
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.extracts import ExtractSet, Period, extract_set
from ai_manufacturing.landing.land import land_again
from ai_manufacturing.landing.reading import rejected_rows, rows

__all__ = [
    "DELIVERIES_SCHEMA",
    "ExtractSet",
    "LandingError",
    "Period",
    "allowed_ages",
    "deliveries",
    "extract_set",
    "land_again",
    "rejected_rows",
    "rows",
]
