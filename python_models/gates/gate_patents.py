from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("int_patent_checks").df(), "patents", key=["provider", "city_id", "year"])
