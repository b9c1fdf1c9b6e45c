{#
A table of the paper, wide, as printed: estimates with stars, errors in ( ), errors by province in [ ], N and R2, one column
a regression; below them what the errors are clustered by, the years of the sample, and what a reader must know.
Which specification a column shows is in rpt_column_specifications; other readings and errors are in rpt_table_cells.
#}
{% macro printed_table(table_id, column_count) -%}
with

cells as (
    select * from {{ ref('rpt_table_cells') }}
    where
        table_id = '{{ table_id }}'
        and column_number <= {{ column_count }}
        and reading = 'default'
        and line_kind <> 'wild_p_value'
        and cell is not null
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
