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

delivered as (
    select
        conformed.provider,
        conformed.source_name,
        conformed.city_id,
        conformed.year,
        industry_scopes.scope,
        {{ complete_sum('conformed.application_count') }} as invention_application_count,
        {{ complete_sum('conformed.grant_count') }} as invention_grant_count,
        {{ complete_sum('conformed.ai_application_count') }} as ai_invention_application_count,
        {{ complete_sum('conformed.ai_grant_count') }} as ai_invention_grant_count
    from conformed
    inner join industries using (industry_code)
    inner join industry_scopes using (section)
    group by
        conformed.provider, conformed.source_name, conformed.city_id, conformed.year,
        industry_scopes.scope
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
