from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    losses = dbt.ref("int_specification_losses").filter("is_estimable")
    return losses.project("* exclude (is_estimable), current_extract_set() as extract_set")
