{#
A column of the one row of raw.extract_set, looked up when a model compiles; nothing before a set has landed. A unit test
asks for no relation that it does not give.
#}
{% macro of_extract_set(column) -%}
    {%- set relation = ref('raw_extract_set') if not execute or model.resource_type != 'unit_test' -%}
    {%- set landed = load_relation(relation) if execute and relation else none -%}
    {{ return(value_of('select ' ~ column ~ ' from ' ~ landed) if landed else none) }}
{%- endmacro %}

{# The name of the extract set, as a text. #}
{% macro extract_set() -%}
    {{ literal(of_extract_set('extract_set') or '') }}
{%- endmacro %}

{#
A year of the period: first_year, last_year or base_year, which is the year of the period nearest to the declared one.
#}
{% macro period(name) -%}
    {%- set year = declared_year(name) -%}
    {%- if name == 'base_year' -%}
        {%- set year = [period('first_year'), [year, period('last_year')] | min] | max -%}
    {%- endif -%}
    {{ return(year) }}
{%- endmacro %}

{#
A year as it is declared. The first of these that names it: `--vars`, `period` in the extract set's extract_set.yml,
dbt_project.yml. A unit test has the years of dbt_project.yml or its own.
#}
{% macro declared_year(name) -%}
    {%- set declared = of_extract_set(name) -%}
    {%- set is_given = name in (invocation_args_dict.get('vars') or {}) -%}
    {{ return(var(name) if is_given or declared is none else declared | int) }}
{%- endmacro %}
