from ai_manufacturing.gate import validation

NAMES = "city_id, name_zh, name_en, province_name_zh, province_name_en"


def model(dbt, session):
    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    specifications = dbt.ref("int_specifications_sampled").project("specification_id, sample_id")
    samples = dbt.ref("int_specification_samples").filter("is_observation")
    cities = dbt.ref("dim_city").project(NAMES)
    columns = f"specification_id, {NAMES}, year, extract_set"
    extract_set = dbt.ref("raw_extract_set").project("extract_set")
    joined = specifications.join(samples, "sample_id").join(cities, "city_id").cross(extract_set)
    return joined.project(columns)
