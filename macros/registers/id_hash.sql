{# The hash of an id, of 64 bits. Two ids may have one. #}
{% macro id_hash(id) -%}
    {{ return(adapter.dispatch('id_hash')(id)) }}
{%- endmacro %}

{% macro default__id_hash(id) -%}
hash({{ id }})
{%- endmacro %}
