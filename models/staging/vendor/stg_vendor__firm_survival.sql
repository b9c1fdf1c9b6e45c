-- depends_on: {{ source('delivered', 'vendor') }}
with

raw as (
    select * from {{ ref('raw_firm_survival') }}
    where origin.provider = 'vendor'
),

renamed as (
    select
        origin,
        "城市代码" as city_code,
        "城市名称" as city_name,
        "年份" as year,
        "行业代码" as industry_code,
        "企业存续数" as firm_count,
        "企业新设数" as firm_entry_count,
        "企业注销数" as firm_exit_count,
        "人工智能企业存续数" as ai_firm_count,
        "人工智能企业新设数" as ai_firm_entry_count,
        "人工智能企业注销数" as ai_firm_exit_count
    from raw
)

select * from renamed
