{# A delivered date, or null where it is none. What is text is read as year, month and day, and maybe a time. #}
{% macro date_of(value) -%}
    {{ return(adapter.dispatch('date_of')(value)) }}
{%- endmacro %}

{# The type of a column is known before it is read, so that a date costs nothing here. #}
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

{# 2015年3月2日, 2015.3.2 and 20150302, each with separate groups for year, month and day. #}
{% macro other_date_forms() -%}
    {%- set year, part = '([0-9]{4})', '([0-9]{1,2})' -%}
    {%- set forms = [
        year ~ '年' ~ part ~ '月' ~ part ~ '日',
        year ~ '[.]' ~ part ~ '[.]' ~ part,
        year ~ '([0-9]{2})([0-9]{2})'
    ] -%}
    {{ return('^\\s*(?:' ~ forms | join('|') ~ ')\\s*$') }}
{%- endmacro %}

{# The days since 30 December 1899 that a spreadsheet leaves of a date, of 1954 to 2091; the time of day behind a point. #}
{% macro serial_date_form() -%}
    {{ return('^\\s*([2-6][0-9]{4})([.][0-9]+)?\\s*$') }}
{%- endmacro %}

{#
Whether a cell means a date, readable or not: it holds neither nothing, nor what landing takes for nothing in other
sources, nor 长期, an open end. The names of the text type are those of DuckDB and Spark.
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
