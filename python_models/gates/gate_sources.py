from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    return validation.judge(
        {
            "fct_deliveries": dbt.ref("fct_deliveries"),
            "int_source_checks": dbt.ref("int_source_checks"),
        }
    )
