"""The gate: suites of expectations, their judgement, and the tables of their results."""
