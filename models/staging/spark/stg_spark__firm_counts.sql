-- depends_on: {{ source('delivered', 'spark') }}
with

raw as (
    select * from {{ ref('raw_firm_counts') }}
    where origin.provider = 'spark'
),

renamed as (
    select
        origin,
        city_id,
        year,
        scope,
        firm_count,
        firm_entry_count,
        firm_exit_count,
        ai_firm_count,
        ai_firm_entry_count,
        ai_firm_exit_count
    from raw
)

select * from renamed
