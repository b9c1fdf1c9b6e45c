with

sets as (
    select map_from_entries(list(('@' || control_set, controls))) as controls_of
    from {{ ref('control_sets') }}
),

-- Replace each control set by its variables, so that downstream models only handle variables.
specifications as (
    select
        asked.* replace (
            row_number() over (order by asked.specification_order, asked.specification_id) as specification_order,
            array_to_string(
                list_transform(
                    string_split(asked.controls, ' '),
                    lambda word: coalesce(sets.controls_of[word], word)  -- noqa: RF02
                ),
                ' '
            ) as controls
        )
    from {{ ref('regression_specifications') }} as asked
    cross join sets
),

substitutes as (
    select * from {{ ref('substitutions') }}
    where control is not null
),

variables as (
    select
        variable,
        scope,
        unnest(string_split(series, ' ')) as series
    from {{ ref('dim_variable') }}
    where variable = base_variable
),

-- Variables for which all series were delivered.
delivered as (
    select variables.variable
    from variables
    left join {{ ref('dim_series') }} as series using (series, scope)
    group by variables.variable
    having bool_and(coalesce(series.is_delivered, false))
),

controls as (
    select
        specification_id,
        generate_subscripts(string_split(controls, ' '), 1) as place,
        unnest(string_split(controls, ' ')) as control
    from specifications
),

-- Controls for which the specification names a provider. These controls are never substituted.
of_named_providers as (
    select distinct
        choices.specification_id,
        variables.variable as control
    from (
        select
            specification_id,
            split_part(unnest(string_split(providers, ' ')), '=', 1) as series
        from specifications
    ) as choices
    inner join variables on choices.series = variables.series
),

-- Substitutes for controls that were not delivered. The outcome is never used as a substitute.
replaced as (
    select
        controls.specification_id,
        controls.place,
        substitutes.substitute,
        substitutes.substitution
    from controls
    inner join substitutes using (control)
    inner join specifications using (specification_id)
    anti join delivered as asked on controls.control = asked.variable
    anti join of_named_providers using (specification_id, control)
    where
        substitutes.substitute is null
        or (
            substitutes.substitute <> specifications.outcome
            and substitutes.substitute in (select instead.variable from delivered as instead)
        )
),

-- Controls after substitution. A substitute that is already a control is not added twice.
used as (
    select
        controls.specification_id,
        string_agg(
            case
                when replaced.place is null then controls.control
                when not list_contains(string_split(specifications.controls, ' '), replaced.substitute)
                    then replaced.substitute
            end,
            ' '
            order by controls.place
        ) as controls,
        string_agg(replaced.substitution, '; ' order by controls.place) as substitutions
    from controls
    inner join specifications using (specification_id)
    left join replaced using (specification_id, place)
    group by controls.specification_id
),

-- Years of each specification, limited to the study period. A specification without any year in the period has no row
-- here and uses its declared years.
part as (
    select
        specification_id,
        {{ nearest_year('first_year') }} as first_year,
        {{ nearest_year('last_year') }} as last_year
    from specifications
    where
        first_year <= {{ period('last_year') }}
        and last_year >= {{ period('first_year') }}
),

final as (
    select
        specifications.* replace (
            used.controls as controls,
            nullif(concat_ws('; ', used.substitutions, specifications.substitutions), '') as substitutions,
            coalesce(part.first_year, specifications.first_year) as first_year,
            coalesce(part.last_year, specifications.last_year) as last_year
        ),
        specifications.first_year as asked_first_year,
        specifications.last_year as asked_last_year
    from specifications
    left join used using (specification_id)
    left join part using (specification_id)
)

select * from final
order by specification_order
