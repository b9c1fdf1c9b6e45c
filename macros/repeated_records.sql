{#
Count the redundant records of a group. Within a city, each county may occur once, and counties may not occur together
with a record of the whole city.
#}
{% macro repeated_records() -%}
    count(*) - count(distinct coalesce(county_code, 'city'))
    + case when count(county_code) between 1 and count(*) - 1 then 1 else 0 end
{%- endmacro %}
