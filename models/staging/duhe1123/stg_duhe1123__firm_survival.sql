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
        year,
        firm as firm_count
    from raw
)

select * from renamed
