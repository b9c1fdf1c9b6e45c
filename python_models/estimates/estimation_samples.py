from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    specifications = dbt.ref("int_specifications_sampled").project("specification_id, sample_id")
    samples = dbt.ref("int_specification_samples").filter("is_observation")
    columns = "specification_id, city_id, year, current_extract_set() as extract_set"
    return specifications.join(samples, "sample_id").project(columns)
