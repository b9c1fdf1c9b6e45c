{#
What a provider's TOML file says of its register: what it `lacks`, and the columns of `place` by rule, in order. It is
looked up in raw.declared_sources when a model compiles, so that the declaration is its one home.
#}
{% macro register_declaration(provider, entity) -%}
    {%- set relation = ref('raw_declared_sources') -%}
    {%- set landed = load_relation(relation) if execute -%}
    {%- set found = column_of(
        'select max(register_declaration) from ' ~ landed ~ ' where provider = ' ~ literal(provider)
        ~ ' and entity = ' ~ literal(entity)
    ) if landed else [none] -%}
    {{ return(fromjson(found[0]) if found[0] else {'lacks': [], 'place': {}}) }}
{%- endmacro %}

{# Those of a register's providers that have files in force; the first where none has, for the columns. #}
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

{# The providers whose register of firms lacks something, `exit`, `industry` or `counts` (a sample), as a list for `in`. #}
{% macro providers_lacking(what) -%}
    {%- set names = ["''"] -%}
    {%- for provider in var('register_providers')['firm_register'] -%}
        {%- if what in register_declaration(provider, 'firm_register').lacks -%}
            {%- do names.append(literal(provider)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return('(' ~ names | join(', ') ~ ')') }}
{%- endmacro %}
