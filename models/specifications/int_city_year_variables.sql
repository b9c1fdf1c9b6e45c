with

city_years as (
    select * from {{ ref('fct_city_year_panel') }}
),

city_year_values as (
    select * from {{ ref('fct_city_year_values') }}
),

named as (
    select
        city_years.extract_set,
        city_years.city_id,
        city_years.year,
        city_years.name_zh,
        city_years.province_id,
        city_years.region,
        city_year_values.variable,
        city_year_values.value
    from city_years
    inner join city_year_values using (city_id, year)
    union all by name
    -- Add one row per variable, so that the pivot creates every column even if there are no city-years.
    select variable from {{ ref('dim_variable').render() }}
),

final as (
    from (
        pivot named on variable using max(value)
        order by city_id, year
    )
    where city_id is not null
)

select * from final
