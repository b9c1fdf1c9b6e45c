{%- set ratio = var('odd_year_ratio') -%}
with

shown_series as (
    select * from {{ ref('int_shown_series') }}
),

deviations as (
    select * from {{ ref('int_value_deviations') }}
),

ratio_definitions as (
    select * from {{ ref('int_ratio_definitions') }}
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

-- Share of cities for which two providers agree within 1 %, by series and year.
agreements as (
    select
        series,
        scope,
        first_provider as provider,
        series || '@' || second_provider as compared_with,
        year,
        'second source' as rule,
        avg(case when abs(first_ln - second_ln) < 0.01 then 1 else 0 end) as figure
    from source_pairs
    where
        first_ln is not null
        and second_ln is not null
    group by series, scope, first_provider, second_provider, year
    having count(*) >= 20
),

-- City-years in which the candidate denominators of a ratio differ enough to identify the one that the source used. The
-- usual denominator is the most frequent one.
distinguishable_definitions as (
    select
        *,
        mode(definition order by definition) over (partition by series, scope) as usual_definition
    from ratio_definitions
    where definitions_apart > 0.05
),

definitions as (
    select
        series,
        scope,
        any_value(provider) as provider,
        any_value(usual_definition) as compared_with,
        year,
        'definition' as rule,
        avg(case when definition = usual_definition then 1 else 0 end) as figure
    from distinguishable_definitions
    group by series, scope, year
    having count(*) >= 20
),

-- Median change of a province's cities since the previous year. Counts below 50 are excluded, because their changes are
-- too coarse.
province_steps as (
    select
        deviations.series,
        deviations.scope,
        any_value(deviations.provider) as provider,
        deviations.compared_with,
        deviations.year,
        cities.province_id,
        median(deviations.step) as step
    from deviations
    inner join cities using (city_id)
    where deviations.step is not null
    group by deviations.series, deviations.scope, deviations.compared_with, deviations.year, cities.province_id
    having
        count(*) >= 3
        and (not bool_or(deviations.is_whole) or median(deviations.value) >= 50)
),

own_steps as (
    select
        *,
        step - median(step) over (partition by series, scope, compared_with, year) as own_step
    from province_steps
),

province_moves as (
    select
        series,
        scope,
        any_value(provider) as provider,
        compared_with,
        year,
        'province steps' as rule,
        quantile_cont(abs(own_step), 0.7) as figure
    from own_steps
    group by series, scope, compared_with, year
    having count(*) >= 8
),

every_rule as (
    select * from agreements
    union all by name
    select * from definitions
    union all by name
    select * from province_moves
),

compared as (
    select
        every_rule.series,
        every_rule.scope,
        every_rule.provider,
        every_rule.compared_with,
        every_rule.rule,
        every_rule.year,
        every_rule.figure,
        median(others.figure) as usual_figure,
        count(*) as other_years
    from every_rule
    inner join every_rule as others
        on
            every_rule.rule = others.rule
            and every_rule.series = others.series
            and every_rule.scope = others.scope
            and every_rule.compared_with = others.compared_with
            and every_rule.provider = others.provider
            and every_rule.year <> others.year
    group by
        every_rule.series, every_rule.scope, every_rule.provider, every_rule.compared_with, every_rule.rule,
        every_rule.year, every_rule.figure
),

judged as (
    select
        * exclude (other_years),
        case
            when rule = 'province steps'
                then
                    (figure + 0.003) / (usual_figure + 0.003)
                    > if(other_years < {{ ratio.years }}, {{ ratio.of_fewer_years }}, {{ ratio.of_years }})
            else usual_figure - figure > {{ var('odd_year_gap') }}
        end as is_odd
    from compared
),

events as (
    select distinct
        event_id,
        provider,
        quantity,
        year
    from {{ ref('int_series_events') }}
    where is_national
),

odd_years_of_events as (
    select
        judged.series,
        judged.scope,
        judged.provider,
        judged.compared_with,
        judged.rule,
        judged.year,
        min(events.event_id) as event_id
    from judged
    inner join events
        on
            list_contains(string_split_regex(judged.series || '@' || judged.compared_with, '[@/+]'), events.quantity)
            and events.provider in ('*', judged.provider)
            and judged.year = events.year
    where judged.is_odd
    group by
        judged.series, judged.scope, judged.provider, judged.compared_with, judged.rule, judged.year
),

final as (
    select
        judged.*,
        shown_series.series is not null as is_shown,
        odd_years_of_events.event_id,
        case
            when judged.is_odd and odd_years_of_events.event_id is null
                then
                    judged.rule || ' ' || round(judged.figure, 2)
                    || ', in other years ' || round(judged.usual_figure, 2)
        end as undeclared_change
    from judged
    left join shown_series using (series, scope)
    left join odd_years_of_events using (series, scope, provider, compared_with, rule, year)
)

select * from final
