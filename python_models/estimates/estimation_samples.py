from ai_manufacturing.gate import validation

NAMES = "city_id, name_zh, name_en, province_name_zh, province_name_en"


def model(dbt, session):
    dbt.config(materialized="table")
    sampled, samples = dbt.ref("int_specifications_sampled"), dbt.ref("int_specification_samples")
    results, judged = dbt.ref("gate_results").df(), dbt.ref("judged_relations").df()
    validation.check_gate(
        results, judged, int_specifications_sampled=sampled, int_specification_samples=samples
    )
    specifications = sampled.project("specification_id, sample_id")
    cities = dbt.ref("dim_city").project(NAMES)
    columns = f"specification_id, {NAMES}, year, extract_set"
    extract_set = dbt.ref("raw_extract_set").project("extract_set")
    joined = (
        specifications.join(samples.filter("is_observation"), "sample_id")
        .join(cities, "city_id")
        .cross(extract_set)
    )
    return joined.project(columns)
