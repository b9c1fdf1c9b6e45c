{# The hash of an id, of 64 bits. Two ids may have one. #}
{% macro id_hash(id) -%}
    {{ return(adapter.dispatch('id_hash')(id)) }}
{%- endmacro %}

{% macro default__id_hash(id) -%}
hash({{ id }})
{%- endmacro %}

{# The hashes that a query gives twice or more. Grouping them on DuckDB takes longer, and all the memory it is given. #}
{% macro repeated_hashes(hashes) -%}
    {{ return(adapter.dispatch('repeated_hashes')(hashes)) }}
{%- endmacro %}

{% macro default__repeated_hashes(hashes) -%}
    select unnest(repeated_hashes({{ literal(hashes) }})) as id_hash
{%- endmacro %}
