-- depends_on: {{ source('delivered', 'axcelchan583') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'axcelchan583'
),

renamed as (
    select
        origin,
        city_code,
        city as city_name,
        province as province_name,
        year,
        city_apply as all_patent_application_count,
        city_grant as all_patent_grant_count,
        city_invgrant as all_invention_grant_count
    from raw
)

select * from renamed
