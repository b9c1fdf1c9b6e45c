from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.estimation import samples

    dbt.config(materialized="table")
    return samples.drop_singletons(dbt.ref("int_specification_city_years").filter("is_used").df())
