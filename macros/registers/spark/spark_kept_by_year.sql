{#
On Spark, counts are kept by year, and only the years that come out otherwise are written again: a new yearly file
changes its own. Cells are few, so all years are counted to see which. On DuckDB counts are made anew.
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

{# Before the model: drop years outside the period, or all where the register holds nothing any more that counts. #}
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

{# Of the counts of all years, the rows of those that are not as they are in the table. #}
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
