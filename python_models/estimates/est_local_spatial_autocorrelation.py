from ai_manufacturing import gates
from ai_manufacturing.estimators import spatial


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    return spatial.local_autocorrelation(dbt.ref("fct_ai_measure").df(), dbt.ref("city_coordinates").df())
