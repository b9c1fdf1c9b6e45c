with

cities as (
    select * from {{ ref('cities') }}
),

coordinates as (
    select * from {{ ref('city_coordinates') }}
),

final as (
    select
        cities.city_id,
        cities.name_zh,
        cities.short_name_zh,
        cities.name_en,
        cities.unit_kind,
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        cities.region,
        cast(coordinates.longitude as double) as longitude,
        cast(coordinates.latitude as double) as latitude
    from cities
    left join coordinates on cities.city_id = coordinates.city_id
)

select * from final
