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
placed as (
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
        -- The years tell why a row is set aside, so that a cell tells it too. Year 0 is a date that cannot be read.
        case
            when register.established_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            when register.established_date is not null then year(register.established_date)
            when not {{ is_no_date('register.established_date_delivered') }} then 0
        end as entry_year,
        -- An exit before the entry lies before every entry; a firm that leaves after the period, or never, outlives it.
        -- Most have no exit, so that is asked first.
        case
            when register.exit_date is null
                then
                    case
                        when {{ is_no_date('register.exit_date_delivered') }} then {{ var('last_year') + 1 }}
                        else 0
                    end
            when register.exit_date < register.established_date then {{ var('first_year') - 2 }}
            when register.exit_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            when register.exit_date <= date '{{ period_end }}' then year(register.exit_date)
            else {{ var('last_year') + 1 }}
        end as exit_year
    from register
    left join industries on {{ division_of('register.industry_code') }} = industries.industry_code
),

final as (
    select
        placed.*,
        {{ register_set_aside_reason('firm_register') }} as set_aside_reason
    from placed
)

select * from final
