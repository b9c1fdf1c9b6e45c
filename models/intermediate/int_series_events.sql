with

declared as (
    select * from {{ ref('series_events') }}
),

cities as (
    select * from {{ ref('cities') }}
),

provinces as (
    select distinct province_id
    from cities
),

-- Unnest the series only. The years are unnested in the next CTE, because two unnest calls in one select would pair
-- their items instead of combining them.
series_of_events as (
    select
        event_id,
        provider,
        provinces,
        range(first_year, last_year + 1) as years,
        ln(factor_max) as largest_step,
        unnest(string_split(series, ' ')) as quantity
    from declared
),

years_of_events as (
    select
        * exclude (years),
        unnest(years) as year
    from series_of_events
),

final as (
    select
        years_of_events.event_id,
        years_of_events.provider,
        years_of_events.quantity,
        provinces.province_id,
        cast(years_of_events.year as integer) as year,
        years_of_events.largest_step,
        years_of_events.provinces = '*' as is_national
    from years_of_events
    inner join provinces
        on
            years_of_events.provinces = '*'
            or list_contains(string_split(years_of_events.provinces, ' '), provinces.province_id)
)

select * from final
