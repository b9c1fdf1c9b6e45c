from ai_manufacturing.gate import validation


def model(dbt, session):
    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    losses = dbt.ref("int_specification_losses").filter("is_estimable")
    return losses.project("* exclude (is_estimable), current_extract_set() as extract_set")
