from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("fct_city_year_panel").df()
    return gates.validate(table, "city_year_panel", key=["city_id", "year"])
