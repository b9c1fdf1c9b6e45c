{# Parse a delivered date, with or without a time of day; null if it cannot be parsed. #}
{% macro date_of(value) -%}
    {{ return(adapter.dispatch('date_of')(value)) }}
{%- endmacro %}

{# typeof() is constant for a column, so DuckDB skips the parsing of columns that already have a date type. #}
{% macro default__date_of(value) -%}
    case
            when typeof({{ value }}) = 'VARCHAR'
                then coalesce(
                    try_cast({{ value }} as date),
                    try_cast(
                        regexp_replace(cast({{ value }} as varchar), {{ literal(other_date_forms()) }}, '\1\4\7-\2\5\8-\3\6\9')
                        as date
                    ),
                    date '1899-12-30'
                    + try_cast(regexp_extract(cast({{ value }} as varchar), {{ literal(serial_date_form()) }}, 1) as integer)
                )
            else try_cast({{ value }} as date)
        end
{%- endmacro %}

{# Match 2015年3月2日, 2015.3.2 and 20150302, each form with its own groups for year, month and day. #}
{% macro other_date_forms() -%}
    {%- set year, part = '([0-9]{4})', '([0-9]{1,2})' -%}
    {%- set forms = [
        year ~ '年' ~ part ~ '月' ~ part ~ '日',
        year ~ '[.]' ~ part ~ '[.]' ~ part,
        year ~ '([0-9]{2})([0-9]{2})'
    ] -%}
    {{ return('^\\s*(?:' ~ forms | join('|') ~ ')\\s*$') }}
{%- endmacro %}

{#
Match a spreadsheet's serial date for 1954 to 2091: days since 30 December 1899, with the time of day as a fraction.
#}
{% macro serial_date_form() -%}
    {{ return('^\\s*([2-6][0-9]{4})([.][0-9]+)?\\s*$') }}
{%- endmacro %}

{#
Test whether a cell is meant to contain a date, valid or not. Empty cells, the placeholders that landing treats as empty
in other sources, and 长期 (an open end) are not. VARCHAR and string are the text types of DuckDB and Spark.
#}
{% macro is_a_date_meant(value) -%}
{{ value }} is not null
        and not (
            typeof({{ value }}) in ('VARCHAR', 'string')
            and lower(trim(cast({{ value }} as {{ dbt.type_string() }}))) in (
                '', '-', '--', '—', '——', '…', '……', '...', '..', '.', '无', 'na', 'n/a', 'nan', '长期', '长期有效'
            )
        )
{%- endmacro %}
