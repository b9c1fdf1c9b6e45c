from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    return gates.validate(dbt.ref("int_firm_survival_checks").df(), "firm_survival", key=["provider", "city_id", "year"])
