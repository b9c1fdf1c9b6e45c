with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where provider = 'ciciliujx'
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
        city_code,
        city_cn as city_name,
        cast(null as varchar) as province_name,
        year,
        city_invest * city_edu / 100 as education_spending_100m_cny,
        city_invest * city_tech / 100 as science_spending_100m_cny
    from raw
)

select * from renamed
