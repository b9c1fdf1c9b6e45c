from ai_manufacturing import gates
from ai_manufacturing.estimators import agreement


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    return agreement.within_city_and_year(dbt.ref("int_source_pairs_grouped").df())
