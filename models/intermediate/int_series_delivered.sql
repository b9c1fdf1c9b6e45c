{{ config(materialized='ephemeral') }}

with

records as (
    select * from {{ ref('int_records_conformed') }}
    where set_aside_reason is null
    union all by name
    -- If all of several contradicting records are wrong, add a row without values, so that the city's values are
    -- missing instead of zero.
    select distinct
        entity,
        provider,
        source_name,
        city_id,
        year,
        industry_code,
        patent_type
    from {{ ref('int_records_conformed') }}
    where set_aside_reason = 'contradicting records'
),

industries as (
    select * from {{ ref('industries') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

yearbook as (
    select
        * exclude (
            entity, origin, city_code, city_name, province_name, county_code, industry_code, patent_type,
            set_aside_reason, correction_id
        ),
        'total' as scope
    from records
    where entity = 'city_yearbook'
),

counts as (
    select * from records
    where
        entity = 'firm_survival'
        or (entity = 'patents' and patent_type = 'invention')
),

scoped as (
    select
        counts.*,
        industry_scopes.scope
    from counts
    inner join industries using (industry_code)
    inner join industry_scopes using (section)
    union all
    select
        *,
        'all_industries' as scope
    from counts
    where industry_code is null
),

summed as (
    select
        provider,
        source_name,
        city_id,
        year,
        scope,
        {{ complete_sum('firm_count') }} as firm_count,
        {{ complete_sum('firm_entry_count') }} as firm_entry_count,
        {{ complete_sum('firm_exit_count') }} as firm_exit_count,
        {{ complete_sum('ai_firm_count') }} as ai_firm_count,
        {{ complete_sum('ai_firm_entry_count') }} as ai_firm_entry_count,
        {{ complete_sum('ai_firm_exit_count') }} as ai_firm_exit_count,
        {{ complete_sum('application_count') }} as invention_application_count,
        {{ complete_sum('grant_count') }} as invention_grant_count,
        {{ complete_sum('ai_application_count') }} as ai_invention_application_count,
        {{ complete_sum('ai_grant_count') }} as ai_invention_grant_count
    from scoped
    group by provider, source_name, city_id, year, scope
),

-- Delivered values of all providers. Counts computed from registers in DuckDB, on Spark, or with another industry
-- concordance are treated as additional providers.
delivered as (
    select * from yearbook
    union all by name
    select * from summed
    union all by name
    select * from {{ ref('int_firm_register_counts') }}
    union all by name
    select * from {{ ref('int_patent_register_counts') }}
    union all by name
    select * from {{ ref('int_patent_weighted_counts') }}
    {%- for entity in ['firm_counts', 'patent_counts'] %}
    {%- for provider in var('register_providers')[entity] %}
    union all by name
    select
        origin.provider,
        origin.source_name,
        * exclude (origin)
    from {{ ref('stg_' ~ provider ~ '__' ~ entity) }}
    where origin.valid_until_delivery is null
    {%- endfor %}
    {%- endfor %}
),

wide as (
    select
        provider,
        source_name,
        city_id,
        year,
        scope,
        cast(columns(* exclude (provider, source_name, city_id, year, scope)) as double)
    from delivered
),

long as (
    select *
    from wide
    unpivot include nulls (
        value for series in (columns(* exclude (provider, source_name, city_id, year, scope)))
    )
),

delivered_series as (
    select
        provider,
        source_name,
        series,
        scope
    from long
    group by provider, source_name, series, scope
    having count(value) > 0
),

-- Drop series that a source never delivers, but keep the null values of all other series: a null marks a missing value,
-- whereas an absent row can mean zero.
final as (
    select long.*
    from long
    inner join delivered_series using (provider, source_name, series, scope)
)

select * from final
