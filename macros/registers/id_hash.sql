{# Return the 64-bit hash of an id; different ids can share a hash. #}
{% macro id_hash(id) -%}
    {{ return(adapter.dispatch('id_hash')(id)) }}
{%- endmacro %}

{% macro default__id_hash(id) -%}
hash({{ id }})
{%- endmacro %}
