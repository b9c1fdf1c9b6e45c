{{ config(materialized='view') }}

with

final as (
    {{ union_providers('city_yearbook') }}
)

select * from final
