from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("rpt_second_route").df(), "second_route", key=["specification_id", "term"])
