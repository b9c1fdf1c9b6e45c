{# The sum of counts, or null where one of them is missing: a sum with a missing part is missing. #}
{% macro complete_sum(value) -%}
case when count({{ value }}) = count(*) then cast(sum({{ value }}) as bigint) end
{%- endmacro %}
