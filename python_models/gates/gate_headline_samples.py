from ai_manufacturing import estimates, gates, specifications
from ai_manufacturing.specifications import Inputs


def model(dbt, session):
    dbt.config(materialized="table")
    inputs = Inputs(
        panel=dbt.ref("int_city_year_variables").df(),
        measures=dbt.ref("fct_ai_measure").df(),
        groups=dbt.ref("dim_city_groups").df(),
        series=dbt.ref("dim_series").df(),
        variables=dbt.ref("panel_variables").df(),
        weightings=dbt.ref("measure_weightings").df(),
        groupings=dbt.ref("city_groupings").df(),
    )
    headlines = [s for s in specifications.read(dbt.ref("regression_specifications").df()) if s.is_headline]
    required = dbt.ref("required_cities").df()
    table = estimates.years_missing_by_city(headlines, inputs, required["city_id"])
    return gates.validate(table, "headline_samples", key=["specification_id", "city_id"])
