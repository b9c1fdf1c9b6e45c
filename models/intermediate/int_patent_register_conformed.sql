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
    left join industries on left(register.industry_code, 2) = industries.industry_code
    left join classes as subclasses on left(register.ipc, 4) = subclasses.ipc
    left join classes on left(register.ipc, 3) = classes.ipc
),

final as (
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
        case
            when application_date < date '{{ period_start }}' then {{ var('first_year') - 1 }}
            else year(application_date)
        end as application_year,
        -- A grant before, after or never is a grant in no year of the period.
        case
            when grant_date >= date '{{ period_start }}' and grant_date <= date '{{ period_end }}' then year(grant_date)
            else {{ var('last_year') + 1 }}
        end as grant_year,
        case
            when has_unreadable_date then 'unreadable date'
            when application_date is null then 'no date'
            when application_date > date '{{ period_end }}' then 'after the period'
            when grant_date < application_date then 'grant before application'
            when patent_type is null then 'unknown patent type'
            -- Designs have no IPC class.
            when section is null and patent_type <> 'design' then 'unknown industry'
        end as set_aside_reason
    from sectioned
)

select * from final
