with

series as (
    select
        extract_set,
        series,
        scope,
        city_id,
        year,
        max(value) as value
    from {{ ref('int_series_conformed') }}
    group by extract_set, series, scope, city_id, year
),

extract_sets as (
    select distinct extract_set from series
),

cities as (
    select * from {{ ref('cities') }}
),

years as (
    select cast(range as integer) as year
    from range({{ var('first_year') }}, {{ var('last_year') }} + 1)
),

weightings as (
    select * from {{ ref('measure_weightings') }}
),

scopes as (
    select distinct scope from {{ ref('industry_scopes') }}
),

-- A series without industries scales the counts of every scope.
scaling_series as (
    select
        series.series,
        coalesce(scopes.scope, series.scope) as scope,
        series.city_id,
        series.year,
        series.value
    from series
    left join scopes on series.scope = 'total'
),

cells as (
    select
        extract_sets.extract_set,
        weightings.measure,
        weightings.weighting,
        scopes.scope,
        cities.city_id,
        years.year,
        weightings.is_mechanical,
        base_year_base.value as base_year_count,
        base_year_scaling.value as base_year_scaling,
        case
            when weightings.scaling_series is not null
                then base_year_base.value / nullif(base_year_scaling.value, 0)
        end as weight,
        case
            when weightings.scaling_series is not null
                then base_year_base.value / nullif(base_year_scaling.value, 0) * scaling.value
            else base.value
        end as measure_count,
        case
            when weightings.scaling_series is null and base.value is null then 'count not delivered'
            when weightings.scaling_series is null then null
            when base_year_base.value is null then 'base year count not delivered'
            when base_year_scaling.value is null then 'base year scaling series not delivered'
            when base_year_scaling.value = 0 then 'base year scaling series is zero'
            when scaling.value is null then 'scaling series not delivered'
        end as missing_reason
    from weightings
    cross join extract_sets
    cross join scopes
    cross join cities
    cross join years
    left join series as base
        on
            weightings.base_series = base.series
            and scopes.scope = base.scope
            and cities.city_id = base.city_id
            and years.year = base.year
    left join series as base_year_base
        on
            weightings.base_series = base_year_base.series
            and scopes.scope = base_year_base.scope
            and cities.city_id = base_year_base.city_id
            and base_year_base.year = {{ var('base_year') }}
    left join scaling_series as scaling
        on
            weightings.scaling_series = scaling.series
            and scopes.scope = scaling.scope
            and cities.city_id = scaling.city_id
            and years.year = scaling.year
    left join scaling_series as base_year_scaling
        on
            weightings.scaling_series = base_year_scaling.series
            and scopes.scope = base_year_scaling.scope
            and cities.city_id = base_year_scaling.city_id
            and base_year_scaling.year = {{ var('base_year') }}
),

final as (
    select
        extract_set,
        measure,
        weighting,
        scope,
        city_id,
        year,
        cast({{ var('base_year') }} as integer) as base_year,
        weight,
        measure_count,
        measure_count / 10000 as measure_10k,
        {{ log_of('measure_count') }} as ln_measure,
        {{ log_of('1 + measure_count') }} as ln1p_measure,
        is_mechanical,
        missing_reason
    from cells
)

select * from final
