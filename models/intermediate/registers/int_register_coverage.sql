{#-
Minimum share of a file's firms for a province to be covered: a few firms in the file of another province do not count.
-#}
{%- set smallest_share = 0.01 -%}

with

files as (
    select * from {{ ref('raw_register_files') }}
),

-- Months with entries by file and year. A register without exit dates covers a year only if firms entered in all twelve
-- months.
months as (
    select
        store_key,
        cast(year(start_date) as integer) as entry_year,
        cast(count(distinct month(start_date)) as integer) as month_count
    from {{ ref('int_register_delivered') }}
    where
        lacks_exit
        and start_date is not null
    group by store_key, year(start_date)
),

cells as (
    select
        cells.store_key,
        cast(cells.start_year as integer) as entry_year,
        cities.province_id,
        sum(cells.row_count) as row_count
    from {{ ref('int_register_cells') }} as cells
    inner join {{ ref('cities') }} as cities on cells.city_id = cities.city_id
    where cells.set_aside_reason is null
    group by cells.store_key, cells.start_year, cities.province_id
),

final as (
    select
        files.provider,
        files.source_name,
        files.file_path,
        cells.store_key,
        cells.entry_year,
        cells.province_id,
        cells.row_count,
        months.month_count,
        -- A sample does not cover any province, however large the sample is.
        not files.is_sample
        and months.month_count = 12
        and cells.row_count >= {{ smallest_share }} * sum(cells.row_count) over (
            partition by cells.store_key, cells.entry_year
        ) as is_covered
    from cells
    inner join months
        on
            cells.store_key = months.store_key
            and cells.entry_year = months.entry_year
    inner join files on cells.store_key = files.store_key
)

select * from final
