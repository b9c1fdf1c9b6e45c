"""The cycle of a refresh: build in private, audit, write a release, publish."""
