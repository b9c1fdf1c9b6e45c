"""Audit a release: changes since the last one, stale data, damaged files and data lineage."""
