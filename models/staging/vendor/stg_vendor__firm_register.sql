with

raw as (
    select * from {{ ref('raw_firm_register') }}
    where provider = 'vendor'
),

renamed as (
    select
        extract_set,
        file_number,
        store_key,
        row_number,
        "统一社会信用代码" as firm_id,
        "城市代码" as city_code,
        "行业代码" as industry_code,
        try_cast("成立日期" as date) as established_date,
        try_cast("注销日期" as date) as exit_date,
        "经营范围" as business_scope,
        "成立日期" as established_date_delivered,
        "注销日期" as exit_date_delivered
    from raw
)

select * from renamed
