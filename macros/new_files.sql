{#
Work of a register file is kept for the next build, until the file leaves the extract set or a rule changes.
`rules` is the fingerprint of all models and seeds above the model, so that the tables are what a full build gives.
Macros have no fingerprint in dbt: after a change to one that these models use, build with --full-refresh.
#}
{% macro kept_by_file(entity) -%}
    {{ adapter.dispatch('kept_by_file')(entity) }}
{%- endmacro %}

{% macro default__kept_by_file(entity) -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ forget_files('" ~ entity ~ "') }}"
    ) }}
{%- endmacro %}

{# The same for a model that adds rows of older files to what it keeps. #}
{% macro kept_with_older_files(entity) -%}
    {{ adapter.dispatch('kept_with_older_files')(entity) }}
{%- endmacro %}

{% macro default__kept_with_older_files(entity) -%}
    {{ kept_by_file(entity) }}
{%- endmacro %}

{% macro rules_key() -%}
    {%- if execute -%}
        {%- set upstream = [model.unique_id] -%}
        {%- for node in upstream -%}
            {%- for parent in graph.nodes[node].depends_on.get('nodes', []) if parent not in upstream -%}
                {%- do upstream.append(parent) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set parts = [var('first_year'), var('last_year')] -%}
        {%- for node in upstream | sort -%}{%- do parts.append(graph.nodes[node].checksum.checksum) -%}{%- endfor -%}
        {{- local_md5(parts | join(' ')) -}}
    {%- endif -%}
{%- endmacro %}

{# Before the model: drop what was made of other files or under other rules. #}
{% macro forget_files(entity) -%}
    {{ adapter.dispatch('forget_files')(entity) }}
{%- endmacro %}

{% macro default__forget_files(entity) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where
            rules <> '{{ rules_key() }}'
            or store_key not in (select f.store_key from {{ ref('int_register_files') }} as f where f.entity = '{{ entity }}')
    {%- endif -%}
{%- endmacro %}

{# The files that the model has not seen, as literals by which whole Parquet files are skipped. #}
{% macro new_files(entity) -%}
    {%- set keys = ["''"] -%}
    {%- if execute -%}
        {%- set query -%}
            select store_key from {{ ref('int_register_files') }} where entity = '{{ entity }}'
            except select store_key from {{ this }} where rules = '{{ rules_key() }}'
        {%- endset -%}
        {%- for row in run_query(query).rows -%}{%- do keys.append(literal(row[0])) -%}{%- endfor -%}
    {%- endif -%}
    ({{ keys | join(', ') }})
{%- endmacro %}
