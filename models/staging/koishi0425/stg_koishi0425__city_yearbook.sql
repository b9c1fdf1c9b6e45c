-- depends_on: {{ source('delivered', 'koishi0425') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'koishi0425'
),

renamed as (
    select
        origin,
        "城市代码" as city_code,
        "城市" as city_name,
        "省份" as province_name,
        "年份" as year,
        "地区生产总值(万元)" / 10000 as gdp_100m_cny,
        "人均地区生产总值(元)" as gdp_per_capita_cny,
        "户籍人口(万人)" as registered_population_10k,
        "城镇非私营单位从业人员数(万人)" as unit_employment_10k
    from raw
)

select * from renamed
