-- depends_on: {{ source('delivered', 'vendor') }}
with

raw as (
    {{ register_rows('vendor', 'patent_register') }}
),

renamed as (
    select
        file_number,
        store_key,
        row_number,
        {{ adapter.quote('申请号') }} as application_number,
        {{ adapter.quote('城市代码') }} as city_code,
        {{ adapter.quote('行业代码') }} as industry_code,
        {{ adapter.quote('IPC主分类号') }} as ipc,
        case {{ adapter.quote('专利类型') }}
            when '发明' then 'invention'
            when '实用新型' then 'utility_model'
            when '外观设计' then 'design'
        end as patent_type,
        {{ date_of(adapter.quote('申请日')) }} as application_date,
        {{ date_of(adapter.quote('授权日')) }} as grant_date,
        concat_ws(' ', {{ adapter.quote('专利名称') }}, {{ adapter.quote('摘要') }}) as patent_text,
        {{ is_a_date_meant(adapter.quote('申请日')) }} as has_application_date,
        {{ is_a_date_meant(adapter.quote('授权日')) }} as has_grant_date
    from raw
)

select * from renamed
