with

marks as (
    select
        *,
        split_part(series, '@', 1) as quantity
    from {{ ref('int_value_marks') }}
),

deviations as (
    select * from {{ ref('int_value_deviations') }}
    where kind = 'alone'
),

ratio_definitions as (
    select
        series as quantity,
        * exclude (series)
    from {{ ref('int_ratio_definitions') }}
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

events as (
    select * from {{ ref('int_series_events') }}
),

boundary_changes as (
    select distinct
        city_id,
        first_year
    from {{ ref('int_city_boundary_changes') }}
),

used as (
    select distinct
        series,
        scope
    from {{ ref('dim_specification_series') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

-- Values that another provider confirms to within 0.5 %.
agreements as (
    select
        series as quantity,
        scope,
        city_id,
        year,
        unnest([first_provider, second_provider]) as provider,
        unnest([second_provider, first_provider]) as confirmed_by
    from source_pairs
    where abs(first_ln - second_ln) <= 0.005
),

confirmations as (
    select
        quantity,
        scope,
        city_id,
        year,
        provider,
        min(confirmed_by) as confirmed_by
    from agreements
    group by quantity, scope, city_id, year, provider
),

-- Changes from the previous year, and whether the change lasts: more than 60 % must remain in the median of the
-- following years. The limit exceeds one half, because with two following years a single outlier would leave half of
-- the change.
steps as (
    select
        *,
        case
            when own_step * shift > 0 and abs(shift) > 0.6 * abs(own_step) and 2 * abs(own_step) > ln(factor_min)
                then own_step
        end as lasting_step
    from deviations
),

-- Match each doubtful value to the largest lasting step into or out of its year. Unless the value is a spike, a step up
-- to two years away on the same side also counts. A value off the level of other cities may be explained by any earlier
-- step.
breaks as (
    select
        marks.series,
        marks.scope,
        marks.city_id,
        marks.year,
        marks.rule,
        arg_max(breaks.year, abs(breaks.lasting_step)) as break_year
    from marks
    inner join steps as here using (series, scope, city_id, year)
    inner join steps as breaks using (series, scope, city_id)
    where
        breaks.lasting_step is not null
        and marks.rule in ('neighbours', 'same row', 'other cities', 'same delivery')
        and (
            breaks.year - marks.year in (0, 1)
            or (
                here.spike is null
                and marks.distance * breaks.lasting_step * (marks.year - breaks.year + 0.5) > 0
                and abs(marks.distance) < 1.5 * abs(breaks.lasting_step)
                and (
                    breaks.year - marks.year in (2, -1, -2)
                    or (marks.rule = 'other cities' and breaks.year < marks.year)
                )
            )
        )
    group by marks.series, marks.scope, marks.city_id, marks.year, marks.rule
),

-- Lasting steps that are covered by a declared event, or that coincide with a change of the city's boundaries.
event_breaks as (
    select
        steps.series,
        steps.scope,
        steps.city_id,
        steps.year as break_year,
        coalesce(min(events.event_id), case when count(changes.city_id) > 0 then 'boundaries' end) as event_id
    from steps
    inner join cities using (city_id)
    left join events
        on
            split_part(steps.series, '@', 1) = events.quantity
            and cities.province_id = events.province_id
            and steps.year = events.year
            and events.provider in ('*', steps.provider)
            and abs(steps.lasting_step) <= events.largest_step
    left join boundary_changes as changes
        on
            steps.city_id = changes.city_id
            and steps.year = changes.first_year
    where
        steps.lasting_step is not null
        and (events.event_id is not null or changes.city_id is not null)
    group by steps.series, steps.scope, steps.city_id, steps.year
),

source_marks as (
    select
        *,
        least(series, compared_with) as first_series,
        greatest(series, compared_with) as second_series,
        case when series < compared_with then distance else -distance end as log_ratio
    from marks
    where rule = 'second source'
),

-- Values whose ratio to another provider is stable in consecutive years, which suggests that the providers use
-- different definitions or vintages.
steady_ratios as (
    select distinct
        source_marks.series,
        source_marks.scope,
        source_marks.city_id,
        source_marks.year,
        source_marks.rule
    from source_marks
    inner join source_marks as beside
        on
            source_marks.first_series = beside.first_series
            and source_marks.second_series = beside.second_series
            and source_marks.scope = beside.scope
            and source_marks.city_id = beside.city_id
            and abs(source_marks.year - beside.year) = 1
            and 4 * abs(source_marks.log_ratio - beside.log_ratio) < abs(source_marks.log_ratio)
),

-- Declared events that explain a difference between two providers. The city's own series may show no jump, because one
-- provider may have revised earlier years too.
source_events as (
    select
        source_marks.series,
        source_marks.scope,
        source_marks.city_id,
        source_marks.year,
        min(events.event_id) as event_id
    from source_marks
    inner join cities using (city_id)
    inner join events
        on
            source_marks.quantity = events.quantity
            and cities.province_id = events.province_id
            and source_marks.year = events.year
            and events.provider in ('*', source_marks.provider)
            and abs(source_marks.distance) <= events.largest_step
    left join marks as jumps
        on
            source_marks.series = jumps.series
            and source_marks.scope = jumps.scope
            and source_marks.city_id = jumps.city_id
            and source_marks.year = jumps.year
            and jumps.rule = 'neighbours'
    where jumps.city_id is null
    group by source_marks.series, source_marks.scope, source_marks.city_id, source_marks.year
),

described as (
    select
        marks.*,
        steps.value as break_value,
        steps.lasting_step,
        confirmations.confirmed_by,
        steady_ratios.city_id is not null as is_steady,
        case
            when
                marks.rule = 'same row'
                and definitions.distance < 0.02
                and strpos(marks.compared_with, definitions.definition) = 0
                then definitions.definition
            -- The difference between the two providers equals the difference between the two denominators.
            when
                marks.rule = 'second source'
                and definitions.distance < 0.02
                and abs(abs(marks.distance) - definitions.definitions_apart) < 0.02
                then definitions.definition
            when marks.rule = 'same value' then marks.compared_with
            when marks.rule = 'second source' then source_events.event_id
        end as definition,
        event_breaks.event_id,
        case
            when event_breaks.event_id is not null or (breaks.break_year is not null and steps.shift_years > 1)
                then breaks.break_year
        end as break_year
    from marks
    left join confirmations using (quantity, scope, provider, city_id, year)
    left join steady_ratios using (series, scope, city_id, year, rule)
    left join source_events using (series, scope, city_id, year)
    left join ratio_definitions as definitions using (quantity, scope, city_id, year)
    left join breaks using (series, scope, city_id, year, rule)
    left join event_breaks using (series, scope, city_id, break_year)
    left join steps
        on
            marks.series = steps.series
            and marks.scope = steps.scope
            and marks.city_id = steps.city_id
            and breaks.break_year = steps.year
),

-- Assign a cause to each doubtful value. Causes are tested in order of certainty.
explained as (
    select
        * replace (
            case when break_year is null then value else break_value end as value,
            case when break_year is null then distance else lasting_step end as distance
        ),
        case
            when rule in ('repeat', 'province total') then rule
            when definition is not null or is_steady then 'definition'
            when confirmed_by is not null then 'confirmed'
            when event_id is not null then 'level break'
            when break_year is not null then 'break without event'
            else 'spike'
        end as cause,
        coalesce(definition, case when is_steady then compared_with end, confirmed_by, event_id) as cause_detail,
        coalesce(break_year, year) as marked_year
    from described
),

ranked as (
    select
        *,
        string_agg(distinct rule, ', ' order by rule) over same_cell as rules,
        row_number() over (
            same_cell
            order by
                list_position(
                    ['repeat', 'province total', 'definition', 'confirmed', 'level break', 'break without event'],
                    cause
                ) nulls last,
                abs(score) desc,
                rule
        ) as row_order
    from explained
    window same_cell as (partition by series, scope, city_id, marked_year)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        ranked.city_id,
        cities.name_zh,
        cities.name_en,
        cast(ranked.marked_year as integer) as year,
        ranked.series,
        ranked.scope,
        ranked.provider,
        ranked.rules,
        ranked.compared_with,
        ranked.value,
        ranked.value / exp(ranked.distance) as expected_value,
        exp(abs(ranked.distance)) as factor,
        abs(ranked.score) as spreads,
        ranked.cause,
        ranked.cause_detail,
        ranked.cause in ('break without event', 'spike') as is_unexplained,
        used.series is not null as is_used
    from ranked
    left join cities using (city_id)
    left join used using (series, scope)
    where ranked.row_order = 1
)

select * from final
