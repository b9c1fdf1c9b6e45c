{#
How many records of a group give again what another gives. A county is a part of its city: each is given once, and none
beside the city as a whole.
#}
{% macro repeated_records() -%}
    count(*) - count(distinct coalesce(county_code, 'city'))
    + case when count(county_code) between 1 and count(*) - 1 then 1 else 0 end
{%- endmacro %}
