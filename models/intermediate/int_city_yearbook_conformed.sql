with

delivered as (
    select * from {{ ref('int_city_yearbook_delivered') }}
),

{{ conform_cities('delivered', key='city_id, year') }}

select * from final
