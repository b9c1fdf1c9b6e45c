with

series as (
    select * from {{ ref('int_series_conformed') }}
    where
        value is not null
        and is_spliced is not true
),

sources as (
    select * from {{ ref('int_series_sources') }}
),

ranked as (
    select
        series.*,
        sources.priority
    from series
    inner join sources
        on
            series.quantity = sources.series
            and series.scope = sources.scope
            and series.provider = sources.provider
),

cities as (
    select * from {{ ref('dim_city') }}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        firsts.quantity as series,
        firsts.scope,
        firsts.provider as first_provider,
        seconds.provider as second_provider,
        firsts.city_id,
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        cast(firsts.year as integer) as year,
        firsts.value as first_value,
        seconds.value as second_value,
        {{ log_of('firsts.value') }} as first_ln,
        {{ log_of('seconds.value') }} as second_ln,
        {{ log_of('1 + firsts.value') }} as first_ln1p,
        {{ log_of('1 + seconds.value') }} as second_ln1p
    from ranked as firsts
    inner join ranked as seconds
        on
            firsts.quantity = seconds.quantity
            and firsts.scope = seconds.scope
            and firsts.city_id = seconds.city_id
            and firsts.year = seconds.year
            and firsts.priority < seconds.priority
    left join cities on firsts.city_id = cities.city_id
)

select * from final
