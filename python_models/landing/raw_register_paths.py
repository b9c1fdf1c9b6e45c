from ai_manufacturing.landing import registers


def model(dbt, session):
    dbt.config(materialized="table", alias="register_paths")
    return registers.list_paths(dbt.ref("raw_register_files").to_arrow_table())
