with

cells as (
    select * from {{ ref('int_register_cells') }}
),

-- Months with entries, by register file and year. The number refers to the whole file, even if the file covers only
-- some provinces in a year.
months as (
    select distinct
        store_key,
        entry_year,
        month_count
    from {{ ref('int_register_coverage') }}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        files.provider,
        files.source_name,
        files.entity,
        files.delivery_number,
        files.file_path,
        case when files.is_sample then 'sample' when files.lacks_exit then 'survivors' else 'complete' end as covers,
        cast(cells.start_year as integer) as entry_year,
        cast(sum(cells.row_count) as bigint) as row_count,
        {%- for name, condition in [
            ('placed', 'places.set_aside_reason is null'),
            ('placed_by_code', "places.set_aside_reason is null and places.rule <> 'name'"),
            ('placed_by_name', "places.set_aside_reason is null and places.rule = 'name'"),
            ('known_by_code', 'places.code_city_id is not null'),
            ('known_by_name', 'places.name_city_id is not null'),
            ('agreeing', 'places.code_city_id = places.name_city_id'),
            ('contradicting', 'places.code_city_id <> places.name_city_id')
        ] %}
        cast(sum(case when {{ condition }} then cells.row_count else 0 end) as bigint) as {{ name }}_count,
        {%- endfor %}
        cast(max(months.month_count) as integer) as month_count
    from cells
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    left join {{ ref('int_register_places') }} as places on coalesce(cells.city_code, '') = places.city_code
    left join months
        on
            cells.store_key = months.store_key
            and cells.start_year = months.entry_year
    group by
        files.provider, files.source_name, files.entity, files.delivery_number, files.file_path, files.is_sample,
        files.lacks_exit, cells.start_year
)

select * from final
