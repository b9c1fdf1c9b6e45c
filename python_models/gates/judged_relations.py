from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    dbt.ref("gate_results")  # run after the gate, which checked the inputs of these relations
    validation.check_order(dbt.ref("int_stale_relations").filter("is_judged").df())
    return validation.fingerprint_relations(
        dim_city_groups=dbt.ref("dim_city_groups"),
        dim_specification_series=dbt.ref("dim_specification_series"),
        fct_ai_measure=dbt.ref("fct_ai_measure"),
        int_city_year_variables=dbt.ref("int_city_year_variables"),
        int_source_pairs_grouped=dbt.ref("int_source_pairs_grouped"),
        int_specification_losses=dbt.ref("int_specification_losses"),
        int_specification_samples=dbt.ref("int_specification_samples"),
        int_specifications_sampled=dbt.ref("int_specifications_sampled"),
    )
