{{ config(materialized='ephemeral') }}

with

conformed as (
    select * from {{ ref('int_records_conformed') }}
    where
        entity = 'patents'
        and set_aside_reason is null
        and patent_type = 'invention'
    union all by name
    -- Where no record of a key is right, the count is missing, not zero.
    select distinct
        provider,
        source_name,
        city_id,
        year,
        industry_code
    from {{ ref('int_records_conformed') }}
    where
        entity = 'patents'
        and set_aside_reason = 'contradicting records'
        and patent_type = 'invention'
),

industries as (
    select * from {{ ref('industries') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

scoped as (
    select
        conformed.*,
        industry_scopes.scope
    from conformed
    inner join industries using (industry_code)
    inner join industry_scopes using (section)
    union all
    select
        *,
        'all_industries' as scope
    from conformed
    where industry_code is null
),

delivered as (
    select
        provider,
        source_name,
        city_id,
        year,
        scope,
        {{ complete_sum('application_count') }} as invention_application_count,
        {{ complete_sum('grant_count') }} as invention_grant_count,
        {{ complete_sum('ai_application_count') }} as ai_invention_application_count,
        {{ complete_sum('ai_grant_count') }} as ai_invention_grant_count
    from scoped
    group by provider, source_name, city_id, year, scope
),

-- Counts made of a register, here or on Spark, or by another concordance, are one more provider of counts.
final as (
    select * from delivered
    union all by name
    select * from {{ ref('int_patent_register_counts') }}
    union all by name
    select * from {{ ref('int_patent_weighted_counts') }}
    {%- for provider in var('register_providers')['patent_counts'] %}
    union all by name
    select
        origin.provider,
        origin.source_name,
        * exclude (origin)
    from {{ ref('stg_' ~ provider ~ '__patent_counts') }}
    where origin.valid_until_delivery is null
    {%- endfor %}
)

select * from final
