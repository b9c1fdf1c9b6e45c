from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table", alias="rejected_rows")
    return landing.read_rejected_rows(dbt.ref("raw_deliveries").to_arrow_table())
