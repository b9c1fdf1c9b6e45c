from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table", alias="deliveries")
    return landing.deliveries(dbt.config.meta_get("as_of_delivery"))
