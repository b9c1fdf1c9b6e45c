{# The hash of an id, of 64 bits. Two ids may have one. #}
{% macro id_hash(id) -%}
    {{ return(adapter.dispatch('id_hash')(id)) }}
{%- endmacro %}

{% macro default__id_hash(id) -%}
hash({{ id }})
{%- endmacro %}

{# The hashes that a relation has twice or more. Grouping them on DuckDB takes five times as long. #}
{% macro repeated_hashes(hashes) -%}
    {{ return(adapter.dispatch('repeated_hashes')(hashes)) }}
{%- endmacro %}

{% macro default__repeated_hashes(hashes) -%}
    select unnest(noted.repeated) as id_hash
    from (select repeated_hashes(count(note_hash(id_hash))) as repeated from {{ hashes }}) as noted
{%- endmacro %}
