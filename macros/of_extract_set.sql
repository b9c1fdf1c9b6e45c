{#
Look up a column of raw.extract_set, which has one row, at compile time. Return none before an extract set has landed,
and in unit tests, which do not provide this relation.
#}
{% macro of_extract_set(column) -%}
    {%- set relation = ref('raw_extract_set') if not execute or model.resource_type != 'unit_test' -%}
    {%- set landed = load_relation(relation) if execute and relation else none -%}
    {{ return(value_of('select ' ~ column ~ ' from ' ~ landed) if landed else none) }}
{%- endmacro %}

{# Return the name of the extract set as an SQL literal. #}
{% macro extract_set() -%}
    {{ literal(of_extract_set('extract_set') or '') }}
{%- endmacro %}

{#
Return first_year, last_year or base_year of the period. The declared base_year is clamped to the period.
#}
{% macro period(name) -%}
    {%- set year = declared_year(name) -%}
    {%- if name == 'base_year' -%}
        {%- set year = [period('first_year'), [year, period('last_year')] | min] | max -%}
    {%- endif -%}
    {{ return(year) }}
{%- endmacro %}

{#
Return a year from the first place that declares it: `--vars`, `period` in the set's extract_set.yml, or
dbt_project.yml. Unit tests use dbt_project.yml or their own overrides.
#}
{% macro declared_year(name) -%}
    {%- set declared = of_extract_set(name) -%}
    {%- set is_given = name in (invocation_args_dict.get('vars') or {}) -%}
    {{ return(var(name) if is_given or declared is none else declared | int) }}
{%- endmacro %}
