{# Return the folder where landing writes the tables of the extract set at EXTRACTS_DIR, for engines without Python. #}
{% macro landed_tables() -%}
    {{ return(
        (env_var('LANDING_DIR', '') or 'build/landing')
        ~ '/tables/' ~ local_md5(env_var('EXTRACTS_DIR', '') or 'build/extracts/sample')
    ) }}
{%- endmacro %}

{#
Select a provider's register rows from the Parquet files of the landing store. Files with equal columns are read
together. A declared date column has the type date only if it does in all files, and is text otherwise.
#}
{% macro spark__register_rows(provider, entity) -%}
    {%- set columns, groups, texts, types = [], {}, [], {} -%}
    {%- if execute -%}
        {%- set landed = 'select column_name, store_key, landed_type from parquet.`' ~ landed_tables() ~ '/register_columns.parquet`'
            ~ " where entity = '" ~ entity ~ "' order by position" -%}
        {%- for name, store_key, type in run_query(landed).rows -%}
            {%- if name not in columns -%}{%- do columns.append(name) -%}{%- endif -%}
            {%- do types.setdefault(store_key, {}).update({name: type}) -%}
            {%- if type not in (none, 'date32[day]') and name not in texts -%}{%- do texts.append(name) -%}{%- endif -%}
        {%- endfor -%}
        {%- set files = load_relation(ref('raw_register_files')) -%}
        {%- set query = 'select store_key from ' ~ files ~ " where provider = '" ~ provider ~ "' and entity = '" ~ entity
            ~ "' order by file_number" -%}
        {%- for store_key in (column_of(query) if files else []) -%}
            {%- do groups.setdefault(types[store_key].items() | string, []).append(store_key) -%}
        {%- endfor -%}
    {%- endif -%}
with

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
    files.file_number,
    landed.*
from landed
inner join {{ ref('raw_register_files') }} as files on landed.store_key = files.store_key
{%- endmacro %}

{#
Store each file's rows as a partition, which is overwritten as a whole and enters the catalogue only when complete.
#}
{% macro spark__kept_by_file() -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by=['store_key'],
        pre_hook='{{ forget_files() }}'
    ) }}
{%- endmacro %}

{% macro spark__forget_files() -%}
    {%- if is_incremental() -%}
        {%- set query -%}
            select distinct store_key from {{ this }}
            where
                rules <> '{{ rules_key() }}'
                or store_key not in (select files.store_key from {{ ref('raw_register_files') }} as files)
        {%- endset -%}
        {{ drop_partitions('store_key', column_of(query)) }}
    {%- endif -%}
{%- endmacro %}

{% macro drop_partitions(column, values) -%}
    {%- for value in values -%}
        {{ 'alter table ' ~ this ~ ' drop' if loop.first }} partition ({{ column }} = '{{ value }}'){{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro spark__id_hash(id) -%}
xxhash64({{ id }})
{%- endmacro %}
