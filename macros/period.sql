{#
A year of the period: first_year, last_year or base_year. The first of these that names it: `--vars`, `period` in the
extract set's extract_set.yml, dbt_project.yml. It is asked for when a model compiles, and never when dbt parses, because
dbt keeps what it parsed for the next EXTRACTS_DIR. A unit test has the years of dbt_project.yml or its own.
#}
{% macro period(name) -%}
    {%- set asked = execute and model.resource_type != 'unit_test' and name not in (invocation_args_dict.get('vars') or {}) -%}
    {%- set declared = declared_year(name) if asked -%}
    {{ return(declared or var(name)) }}
{%- endmacro %}

{# What extract_set.yml says of the year; nothing if it has no period. #}
{% macro declared_year(name) -%}
    {{ return(adapter.dispatch('declared_year')(name)) }}
{%- endmacro %}

{% macro default__declared_year(name) -%}
    {%- set year = value_of("select declared_year('" ~ name ~ "')[1]") -%}
    {{ return(year | int if year is not none) }}
{%- endmacro %}
