with

raw as (
    select * from {{ ref('raw_firm_counts') }}
    where provider = 'spark'
),

renamed as (
    select
        extract_set,
        provider,
        source_name,
        delivery_number,
        delivery_id,
        file_path,
        sheet_name,
        row_number,
        valid_from_delivery,
        valid_until_delivery,
        city_id,
        year,
        scope,
        firm_count,
        firm_entry_count,
        firm_exit_count,
        ai_firm_count,
        ai_firm_entry_count,
        ai_firm_exit_count
    from raw
)

select * from renamed
