with

records as (
    select * from {{ ref('int_records_conformed') }}
    where set_aside_reason is not null
),

corrections as (
    select * from {{ ref('corrections') }}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        records.provider,
        records.source_name,
        records.origin.delivery_number,
        records.origin.file_path,
        records.origin.sheet_name,
        records.origin.row_number,
        records.city_code,
        records.city_name,
        cast(records.year as integer) as year,
        records.set_aside_reason,
        records.correction_id,
        corrections.reason as correction_reason,
        corrections.reason_zh as correction_reason_zh
    from records
    left join corrections using (correction_id)
)

select * from final
