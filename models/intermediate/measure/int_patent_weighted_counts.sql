{{ config(materialized='ephemeral') }}

-- Patent counts by city, year and scope, allocated to industries with the Fraunhofer concordance. DuckDB only, because
-- Spark cannot read the concordance workbook.
with

-- The first select defines the columns, so that the table exists but is empty if no provider delivers a concordance.
concordance as (
    select
        cast(null as varchar) as ipc_class,
        cast(null as varchar) as nace_division,
        cast(null as double) as probability
    where false
    {%- for provider in var('register_providers')['industry_concordance'] %}
    union all by name
    select * from {{ ref('stg_' ~ provider ~ '__industry_concordance') }}
    where origin.valid_until_delivery is null
    {%- endfor %}
),

nace_sections as (
    select * from {{ ref('nace_sections') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

scopes as (
    select distinct scope from industry_scopes
),

-- Probability that the applicant of a patent in an IPC class belongs to an industry scope. The sum is ordered, because
-- floating-point sums depend on the order of the rows.
shares as (
    select
        concordance.ipc_class,
        scopes.scope,
        sum(
            case when industry_scopes.section is null then 0 else concordance.probability end
            order by concordance.nace_division
        ) as share
    from concordance
    inner join nace_sections using (nace_division)
    cross join scopes
    left join industry_scopes using (scope, section)
    group by concordance.ipc_class, scopes.scope
),

classes as (
    select distinct ipc_class
    from shares
),

ai_rows as (
    select distinct
        store_key,
        row_number
    from {{ ref('int_register_ai_tags') }}
    where entity = 'patent_register'
),

dropped_rows as (
    select * from {{ ref('int_register_dropped_rows') }}
    where entity = 'patent_register'
),

-- City of each city code in the patent register, as resolved by int_register_cells.
places as (
    select distinct
        city_code,
        city_id
    from {{ ref('int_register_cells') }}
    where
        entity = 'patent_register'
        and set_aside_reason is null
),

-- Number of usable patents by IPC class. The exists condition avoids a scan of the register if no concordance was
-- delivered.
cohorts as (
    select
        patents.city_code,
        patents.ipc_class,
        patents.section,
        patents.start_year,
        patents.end_year,
        count(*) as patent_count,
        count(ai_rows.row_number) as ai_patent_count
    from {{ ref('int_register_conformed') }} as patents
    left join ai_rows using (store_key, row_number)
    left join dropped_rows using (store_key, row_number)
    where
        patents.entity = 'patent_register'
        and patents.kind = 'invention'
        and patents.set_aside_reason is null
        and dropped_rows.row_number is null
        and exists (select 1 from classes)
    group by patents.city_code, patents.ipc_class, patents.section, patents.start_year, patents.end_year
),

years as (
    {{ year_spine() }}
),

by_class as (
    select
        places.city_id,
        years.year,
        cohorts.ipc_class,
        cohorts.section,
        sum(case when cohorts.start_year = years.year then cohorts.patent_count else 0 end) as application_count,
        sum(case when cohorts.end_year = years.year then cohorts.patent_count else 0 end) as grant_count,
        sum(case when cohorts.start_year = years.year then cohorts.ai_patent_count else 0 end) as ai_application_count,
        sum(case when cohorts.end_year = years.year then cohorts.ai_patent_count else 0 end) as ai_grant_count
    from cohorts
    inner join places using (city_code)
    cross join years
    group by places.city_id, years.year, cohorts.ipc_class, cohorts.section
),

-- Patent counts by class with the share of each scope. A class missing from the concordance, usually a new one, is
-- allocated entirely to its section in ipc_industries.csv.
allocated as (
    select
        by_class.*,
        shares.scope,
        shares.share
    from by_class
    inner join shares using (ipc_class)
    union all
    select
        by_class.*,
        industry_scopes.scope,
        1 as share
    from by_class
    left join classes using (ipc_class)
    inner join industry_scopes using (section)
    where classes.ipc_class is null
),

-- The sums are ordered, because floating-point sums depend on the order of the rows.
final as (
    select
        'fraunhofer' as provider,
        'industry_concordance' as source_name,
        city_id,
        year,
        scope,
        sum(application_count * share order by ipc_class, section) as invention_application_count,
        sum(grant_count * share order by ipc_class, section) as invention_grant_count,
        sum(ai_application_count * share order by ipc_class, section) as ai_invention_application_count,
        sum(ai_grant_count * share order by ipc_class, section) as ai_invention_grant_count
    from allocated
    group by city_id, year, scope
)

select * from final
