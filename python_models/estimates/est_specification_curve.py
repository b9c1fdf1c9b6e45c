from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.estimation import specifications
    from ai_manufacturing.estimation.inputs import read_inputs
    from ai_manufacturing.robustness import specification_curve

    dbt.config(materialized="table")
    inputs = read_inputs(
        specifications=dbt.ref("int_specifications_sampled"),
        panel=dbt.ref("int_city_year_variables"),
        measures=dbt.ref("fct_ai_measure"),
        groups=dbt.ref("dim_city_groups"),
        series=dbt.ref("dim_specification_series"),
        samples=dbt.ref("int_specification_samples"),
        losses=dbt.ref("int_specification_losses"),
        gate_results=dbt.ref("gate_results"),
        judged_relations=dbt.ref("judged_relations"),
        published_estimates=dbt.ref("published_estimates"),
        substitution_labels=dbt.ref("substitutions"),
        event_year=dbt.config.meta_get("event_year"),
        event_window=dbt.config.meta_get("event_window"),
    )
    chosen = specifications.read_main_specification(inputs.specifications)
    return specification_curve.estimate_curve(
        chosen, dbt.ref("int_specification_curve").df(), inputs
    )
