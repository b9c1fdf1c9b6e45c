{{ kept_by_year('firm_register') }}

with

cells as (
    select * from {{ ref('int_register_cells') }}
    where
        entity = 'firm_register'
        and set_aside_reason is null
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

cohorts as (
    select
        cells.city_id,
        industry_scopes.scope,
        cells.start_year,
        cells.end_year,
        sum(cells.row_count) as firm_count,
        sum(cells.ai_row_count) as ai_firm_count
    from cells
    inner join industry_scopes on cells.section = industry_scopes.section
    group by cells.city_id, industry_scopes.scope, cells.start_year, cells.end_year
),

years as (
    {{ year_spine() }}
),

-- Alive at the end of the year: entered by then, and not yet gone.
counted as (
    select
        'register' as provider,
        'firm_register' as source_name,
        cohorts.city_id,
        years.year,
        cohorts.scope,
        cast(sum(
            case
                when cohorts.start_year <= years.year and cohorts.end_year > years.year then cohorts.firm_count
                else 0
            end
        ) as bigint) as firm_count,
        cast(sum(case when cohorts.start_year = years.year then cohorts.firm_count else 0 end) as bigint)
            as firm_entry_count,
        cast(sum(case when cohorts.end_year = years.year then cohorts.firm_count else 0 end) as bigint)
            as firm_exit_count,
        cast(sum(
            case
                when cohorts.start_year <= years.year and cohorts.end_year > years.year then cohorts.ai_firm_count
                else 0
            end
        ) as bigint) as ai_firm_count,
        cast(sum(case when cohorts.start_year = years.year then cohorts.ai_firm_count else 0 end) as bigint)
            as ai_firm_entry_count,
        cast(sum(case when cohorts.end_year = years.year then cohorts.ai_firm_count else 0 end) as bigint)
            as ai_firm_exit_count
    from cohorts
    cross join years
    group by cohorts.city_id, years.year, cohorts.scope
),

final as (
    {{ changed_years('counted') }}
)

select * from final
