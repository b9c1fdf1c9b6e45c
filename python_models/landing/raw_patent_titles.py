from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table")
    return landing.read_rows("patent_titles", dbt.ref("raw_deliveries").to_arrow_table())
