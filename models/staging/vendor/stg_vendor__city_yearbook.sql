-- depends_on: {{ source('delivered', 'vendor') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'vendor'
),

renamed as (
    select
        origin,
        coalesce("城市代码", 'province:' || "省份代码") as city_code,
        "城市名称" as city_name,
        "省份" as province_name,
        "年份" as year,
        "地区生产总值(亿元)" as gdp_100m_cny,
        "全省地区生产总值(亿元)" as province_gdp_100m_cny,
        "人均地区生产总值(元)" as gdp_per_capita_cny,
        "第一产业增加值(亿元)" as primary_value_added_100m_cny,
        "第二产业增加值(亿元)" as secondary_value_added_100m_cny,
        "第三产业增加值(亿元)" as tertiary_value_added_100m_cny,
        "户籍人口(万人)" as registered_population_10k,
        "常住人口(万人)" as resident_population_10k,
        "单位从业人员(万人)" as unit_employment_10k,
        "第二产业从业人员(万人)" as secondary_employment_10k,
        "制造业从业人员(万人)" as manufacturing_employment_10k,
        "R&D人员(人)" as rd_personnel_count,
        "规模以上工业企业数(个)" as above_scale_firm_count,
        "年末金融机构贷款余额(亿元)" as loans_100m_cny,
        "实际使用外资(百万美元)" as fdi_1m_usd,
        "教育支出(亿元)" as education_spending_100m_cny,
        "科学技术支出(亿元)" as science_spending_100m_cny
    from raw
)

select * from renamed
