{#
Counts of a register are kept by year, and only the years that come out otherwise are written again: a new yearly file
changes its own. Cells are few, so all years are counted to see which.
#}
{% macro kept_by_year() -%}
    {{ adapter.dispatch('kept_by_year')() }}
{%- endmacro %}

{% macro default__kept_by_year() -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='year',
        pre_hook='{{ forget_years() }}'
    ) }}
{%- endmacro %}

{# Before the model: drop the years that have no counts any more. #}
{% macro forget_years() -%}
    {%- if is_incremental() -%}
        {{ adapter.dispatch('forget_years')() }}
    {%- endif -%}
{%- endmacro %}

{% macro default__forget_years() -%}
    delete from {{ this }} where {{ year_without_counts() }}
{%- endmacro %}

{# A year outside the period, or any where the register holds nothing any more that counts. #}
{% macro year_without_counts() -%}
    year not between {{ var('first_year') }} and {{ var('last_year') }}
    or not exists (
        select 1
        from {{ ref(model.name | replace('_counts', '_cells')) }} as cells
        inner join {{ ref('industry_scopes') }} as industry_scopes on cells.section = industry_scopes.section
        where {{ counted_cells(model.name | replace('int_', '') | replace('_counts', '')) }}
    )
{%- endmacro %}

{# The cells of a register that counts are made of. #}
{% macro counted_cells(entity) -%}
    cells.set_aside_reason is null
    {%- if entity == 'patent_register' %}
        and cells.patent_type = 'invention'
    {%- endif %}
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
