{# Return the sum of counts, or null if any of them is missing. #}
{% macro complete_sum(value) -%}
case when count({{ value }}) = count(*) then cast(sum({{ value }}) as bigint) end
{%- endmacro %}
