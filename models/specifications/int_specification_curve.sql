{%- set names = [
    'transform', 'weighting', 'scope', 'provider', 'controls', 'population', 'fixed_effects', 'period', 'city_sample',
    'dynamics', 'prices'
] -%}
with

axes as (
    select
        *,
        axis || '=' || value as choice,
        value_order > min(value_order) over (partition by axis) as is_another
    from {{ ref('curve_axes') }}
),

-- Pairs of choices that exclude each other. An asterisk matches all values of an axis except the first.
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

-- Variable suffixes of deflated outcomes, such as `_2010_prices`, for which a price series was delivered.
delivered_prices as (
    select distinct axes.setting
    from axes
    inner join {{ ref('dim_variable') }} as variables on ends_with(variables.variable, axes.setting)
    inner join {{ ref('dim_series') }} as series
        on
            split_part(variables.series, ' ', 2) = series.series
            and series.is_delivered
    where axes.axis = 'prices'
),

crossed as (
    select
        {%- for name in names %}
        of_{{ name }}.value as {{ name }},
        {%- endfor %}
        of_provider.setting as second_provider,
        replace(coalesce(of_controls.setting, ''), '{population}', of_population.setting) as control_variables,
        of_fixed_effects.setting as period_effects,
        cast(split_part(of_period.setting, ' ', 1) as integer) as first_year,
        cast(split_part(of_period.setting, ' ', 2) as integer) as last_year,
        coalesce(try_cast(of_dynamics.setting as integer), 0) as difference_years,
        case when difference_years = 0 then of_dynamics.setting else '' end as city_effects,
        coalesce(of_prices.setting, '') as outcome_suffix
    from axes as of_transform
    cross join axes as of_weighting
    cross join axes as of_scope
    cross join axes as of_provider
    cross join axes as of_controls
    cross join axes as of_population
    cross join axes as of_fixed_effects
    cross join axes as of_period
    cross join axes as of_city_sample
    cross join axes as of_dynamics
    cross join axes as of_prices
    where
        of_transform.axis = 'transform'
        {%- for name in names[1:] %}
        and of_{{ name }}.axis = '{{ name }}'
        {%- endfor %}
        -- Skip deflated outcomes for which no price series was delivered.
        and (
            of_prices.setting is null
            or of_prices.setting in (select delivered_prices.setting from delivered_prices)
        )
),

choices as (
    select
        *,
        [
            {%- for name in names %}
            '{{ name }}=' || {{ name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        ] as chosen
    from crossed
),

final as (
    select
        choices.* exclude (chosen),  -- noqa: RF02
        list_has_any(choices.chosen, (select list(dominated.choice) from dominated)) as is_dominated,
        -- Omit the first value of axes that were added later, so that ids created before these axes remain valid.
        regexp_replace(array_to_string(choices.chosen, '; '), '; (dynamics=levels|prices=current)', '', 'g')
            as curve_id
    from choices
    anti join exclusions
        on
            list_contains(choices.chosen, exclusions.choice)
            and list_contains(choices.chosen, exclusions.excluded_choice)
)

select * from final
order by curve_id
