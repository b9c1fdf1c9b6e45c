from ai_manufacturing.system.workers import run_in_worker


@run_in_worker
def model(dbt, session):
    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    tables = {
        "fct_doubtful_values": dbt.ref("fct_doubtful_values"),
        "int_cell_shapes": dbt.ref("int_cell_shapes"),
        "int_province_steps": dbt.ref("int_province_steps"),
        "int_province_sums": dbt.ref("int_province_sums"),
        "int_record_checks": dbt.ref("int_record_checks"),
        "int_series_corrected": dbt.ref("int_series_corrected"),
        "int_series_pairs": dbt.ref("int_series_pairs"),
        "int_series_shapes": dbt.ref("int_series_shapes"),
        "int_series_years": dbt.ref("int_series_years"),
        "int_source_tilts": dbt.ref("int_source_tilts"),
        "int_year_definitions": dbt.ref("int_year_definitions"),
    }
    return validation.judge(
        tables, validation.list_headline_years(dbt.ref("dim_specification_series").df())
    )
