from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("fct_city_year_panel").df(), "city_year_panel", key=["city_id", "year"])
