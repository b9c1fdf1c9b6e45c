from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    import pyarrow as pa

    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    tables = {
        "fct_city_year_panel": dbt.ref("fct_city_year_panel"),
        "int_headline_samples": dbt.ref("int_headline_samples"),
        "int_judged_tables": dbt.ref("int_judged_tables"),
        "int_panel_consistency": dbt.ref("int_panel_consistency"),
    }
    judged = validation.judge(
        tables, validation.list_headline_years(dbt.ref("dim_specification_series").df())
    )
    return pa.concat_tables(
        [dbt.ref("gate_sources").to_arrow_table(), dbt.ref("gate_series").to_arrow_table(), judged]
    )
