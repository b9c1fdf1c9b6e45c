from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    samples = dbt.ref("int_specification_samples").filter("is_observation")
    return samples.project("specification_id, city_id, year, current_extract_set() as extract_set")
