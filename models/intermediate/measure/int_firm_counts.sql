{{ config(materialized='ephemeral') }}

with

conformed as (
    select * from {{ ref('int_records_conformed') }}
    where
        entity = 'firm_survival'
        and set_aside_reason is null
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
        entity = 'firm_survival'
        and set_aside_reason = 'contradicting records'
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
        {{ complete_sum('firm_count') }} as firm_count,
        {{ complete_sum('firm_entry_count') }} as firm_entry_count,
        {{ complete_sum('firm_exit_count') }} as firm_exit_count,
        {{ complete_sum('ai_firm_count') }} as ai_firm_count,
        {{ complete_sum('ai_firm_entry_count') }} as ai_firm_entry_count,
        {{ complete_sum('ai_firm_exit_count') }} as ai_firm_exit_count
    from scoped
    group by provider, source_name, city_id, year, scope
),

-- Counts made of a register, here or on Spark, are one more provider of counts.
final as (
    select * from delivered
    union all by name
    select * from {{ ref('int_firm_register_counts') }}
    {%- for provider in var('register_providers')['firm_counts'] %}
    union all by name
    select
        origin.provider,
        origin.source_name,
        * exclude (origin)
    from {{ ref('stg_' ~ provider ~ '__firm_counts') }}
    where origin.valid_until_delivery is null
    {%- endfor %}
)

select * from final
