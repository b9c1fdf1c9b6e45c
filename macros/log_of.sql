{# Return the natural log of a value; null if the value is missing, zero or negative. #}
{% macro log_of(value) -%}
case when {{ value }} > 0 then ln({{ value }}) end
{%- endmacro %}
