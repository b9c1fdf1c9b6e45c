with

corrected as (
    select * from {{ ref('int_series_corrected') }}
    where correction_id is not null
),

corrections as (
    select * from {{ ref('corrections') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        corrected.* replace (cast(corrected.year as integer) as year),
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        corrections.action,
        corrections.reason,
        corrections.reason_zh,
        corrections.source
    from corrected
    inner join corrections using (correction_id)
    left join cities on corrected.city_id = cities.city_id
)

select * from final
