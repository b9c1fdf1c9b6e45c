with

cities as (
    select * from {{ ref('cities') }}
),

final as (
    select
        city_id,
        name_zh,
        short_name_zh,
        unit_kind,
        province_id,
        province_name_zh,
        region
    from cities
)

select * from final
