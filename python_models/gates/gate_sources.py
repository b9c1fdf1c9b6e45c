from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    return validation.judge(
        {
            "fct_deliveries": dbt.ref("fct_deliveries"),
            "int_source_checks": dbt.ref("int_source_checks"),
        }
    )
