-- depends_on: {{ source('delivered', 'kinginsun') }}
{%- set declaration = register_declaration('kinginsun', 'firm_register') %}

with

raw as (
    {{ register_rows('kinginsun', 'firm_register') }}
),

renamed as (
    select
        file_number,
        store_key,
        row_number,
        {{ adapter.quote('统一社会信用代码') }} as firm_id,
        {{ place_of(declaration.place) }} as city_code,
        cast(null as {{ dbt.type_string() }}) as industry_code,
        {{ date_of(adapter.quote('注册日期')) }} as established_date,
        cast(null as date) as exit_date,
        {{ adapter.quote('经营范围') }} as business_scope,
        {{ is_a_date_meant(adapter.quote('注册日期')) }} as has_established_date,
        false as has_exit_date
    from raw
)

select * from renamed
