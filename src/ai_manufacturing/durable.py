"""What must outlive a power cut: file systems keep the order of names and of contents apart."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
