-- depends_on: {{ source('delivered', 'vendor') }}
with

raw as (
    {{ register_rows('vendor', 'firm_register') }}
),

renamed as (
    select
        file_number,
        store_key,
        row_number,
        {{ adapter.quote('统一社会信用代码') }} as firm_id,
        {{ adapter.quote('城市代码') }} as city_code,
        {{ adapter.quote('行业代码') }} as industry_code,
        {{ date_of(adapter.quote('成立日期')) }} as established_date,
        {{ date_of(adapter.quote('注销日期')) }} as exit_date,
        {{ adapter.quote('经营范围') }} as business_scope,
        {{ is_a_date_meant(adapter.quote('成立日期')) }} as has_established_date,
        {{ is_a_date_meant(adapter.quote('注销日期')) }} as has_exit_date
    from raw
)

select * from renamed
