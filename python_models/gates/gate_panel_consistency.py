from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("int_panel_consistency").df()
    return gates.validate(table, "panel_consistency", key=["city_id", "year"])
