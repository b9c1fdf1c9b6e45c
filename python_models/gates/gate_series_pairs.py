from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    key = ["series", "other_series", "scope", "other_scope", "year"]
    table = dbt.ref("int_series_pairs").df()
    years = gates.headline_years(dbt.ref("dim_specification_series").df())
    return gates.validate(table, "series_pairs", key=key, judged_years=years, judged_rows="is_shown")
