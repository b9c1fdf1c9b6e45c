from ai_manufacturing import landing
from ai_manufacturing.disclosure import terms


def model(dbt, session):
    dbt.config(materialized="table", alias="deliveries")
    held = dbt.ref("raw_extract_set").to_arrow_table()
    delivered = landing.land_deliveries(dbt.config.meta_get("as_of_delivery"), held)
    return terms.add_permissions(delivered)
