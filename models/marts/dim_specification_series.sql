with

specifications as (
    select
        *,
        -- In an event study, the AI measure is the outcome; in every other regression, it is a regressor.
        estimator = 'event_study' as is_event_study,
        case when estimator = 'event_study' then outcome else regressor end as measure,
        -- Parse `instrument=measure@provider`: a second measurement of the AI measure, which is used as an instrument.
        nullif(regexp_extract(options, 'instrument=([^@ ]+)', 1), '') as second_measure,
        regexp_extract(options, 'instrument=[^@ ]+@(\S+)', 1) as second_provider,
        string_split(regexp_extract(options, 'complete=(\S+)', 1), ',') as complete,
        string_split(regexp_extract(options, 'shared=(\S+)', 1), ',') as shared
    from {{ ref('int_specifications_resolved') }}
),

-- Providers that a specification names for individual series, as `series=provider`. All other series use the default
-- provider.
named_providers as (
    select
        specification_id,
        split_part(choice, '=', 1) as quantity,
        split_part(choice, '=', 2) as provider
    from (
        select
            specification_id,
            unnest(string_split(providers, ' ')) as choice
        from specifications
    ) as choices
),

variables as (
    select
        variable,
        scope,
        unnest(string_split(series, ' ')) as quantity,
        generate_subscripts(string_split(series, ' '), 1) as series_order
    from {{ ref('dim_variable') }}
    where variable = base_variable
),

weightings as (
    select * from {{ ref('measure_weightings') }}
),

groupings as (
    select
        grouping,
        year as asked_year,
        unnest(coalesce(string_split(series, ' '), [null])) as quantity
    from {{ ref('city_groupings') }}
),

series as (
    select * from {{ ref('dim_series') }}
),

listed as (
    select
        specification_id,
        unnest(['control', 'completeness', 'shared']) as role,
        unnest([string_split(controls, ' '), complete, shared]) as variables
    from specifications
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
        role,
        generate_subscripts(variables, 1) as role_position,
        unnest(variables) as variable
    from listed
),

of_panel as (
    select
        named.*,
        variables.quantity,
        variables.series_order,
        variables.scope,
        true as is_of_sample_years,
        false as is_of_first_year,
        null as asked_year
    from named
    left join variables using (variable)
    where named.variable <> ''
),

-- One row per specification and measure. The second measure uses the weighting of the first.
measured as (
    select
        * exclude (measure),
        unnest([measure, second_measure]) as measure,
        unnest([['scaling', 'measure', 'measure'], ['second_measure', 'second_measure', 'second_measure']]) as roles,
        unnest([[1, 1, 2], [3, 1, 2]]) as role_positions
    from specifications
),

-- Series from which each measure is computed, and the years that are needed. If a measure is a fixed share times a
-- scaling series, the share's count is needed only in the share's year, and the scaling series also in every sample
-- year.
of_measure as (
    select
        measured.specification_id,
        unnest(measured.roles) as role,
        unnest(measured.role_positions) as role_position,
        measured.measure as variable,
        unnest([weightings.scaling_series, weightings.base_series, weightings.minus_series]) as quantity,
        unnest([3, 1, 2]) as series_order,
        measured.scope,
        unnest([true, weightings.scaling_series is null, weightings.scaling_series is null]) as is_of_sample_years,
        weightings.share_year = 'first' as is_of_first_year,
        case when weightings.share_year = 'base' then {{ declared_year('base_year') }} end as asked_year
    from measured
    inner join weightings using (measure, weighting)
),

grouped as (
    select
        specification_id,
        unnest([1, 2, 3]) as role_position,
        unnest([split_part(subsample, '=', 1), grouping, case when is_event_study then regressor end]) as grouping
    from specifications
),

of_groupings as (
    select
        grouped.specification_id,
        'grouping' as role,
        min(grouped.role_position) as role_position,
        grouped.grouping as variable,
        groupings.quantity,
        cast(null as integer) as series_order,
        '{{ var("default_measure").scope }}' as scope,
        false as is_of_sample_years,
        false as is_of_first_year,
        groupings.asked_year
    from grouped
    inner join groupings using (grouping)
    group by grouped.specification_id, grouped.grouping, groupings.quantity, groupings.asked_year
),

used as (
    select * from of_panel
    union all
    select * from of_measure
    where quantity is not null
    union all
    select * from of_groupings
),

scoped as (
    select
        used.*,
        case
            when used.quantity is null then null
            -- A series that is not reported by industry only has the scope 'total'.
            when exists (
                select 1 from series
                where series.series = used.quantity and series.scope = 'total'
            ) then 'total'
            else used.scope
        end as scope_used
    from used
),

-- Provider that the specification names for each series. Series that define a grouping always use the default provider.
provided as (
    select
        scoped.*,
        case
            when scoped.role = 'grouping' then null
            when scoped.role = 'second_measure' and scoped.series_order < 3 then specifications.second_provider
            else named_providers.provider
        end as named_provider
    from scoped
    inner join specifications using (specification_id)
    left join named_providers using (specification_id, quantity)
),

resolved as (
    select
        provided.*,
        case provided.role when 'scaling' then 'measure' else provided.role end as variable_role,
        {{ nearest_year('provided.asked_year') }} as fixed_year,
        case
            when provided.named_provider <> coalesce(defaults.provider, '') and provided.named_provider <> ''
                then provided.quantity || '@' || provided.named_provider
            else provided.quantity
        end as series
    from provided
    left join series as defaults
        on
            provided.quantity = defaults.series
            and provided.scope_used = defaults.scope
),

variables_used as (
    select
        specification_id,
        variable_role,
        variable,
        {{ qualified_name('variable', "string_agg(series, ' ' order by series_order)") }} as variable_used
    from resolved
    where role <> 'grouping'
    group by specification_id, variable_role, variable
),

final as (
    select
        resolved.specification_id,
        resolved.role,
        resolved.role_position
        + case resolved.role
            when 'outcome' then 100
            when 'scaling' then 200
            when 'measure' then 210
            when 'second_measure' then 250
            when 'control' then 300
            when 'completeness' then 400
            when 'shared' then 500
            when 'grouping' then 600
        end as position,
        resolved.variable,
        coalesce(variables_used.variable_used, resolved.variable) as variable_used,
        resolved.quantity,
        resolved.series,
        resolved.scope_used as scope,
        case when resolved.is_of_sample_years then specifications.first_year end as first_year,
        case when resolved.is_of_sample_years then specifications.last_year end as last_year,
        -- Year of the share: the first year in which all series of the share were delivered.
        case
            when resolved.is_of_first_year
                then max(series.first_year) over (
                    partition by
                        resolved.specification_id, resolved.is_of_first_year, resolved.role = 'second_measure'
                )
            else resolved.fixed_year
        end as fixed_year,
        case when resolved.asked_year <> resolved.fixed_year then resolved.asked_year end as asked_year,
        specifications.is_headline,
        case when resolved.series is not null then coalesce(series.is_delivered, false) end as is_delivered,
        series.provider,
        series.substitution,
        series.absence_reason,
        series.absence_reason_zh,
        {{ extract_set() }} as extract_set
    from resolved
    inner join specifications using (specification_id)
    left join variables_used using (specification_id, variable_role, variable)
    left join series
        on
            resolved.series = series.series
            and resolved.scope_used = series.scope
)

select * from final
