from ai_manufacturing.gate import validation


def model(dbt, session):
    dbt.config(materialized="table")
    losses = dbt.ref("int_specification_losses")
    validation.check_gate(
        dbt.ref("gate_results").df(),
        dbt.ref("judged_relations").df(),
        int_specification_losses=losses,
    )
    extract_set = dbt.ref("raw_extract_set").project("extract_set")
    return losses.filter("is_estimable").cross(extract_set).project("* exclude (is_estimable)")
