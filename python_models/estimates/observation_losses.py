from ai_manufacturing.gate import validation


def model(dbt, session):
    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    losses = dbt.ref("int_specification_losses").filter("is_estimable")
    extract_set = dbt.ref("raw_extract_set").project("extract_set")
    return losses.cross(extract_set).project("* exclude (is_estimable)")
