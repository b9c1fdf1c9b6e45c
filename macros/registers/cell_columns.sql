{# What makes a cell of a register: rows that agree in these are counted as one. #}
{% macro cell_columns() -%}
entity, store_key, city_code, section, kind, start_year, end_year
{%- endmacro %}
