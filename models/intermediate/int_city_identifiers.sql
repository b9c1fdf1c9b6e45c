with

cities as (
    select * from {{ ref('cities') }}
),

-- A name that was merged away is a district's afterwards. One that was split keeps its reason of its own.
former_cities as (
    select
        from_city_id as city_id,
        from_name_zh as name_zh,
        max(case when kind = 'merger' then first_year - 1 end) as last_year
    from {{ ref('city_changes') }}
    where from_city_id not in (select cities.city_id from cities)
    group by from_city_id, from_name_zh
),

identifiers as (
    select
        city_id as identifier,
        'code' as identifier_kind,
        city_id,
        cast(null as integer) as first_year,
        cast(null as integer) as last_year
    from cities
    union
    select
        name_zh as identifier,
        'name' as identifier_kind,
        city_id,
        null as first_year,
        null as last_year
    from cities
    union
    select
        short_name_zh as identifier,
        'name' as identifier_kind,
        city_id,
        null as first_year,
        null as last_year
    from cities
    union
    select
        city_id as identifier,
        'code' as identifier_kind,
        city_id,
        null as first_year,
        last_year
    from former_cities
    union
    select
        name_zh as identifier,
        'name' as identifier_kind,
        city_id,
        null as first_year,
        last_year
    from former_cities
    union
    select
        replace(name_zh, '市', '') as identifier,
        'name' as identifier_kind,
        city_id,
        null as first_year,
        last_year
    from former_cities
    union
    select
        identifier,
        identifier_kind,
        city_id,
        first_year,
        last_year
    from {{ ref('city_aliases') }}
),

final as (
    select
        identifier,
        identifier_kind,
        city_id,
        coalesce(first_year, 0) as first_year,
        coalesce(last_year, 9999) as last_year
    from identifiers
)

select * from final
