with

axes as (
    select * from {{ ref('curve_axes') }}
),

exclusions as (
    select * from {{ ref('curve_exclusions') }}
),

crossed as (
    select
        transforms.value as transform,
        weightings.value as weighting,
        scopes.value as scope,
        providers.value as provider,
        controls.value as controls,
        populations.value as population,
        fixed_effects.value as fixed_effects,
        periods.value as period,
        city_samples.value as city_sample,
        providers.setting as second_provider,
        replace(coalesce(controls.setting, ''), '{population}', populations.setting) as control_variables,
        fixed_effects.setting as period_effects,
        cast(split_part(periods.setting, ' ', 1) as integer) as first_year,
        cast(split_part(periods.setting, ' ', 2) as integer) as last_year
    from axes as transforms
    cross join axes as weightings
    cross join axes as scopes
    cross join axes as providers
    cross join axes as controls
    cross join axes as populations
    cross join axes as fixed_effects
    cross join axes as periods
    cross join axes as city_samples
    where
        transforms.axis = 'transform'
        and weightings.axis = 'weighting'
        and scopes.axis = 'scope'
        and providers.axis = 'provider'
        and controls.axis = 'controls'
        and populations.axis = 'population'
        and fixed_effects.axis = 'fixed_effects'
        and periods.axis = 'period'
        and city_samples.axis = 'city_sample'
),

choices as (
    select
        *,
        [
            'transform=' || transform,
            'weighting=' || weighting,
            'scope=' || scope,
            'provider=' || provider,
            'controls=' || controls,
            'population=' || population,
            'fixed_effects=' || fixed_effects,
            'period=' || period,
            'city_sample=' || city_sample
        ] as chosen
    from crossed
),

final as (
    select
        choices.transform,
        choices.weighting,
        choices.scope,
        choices.provider,
        choices.controls,
        choices.population,
        choices.fixed_effects,
        choices.period,
        choices.city_sample,
        choices.second_provider,
        choices.control_variables,
        choices.period_effects,
        choices.first_year,
        choices.last_year,
        array_to_string(choices.chosen, '; ') as curve_id
    from choices
    anti join exclusions
        on
            list_contains(choices.chosen, exclusions.axis || '=' || exclusions.value)
            and list_contains(choices.chosen, exclusions.excluded_axis || '=' || exclusions.excluded_value)
)

select * from final
order by curve_id
