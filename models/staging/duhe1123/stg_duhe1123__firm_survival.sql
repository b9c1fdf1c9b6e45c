-- depends_on: {{ source('delivered', 'duhe1123') }}
with

raw as (
    select * from {{ ref('raw_firm_survival') }}
    where origin.provider = 'duhe1123'
),

renamed as (
    select
        origin,
        citycode as city_code,
        cast(null as varchar) as city_name,
        cast(null as varchar) as province_name,
        year,
        cast(null as varchar) as industry_code,
        firm as firm_count
    from raw
)

select * from renamed
