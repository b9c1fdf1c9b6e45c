with

cities as (
    select * from {{ ref('cities') }}
),

final as (
    select
        city_id,
        name_zh,
        short_name_zh,
        name_en,
        unit_kind,
        province_id,
        province_name_zh,
        province_name_en,
        region,
        longitude,
        latitude
    from cities
)

select * from final
