from ai_manufacturing.landing import delivered


def model(dbt, session):
    dbt.config(materialized="table", alias="declared_sources")
    return delivered.list_declared_sources()
