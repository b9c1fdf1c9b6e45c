from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table", alias="deliveries")
    held = dbt.ref("raw_extract_set").to_arrow_table()
    return landing.deliveries(dbt.config.meta_get("as_of_delivery"), held)
