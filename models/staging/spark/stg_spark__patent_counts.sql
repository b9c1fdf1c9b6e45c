with

raw as (
    select * from {{ ref('raw_patent_counts') }}
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
        invention_application_count,
        invention_grant_count,
        ai_invention_application_count,
        ai_invention_grant_count
    from raw
)

select * from renamed
