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

-- Delivered values with the priority of their provider. A province's value is assigned to each of its cities.
candidates as (
    select
        corrected.* replace (coalesce(cities.city_id, corrected.city_id) as city_id),
        sources.scope as used_scope,
        sources.priority,
        sources.boundaries,
        sources.absent_row,
        sources.first_year,
        sources.last_year,
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

years as (
    select distinct year
    from corrected
),

-- Priority of the provider in use, by series and year: the first delivered provider whose declared years include the
-- year, even if it has no value in that year.
feeding as (
    select
        providers.series,
        providers.used_scope,
        years.year,
        min(providers.priority) as feeding_priority
    from (
        select distinct
            series,
            used_scope,
            priority,
            first_year,
            last_year
        from candidates
    ) as providers
    inner join years
        on years.year between coalesce(providers.first_year, years.year) and coalesce(providers.last_year, years.year)
    group by providers.series, providers.used_scope, years.year
),

-- The series without a suffix uses the provider selected above, or the first provider if none was selected. Values of
-- all other providers are also available as `series@provider`.
named as (
    select
        candidates.*,
        candidates.series as quantity,
        candidates.priority > candidates.first_priority as is_spliced
    from candidates
    left join feeding using (series, used_scope, year)
    where candidates.priority = coalesce(feeding.feeding_priority, candidates.first_priority)
    union all
    select
        * replace (series || '@' || provider as series),
        series as quantity,
        false as is_spliced
    from candidates
    where priority > first_priority
),

-- One value per series, city and year. If records disagree, the value is null and the gate reports the records.
final as (
    select
        series,
        quantity,
        used_scope as scope,
        provider,
        city_id,
        year,
        case when min(value) = max(value) then min(value) end as value,
        bool_or(correction_id is not null) as is_corrected,
        is_spliced,
        boundaries,
        absent_row
    from named
    group by series, quantity, used_scope, provider, city_id, year, is_spliced, boundaries, absent_row
)

select * from final
