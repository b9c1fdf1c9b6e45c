with

axes as (
    select
        *,
        axis || '=' || value as choice,
        value_order > min(value_order) over (partition by axis) as is_another
    from {{ ref('curve_axes') }}
),

-- An asterisk stands for all values of an axis but its first.
exclusions as (
    select
        of_axes.choice,
        excluded_axes.choice as excluded_choice
    from {{ ref('curve_exclusions') }} as listed
    inner join axes as of_axes
        on
            listed.axis = of_axes.axis
            and (listed.value = of_axes.value or (listed.value = '*' and of_axes.is_another))
    inner join axes as excluded_axes
        on
            listed.excluded_axis = excluded_axes.axis
            and (
                listed.excluded_value = excluded_axes.value
                or (listed.excluded_value = '*' and excluded_axes.is_another)
            )
),

dominated as (
    select choice
    from axes
    where
        case
            when standing in ('arbitrary', 'defensible', 'dominated') then standing = 'dominated'
            else
                error(
                    'seeds/curve_axes.csv, ' || choice || ', column standing: ''' || coalesce(standing, '')
                    || ''' is not arbitrary, defensible or dominated.'
                )
        end
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
        dynamics.value as dynamics,
        prices.value as prices,
        providers.setting as second_provider,
        replace(coalesce(controls.setting, ''), '{population}', populations.setting) as control_variables,
        fixed_effects.setting as period_effects,
        cast(split_part(periods.setting, ' ', 1) as integer) as first_year,
        cast(split_part(periods.setting, ' ', 2) as integer) as last_year,
        coalesce(try_cast(dynamics.setting as integer), 0) as difference_years,
        case when difference_years = 0 then dynamics.setting else '' end as city_effects,
        coalesce(prices.setting, '') as outcome_suffix
    from axes as transforms
    cross join axes as weightings
    cross join axes as scopes
    cross join axes as providers
    cross join axes as controls
    cross join axes as populations
    cross join axes as fixed_effects
    cross join axes as periods
    cross join axes as city_samples
    cross join axes as dynamics
    cross join axes as prices
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
        and dynamics.axis = 'dynamics'
        and prices.axis = 'prices'
        -- Nobody asks for prices that nobody delivered.
        and (
            prices.setting is null
            or exists (
                select series.series
                from {{ ref('dim_series') }} as series
                where
                    series.series = 'consumer_price_level'
                    and series.is_delivered
            )
        )
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
            'city_sample=' || city_sample,
            'dynamics=' || dynamics,
            'prices=' || prices
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
        choices.dynamics,
        choices.prices,
        choices.second_provider,
        choices.control_variables,
        choices.period_effects,
        choices.first_year,
        choices.last_year,
        choices.difference_years,
        choices.city_effects,
        choices.outcome_suffix,
        list_has_any(choices.chosen, (select list(dominated.choice) from dominated)) as is_dominated,
        -- An axis that came later is named only where it is off its first value, so that older ids stand.
        replace(
            replace(array_to_string(choices.chosen, '; '), '; dynamics=levels', ''), '; prices=current', ''
        ) as curve_id
    from choices
    anti join exclusions
        on
            list_contains(choices.chosen, exclusions.choice)
            and list_contains(choices.chosen, exclusions.excluded_choice)
)

select * from final
order by curve_id
