{{ config(materialized='ephemeral') }}

with

corrected as (
    select * from {{ ref('int_series_corrected') }}
),

sources as (
    select * from {{ ref('int_series_sources') }}
),

cities as (
    select * from {{ ref('cities') }}
),

-- A value of a province is that of each of its cities.
candidates as (
    select
        corrected.* replace (coalesce(cities.city_id, corrected.city_id) as city_id),
        sources.scope as used_scope,
        sources.priority,
        sources.boundaries,
        sources.absent_row,
        min(sources.priority) over (partition by sources.series, sources.scope) as first_priority
    from corrected
    inner join sources
        on
            corrected.series = sources.series
            and corrected.scope = sources.delivered_scope
            and corrected.provider = sources.provider
    left join cities
        on
            sources.boundaries = 'province'
            and corrected.city_id = cities.province_id
),

-- The provider used by default gives the plain series; every other one stands beside it under a name of its own.
named as (
    select
        candidates.series || case when priority > first_priority then '@' || provider else '' end as series,
        candidates.series as quantity,
        used_scope as scope,
        provider,
        city_id,
        year,
        value,
        correction_id is not null as is_corrected,
        boundaries,
        absent_row
    from candidates
),

-- Of two records that disagree none is chosen: the gate names them, and the value is missing.
final as (
    select
        series,
        quantity,
        scope,
        provider,
        city_id,
        year,
        case when min(value) = max(value) then min(value) end as value,
        bool_or(is_corrected) as is_corrected,
        boundaries,
        absent_row
    from named
    group by series, quantity, scope, provider, city_id, year, boundaries, absent_row
)

select * from final
