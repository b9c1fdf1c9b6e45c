{%- set steps = var('province_steps') -%}
with

shown_series as (
    select * from {{ ref('int_shown_series') }}
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

sources as (
    select * from {{ ref('int_series_sources') }}
),

cities as (
    select * from {{ ref('cities') }}
),

events as (
    select * from {{ ref('int_series_events') }}
),

-- Log values by city and year. Series delivered by province are excluded, because all cities of a province share one
-- value. Small values are excluded, because their logs change in large steps.
judged as (
    select
        conformed.series,
        conformed.scope,
        conformed.provider,
        conformed.city_id,
        conformed.year,
        ln(conformed.value) as log_value
    from conformed
    inner join shown_series using (series, scope)
    left join sources
        on
            conformed.quantity = sources.series
            and conformed.scope = sources.scope
            and conformed.provider = sources.provider
    where
        sources.boundaries is distinct from 'province'
        and conformed.value >= case
            when conformed.value = round(conformed.value) then {{ steps.least_count }}
            else {{ steps.least_value }}
        end
),

around as (
    select
        *,
        avg(log_value) over earlier as earlier_mean,
        count(*) over earlier as earlier_count,
        avg(log_value) over later as later_mean,
        count(*) over later as later_count
    from judged
    window
        earlier as (
            partition by series, scope, city_id
            order by year
            range between {{ steps.years }} preceding and 1 preceding
        ),
        later as (
            partition by series, scope, city_id
            order by year
            range between current row and {{ steps.years - 1 }} following
        )
),

-- Change between the means of the years before and after. Means over fewer years vary more, so each change is scaled to
-- the variance of a change between two single years.
differences as (
    select
        *,
        (later_mean - earlier_mean) / sqrt((1 / earlier_count + 1 / later_count) / 2) as difference
    from around
    where earlier_count > 0
),

typical as (
    select
        series,
        scope,
        year,
        median(difference) as typical_difference,
        mad(difference) as city_deviation,
        median(later_mean - earlier_mean) as typical_move
    from differences
    group by series, scope, year
),

provinces as (
    select
        differences.series,
        differences.scope,
        any_value(differences.provider) as provider,
        cities.province_id,
        any_value(cities.province_name_zh) as province_name_zh,
        any_value(cities.province_name_en) as province_name_en,
        differences.year,
        count(*) as city_count,
        median(differences.difference - typical.typical_difference) * sqrt(count(*)) as step,
        exp(median(differences.later_mean - differences.earlier_mean - typical.typical_move)) as factor
    from differences
    inner join typical using (series, scope, year)
    inner join cities using (city_id)
    group by differences.series, differences.scope, differences.year, cities.province_id
),

-- Robust standard deviation of the provinces' steps in a year. It is at least the standard error of a province's median
-- under independent cities. For normally distributed values, a standard deviation is 1.4826 median absolute deviations,
-- and a median's standard error is 1.2533 times a mean's.
spreads as (
    select
        provinces.series,
        provinces.scope,
        provinces.year,
        1.4826 * greatest(median(abs(provinces.step)), 1.2533 * any_value(typical.city_deviation)) as spread
    from provinces
    inner join typical using (series, scope, year)
    where provinces.city_count >= {{ steps.cities }}
    group by provinces.series, provinces.scope, provinces.year
    having count(*) >= {{ steps.provinces }}
),

usual_spreads as (
    select
        series,
        scope,
        median(spread) as spread
    from spreads
    group by series, scope
),

declared as (
    select
        provinces.series,
        provinces.scope,
        provinces.province_id,
        provinces.year,
        min(events.event_id) as event_id
    from provinces
    inner join events
        on
            split_part(provinces.series, '@', 1) = events.quantity
            and provinces.province_id = events.province_id
            and provinces.year = events.year
            and events.provider in ('*', provinces.provider)
            and abs(ln(provinces.factor)) <= events.largest_step
    group by provinces.series, provinces.scope, provinces.province_id, provinces.year
),

final as (
    select
        provinces.series,
        provinces.scope,
        provinces.provider,
        provinces.province_id,
        provinces.province_name_zh,
        provinces.province_name_en,
        provinces.year,
        provinces.city_count,
        provinces.factor,
        provinces.step / nullif(usual_spreads.spread, 0) as spread_count,
        declared.event_id,
        case
            when
                declared.event_id is null
                and provinces.city_count >= {{ steps.cities }}
                and abs(provinces.step) > {{ steps.spreads_max }} * usual_spreads.spread
                then round(provinces.factor, 3)
        end as odd_factor
    from provinces
    left join usual_spreads using (series, scope)
    left join declared using (series, scope, province_id, year)
    qualify
        row_number() over (
            partition by provinces.series, provinces.scope, provinces.province_id
            order by
                provinces.city_count >= {{ steps.cities }} desc,
                declared.event_id is null desc,
                abs(provinces.step) desc,
                provinces.year
        ) = 1
)

select * from final
