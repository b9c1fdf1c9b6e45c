with

cities as (
    select
        *,
        -- 黑龙江 (Heilongjiang) and 内蒙古 (Inner Mongolia) are the only provinces with a three-character short name.
        case
            when substring(province_name_zh, 1, 3) in ('黑龙江', '内蒙古') then substring(province_name_zh, 1, 3)
            else substring(province_name_zh, 1, 2)
        end as province_short_name_zh
    from {{ ref('cities') }}
),

aliases as (
    select * from {{ ref('city_aliases') }}
),

-- Former cities, with the last year in which the name refers to the city. After a merger, the name belongs to a
-- district of the merged city. The name of a split city remains valid, because its records are set aside for a separate
-- reason.
former_cities as (
    select
        from_city_id as city_id,
        from_name_zh as name_zh,
        max(case when kind = 'merger' then first_year - 1 end) as last_year
    from {{ ref('city_changes') }}
    where from_city_id not in (select cities.city_id from cities)
    group by from_city_id, from_name_zh
),

city_names as (
    {%- for name in ['name_zh', 'short_name_zh'] %}
    select
        city_id,
        {{ name }} as name_zh,
        province_name_zh,
        province_short_name_zh
    from cities
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- City names preceded by the province, or followed by the province in brackets, as some sources write them.
names_with_province as (
    {%- for name in [
        'concat(province_name_zh, name_zh)',
        'concat(province_short_name_zh, name_zh)',
        "concat(name_zh, '(', province_name_zh, ')')",
        "concat(name_zh, '(', province_short_name_zh, ')')",
    ] %}
    select
        city_id,
        {{ name }} as identifier
    from city_names
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

identifiers as (
    {%- for relation, kind, identifier in [
        ('cities', 'code', 'city_id'),
        ('city_names', 'name', 'name_zh'),
        ('names_with_province', 'name', 'identifier'),
        ('former_cities', 'code', 'city_id'),
        ('former_cities', 'name', 'name_zh'),
        ('former_cities', 'name', "replace(name_zh, '市', '')")
    ] %}
    select
        {{ identifier }} as identifier,
        '{{ kind }}' as identifier_kind,
        city_id,
        cast(null as integer) as first_year,
        {{ 'last_year' if relation == 'former_cities' else 'cast(null as integer)' }} as last_year
    from {{ relation }}
    union
    {%- endfor %}
    -- Staging models give records of a province the code `province:<province>`. int_series_sourced assigns the values
    -- of such records to each city of the province.
    {%- for identifier in ['province_id', 'province_name_zh', 'province_short_name_zh'] %}
    select
        'province:' || {{ identifier }} as identifier,
        'code' as identifier_kind,
        province_id as city_id,
        null as first_year,
        null as last_year
    from cities
    union
    {%- endfor %}
    select
        identifier,
        identifier_kind,
        city_id,
        first_year,
        last_year
    from aliases
    where identifier_kind in ('code', 'name')
),

-- The first four digits of a county code identify the city. County codes in a municipality start with the
-- municipality's two digits and 01, 02 or 03.
county_prefixes as (
    select
        substring(identifier, 1, 4) as prefix,
        city_id,
        first_year,
        last_year
    from identifiers
    where
        identifier_kind = 'code'
        and identifier like '____00'
    union
    {%- for prefix in ['02', '03'] %}
    select
        concat(substring(city_id, 1, 2), '{{ prefix }}') as prefix,
        city_id,
        null as first_year,
        null as last_year
    from cities
    where unit_kind = 'municipality'
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}
),

digits as (
    {%- for digit in range(10) %}
    select '{{ digit }}' as digit
    {%- if not loop.last %} union all{% endif %}
    {%- endfor %}
),

counties as (
    select
        concat(county_prefixes.prefix, tens.digit, ones.digit) as identifier,
        county_prefixes.city_id,
        county_prefixes.first_year,
        county_prefixes.last_year
    from county_prefixes
    cross join digits as tens
    cross join digits as ones
    left join aliases as listed
        on
            listed.identifier_kind = 'county'
            and concat(county_prefixes.prefix, tens.digit, ones.digit) = listed.identifier
    where listed.identifier is null
    union all
    select
        identifier,
        city_id,
        first_year,
        last_year
    from aliases
    where identifier_kind = 'county'
),

resolved as (
    select
        identifier,
        identifier_kind,
        city_id,
        first_year,
        last_year,
        false as is_county
    from identifiers
    union all
    select
        counties.identifier,
        'code' as identifier_kind,
        counties.city_id,
        counties.first_year,
        counties.last_year,
        true as is_county
    from counties
    left join identifiers
        on
            identifiers.identifier_kind = 'code'
            and counties.identifier = identifiers.identifier
    where identifiers.identifier is null
),

mergers as (
    select
        from_city_id,
        to_city_id
    from {{ ref('city_changes') }}
    where kind = 'merger'
),

final as (
    select
        resolved.identifier,
        resolved.identifier_kind,
        resolved.city_id,
        coalesce(mergers.to_city_id, resolved.city_id) as current_city_id,
        coalesce(resolved.first_year, 0) as first_year,
        coalesce(resolved.last_year, 9999) as last_year,
        resolved.is_county,
        cities.province_name_zh
    from resolved
    left join mergers on resolved.city_id = mergers.from_city_id
    left join cities on coalesce(mergers.to_city_id, resolved.city_id) = cities.city_id
)

select * from final
