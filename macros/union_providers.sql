{# All providers' staging rows of an entity. A column that a provider does not deliver is null. #}
{% macro union_providers(entity) -%}
    {%- for provider in var('providers')[entity] %}
    select * from {{ ref('stg_' ~ provider ~ '__' ~ entity) }}
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
