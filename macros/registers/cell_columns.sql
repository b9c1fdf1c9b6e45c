{# Columns that identify a cell of a register; rows with equal values are counted together. #}
{% macro cell_columns() -%}
entity, store_key, city_code, section, kind, start_year, end_year
{%- endmacro %}
