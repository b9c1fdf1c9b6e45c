{{ config(materialized='view') }}

{%- set period_start = var('first_year') ~ '-01-01' %}
{%- set period_end = var('last_year') ~ '-12-31' %}

with

register as (
    select * from {{ ref('stg_vendor__firm_register') }}
),

sections_in_scope as (
    select distinct section
    from {{ ref('industry_scopes') }}
),

-- Sections outside all scopes are one: fewer cells, and they are in no series.
industries as (
    select
        industries.industry_code,
        coalesce(sections_in_scope.section, 'other') as section
    from {{ ref('industries') }} as industries
    left join sections_in_scope on industries.section = sections_in_scope.section
),

-- Cities are resolved in the cells: one look-up per cell, not one per firm.
final as (
    select
        register.extract_set,
        register.file_number,
        register.store_key,
        register.row_number,
        register.firm_id,
        register.city_code,
        register.industry_code,
        industries.section,
        register.established_date,
        register.exit_date,
        register.business_scope,
        case
            when register.established_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            else year(register.established_date)
        end as entry_year,
        -- A firm that leaves after the period, or never, is alive at the end of it.
        case
            when register.exit_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            when register.exit_date <= date '{{ period_end }}' then year(register.exit_date)
            else {{ var('last_year') + 1 }}
        end as exit_year,
        case
            when register.has_unreadable_date then 'unreadable date'
            when register.established_date is null then 'no date'
            when register.established_date > date '{{ period_end }}' then 'after the period'
            when register.exit_date < register.established_date then 'exit before entry'
            when industries.section is null then 'unknown industry'
        end as set_aside_reason
    from register
    left join industries on left(register.industry_code, 2) = industries.industry_code
)

select * from final
