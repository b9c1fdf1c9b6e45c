with

specifications as (
    select
        *,
        estimator = 'dynamic_panel' as is_dynamic,
        string_split(subsample, '=')[1] as subsample_grouping,
        string_split(subsample, '=')[2] as subsample_group
    from {{ ref('int_specifications_resolved') }}
),

specification_series as (
    select * from {{ ref('dim_specification_series') }}
),

panel as (
    select * from {{ ref('fct_city_year_panel') }}
),

measures as (
    select * from {{ ref('fct_ai_measure') }}
),

city_groups as (
    select * from {{ ref('dim_city_groups') }}
),

-- Without one of its series a specification has no sample.
delivered as (
    select
        specifications.*,
        max(case when specification_series.role = 'measure' then specification_series.variable end) as measure,
        max(case when specification_series.role = 'measure' then specification_series.variable_used end)
            as measure_used,
        max(case when specification_series.role = 'second_measure' then specification_series.variable_used end)
            as second_measure_used
    from specifications
    inner join specification_series on specifications.specification_id = specification_series.specification_id
    where specification_series.role <> 'shared'
    group by all
    having bool_and(coalesce(specification_series.is_delivered, true))
),

-- A variable that shares its sample and was not delivered is passed over.
used_variables as (
    select
        specification_id,
        variable,
        variable_used,
        min(position) as position
    from specification_series
    where role in ('outcome', 'control', 'completeness', 'shared')
    group by specification_id, variable, variable_used
    having bool_and(is_delivered)
),

missing_values as (
    select
        city_id,
        year,
        variable
    from {{ ref('fct_city_year_values') }}
    where value is null
),

first_missing as (
    select
        used_variables.specification_id,
        missing_values.city_id,
        missing_values.year,
        min({ 'position': used_variables.position, 'variable': used_variables.variable }) as lacks
    from used_variables
    inner join missing_values on used_variables.variable_used = missing_values.variable
    group by used_variables.specification_id, missing_values.city_id, missing_values.year
),

specification_groupings as (
    select
        specification_id,
        variable as grouping,
        min(position) as position
    from specification_series
    where role = 'grouping'
    group by specification_id, variable
),

cities as (
    select distinct city_id from panel
),

placed as (
    select
        specification_groupings.specification_id,
        cities.city_id,
        min(
            case
                when city_groups.group_name is null
                    then { 'position': specification_groupings.position, 'grouping': specification_groupings.grouping }
            end
        ) as unplaced,
        map_from_entries(
            list((specification_groupings.grouping, city_groups.group_name)) filter (
                where city_groups.group_name is not null
            )
        ) as group_of
    from specification_groupings
    cross join cities
    left join city_groups
        on
            specification_groupings.grouping = city_groups.grouping
            and cities.city_id = city_groups.city_id
    group by specification_groupings.specification_id, cities.city_id
),

