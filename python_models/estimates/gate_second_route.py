from ai_manufacturing.gate import validation


def model(dbt, session):
    dbt.config(materialized="table")
    return validation.validate(dbt.ref("est_route_differences").df(), "second_route", key=["specification_id", "term"])
