{{ config(materialized='view') }}

{%- set period_start, before_period = "date '" ~ period('first_year') ~ "-01-01'", period('first_year') - 1 %}
{%- set period_end, after_period = "date '" ~ period('last_year') ~ "-12-31'", period('last_year') + 1 %}

with

sections_in_scope as (
    select distinct section
    from {{ ref('industry_scopes') }}
),

-- Section of each industry. Sections outside all scopes are merged into 'other', which reduces the number of cells,
-- because no series counts them.
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

-- Register rows with their industry section. Each branch reads int_register_delivered itself, because DuckDB would
-- materialise a shared CTE with all register rows.
sectioned as (
    select
        firms.*,
        case when firms.lacks_industry then 'all' else industries.section end as section,
        cast(null as {{ dbt.type_string() }}) as ipc_class
    from {{ ref('int_register_delivered') }} as firms
    left join industries on {{ division_of('firms.industry_code') }} = industries.industry_code
    where firms.entity = 'firm_register'
    union all
    -- Map patents to industries by IPC subclass (four characters), or by IPC class (three characters) if
    -- ipc_industries.csv does not contain the subclass.
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
    -- Look up the IPC class only if the subclass has no match.
    left join classes on case when subclasses.ipc is null then substring(patents.ipc, 1, 3) end = classes.ipc
    where patents.entity = 'patent_register'
),

-- Special years encode why a row is set aside, so that the reason can be derived from the years of a cell.
-- int_register_cells resolves the cities.
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
            -- A register without exit dates has few cells, so years before the period are stored individually.
            when start_date < {{ period_start }} and lacks_exit then year(start_date)
            when start_date < {{ period_start }} then {{ before_period }}
            when start_date is not null then year(start_date)
            when has_start_date then 0  -- unreadable date
        end as start_year,
        case
            -- Most rows have no end date, so this case is tested first.
            when end_date is null then case when has_end_date then 0 else {{ after_period }} end
            when end_date < start_date then {{ before_period - 1 }}
            when end_date > {{ period_end }} then {{ after_period }}
            when end_date >= {{ period_start }} then year(end_date)
            -- A firm that exited before the period is never counted as alive. A patent granted before the period has no
            -- grant in the period.
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
