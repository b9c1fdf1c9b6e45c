-- depends_on: {{ source('delivered', 'lily_han_ui') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'lily_han_ui'
),

renamed as (
    select
        origin,
        "城市" as city_name,
        "年份" as year,
        "GRP（单位：亿元）" as gdp_100m_cny,
        "教育支出（单位：万元）" / 10000 as education_spending_100m_cny,
        "科学技术支出（单位：万元）" / 10000 as science_spending_100m_cny
    from raw
)

select * from renamed
