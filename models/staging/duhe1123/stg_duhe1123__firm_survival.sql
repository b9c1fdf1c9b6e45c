with

raw as (
    select * from {{ ref('raw_firm_survival') }}
    where provider = 'duhe1123'
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
        citycode as city_code,
        cast(null as varchar) as city_name,
        cast(null as varchar) as province_name,
        year,
        cast(null as varchar) as industry_code,
        firm as firm_count
    from raw
)

select * from renamed
