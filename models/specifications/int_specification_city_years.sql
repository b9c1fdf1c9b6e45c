with

-- Distinct samples. Specifications with the same sample design share one sample.
samples as (
    select distinct
        sample_id,
        design
    from {{ ref('int_specifications_sampled') }}
    where sample_id is not null
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

used_variables as (
    select
        samples.sample_id,
        used.variable.position,
        used.variable.variable,
        used.variable.variable_used
    from samples
    cross join unnest(samples.design.variables) as used (variable)
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
        used_variables.sample_id,
        missing_values.city_id,
        missing_values.year,
        min({ 'position': used_variables.position, 'variable': used_variables.variable }) as lacks
    from used_variables
    inner join missing_values on used_variables.variable_used = missing_values.variable
    group by used_variables.sample_id, missing_values.city_id, missing_values.year
),

sample_groupings as (
    select
        samples.sample_id,
        used.grouping.position,
        used.grouping.grouping
    from samples
    cross join unnest(samples.design.groupings) as used (grouping)
),

cities as (
    select distinct city_id from panel
),

placed as (
    select
        sample_groupings.sample_id,
        cities.city_id,
        min(
            case
                when city_groups.group_name is null
                    then { 'position': sample_groupings.position, 'grouping': sample_groupings.grouping }
            end
        ) as unplaced,
        map_from_entries(
            list((sample_groupings.grouping, city_groups.group_name)) filter (
                where city_groups.group_name is not null
            )
        ) as group_of
    from sample_groupings
    cross join cities
    left join city_groups using (grouping, city_id)
    group by sample_groupings.sample_id, cities.city_id
),

judged as (
    select
        samples.sample_id,
        samples.design.estimator = 'dynamic_panel' as is_dynamic,
        samples.design.is_in_differences,
        panel.city_id,
        panel.year,
        case samples.design.transform
            when 'level' then measures.measure_10k
            when 'ln' then measures.ln_measure
            when 'ln1p' then measures.ln1p_measure
            when 'asinh' then measures.asinh_measure
        end as transformed,
        case samples.design.transform
            when 'level' then seconds.measure_10k
            when 'ln' then seconds.ln_measure
            when 'ln1p' then seconds.ln1p_measure
            when 'asinh' then seconds.asinh_measure
        end as second_transformed,
        case
            when samples.design.period_grouping = 'province' then panel.province_id
            else placed.group_of[samples.design.period_grouping]
        end as period_group,
        case
            when not panel.year between samples.design.first_year and samples.design.last_year
                then { 'place': 1, 'reason': 'outside the years', 'variable': null }
            when
                samples.design.drops_endpoints
                and not panel.year between
                {{ var('break_year') + var('event_window')[0] }} and {{ var('break_year') + var('event_window')[1] }}
                then { 'place': 2, 'reason': 'outside the window of the event study', 'variable': null }
            when placed.unplaced is not null
                then { 'place': 10, 'reason': 'no group', 'variable': placed.unplaced.grouping }
            when
                placed.group_of[split_part(samples.design.subsample, '=', 1)]
                <> split_part(samples.design.subsample, '=', 2)
                then { 'place': 20, 'reason': 'outside the subsample', 'variable': samples.design.subsample }
            when first_missing.lacks.position = 101
                then { 'place': 101, 'reason': 'outcome missing', 'variable': samples.design.outcome }
            when measures.missing_reason is not null
                then { 'place': 200, 'reason': measures.missing_reason, 'variable': samples.design.measure }
            when transformed is null
                then {
                    'place': 210,
                    'reason': case samples.design.transform
                        when 'ln' then 'log of zero'
                        when 'ln1p' then 'log of one plus a value of -1 or less'
                        else 'measure missing'
                    end,
                    'variable': samples.design.measure
                }
            when samples.design.second_measure_used is not null and second_transformed is null
                then {
                    'place': 250, 'reason': 'second measure missing', 'variable': samples.design.second_measure_used
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
        -- Variable whose lag is a regressor in the dynamic panel.
        case when samples.design.lags_measure then samples.design.measure else samples.design.outcome end as lagged,
        case
            when samples.design.lags_measure then transformed is not null
            else coalesce(first_missing.lacks.position, 0) <> 101
        end as has_lagged
    from samples
    cross join panel
    left join placed using (sample_id, city_id)
    left join first_missing using (sample_id, city_id, year)
    left join measures
        on
            samples.design.measure_used = measures.measure
            and samples.design.weighting = measures.weighting
            and samples.design.scope = measures.scope
            and panel.city_id = measures.city_id
            and panel.year = measures.year
    left join measures as seconds
        on
            samples.design.second_measure_used = seconds.measure
            and samples.design.weighting = seconds.weighting
            and samples.design.scope = seconds.scope
            and panel.city_id = seconds.city_id
            and panel.year = seconds.year
),

-- City-years that provide lags and instruments to a dynamic panel, including city-years that are not observations
-- themselves.
lag_sources as (
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
        partition by sample_id, city_id order by year range between 1 preceding and 1 preceding
    )
),

dynamic as (
    select
        * exclude (loss),
        coalesce(
            loss,
            case
                when
                    is_in_differences
                    and count(*) filter (where loss is null) over year_before = 0
                    then { 'place': 601, 'reason': 'no observation a year before', 'variable': lagged }
            end
        ) as loss,
        true as is_used
    from lag_sources
    window year_before as (
        partition by sample_id, city_id order by year range between 1 preceding and 1 preceding
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
        sample_id,
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
