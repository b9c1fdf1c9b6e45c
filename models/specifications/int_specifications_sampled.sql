with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

options as (
    select
        specification_id,
        -- Parse the estimator's options, which are written as name=value. Options that are not given are null.
        map_from_entries(
            list_transform(
                string_split(coalesce(options, ''), ' '),
                lambda pair: (split_part(pair, '=', 1), split_part(pair, '=', 2))
            )
        ) as option
    from specifications
),

specification_series as (
    select * from {{ ref('dim_specification_series') }}
),

-- Specifications whose series were all delivered; the others have no sample.
delivered as (
    select
        specification_id,
        max(case when role = 'measure' then variable end) as measure,
        max(case when role = 'measure' then variable_used end) as measure_used,
        max(case when role = 'second_measure' then variable_used end) as second_measure_used
    from specification_series
    where role <> 'shared'
    group by specification_id
    having bool_and(coalesce(is_delivered, true))
),

-- Variables that an observation requires. Variables with the role `shared` are ignored if they were not delivered.
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

variables as (
    select
        specification_id,
        list(
            { 'position': position, 'variable': variable, 'variable_used': variable_used }
            order by position, variable, variable_used
        ) as variables
    from used_variables
    group by specification_id
),

used_groupings as (
    select
        specification_id,
        variable as grouping,
        min(position) as position
    from specification_series
    where role = 'grouping'
    group by specification_id, variable
),

groupings as (
    select
        specification_id,
        list({ 'position': position, 'grouping': grouping } order by position, grouping) as groupings
    from used_groupings
    group by specification_id
),

-- Everything that determines the estimation sample of a specification.
designs as (
    select
        specifications.specification_id,
        {
            'estimator': case specifications.estimator when 'dynamic_panel' then 'dynamic_panel' else 'other' end,
            'first_year': specifications.first_year,
            'last_year': specifications.last_year,
            'drops_endpoints': coalesce(options.option['endpoints'] = 'dropped', false),
            'lags_measure': coalesce(options.option['lagged'] = 'measure', false),
            'is_in_differences': coalesce(options.option['equation'] = 'difference', false),
            'outcome': specifications.outcome,
            'measure': delivered.measure,
            'measure_used': delivered.measure_used,
            'second_measure_used': delivered.second_measure_used,
            'transform': specifications.transform,
            'weighting': specifications.weighting,
            'scope': specifications.scope,
            'subsample': specifications.subsample,
            'period_grouping': case specifications.fixed_effects
                when 'city group-year' then specifications.grouping
                when 'city province-year' then 'province'
            end,
            'variables': variables.variables,
            'groupings': groupings.groupings
        } as design
    from specifications
    inner join options using (specification_id)
    inner join delivered using (specification_id)
    left join variables using (specification_id)
    left join groupings using (specification_id)
),

final as (
    select
        specifications.*,
        min(designs.specification_id) over (partition by designs.design) as sample_id,
        designs.design
    from specifications
    left join designs using (specification_id)
)

select * from final
