with

delivered as (
    {{ union_providers('city_yearbook') }}
),

{{ conform_cities('delivered', key='city_id, year') }}

select * from final
