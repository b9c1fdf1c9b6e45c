from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    key = ["series", "scope", "provider", "year", "city_count", "median_value"]
    return gates.validate(dbt.ref("int_series_years").df(), "series_years", key=key)
