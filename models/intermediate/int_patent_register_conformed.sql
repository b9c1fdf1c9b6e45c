{{ config(materialized='view') }}

{%- set period_start = var('first_year') ~ '-01-01' %}
{%- set period_end = var('last_year') ~ '-12-31' %}

with

register as (
    select * from {{ ref('stg_vendor__patent_register') }}
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

classes as (
    select
        ipc_industries.ipc,
        industries.section
    from {{ ref('ipc_industries') }} as ipc_industries
    inner join industries on ipc_industries.industry_code = industries.industry_code
),

-- A subclass (four characters) decides where the concordance has it, its class (three) otherwise.
sectioned as (
    select
        register.*,
        case
            when register.industry_code is not null then industries.section
            else coalesce(subclasses.section, classes.section)
        end as section
    from register
    left join industries on {{ division_of('register.industry_code') }} = industries.industry_code
    left join classes as subclasses on substring(register.ipc, 1, 4) = subclasses.ipc
    -- Only what has no subclass is looked up again.
    left join classes on case when subclasses.ipc is null then substring(register.ipc, 1, 3) end = classes.ipc
),

placed as (
    select
        extract_set,
        file_number,
        store_key,
        row_number,
        application_number,
        city_code,
        industry_code,
        ipc,
        section,
        patent_type,
        application_date,
        grant_date,
        patent_text,
        -- The years tell why a row is set aside, so that a cell tells it too. Year 0 is a date that cannot be read.
        case
            when application_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            when application_date is not null then year(application_date)
            when not {{ is_no_date('application_date_delivered') }} then 0
        end as application_year,
        -- A grant before the application lies before all; one before or after the period, or none, is in no year of it.
        case
            when grant_date is null
                then
                    case
                        when {{ is_no_date('grant_date_delivered') }} then {{ var('last_year') + 1 }}
                        else 0
                    end
            when grant_date < application_date then {{ var('first_year') - 2 }}
            when grant_date >= date '{{ period_start }}' and grant_date <= date '{{ period_end }}' then year(grant_date)
            else {{ var('last_year') + 1 }}
        end as grant_year
    from sectioned
),

final as (
    select
        placed.*,
        {{ register_set_aside_reason('patent_register') }} as set_aside_reason
    from placed
)

select * from final
