{{ config(materialized='view') }}

with

final as (
    {{ union_providers('firm_survival') }}
)

select * from final
