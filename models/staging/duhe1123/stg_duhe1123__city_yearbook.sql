-- depends_on: {{ source('delivered', 'duhe1123') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'duhe1123'
),

renamed as (
    select
        origin,
        "城市代码" as city_code,
        "城市" as city_name,
        "省份" as province_name,
        "年份" as year,
        "地区生产总值(万元)" / 10000 as gdp_100m_cny,
        "第一产业增加值(万元)" / 10000 as primary_value_added_100m_cny,
        "第二产业增加值(万元)" / 10000 as secondary_value_added_100m_cny,
        "第三产业增加值(万元)" / 10000 as tertiary_value_added_100m_cny,
        "人均地区生产总值(元)" as gdp_per_capita_cny,
        "户籍人口(万人)" as registered_population_10k,
        "常住人口(万人)" as resident_population_10k,
        "城镇非私营单位从业人员数(万人)" as unit_employment_10k,
        "第二产业从业人员数(万人)" as secondary_employment_10k,
        "制造业从业人员数(万人)" as manufacturing_employment_10k,
        "科研、技术服务和地质勘查业从业人员数(万人)" as research_employment_10k,
        "R&D人员(人)" as rd_person_count,
        "规模以上工业企业数(个)" as above_scale_firm_count,
        "年末金融机构各项贷款余额(万元)" / 10000 as loans_100m_cny,
        "当年实际使用外资金额(万美元)" / 100 as fdi_1m_usd,
        "教育支出(万元)" / 10000 as education_spending_100m_cny,
        "科学支出(万元)" / 10000 as science_spending_100m_cny,
        "专利申请数(件)" as all_patent_application_count,
        "专利授权数(件)" as all_patent_grant_count,
        "发明专利授权数(件)" as all_invention_grant_count
    from raw
)

select * from renamed
