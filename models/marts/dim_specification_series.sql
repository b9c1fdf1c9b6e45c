with

specifications as (
    select
        *,
        -- An event study explains the measure; every other regression explains something by it.
        estimator = 'event_study' as is_event_study,
        case when estimator = 'event_study' then outcome else regressor end as measure,
        string_split(regexp_extract(options, 'complete=(\S+)', 1), ',') as complete,
        string_split(regexp_extract(options, 'shared=(\S+)', 1), ',') as shared
    from {{ ref('regression_specifications') }}
),

variables as (
    select
        variable,
        scope,
        unnest(string_split(series, ' ')) as series
    from {{ ref('dim_variable') }}
),

weightings as (
    select * from {{ ref('measure_weightings') }}
),

groupings as (
    select
        grouping,
        year,
        unnest(coalesce(string_split(series, ' '), [null])) as series
    from {{ ref('city_groupings') }}
),

series as (
    select * from {{ ref('dim_series') }}
),

named as (
    select
        specification_id,
        'outcome' as role,
        1 as role_position,
        outcome as variable
    from specifications
    where not is_event_study
    union all
    select
        specification_id,
        'control' as role,
        generate_subscripts(string_split(controls, ' '), 1) as role_position,
        unnest(string_split(controls, ' ')) as variable
    from specifications
    union all
    select
        specification_id,
        'completeness' as role,
        generate_subscripts(complete, 1) as role_position,
        unnest(complete) as variable
    from specifications
    union all
    select
        specification_id,
        'shared' as role,
        generate_subscripts(shared, 1) as role_position,
        unnest(shared) as variable
    from specifications
),

of_panel as (
    select
        named.specification_id,
        named.role,
        named.role_position,
        named.variable,
        variables.series,
        variables.scope,
        true as is_of_sample_years,
        null as fixed_year
    from named
    left join variables on named.variable = variables.variable
    where named.variable <> ''
),

-- A count that is scaled matters in the base year alone; the series that scales it, in the base year and each year.
of_measure as (
    select
        specifications.specification_id,
        unnest(['scaling', 'measure', 'measure']) as role,
        unnest([1, 1, 2]) as role_position,
        specifications.measure as variable,
        unnest([weightings.scaling_series, weightings.base_series, weightings.minus_series]) as series,
        specifications.scope,
        unnest([true, weightings.scaling_series is null, weightings.scaling_series is null]) as is_of_sample_years,
        case when weightings.scaling_series is not null then {{ var('base_year') }} end as fixed_year
    from specifications
    inner join weightings
        on
            specifications.measure = weightings.measure
            and specifications.weighting = weightings.weighting
),

grouped as (
    select
        specification_id,
        1 as role_position,
        string_split(subsample, '=')[1] as grouping
    from specifications
    union all
    select
        specification_id,
        2 as role_position,
        grouping
    from specifications
    union all
    select
        specification_id,
        3 as role_position,
        regressor as grouping
    from specifications
    where is_event_study
),

of_groupings as (
    select
        grouped.specification_id,
        'grouping' as role,
        min(grouped.role_position) as role_position,
        grouped.grouping as variable,
        groupings.series,
        'industry' as scope,
        false as is_of_sample_years,
        groupings.year as fixed_year
    from grouped
    inner join groupings on grouped.grouping = groupings.grouping
    group by grouped.specification_id, grouped.grouping, groupings.series, groupings.year
),

used as (
    select * from of_panel
    union all
    select * from of_measure
    where series is not null
    union all
    select * from of_groupings
),

scoped as (
    select
        used.*,
        case
            when used.series is null then null
            -- A series without industries has the one scope.
            when exists (
                select 1 from series
                where series.series = used.series and series.scope = 'total'
            ) then 'total'
            else used.scope
        end as scope_used
    from used
),

final as (
    select
        scoped.specification_id,
        scoped.role,
        scoped.role_position
        + case scoped.role
            when 'outcome' then 100
            when 'scaling' then 200
            when 'measure' then 210
            when 'control' then 300
            when 'completeness' then 400
            when 'shared' then 500
            when 'grouping' then 600
        end as position,
        scoped.variable,
        scoped.series,
        scoped.scope_used as scope,
        case when scoped.is_of_sample_years then specifications.first_year end as first_year,
        case when scoped.is_of_sample_years then specifications.last_year end as last_year,
        scoped.fixed_year,
        specifications.is_headline,
        case when scoped.series is not null then coalesce(series.is_delivered, false) end as is_delivered,
        series.provider,
        series.substitution,
        series.absence_reason,
        current_extract_set() as extract_set
    from scoped
    inner join specifications on scoped.specification_id = specifications.specification_id
    left join series
        on
            scoped.series = series.series
            and scoped.scope_used = series.scope
)

select * from final
