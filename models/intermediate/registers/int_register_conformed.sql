{{ config(materialized='view') }}

{%- set period_start, before_period = "date '" ~ period('first_year') ~ "-01-01'", period('first_year') - 1 %}
{%- set period_end, after_period = "date '" ~ period('last_year') ~ "-12-31'", period('last_year') + 1 %}

with

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

-- Not read through one expression for both: DuckDB would keep all rows of the registers for its two readers.
sectioned as (
    select
        firms.*,
        case when firms.lacks_industry then 'all' else industries.section end as section,
        cast(null as {{ dbt.type_string() }}) as ipc_class
    from {{ ref('int_register_delivered') }} as firms
    left join industries on {{ division_of('firms.industry_code') }} = industries.industry_code
    where firms.entity = 'firm_register'
    union all
    -- A subclass (four characters) decides where the concordance has it, its class (three) otherwise.
    select
        patents.*,
        case
            when patents.industry_code is not null then industries.section
            else coalesce(subclasses.section, classes.section)
        end as section,
        substring(patents.ipc, 1, 3) as ipc_class
    from {{ ref('int_register_delivered') }} as patents
    left join industries on {{ division_of('patents.industry_code') }} = industries.industry_code
    left join classes as subclasses on substring(patents.ipc, 1, 4) = subclasses.ipc
    -- Only what has no subclass is looked up again.
    left join classes on case when subclasses.ipc is null then substring(patents.ipc, 1, 3) end = classes.ipc
    where patents.entity = 'patent_register'
),

-- The years tell why a row is set aside, so that a cell tells it too. Cities are resolved in the cells.
placed as (
    select
        entity,
        file_number,
        store_key,
        row_number,
        record_id,
        city_code,
        section,
        ipc_class,
        kind,
        text,
        case
            -- Without exits there are few cells, and they keep their years.
            when start_date < {{ period_start }} and lacks_exit then year(start_date)
            when start_date < {{ period_start }} then {{ before_period }}
            when start_date is not null then year(start_date)
            when has_start_date then 0  -- a date that cannot be read
        end as start_year,
        case
            -- Most have no end, so that is asked first.
            when end_date is null then case when has_end_date then 0 else {{ after_period }} end
            when end_date < start_date then {{ before_period - 1 }}
            when end_date > {{ period_end }} then {{ after_period }}
            when end_date >= {{ period_start }} then year(end_date)
            -- A firm left before the period; a patent was granted in no year of it.
            when entity = 'firm_register' then {{ before_period }}
            else {{ after_period }}
        end as end_year
    from sectioned
),

final as (
    select
        *,
        {{ register_set_aside_reason() }} as set_aside_reason
    from placed
)

select * from final
