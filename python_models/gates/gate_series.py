from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    from functools import partial

    import pyarrow as pa

    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    years = validation.headline_years(dbt.ref("dim_specification_series").df())
    validate = partial(validation.validate, judged_years=years)
    values = ["provider", "series", "city_id", "year", "value"]
    yearbook = dbt.ref("int_series_corrected").filter("scope = 'total'").project(", ".join(values)).df()
    records, record = dbt.ref("int_record_checks"), ["provider", "city_id", "year"]
    year = ["series", "scope", "provider", "year"]
    pair = ["series", "other_series", "scope", "other_scope", "year"]
    return pa.concat_tables(
        [
            validate(records.filter("entity = 'firm_survival'").df(), "firm_survival", key=record),
            validate(records.filter("entity = 'patents'").df(), "patents", key=record),
            validate(yearbook, "city_yearbook", key=values),
            validate(dbt.ref("int_series_years").df(), "series_years", key=[*year, "city_count", "median_value"]),
            validate(dbt.ref("int_series_shapes").df(), "series_shapes", key=year, judged_rows="is_shown"),
            validate(dbt.ref("int_series_pairs").df(), "series_pairs", key=pair, judged_rows="is_shown"),
        ]
    )
