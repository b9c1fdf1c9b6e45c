from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("int_source_checks").df(), "landed_sources", key=["provider", "source_name"])
