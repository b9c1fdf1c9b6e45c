{{ config(materialized='view') }}

with

final as (
    {{ union_providers('patents') }}
)

select * from final
