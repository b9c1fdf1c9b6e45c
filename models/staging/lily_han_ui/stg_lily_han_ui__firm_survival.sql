-- depends_on: {{ source('delivered', 'lily_han_ui') }}
with

raw as (
    select * from {{ ref('raw_firm_survival') }}
    where origin.provider = 'lily_han_ui'
),

renamed as (
    select
        origin,
        "城市" as city_name,
        "年份" as year,
        "全部企业" as ai_firm_count,
        "新增" as ai_firm_entry_count,
        "注销" as ai_firm_exit_count
    from raw
)

select * from renamed
