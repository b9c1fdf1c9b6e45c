from ai_manufacturing import estimates, gates, specifications
from ai_manufacturing.specifications import Inputs


def model(dbt, session):
    dbt.config(materialized="table")
    gates.require(dbt.ref("gate_results").df())
    inputs = Inputs(
        panel=dbt.ref("fct_city_year_panel").df(),
        measures=dbt.ref("fct_ai_measure").df(),
        series=dbt.ref("dim_series").df(),
        variables=dbt.ref("panel_variables").df(),
        weightings=dbt.ref("measure_weightings").df(),
    )
    return estimates.samples(specifications.read(dbt.ref("regression_specifications").df()), inputs)
