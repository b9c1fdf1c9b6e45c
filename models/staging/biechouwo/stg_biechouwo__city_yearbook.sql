-- depends_on: {{ source('delivered', 'biechouwo') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'biechouwo'
),

renamed as (
    select
        origin,
        case when "GDP/亿元" is null then "城市代码" else 'province:' || "省份" end as city_code,
        coalesce("城市名称", "城市", "地级市") as city_name,
        coalesce("省份名称", "省份") as province_name,
        coalesce("年度标识", "年份", year) as year,
        "GDP/亿元" as province_gdp_100m_cny,
        "本外币贷款余额/亿元" as province_loans_100m_cny,
        "金融机构本外币存款余额/亿元" as province_deposits_100m_cny,
        "gdp（亿元人民币）" as gdp_100m_cny,
        "名义GDP" as revised_gdp_100m_cny,
        "第一产业增加值（亿元人民币）" as primary_value_added_100m_cny,
        "第二产业增加值" as secondary_value_added_100m_cny,
        "第三产业增加值" as tertiary_value_added_100m_cny,
        "常住人口（万人）" as resident_population_10k,
        "插值_常住人口（万人）" as resident_population_interpolated_10k,
        "年末金融机构各项贷款余额(万元)" / 10000 as loans_100m_cny,
        "年末金融机构存款余额(万元)" / 10000 as deposits_100m_cny,
        case "单位" when '百万美元' then "外商直接投资" end as fdi_1m_usd
    from raw
)

select * from renamed
