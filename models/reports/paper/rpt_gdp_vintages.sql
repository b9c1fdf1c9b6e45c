{%- set tolerance = var('vintage_tolerance') -%}
-- depends_on: {{ ref('gate_results') }}
with

gdp_values as (
    select
        city_id,
        year,
        variable,
        value
    from {{ ref('fct_city_year_values') }}
    where
        (variable in ('gdp_100m_cny', 'revised_gdp_100m_cny') or starts_with(variable, 'gdp_100m_cny@'))
        and year <= {{ var('gdp_census_year') }}
        and value > 0
),

cities as (
    select * from {{ ref('dim_city') }}
),

compared as (
    select
        defaults.city_id,
        defaults.year,
        defaults.value as default_value,
        revised.value as revised_value,
        abs(revised.value / defaults.value - 1) <= {{ tolerance }} as is_revised
    from gdp_values as defaults
    inner join gdp_values as revised using (city_id, year)
    where
        defaults.variable = 'gdp_100m_cny'
        and revised.variable = 'revised_gdp_100m_cny'
),

-- For each city-year: whether another provider repeats the default GDP value, and whether any provider differs from the
-- revised value. If no provider differs, the two vintages may be identical.
others as (
    select
        compared.city_id,
        compared.year,
        bool_or(abs(gdp_values.value / compared.default_value - 1) <= {{ tolerance }}) as is_repeated,
        bool_or(abs(gdp_values.value / compared.revised_value - 1) > {{ tolerance }}) as has_other_vintage
    from compared
    inner join gdp_values using (city_id, year)
    where starts_with(gdp_values.variable, 'gdp_100m_cny@')
    group by compared.city_id, compared.year
),

judged as (
    select
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        compared.city_id,
        compared.year,
        case
            when compared.is_revised and others.has_other_vintage then 'revised'
            when compared.is_revised then 'same'
            when others.is_repeated then 'unrevised'
            else 'neither'
        end as vintage
    from compared
    inner join cities using (city_id)
    left join others using (city_id, year)
),

counted as (
    select
        province_id,
        province_name_zh,
        province_name_en,
        cast(min(year) as integer) as first_year,
        cast(max(year) as integer) as last_year,
        count(distinct city_id) as city_count,
        count(*) as city_year_count,
        avg(case when vintage = 'revised' then 1 else 0 end) as revised_share,
        avg(case when vintage = 'unrevised' then 1 else 0 end) as unrevised_share,
        avg(case when vintage = 'neither' then 1 else 0 end) as neither_share,
        avg(case when vintage = 'same' then 1 else 0 end) as same_share
    from judged
    group by province_id, province_name_zh, province_name_en
),

final as (
    select
        {{ extract_set() }} as extract_set,
        *,
        case
            when revised_share + unrevised_share < {{ var('vintage_told_apart_share') }} then 'cannot be told'
            when revised_share >= {{ var('vintage_share') }} * (1 - same_share) then 'revised'
            when unrevised_share >= {{ var('vintage_share') }} * (1 - same_share) then 'unrevised'
            else 'mixed'
        end as vintage
    from counted
)

select * from final
order by province_id
