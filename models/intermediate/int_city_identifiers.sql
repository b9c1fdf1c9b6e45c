with

cities as (
    select * from {{ ref('cities') }}
),

former_cities as (
    select distinct
        from_city_id as city_id,
        from_name_zh as name_zh
    from {{ ref('city_changes') }}
    where from_city_id not in (select cities.city_id from cities)
),

final as (
    select
        city_id as identifier,
        'code' as identifier_kind,
        city_id
    from cities
    union
    select
        name_zh as identifier,
        'name' as identifier_kind,
        city_id
    from cities
    union
    select
        short_name_zh as identifier,
        'name' as identifier_kind,
        city_id
    from cities
    union
    select
        city_id as identifier,
        'code' as identifier_kind,
        city_id
    from former_cities
    union
    select
        name_zh as identifier,
        'name' as identifier_kind,
        city_id
    from former_cities
    union
    select
        replace(name_zh, '市', '') as identifier,
        'name' as identifier_kind,
        city_id
    from former_cities
    union
    select
        identifier,
        identifier_kind,
        city_id
    from {{ ref('city_aliases') }}
)

select * from final
