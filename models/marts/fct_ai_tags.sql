with

{%- for register, id in [('firm_register', 'firm_id'), ('patent_register', 'application_number')] %}

{{ register }} as (
    select
        current_extract_set() as extract_set,
        '{{ register }}' as entity,
        tags.{{ id }} as id,
        tags.element,
        tags.segment,
        tags.matched_terms,
        files.file_path,
        tags.row_number
    from {{ ref('int_' ~ register ~ '_ai_tags') }} as tags
    inner join {{ ref('int_register_files') }} as files
        on
            files.entity = '{{ register }}'
            and tags.store_key = files.store_key
),
{%- endfor %}

final as (
    select * from firm_register
    union all
    select * from patent_register
)

select * from final
