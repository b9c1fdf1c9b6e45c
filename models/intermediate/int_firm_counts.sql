with

conformed as (
    select * from {{ ref('int_firm_survival_conformed') }}
    where set_aside_reason is null
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
    inner join industries on conformed.industry_code = industries.industry_code
    inner join industry_scopes on industries.section = industry_scopes.section
    union all
    select
        *,
        'all_industries' as scope
    from conformed
    where industry_code is null
),

final as (
    select
        extract_set,
        provider,
        city_id,
        year,
        scope,
        cast(sum(firm_count) as bigint) as firm_count,
        cast(sum(firm_entry_count) as bigint) as firm_entry_count,
        cast(sum(firm_exit_count) as bigint) as firm_exit_count,
        cast(sum(ai_firm_count) as bigint) as ai_firm_count,
        cast(sum(ai_firm_entry_count) as bigint) as ai_firm_entry_count,
        cast(sum(ai_firm_exit_count) as bigint) as ai_firm_exit_count
    from scoped
    group by extract_set, provider, city_id, year, scope
)

select * from final
