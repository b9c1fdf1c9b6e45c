"""Readers that convert CSV, Excel, Stata and Parquet files to tables of text cells."""
