{# Select one row per year of the period. #}
{% macro year_spine() -%}
    {%- for year in range(period('first_year'), period('last_year') + 1) %}
    select {{ year }} as year
    {%- if not loop.last %} union all{% endif %}
    {%- endfor %}
{%- endmacro %}
