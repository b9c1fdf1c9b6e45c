with

corrected as (
    select * from {{ ref('int_series_corrected') }}
    where correction_id is not null
),

corrections as (
    select * from {{ ref('corrections') }}
),

final as (
    select
        current_extract_set() as extract_set,
        corrected.correction_id,
        corrected.provider,
        corrected.source_name,
        corrected.series,
        corrected.scope,
        corrected.delivered_city_id,
        corrected.city_id,
        cast(corrected.year as integer) as year,
        corrections.action,
        corrected.delivered_value,
        corrected.value,
        corrections.reason,
        corrections.reason_zh,
        corrections.source
    from corrected
    inner join corrections on corrected.correction_id = corrections.correction_id
)

select * from final
