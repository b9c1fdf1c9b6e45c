from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    key = ["series", "scope", "provider", "year", "city_count", "median_value"]
    years = gates.headline_years(dbt.ref("dim_specification_series").df())
    return gates.validate(dbt.ref("int_series_years").df(), "series_years", key=key, judged_years=years)
