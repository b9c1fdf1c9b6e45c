from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation
    from ai_manufacturing.paper import spatial

    dbt.config(materialized="table")
    measures = dbt.ref("fct_ai_measure")
    validation.check_gate(
        dbt.ref("gate_results").df(), dbt.ref("judged_relations").df(), fct_ai_measure=measures
    )
    tables = spatial.Tables(
        measures=measures.filter("weighting = 'observed' and scope = 'industry'").df(),
        coordinates=dbt.ref("dim_city").project("city_id, longitude, latitude").df(),
        weightings=dbt.ref("measure_weightings").df(),
        series=dbt.ref("dim_series").df(),
    )
    return spatial.estimate_local_autocorrelation(tables, dbt.config.meta_get("event_year"))
