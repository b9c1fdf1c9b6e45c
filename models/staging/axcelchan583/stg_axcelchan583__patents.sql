-- depends_on: {{ source('delivered', 'axcelchan583') }}
with

raw as (
    select * from {{ ref('raw_patents') }}
    where origin.provider = 'axcelchan583'
),

-- The row for computing (high_compute = 1) also contains the applications in all fields, so the row for other fields is
-- not used in any series.
renamed as (
    select
        origin,
        city as city_name,
        province as province_name,
        year,
        case high_compute
            when 1 then 'invention'
            when 0 then 'other_field'
        end as patent_type,
        total_patents as application_count,
        total_patents_field as ai_application_count
    from raw
)

select * from renamed
