{# The natural log of a positive value; null where the value is missing, zero or negative. #}
{% macro log_of(value) -%}
case when {{ value }} > 0 then ln({{ value }}) end
{%- endmacro %}