judged as (
    select
        delivered.specification_id,
        delivered.is_dynamic,
        delivered.options,
        panel.city_id,
        panel.year,
        case delivered.transform
            when 'level' then measures.measure_10k
            when 'ln' then measures.ln_measure
            when 'ln1p' then measures.ln1p_measure
            when 'asinh' then measures.asinh_measure
        end as transformed,
        case delivered.transform
            when 'level' then seconds.measure_10k
            when 'ln' then seconds.ln_measure
            when 'ln1p' then seconds.ln1p_measure
            when 'asinh' then seconds.asinh_measure
        end as second_transformed,
        case delivered.fixed_effects
            when 'city group-year' then placed.group_of[delivered.grouping]
            when 'city province-year' then panel.province_id
        end as period_group,
        case
            -- Without some of its years it would be another regression under the same name.
            when
                delivered.first_year < {{ period('first_year') }}
                or delivered.last_year > {{ period('last_year') }}
                then { 'place': 0, 'reason': 'specification beyond the period', 'variable': null }
            when not panel.year between delivered.first_year and delivered.last_year
                then { 'place': 1, 'reason': 'outside the years', 'variable': null }
            when
                delivered.options like '%endpoints=dropped%'
                and not panel.year between
                {{ var('break_year') + var('event_window')[0] }} and {{ var('break_year') + var('event_window')[1] }}
                then { 'place': 2, 'reason': 'outside the window of the event study', 'variable': null }
            when placed.unplaced is not null
                then { 'place': 10, 'reason': 'no group', 'variable': placed.unplaced.grouping }
            when placed.group_of[delivered.subsample_grouping] <> delivered.subsample_group
                then { 'place': 20, 'reason': 'outside the subsample', 'variable': delivered.subsample }
            when first_missing.lacks.position = 101
                then { 'place': 101, 'reason': 'outcome missing', 'variable': delivered.outcome }
            when measures.missing_reason is not null
                then { 'place': 200, 'reason': measures.missing_reason, 'variable': delivered.measure }
            when transformed is null
                then {
                    'place': 210,
                    'reason': case delivered.transform
                        when 'ln' then 'log of zero'
                        when 'ln1p' then 'log of one plus a value of -1 or less'
                        else 'measure missing'
                    end,
                    'variable': delivered.measure
                }
            when delivered.second_measure_used is not null and second_transformed is null
                then {
                    'place': 250, 'reason': 'second measure missing', 'variable': delivered.second_measure_used
                }
            when first_missing.lacks is not null
                then {
                    'place': first_missing.lacks.position,
                    'reason': case
                        when first_missing.lacks.position > 500 then 'another outcome missing' else 'control missing'
                    end,
                    'variable': first_missing.lacks.variable
                }
        end as loss,
        -- The variable whose lag is a regressor of a dynamic panel.
        case when delivered.options like '%lagged=measure%' then delivered.measure else delivered.outcome end as lagged,
        case
            when delivered.options like '%lagged=measure%' then transformed is not null
            else coalesce(first_missing.lacks.position, 0) <> 101
        end as has_lagged
    from delivered
    cross join panel
    left join placed
        on
            delivered.specification_id = placed.specification_id
            and panel.city_id = placed.city_id
    left join first_missing
        on
            delivered.specification_id = first_missing.specification_id
            and panel.city_id = first_missing.city_id
            and panel.year = first_missing.year
    left join measures
        on
            delivered.measure_used = measures.measure
            and delivered.weighting = measures.weighting
            and delivered.scope = measures.scope
            and panel.city_id = measures.city_id
            and panel.year = measures.year
    left join measures as seconds
        on
            delivered.second_measure_used = seconds.measure
            and delivered.weighting = seconds.weighting
            and delivered.scope = seconds.scope
            and panel.city_id = seconds.city_id
            and panel.year = seconds.year
),

-- City-years that a dynamic panel cannot estimate lend it their lags and instruments.
lenders as (
    select
        * exclude (loss),
        coalesce(
            loss,
            case
                when count(*) filter (where has_lagged) over year_before = 0
                    then { 'place': 600, 'reason': 'no value a year before', 'variable': lagged }
            end
        ) as loss
    from judged
    where
        is_dynamic
        and coalesce(loss.place, 100) >= 100
    window year_before as (
        partition by specification_id, city_id order by year range between 1 preceding and 1 preceding
    )
),

dynamic as (
    select
        * exclude (loss),
        coalesce(
            loss,
            case
                when
                    options like '%equation=difference%'
                    and count(*) filter (where loss is null) over year_before = 0
                    then { 'place': 601, 'reason': 'no observation a year before', 'variable': lagged }
            end
        ) as loss,
        true as is_used
    from lenders
    window year_before as (
        partition by specification_id, city_id order by year range between 1 preceding and 1 preceding
    )
),

others as (
    select
        *,
        loss is null as is_used
    from judged
    where
        not is_dynamic
        or loss.place < 100
),

losses as (
    select * from dynamic
    union all by name
    select * from others
),

final as (
    select
        specification_id,
        city_id,
        year,
        period_group,
        loss.place,
        loss.reason,
        loss.variable,
        is_used,
        is_dynamic
    from losses
)

select * from final
