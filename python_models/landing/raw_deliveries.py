from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table", alias="deliveries")
    return landing.deliveries()
