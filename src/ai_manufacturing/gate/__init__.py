"""Data-quality gate: evaluate Great Expectations suites on the tables of a build."""
