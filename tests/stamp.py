"""What the sample that `make build` made was made from: one hash of code, seeds, packages and
delivered files.

The recipe writes it beside the warehouse. Tests take that warehouse instead of building the same
again.
"""

from pathlib import Path

from ai_manufacturing.releases import fingerprint
from ai_manufacturing.system import settings


def now() -> str:
    """Return the hash of what a build that begins now is made from."""
    return fingerprint.of(fingerprint.delivery_hashes(settings.extracts_dir()))


def of(warehouse: Path) -> str:
    """Return the hash that stands beside a warehouse; empty where none does."""
    path = warehouse.with_name(f"{warehouse.name}.stamp")
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


if __name__ == "__main__":
    print(now())
