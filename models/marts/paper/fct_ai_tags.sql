with

final as (
    select
        {{ extract_set() }} as extract_set,
        tags.entity,
        tags.record_id as id,
        tags.element,
        tags.segment,
        tags.matched_terms,
        files.file_path,
        tags.row_number
    from {{ ref('int_register_ai_tags') }} as tags
    inner join {{ ref('raw_register_files') }} as files using (store_key)
)

select * from final
