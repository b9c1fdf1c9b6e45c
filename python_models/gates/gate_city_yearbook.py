from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("int_city_yearbook_checks").df(), "city_yearbook", key=["provider", "series", "city_id", "year"])
