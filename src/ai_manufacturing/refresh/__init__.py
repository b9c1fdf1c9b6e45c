"""Refresh the published release: build in private, audit, write and publish."""
