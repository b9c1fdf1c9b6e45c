"""SQL query for the columns of a release, with units, sources and caveats."""

from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

ESTIMATE = "a figure of the study: quote it with its verdict (reports.rpt_verdicts)"
