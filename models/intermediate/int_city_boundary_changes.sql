{{ config(materialized='ephemeral') }}

with

city_changes as (
    select * from {{ ref('city_changes') }}
),

cities as (
    select * from {{ ref('cities') }}
),

-- Former cities, merged away or split up, are not in the list of 2020 and are excluded.
final as (
    select
        to_city_id as city_id,
        kind,
        first_year
    from city_changes
    union
    select
        from_city_id as city_id,
        kind,
        first_year
    from city_changes
    where from_city_id in (select cities.city_id from cities)
)

select * from final
