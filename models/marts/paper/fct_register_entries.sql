with

cells as (
    select * from {{ ref('int_register_cells') }}
    where
        entity = 'firm_register'
        and set_aside_reason is null
),

cities as (
    select * from {{ ref('dim_city') }}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        files.provider,
        files.source_name,
        cells.city_id,
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        cells.section,
        cast(cells.start_year as integer) as entry_year,
        cells.start_year < {{ period('first_year') }} as is_before_period,
        cells.start_year < {{ period('first_year') }} and not bool_or(files.lacks_exit) as is_sum_of_years,
        cast(sum(cells.row_count) as bigint) as firm_count,
        cast(sum(cells.ai_row_count) as bigint) as ai_firm_count
    from cells
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    left join cities using (city_id)
    group by
        files.provider, files.source_name, cells.city_id, cities.name_zh, cities.name_en, cities.province_name_zh,
        cities.province_name_en, cells.section, cells.start_year
)

select * from final
