{{ kept_by_file() }}

-- depends_on: {{ ref('raw_register_files') }}
-- depends_on: {{ ref('ai_keywords') }}

with

-- This is the only query that scans the texts of all register rows.
final as (
    select
        {{ cell_columns() }},
        row_number,
        record_id,
        text,
        '{{ rules_key() }}' as rules
    from {{ ref('int_register_conformed') }}
    where
        set_aside_reason is null
        and {{ may_hold_an_ai_term('text', ref('int_register_conformed')) }}
        {%- if is_incremental() %}
        and store_key in {{ new_files() }}
        {%- endif %}
)

select * from final
