from ai_manufacturing.estimation import samples


def model(dbt, session):
    dbt.config(materialized="table")
    return samples.without_singletons(dbt.ref("int_specification_city_years").filter("is_used").df())
