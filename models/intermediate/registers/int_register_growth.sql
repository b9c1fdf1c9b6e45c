{{ config(materialized='ephemeral') }}

with

stock_growth as (
    select
        cities.province_id,
        counts.year,
        sum(counts.growth) as growth
    from (
        -- Of the year; where the stock begins in it, of the next.
        select
            city_id,
            year,
            coalesce(
                case when lag(year) over city_order = year - 1 then firm_count - lag(firm_count) over city_order end,
                case when lead(year) over city_order = year + 1 then lead(firm_count) over city_order - firm_count end
            ) as growth
        from {{ ref('int_firm_counts') }}
        where
            scope = 'all_industries'
            and firm_count is not null
        window city_order as (partition by provider, city_id order by year)
    ) as counts
    inner join {{ ref('cities') }} as cities on counts.city_id = cities.city_id
    group by cities.province_id, counts.year
),

-- A register's firms of a province and year, of all its files, against what the delivered stock grew by. Those of a
-- province that is a small part of a file are no delivery of it.
register_entries as (
    select
        files.delivery_number,
        cities.province_id,
        cells.start_year as year,
        sum(cells.row_count) as file_entry_count,
        sum(sum(cells.row_count)) over (partition by files.delivery_number) as file_count,
        sum(sum(cells.row_count)) over (partition by files.provider, cities.province_id, cells.start_year)
            as entry_count
    from {{ ref('int_register_cells') }} as cells
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    inner join {{ ref('cities') }} as cities using (city_id)
    where
        cells.entity = 'firm_register'
        and cells.set_aside_reason is null
    group by files.delivery_number, files.provider, cities.province_id, cells.start_year
),

final as (
    select
        entries.delivery_number,
        min(entries.entry_count / stock_growth.growth) as entries_to_stock_growth
    from register_entries as entries
    inner join stock_growth
        on
            entries.province_id = stock_growth.province_id
            and entries.year = stock_growth.year
            and stock_growth.growth > 0
    where entries.file_entry_count >= 0.01 * entries.file_count
    group by entries.delivery_number
)

select * from final
