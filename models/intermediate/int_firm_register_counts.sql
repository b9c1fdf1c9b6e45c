{{ kept_by_year() }}

with

cells as (
    select cells.*
    from {{ ref('int_firm_register_cells') }} as cells
    where
        {{ counted_cells('firm_register') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

cohorts as (
    select
        cells.extract_set,
        cells.city_id,
        industry_scopes.scope,
        cells.entry_year,
        cells.exit_year,
        sum(cells.row_count) as firm_count,
        sum(cells.ai_row_count) as ai_firm_count
    from cells
    inner join industry_scopes on cells.section = industry_scopes.section
    group by cells.extract_set, cells.city_id, industry_scopes.scope, cells.entry_year, cells.exit_year
),

years as (
    {{ year_spine() }}
),

-- Alive at the end of the year: entered by then, and not yet gone.
counted as (
    select
        cohorts.extract_set,
        'register' as provider,
        'firm_register' as source_name,
        cohorts.city_id,
        years.year,
        cohorts.scope,
        cast(sum(
            case
                when cohorts.entry_year <= years.year and cohorts.exit_year > years.year then cohorts.firm_count
                else 0
            end
        ) as bigint) as firm_count,
        cast(sum(case when cohorts.entry_year = years.year then cohorts.firm_count else 0 end) as bigint)
            as firm_entry_count,
        cast(sum(case when cohorts.exit_year = years.year then cohorts.firm_count else 0 end) as bigint)
            as firm_exit_count,
        cast(sum(
            case
                when cohorts.entry_year <= years.year and cohorts.exit_year > years.year then cohorts.ai_firm_count
                else 0
            end
        ) as bigint) as ai_firm_count,
        cast(sum(case when cohorts.entry_year = years.year then cohorts.ai_firm_count else 0 end) as bigint)
            as ai_firm_entry_count,
        cast(sum(case when cohorts.exit_year = years.year then cohorts.ai_firm_count else 0 end) as bigint)
            as ai_firm_exit_count
    from cohorts
    cross join years
    group by cohorts.extract_set, cohorts.city_id, years.year, cohorts.scope
),

final as (
    {{ changed_years('counted') }}
)

select * from final
