"""Compute a hash of all inputs of `make build`: code, seeds, packages and data files.

The recipe stores the hash beside the warehouse. If it still matches, tests reuse that warehouse
instead of building it again.
"""

from pathlib import Path

from ai_manufacturing.releases import fingerprint
from ai_manufacturing.system import settings


def now() -> str:
    """Return the hash of the current inputs of a build."""
    return fingerprint.compute_fingerprint(fingerprint.hash_deliveries(settings.extracts_dir()))


def of(warehouse: Path) -> str:
    """Return the hash stored with a warehouse, or an empty string if there is none."""
    path = warehouse.with_name(f"{warehouse.name}.stamp")
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


if __name__ == "__main__":
    print(now())
