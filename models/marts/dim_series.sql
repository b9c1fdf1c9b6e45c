with

sources as (
    select * from {{ ref('int_series_sources') }}
),

series as (
    select * from {{ ref('series') }}
),

substituted_labels as (
    select * from {{ ref('substituted_labels') }}
    where kind = 'series'
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

coverage as (
    select
        series,
        quantity,
        scope,
        provider,
        cast(min(case when value is not null then year end) as integer) as first_year,
        cast(max(case when value is not null then year end) as integer) as last_year,
        cast(count(value) as integer) as city_year_count
    from conformed
    group by series, quantity, scope, provider
),

-- What the seeds name, delivered or not, and what a provider beside the default one delivers.
scopes as (
    select distinct
        series,
        series as quantity,
        scope
    from sources
    union
    select
        series,
        quantity,
        scope
    from coverage
),

final as (
    select
        current_extract_set() as extract_set,
        scopes.series,
        scopes.quantity,
        scopes.scope,
        series.unit,
        coalesce(substituted_labels.label_en, series.label_en)
        || case when scopes.series <> scopes.quantity then ' (' || coverage.provider || ')' else '' end as label_en,
        coalesce(substituted_labels.label_zh, series.label_zh)
        || case when scopes.series <> scopes.quantity then '(' || coverage.provider || ')' else '' end as label_zh,
        coverage.provider is not null as is_delivered,
        coverage.provider,
        sources.substitution,
        coverage.first_year,
        coverage.last_year,
        coalesce(coverage.city_year_count, 0) as city_year_count
    from scopes
    inner join series on scopes.quantity = series.series
    left join coverage
        on
            scopes.series = coverage.series
            and scopes.scope = coverage.scope
    left join sources
        on
            coverage.quantity = sources.series
            and coverage.scope = sources.scope
            and coverage.provider = sources.provider
    left join substituted_labels
        on
            sources.substitution is not null
            and sources.series = substituted_labels.series
            and sources.provider = substituted_labels.provider
)

select * from final
