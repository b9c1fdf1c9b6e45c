-- depends_on: {{ source('delivered', 'spark') }}
with

raw as (
    select * from {{ ref('raw_patent_counts') }}
    where origin.provider = 'spark'
),

renamed as (
    select
        origin,
        city_id,
        year,
        scope,
        invention_application_count,
        invention_grant_count,
        ai_invention_application_count,
        ai_invention_grant_count
    from raw
)

select * from renamed
