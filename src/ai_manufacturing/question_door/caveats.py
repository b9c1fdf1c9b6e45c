"""The columns of a release, and the caveats of numbers that rest on them."""

from ai_manufacturing.system.sql_text import beside

SQL = beside(__file__)

ESTIMATE = "a figure of the study: quote it with its verdict (reports.rpt_verdicts)"
