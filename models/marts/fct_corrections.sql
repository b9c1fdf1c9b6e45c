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
        corrected.* replace (cast(corrected.year as integer) as year),
        corrections.action,
        corrections.reason,
        corrections.reason_zh,
        corrections.source
    from corrected
    inner join corrections using (correction_id)
)

select * from final
