from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("fct_city_year_panel").df()
    years = gates.headline_years(dbt.ref("dim_specification_series").df())
    return gates.validate(table, "city_year_panel", key=["city_id", "year"], judged_years=years)
