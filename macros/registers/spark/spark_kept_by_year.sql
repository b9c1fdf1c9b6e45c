{#
Configure an incremental model of counts that rewrites only changed years on Spark: a new yearly file usually changes
one year. Counting the cells of all years is cheap, and shows which years changed. DuckDB rebuilds the table.
#}
{% macro kept_by_year(entity) -%}
    {{ adapter.dispatch('kept_by_year')(entity) }}
{%- endmacro %}

{% macro default__kept_by_year(entity) -%}
{%- endmacro %}

{% macro spark__kept_by_year(entity) -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by=['year'],
        pre_hook="{{ forget_years('" ~ entity ~ "') }}"
    ) }}
{%- endmacro %}

{# Pre-hook: drop years outside the period, or all years if the register no longer has cells that count. #}
{% macro forget_years(entity) -%}
    {%- if is_incremental() -%}
        {%- set query -%}
            select distinct year from {{ this }}
            where
                year not between {{ period('first_year') }} and {{ period('last_year') }}
                or not exists (
                    select 1
                    from {{ ref('int_register_cells') }} as cells
                    inner join {{ ref('industry_scopes') }} as industry_scopes on cells.section = industry_scopes.section
                    where
                        cells.entity = '{{ entity }}'
                        and cells.set_aside_reason is null
                        and coalesce(cells.kind, 'invention') = 'invention'
                )
        {%- endset -%}
        {{ drop_partitions('year', column_of(query)) }}
    {%- endif -%}
{%- endmacro %}

{# Select the counts of the years that differ from the table. #}
{% macro changed_years(counted) -%}
    select {{ counted }}.*
    from {{ counted }}
    {%- if is_incremental() %}
    {%- set columns = adapter.get_columns_in_relation(this) | map(attribute='name') | join(', ') %}
    where {{ counted }}.year in (
        select changed.year
        from (
            (select {{ columns }} from {{ counted }} except select {{ columns }} from {{ this }})
            union all
            (select {{ columns }} from {{ this }} except select {{ columns }} from {{ counted }})
        ) as changed
    )
    {%- endif %}
{%- endmacro %}
