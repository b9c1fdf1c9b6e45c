from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    import pyarrow as pa

    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    years = validation.headline_years(dbt.ref("dim_specification_series").df())
    panel, consistency = dbt.ref("fct_city_year_panel").df(), dbt.ref("int_panel_consistency").df()
    samples = dbt.ref("int_headline_samples").df()
    return pa.concat_tables(
        [
            dbt.ref("gate_sources").to_arrow_table(),
            dbt.ref("gate_series").to_arrow_table(),
            validation.validate(panel, "city_year_panel", key=["city_id", "year"], judged_years=years),
            validation.validate(consistency, "panel_consistency", key=["city_id", "year"], judged_years=years),
            validation.validate(samples, "headline_samples", key=["specification_id", "city_id"]),
        ]
    )
