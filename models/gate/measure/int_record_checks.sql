with

firms as (
    select * from {{ ref('int_records_conformed') }}
    where
        entity = 'firm_survival'
        and set_aside_reason is null
),

patents as (
    select * from {{ ref('int_records_conformed') }}
    where
        entity = 'patents'
        and set_aside_reason is null
),

rows_per_key as (
    select
        provider,
        source_name,
        city_id,
        year,
        industry_code,
        {{ repeated_records() }} as repeated_record_count
    from firms
    group by provider, source_name, city_id, year, industry_code
),

duplicates as (
    select
        provider,
        city_id,
        year,
        sum(repeated_record_count) as duplicate_record_count
    from rows_per_key
    group by provider, city_id, year
),

cells as (
    select
        provider,
        city_id,
        industry_code,
        year,
        sum(firm_count) as firm_count,
        sum(firm_entry_count) as firm_entry_count,
        sum(firm_exit_count) as firm_exit_count,
        sum(ai_firm_count) as ai_firm_count,
        sum(ai_firm_entry_count) as ai_firm_entry_count,
        sum(ai_firm_exit_count) as ai_firm_exit_count
    from firms
    group by provider, city_id, industry_code, year
),

delivered_years as (
    select
        provider,
        year,
        count(firm_count) > 0 and count(firm_entry_count) > 0 as has_firm_flow,
        count(ai_firm_count) > 0 and count(ai_firm_entry_count) > 0 as has_ai_firm_flow
    from cells
    group by provider, year
),

cell_keys as (
    select distinct
        provider,
        city_id,
        industry_code
    from cells
),

-- Fill cells without a record in a delivered year with counts of zero.
filled as (
    select
        delivered_years.*,
        cell_keys.city_id,
        cell_keys.industry_code,
        coalesce(cells.firm_count, 0) as firm_count,
        coalesce(cells.firm_entry_count, 0) - coalesce(cells.firm_exit_count, 0) as firm_net_entry_count,
        coalesce(cells.ai_firm_count, 0) as ai_firm_count,
        coalesce(cells.ai_firm_entry_count, 0) - coalesce(cells.ai_firm_exit_count, 0) as ai_firm_net_entry_count,
        greatest(
            case when cells.ai_firm_count > cells.firm_count then 1 else 0 end,
            case when cells.ai_firm_entry_count > cells.firm_entry_count then 1 else 0 end,
            case when cells.ai_firm_exit_count > cells.firm_exit_count then 1 else 0 end
        ) as is_ai_above_all
    from delivered_years
    inner join cell_keys using (provider)
    left join cells
        on
            delivered_years.provider = cells.provider
            and delivered_years.year = cells.year
            and cell_keys.city_id = cells.city_id
            and cell_keys.industry_code is not distinct from cells.industry_code
),

residuals as (
    select
        *,
        case
            when has_firm_flow
                then firm_count - lag(firm_count) over cell_years - firm_net_entry_count
        end as firm_residual,
        case
            when has_ai_firm_flow
                then ai_firm_count - lag(ai_firm_count) over cell_years - ai_firm_net_entry_count
        end as ai_firm_residual,
        year - lag(year) over cell_years as years_since_last
    from filled
    window cell_years as (partition by provider, city_id, industry_code order by year)
),

summed as (
    select
        provider,
        city_id,
        year,
        sum(is_ai_above_all) as ai_above_all_count,
        sum(
            case when years_since_last = 1 and coalesce(firm_residual, 0) <> 0 then 1 else 0 end
        ) as firm_stock_flow_break_count,
        sum(
            case when years_since_last = 1 and coalesce(ai_firm_residual, 0) <> 0 then 1 else 0 end
        ) as ai_firm_stock_flow_break_count
    from residuals
    group by provider, city_id, year
),

patent_cells as (
    select
        provider,
        city_id,
        year,
        industry_code,
        patent_type,
        {{ repeated_records() }} as repeated_record_count,
        sum(
            case when ai_application_count > application_count or ai_grant_count > grant_count then 1 else 0 end
        ) as ai_above_all_count
    from patents
    group by provider, city_id, year, industry_code, patent_type
),

final as (
    select
        'firm_survival' as entity,
        summed.*,
        coalesce(duplicates.duplicate_record_count, 0) as duplicate_record_count
    from summed
    left join duplicates using (provider, city_id, year)
    union all by name
    select
        'patents' as entity,
        provider,
        city_id,
        year,
        sum(ai_above_all_count) as ai_above_all_count,
        sum(repeated_record_count) as duplicate_record_count
    from patent_cells
    group by provider, city_id, year
)

select * from final
