{#- Lay out a table of the paper as printed: one row per line of its body, one column per regression. -#}
{% macro printed_table(table_id, column_count) -%}
with

cells as (
    select * from {{ ref('rpt_table_cells') }}
    where
        table_id = '{{ table_id }}'
        and column_number <= {{ column_count }}
        and is_in_table
),

final as (
    select
        row_number() over (order by line_number) as row_number,
        line_kind,
        label_en,
        label_zh,
        {%- for number in range(1, column_count + 1) %}
        max(case when column_number = {{ number }} then cell end) as column_{{ number }},
        {%- endfor %}
        extract_set
    from cells
    group by line_number, line_kind, label_en, label_zh, extract_set
)

select * from final
order by row_number
{%- endmacro %}
