{{ config(materialized='view') }}

with

judged as (
    select
        -- A subquery reads the extract set, because the macro extract_set() returns a literal, which would be fixed
        -- when the view is created.
        (select max(deliveries.extract_set) from {{ ref('raw_deliveries') }} as deliveries) as extract_set,
        files.provider,
        files.source_name,
        files.file_path,
        conformed.row_number,
        conformed.record_id as id,
        conformed.city_code,
        case
            when dropped.row_number is not null then dropped.set_aside_reason
            else coalesce(conformed.set_aside_reason, places.set_aside_reason)
        end as set_aside_reason
    from {{ ref('int_register_conformed') }} as conformed
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    left join {{ ref('int_register_dropped_rows') }} as dropped using (store_key, row_number)
    left join {{ ref('int_register_places') }} as places on coalesce(conformed.city_code, '') = places.city_code
),

final as (
    select * from judged
    where set_aside_reason is not null
)

select * from final
