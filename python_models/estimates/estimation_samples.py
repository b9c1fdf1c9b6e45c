from ai_manufacturing.gate import validation


def model(dbt, session):
    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    specifications = dbt.ref("int_specifications_sampled").project("specification_id, sample_id")
    samples = dbt.ref("int_specification_samples").filter("is_observation")
    columns = "specification_id, city_id, year, current_extract_set() as extract_set"
    return specifications.join(samples, "sample_id").project(columns)
