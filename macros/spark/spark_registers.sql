{# Where landing leaves what engines without Python read, for the extract set that EXTRACTS_DIR names. #}
{% macro landed_tables() -%}
    {{ return(
        (env_var('LANDING_DIR', '') or 'build/landing')
        ~ '/tables/' ~ local_md5(env_var('EXTRACTS_DIR', '') or 'build/extracts/sample')
    ) }}
{%- endmacro %}

{#
All rows of a register, from the Parquet files of the landing store. Files that have the same columns are read together.
A column declared as a date is one where all files have dates, and text otherwise.
#}
{% macro spark__register_rows(entity) -%}
    {%- set files, columns, groups, texts = [], [], {}, [] -%}
    {%- if execute -%}
        {%- do files.extend(run_query(register_files(entity, 'raw.deliveries') ~ ' order by file_number').rows) -%}
        {%- set landed = 'select column_name, store_key, landed_type from parquet.`' ~ landed_tables() ~ '/register_columns.parquet`'
            ~ " where entity = '" ~ entity ~ "' order by position" -%}
        {%- set types = {} -%}
        {%- for name, store_key, type in run_query(landed).rows -%}
            {%- if name not in columns -%}{%- do columns.append(name) -%}{%- endif -%}
            {%- do types.setdefault(store_key, {}).update({name: type}) -%}
            {%- if type not in (none, 'date32[day]') and name not in texts -%}{%- do texts.append(name) -%}{%- endif -%}
        {%- endfor -%}
        {%- for file in files -%}
            {%- do groups.setdefault(types[file['store_key']].items() | string, []).append(file['store_key']) -%}
        {%- endfor -%}
    {%- endif -%}
with

files as (
    {%- for file in files %}
    select
        {{ literal(file['extract_set']) }} as extract_set,
        {{ literal(file['provider']) }} as provider,
        {{ file['file_number'] }} as file_number,
        {{ literal(file['store_key']) }} as store_key
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- else %}
    select '' as extract_set, '' as provider, 0 as file_number, '' as store_key where false
    {%- endfor %}
),

landed as (
    {%- for keys in groups.values() %}
    select
        element_at(split(_metadata.file_path, '/'), -2) as store_key,
        _metadata.row_index + 1 as row_number
        {%- for name in columns %},
        {{ 'cast(' ~ ('null' if types[keys[0]][name] is none else adapter.quote(name)) ~ ' as ' ~ ('string' if name in texts else 'date') ~ ')' }} as {{ adapter.quote(name) }}
        {%- endfor %}
    from parquet.`{{ env_var('LANDING_DIR', '') or 'build/landing' }}/{ {{- keys | join(',') -}} }/rows.parquet`
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- else %}
    select
        '' as store_key,
        cast(0 as bigint) as row_number
        {%- for name in columns %},
        cast(null as string) as {{ adapter.quote(name) }}
        {%- endfor %}
    where false
    {%- endfor %}
)

select
    files.extract_set,
    files.provider,
    files.file_number,
    landed.*
from landed
inner join files on landed.store_key = files.store_key
{%- endmacro %}

{# A file's rows are a partition: written over whole, and known to the catalog only when they are all there. #}
{% macro spark__kept_by_file(entity) -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by=['store_key'],
        pre_hook="{{ forget_files('" ~ entity ~ "') }}"
    ) }}
{%- endmacro %}

{% macro spark__forget_files(entity) -%}
    {%- if is_incremental() -%}
        {%- set query -%}
            select distinct store_key from {{ this }}
            where
                rules <> '{{ rules_key() }}'
                or store_key not in (
                    select f.store_key from {{ ref('int_register_files') }} as f where f.entity = '{{ entity }}'
                )
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {{ 'alter table ' ~ this ~ ' drop' if loop.first }} partition (store_key = '{{ row[0] }}'){{ ',' if not loop.last }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{% macro spark__kept_by_year() -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by=['year'],
        pre_hook='{{ forget_years() }}'
    ) }}
{%- endmacro %}

{% macro spark__forget_years() -%}
    {%- for row in run_query('select distinct year from ' ~ this ~ ' where ' ~ year_without_counts()).rows -%}
        {{ 'alter table ' ~ this ~ ' drop' if loop.first }} partition (year = {{ row[0] }}){{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Every id is read again to find those that repeat: a partition of an older file cannot be added to. #}
{% macro spark__kept_with_older_files(entity) -%}
    {{ config(materialized='table') }}
{%- endmacro %}
