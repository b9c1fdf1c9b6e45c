from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    return validation.judge({"est_route_differences": dbt.ref("est_route_differences")})
