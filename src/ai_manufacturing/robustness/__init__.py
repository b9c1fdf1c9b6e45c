"""Robustness checks that referees request, each returning rows for an estimates table."""
