from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("int_headline_samples").project("*, current_extract_set() as extract_set").df()
    return gates.validate(table, "headline_samples", key=["specification_id", "city_id"])
