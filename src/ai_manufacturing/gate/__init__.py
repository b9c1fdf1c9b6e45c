"""The gate: suites of expectations, their evaluation, and the tables of their results."""
