"""Refresh the published release: run dbt in a work folder, audit the result, and publish it."""
