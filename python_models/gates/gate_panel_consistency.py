from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("int_panel_consistency").df(), "panel_consistency", key=["city_id", "year"])
