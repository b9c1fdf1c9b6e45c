"""Estimate the regressions declared in regression_specifications.csv, and tabulate the results."""
