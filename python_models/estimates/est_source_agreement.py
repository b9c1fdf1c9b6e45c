from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation
    from ai_manufacturing.robustness import agreement

    dbt.config(materialized="table")
    pairs = dbt.ref("int_source_pairs_grouped")
    validation.check_gate(
        dbt.ref("gate_results").df(),
        dbt.ref("judged_relations").df(),
        int_source_pairs_grouped=pairs,
    )
    return agreement.correlate_sources(pairs.df())
