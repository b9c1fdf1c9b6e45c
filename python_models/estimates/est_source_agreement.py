from ai_manufacturing.gate import validation
from ai_manufacturing.robustness import agreement


def model(dbt, session):
    dbt.config(materialized="table")
    validation.require(dbt.ref("gate_results").df())
    return agreement.within_city_and_year(dbt.ref("int_source_pairs_grouped").df())
