from ai_manufacturing.system.workers import in_a_worker


@in_a_worker
def model(dbt, session):
    import pyarrow as pa

    from ai_manufacturing.gate import validation

    dbt.config(materialized="table")
    sources = dbt.ref("int_source_checks").df()
    deliveries = dbt.ref("fct_deliveries").df()
    current = deliveries[~deliveries["outcome"].isin(["superseded", "withdrawn", "copy"])]
    key = ["provider", "source_name", "file_path", "year_of_lost_cities", "hint"]
    return pa.concat_tables(
        [
            validation.validate(sources, "landed_sources", key=key),
            validation.validate(current, "deliveries", key=["file_path", "remedy"]),
        ]
    )
