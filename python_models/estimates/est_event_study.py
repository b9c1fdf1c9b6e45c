from ai_manufacturing import estimates, gates, specifications
from ai_manufacturing.specifications import Inputs


def model(dbt, session):
    dbt.config(materialized="table")
    gate_results = dbt.ref("gate_results").df()
    gates.require(gate_results)
    inputs = Inputs(
        panel=dbt.ref("int_city_year_variables").df(),
        measures=dbt.ref("fct_ai_measure").df(),
        groups=dbt.ref("dim_city_groups").df(),
        series=dbt.ref("dim_series").df(),
        variables=dbt.ref("panel_variables").df(),
        weightings=dbt.ref("measure_weightings").df(),
        groupings=dbt.ref("city_groupings").df(),
        gate_results=gate_results,
        published=dbt.ref("published_estimates").df(),
    )
    rows = dbt.ref("regression_specifications").df()
    return estimates.coefficients(specifications.read(rows, "event_study"), inputs)
