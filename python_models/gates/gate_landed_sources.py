from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("int_source_checks").df()
    return gates.validate(
        table, "landed_sources", key=["provider", "source_name", "file_path", "year_of_lost_cities", "hint"]
    )
