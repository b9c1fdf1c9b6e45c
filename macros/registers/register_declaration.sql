{#
Return the declaration of a provider's register: the list `lacks`, and the columns of `place` by rule, in order. It is
read from raw.declared_sources at compile time, so that the provider's TOML file is the only place to declare it.
#}
{% macro register_declaration(provider, entity) -%}
    {%- set relation = ref('raw_declared_sources') if not execute or model.resource_type != 'unit_test' -%}
    {%- set landed = load_relation(relation) if execute and relation -%}
    {%- set query = 'select max(lacks) as lacks, max(place) as place from {} where provider = {} and entity = {}' -%}
    {%- set found = run_query(query.format(landed, literal(provider), literal(entity))).rows[0] if landed else {} -%}
    {{ return({'lacks': (found['lacks'] or '').split(), 'place': fromjson(found['place'] or '{}')}) }}
{%- endmacro %}

{# List the providers of a register with files in force, or the first provider if none has any, for its columns. #}
{% macro register_providers_at_hand(entity) -%}
    {%- set listed = var('register_providers')[entity] -%}
    {%- set files = ref('raw_register_files') -%}
    {%- set relation = load_relation(files) if execute -%}
    {%- if not relation -%}
        {{ return(listed) }}
    {%- endif -%}
    {%- set query = "select distinct provider from " ~ relation ~ " where entity = '" ~ entity ~ "'" -%}
    {%- set at_hand = column_of(query) -%}
    {{ return(listed | select('in', at_hand) | list or listed[:1]) }}
{%- endmacro %}
