from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("int_panel_consistency").df()
    years = gates.headline_years(dbt.ref("dim_specification_series").df())
    return gates.validate(table, "panel_consistency", key=["city_id", "year"], judged_years=years)
