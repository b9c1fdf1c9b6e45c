from ai_manufacturing import gates
from ai_manufacturing.estimators import agreement


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    return agreement.within_city_and_year(dbt.ref("fct_source_pairs").df(), dbt.ref("dim_city_groups").df())
