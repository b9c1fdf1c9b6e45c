-- depends_on: {{ source('delivered', 'vendor') }}
with

raw as (
    select * from {{ ref('raw_patents') }}
    where origin.provider = 'vendor'
),

renamed as (
    select
        origin,
        "城市代码" as city_code,
        "城市名称" as city_name,
        "年份" as year,
        "行业代码" as industry_code,
        case "专利类型"
            when '发明' then 'invention'
            when '实用新型' then 'utility_model'
            when '外观设计' then 'design'
        end as patent_type,
        "专利申请数" as application_count,
        "专利授权数" as grant_count,
        "人工智能专利申请数" as ai_application_count,
        "人工智能专利授权数" as ai_grant_count
    from raw
)

select * from renamed
