"""Audits of a release: changes and their causes, late providers, damaged files, provenance."""
