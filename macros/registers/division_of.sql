{#
Return the GB/T 4754 division of an industry code: its first two digits, after an optional section letter. DuckDB
evaluates this once per distinct code.
#}
{% macro division_of(industry_code) -%}
regexp_extract({{ industry_code }}, '^ *[A-Ta-t]? *([0-9]{2})', 1)
{%- endmacro %}
