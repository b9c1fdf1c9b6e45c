{{ kept_by_file() }}

with

counted as (
    select
        file_number,
        city_code,
        section,
        kind,
        start_year,
        end_year,
        count(*) as row_count
    from {{ ref('int_register_conformed') }}
    {%- if is_incremental() %}
    where store_key in {{ new_files() }}
    {%- endif %}
    group by file_number, city_code, section, kind, start_year, end_year
),

placed as (
    select
        files.entity,
        files.store_key,
        counted.city_code,
        counted.section,
        counted.kind,
        counted.start_year,
        counted.end_year,
        counted.row_count
    from counted
    inner join {{ ref('raw_register_files') }} as files on counted.file_number = files.file_number
),

final as (
    select
        *,
        {{ register_set_aside_reason() }} as set_aside_reason,
        '{{ rules_key() }}' as rules
    from placed
)

select * from final
