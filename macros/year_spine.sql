{# One row per year of the period. #}
{% macro year_spine() -%}
    {%- for year in range(var('first_year'), var('last_year') + 1) %}
    select {{ year }} as year
    {%- if not loop.last %} union all{% endif %}
    {%- endfor %}
{%- endmacro %}
