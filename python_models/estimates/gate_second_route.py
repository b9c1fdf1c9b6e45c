from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("est_route_differences").df(), "second_route", key=["specification_id", "term"])
