from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table")
    return landing.read_rows("city_yearbook", dbt.ref("raw_deliveries").to_arrow_table())
