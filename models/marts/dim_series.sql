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
        scope,
        provider,
        cast(min(case when value is not null then year end) as integer) as first_year,
        cast(max(case when value is not null then year end) as integer) as last_year,
        cast(count(value) as integer) as city_year_count
    from conformed
    group by series, scope, provider
),

-- Whoever is gone is in no register of survivors, so that it has no stock of any year.
survivors as (
    select string_agg(distinct provider, ', ' order by provider) as providers
    from {{ ref('int_firm_register_counts') }}
    where firm_count is null
),

scopes as (
    select distinct
        series,
        scope
    from sources
),

final as (
    select
        current_extract_set() as extract_set,
        scopes.series,
        scopes.scope,
        series.unit,
        coalesce(substituted_labels.label_en, series.label_en) as label_en,
        coalesce(substituted_labels.label_zh, series.label_zh) as label_zh,
        coverage.provider is not null as is_delivered,
        coverage.provider,
        sources.substitution,
        case
            when
                coverage.provider is null
                and scopes.series in ('firm_count', 'firm_exit_count', 'ai_firm_count', 'ai_firm_exit_count')
                and survivors.providers is not null
                then concat(
                    'the register of ', survivors.providers, ' has no exits: it gives entries of survivors, no stock'
                )
        end as absence_reason,
        coverage.first_year,
        coverage.last_year,
        coalesce(coverage.city_year_count, 0) as city_year_count
    from scopes
    inner join series on scopes.series = series.series
    cross join survivors
    left join coverage
        on
            scopes.series = coverage.series
            and scopes.scope = coverage.scope
    left join sources
        on
            coverage.series = sources.series
            and coverage.scope = sources.scope
            and coverage.provider = sources.provider
    left join substituted_labels
        on
            sources.substitution is not null
            and sources.series = substituted_labels.series
            and sources.provider = substituted_labels.provider
)

select * from final
