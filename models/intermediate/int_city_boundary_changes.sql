{{ config(materialized='ephemeral') }}

with

city_changes as (
    select * from {{ ref('city_changes') }}
),

cities as (
    select * from {{ ref('cities') }}
),

-- Boundary changes of the cities in the 2020 list. Former cities that were merged or split up are excluded.
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
