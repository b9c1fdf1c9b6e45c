{# A delivered date, or null where it is none. What is text is read as year, month and day, and maybe a time. #}
{% macro date_of(value) -%}
    {{ return(adapter.dispatch('date_of')(value)) }}
{%- endmacro %}

{% macro default__date_of(value) -%}
    try_cast({{ value }} as date)
{%- endmacro %}
