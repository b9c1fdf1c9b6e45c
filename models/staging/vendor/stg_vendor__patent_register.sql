with

raw as (
    select * from {{ ref('raw_patent_register') }}
    where provider = 'vendor'
),

renamed as (
    select
        extract_set,
        file_number,
        store_key,
        row_number,
        "申请号" as application_number,
        "城市代码" as city_code,
        "行业代码" as industry_code,
        "IPC主分类号" as ipc,
        case "专利类型"
            when '发明' then 'invention'
            when '实用新型' then 'utility_model'
            when '外观设计' then 'design'
        end as patent_type,
        try_cast("申请日" as date) as application_date,
        try_cast("授权日" as date) as grant_date,
        concat_ws(' ', "专利名称", "摘要") as patent_text,
        "申请日" as application_date_delivered,
        "授权日" as grant_date_delivered
    from raw
)

select * from renamed
