-- depends_on: {{ source('delivered', 'ciciliujx') }}
with

raw as (
    select * from {{ ref('raw_firm_survival') }}
    where origin.provider = 'ciciliujx'
),

renamed as (
    select
        origin,
        city as city_code,
        city_cn as city_name,
        year,
        company as ai_firm_count
    from raw
)

select * from renamed
