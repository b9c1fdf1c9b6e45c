from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    key = ["provider", "series", "city_id", "year", "value"]
    table = dbt.ref("int_series_corrected").filter("scope = 'total'").project(", ".join(key)).df()
    years = gates.headline_years(dbt.ref("dim_specification_series").df())
    return gates.validate(table, "city_yearbook", key=key, judged_years=years)
