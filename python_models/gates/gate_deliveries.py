from ai_manufacturing import gates


def model(dbt, session):
    dbt.config(materialized="table")
    table = dbt.ref("fct_deliveries").df()
    current = table[~table["outcome"].isin(["superseded", "withdrawn", "copy"])]
    return gates.validate(current, "deliveries", key=["file_path", "remedy"])
