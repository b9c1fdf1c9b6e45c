with

specifications as (
    select * from {{ ref('regression_specifications') }}
    where is_headline
),

variables as (
    select
        scope,
        unnest(string_split(concat_ws(' ', outcome, controls), ' ')) as variable
    from specifications
),

final as (
    select distinct
        unnest(string_split(panel_variables.series, ' ')) as series,
        panel_variables.scope
    from variables
    inner join {{ ref('panel_variables') }} as panel_variables on variables.variable = panel_variables.variable
    union
    select distinct
        unnest([weightings.base_series, weightings.minus_series, weightings.scaling_series]) as series,
        specifications.scope
    from specifications
    inner join {{ ref('measure_weightings') }} as weightings
        on
            specifications.regressor = weightings.measure
            and specifications.weighting = weightings.weighting
)

select * from final
where series is not null
