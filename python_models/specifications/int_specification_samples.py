from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    from ai_manufacturing.estimation import samples

    dbt.config(materialized="table")
    return samples.without_singletons(
        dbt.ref("int_specification_city_years").filter("is_used").df()
    )
