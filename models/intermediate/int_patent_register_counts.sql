{{ kept_by_year() }}

with

cells as (
    select cells.*
    from {{ ref('int_patent_register_cells') }} as cells
    where
        {{ counted_cells('patent_register') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

cohorts as (
    select
        cells.extract_set,
        cells.city_id,
        industry_scopes.scope,
        cells.application_year,
        cells.grant_year,
        sum(cells.row_count) as patent_count,
        sum(cells.ai_row_count) as ai_patent_count
    from cells
    inner join industry_scopes on cells.section = industry_scopes.section
    group by cells.extract_set, cells.city_id, industry_scopes.scope, cells.application_year, cells.grant_year
),

years as (
    {{ year_spine() }}
),

counted as (
    select
        cohorts.extract_set,
        'register' as provider,
        'patent_register' as source_name,
        cohorts.city_id,
        years.year,
        cohorts.scope,
        cast(sum(case when cohorts.application_year = years.year then cohorts.patent_count else 0 end) as bigint)
            as invention_application_count,
        cast(sum(case when cohorts.grant_year = years.year then cohorts.patent_count else 0 end) as bigint)
            as invention_grant_count,
        cast(sum(case when cohorts.application_year = years.year then cohorts.ai_patent_count else 0 end) as bigint)
            as ai_invention_application_count,
        cast(sum(case when cohorts.grant_year = years.year then cohorts.ai_patent_count else 0 end) as bigint)
            as ai_invention_grant_count
    from cohorts
    cross join years
    group by cohorts.extract_set, cohorts.city_id, years.year, cohorts.scope
),

final as (
    {{ changed_years('counted') }}
)

select * from final
