-- render() removes the row limit that dbt's --empty flag adds to ref(), because downstream models need all variable
-- names even in an empty build.
with

series as (
    select * from {{ ref('series').render() }}
),

derived_variables as (
    select * from {{ ref('derived_variables').render() }}
),

-- Each series, and `series@provider` for every non-default provider.
choices as (
    select
        series as quantity,
        series,
        cast(null as varchar) as scope,
        cast(null as varchar) as provider
    from series
    union all
    select
        quantity,
        series,
        scope,
        provider
    from {{ ref('dim_series') }}
    where series <> quantity
),

totals as (
    select distinct series
    from {{ ref('int_series_sources') }}
    where scope = 'total'
),

named as (
    select
        series as variable,
        series,
        'level' as transform,
        null as measure,
        label_en,
        label_zh
    from series
    union all
    select
        log_variable as variable,
        series,
        'ln' as transform,
        null as measure,
        -- Lower-case the first letter of the label after 'Log', except in abbreviations such as GDP.
        case
            when regexp_matches(label_en, '^[A-Z][a-z]') then 'Log ' || lower(label_en[1]) || label_en[2:]
            else 'Log ' || label_en
        end as label_en,
        label_zh || '(对数)' as label_zh
    from series
    where log_variable is not null
    union all
    select
        variable,
        series,
        'ln' as transform,
        measure,
        label_en,
        label_zh
    from derived_variables
),

scoped as (
    select
        named.*,
        case when totals.series is null then '{{ var("default_measure").scope }}' else 'total' end as scope
    from named
    left join totals on split_part(named.series, ' ', 1) = totals.series
),

chosen as (
    select
        scoped.*,
        concat_ws(' ', numerators.series, denominators.series) as chosen_series,
        case
            when coalesce(numerators.provider, denominators.provider) is not null
                then concat_ws(', ', numerators.provider, denominators.provider)
        end as providers
    from scoped
    inner join choices as numerators
        on
            split_part(scoped.series, ' ', 1) = numerators.quantity
            and coalesce(numerators.scope, scoped.scope) = scoped.scope
    left join choices as denominators
        on
            split_part(scoped.series, ' ', 2) = denominators.quantity
            and coalesce(denominators.scope, scoped.scope) = scoped.scope
),

final as (
    select
        {{ qualified_name('chosen.variable', 'chosen_series') }} as variable,
        chosen.variable as base_variable,
        chosen_series as series,
        scope,
        transform,
        {{ qualified_name('measure', 'chosen_series') }} as measure,
        label_en || coalesce(' (' || providers || ')', '') as label_en,
        label_zh || coalesce('(' || providers || ')', '') as label_zh
    from chosen
)

select * from final
