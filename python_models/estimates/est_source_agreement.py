from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation
    from ai_manufacturing.robustness import agreement

    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    return agreement.within_city_and_year(dbt.ref("int_source_pairs_grouped").df())
